"""A marketplace that is a folder: whoever drops a file there has ordered it.

    hook.stl                   a model alone (STL, 3MF, OBJ) is printed once, with the hot folder's own options
    order.toml + its models    an order; order_files.py tells what may stand in it

Write the order file first, or within `still_s` after its models: one that lies alone for that long is an order of its own. A
copy that pauses for longer than `still_s` looks finished: copy under another name (hook.stl.part) and rename, or raise `still_s`.
inbox.py tells whose each file is, taking.py how it is moved; taken.py keeps what was taken.
There is no customer and no carrier on the other side: such an order has no label, and its folder holds all that is said of it.
"""

import asyncio
import errno
import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from agent.domain.errors import ConfigError, NeedsOperator, Refused
from agent.domain.offer import Agreement, DeclineReason, Offer, ProblemCode, RemoteOrder, Supports
from agent.domain.values import Color
from agent.marketplaces.hot_folder.inbox import Inbox
from agent.marketplaces.hot_folder.order_files import Defaults
from agent.marketplaces.hot_folder.taken import TakenOrders
from agent.marketplaces.hot_folder.taking import Taking
from agent.marketplaces.hot_folder.watch import FolderWatch

log = structlog.get_logger()

LOOK_AGAIN_S = 30.0
"""Network shares tell nothing of what another machine does there."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_P = ParamSpec("_P")
_T = TypeVar("_T")


class HotFolder:
    """Implements ports.marketplace.Marketplace over the folder `path`. Every act is done at once and for good, so keys are not needed."""

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        still_s: float,
        material: str,
        color: Color,
        infill_percent: int,
        supports: Supports,
        accept_within_s: float,
    ) -> None:
        self._name = name
        self._path = path
        self._taking = Taking(path)
        self._orders = TakenOrders(self._taking.taken)
        self._inbox = Inbox(
            path,
            self._taking,
            Defaults(material, color, infill_percent, supports),
            still_s=still_s,
            accept_within_s=accept_within_s,
            taken=self._orders.add,
        )
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._opened = ExitStack()
        self._folder_id: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def answered_by_person(self) -> bool:
        return False

    async def __aenter__(self) -> Self:
        with suppress(NeedsOperator):  # a share that is not mounted yet must not keep the agent down; `offers` tries again, and tells
            await self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._opened.close)

    async def wait_for_news(self) -> None:
        next_s = self._inbox.next_s()
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S if next_s is None else min(next_s, LOOK_AGAIN_S)):
                await self._news.wait()
        self._news.clear()

    async def offers(self) -> Sequence[Offer]:
        async with self._looking:
            await self._open()
            return await self._done(self._look)

    def _look(self) -> Sequence[Offer]:
        self._inbox.look()
        return self._orders.open_offers()

    async def offer(self, offer_id: str) -> Offer:
        return await self._done(self._orders.offer, offer_id)

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.accept, offer_id)

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.decline, offer_id, reason, text)

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        return await self._done(self._orders.order_of, offer_id)

    async def order(self, order_id: str) -> RemoteOrder:
        return await self._done(self._orders.order, order_id)

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.copy, offer_id, file_id, into, limit_bytes)

    async def start(self, order_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.start, order_id)

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.put_photo, order_id, photo_id, photo)

    async def submit(
        self,
        order_id: str,
        photo_ids: Sequence[str],
        agreements: Sequence[Agreement],
        customer_note: str,
        internal_note: str,
        key: str,  # noqa: ARG002 (the port's)
    ) -> RemoteOrder:
        return await self._done(self._orders.submit, order_id, photo_ids, agreements, customer_note, internal_note)

    async def label(self, order_id: str, into: Path) -> None:  # noqa: ARG002 (the port's)
        await self.order(order_id)
        raise Refused(f"Orders from {self._name} have no label.", hint="Hand the parts over yourself.", code="no_label")

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.delivered, order_id, dropped_off_at, place)

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        await self._done(self._orders.report_problem, order_id, problem, text, key)

    # --- opening ----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Again where it is another folder than before: removed and made anew, or a share that was mounted over it."""
        loop = asyncio.get_running_loop()
        await self._done(self._open_folder, lambda: loop.call_soon_threadsafe(self._news.set))

    def _open_folder(self, wake: Callable[[], object]) -> None:
        self._taking.open()
        found = self._path.stat()
        if (found.st_dev, found.st_ino) == self._folder_id:
            return
        self._opened.close()
        self._folder_id = None
        self._opened.enter_context(_alone_in(self._taking.taken))
        self._orders.load()
        self._inbox.load()
        watch = FolderWatch(self._path, wake)
        self._opened.callback(watch.close)
        watch.open()
        self._folder_id = found.st_dev, found.st_ino

    async def _done(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """In a thread, with the disk's errors as the domain's. A thread cannot be stopped: who is cancelled waits until it is done."""
        thread = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            with _translated(self._path):
                return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.gather(thread, return_exceptions=True)
            raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two agents over one folder would both take what one of them is moving."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"Another hot folder already takes what is in {folder.parent}.", hint="Give each its own path.") from error
        except OSError as error:
            log.warning("hot_folder_not_locked", folder=str(folder), why=error.strerror, hint="Let only one agent use it.")
        yield


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """The one place where the disk's errors become the domain's."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in _FULL:
            hint = "Free some space; the agent goes on by itself."
            raise NeedsOperator(f"The disk with {where} is full ({error.strerror}).", hint=hint, code="disk_full") from error
        hint = f"Give the agent's user all rights in {folder}, on one file system; the agent goes on by itself."
        raise NeedsOperator(f"{where} cannot be used: {error.strerror}.", hint=hint, code="folder_unusable") from error
