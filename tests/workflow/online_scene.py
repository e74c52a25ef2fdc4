"""An agent and a real marketplace over HTTP, a real ledger, and a clock that the test turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.domain.account import Presence, Status
from agent.domain.printer import PrinterState
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from agent.workflow.obstacles import Limits, Obstacles
from agent.workflow.online import LOOK_S, Online
from agent.workflow.shop import Shop
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import Outside, Workshop

AWAY_S, BACK_S = 300.0, 60.0
OWN = "intagly-agent garage: "


@dataclass
class Scene:
    """An agent and its marketplace. `daemon` is one life of the watcher; the next one finds what the last one left."""

    work: Workshop
    market: SandboxMarketplace
    api: OperatorApi
    shop: Shop
    folder: Path
    seconds: float = 0.0
    wrong_by: timedelta = timedelta()
    clock_is_kept: bool | None = None
    daemon: Online = field(init=False)

    def __post_init__(self) -> None:
        self.shop = replace(self.shop, now=lambda: datetime.now(UTC) + self.wrong_by)
        self.begin()

    def begin(self) -> None:
        """A new daemon: it has looked at no printer yet."""
        self.shop = replace(self.shop, seen=set(), away=set())
        obstacles = Obstacles(self.shop, Limits(printers_away_s=AWAY_S), lambda: self.seconds, lambda: self.clock_is_kept)
        self.daemon = Online(
            self.shop, obstacles, self.folder / "online.json", agent_name="garage", back_after_s=BACK_S, monotonic=lambda: self.seconds
        )
        self.daemon.begin()

    async def passes(self, seconds: float) -> None:
        """That much time, with all the looks that belong to it."""
        for _ in range(round(seconds / LOOK_S)):
            for printer in self.shop.printers.values():
                await PrinterWatch(printer, self.shop).look()
            await self.daemon.look()
            self.seconds += LOOK_S

    async def goes_down(self) -> None:
        self.work.outside.printer.state = PrinterState.OFFLINE
        await self.passes(AWAY_S + 40)

    async def comes_back(self) -> None:
        self.work.outside.printer.state = PrinterState.IDLE
        await self.passes(BACK_S + 20)

    async def status(self) -> tuple[str, str]:
        status = await self.api.status()
        return status.state.value, status.reason

    async def by_hand(self, state: Presence, reason: str = "") -> None:
        await self.api.set_status(Status(state=state, reason=reason), f"by-hand-{self.seconds}")

    def told(self) -> list[str]:
        return [notice.event for notice in self.work.inbox.notices]

    def times_set(self) -> int:
        return self.market.times_done("setStatus")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Scene]:
    """The ledger lies in the folder."""
    with SandboxMarketplace(Options(read_only_token="reader")) as market, Workshop(Outside(folder)) as work:
        async with OperatorApi("sandbox", market.url, lambda: market.token) as api:
            yield Scene(work, market, api, replace(work.shop, marketplaces={"sandbox": api}), folder)
