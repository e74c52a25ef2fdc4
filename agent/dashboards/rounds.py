"""What has to be asked for, at a pace that costs nothing: how warm printers are, what marketplaces say, what cameras see."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import structlog

import agent
from agent.dashboards.states import Account, update_state
from agent.domain.account import Presence, sums
from agent.domain.errors import AgentError
from agent.domain.printer import PrinterObservation, PrinterState, Temperatures
from agent.ports.marketplace import Marketplace, Paying, Switchable
from agent.ports.printer import Heats, Printer
from agent.ports.remote import Switches

log = structlog.get_logger()

WARMTH_S = 30.0
ACCOUNT_S = 60.0
EARNINGS_EVERY = 15
"""Of the looks at the account, so many to one at the earnings."""


class Warmth:
    """How warm each printer is that tells it, and can be reached."""

    def __init__(self, printers: Mapping[str, Printer], last_seen: Mapping[str, PrinterObservation]) -> None:
        self._printers, self._last_seen = printers, last_seen
        self.known: dict[str, Temperatures] = {}

    async def look(self) -> None:
        for name, printer in list(self._printers.items()):
            seen = self._last_seen.get(name)
            if not isinstance(printer, Heats) or seen is None or seen.state is PrinterState.OFFLINE:
                self.known.pop(name, None)
                continue
            try:
                self.known[name] = await printer.temperatures()
            except AgentError:
                self.known.pop(name, None)  # the printer's own watch tells of a printer that is away


class Accounts:
    """What the marketplaces say of this operator, and who answers offers."""

    def __init__(self, marketplaces: Mapping[str, Marketplace], switches: Switches, local_now: Callable[[], datetime]) -> None:
        self._marketplaces, self._switches, self._local_now = marketplaces, switches, local_now
        self._looks = 0
        self.known = Account(auto_accept=switches.auto_accept)
        self.version = update_state(agent.__version__, agent.__version__)

    @property
    def switchable(self) -> dict[str, Switchable]:
        return {name: market for name, market in self._marketplaces.items() if isinstance(market, Switchable)}

    async def look(self) -> None:
        statuses = await asyncio.gather(*(self._online(market) for market in self.switchable.values()))
        known = [status for status in statuses if status is not None]
        month = self._local_now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        earned = self.known.earned if self.known.since == month else {}
        if self._looks % EARNINGS_EVERY == 0 or self.known.since != month:
            earned = {**earned, **await self._earned(month)}
        self._looks += 1
        self.version = update_state(agent.__version__, version_on_disk())
        self.known = Account(
            connected=len(known) == len(statuses) if statuses else None,
            accepting=any(known) if known else None,
            auto_accept=self._switches.auto_accept,
            earned=earned,
            since=month,
        )

    async def _online(self, market: Switchable) -> bool | None:
        """None: it does not say."""
        try:
            return (await market.status()).state is Presence.ONLINE
        except AgentError:
            return None  # told by whatever else has to do with that marketplace

    async def _earned(self, month: datetime) -> dict[str, Decimal]:
        """By currency. A marketplace that does not answer, or whose lines could not all be read, leaves the sums as they were."""
        lines = []
        for name, market in self._marketplaces.items():
            if not isinstance(market, Paying):
                continue
            try:
                earnings = await market.earnings(month.date(), self._local_now().date())
            except AgentError as error:
                log.info("earnings_not_known", marketplace=name, why=error.told())
                return {}
            if earnings.left_out:
                return {}
            lines += earnings.lines
        totals: dict[str, Decimal] = {}
        for each in sums(lines):
            totals[each.currency] = totals.get(each.currency, Decimal()) + each.amount
        return totals


def version_on_disk() -> str:
    """Of the program as it is installed now: another one than runs, where it was upgraded and not restarted yet."""
    try:
        found = re.search(r'^__version__ = "([^"]+)"', Path(agent.__file__).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else agent.__version__
