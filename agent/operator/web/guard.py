"""What every request passes before anything else: whose name it asks for, how much it sends, and the headers every answer gets."""

import asyncio
import contextlib
import json
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.operator.web.access import Access

LARGEST_FORM = 64 * 1024
LARGEST_PHOTOS = 150_000_000
"""Bytes of all photos of an order in one go."""
LARGEST_CHUNK = 4 * 1024 * 1024
"""Bytes of one request for a photo that is sent in pieces."""
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser calls the origin of our own forms null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_DRAIN_S = 20.0
_A_YEAR = "max-age=31536000"


class Guard:
    """ASGI. Starlette's own middleware classes would buffer what streams."""

    def __init__(self, app: ASGIApp, access: Access, largest: Callable[[str], int]) -> None:
        self._app, self._access, self._largest = app, access, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        limit = self._largest(scope["path"])
        body = _Body(receive, limit, whole=not _announced(headers) and "transfer-encoding" not in headers)
        answer = _Answer(send, body, secure=self._access.secure)
        if not self._access.answers_to(headers.get("host", "")):
            await answer.refuse(421, "wrong_host", "This is not the name of this agent.", "Set [web] url to the address you open it at.")
        elif _announced(headers) > limit:
            await answer.refuse(413, "too_large", f"At most {limit} bytes are read here.", "Send less at once.")
        else:
            await self._within(scope, body, answer, limit)

    async def _within(self, scope: Scope, body: "_Body", answer: "_Answer", limit: int) -> None:
        with contextlib.suppress(ClientDisconnect):
            await self._app(scope, body, answer)
        if body.too_large and not answer.began:
            await answer.refuse(413, "too_large", f"At most {limit} bytes are read here.", "Send less at once.")


class _Body:
    """A request's body up to the limit. Beyond it the application is told that the client has gone, so that it stops wherever it reads."""

    def __init__(self, receive: Receive, limit: int, *, whole: bool) -> None:
        self._receive, self._limit = receive, limit
        self.whole = whole
        """Nothing of it is left to be read."""
        self.too_large = False
        self._read = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self.whole = self.whole or not message.get("more_body", False)
        self.too_large = self._read > self._limit
        return {"type": "http.disconnect"} if self.too_large else message

    async def drain(self) -> None:
        """Read what is left and throw it away: a browser that still sends when its connection ends never sees the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not self.whole and not self.too_large:
                    await self()


class _Answer:
    """Every answer's way out: with its headers, and with the end of a connection whose request was not read."""

    def __init__(self, send: Send, body: _Body, *, secure: bool) -> None:
        self._send, self._body, self._secure = send, body, secure
        self.began = False

    async def __call__(self, message: Message) -> None:
        if self._body.too_large and not self.began:
            return  # what the application makes of a client that has gone
        await self._out(message)

    async def refuse(self, status: int, code: str, detail: str, hint: str) -> None:
        body = json.dumps({"title": detail, "status": status, "code": code, "detail": detail, "hint": hint}).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        self._body.too_large = True  # nothing more of it is read
        await self._out({"type": "http.response.start", "status": status, "headers": headers})
        await self._out({"type": "http.response.body", "body": body})

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._secure:
                headers["strict-transport-security"] = _A_YEAR
            await self._body.drain()
            if not self._body.whole:
                headers["connection"] = "close"  # else uvicorn would go on reading, for as long as somebody sends
        await self._send(message)


def _announced(headers: Headers) -> int:
    """What the request says it sends; where it does not say, it is counted as it comes."""
    said = headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() else 0
