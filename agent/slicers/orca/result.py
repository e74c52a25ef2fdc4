"""How OrcaSlicer or Bambu Studio ended: its exit status held against the `result.json` it writes on every exit.

The file (record_exit_reson in src/OrcaSlicer.cpp and src/BambuStudio.cpp; on Linux only): return_code, error_string, plate_index, times,
and for each plate that was sliced id, triangle_count and warning_message. It is bad input like any other. Exit 0 without it, or against it,
is no good end.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.errors import AgentError, Refused
from agent.domain.values import one_line
from agent.slicers.endings import check_ended, last_words
from agent.slicers.orca.reasons import REASONS, error_of
from agent.slicers.placed import with_item_ids
from agent.wire.child import Ended, Stop

FILE = "result.json"
GCODE = "plate_1.gcode"
"""The only plate's, in the same folder (`outfile_dir + "/plate_" + …`)."""
_LARGEST_FILE = 1_000_000
_LARGEST_CODE = 255
_LONGEST_TEXT = 500
_MOST_WARNINGS = 50
_TOLD_BY_WORDS = ("disk_full", "slicer_out_of_memory")
_AGAIN = "Try again; if it stays so, try another version, or another slicer for this printer."


@dataclass(frozen=True)
class Result:
    """`plates`: the numbers of those that were sliced."""

    code: int
    says: str
    plates: list[int]
    warnings: list[str]


class _Unreadable(Exception):
    """The message says what is wrong with the file."""


def check_result(slicer: str, ended: Ended, folder: Path) -> list[str]:
    """The slicer's warnings of the one plate. Raises for every end but a good one, as endings.check_ended, or by the code it gives."""
    try:
        result = _read(folder / FILE)
    except _Unreadable as why:
        if ended.code == 0:
            raise _refused(f"{slicer} ended well, but its {FILE} {why}. {last_words(ended)}", "slicer_bad_result") from why
        result = None
    _require_good_end(slicer, ended, result, folder / GCODE)
    if result is None:
        raise _refused(f"{slicer} ended well, but wrote no {FILE}. {last_words(ended)}", "slicer_no_result")
    if result.code != 0:
        raise _refused(f"{slicer} ended well, but its {FILE} says {result.code}: {result.says}", "slicer_contradicts_itself")
    check_ended(slicer, ended, folder / GCODE)
    made = sorted(path.name for path in folder.glob("plate_*.gcode"))
    if made != [GCODE] or result.plates != [1]:
        told = f"{', '.join(made)}; {len(result.plates)} in {FILE}"
        raise _refused(f"{slicer} was given one plate and made others of it ({told}).", "slicer_other_plates")
    return result.warnings


def _require_good_end(slicer: str, ended: Ended, result: Result | None, gcode: Path) -> None:
    if ended.code == 0 and ended.stopped_by is None:
        return
    code = _code(ended, result)
    try:
        check_ended(slicer, ended, gcode)
    except AgentError as error:
        if code is None or error.code in _TOLD_BY_WORDS:
            raise
        raise _by_code(slicer, code, ended, result) from error


def _by_code(slicer: str, code: int, ended: Ended, result: Result | None) -> AgentError:
    if result is None:
        return error_of(slicer, code, last_words(ended))
    if result.code != code:
        text = f"{slicer} ended with {code}, but its {FILE} says {result.code}: {result.says} {last_words(ended)}"
        return _refused(text, "slicer_contradicts_itself")
    return error_of(slicer, code, f"{result.says} {last_words(ended)}")


def _code(ended: Ended, result: Result | None) -> int | None:
    """Its own code, out of the exit status. None: it was stopped or crashed, or the status is none of its codes.

    152 and 153 are -104 and -103, and what a shell says of a program that was ended at a limit of ours: the file decides.
    """
    code = ended.code - 256
    limit = ended.stopped_by in (Stop.CPU_TIME, Stop.FILE_SIZE) and result is not None and result.code == code
    if code not in REASONS or not (ended.stopped_by is None or limit):
        return None
    return code


def _refused(text: str, code: str) -> Refused:
    return Refused(text.rstrip(), hint=_AGAIN, code=code)


# --- the file ---------------------------------------------------------------------------------------------------------
def _read(path: Path) -> Result | None:
    """None where there is no such file."""
    if not path.exists():
        return None
    found = _parsed(path)
    code, plates = found.get("return_code"), found.get("sliced_plates", [])
    if not isinstance(code, int) or isinstance(code, bool) or abs(code) > _LARGEST_CODE:
        raise _Unreadable("has no return_code")
    if not isinstance(plates, list) or not all(isinstance(plate, dict) for plate in plates):
        raise _Unreadable("has no list of plates")
    warnings = [text for plate in plates[:_MOST_WARNINGS] if (text := _text(plate.get("warning_message")))]
    numbers = [plate["id"] if isinstance(plate.get("id"), int) else 0 for plate in plates[:_MOST_WARNINGS]]
    return Result(code, _text(found.get("error_string")), numbers, warnings)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            raise _Unreadable("is no file, or is too large")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"is no JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise _Unreadable("has no return_code")
    return found


def _text(value: object) -> str:
    """One line, our names for objects put back into item ids."""
    return one_line(with_item_ids(value[: 4 * _LONGEST_TEXT]))[:_LONGEST_TEXT] if isinstance(value, str) else ""
