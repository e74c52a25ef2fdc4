"""The connection under an answer: ended in the middle, or without one."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any, cast

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_CLOSE = "sandbox.close_connection"


class ClosableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with one thing ASGI has no message for: an application may close the connection under an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in H11Protocol itself
        super().connection_made(transport)
        served = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_CLOSE] = transport.close
            await served(scope, receive, send)

        self.app = cast("Any", app)


def dated(app: ASGIApp, now: Callable[[], datetime]) -> ASGIApp:
    """Every answer says when it was made (RFC 9110, 6.6.1), by the marketplace's own clock, which may be wrong."""

    async def with_date(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).setdefault("date", format_datetime(now(), usegmt=True))
            await send(message)

        await app(scope, receive, send_dated)

    return with_date


async def close_connection(scope: Scope, receive: Receive) -> None:
    """End the connection after what was written so far. Returns when it is gone, so that uvicorn does not answer 500 for us."""
    close = cast("Callable[[], None]", scope[_CLOSE])
    close()
    while (await receive())["type"] != "http.disconnect":
        pass


class Dropped(Response):
    """No answer at all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # nothing is sent: that is the point
        await close_connection(scope, receive)


class CutShort(Response):
    """An answer that announces `whole` and ends after its first half."""

    def __init__(self, whole: bytes, media_type: str) -> None:
        super().__init__(whole, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body[: len(self.body) // 2]), "more_body": True})
        await close_connection(scope, receive)


class Dripping(Response):
    """Another answer, piece by piece over some seconds; in one go once `stopped`."""

    _PIECES = 10

    def __init__(self, inner: Response, seconds: float, stopped: asyncio.Event) -> None:
        super().__init__(inner.body, inner.status_code)
        self.raw_headers = inner.raw_headers
        self._seconds = seconds
        self._stopped = stopped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI's own signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body, step = bytes(self.body), max(1, len(self.body) // self._PIECES)
        for at in range(0, len(body), step):
            await pause(self._seconds / self._PIECES, self._stopped)
            await send({"type": "http.response.body", "body": body[at : at + step], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def pause(seconds: float, stopped: asyncio.Event) -> None:
    """Wait, but not for longer than the server runs."""
    waiting: Awaitable[bool] = stopped.wait()
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return
