"""How long prints really take on one printer, against what the slicer said."""

from collections.abc import Sequence
from statistics import median

from agent.domain.values import Value

LATEST = 20
"""So many of the last prints are looked at: a printer changes with its firmware, its nozzle and its owner."""
_FEWEST = 3
_BELIEVED = (0.2, 5.0)
"""Beyond, something else than a printer's pace was measured: a printer that only pretends to print, a clock that was set."""
_LEAST, _MOST = 0.5, 3.0
"""No time is changed by more than that, whatever the prints say."""
_NOTHING_TO_TELL = 0.005


class PrintTime(Value):
    """One print that was watched from its start to its good end, without a pause: seconds by the slicer, and seconds it took."""

    printer: str
    profile: str
    slicer: str
    planned_s: int
    took_s: int


class Correction(Value):
    """What a slicer's time is multiplied with for one printer, and from how many prints that is known."""

    printer: str
    factor: float
    prints: int

    @property
    def told(self) -> str:
        return f"×{self.factor:.2f} from {self.prints} prints on {self.printer}"


def correction(times: Sequence[PrintTime]) -> Correction | None:
    """From the prints of one printer with one profile and slicer: the middle one of their ratios, so that a single odd print moves
    nothing. None for fewer than three, and where the slicer is right."""
    ratios = [time.took_s / time.planned_s for time in times if time.planned_s > 0]
    ratios = [ratio for ratio in ratios if _BELIEVED[0] <= ratio <= _BELIEVED[1]]
    if len(ratios) < _FEWEST:
        return None
    factor = round(min(max(median(ratios), _LEAST), _MOST), 2)
    return None if abs(factor - 1) < _NOTHING_TO_TELL else Correction(printer=times[0].printer, factor=factor, prints=len(ratios))


def hours(seconds: float) -> str:
    """For people."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
