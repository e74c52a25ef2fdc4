"""Servers that break one promise of the contract each: the sandbox marketplace, with its answers or requests changed on the way."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

from tests.sandbox.stall import API_PATH

Send = Callable[[httpx.Request], httpx.Response]
Break = Callable[[httpx.Request, Send], httpx.Response]
Edit = Callable[[Any], object]
_keys = count(1)


class Broken(httpx.BaseTransport):
    """To the client it is the server."""

    def __init__(self, how: Break) -> None:
        self._how = how
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._how(request, self._wire.handle_request)

    def close(self) -> None:
        self._wire.close()


class Edited(httpx.SyncByteStream):
    """A stream with its lines changed; None drops one."""

    def __init__(self, inner: httpx.Response, change: Callable[[str], str | None]) -> None:
        self._inner, self._change = inner, change

    def __iter__(self) -> Iterator[bytes]:
        for line in self._inner.iter_lines():
            if (changed := self._change(line)) is not None:
                yield f"{changed}\n".encode()

    def close(self) -> None:
        self._inner.close()


def is_for(request: httpx.Request, method: str, path: str) -> bool:
    """`path`: without the API's beginning, `*` for an id."""
    pattern = re.escape(path).replace(r"\*", "[^/]+")
    return request.method == method and re.fullmatch(API_PATH + pattern, request.url.path) is not None


def answer(given: httpx.Response, *, status: int = 0, body: object = None, content: bytes | None = None, **headers: str) -> httpx.Response:
    """The same answer with these changes; a header of "" is left out."""
    if content is None:
        content = given.read() if body is None else json.dumps(body).encode()
    kept = {name: value for name, value in given.headers.items() if name not in ("content-length", "transfer-encoding")}
    kept |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return httpx.Response(status or given.status_code, headers={name: value for name, value in kept.items() if value}, content=content)


def request_with(
    request: httpx.Request, *, content: bytes | None = None, query: dict[str, str | None] | None = None, **headers: str
) -> Any:
    """The same request with these changes; None leaves a query out, "" a header."""
    kept = {name: value for name, value in request.headers.items() if name != "content-length"}
    kept |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
    asked = {**dict(parse_qsl(request.url.query.decode())), **(query or {})}
    url = request.url.copy_with(query=urlencode({name: value for name, value in asked.items() if value is not None}).encode())
    body = request.read() if content is None else content
    return httpx.Request(request.method, url, headers={name: value for name, value in kept.items() if value}, content=body)


def fresh_key() -> str:
    return f"mutant-key-{next(_keys)}"


# --- ways to break something --------------------------------------------------------------------------------------


def says(method: str, path: str, edit: Edit, *, only: int = 200) -> Break:
    """The JSON of this answer is edited in place, or is what the edit returns."""

    def broken(request: httpx.Request, send: Send) -> httpx.Response:
        given = send(request)
        if not is_for(request, method, path) or given.status_code != only or "event-stream" in given.headers["content-type"]:
            return given
        given.read()
        body = given.json()
        edited = edit(body)
        return answer(given, body=edited if isinstance(edited, dict) else body)

    return broken


def answers(method: str, path: str, *, when: int = 200, **changes: Any) -> Break:
    """What was answered with status `when` is answered otherwise."""

    def broken(request: httpx.Request, send: Send) -> httpx.Response:
        given = send(request)
        return answer(given, **changes) if is_for(request, method, path) and given.status_code == when else given

    return broken


def instead(method: str, path: str, status: int, body: object = None, *, calls: int = 10**9) -> Break:
    """Nothing is done; this is the answer, the first time or always."""
    left = [calls]

    def broken(request: httpx.Request, send: Send) -> httpx.Response:
        if not is_for(request, method, path) or left[0] <= 0:
            return send(request)
        left[0] -= 1
        return httpx.Response(status, json=body) if body is not None else httpx.Response(status)

    return broken


def hears(method: str, path: str, **changes: Any) -> Break:
    """The server takes another request for the one that was sent; a change may be made by a function of the request."""

    def broken(request: httpx.Request, send: Send) -> httpx.Response:
        if not is_for(request, method, path):
            return send(request)
        return send(request_with(request, **{name: change(request) if callable(change) else change for name, change in changes.items()}))

    return broken


def streams(change: Callable[[str], str | None]) -> Break:
    """The lines of the event stream are changed."""

    def broken(request: httpx.Request, send: Send) -> httpx.Response:
        given = send(request)
        if "event-stream" not in given.headers.get("content-type", ""):
            return given
        return httpx.Response(given.status_code, headers=given.headers, stream=Edited(given, change))

    return broken


def whole(request: httpx.Request, send: Send) -> httpx.Response:
    """Nothing is broken."""
    return send(request)
