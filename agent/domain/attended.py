"""The hours in which a person is there: local times of day, laid out as stretches of time.

Laid out day by day in a time zone, so that 08:00 is eight in the morning on either side of a change to summer time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
_LONGEST_WAY_BACK = 60
"""Days that handling may be reckoned back over. Hours that leave a minute a day are a mistake somewhere else."""
_LONGEST_WAY_ON = 15
"""Days until the next time somebody comes: two weeks, for hours that a change to summer time swallowed once."""


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

    def stretch(self, at: datetime) -> tuple[datetime, datetime] | None:
        """From when to when somebody is there, where that is now; the longest where several overlap."""
        if self.always:
            return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        now, today = at.timestamp(), self.local_day(at.timestamp())
        around = [found for day in (today - _DAY, today) for found in self.of_day(day) if found[0] <= now < found[1]]
        if not around:
            return None
        return datetime.fromtimestamp(min(start for start, _ in around), UTC), datetime.fromtimestamp(max(end for _, end in around), UTC)

    def next_start(self, after: datetime) -> datetime | None:
        """When somebody comes next, later than that. None: they never do, or are always there."""
        if self.always:
            return None
        now, today = after.timestamp(), self.local_day(after.timestamp())
        for n in range(-1, _LONGEST_WAY_ON):
            later = [start for start, _ in self.of_day(today + n * _DAY) if start > now]
            if later:
                return datetime.fromtimestamp(min(later), UTC)
        return None
