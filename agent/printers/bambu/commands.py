"""What is said to the printer: JSON on device/<serial>/request, each command under a type and with a sequence id of its own.

The printer answers on device/<serial>/report with an echo of every field, a result and a reason. Facts read in public sources.
"""

import itertools
import json
import secrets
import zlib
from dataclasses import dataclass
from typing import Any

from agent.printers.bambu.report import RESTING

_LARGEST_ID = 2**31 - 1
_sequence = itertools.count(secrets.randbelow(1_000_000_000) + 1)
"""Another program's echoes are heard as well: ours begin at a place nobody can guess."""


@dataclass(frozen=True)
class Command:
    """`sequence_id` is how its echo is known."""

    payload: str
    sequence_id: str


@dataclass(frozen=True)
class Spool:
    """Where the filament comes from. `tray` None: from the spool holder."""

    tray: int | None = None


def _command(kind: str, command: str, **fields: Any) -> Command:
    number = str(next(_sequence))
    return Command(json.dumps({kind: {"sequence_id": number, "command": command, **fields}}), number)


def pushall() -> Command:
    """Tell everything. Costly for a P1: not more often than every five minutes."""
    return _command("pushing", "pushall", version=1, push_target=1)


def get_version() -> Command:
    """Cheap, and always answered: the sign of life that is asked for."""
    return _command("info", "get_version")


def pause() -> Command:
    return _command("print", "pause", param="")


def resume() -> Command:
    return _command("print", "resume", param="")


def stop() -> Command:
    return _command("print", "stop", param="")


def project_file(name: str, stored_as: str, url_form: str, job_id: int, spool: Spool) -> Command:
    """Print plate 1 of a stored package. The G-code has one filament, so the mapping has one entry."""
    return _command(
        "print",
        "project_file",
        param="Metadata/plate_1.gcode",
        url=url_form.format(file=stored_as),
        file=stored_as,
        subtask_name=name,
        md5="",  # the package holds its own; a checksum of the whole is not known to be read
        project_id="0",
        profile_id="0",
        task_id=str(job_id),
        subtask_id=str(job_id),
        bed_type="auto",
        bed_leveling=True,
        auto_bed_leveling=1,
        flow_cali=False,
        vibration_cali=True,
        layer_inspect=False,
        timelapse=False,
        use_ams=spool.tray is not None,  # bool, never int: H2D Pro reads an int as a nozzle
        ams_mapping=[-1 if spool.tray is None else spool.tray],
        ams_mapping2=[_where(spool)],
        extrude_cali_flag=0,
        nozzle_offset_cali=0,
        cfg="0",
    )


def _where(spool: Spool) -> dict[str, int]:
    """128…135 are AMS HT units, with one slot each."""
    if spool.tray is None:
        return {"ams_id": 255, "slot_id": 0}
    if spool.tray >= 128:
        return {"ams_id": spool.tray, "slot_id": 0}
    return {"ams_id": spool.tray // 4, "slot_id": spool.tray % 4}


# --- job ids ------------------------------------------------------------------------------------------------------------


def minted_id(name: str, state: str) -> int:
    """A fresh id, 1…2^31-1 (a P1S clamps to that), which only this start of this job has.

    It also says how the printer stood before: for minutes after it took a job a printer may still show the *old* job's FINISH (or
    FAILED) beside the new ids. An end that differs from what it stood at before can only be this job's own. 19 bits of chance, 2 of
    state, 10 that check the others and the name, so that no id of anybody else is read that way.
    """
    while True:
        head = secrets.randbits(19) << 2 | RESTING.index(state)
        if 0 < (minted := head << 10 | _check(name, head)) <= _LARGEST_ID:
            return minted


def state_before(name: str, job_id: str) -> str | None:
    """How the printer stood when this job was sent to it; None where the id is not of our minting."""
    if not job_id.isascii() or not job_id.isdigit() or len(job_id) > 10:
        return None
    head, check = int(job_id) >> 10, int(job_id) & 0x3FF
    if not 0 < head < 2**21 or check != _check(name, head) or head & 3 >= len(RESTING):
        return None
    return RESTING[head & 3]


def _check(name: str, head: int) -> int:
    return zlib.crc32(f"{head} {name}".encode()) & 0x3FF
