"""OctoPrint (seen with 1.11.8 and its virtual printer; not seen on hardware).

OctoPrint has no job id: the file's path is the only key, so every attempt has a name of its own. A file's history (`prints`) is
written when a print ends, and survives a restart of OctoPrint; the selection does not. See docs/decisions/0003.

A print that is cut off while it is paused (connection lost, OctoPrint killed) leaves no history at all: seen, and asked of a person.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient, Unsound
from agent.domain.printer import BUSY, PrinterFacts, PrinterObservation, PrinterState, Temperatures, away
from agent.ports.printer import NO_CAMERA
from agent.printers import names
from agent.printers.bounded_http import ANSWER_S, CONNECT_ALL_S
from agent.printers.octorest_client import STORED_S, JobAnswer, OctoPrintClient, sending_s, translated
from agent.wire.jpeg import fetch_jpeg

_Answer = TypeVar("_Answer")

_STATES = {
    "Operational": PrinterState.IDLE,
    "Starting": PrinterState.PREPARING,
    "Transferring": PrinterState.PREPARING,
    "Sending": PrinterState.PREPARING,
    "Printing": PrinterState.PRINTING,
    "Resuming": PrinterState.PRINTING,
    "Pausing": PrinterState.PRINTING,
    "Cancelling": PrinterState.PRINTING,
    "Finishing": PrinterState.PRINTING,
    "Paused": PrinterState.PAUSED,
    "Offline": PrinterState.OFFLINE,
    "Error": PrinterState.OFFLINE,
    "Closed": PrinterState.OFFLINE,
    "Opening": PrinterState.OFFLINE,
    "Detecting": PrinterState.OFFLINE,
    "Connecting": PrinterState.OFFLINE,
}
"""By the first word of OctoPrint's state text (util/comm.py, getStateString). Pausing, cancelling and finishing still print: the job is
active until it says otherwise. Opening, detecting and connecting are OctoPrint finding its printer: no job of anybody."""

HISTORY_LAG_S = 1.0
"""OctoPrint writes a file's history in a thread of its own. Seen 4 to 50 ms before the state changes, but nothing orders the two."""

THREADS = 3
"""The watch's look, the order's step (an upload may take minutes), and a person's word at the same time."""
_TURN_S = 3.0
"""A call that had to wait longer for a thread is not made. With CONNECT_ALL_S this says: what is sent is sent within 9 s or never,
which is what the workflow's `Pace.request_on_its_way_s` counts on."""
_CALL_S = _TURN_S + 2 * (CONNECT_ALL_S + ANSWER_S) + 2.0
"""For a call and the look that may go with it. Their own limits come first; only a name server that hangs takes longer."""


class OctoPrintPrinter:
    """Implements ports.printer.Printer. Its threads are its own: a printer that hangs delays no other."""

    def __init__(self, facts: PrinterFacts, url: str, api_key: str, snapshot_url: str = "") -> None:
        self._facts = facts
        self._snapshot_url = snapshot_url
        self._client = OctoPrintClient(url, api_key)
        self._threads: ThreadPoolExecutor | None = None
        self._confirmed = ""
        """The last job whose end the history confirmed: each look at a file makes 1.11.8 log a traceback."""

    @property
    def facts(self) -> PrinterFacts:
        return self._facts

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"octoprint {self._facts.name}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Waits for nothing: calls at work are ended, those that wait are not made."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        self._threads = None

    async def observe(self) -> PrinterObservation:
        try:
            return await self._ask(self._observe)
        except AgentError as why:
            return away(why)

    async def upload(self, gcode: Path, remote_name: str) -> None:
        """Streams in flat memory, and selects the file: the witness that lets `never_started` be proved."""
        name, limit_s = names.safe(remote_name), sending_s(gcode) + STORED_S + _CALL_S
        stored = await self._ask(lambda: self._client.upload_selected(gcode, name), limit_s)
        if stored != name:
            raise Refused(f"OctoPrint stored {name} as {stored}.", hint="This is a fault of the agent; please report it.", code="renamed")

    async def start(self, remote_name: str) -> None:
        name = names.safe(remote_name)
        await self._ask(lambda: self._start(name))

    async def never_started(self, remote_name: str) -> bool:
        name = names.safe(remote_name)
        if not await self._ask(lambda: self._never_started(name)):
            return False
        await asyncio.sleep(HISTORY_LAG_S)  # a print that just ended could slip between the look at the job and the one at the file
        return await self._ask(lambda: self._never_started(name))

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        """Looks twice before it says that there is no record: `None` makes the workflow ask a person."""
        name = names.safe(remote_name)
        if (end := await self._ask(lambda: self._outcome(name))) is not None:
            return end
        await asyncio.sleep(HISTORY_LAG_S)
        return await self._ask(lambda: self._outcome(name))

    async def pause(self, remote_name: str) -> None:
        await self._ask(lambda: self._if_ours(remote_name, self._client.pause))

    async def resume(self, remote_name: str) -> None:
        await self._ask(lambda: self._if_ours(remote_name, self._client.resume))

    async def cancel(self, remote_name: str) -> None:
        await self._ask(lambda: self._if_ours(remote_name, self._client.cancel))

    async def temperatures(self) -> Temperatures:
        now = await self._ask(self._client.heaters)
        return Temperatures(nozzle_c=now.tool0.actual, nozzle_target_c=now.tool0.target, bed_c=now.bed.actual, bed_target_c=now.bed.target)

    async def snapshot(self) -> bytes:
        """From the camera's own address: the one OctoPrint knows is often good only on the machine it runs on."""
        if not self._snapshot_url:
            hint = "Set snapshot_url in the printer's file, where it has one."
            raise NeedsOperator(f"{self._facts.name} has no camera.", hint=hint, code=NO_CAMERA)
        return await fetch_jpeg(self._snapshot_url)

    async def _ask(self, call: Callable[[], _Answer], limit_s: float = _CALL_S) -> _Answer:
        assert self._threads is not None, "the printer was not entered"
        asked = time.monotonic()
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: translated(lambda: _in_turn(call, asked)))
        except TimeoutError as error:
            raise Transient("OctoPrint did not answer in time.", hint="Does the name server answer?", code="timeout") from error

    # --- in a thread ------------------------------------------------------------------------------------------------

    def _observe(self) -> PrinterObservation:
        """A new selection has its name for a moment before the progress of the one before it is taken back (printer/standard.py,
        select_file), so 100 % are believed only where the file's history does not deny them. No history: a print from the SD card."""
        seen = _observation(self._client.job())
        if seen.state is PrinterState.FINISHED and seen.remote_name != self._confirmed:
            prints = self._client.prints(seen.remote_name)
            if prints is not None and not prints.success:
                return _IDLE
            self._confirmed = seen.remote_name
        return seen

    def _start(self, name: str) -> None:
        """Sent once. Where OctoPrint refuses because this very job is at work already (a doubled request), it is started all the same."""
        try:
            self._client.print_file(name)
        except Refused:
            if not _is_at(self._client.job(), name):
                raise

    def _never_started(self, name: str) -> bool:
        """Still selected, so OctoPrint has run all the time and nobody chose another file; idle; not a byte sent; no history."""
        job, prints = self._client.job(), self._client.prints(name)
        untouched = prints is not None and not prints.success and not prints.failure
        return untouched and _state(job) is PrinterState.IDLE and job.file_name == name and not job.completion

    def _outcome(self, name: str) -> PrinterObservation | None:
        """One success is enough: a person may have printed the file again. A bad end closes the connection, unless it was a cancel.

        What is being cancelled is in the history a little before its state changes: until then it has not ended.
        """
        prints = self._client.prints(name)
        if prints is None or not (prints.success or prints.failure):
            return None
        if prints.success:
            return PrinterObservation(state=PrinterState.FINISHED, remote_name=name, progress=1.0)
        job = self._client.job()
        if _is_at(job, name):
            return None
        if job.file_name == name and _state(job) is PrinterState.IDLE:
            return PrinterObservation(state=PrinterState.CANCELLED, remote_name=name, reason="cancelled in OctoPrint or at the printer")
        return PrinterObservation(state=PrinterState.FAILED, remote_name=name, reason="OctoPrint's history says that it did not end well")

    def _if_ours(self, name: str, act: Callable[[], None]) -> None:
        """OctoPrint's pause, resume and cancel name no job: the look before is all there is."""
        if not _is_at(self._client.job(), name):
            raise Refused(f"{self._facts.name} is not at {name}.", hint="It may have ended already.", code="not_active")
        act()


def _in_turn(call: Callable[[], _Answer], asked: float) -> _Answer:
    if time.monotonic() - asked > _TURN_S:
        raise Unsound("OctoPrint has not answered earlier calls yet.", hint="Is the machine it runs on overloaded?", code="busy")
    return call()


def _state(job: JobAnswer) -> PrinterState | None:
    return _STATES.get(job.state.split(" ")[0].rstrip(":"))


def _is_at(job: JobAnswer, name: str) -> bool:
    return job.file_name == name and _state(job) in BUSY


def _observation(job: JobAnswer) -> PrinterObservation:
    state, done = _state(job), min(1.0, max(0.0, (job.completion or 0.0) / 100))
    if state in BUSY:
        why = "paused at the printer or in OctoPrint" if state is PrinterState.PAUSED else ""
        return PrinterObservation(state=state, remote_name=job.file_name, progress=done, seconds_left=job.seconds_left, reason=why)
    if state is PrinterState.IDLE:
        # 100 stays until another file is selected, or the connection is closed; a cancel sets it back to null.
        finished = done >= 1.0 and job.file_name
        return PrinterObservation(state=PrinterState.FINISHED, remote_name=job.file_name, progress=1.0) if finished else _IDLE
    why = (job.error or "").strip() or f"OctoPrint is not ready to print: it says '{job.state}'"
    return PrinterObservation(state=PrinterState.OFFLINE, remote_name=job.file_name, reason=why, needs_attention=state is None)


_IDLE = PrinterObservation(state=PrinterState.IDLE)
