"""What the printers' cameras see, for whoever looks: asked for only then, not more than every few seconds, and never by two at once.

A camera is nobody's to trust: what it sends is read in a process of its own (`camera_worker`), and made anew in two sizes. They are kept in
memory, the last of each printer: what is to stay goes into an order's history (`agent.workflow.pictures`).
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.ports.files import FileStore
from agent.ports.printer import NO_CAMERA, Camera, Printer
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

log = structlog.get_logger()

FRESH_S = 10.0
LARGEST_BYTES = 5_000_000
_PATIENCE_S = 15.0
_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=512 * 2**20, file_bytes=2_000_000)
_WORKER = "agent.operator.camera_worker"


@dataclass(frozen=True)
class Picture:
    """Two JPEGs of the same. `width`, `height`: of the small one, in pixels."""

    large: bytes
    small: bytes
    width: int
    height: int
    taken_at: datetime


@dataclass
class Seen:
    """`camera` False: there is none; None: it was not asked yet. `trouble`: why there is no newer picture, for people."""

    camera: bool | None = None
    picture: Picture | None = None
    trouble: str = ""


@dataclass
class _Look:
    seen: Seen
    at: float = field(default=float("-inf"))
    under_way: asyncio.Task[None] | None = None


class PrinterPictures:
    """The last picture of each printer. `now`: for the time that stands beside it."""

    def __init__(self, printers: Mapping[str, Printer], store: FileStore, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._cameras = {name: printer for name, printer in printers.items() if isinstance(printer, Camera)}
        self._looks = {name: _Look(Seen(camera=None if name in self._cameras else False)) for name in printers}
        self._reading = asyncio.Semaphore(1)
        """One picture is read at a time, however many printers there are."""

    def look(self) -> None:
        """Somebody looks: every camera whose picture is not of the last seconds is asked, and nobody waits for it."""
        for name in self._looks:
            self._look(name)

    def seen(self, name: str) -> Seen:
        return self._looks[name].seen

    def mark(self) -> str:
        """Another one when something is to be seen that was not."""
        seen = [look.seen for look in self._looks.values()]
        shown = "/".join(f"{each.camera}{each.picture.taken_at if each.picture else ''}{each.trouble}" for each in seen)
        return hashlib.sha256(shown.encode("utf-8", "replace")).hexdigest()[:16]

    def last(self, name: str) -> Picture:
        """Without waiting. Refused where there is no such printer, or no picture of it."""
        picture = self._known(name).seen.picture
        if picture is None:
            raise Refused(f"There is no picture of {name} now.", hint="The page of the printers says why.", code="no_such_file")
        return picture

    async def fresh(self, name: str) -> Picture:
        """One of the last seconds; who asks waits for it. Refused where there is no such printer, or no camera; Transient where it does
        not work."""
        seen = self._known(name).seen
        if (under_way := self._look(name)) is not None:
            await asyncio.wait({under_way})
            seen = self.seen(name)
        if seen.camera is False:
            hint = "docs/printers.md says which printers can have one, and how."
            raise Refused(f"{name} has no camera that the agent knows.", hint=hint, code=NO_CAMERA)
        if seen.trouble or seen.picture is None:
            raise Transient(f"There is no picture of {name}: {seen.trouble}", code="camera_away")
        return seen.picture

    async def aclose(self) -> None:
        under_way = [look.under_way for look in self._looks.values() if look.under_way is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _known(self, name: str) -> _Look:
        if name not in self._looks:
            raise Refused(f"There is no printer {name}.", hint=f"Printers: {', '.join(self._looks)}.", code="no_such_printer")
        return self._looks[name]

    def _look(self, name: str) -> asyncio.Task[None] | None:
        look, camera = self._looks[name], self._cameras.get(name)
        if camera is not None and look.under_way is None and time.monotonic() - look.at > FRESH_S:
            look.under_way = asyncio.create_task(self._take(camera, look), name=f"picture of {name}")
        return look.under_way

    async def _take(self, camera: Camera, look: _Look) -> None:
        before = look.seen.picture
        try:
            picture = await self._made(await self._snapshot(camera))
        except AgentError as error:
            none = error.code == NO_CAMERA
            look.seen = Seen(camera=False) if none else Seen(camera=True, picture=before, trouble=error.told())
        else:
            look.seen = Seen(camera=True, picture=picture)
        finally:
            look.at, look.under_way = time.monotonic(), None

    @staticmethod
    async def _snapshot(camera: Camera) -> bytes:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                content = await camera.snapshot()
        except TimeoutError as error:
            raise Transient("It does not answer.", hint="Does its picture open in a browser?", code="camera_away") from error
        if len(content) > LARGEST_BYTES:
            raise _no_picture(f"its picture has {len(content) / 1e6:.0f} MB, and at most {LARGEST_BYTES / 1e6:.0f} are read")
        return content

    async def _made(self, content: bytes) -> Picture:
        taken_at = self._now()
        self._store.require_room()
        async with self._reading:
            paths = [self._store.new_temporary(".jpg") for _ in range(3)]
            try:
                return await _read(content, paths, taken_at)
            except Died as died:
                log.warning("camera_picture_died", why=str(died))
                raise _no_picture("reading it took more time or memory than a picture does") from died
            except OSError as error:
                raise NeedsOperator(f"The agent's disk: {error.strerror}.", hint="Free some space on it.", code="disk_full") from error
            finally:
                for path in paths:
                    path.unlink(missing_ok=True)


async def _read(content: bytes, paths: list[Path], taken_at: datetime) -> Picture:
    given, large, small = paths
    await asyncio.to_thread(given.write_bytes, content)
    told = await ask(_WORKER, [str(path.absolute()) for path in paths], _LIMITS)
    if "refused" in told:
        raise _no_picture(told["refused"])
    return Picture(
        large=await asyncio.to_thread(large.read_bytes),
        small=await asyncio.to_thread(small.read_bytes),
        width=told["width"],
        height=told["height"],
        taken_at=taken_at,
    )


def _no_picture(why: str) -> Refused:
    return Refused(f"What the camera sends cannot be shown: {why}.", hint="Does its picture open in a browser?", code="no_picture")
