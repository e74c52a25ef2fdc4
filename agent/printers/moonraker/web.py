"""Moonraker's HTTP side: uploads, and who it is that answers there. Only this file knows httpx."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.domain.values import one_line
from agent.printers.moonraker.access import MoonrakerAccess
from agent.printers.moonraker.answers import InfoAnswer, UploadAnswer, read
from agent.wire.jpeg import fetch_jpeg
from agent.wire.tls import public_trust

ANSWER_S = 10.0
"""For a whole question, from connecting to the last byte of the answer."""
_CONNECT_S = 3.0
SEND_STALL_S = 30.0
"""For one piece of an upload: an SD card that is flushed takes nothing for seconds."""
SLOWEST_UPLOAD_BYTES_S = 50_000
STORED_S = 330.0
"""Moonraker answers an upload only when it has searched the file for metadata; its own limit for that is 300 s at most."""
APART_S = (4.0, 8.0, 16.0, 32.0)
"""The longest wait before each further try, at random from a quarter of it: two uploads that collided must not begin in one second
again, and with these they do in all of them once in thousands of times."""
LARGEST_ANSWER = 1_048_576
_ITS_PORT = "Moonraker's own port is 7125 unless it was changed."
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Identity:
    """What Moonraker says of itself over HTTP. `instance_name` None: not told."""

    mqtt_works: bool
    instance_name: str | None
    broker: str


class Web:
    """One Moonraker over HTTP. No redirect is followed, and the key goes to it only."""

    def __init__(self, access: MoonrakerAccess) -> None:
        self._base, self._key, self._tls = access.url.rstrip("/"), access.api_key, access.tls
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        timeout = httpx.Timeout(ANSWER_S, connect=_CONNECT_S)
        self._client = httpx.AsyncClient(verify=self._tls or public_trust(), timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._client = None

    async def identity(self) -> Identity:
        """Who answers at the address. NeedsOperator: a wrong key, not Moonraker, no TLS; Transient: away."""
        info = read(InfoAnswer, await self._get_result("/server/info"))
        config = await self._get_result("/server/config")
        parsed = config.get("config") if isinstance(config, dict) else None
        mqtt = parsed.get("mqtt") if isinstance(parsed, dict) else None
        said: dict[str, object] = mqtt if isinstance(mqtt, dict) else {}
        name = said.get("instance_name")
        return Identity(
            mqtt_works="mqtt" in info.components and "mqtt" not in info.failed_components,
            instance_name=name if isinstance(name, str) else None,
            broker=one_line(f"{said.get('address', '?')}:{said.get('port', '?')}")[:200],
        )

    async def upload(self, gcode: Path, name: str) -> None:
        """Stream the file into the gcodes folder, in flat memory, and read it back. Tried again where it was mixed with another.

        Moonraker's own check is of what it received. But it names its temporary file by the second, in a folder that all Moonrakers of a
        machine share: of two uploads that begin together one ends with 500, or is stored with the other's lines in it. Seen with 0.11.0.
        """
        for longest_s in APART_S:
            try:
                return await self._upload_once(gcode, name)
            except Transient as mixed:
                if mixed.code not in ("http_500", "damaged"):
                    raise
            await asyncio.sleep(random.uniform(longest_s / 4, longest_s))
        return await self._upload_once(gcode, name)

    async def _upload_once(self, gcode: Path, name: str) -> None:
        size, checksum = gcode.stat().st_size, await asyncio.to_thread(_sha256, gcode)
        sending_s = SEND_STALL_S + size / SLOWEST_UPLOAD_BYTES_S
        stored = await self._send(gcode, name, checksum, sending_s + STORED_S)
        if stored != name:
            hint = "This is a fault of the agent; please report it."
            raise Refused(f"Moonraker stored {name} as {one_line(stored[:200])}.", hint=hint, code="renamed")
        if await self._stored_sha256(name, sending_s) != checksum:
            await self._remove(name)
            hint = "It is sent again. Did somebody else upload at the same time?"
            raise Transient("What Moonraker stored is not what was sent.", hint=hint, code="damaged")

    async def _send(self, gcode: Path, name: str, checksum: str, limit_s: float) -> str:
        """The path that Moonraker gave it."""
        form = {"root": "gcodes", "print": "false", "checksum": checksum}
        timeout = httpx.Timeout(_CONNECT_S, write=SEND_STALL_S, read=STORED_S)
        url = self._base + "/server/files/upload"
        with gcode.open("rb") as file:
            parts = {"file": (name, file, "application/octet-stream")}
            async with self._exchange("POST", url, limit_s, data=form, files=parts, timeout=timeout) as answer:
                return read(UploadAnswer, _json(await _body(answer, LARGEST_ANSWER))).item.path

    async def _stored_sha256(self, name: str, limit_s: float) -> str:
        digest = hashlib.sha256()
        async with self._exchange("GET", f"{self._base}/server/files/gcodes/{name}", limit_s) as answer:
            async for piece in answer.aiter_bytes():
                digest.update(piece)
        return digest.hexdigest()

    async def _remove(self, name: str) -> None:
        async with self._exchange("DELETE", f"{self._base}/server/files/gcodes/{name}", ANSWER_S) as answer:
            await _body(answer, LARGEST_ANSWER)

    async def picture(self, address: str) -> bytes:
        """A JPEG. An address without a host is looked for where Moonraker answers, and on the host's own port: the page's proxy serves
        cameras there."""
        first, *others = self._places(address)
        try:
            return await fetch_jpeg(first, self._headers(first))
        except AgentError:
            if not others:
                raise
        return await fetch_jpeg(others[0], self._headers(others[0]))

    def _places(self, address: str) -> list[str]:
        if urlsplit(address).netloc:
            return [address]
        base = urlsplit(self._base)
        path = "/" + address.lstrip("/")
        ways = [base.netloc] if base.port in (None, _PORTS.get(base.scheme)) else [base.netloc, base.hostname or ""]
        return [f"{base.scheme}://{netloc}{path}" for netloc in ways]

    async def _get_result(self, path: str) -> object:
        async with self._exchange("GET", self._base + path, ANSWER_S) as answer:
            said = _json(await _body(answer, LARGEST_ANSWER))
        return said.get("result") if isinstance(said, dict) else None

    @asynccontextmanager
    async def _exchange(self, method: str, url: str, limit_s: float, **kwargs: object) -> AsyncIterator[httpx.Response]:
        """The one place where httpx's errors become the domain's. `limit_s` is for all of it, the answer's body included."""
        assert self._client is not None, "the printer was not entered"
        try:
            async with asyncio.timeout(limit_s), self._client.stream(method, url, headers=self._headers(url), **kwargs) as answer:  # type: ignore[arg-type]
                await _check(answer)
                yield answer
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Transient("Moonraker did not answer in time over HTTP.", hint="Is url right?", code="timeout") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            raise NeedsOperator("url is no web address.", hint="Give it as http://host:7125.", code="bad_url") from error
        except httpx.RequestError as error:
            raise _unreachable(error) from error

    def _headers(self, url: str) -> dict[str, str]:
        if not self._key or urlsplit(url).netloc != urlsplit(self._base).netloc:
            return {}
        if not (self._key.isascii() and self._key.isprintable()):
            raise NeedsOperator("The API key has characters that no key has.", hint="Copy it anew.", code="wrong_key")
        return {"X-Api-Key": self._key}


def _unreachable(error: httpx.RequestError) -> AgentError:
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    what = one_line(str(getattr(cause, "strerror", "") or cause)[:200])
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return NeedsOperator(f"The certificate at url is not to be trusted: {what}.", hint="Is url right?", code="bad_certificate")
    return Transient(f"Moonraker cannot be reached over HTTP: {what}.", hint="Is it switched on, and is url right?", code="unreachable")


async def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    words = _words(await _body(answer, LARGEST_ANSWER), answer.reason_phrase)
    if status == 401:
        hint = "Put Moonraker's API key into the printer's api_key_file, or this machine among its trusted_clients."
        raise NeedsOperator(f"Moonraker refuses the key: {words}.", hint=hint, code="wrong_key")
    if 300 <= status < 400:
        to = one_line(answer.headers.get("Location", "?")[:200])
        raise Refused(f"Moonraker answers with a redirect to {to}.", hint="Put that address into url.", code="redirected")
    if status in (404, 405, 501):
        raise NeedsOperator(
            f"What answers at url is not Moonraker ({status}).",
            hint=_ITS_PORT,
            code="not_moonraker",
        )
    if status >= 500:
        raise Unsound(f"Moonraker answers {status}: {words}.", hint="It may be starting, or its disk is full.", code=f"http_{status}")
    raise _refusal(status, words)


def _refusal(status: int, words: str) -> AgentError:
    match status:
        case 403:
            return Refused(
                f"Moonraker does not take the file: {words}.", hint="It cannot be replaced while it is printed.", code="conflict"
            )
        case 413:
            return Refused(f"Moonraker does not take the file: {words}.", hint="Is max_upload_size too low there?", code="upload_refused")
        case 422:
            return Transient(f"The file was damaged on its way: {words}.", hint="It is sent again.", code="damaged")
        case _:
            return Refused(f"Moonraker answers {status}: {words}.", code=f"http_{status}")


def _words(body: bytes, otherwise: str) -> str:
    """The server's own reason, without a page of HTML or a traceback around it."""
    try:
        said = _json(body)
    except AgentError:
        return one_line(otherwise[:200])
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return one_line(str(message)[:300]) if message else one_line(otherwise[:200])


async def _body(answer: httpx.Response, most: int) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > most:
            raise Unsound("The answer is too large.", hint="Does something else answer at that address?", code="too_large")
    return bytes(body)


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NeedsOperator("What answers at url is not Moonraker.", hint=_ITS_PORT, code="not_moonraker") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
