"""A marketplace that is a folder: whoever drops a file there has ordered it.

    hook.stl                   a model alone (STL, 3MF, OBJ) is printed once, with the hot folder's own options
    order.toml + its models    an order; order_files.py tells what may stand in it

Write the order file first, or within `still_s` after its models: one that lies alone for that long is an order of its own. A
copy that pauses for longer than `still_s` looks finished: copy under another name (hook.stl.part) and rename, or raise `still_s`.
inbox.py tells whose each file is, taking.py how it is moved; taken_orders.py keeps what was taken.
There is no customer and no carrier on the other side: such an order has no label, and its folder holds all that is said of it.
"""

import asyncio
import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import structlog

from agent.domain.errors import ConfigError, NeedsOperator
from agent.domain.offer import Offer, Supports
from agent.domain.values import Color
from agent.marketplaces.hot_folder.inbox import Inbox
from agent.marketplaces.hot_folder.order_files import Defaults
from agent.marketplaces.hot_folder.taking import Taking
from agent.marketplaces.hot_folder.watch import FolderWatch
from agent.marketplaces.serverless import Serverless
from agent.marketplaces.taken_orders import TakenOrders

log = structlog.get_logger()

LOOK_AGAIN_S = 30.0
"""Network shares tell nothing of what another machine does there."""


class HotFolder(Serverless):
    """Implements ports.marketplace.Marketplace over the folder `path`."""

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
        self._path = path
        self._taking = Taking(path)
        no_label = f"Orders from {name} have no label.", "Hand the parts over yourself."
        super().__init__(name, TakenOrders(self._taking.taken), path, no_label)
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
