"""Who gets a slicer next: as many at once as the machine bears, what is needed soonest first, and no work done twice at a time."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

LAST = datetime.max.replace(tzinfo=UTC)
"""For work that nobody waits for with a deadline."""


class Turns:
    """Turns at the slicers. Orders that were accepted come after every offer: they have days, an offer has minutes."""

    def __init__(self, workers: int) -> None:
        self._free = workers
        self._waiting: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._number = count()
        self._at_work: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, key: str, before: datetime = LAST) -> AsyncIterator[None]:
        """Inside, nobody else does the work of this key. Somebody may have done it while it was waited for: look again."""
        await self._take(before)
        try:
            while key in self._at_work:  # a slicer's place is held meanwhile: that work is nearly done, and this is then done at once
                await self._at_work[key].wait()
            done = self._at_work[key] = asyncio.Event()
            try:
                yield
            finally:
                del self._at_work[key]
                done.set()
        finally:
            self._give()

    async def _take(self, before: datetime) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (before, next(self._number), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given just then
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
