"""Bambu Lab printers in LAN mode with Developer Mode on. Seen against a simulated printer only; not seen on hardware.

A job's name is the printer's subtask name, its package is stored under the name + .3mf. The printer keeps no history: how a job ended is
known from what this process saw, and from what still stands in the report. See jobs.py for what that is worth after a restart.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.printer import MaterialSlot, PrinterFacts, PrinterObservation, Temperatures, away
from agent.ports.printer import NO_CAMERA
from agent.printers import names
from agent.printers.bambu import camera, codes, commands
from agent.printers.bambu.access import PICTURES_ON_PORT_6000, BambuAccess
from agent.printers.bambu.commands import Command
from agent.printers.bambu.conversation import Conversation
from agent.printers.bambu.ftps import ANSWER_S, PrinterFiles, sending_s
from agent.printers.bambu.jobs import Jobs
from agent.printers.bambu.package import ENDING, HEAD_BYTES, Filament, filament_in, packed, read_notes, require_account, require_model
from agent.printers.bambu.report import AT_WORK, PREPARING, RESTING, Report
from agent.printers.bambu.spools import spool_for
from agent.printers.bambu.starting import Start, no_developer_mode, not_sent, refusal
from agent.printers.bambu.trust import context_for

_Answer = TypeVar("_Answer")

_FILES_S = 6 * ANSWER_S
"""For a look at a stored file; its own limits come first, and only a name server that hangs takes longer."""
_PACKING_BYTES_S = 2_000_000
"""A Raspberry Pi packs some 8 MB of G-code a second."""
_DENIED = codes.HMS_DEVELOPER_MODE
_PREPARES_S = 10.0
_HMS_FOLLOWS_S = 2.0
"""An echo without a result may be followed by the message that nothing was done (P1S; read)."""


class BambuPrinter:
    """Implements ports.printer.Printer, Camera, Heats, MaterialSlots and ForgetsItsJobs."""

    def __init__(self, facts: PrinterFacts, access: BambuAccess) -> None:
        self._facts, self._access = facts, access
        self._jobs = Jobs()
        self._uploads: dict[str, int] = {}
        """Names this process uploaded and has started nothing of, with the connection that has been watched since."""
        self._filaments: dict[str, Filament] = {}
        self._starting = asyncio.Lock()

    @property
    def facts(self) -> PrinterFacts:
        return self._facts

    async def __aenter__(self) -> Self:
        context = context_for(self._access.ca_file, self._access.serial)
        self._context = context
        self._files = PrinterFiles(self._access, context)
        self._talk = Conversation(self._access, self._heard, self._jobs.connection_lost)
        await self._talk.__aenter__()
        name = self._facts.name
        self._file_thread = ThreadPoolExecutor(1, thread_name_prefix=f"bambu files {name}")
        self._camera_thread = ThreadPoolExecutor(1, thread_name_prefix=f"bambu camera {name}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Waits for no thread: an upload at work is given up."""
        self._files.give_up()
        self._file_thread.shutdown(wait=False, cancel_futures=True)
        self._camera_thread.shutdown(wait=False, cancel_futures=True)
        await self._talk.__aexit__(*exc)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def observe(self) -> PrinterObservation:
        try:
            await self._talk.settled()
        except AgentError as why:
            return away(why)
        return self._jobs.seen(self._talk.report, time.monotonic())

    async def never_started(self, remote_name: str) -> bool:
        """Only of what this process uploaded and did not start, while one connection watched: nobody else printed it either."""
        name = names.safe(remote_name)
        report = await self._report()
        watched = self._uploads.get(name) == self._talk.connection
        return watched and report.state in RESTING and report.name != name

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        """An end that was seen is known also while the printer is away; that there is no record is said only with the printer here."""
        name = names.safe(remote_name)
        if not self._talk.here and (end := self._jobs.end_of(name, None, time.monotonic())) is not None:
            return end
        report = await self._report()
        return self._jobs.end_of(name, report, time.monotonic())

    def was_at_work(self, remote_name: str) -> None:
        self._jobs.was_at_work(remote_name)

    async def temperatures(self) -> Temperatures:
        return (await self._report()).temperatures()

    async def slots(self) -> list[MaterialSlot]:
        report = await self._report()
        holder = report.holder()
        return [*report.trays().values(), *([holder] if holder else [])]

    async def snapshot(self) -> bytes:
        if self._access.model not in PICTURES_ON_PORT_6000:
            raise Refused(f"The camera of a {self._access.model} sends a stream, which the agent does not read.", code=NO_CAMERA)
        return await self._in_thread(self._camera_thread, partial(camera.snapshot, self._access, self._context), 3 * camera.LIMIT_S)

    # --- files ------------------------------------------------------------------------------------------------------

    async def upload(self, gcode: Path, remote_name: str) -> None:
        """Packs it on disk, sends it in flat memory, and believes only the size that the printer then tells."""
        name = names.safe(remote_name)
        notes = read_notes(gcode)
        require_model(notes, self._access.model)
        require_account(notes)
        report = await self._report()
        if report.name == name and report.state in AT_WORK:
            raise Refused(f"{self._facts.name} prints {name} now.", hint="A file at work is not replaced.", code="conflict")
        if self._access.use_ams and report.trays() and not notes.loads_from_ams:
            raise Refused(
                "This G-code does not take its filament from the AMS: it would be printed with whatever is loaded.",
                hint="Set use_ams = false and load the filament by hand, or use a profile whose start code has M620.",
                code="no_ams_code",
            )
        size = gcode.stat().st_size
        await self._in_thread(self._file_thread, partial(self._pack_and_send, gcode, name), sending_s(size) + size / _PACKING_BYTES_S)
        self._filaments[name] = notes.filament
        self._uploads[name] = self._talk.connection

    def _pack_and_send(self, gcode: Path, name: str) -> None:
        with packed(gcode, read_notes(gcode), self._access.model, self._access.work_dir) as (file, size):
            self._files.store(file, size, name + ENDING)

    async def _filament_of(self, name: str) -> Filament:
        """Refused where the file is not there, or is none of ours."""
        if await self._in_thread(self._file_thread, partial(self._files.size, name + ENDING), _FILES_S) is None:
            raise Refused(f"The printer has no file {name}{ENDING}.", hint="Was it deleted, or the memory card changed?", code="not_found")
        if name not in self._filaments:
            head = await self._in_thread(self._file_thread, partial(self._files.head, name + ENDING, HEAD_BYTES), _FILES_S)
            found = filament_in(head)
            if found is None:
                raise Refused(
                    f"{name}{ENDING} on the printer is not what the agent stored there.", hint="Was it replaced?", code="not_ours"
                )
            self._filaments[name] = found
        return self._filaments[name]

    # --- acting -----------------------------------------------------------------------------------------------------

    async def start(self, remote_name: str) -> None:
        """Sent once, at rest only. Then it waits until the job is at work or refused, which may take minutes: see starting.py."""
        name = names.safe(remote_name)
        async with self._starting:
            try:
                if self._is_at(await self._report(), name):
                    return
                command, start = await self._prepared(name)
            except (Transient, NeedsOperator) as away:
                raise not_sent(away) from away
            try:
                await start.run(command)
            except Refused:
                self._jobs.was_refused(name, start.job_id)
                raise
            self._filaments.pop(name, None)

    async def _prepared(self, name: str) -> tuple[Command, Start]:
        """Nothing is sent here; the last look is the one before it returns."""
        self._require_rest(self._talk.report)
        filament = await self._filament_of(name)
        report = await self._report()
        self._require_rest(report)
        spool = spool_for(filament, self._facts.materials, report.trays(), use_ams=self._access.use_ams)
        job_id = commands.minted_id(name, report.state)
        command = commands.project_file(name, name + ENDING, self._access.url_form, job_id, spool)
        self._uploads.pop(name, None)
        return command, Start(self._talk, name, job_id, report.error, report.hms)

    def _require_rest(self, report: Report) -> None:
        """A job that is sent to a busy A1 mini cancels the one at work (read)."""
        if report.state not in RESTING:
            raise Refused(f"{self._facts.name} is at work ({report.state}).", hint="Wait until it has ended.", code="conflict")

    async def pause(self, remote_name: str) -> None:
        """What is still being prepared may not be paused: that is waited for, for a moment."""
        name = names.safe(remote_name)
        try:
            await self._tell(name, commands.pause(), self._jobs.we_pause, unless="PAUSE")
        except Refused as refused:
            if refused.code != "refused" or not await self._talk.until(lambda report: report.state not in PREPARING, _PREPARES_S):
                raise
            await self._tell(name, commands.pause(), self._jobs.we_pause, unless="PAUSE")

    async def resume(self, remote_name: str) -> None:
        await self._tell(names.safe(remote_name), commands.resume(), _noted, unless="RUNNING")

    async def cancel(self, remote_name: str) -> None:
        await self._tell(names.safe(remote_name), commands.stop(), self._jobs.we_stop)

    async def _tell(self, name: str, command: Command, note: Callable[[str, bool], None], unless: str = "") -> None:
        """The commands name no job: the look before is all there is. Nothing is sent where it stands that way already."""
        report = await self._report()
        if not self._is_at(report, name):
            raise Refused(f"{self._facts.name} is not at {name}.", hint="It may have ended already.", code="not_active")
        if report.state == unless:
            return
        hms_before = report.hms
        note(name, True)
        try:
            answer = await self._talk.ask(command, qos=1)
            if (refused := refusal(answer)) is not None:
                raise refused
            if not answer.get("result") and await self._talk.until(lambda now: _DENIED in now.hms - hms_before, _HMS_FOLLOWS_S):
                raise no_developer_mode()
        except Refused:
            note(name, False)
            raise

    @staticmethod
    def _is_at(report: Report, name: str) -> bool:
        return report.name == name and report.state in AT_WORK

    # --- underneath -------------------------------------------------------------------------------------------------

    def _heard(self, report: Report) -> None:
        self._jobs.hear(report, time.monotonic())
        if report.state in AT_WORK:
            self._uploads.pop(report.name, None)

    async def _report(self) -> Report:
        """Raises why it is away where it is."""
        await self._talk.settled()
        return self._talk.report

    async def _in_thread(self, thread: ThreadPoolExecutor, call: Callable[[], _Answer], limit_s: float) -> _Answer:
        """A thread that is left behind gives up an upload; everything else has limits of its own."""
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(thread, call)
        except TimeoutError as error:
            self._files.give_up()
            raise Transient("The printer did not answer in time.", hint="Is its Wi-Fi any good there?", code="timeout") from error
        except asyncio.CancelledError:
            self._files.give_up()
            raise


def _noted(_name: str, _sent: bool) -> None:
    """A print that goes on explains itself."""
