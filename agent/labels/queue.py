"""One print queue: CUPS on this or another machine, or a network printer itself. All of IPP and HTTP stays here."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.label import LabelPrint, PrintEnd
from agent.labels.address import address_of
from agent.labels.ipp import Answer, Attributes, Malformed, Operation, Plain, Tag, answer, request
from agent.wire.tls import public_trust

USER = "intagly-agent"
CUPS_SOCKET = Path("/run/cups/cups.sock")
_ANSWER_S, _LOOK_S = 30.0, 0.5
_LARGEST_ANSWER = 4_000_000
_PENDING, _HELD, _PROCESSING, _STOPPED, _CANCELLED, _ABORTED, _COMPLETED = range(3, 10)
_QUEUE_STOPPED = 5
_NOT_FOUND, _NOT_ACCEPTING = 0x0406, 0x0506
_NOT_ALLOWED = frozenset({0x0401, 0x0402, 0x0403})
_LATER = frozenset({0x0500, 0x0502, 0x0505, 0x0507})
_NO_REASONS = frozenset({"none", "job-printing", "job-incoming", "processing-to-stop-point"})
_HEADERS = {"Content-Type": "application/ipp"}
_JOB = ("job-id", "job-name", "job-state", "job-state-reasons", "job-printer-state-message", "job-state-message")
_PRINTER = (
    *("printer-state", "printer-state-reasons", "printer-state-message", "printer-is-accepting-jobs"),
    *("media-supported", "document-format-supported", "print-scaling-supported"),
)


class NotSent(Transient):
    """Nothing of it arrived there."""


class QueueFacts(NamedTuple):
    media: Sequence[str]
    formats: Sequence[str]
    says: str


class Queue:
    """`address`: the name of a queue of CUPS on this machine, or ipp://HOST[:PORT]/PATH, ipps://… of any other.

    Every method: Transient where it is away, NeedsOperator where a person must let us in, Refused where there is no such queue.
    """

    def __init__(self, address: str, socket: Path = CUPS_SOCKET) -> None:
        self.uri, self._url, here = address_of(address)
        self._socket = socket if here and socket.exists() else None

    async def facts(self) -> QueueFacts:
        about: Attributes = {**self._about(), "requested-attributes": (Tag.KEYWORD, _PRINTER)}
        told = _only(await self._done(Operation.GET_PRINTER_ATTRIBUTES, about))
        if told.get("printer-is-accepting-jobs") == [False]:
            raise NeedsOperator(
                f"The queue {self.uri} takes no jobs: {_says(told, 'printer') or 'it does not say why'}.",
                hint="Let it take jobs again (CUPS: `cupsaccept`), then print again.",
                code="queue_rejects",
            )
        return QueueFacts(_texts(told, "media-supported"), _texts(told, "document-format-supported"), _says(told, "printer"))

    async def print(self, pdf: Path, name: str, media: str, *, fit: bool) -> int:
        """The queue's number for the job. NotSent: nothing arrived. Transient else: it may have, look for `name`."""
        about: Attributes = {
            **self._about(),
            "job-name": (Tag.NAME, name),
            "document-format": (Tag.MIME_TYPE, "application/pdf"),
        }
        job: Attributes = {
            "copies": (Tag.INTEGER, 1),
            "media": (Tag.KEYWORD, media),
            "print-scaling": (Tag.KEYWORD, "fit" if fit else "none"),
            "sides": (Tag.KEYWORD, "one-sided"),
        }
        content = await asyncio.to_thread(pdf.read_bytes)
        made = _only(await self._done(Operation.PRINT_JOB, about, job, content))
        return _number(made, "job-id")

    async def find(self, name: str) -> int | None:
        """The number of the job of that name, also of one that has ended; None where the queue knows none."""
        for which in ("not-completed", "completed"):
            about: Attributes = {
                **self._about(),
                "which-jobs": (Tag.KEYWORD, which),
                "requested-attributes": (Tag.KEYWORD, _JOB),
            }
            for job in (await self._done(Operation.GET_JOBS, about)).groups:
                if job.get("job-name") == [name]:
                    return _number(job, "job-id")
        return None

    async def follow(self, job: int, patience_s: float) -> LabelPrint:
        """Until it has ended; no longer than this where it waits. It is looked at: queues call nobody."""
        until = time.monotonic() + patience_s
        while True:
            told = await self._job(job)
            state, why = _number(told, "job-state"), _says(told, "job")
            if state == _COMPLETED:
                return LabelPrint(queue=self.uri, job=job, end=PrintEnd.COMPLETED)
            if state in (_CANCELLED, _ABORTED):
                how = "it was cancelled" if state == _CANCELLED else "it was given up"
                return LabelPrint(queue=self.uri, job=job, end=PrintEnd.FAILED, why=_joined(how, why))
            stopped, says = await self._stopped()
            if state in (_HELD, _STOPPED) or (stopped and state == _PENDING) or time.monotonic() >= until:
                return LabelPrint(queue=self.uri, job=job, end=PrintEnd.WAITING, why=_joined(why, says) or "it waits in the queue")
            await asyncio.sleep(_LOOK_S)

    async def _stopped(self) -> tuple[bool, str]:
        """Whether somebody has to start the queue again, and what it says of itself."""
        about: Attributes = {**self._about(), "requested-attributes": (Tag.KEYWORD, _PRINTER)}
        told = _only(await self._done(Operation.GET_PRINTER_ATTRIBUTES, about))
        return told.get("printer-state") == [_QUEUE_STOPPED], _says(told, "printer")

    async def names(self) -> list[str]:
        """The queues of that CUPS; empty where it is none."""
        wanted: Attributes = {"requested-attributes": (Tag.KEYWORD, ("printer-name",))}
        told = await self._asked(Operation.CUPS_GET_PRINTERS, wanted)
        return [name for printer in told.groups for name in _texts(printer, "printer-name")] if told.done else []

    async def _job(self, job: int) -> Mapping[str, list[Plain]]:
        about: Attributes = {
            "printer-uri": (Tag.URI, self.uri),
            "job-id": (Tag.INTEGER, job),
            "requesting-user-name": (Tag.NAME, USER),
            "requested-attributes": (Tag.KEYWORD, _JOB),
        }
        return _only(await self._done(Operation.GET_JOB_ATTRIBUTES, about))

    def _about(self) -> dict[str, tuple[Tag, Any]]:
        return {"printer-uri": (Tag.URI, self.uri), "requesting-user-name": (Tag.NAME, USER)}

    async def _done(self, operation: Operation, about: Attributes, job: Attributes | None = None, document: bytes = b"") -> Answer:
        told = await self._asked(operation, about, job, document)
        if told.done:
            return told
        why = "; ".join(_texts(told.operation, "status-message")) or f"status {told.status:#06x}"
        if told.status == _NOT_FOUND and operation is not Operation.GET_JOB_ATTRIBUTES:
            known = ", ".join(await self.names())
            raise Refused(f"There is no queue {self.uri}.", hint=f"Queues there: {known or 'none'}.", code="no_such_queue")
        if told.status in _NOT_ALLOWED:
            raise NeedsOperator(f"{self.uri} does not let the agent print: {why}", hint="Allow it there.", code="not_allowed")
        if told.status in _LATER or told.status == _NOT_ACCEPTING:
            raise NotSent(f"{self.uri} takes nothing now: {why}", hint="Look at the printer and its queue.", code="queue_busy")
        raise Refused(f"{self.uri} refused: {why}", hint="Look at the printer and its queue.", code="print_refused")

    async def _asked(self, operation: Operation, about: Attributes, job: Attributes | None = None, document: bytes = b"") -> Answer:
        message = request(operation, about, job) + document
        try:
            async with (
                asyncio.timeout(_ANSWER_S),
                self._client() as client,
                client.stream("POST", self._url, content=message, headers=_HEADERS) as response,
            ):
                return await self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            hint = "Is it on, and CUPS running? `lpstat -t` tells on this machine."
            raise NotSent(f"{self.uri} cannot be reached: {error}", hint=hint, code="queue_away") from error
        except (TimeoutError, httpx.HTTPError, Malformed) as error:
            raise Transient(
                f"{self.uri} does not answer as a printer: {type(error).__name__} {error}", hint="Look at the printer."
            ) from error

    async def _read(self, response: httpx.Response) -> Answer:
        if response.status_code in (401, 403):
            raise NeedsOperator(f"{self.uri} does not let the agent in.", hint="Allow this machine to print there.", code="not_allowed")
        if response.status_code == 404:
            return Answer(_NOT_FOUND, {}, [])
        if response.status_code != 200:
            raise Malformed(f"HTTP {response.status_code}")
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > _LARGEST_ANSWER:
                raise Malformed("an answer without end")
        return answer(bytes(content))

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        # trust_env False: a proxy of the account has no business in the operator's own network.
        trust = public_trust()
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket), verify=trust) if self._socket else None
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_S, transport=transport, verify=trust) as client:
            yield client


def _only(told: Answer) -> Mapping[str, list[Plain]]:
    return told.groups[0] if told.groups else {}


def _texts(told: Mapping[str, list[Plain]], name: str) -> list[str]:
    return [value for value in told.get(name, []) if isinstance(value, str)]


def _number(told: Mapping[str, list[Plain]], name: str) -> int:
    value = next(iter(told.get(name, [])), None)
    if not isinstance(value, int):
        raise Transient(f"The printer does not say its {name}.", hint="Look at the printer.")
    return value


def _says(told: Mapping[str, list[Plain]], who: str) -> str:
    """Its own words and reasons; `none` is no reason."""
    reasons = [reason for reason in _texts(told, f"{who}-state-reasons") if reason not in _NO_REASONS]
    messages = [*_texts(told, f"{who}-state-message"), *_texts(told, f"{who}-printer-state-message")]
    return _joined(*messages, *reasons)


def _joined(*parts: str) -> str:
    return "; ".join(dict.fromkeys(part.strip().rstrip(".") for part in parts if part.strip()))
