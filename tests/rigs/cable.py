"""The cable between an agent and a machine: it can be pulled and plugged in again, while the machine goes on with what it is at."""

import asyncio
import contextlib
from typing import Self

from tests.rigs.processes import free_port

_PIECE = 65_536


class Cable:
    """Carries every connection to `port` (there) to the server at `to`, on loopback. Entering plugs it in, leaving pulls it."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._sent = 0
        self._moved = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.pull()
        await asyncio.gather(*self._connections)

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    def pull(self) -> None:
        """What is on its way is lost, and who connects is refused."""
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def carries(self, size: int) -> None:
        """Returns when so many bytes more have gone to the server."""
        until = self._sent + size
        async with self._moved:
            await self._moved.wait_for(lambda: self._sent >= until)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: who is accepted is known from then on, and none is left open because its turn had not come yet."""
        self._ends.add(writer)
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends.add(far_writer)
            self._ends.add(far_writer)
            if self._server is None or not self._server.is_serving():
                self.pull()  # it was pulled meanwhile
            await asyncio.gather(self._carry(reader, far_writer, counted=True), self._carry(far_reader, writer))
        except OSError:  # nobody is at home there, or cut at one end: cut at the other
            for end in ends:
                end.transport.abort()
        finally:
            self._ends -= ends
            for end in ends:
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
            if counted:
                async with self._moved:
                    self._sent += len(piece)
                    self._moved.notify_all()
        with contextlib.suppress(OSError):
            writer.write_eof()
