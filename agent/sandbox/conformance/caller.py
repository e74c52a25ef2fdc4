"""Requests to a server that may be anything, and its answers, each held against the contract as it arrives."""

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from uuid import uuid4

import httpx

from agent.sandbox.conformance.contract import Contract
from agent.sandbox.conformance.verdicts import Failed, shown

LARGEST_JSON = 8 * 1024 * 1024
LARGEST_FILE = 512 * 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_MOST_TRIES = 4
_NOT_NOW = (429, 503)
_MOST_DIGITS = 30


@dataclass(frozen=True)
class Patience:
    """How long the kit waits, in seconds. `call`: for one whole answer; `not_now`: for a server that says when to come back;
    `event`: for an event to come; `label`: for a label after a submission."""

    call: float = 30.0
    not_now: float = 30.0
    event: float = 10.0
    label: float = 30.0


@dataclass(frozen=True)
class Answer:
    """Read whole. `body`: its JSON, None where it is none."""

    status: int
    headers: httpx.Headers
    content: bytes
    body: Any = None

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    def told(self) -> str:
        return shown(f"{self.status} {self.code}".strip())


class Caller:
    """`may_act` False: nothing but GET is ever sent. `not_now_without_retry_after` counts answers that break that rule."""

    def __init__(self, http: httpx.Client, contract: Contract, url: str, token: str, patience: Patience, *, may_act: bool) -> None:
        self._http = http
        self._contract = contract
        self._url = url.rstrip("/")
        self._token = token
        self.patience = patience
        self.may_act = may_act
        self.not_now = 0
        self.not_now_without_retry_after: list[str] = []

    def call(
        self,
        operation: str,
        status: int | Collection[int] = 200,
        code: str = "",
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        **ids: str,
    ) -> Answer:
        """One operation. Failed where the answer is not the contract's, or not of this status and code.

        `token` "" sends none, `key` "" sends no Idempotency-Key; a new one is made up where none is given.
        """
        request = self._request(operation, token, key, headers, query, body, content, ids)
        answer = self._patiently(request, operation)
        self._contract.check(operation, answer.status, answer.headers.get("content-type", ""), answer.body)
        allowed = {status} if isinstance(status, int) else set(status)
        wanted = f"{' or '.join(str(one) for one in sorted(allowed))} {code}".strip()
        if answer.status not in allowed or (code and answer.code != code):
            raise Failed(f"{wanted} from {operation}", answer.told())
        return answer

    def file(self, operation: str, *, byte_range: str = "", **ids: str) -> Answer:
        """A model or a label, over redirects: a signed address gets no token."""
        more = {"Range": byte_range} if byte_range else {}
        request = self._request(operation, None, None, more, None, None, None, ids)
        for _ in range(_MOST_REDIRECTS):
            answer = self._patiently(request, operation, LARGEST_FILE)
            if answer.status not in _REDIRECTS:
                return answer
            if answer.status != 307:
                raise Failed("307 where the bytes are elsewhere", str(answer.status), operation)
            target = urljoin(str(request.url), answer.headers.get("location", ""))
            if urlsplit(target).scheme not in ("http", "https"):
                raise Failed("a Location with 307 that leads somewhere", answer.headers.get("location", "none"), operation)
            request = self._http.build_request("GET", target, headers=more)
        raise Failed(f"the bytes after at most {_MOST_REDIRECTS} redirects", "another redirect", operation)

    @contextmanager
    def stream(self, headers: Mapping[str, str], query: Mapping[str, Any] | None = None) -> Iterator[Iterator[str]]:
        """The lines of the event stream, for `patience.event` seconds."""
        until = time.monotonic() + self.patience.event
        request = self._request("listEvents", None, None, {"Accept": "text/event-stream", **headers}, query, None, None, {})
        request.extensions["timeout"] = httpx.Timeout(self.patience.event).as_dict()
        with _reached("listEvents"):
            response = self._http.send(request, stream=True)
            try:
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != 200 or kind != "text/event-stream":
                    raise Failed("200 text/event-stream", shown(f"{response.status_code} {kind}"), "listEvents")
                yield _lines(response, until)
            finally:
                response.close()

    def _request(
        self,
        operation: str,
        token: str | None,
        key: str | None,
        headers: Mapping[str, str] | None,
        query: Mapping[str, Any] | None,
        body: Any,
        content: bytes | None,
        ids: Mapping[str, str],
    ) -> httpx.Request:
        declared = self._contract.operations[operation]
        if declared.method != "GET" and not self.may_act:
            raise RuntimeError(f"{operation} was called by a case that only reads")
        sent = dict(headers or {})
        if token != "":
            sent["Authorization"] = f"Bearer {self._token if token is None else token}"
        if declared.method != "GET" and key != "":
            sent["Idempotency-Key"] = key or str(uuid4())
        path = re.sub(r"\{(\w+)\}", lambda found: quote(ids[found[1]], safe=""), declared.path)
        return self._http.build_request(declared.method, self._url + path, headers=sent, params=query, json=body, content=content)

    def _patiently(self, request: httpx.Request, operation: str, largest: int = LARGEST_JSON) -> Answer:
        """Again, under the same key, where the server says when to come back."""
        until = time.monotonic() + self.patience.not_now
        for _ in range(_MOST_TRIES):
            answer = self._once(request, operation, largest)
            if answer.status not in _NOT_NOW:
                return answer
            self.not_now += 1
            told = answer.headers.get("retry-after", "")
            if not told:
                self.not_now_without_retry_after.append(f"{answer.status} from {operation} without Retry-After")
            pause = float(told) if re.fullmatch(r"\d{1,6}", told, re.ASCII) else 1.0
            if time.monotonic() + pause > until:
                break
            time.sleep(pause)
        raise Failed("an answer", f"{answer.told()} for too long", operation)

    def _once(self, request: httpx.Request, operation: str, largest: int) -> Answer:
        until = time.monotonic() + self.patience.call
        with _reached(operation):
            response = self._http.send(request, stream=True)
            try:
                content = _whole(response, until, largest, operation)
            finally:
                response.close()
        return Answer(response.status_code, response.headers, content, _json(response, content, operation))


def _whole(response: httpx.Response, until: float, largest: int, operation: str) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > largest:
            raise Failed(f"at most {largest} bytes", "more", operation)
        if time.monotonic() > until:
            raise Failed("a whole answer in time", f"{len(content)} bytes, and no end", operation)
    return bytes(content)


def _json(response: httpx.Response, content: bytes, operation: str) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith("json"):
        return None
    try:
        return json.loads(content, parse_int=_whole_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Failed("JSON", shown(content[:80].decode(errors="replace")), operation) from None


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number that nothing can be counted by")
    return int(digits)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _lines(response: httpx.Response, until: float) -> Iterator[str]:
    size = 0
    for line in response.iter_lines():
        size += len(line)
        yield line
        if time.monotonic() > until or size > LARGEST_JSON:
            return


@contextmanager
def _reached(operation: str) -> Iterator[None]:
    """The one place where httpx's errors become a case's."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise Failed("an answer in time", f"none ({type(error).__name__})", operation) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failed("an answer", shown(f"{type(error).__name__}: {error}"), operation) from error
