"""The controller's time: ticks since power-on, and what is to be done when."""

import heapq
import itertools
import time
from collections.abc import Callable

from agent.sandbox.klipper.dictionary import CLOCK_HZ

_WORD = 1 << 32


class Clock:
    """Monotonic seconds and ticks. Commands name the low 32 bits of a tick, at most half a turn (43 s) away."""

    def __init__(self) -> None:
        self._origin = time.monotonic()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return time.monotonic()

    def ticks(self) -> int:
        return int((self.now() - self._origin) * CLOCK_HZ)

    def when(self, low: int) -> float:
        """The monotonic second of a tick that is known by its low word."""
        ticks = self.ticks()
        ahead = (low - ticks) % _WORD
        if ahead >= _WORD // 2:
            ahead -= _WORD
        return self._origin + (ticks + ahead) / CLOCK_HZ

    def low(self, when: float) -> int:
        return int((when - self._origin) * CLOCK_HZ) % _WORD

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._order), act))

    def forget(self) -> None:
        self._timers.clear()

    def wait_s(self) -> float | None:
        """Seconds until something is due; None: nothing is."""
        return max(0.0, self._timers[0][0] - self.now()) if self._timers else None

    def run_due(self) -> None:
        """What is late is done now: a loaded computer is no fault of the machine's."""
        while self._timers and self._timers[0][0] <= self.now():
            heapq.heappop(self._timers)[2]()
