"""The daemon: start, serve, drain, stop. Built to be killed: whatever is lost here, the ledger and the printers still know."""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import structlog

from agent.config.model import Settings
from agent.domain.errors import AgentError, ConfigError
from agent.domain.stock import configured, written_of
from agent.ledger.orders import WANT_A_PRINTER
from agent.shopfloor import data_dir
from agent.wire import systemd
from agent.wiring import dashboard, online_watch, open_shop, web_page
from agent.workflow.intake import Intake
from agent.workflow.promise_watch import PromiseWatch
from agent.workflow.reconcile import Reconciler
from agent.workflow.shop import Shop
from agent.workflow.watch import PrinterWatch

log = structlog.get_logger()

DRAIN_S = 20.0
RESTART_PAUSE_S = 10.0
_Work = Callable[[], Awaitable[None]]
"""Runs until cancelled."""


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; a second one does not wait for what is at work."""
    for warning in settings.warnings:
        log.warning("configuration", text=warning)
    with _only_one(data_dir(settings)):
        async with open_shop(settings) as shop:
            stop = _stop_signal()
            reconciler = Reconciler(shop)
            await _warm_slicers(shop)
            reels = written_of((printer.facts.name, printer.facts.materials) for printer in shop.printers.values())
            shop.ledger.count_from(configured(reels, shop.policy.packagings))
            shop.ledger.wake(WANT_A_PRINTER)  # printers, spools and profiles may be others than before
            async with _running(shop, reconciler, _where_configured(settings, shop, reconciler.wake)):
                log.info("ready", printers=list(shop.printers), marketplaces=list(shop.marketplaces), mode=shop.policy.mode)
                systemd.ready(f"{len(shop.printers)} printers, {len(shop.marketplaces)} marketplaces")
                await stop.wait()
                log.info("stopping")
                systemd.stopping()
            await reconciler.drain(DRAIN_S)
    log.info("stopped")


async def _warm_slicers(shop: Shop) -> None:
    """One that is not there is told now; orders that need it go on hold, and all else works."""
    for name, slicer in shop.slicers.items():
        try:
            await slicer.warm()
        except AgentError as error:
            log.error("slicer_not_ready", slicer=name, why=error.told())


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two agents over one ledger would both drive the same printers."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another agent is at work in {folder}.", hint="Stop it, or give this one its own [agent] data_dir."
            ) from error
        file.write(str(os.getpid()))
        file.flush()
        yield


def _stop_signal() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: the ledger is safe at any instant, so nothing is waited for
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop


@contextlib.asynccontextmanager
async def _running(shop: Shop, reconciler: Reconciler, more: Mapping[str, _Work]) -> AsyncIterator[None]:
    """The loop, a door for each marketplace and an eye on each printer, until left."""
    works: dict[str, _Work] = {"reconciler": reconciler.run, **more}
    works |= {f"intake {name}": Intake(market, shop, reconciler.wake).run for name, market in shop.marketplaces.items()}
    works |= {f"watch {name}": PrinterWatch(printer, shop).run for name, printer in shop.printers.items()}
    works["promises"] = PromiseWatch(shop).run
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
    }
    return {name: each.run for name, each in made.items() if each is not None}


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
