"""When somebody can next begin to clear a bed."""

from bisect import bisect_left
from datetime import timedelta

from agent.domain.attended import Attended

_DAY = timedelta(days=1)
_DAY_S = 86_400.0


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
