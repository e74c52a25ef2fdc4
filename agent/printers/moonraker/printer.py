"""A Klipper printer behind Moonraker.

Klipper has no job id: the file's name is the only key, so every attempt has a name of its own. What it shows of a job (print_stats)
lives until another file is loaded or Klipper is restarted; Moonraker's history survives both.

An upload also *selects* the file (M23), which starts nothing. "Selected, and not a byte of it read" is the witness that lets
`never_started` be proved: from the moment a start is carried out Klipper never shows that again by itself.
"""

import asyncio
from pathlib import Path
from typing import Self

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.printer import BUSY, ENDED, PrinterFacts, PrinterObservation, PrinterState, Temperatures, away
from agent.printers import names
from agent.printers.moonraker import answers
from agent.printers.moonraker.access import MoonrakerAccess
from agent.printers.moonraker.answers import Status, read
from agent.printers.moonraker.inquiry import Inquiry, KlipperAway
from agent.printers.moonraker.rpc import Rpc, RpcError, Silence
from agent.printers.moonraker.web import Web
from agent.printers.moonraker.whereabouts import Whereabouts

ACT_S = 12.0
"""Klipper's commands queue behind the one at work: a cancel waits until M190 has its heat, on a real bed for minutes."""
LEAVES_S = 3.5
"""A start that could not be published within this long is never sent. The broker has it within 5 s more, or the connection is cut with
all that it holds: what is sent is sent within 9 s, which the workflow's `Pace.request_on_its_way_s` counts on."""
TURN_S = 8.0
_STOP_S = 5.0
_NOTHING = "; is it my turn"
"""A comment: Klipper does nothing at all, but only when all commands before it are done."""
_BEGUN = BUSY | ENDED
_DONE = {"pause": PrinterState.PAUSED, "resume": PrinterState.PRINTING}
"""How it shows that a request was done after all."""
_KLIPPER_AWAY = 503
_NEVER_SENT = "Klippy Host not connected"
"""Moonraker had no connection to write to. With other words (it has others) the request may have been read and done."""


class MoonrakerPrinter:
    """Implements ports.printer.Printer, Camera, Heats and EmergencyStop."""

    def __init__(self, facts: PrinterFacts, access: MoonrakerAccess) -> None:
        self._facts = facts
        self._web = Web(access)
        self._rpc = Rpc(access.broker, access.instance_name)
        self._where = Whereabouts(self._rpc, self._web, access.instance_name)
        self._inquiry = Inquiry(self._rpc, self._where)
        self._uploads = asyncio.Lock()
        """One after another: Moonraker names its temporary file by the second, and two at once would be mixed."""
        self._unanswered: dict[str, str] = {}
        """Job -> the request for it that Klipper had no time for yet."""

    @property
    def facts(self) -> PrinterFacts:
        return self._facts

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        await self._rpc.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._rpc.__aexit__(*exc)
        await self._web.__aexit__(*exc)

    async def observe(self) -> PrinterObservation:
        try:
            return await self._observe()
        except AgentError as why:
            seen, starting = away(why), isinstance(why, KlipperAway) and why.starting
            return seen.model_copy(update={"needs_attention": False}) if starting else seen

    async def upload(self, gcode: Path, remote_name: str) -> None:
        """Streams in flat memory; Moonraker keeps the file only if its hash is right. Selects it where nothing prints."""
        name = names.safe(remote_name)
        async with self._uploads:
            await self._ready_for_files()
            await self._web.upload(gcode, name)
            seen = answers.observation(await self._inquiry.status())
            if not seen.busy and seen.state is not PrinterState.OFFLINE:
                await self._select(name)

    async def start(self, remote_name: str) -> None:
        """Sent once or never. What this very file has begun already (a doubled request) is no error, and not begun again."""
        name = names.safe(remote_name)
        try:
            async with asyncio.timeout(LEAVES_S):
                if await self._prepared(name):
                    return
        except TimeoutError as error:
            raise Transient("Klipper had no time; the start was not sent.", hint="Is it heating or moving?", code="slow") from error
        try:
            await self._rpc.act("printer.print.start", ACT_S, filename=name)
        except RpcError as no:
            await self._refused_start(name, no)

    async def never_started(self, remote_name: str) -> bool:
        """The file is still selected and unread, after all that was sent before has been done, and no history knows it."""
        name = names.safe(remote_name)
        try:
            await self._script(_NOTHING, TURN_S)
            status = await self._inquiry.status()
        except (Silence, KlipperAway, RpcError):
            return False
        return status.file_name == name and status.selected_only and not await self._inquiry.jobs(name)

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        name = names.safe(remote_name)
        try:
            status = await self._inquiry.status()
        except KlipperAway:
            return await self._inquiry.end(name, None)
        if status.file_name == name:
            seen = answers.observation(status)
            if seen.busy:
                return None
            if seen.state in ENDED:
                return seen
        return await self._inquiry.end(name, status)

    async def pause(self, remote_name: str) -> None:
        await self._if_ours(remote_name, "pause")

    async def resume(self, remote_name: str) -> None:
        await self._if_ours(remote_name, "resume")

    async def cancel(self, remote_name: str) -> None:
        """Transient where Klipper first finishes the command it is at (heating may take minutes): it will still be cancelled."""
        await self._if_ours(remote_name, "cancel")

    async def snapshot(self) -> bytes:
        """By the first webcam in Moonraker's settings that takes single pictures."""
        try:
            listed = read(answers.WebcamsAnswer, await self._rpc.ask("server.webcams.list"))
        except RpcError as no:
            raise _refusal(no) from no
        address = next((webcam.snapshot_url for webcam in listed.webcams if webcam.enabled and webcam.snapshot_url), None)
        if address is None:
            hint = "Add it on the printer's page, with a snapshot address."
            raise NeedsOperator(f"{self._facts.name} has no webcam in Moonraker.", hint=hint, code="no_camera")
        return await self._web.picture(address)

    async def temperatures(self) -> Temperatures:
        return answers.temperatures(await self._inquiry.heaters())

    async def emergency_stop(self) -> None:
        """At once, also while Klipper waits for heat."""
        try:
            await self._rpc.act("printer.emergency_stop", _STOP_S)
        except RpcError as no:
            raise _refusal(no) from no

    async def _observe(self) -> PrinterObservation:
        seen = answers.observation(await self._inquiry.status())
        if seen.state is PrinterState.IDLE and (trouble := await self._where.trouble()) is not None:
            return away(trouble)
        if not seen.busy:
            self._unanswered.clear()
            return seen
        asked = self._unanswered.get(seen.remote_name)
        if asked is not None and _DONE.get(asked) is not seen.state:
            return seen.model_copy(update={"reason": f"asked to {asked}; Klipper finishes the command it is at first (heating?)"})
        self._unanswered.pop(seen.remote_name, None)
        return seen.model_copy(update={"reason": await self._why_paused()}) if seen.state is PrinterState.PAUSED else seen

    async def _why_paused(self) -> str:
        try:
            return await self._inquiry.why_paused()
        except AgentError as unknown:
            return f"paused, and why is not known: {unknown}"  # that it is paused was said, and stays true

    async def _ready_for_files(self) -> None:
        try:
            _must_be_ready(await self._inquiry.status())
        except KlipperAway as away:
            raise Transient(f"{self._facts.name} is not ready: {away}.", hint=away.hint, code="not_ready") from away
        if (trouble := await self._where.trouble()) is not None:
            # Sent all the same, a file that is refused at its first bytes looks like a broken connection.
            raise trouble.with_traceback(None)

    async def _prepared(self, name: str) -> bool:
        """Everything that can be refused is refused here. True where this file has begun already.

        Also keeps a paused job alive: Klipper itself refuses a start only while something moves, and forgets what is paused.
        """
        status = await self._inquiry.status()
        seen = answers.observation(status)
        if status.file_name == name and seen.state in _BEGUN:
            return True
        _must_be_ready(status, Refused)
        if seen.busy:
            raise Refused(f"{self._facts.name} is at {seen.remote_name} ({seen.state}).", hint="Wait for its end.", code="conflict")
        if not (status.file_name == name and status.selected_only):
            await self._select(name)
        return False

    async def _refused_start(self, name: str, no: RpcError) -> None:
        """Returns where the file has begun in spite of the error: its own first commands may have caused it."""
        if no.code == _KLIPPER_AWAY and no.words != _NEVER_SENT:
            raise Transient(
                f"Klipper was lost while it was asked to start: {no.words}.", hint="Look at Klipper's page.", code="lost"
            ) from no
        status = await self._inquiry.status()
        if status.file_name != name or answers.observation(status).state not in _BEGUN:
            raise _refusal(no) from no

    async def _select(self, name: str) -> None:
        try:
            await self._script(f"M23 {name}", TURN_S)
        except RpcError as no:
            raise _refusal(no) from no

    async def _script(self, line: str, limit_s: float) -> None:
        await self._rpc.act("printer.gcode.script", limit_s, script=line)

    async def _if_ours(self, remote_name: str, act: str) -> None:
        """Klipper's pause, resume and cancel name no job: the look before is all there is."""
        name = names.safe(remote_name)
        try:
            status = await self._inquiry.status()
        except KlipperAway as away:
            raise Refused(f"{self._facts.name} is not at {name}: {away}.", hint="Look at Klipper's page.", code="not_active") from away
        if status.file_name != name or not answers.observation(status).busy:
            raise Refused(f"{self._facts.name} is not at {name}.", hint="It may have ended already.", code="not_active")
        try:
            await self._rpc.act(f"printer.print.{act}", ACT_S)
        except RpcError as no:
            raise _refusal(no) from no
        except Silence as slow:
            if slow.code != "timeout":
                raise
            self._unanswered[name] = act
            raise Transient(
                f"{self._facts.name} was asked to {act} and has not done it yet.",
                hint="Klipper first finishes the command it is at; heating may take minutes. An emergency stop does not wait.",
                code="slow",
            ) from slow
        self._unanswered.pop(name, None)


def _must_be_ready(status: Status, error: type[Transient] | type[Refused] = Transient) -> None:
    if not status.ready:
        raise error(f"Klipper is not ready: {answers.observation(status).reason}.", hint="Look at Klipper's page.", code="not_ready")


def _refusal(no: RpcError) -> Refused:
    """Klipper's own words come with 400."""
    match no.code:
        case -32601:
            return Refused(f"Klipper cannot do that: {no.words}.", hint="Is [pause_resume] in its printer.cfg?", code="unknown")
        case 400 if no.words == "Unable to open file":
            return Refused("Klipper has no such file.", hint="Was it deleted?", code="not_found")
        case 400 if no.words == "SD busy":
            return Refused("Klipper prints already.", hint="Wait for its end.", code="conflict")
        case _:
            return Refused(f"Klipper says no: {no.words}.", hint="Look at Klipper's page.", code=f"rpc_{no.code}")
