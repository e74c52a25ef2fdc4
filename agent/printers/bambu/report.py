"""What the printer says of itself: deltas on device/<serial>/report, merged into one state since the connection came up."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from agent.domain.printer import MaterialSlot, Temperatures
from agent.domain.values import one_line
from agent.printers.bambu import codes

LARGEST_BYTES = 2_000_000
"""A full report of a printer with four AMS is some 30 kB."""
RESTING = ("IDLE", "FINISH", "FAILED")
"""Nothing is at work; only then is a job sent."""
PREPARING = frozenset({"PREPARE", "SLICING"})
AT_WORK = PREPARING | {"RUNNING", "PAUSE"}
KNOWN = AT_WORK | set(RESTING)
_LONGEST_NAME = 200
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_OURS = re.compile(r"[A-Za-z0-9_]+-\d+-\d+-[0-9a-f]{8}")
"""A job's name as domain.job.remote_name makes it, without its ending."""
_RUNOUT_STAGE, _PERSON_STAGE = 6, 16
_SIGNATURE_WANTED = 0x20000000
_HOLDER = 254

Message = dict[str, Any]


def parsed(payload: bytes) -> Message | None:
    """The JSON object in it; None where there is none. Some firmwares end it with NUL, or write text that is not UTF-8."""
    if len(payload) > LARGEST_BYTES:
        return None
    try:
        found = json.loads(payload.rstrip(b"\0 \r\n\t").decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def merged(old: Message, new: Message) -> Message:
    """Objects deeply, everything else replaced: lists too, of which a printer always sends the whole."""
    out = dict(old)
    for key, value in new.items():
        before = out.get(key)
        out[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return out


def number(value: object) -> float | None:
    """A number, also one written as text; None for anything else, and for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if abs(read) < 2**53 else None


def _count(value: object) -> int | None:
    """Of things there is at least one of."""
    read = number(value)
    return int(read) if read is not None and read >= 1 else None


def text(value: object) -> str:
    """One line of text, shortened; numbers as they are written."""
    return one_line(str(value)[:_LONGEST_NAME]) if isinstance(value, str | int) and not isinstance(value, bool) else ""


@dataclass
class Report:
    """Every property holds against any JSON at all."""

    said: Message = field(default_factory=dict)

    def hear(self, push: Message) -> None:
        """A push_status. Never an answer to a command: that echoes what was sent, and says nothing of the printer."""
        if (
            _UNREADABLE in str(push.get("subtask_name"))
            and "subtask_name" in self.said
            and text(push.get("subtask_id")) in ("", self.job_id)
        ):
            push = {
                key: value for key, value in push.items() if key != "subtask_name"
            }  # it is the same job, with its name broken on the way
        self.said = merged(self.said, push)

    @property
    def complete(self) -> bool:
        """The full report has come: a delta alone does not name the job."""
        return bool(self.state) and "subtask_name" in self.said

    @property
    def state(self) -> str:
        return text(self.said.get("gcode_state")).upper()

    @property
    def name(self) -> str:
        """The job's. Started at the printer's own screen a file is named without its endings: ours are given theirs back."""
        name, file = text(self.said.get("subtask_name")), text(self.said.get("gcode_file"))
        return f"{name}.gcode" if _OURS.fullmatch(name) and file.rpartition("/")[2] == f"{name}.gcode.3mf" else name

    @property
    def job_id(self) -> str:
        return text(self.said.get("subtask_id"))

    @property
    def progress(self) -> float:
        """0…1. While a job is prepared the percent is still that of the one before."""
        percent = number(self.said.get("mc_percent")) or 0.0
        return 0.0 if self.state in PREPARING else min(1.0, max(0.0, percent / 100))

    @property
    def seconds_left(self) -> int | None:
        minutes = number(self.said.get("mc_remaining_time"))
        return None if minutes is None or minutes < 0 else int(minutes * 60)

    @property
    def layer(self) -> int | None:
        return _count(self.said.get("layer_num"))

    @property
    def layers(self) -> int | None:
        return _count(self.said.get("total_layer_num"))

    @property
    def error(self) -> str:
        """print_error, eight hex digits; empty: none, or only a phase."""
        return codes.code_of(int(number(self.said.get("print_error")) or 0))

    @property
    def denies_error(self) -> bool:
        """It says that there is no error, which is more than saying nothing."""
        return number(self.said.get("print_error")) == 0

    @property
    def hms(self) -> frozenset[str]:
        """Sixteen hex digits each."""
        listed = self.said.get("hms")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        pairs = [(number(entry.get("attr")), number(entry.get("code"))) for entry in entries[:50]]
        return frozenset(f"{int(a) & 0xFFFFFFFF:08X}{int(c) & 0xFFFFFFFF:08X}" for a, c in pairs if a is not None and c is not None)

    @property
    def ran_out(self) -> bool:
        return number(self.said.get("stg_cur")) == _RUNOUT_STAGE or codes.is_runout(self.error)

    @property
    def paused_by_person(self) -> bool:
        return number(self.said.get("stg_cur")) == _PERSON_STAGE

    @property
    def wants_signatures(self) -> bool | None:
        """Developer Mode is off. None: this model does not say (A1 and P1 do not)."""
        try:
            return bool(int(text(self.said.get("fun")), 16) & _SIGNATURE_WANTED)
        except ValueError:
            return None

    def temperatures(self) -> Temperatures:
        return Temperatures(
            nozzle_c=number(self.said.get("nozzle_temper")),
            nozzle_target_c=number(self.said.get("nozzle_target_temper")),
            bed_c=number(self.said.get("bed_temper")),
            bed_target_c=number(self.said.get("bed_target_temper")),
        )

    def trays(self) -> dict[int, MaterialSlot]:
        """By the number that a job's mapping uses: unit × 4 + slot, AMS HT from 128. Empty slots are left out."""
        ams = self.said.get("ams")
        units = ams.get("ams") if isinstance(ams, dict) else None
        found: dict[int, MaterialSlot] = {}
        for unit in units if isinstance(units, list) else []:
            unit_no = number(unit.get("id")) if isinstance(unit, dict) else None
            trays = unit.get("tray") if isinstance(unit, dict) else None
            if unit_no is None or not isinstance(trays, list):
                continue
            for tray in trays:
                _add_tray(found, int(unit_no), tray)
        return found

    def holder(self) -> MaterialSlot | None:
        """The spool outside, as far as it was told what hangs there."""
        return _slot("external", self.said.get("vt_tray"))


def _add_tray(found: dict[int, MaterialSlot], unit: int, tray: object) -> None:
    tray_no = number(tray.get("id")) if isinstance(tray, dict) else None
    high = unit >= 128
    if tray_no is None or not (0 <= unit <= 3 or 128 <= unit <= 135) or not 0 <= tray_no <= (0 if high else 3):
        return
    slot = _slot(f"HT{unit - 127}" if high else f"{'ABCD'[unit]}{int(tray_no) + 1}", tray)
    if slot is not None:
        found[unit if high else unit * 4 + int(tray_no)] = slot


def _slot(name: str, tray: object) -> MaterialSlot | None:
    if not isinstance(tray, dict) or not (material := text(tray.get("tray_type"))):
        return None
    color, remain = text(tray.get("tray_color")).upper(), number(tray.get("remain"))
    known = len(color) in (6, 8) and all(digit in "0123456789ABCDEF" for digit in color)
    return MaterialSlot(
        slot=name,
        material=material[:40],
        color_hex=f"#{color[:6].lower()}" if known else None,
        remaining_percent=int(remain) if remain is not None and 0 < remain <= 100 else None,
    )
