"""How often something may be tried."""

import time
from collections import deque
from collections.abc import Callable

_MOST_SOURCES = 1000


class RateLimit:
    """At most `most` tries in `within_s` from one source, and ten times as many from all together: a code is guessed from anywhere."""

    def __init__(self, most: int, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._within_s, self._clock = most, within_s, clock
        self._tries: dict[str, deque[float]] = {}

    def allows(self, source: str) -> bool:
        """Whether one more may be tried now; it counts where it may."""
        now = self._clock()
        for known in list(self._tries):
            self._forget(known, now)
        mine = self._tries.get(source, deque())
        if len(mine) >= self._most or sum(map(len, self._tries.values())) >= 10 * self._most or len(self._tries) >= _MOST_SOURCES:
            return False
        self._tries.setdefault(source, mine).append(now)
        return True

    def _forget(self, source: str, now: float) -> None:
        tries = self._tries[source]
        while tries and tries[0] <= now - self._within_s:
            tries.popleft()
        if not tries:
            del self._tries[source]
