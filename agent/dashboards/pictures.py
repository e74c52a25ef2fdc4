"""Pictures on the broker: the model that is printed, and the bed as the camera sees it. Read, sent and let go; only their hash is kept."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from agent.dashboards.outbox import Outbox
from agent.dashboards.topics import Topics
from agent.domain.errors import AgentError
from agent.domain.printer import PrinterObservation
from agent.ports.files import FileStore
from agent.ports.ledger import Ledger
from agent.ports.printer import NO_CAMERA, Camera, Printer

log = structlog.get_logger()

LARGEST_BYTES = 2_000_000
_PATIENCE_S = 15.0


class Pictures:
    """Of each printer with work of ours. `every_s` 0: no camera is asked."""

    def __init__(self, outbox: Outbox, topics: Topics, printers: Mapping[str, Printer], every_s: float) -> None:
        self._outbox, self._topics, self._printers, self._every_s = outbox, topics, printers, every_s
        self._next: dict[str, float] = {}
        self._quiet: set[str] = set()
        self.cameras: set[str] = set()
        """Printers whose camera has given a picture; the others may have none."""

    async def preview(self, printer: str, order_id: str, ledger: Ledger, store: FileStore) -> None:
        """The model of that order; what it has no picture of leaves the last one."""
        reports = ledger.order(order_id).dossier.meshes.values()
        sha256 = next((picture for report in reports if (picture := report.pictures.get("isometric", ""))), "")
        content = await asyncio.to_thread(_read, store.path(sha256)) if sha256 else b""
        if content:
            await self._outbox.keep(self._topics.printer(printer).preview, content, qos=0)

    async def snapshots(self, at_work: Mapping[str, PrinterObservation]) -> None:
        """One look around: those that print for us, each when it is due, and once more when its print has ended."""
        busy = set(at_work)
        for name in [*busy, *(self._next.keys() - busy)]:
            if time.monotonic() >= self._next.get(name, 0.0) or name not in busy:
                self._next[name] = time.monotonic() + self._every_s
                await self._snapshot(name)
            if name not in busy:
                self._next.pop(name, None)

    async def _snapshot(self, name: str) -> None:
        camera = self._printers.get(name)
        if not self._every_s or not isinstance(camera, Camera):
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                picture = await camera.snapshot()
        except TimeoutError:
            self._say_once(name, "it took too long")
            return
        except AgentError as error:
            if error.code != NO_CAMERA:
                self._say_once(name, error.told())
            return
        if len(picture) > LARGEST_BYTES:
            self._say_once(name, f"its picture has {len(picture)} bytes, and at most {LARGEST_BYTES} are sent")
            return
        self._quiet.discard(name)
        self.cameras.add(name)
        await self._outbox.keep(self._topics.printer(name).snapshot, picture, qos=0)

    def _say_once(self, name: str, why: str) -> None:
        if name not in self._quiet:
            self._quiet.add(name)
            log.info("no_picture", printer=name, why=why)


def _read(path: Path) -> bytes:
    """Nothing where it is not there, or too large: a picture is never worth an error."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError:
        return b""
    return content if len(content) <= LARGEST_BYTES else b""
