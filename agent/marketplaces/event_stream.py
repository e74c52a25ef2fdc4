"""Hearing of news at once: a stream of server-sent events, kept open beside the polling. Whatever goes wrong with it costs nothing but
the time until the next poll."""

import asyncio
import contextlib
import re
from typing import Any, NamedTuple

import httpx
import structlog
from pydantic import TypeAdapter, ValidationError

from agent.marketplaces.replies import retry_after_s

log = structlog.get_logger()

LONGEST_LINE = 16_384
LARGEST_DATA = 65_536
"""Bytes. What is longer is cut; such an event is then no JSON, and counts as news."""
ANSWER_S = 20.0
"""For the answer to begin. After that it may be silent."""
SILENT_S = 300.0
"""A stream without a byte for so long is opened again: its connection may be dead without either side knowing."""
STEADY_S = 10.0
"""A stream that stands for so long is a good one: the pauses begin anew."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
NOT_OFFERED_PAUSE_S = 3600.0
LEAST_GAP_S = 0.25
"""Between two returns for news, so that a flood of events is no flood of questions."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_NOT_OFFERED = (404, 405, 406, 501)
_NO_NEWS = frozenset({"order.updated", "label.ready", "message"})
"""Kinds that bring no offer and take none away; most of them echo our own acts."""
_EVENT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class ServerEvent(NamedTuple):
    """One event. `id` is the last one the stream has named, empty before the first."""

    id: str
    data: str


class EventParser:
    """Bytes as they come in, events as they are complete (HTML standard, 9.2.6). Its memory is bounded whatever is fed."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data = bytearray()
        self._id = b""
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that these bytes complete."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a line end
        self._after_cr = chunk.endswith(b"\r")
        *ends, rest = _LINE_END.split(chunk)
        events = [event for end in ends if (event := self._line(self._whole(end))) is not None]
        self._keep(rest)
        return events

    def _keep(self, part: bytes) -> None:
        self._rest += part[: LONGEST_LINE - len(self._rest)]

    def _whole(self, end: bytes) -> bytes:
        self._keep(end)
        line = bytes(self._rest)
        self._rest.clear()
        if self._first:
            self._first = False
            return line.removeprefix(_BOM)
        return line

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._complete()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data += (value + b"\n")[: LARGEST_DATA - len(self._data)]
        elif field == b"id" and _ID.fullmatch(value):
            self._id = value
        return None

    def _complete(self) -> ServerEvent | None:
        data = self._data.decode(errors="replace").removesuffix("\n")
        has_data = bool(self._data)
        self._data.clear()
        return ServerEvent(self._id.decode(), data) if has_data else None


class News:
    """Wakes whoever waits when an event comes that may concern offers. The first `wait` opens the stream, `aclose` ends it.

    `name` is for the log. A stream that ends is opened again where it was, after pauses that grow to LONGEST_PAUSE_S; one that the
    server does not offer is asked for again each NOT_OFFERED_PAUSE_S.
    """

    def __init__(self, name: str, client: httpx.AsyncClient, url: str) -> None:
        self._name = name
        self._client = client
        self._url = url
        self._last_id = ""
        self._tries = 0
        self._heard = asyncio.Event()
        self._not_before = 0.0
        self._task: asyncio.Task[None] | None = None

    async def wait(self, at_most_s: float) -> None:
        """Return when there is news, at the latest after `at_most_s`."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_open(), name=f"events of {self._name}")
            self._task.add_done_callback(self._tell_bug)
        now = asyncio.get_running_loop().time
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._heard.wait()
                await asyncio.sleep(max(0.0, self._not_before - now()))  # a pace, nothing to await
                self._not_before = now() + LEAST_GAP_S
        self._heard.clear()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _keep_open(self) -> None:
        while True:
            pause_s = await self._until_it_ends()
            await asyncio.sleep(pause_s)

    async def _until_it_ends(self) -> float:
        """Listen to one stream. Returns how long to wait before the next, in seconds."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._client.send(self._request(), stream=True)
            async with contextlib.aclosing(answer):
                if _is_stream(answer):
                    await self._listen(answer)
                    return self._ended("the marketplace ended it")
                return self._no_stream(answer)
        except httpx.ReadTimeout:
            return FIRST_PAUSE_S  # it was silent, which is no fault
        except TimeoutError:
            return self._ended("no answer in time")
        except httpx.HTTPError as error:
            return self._ended(str(error) or type(error).__name__)

    def _request(self) -> httpx.Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        return self._client.build_request("GET", self._url, headers=headers, timeout=httpx.Timeout(10.0, connect=5.0, read=SILENT_S))

    async def _listen(self, answer: httpx.Response) -> None:
        steady = asyncio.get_running_loop().call_later(STEADY_S, self._steady)
        parser = EventParser()
        try:
            async for chunk in answer.aiter_raw():
                for event in parser.feed(chunk):
                    self._last_id = event.id
                    if _is_news(event.data):
                        self._heard.set()
        finally:
            steady.cancel()

    def _steady(self) -> None:
        if self._tries > 1:
            log.info("event_stream_back", marketplace=self._name, after_tries=self._tries)
        self._tries = 0

    def _no_stream(self, answer: httpx.Response) -> float:
        if answer.is_success or answer.status_code in _NOT_OFFERED:
            log.info("event_stream_not_offered", marketplace=self._name, status=answer.status_code)
            return NOT_OFFERED_PAUSE_S
        if answer.is_client_error:
            self._last_id = ""  # perhaps it is this that the marketplace does not know any more
        return self._ended(f"the marketplace answered {answer.status_code}", retry_after_s(answer))

    def _ended(self, why: str, asked_s: float | None = None) -> float:
        """Streams are cut by proxies every now and then, which is not worth a word; one that does not come back is."""
        self._tries += 1
        if self._tries == 2:
            log.info("event_stream_lost", marketplace=self._name, why=why)
        return max(asked_s or 0.0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._tries - 1, 10)))

    def _tell_bug(self, task: asyncio.Task[None]) -> None:
        """An error nobody expected ended the stream for good. It is told; polling goes on."""
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("event_stream_bug", marketplace=self._name, exc_info=bug)


def _is_stream(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/event-stream"


def _is_news(data: str) -> bool:
    """Also what cannot be read: asking once too often is harmless."""
    try:
        return _EVENT.validate_json(data).get("kind") not in _NO_NEWS
    except ValidationError:
        return True
