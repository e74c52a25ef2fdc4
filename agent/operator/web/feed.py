"""News for open pages, as server-sent events: that something has changed, never what. The page then asks for itself anew."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from agent.domain.errors import AgentError
from agent.operator.looks import PrinterLooks
from agent.operator.pictures import PrinterPictures
from agent.ports.ledger import Ledger

_LEDGER_S = 1.0
"""Commands and other programs write into the same ledger, and it has no event for us."""
_PRINTERS_S = 5.0
_SIGN_OF_LIFE_S = 15.0
MOST_STREAMS = 40


class Feed:
    """Looks at ledger and printers while somebody listens, once for all who do."""

    def __init__(self, ledger: Ledger, looks: PrinterLooks, pictures: PrinterPictures) -> None:
        self._ledger = ledger
        self._looks = looks
        self._pictures = pictures
        self._listeners = 0
        self._onlookers = 0
        """Those of them that see the cameras' pictures: no camera is asked for others."""
        self._mark = self._pictured = ""
        self._changed = asyncio.Condition()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        return self._listeners >= MOST_STREAMS

    def close(self) -> None:
        """All streams end."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def mark(self) -> str:
        """Another one when anything has changed."""
        return f"{self._ledger.mark()} {self._looks.mark()}"

    async def stream(self, mark: str, may_listen: Callable[[], bool], pictured: str | None = None) -> AsyncIterator[bytes]:
        """The stream's bytes, for a page that was made at that mark. Ends when the server does, or the listener may not listen any more.

        `pictured`: the pictures' mark, for a page that shows them. Where nothing else is new, it is told that they are.
        """
        self._listeners += 1
        self._onlookers += pictured is not None
        if self._task is None:
            self._mark, self._pictured = self.mark(), self._pictures.mark()
            self._task = asyncio.create_task(self._watch(), name="web feed")
        try:
            yield b"retry: 3000\n\n"
            alive = time.monotonic()
            while not self._closed and may_listen():
                if self._mark != mark:
                    mark, alive = self._mark, time.monotonic()
                    pictured = None if pictured is None else self._pictured
                    yield b"event: changed\ndata: \n\n"
                elif pictured is not None and self._pictured != pictured:
                    pictured, alive = self._pictured, time.monotonic()
                    yield b"event: pictures\ndata: \n\n"
                elif time.monotonic() - alive > _SIGN_OF_LIFE_S:
                    alive = time.monotonic()
                    yield b": still here\n\n"
                await self._news()
        finally:
            self._listeners -= 1
            self._onlookers -= pictured is not None
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _news(self) -> None:
        """Waits for some, or until it is time for a sign of life."""
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_S), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return

    async def _watch(self) -> None:
        looked = float("-inf")
        try:
            while True:
                if time.monotonic() - looked > _PRINTERS_S:
                    await self._looks.now()
                    looked = time.monotonic()
                if self._onlookers:
                    self._pictures.look()
                await self._tell()
                await asyncio.sleep(_LEDGER_S)
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _tell(self) -> None:
        try:
            mark = self.mark()
        except AgentError:
            return  # a ledger that is locked or full has no news
        pictured = self._pictures.mark()
        if (mark, pictured) != (self._mark, self._pictured):
            self._mark, self._pictured = mark, pictured
            async with self._changed:
                self._changed.notify_all()
