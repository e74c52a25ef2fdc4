"""The shop of a running daemon: opened once, and by another configuration again, part by part.

A printer or marketplace whose settings are the same stays open. Everything else is closed and opened while nobody is at work with it:
see daemon.py, which lets the handlers end first.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

import structlog

from agent.config.model import Settings
from agent.config.printer import PrinterSettings
from agent.domain.errors import AgentError, ConfigError
from agent.domain.job import JobState
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.upgrading import rolled_back_to, seen_to
from agent.meshes.inspector import ChildInspector
from agent.notifiers.caller import Caller
from agent.ports.marketplace import Marketplace
from agent.ports.printer import Printer
from agent.shopfloor import facts_of, mesh_limits, profile_library, slicing_dir
from agent.wiring import (
    Opened,
    build_caller,
    build_printer,
    dashboard_broker,
    file_store,
    ledger_url,
    marketplace_of,
    shop_of,
    web_access,
)
from agent.workflow.restored import distrust
from agent.workflow.shop import Shop

log = structlog.get_logger()

_NOT_BEGUN = (JobState.CLAIMED, JobState.UPLOADED)


class _Opens(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


_T = TypeVar("_T", bound=_Opens)


@dataclass(frozen=True)
class Made(Generic[_T]):
    """Something that can be open, and the settings it was made from."""

    settings: object
    thing: _T


class _Room(Generic[_T]):
    """Open things of one kind, by name."""

    def __init__(self) -> None:
        self.open: dict[str, Made[_T]] = {}

    def kept_or_made(self, name: str, settings: object, make: Callable[[], _T]) -> Made[_T]:
        """The one that is open, where it was made from the same. Making opens nothing."""
        found = self.open.get(name)
        return found if found is not None and found.settings == settings else Made(settings, make())

    @property
    def things(self) -> dict[str, _T]:
        return {name: made.thing for name, made in self.open.items()}

    async def close_all_but(self, wanted: Mapping[str, Made[_T]]) -> None:
        for name, made in reversed(list(self.open.items())):
            if wanted.get(name) is not made:
                del self.open[name]
                await made.thing.__aexit__(None, None, None)

    async def fill(self, wanted: Mapping[str, Made[_T]]) -> None:
        """Opens what is not open yet; afterwards they stand in the order that is wanted."""
        for name, made in wanted.items():
            if name not in self.open:
                await made.thing.__aenter__()
                self.open[name] = made
        self.open = {name: self.open[name] for name in wanted}


@dataclass(frozen=True)
class Plan:
    """A configuration that can be worked by, and what it takes; nothing of it that is new is open. `needs_restart`: options by name."""

    settings: Settings
    callers: Mapping[str, Made[Caller]]
    marketplaces: Mapping[str, Made[Marketplace]]
    printers: Mapping[str, Made[Printer]]
    needs_restart: list[str]


@dataclass(frozen=True)
class Changes:
    """What another configuration changed, by printers' names."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    leaving: list[str]


class Workshop:
    """Entering opens everything in order, leaving closes it in the reverse one. The shop is another object after each `change`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.leaving: dict[str, PrinterSettings] = {}
        """Printers that the configuration no longer has, kept until their print has ended and the bed was cleared."""
        self._store = file_store(settings)
        self._callers: _Room[Caller] = _Room()
        self._marketplaces: _Room[Marketplace] = _Room()
        self._printers: _Room[Printer] = _Room()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._store.open()
            self._ledger = stack.enter_context(SqlLedger(ledger_url(self.settings)))
            self._distrust_what_was_put_back()
            shutil.rmtree(slicing_dir(self.settings), ignore_errors=True)  # of slicers that died with an earlier daemon
            self._meshes = await stack.enter_async_context(ChildInspector(self._store, limits=mesh_limits(self.settings)))
            stack.push_async_callback(self._close)
            await self._open(self.plan(self.settings))
            self.shop: Shop = self._shop(self.settings)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _distrust_what_was_put_back(self) -> None:
        """After `rollback`: an order may have been printed since, for all that the ledger knows."""
        url = ledger_url(self.settings)
        if (backup_of := rolled_back_to(url)) is not None:
            found = distrust(self._ledger, backup_of)
            seen_to(url)
            log.warning("ledger_was_rolled_back", backup_of=backup_of.isoformat(), ask_first=found.held, offers_left=found.offers)

    def plan(self, settings: Settings) -> Plan:
        """Reads profiles and certificates: not for the event loop of a daemon at work. ConfigError with all that cannot be used."""
        settings, needs_restart = _with_what_stays(self.settings, settings)
        mistakes: list[AgentError] = []
        called = (settings.notifications, settings.web.url, bool(settings.web.listen))
        callers = {"": self._callers.kept_or_made("", called, lambda: build_caller(settings, self._ledger, self._store))}
        marketplaces, printers = {}, {}
        for market in settings.marketplaces:
            with _collected(mistakes):
                make_market = partial(marketplace_of, market, settings, callers[""].thing)
                marketplaces[market.name] = self._marketplaces.kept_or_made(market.name, (market, called), make_market)
        profiles = profile_library(settings)
        for printer in settings.printers:
            with _collected(mistakes):
                facts = facts_of(printer, profiles, settings.schedule.color_limit)
                make_printer = partial(build_printer, printer, facts, settings)
                printers[printer.name] = self._printers.kept_or_made(printer.name, (printer, facts), make_printer)
        mistakes += _unusable_files(settings)
        if mistakes:
            raise ConfigError("\n".join(error.told() for error in mistakes))
        return Plan(settings, callers, marketplaces, printers, needs_restart)

    async def change(self, plan: Plan) -> Changes:
        """Work by that plan; nobody may be at work in the shop. AgentError or OSError where something new cannot be opened, and all is as
        it was before.

        A printer that is removed while it is at a print of ours stays until that has ended: a print is not left alone with its heat.
        """
        before, old_leaving, had = self.settings, self.leaving, dict(self._printers.open)
        wanted = self._with_those_at_work(plan)
        self.settings = plan.settings
        try:
            await self._open(wanted)
        except (AgentError, OSError):
            self.settings, self.leaving = before, old_leaving
            await self._open(self._with_those_at_work(self.plan(before)))
            self.shop = self._shop(before).remembering(self.shop)
            raise
        self.shop = self._shop(plan.settings).remembering(self.shop)
        now = self._printers.open
        return Changes(
            added=[name for name in now if name not in had],
            removed=[name for name in had if name not in now],
            changed=[name for name in now if name in had and had[name] is not now[name]],
            leaving=list(self.leaving),
        )

    def busy(self) -> set[str]:
        """Printers with a job of ours that was begun and whose bed was not cleared yet."""
        return {job.printer for job in self._ledger.active_jobs() if job.state not in _NOT_BEGUN}

    def _with_those_at_work(self, plan: Plan) -> Plan:
        busy = self.busy()
        known = {**self.leaving, **{printer.name: printer for printer in self.settings.printers}}
        self.leaving = {name: known[name] for name in self._printers.open if name not in plan.printers and name in busy}
        stay = {name: self._printers.open[name] for name in self.leaving}
        return Plan(plan.settings, plan.callers, plan.marketplaces, {**plan.printers, **stay}, plan.needs_restart)

    async def _open(self, plan: Plan) -> None:
        await self._printers.close_all_but(plan.printers)
        await self._marketplaces.close_all_but(plan.marketplaces)
        await self._callers.close_all_but(plan.callers)
        await self._callers.fill(plan.callers)
        await self._marketplaces.fill(plan.marketplaces)
        await self._printers.fill(plan.printers)

    async def _close(self) -> None:
        for room in (self._printers, self._marketplaces, self._callers):
            await room.close_all_but({})

    def _shop(self, settings: Settings) -> Shop:
        return shop_of(
            settings,
            Opened(
                ledger=self._ledger,
                store=self._store,
                meshes=self._meshes,
                notifier=self._callers.things[""],
                marketplaces=self._marketplaces.things,
                printers=self._printers.things,
                leaving=list(self.leaving.values()),
            ),
        )


@contextlib.contextmanager
def _collected(mistakes: list[AgentError]) -> Iterator[None]:
    try:
        yield
    except AgentError as error:
        mistakes.append(error)


def _unusable_files(settings: Settings) -> list[AgentError]:
    """Certificates that the page and the dashboard need."""
    mistakes: list[AgentError] = []
    if settings.web.listen:
        with _collected(mistakes):
            web_access(settings).check_certificate()
    if settings.mqtt is not None:
        with _collected(mistakes):
            dashboard_broker(settings.mqtt)
    return mistakes


def _with_what_stays(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """The new settings with what only a restart changes as it was, and the names of what would have been another."""
    agent = new.agent.model_copy(update={"name": old.agent.name, "data_dir": old.agent.data_dir})
    named = {
        "[agent] name": old.agent.name != new.agent.name,
        "[agent] data_dir": old.agent.data_dir != new.agent.data_dir,
        "[ledger]": old.ledger != new.ledger,
        "[files]": old.files != new.files,
    }
    kept = new.model_copy(update={"agent": agent, "ledger": old.ledger, "files": old.files})
    return kept, [name for name, differs in named.items() if differs]
