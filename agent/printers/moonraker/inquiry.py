"""What Moonraker is asked, and how its answers are put together. Nothing here changes anything at the printer."""

from collections.abc import Mapping, Sequence

from agent.domain.errors import AgentError, Refused, Unsound
from agent.domain.printer import PrinterObservation
from agent.printers.moonraker import answers
from agent.printers.moonraker.answers import HistoryJob, Status, read
from agent.printers.moonraker.rpc import Rpc, RpcError, Silence
from agent.printers.moonraker.whereabouts import Whereabouts

_NEWEST = 30
"""Prints of the history that are looked through; an older one is found by its file."""
_NOT_FOUND = (404, -32601)
"""Moonraker's 404 is JSON-RPC's "method not found" over MQTT: seen."""


class KlipperAway(Refused):
    """Moonraker answers, and has no Klipper that could."""

    def __init__(self, klippy_state: str) -> None:
        super().__init__(answers.klippy_away(klippy_state), hint="Look at Klipper's page.", code="not_ready")
        self.starting = klippy_state == "startup"


class Inquiry:
    """Raises Transient where nobody answers, NeedsOperator where it is a wrong configuration, KlipperAway without Klipper."""

    def __init__(self, rpc: Rpc, where: Whereabouts) -> None:
        self._rpc, self._where = rpc, where

    async def status(self) -> Status:
        """How Klipper stands, in one answer: all of the same instant."""
        return read(answers.StatusAnswer, await self._objects(answers.QUERY)).status

    async def heaters(self) -> Status:
        return read(answers.StatusAnswer, await self._objects(answers.HEATERS)).status

    async def why_paused(self) -> str:
        known = read(answers.ObjectsAnswer, await self._ask("printer.objects.list"))
        names = [name for name in known.objects if name.startswith(answers.SENSORS)]
        if not names:
            return answers.why_paused({})
        said = await self._objects({name: ["enabled", "filament_detected"] for name in names})
        return answers.why_paused(read(answers.SensorsAnswer, said).status)

    async def jobs(self, name: str) -> list[HistoryJob]:
        """The prints of that file, newest first."""
        history = read(answers.HistoryAnswer, await self._ask("server.history.list", limit=_NEWEST, order="desc"))
        recent = [job for job in history.jobs if job.filename == name]
        return recent or await self._older(name)

    async def end(self, name: str, status: Status | None) -> PrinterObservation | None:
        """By the history. `status`: how Klipper stands, None where it is away."""
        back = status is not None and (status.file_name != name or status.selected_only)
        return answers.end_in_history(name, await self.jobs(name), klipper_is_back=back)

    async def _older(self, name: str) -> list[HistoryJob]:
        """By the file's metadata, which hold the id of its latest print; none where the file was deleted."""
        try:
            found = read(answers.MetadataAnswer, await self._ask("server.files.metadata", filename=name))
            if not found.job_id:
                return []
            return [read(answers.JobAnswer, await self._ask("server.history.get_job", uid=found.job_id)).job]
        except RpcRefusal as no:
            if no.status in _NOT_FOUND:
                return []
            raise

    async def _objects(self, objects: Mapping[str, Sequence[str] | None]) -> object:
        try:
            return await self._ask("printer.objects.query", objects=objects)
        except RpcRefusal as no:
            raise await self._why_no_status(no) from no

    async def _why_no_status(self, no: "RpcRefusal") -> AgentError:
        """Before Klipper has connected once, Moonraker does not even know the question (-32601); later it says 503."""
        info = read(answers.InfoAnswer, await self._ask("server.info"))
        if info.klippy_state == "ready":
            return Unsound(f"Klipper gives no status: {no}.", hint="It may be starting.", code="no_status")
        return KlipperAway(info.klippy_state)

    async def _ask(self, method: str, **params: object) -> object:
        try:
            return await self._rpc.ask(method, **params)
        except Silence as silence:
            raise await self._where.why_silent(silence) from silence
        except RpcError as no:
            raise RpcRefusal(no) from no


class RpcRefusal(Refused):
    """A question that was answered with an error; `status` is JSON-RPC's (negative) or HTTP's."""

    def __init__(self, no: RpcError) -> None:
        super().__init__(f"Moonraker answers {no.code}: {no.words}", code=f"rpc_{no.code}")
        self.status = no.code
