"""The way between a phone and the daemon: it can be out of reach, and it can lose an answer whose question arrived."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Self

from tests.rigs.processes import free_port

_PIECE = 65_536
_PATIENCE_S = 10.0


class Radio:
    """Carries connections to the server at `to`, on loopback, in a thread of its own. Entering switches it on, leaving off."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="radio", daemon=True)
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._loses_answer = False
        self._left: int | None = None
        self.lost = threading.Event()
        """The answer was lost: the daemon had given it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.back_in_reach()
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._off(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def out_of_reach(self) -> None:
        """What is on its way is lost, and who connects is refused."""
        self._there(self._cut)

    def out_of_reach_after(self, size: int) -> None:
        """When so many bytes more have gone to the daemon."""
        self._left = size

    def back_in_reach(self) -> None:
        async def listen() -> None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result(_PATIENCE_S)

    def lose_next_answer(self) -> None:
        """To what is posted next: the daemon gets it whole, and the phone hears nothing."""
        self.lost.clear()
        self._loses_answer = True

    def _there(self, act: Callable[[], None]) -> None:
        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(_PATIENCE_S)

    def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _off(self) -> None:
        self._cut()
        await asyncio.gather(*self._connections)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: who is accepted is known from then on, and none is left open because its turn had not come yet."""
        self._ends.add(writer)
        task = asyncio.create_task(self._carry_both(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            self._ends.discard(writer)
            writer.transport.abort()  # the daemon is down
            return
        ends = {writer, far_writer}
        self._ends |= ends
        if self._server is None or not self._server.is_serving():
            self._cut()  # out of reach meanwhile
        line = _Line()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, far_writer, line))
                both.create_task(self._down(far_reader, writer, line))
        except* OSError:
            pass  # cut at one end, cut at the other
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: "_Line") -> None:
        while piece := await reader.read(_PIECE):
            if piece.startswith(b"POST ") and self._loses_answer:
                self._loses_answer, line.doomed = False, True
            writer.write(piece)
            await writer.drain()
            if self._left is not None:
                self._left -= len(piece)
                if self._left <= 0:
                    self._left = None
                    self._cut()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: "_Line") -> None:
        while piece := await reader.read(_PIECE):
            if line.doomed:
                self.lost.set()
                raise ConnectionAbortedError
            writer.write(piece)
            await writer.drain()
        # The server has ended it: a browser that reuses the connection must see that.
        raise ConnectionAbortedError


class _Line:
    """One connection. `doomed`: what comes back on it is lost."""

    doomed = False
