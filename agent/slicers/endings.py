"""How a slicer's end is told: its own last words, and an error with a name where it did not end as it should."""

import re
from pathlib import Path

from agent.domain.errors import AgentError, NeedsOperator, Refused
from agent.slicers.placed import with_item_ids
from agent.wire.child import Ended, Stop

_DISK_FULL = re.compile(r"No space left|disk full|Disk quota exceeded", re.IGNORECASE)
_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|Cannot allocate memory|out of memory|failed to map segment|Resource temporarily unavailable", re.IGNORECASE
)
_LOG_PREFIX = re.compile(r"^\[[^]]*\] \[[^]]*\] \[error\]\s*")
_PROGRESS = re.compile(r"\d{1,3} => ")
_KILLED = (-9, 137)
_REASON = "Its own words are the reason."


def check_ended(slicer: str, ended: Ended, gcode: Path) -> None:
    """Raises for every end but a good one. That it ended well is no proof of anything."""
    error = _stopped(slicer, ended) or _ill(slicer, ended)
    if error is not None:
        raise error
    if not gcode.is_file() or gcode.stat().st_size == 0:
        raise Refused(f"{slicer} ended well but wrote nothing. {last_words(ended)}", hint=_REASON, code="slicer_wrote_nothing")


def _stopped(slicer: str, ended: Ended) -> AgentError | None:
    """By one of our limits."""
    last = last_words(ended)
    match ended.stopped_by:
        case Stop.WALL_TIME | Stop.CPU_TIME:
            return Refused(
                f"{slicer} did not finish within its time; it was ended after {ended.seconds:.0f} s. {last}",
                hint="Raise [slicing] timeout_s.",
                code="slicer_timeout",
            )
        case Stop.FILE_SIZE | Stop.OUTPUT:
            return Refused(
                f"{slicer} wrote without end and was stopped. {last}",
                hint="Try another layer height or infill, or ask for another file.",
                code="slicer_wrote_too_much",
            )
    return None


def _ill(slicer: str, ended: Ended) -> AgentError | None:
    """By its own hand, or the machine's."""
    last, said = last_words(ended), "\n".join([*ended.stdout, *ended.stderr])
    if ended.code == 0:
        return None
    if _DISK_FULL.search(said):
        return NeedsOperator(
            f"The disk is full: {slicer} could not write. {last}", hint="Free some space; the agent goes on by itself.", code="disk_full"
        )
    if _NO_MEMORY.search(said) or ended.code in _KILLED:
        how = "was killed from outside, most likely for lack of memory" if ended.code in _KILLED else "ran out of memory"
        return Refused(
            f"{slicer} {how} (exit {ended.code}). {last}",
            hint="Raise [slicing] memory_mb if the machine has it, or lower [slicing] workers.",
            code="slicer_out_of_memory",
        )
    if ended.crashed:
        return Refused(
            f"{slicer} crashed on this model (exit {ended.code}). {last}",
            hint="Try another slicer, or ask for another file.",
            code="slicer_crashed",
        )
    return Refused(f"{slicer} refused (exit {ended.code}). {last}", hint=_REASON, code="slicer_refused")


def last_words(ended: Ended) -> str:
    """What it said last, its log and its progress aside if there is anything else; our names for objects put back into item ids."""
    said = [line for line in [*ended.stdout, *ended.stderr] if (line and not line.startswith("[")) or "[error]" in line]
    words = [line for line in said if not _PROGRESS.match(line)] or said[-1:]
    return with_item_ids(" / ".join(_LOG_PREFIX.sub("", line) for line in words[-3:]))[:600]
