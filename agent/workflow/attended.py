"""The hours in which a person is there to clear a bed: local times of day, laid out as stretches of time.

Laid out day by day in the machine's time zone, so that 08:00 is eight in the morning on either side of a change to summer time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
_DAY_S = 86_400.0
_LONGEST_WAY_BACK = 60
"""Days that handling may be reckoned back over. Hours that leave a minute a day are a mistake somewhere else."""


@dataclass(frozen=True)
class Attended:
    """When a person is there. `hours` are local times of day, those that end before they begin go over midnight; empty: always.

    `days_off`: weekdays (Monday is 0) whose hours do not count. `zone` None: the machine's own.
    """

    hours: Sequence[tuple[time, time]] = ()
    days_off: frozenset[int] = frozenset()
    zone: tzinfo | None = None

    @property
    def always(self) -> bool:
        return not self.hours and not self.days_off

    def of_day(self, day: date) -> Iterator[tuple[float, float]]:
        """The stretches that begin on that local day, in seconds since the epoch, the earliest first."""
        if day.weekday() in self.days_off:
            return
        for begins, ends in sorted(self.hours or [(time.min, time.max)]):
            until = time.min if ends == time.max else ends
            start = self._instant(day, begins)
            end = self._instant(day if until > begins else day + _DAY, until)
            if end > start:
                yield start, end

    def local_day(self, at: float) -> date:
        return datetime.fromtimestamp(at, UTC).astimezone(self.zone).date()

    def _instant(self, day: date, at: time) -> float:
        """A naive datetime is taken for the machine's local time, with the rules that hold on that day."""
        return datetime.combine(day, at, tzinfo=self.zone).timestamp()

    def before(self, at: datetime, seconds: float) -> datetime:
        """The latest instant from which so many attended seconds are left until `at`."""
        if self.always:
            return at - timedelta(seconds=seconds)
        end, day, left = at.timestamp(), self.local_day(at.timestamp()) + _DAY, seconds
        for _ in range(_LONGEST_WAY_BACK):
            for start, stop in reversed(list(self.of_day(day))):
                stop = min(stop, end)
                if stop <= start:
                    continue
                if stop - start >= left:
                    return datetime.fromtimestamp(stop - left, UTC)
                left, end = left - (stop - start), start
            day -= _DAY
        return datetime.fromtimestamp(end - left, UTC)


class Calendar:
    """When somebody can next begin to clear a bed. Times are seconds since the epoch.

    `needs_s`: how long it takes; begun so late that it would not be done before they leave, it waits for the next time they come.
    """

    def __init__(self, attended: Attended, since: float, needs_s: float) -> None:
        self._attended = attended
        self._needs_s = needs_s
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._next_day = attended.local_day(since) - _DAY
        self._laid_until = since - 2 * _DAY_S

    def next_at(self, at: float) -> float:
        """`at` itself where somebody is there then."""
        if self._attended.always:
            return at
        while True:
            self._lay_out(at)
            for n in range(bisect_left(self._ends, at), len(self._ends)):
                if at <= max(self._starts[n], self._ends[n] - self._needs_s):
                    return max(at, self._starts[n])
            at = max(at, self._laid_until)

    def _lay_out(self, at: float) -> None:
        """At least two days further than asked: what begins on the next day may belong to the stretch before it."""
        while self._laid_until < at + 2 * _DAY_S:
            for start, end in self._attended.of_day(self._next_day):
                if self._ends and start <= self._ends[-1]:
                    self._ends[-1] = max(self._ends[-1], end)
                else:
                    self._starts.append(start)
                    self._ends.append(end)
            self._next_day += _DAY
            self._laid_until += _DAY_S
