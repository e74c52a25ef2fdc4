"""The plan as a picture of characters: one row a printer, time from left to right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.domain.schedule import Assignment
from agent.workflow.scheduling import Station

PRINTS, NOW_PRINTS, WAITS, CLEARED, CHANGES = "━", "▓", "·", "▾", "◆"
LEGEND = f"{NOW_PRINTS} prints now   {PRINTS} will print   {CHANGES} material is changed   {WAITS} bed waits   {CLEARED} bed is cleared"
_STEPS = [timedelta(minutes=minutes) for minutes in (15, 30, 60, 120, 180, 360, 720, 1440, 2880)]
_LABEL = 9
"""Columns that a time on the axis takes, with room beside it."""


@dataclass(frozen=True)
class Axis:
    """From `begin` on, so much time for each of `width` columns. Local time."""

    begin: datetime
    per_column: timedelta
    width: int

    @property
    def end(self) -> datetime:
        return self.begin + self.per_column * self.width

    def column(self, at: datetime) -> int:
        """Where that instant is; at the edge, where it is beyond."""
        return min(max((at - self.begin) // self.per_column, 0), self.width)

    def ticks(self) -> Iterator[tuple[int, datetime]]:
        """Round local times, far enough from each other to be written out."""
        step = next((step for step in _STEPS if step // self.per_column >= _LABEL), _STEPS[-1])
        at = self.begin.replace(hour=0, minute=0, second=0, microsecond=0)
        while at < self.end:
            if at >= self.begin:
                yield self.column(at), at
            at += step


def axis_over(begin: datetime, end: datetime, width: int) -> Axis:
    """At least a minute a column."""
    return Axis(begin, max((end - begin) / width, timedelta(minutes=1)), width)


def head(axis: Axis) -> str:
    cells = [" "] * (axis.width + _LABEL)
    for column, at in axis.ticks():
        text = f"{at:%a %d}" if at.hour == at.minute == 0 else f"{at:%H:%M}"
        cells[column : column + len(text) + 1] = ["|", *text]
    return "".join(cells)[: axis.width].rstrip()


def row(station: Station, line: Sequence[Assignment], axis: Axis) -> str:
    """One printer's day. What lies beyond the axis is left out."""
    cells = [" "] * (axis.width + 1)
    if station.free_from > axis.begin:
        _fill(cells, axis, axis.begin, station.free_from, NOW_PRINTS)
    for one in line:
        if one.starts_at >= axis.end:
            break
        _fill(cells, axis, one.starts_at, one.ends_at, PRINTS, f"{one.order_id}/{one.plate}")
        _fill(cells, axis, one.ends_at, one.cleared_at, WAITS)
        if one.changes_material:
            cells[axis.column(one.starts_at)] = CHANGES
        if one.cleared_at <= axis.end:
            cells[max(axis.column(one.starts_at), axis.column(one.cleared_at) - 1)] = CLEARED
    return "".join(cells[: axis.width]).rstrip()


def _fill(cells: list[str], axis: Axis, since: datetime, until: datetime, mark: str, label: str = "") -> None:
    """The label inside, where there is room for it and something on both sides."""
    begin, end = axis.column(since), axis.column(until)
    cells[begin:end] = [mark] * (end - begin)
    if label and end - begin >= len(label) + 2:
        cells[begin + 1 : begin + 1 + len(label)] = label
