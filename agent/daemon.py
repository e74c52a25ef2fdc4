"""The daemon: start, serve, drain, stop. Built to be killed: whatever is lost here, the ledger and the printers still know."""

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import structlog

from agent.config.model import Settings
from agent.domain.errors import AgentError, ConfigError
from agent.domain.stock import configured, written_of
from agent.ledger.orders import WANT_A_PRINTER
from agent.ledger.restoring import require_old_agent_off
from agent.operator.supplies import OpenSupplies
from agent.reloading import Asked, Reloading
from agent.shopfloor import data_dir
from agent.upkeep import backups, tidying
from agent.wire import systemd
from agent.wiring import dashboard, online_watch, web_page
from agent.workflow.intake import Intake
from agent.workflow.promise_watch import PromiseWatch
from agent.workflow.reconcile import Reconciler
from agent.workflow.shop import Shop
from agent.workflow.watch import PrinterWatch
from agent.workshop import Workshop

log = structlog.get_logger()

DRAIN_S = 20.0
REST_S = 10.0
"""So long a handler may take to end before another configuration; a slice that takes longer is begun again."""
RESTART_PAUSE_S = 10.0
_Work = Callable[[], Awaitable[None]]
"""Runs until cancelled."""


async def serve(settings: Settings, read_again: Callable[[], Settings]) -> None:
    """Run until SIGTERM or SIGINT; a second one does not wait for what is at work. SIGHUP: by what `read_again` finds from then on.

    `read_again` raises ConfigError with every mistake; what was in force then stays in force.
    """
    asked = _asked_by_signals()
    _warn(settings)
    with only_one(data_dir(settings)):
        require_old_agent_off(data_dir(settings))
        async with Workshop(settings) as workshop:
            reconciler = Reconciler(workshop.shop)
            reloading = Reloading(workshop, read_again)
            await _serve_in(workshop, reconciler, reloading, asked)
            await reconciler.drain(DRAIN_S)
    log.info("stopped")


async def _serve_in(workshop: Workshop, reconciler: Reconciler, reloading: Reloading, asked: Asked) -> None:
    """By one configuration after another. Between two of them nobody is at work, and for a moment nothing is watched."""
    await _prepare(workshop.shop)
    gc.freeze()  # what was imported is no garbage: to look through it for some stops everything for a tenth of a second, on a Pi for longer
    log.info("ready", printers=list(workshop.shop.printers), marketplaces=list(workshop.shop.marketplaces), mode=workshop.shop.policy.mode)
    watches: dict[str, PrinterWatch] = {}
    while True:
        watches = watches_of(workshop.shop, watches)
        async with _running(workshop, reconciler, watches, asked):
            systemd.ready(reloading.status())
            plan = await reloading.awaited(asked)
            if plan is None:
                log.info("stopping")
                systemd.stopping()
                return
            await reconciler.rest(REST_S)
        await reloading.put_into_force(plan)
        _warn(workshop.settings)
        try:
            await _prepare(workshop.shop)
        except AgentError as error:
            log.error("spools_not_counted", why=error.told(), hint="Reload again when the ledger can be written.")
        reconciler.go_on(workshop.shop)


def _warn(settings: Settings) -> None:
    for warning in settings.warnings:
        log.warning("configuration", text=warning)


async def _prepare(shop: Shop) -> None:
    await _warm_slicers(shop)
    reels = written_of((printer.facts.name, printer.facts.materials) for printer in shop.printers.values())
    shop.ledger.count_from(configured(reels, shop.policy.packagings))
    shop.ledger.wake(WANT_A_PRINTER)  # printers, spools and profiles may be others than before


async def _warm_slicers(shop: Shop) -> None:
    """One that is not there is told now; orders that need it go on hold, and all else works."""
    for name, slicer in shop.slicers.items():
        try:
            await slicer.warm()
        except AgentError as error:
            log.error("slicer_not_ready", slicer=name, why=error.told())


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two agents over one ledger would both drive the same printers. ConfigError where one is at work; its lock still says who it is."""
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another agent is at work in {folder}.", hint="Stop it, or give this one its own [agent] data_dir."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _asked_by_signals() -> Asked:
    asked, loop = Asked(), asyncio.get_running_loop()

    def stop() -> None:
        if asked.stop:
            os._exit(1)  # asked twice: the ledger is safe at any instant, so nothing is waited for
        asked.to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, asked.to_reload)
    return asked


def watches_of(shop: Shop, before: Mapping[str, PrinterWatch]) -> dict[str, PrinterWatch]:
    """One for each printer; the one before where the printer is the same, so that nothing is told twice."""
    return {
        name: before[name].in_shop(shop) if name in before and before[name].printer is printer else PrinterWatch(printer, shop)
        for name, printer in shop.printers.items()
    }


@contextlib.asynccontextmanager
async def _running(workshop: Workshop, reconciler: Reconciler, watches: Mapping[str, PrinterWatch], asked: Asked) -> AsyncIterator[None]:
    """The loop, a door for each marketplace and an eye on each printer, until left."""
    shop = workshop.shop
    works: dict[str, _Work] = {"reconciler": reconciler.run, **_where_configured(workshop.settings, shop, reconciler.wake)}
    works |= {f"intake {name}": Intake(market, shop, reconciler.wake).run for name, market in shop.marketplaces.items()}
    works |= {f"watch {name}": watch.run for name, watch in watches.items()}
    works["promises"] = PromiseWatch(shop).run
    works["supplies"] = OpenSupplies(shop.marketplaces, shop.ledger, shop.notifier, shop.now).run
    if workshop.leaving:
        works["leaving"] = lambda: _let_go(workshop, asked)
    if (interval_s := systemd.watchdog_interval_s()) is not None:
        works["watchdog"] = lambda: _feed_watchdog(interval_s)
    tasks = [asyncio.create_task(_kept_up(name, work), name=name) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _where_configured(settings: Settings, shop: Shop, wake: Callable[[], None]) -> dict[str, _Work]:
    """What some shops have."""
    made = {
        "online": online_watch(settings, shop),
        "web page": web_page(settings, shop, wake),
        "dashboard": dashboard(settings, shop, wake),
        "backups": backups(settings, shop),
        "tidying": tidying(settings),
    }
    return {name: each.run for name, each in made.items() if each is not None}


async def _let_go(workshop: Workshop, asked: Asked) -> None:
    """Of printers that were removed while they printed, once the bed is free."""
    while True:
        if not workshop.leaving.keys() <= workshop.busy():
            asked.to_let_go()
            return
        await asyncio.sleep(workshop.shop.pace.idle_printer_s)  # a command answers for a bed as well: it has no event for us


async def _kept_up(name: str, work: _Work) -> None:
    """A bug in one marketplace's or one printer's task must not take the others down: it is told, and the task begins again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("task_failed", task=name, again_in_s=RESTART_PAUSE_S)
        await asyncio.sleep(RESTART_PAUSE_S)


async def _feed_watchdog(interval_s: float) -> None:
    while True:
        systemd.alive()
        await asyncio.sleep(interval_s)
