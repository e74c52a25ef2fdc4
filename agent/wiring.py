"""From configuration to adapters: with shopfloor.py the only files that name every one of them."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from agent.config.model import AcceptanceSettings, HotFolderSettings, OperatorApiSettings, Settings
from agent.config.printer import BambuSettings, MoonrakerSettings, OctoPrintSettings, PrinterSettings, VirtualSettings
from agent.domain.fit import Packaging
from agent.domain.printer import PrinterFacts
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.hot_folder.marketplace import HotFolder
from agent.marketplaces.operator_api import OperatorApi
from agent.meshes.inspector import ChildInspector
from agent.meshes.limits import MB
from agent.notifiers.fanout import notifier_for
from agent.ports.marketplace import Marketplace
from agent.ports.printer import Printer
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.printer import BambuPrinter
from agent.printers.moonraker import MoonrakerAccess, MoonrakerPrinter
from agent.printers.octoprint import OctoPrintPrinter
from agent.printers.virtual import VirtualPrinter
from agent.shopfloor import build_slicers, data_dir, facts_of, mesh_limits, profile_library, slicing_dir
from agent.wire.mqtt import Broker
from agent.wire.tls import trusting
from agent.workflow.acceptance import Policy
from agent.workflow.shop import Shop


def ledger_url(settings: Settings) -> str:
    """The configured database, or SQLite in data_dir."""
    return settings.ledger.address.get_secret_value() or sqlite_url(data_dir(settings))


def file_store(settings: Settings) -> DiskStore:
    return DiskStore(settings.agent.data_dir / "files", keep_free_bytes=settings.files.keep_free_mb * MB)


def build_printers(settings: Settings) -> dict[str, Printer]:
    profiles = profile_library(settings)
    return {printer.name: build_printer(printer, facts_of(printer, profiles), settings) for printer in settings.printers}


def build_printer(printer: PrinterSettings, facts: PrinterFacts, settings: Settings) -> Printer:
    match printer:
        case OctoPrintSettings():
            return OctoPrintPrinter(facts, printer.url, printer.api_key.reveal(), printer.snapshot_url or "")
        case MoonrakerSettings():
            return MoonrakerPrinter(facts, moonraker_access(printer))
        case BambuSettings():
            return BambuPrinter(facts, bambu_access(printer, slicing_dir(settings)))
        case VirtualSettings():
            return VirtualPrinter(facts, settings.agent.data_dir / "virtual" / printer.name, printer.speed)


def moonraker_access(printer: MoonrakerSettings) -> MoonrakerAccess:
    """ConfigError where the certificate authority's file cannot be used."""
    tls = trusting(printer.mqtt_ca_file) if printer.mqtt_tls else None
    broker = Broker(printer.mqtt_host, printer.mqtt_port, printer.mqtt_username or "", printer.mqtt_password, tls)
    return MoonrakerAccess(url=printer.url, broker=broker, instance_name=printer.instance_name, api_key=printer.api_key)


def bambu_access(printer: BambuSettings, work_dir: Path) -> BambuAccess:
    return BambuAccess(
        host=printer.host,
        serial=printer.serial,
        access_code=printer.access_code,
        ca_file=printer.ca_file,
        model=printer.model,
        url_form=printer.url_form,
        use_ams=printer.use_ams,
        mqtt_port=printer.mqtt_port,
        ftps_port=printer.ftps_port,
        camera_port=printer.camera_port,
        work_dir=work_dir,
    )


def build_marketplace(market: OperatorApiSettings | HotFolderSettings) -> Marketplace:
    match market:
        case OperatorApiSettings():
            return OperatorApi(market.name, market.url, market.token.reveal, market.poll_interval_s)
        case HotFolderSettings():
            return HotFolder(
                market.name,
                market.path,
                still_s=market.still_s,
                material=market.material,
                color=market.color.value(),
                infill_percent=market.infill_percent,
                supports=market.supports,
                accept_within_s=market.accept_within_s,
            )


def policy_of(acceptance: AcceptanceSettings) -> Policy:
    return Policy(
        mode=acceptance.mode,
        answer_margin_s=acceptance.answer_margin_s,
        min_payout=acceptance.min_payout,
        longest_print_s=None if acceptance.longest_print_h is None else int(acceptance.longest_print_h * 3600),
        hours=acceptance.hours,
        max_open_orders=acceptance.max_open_orders,
        blocked_words=acceptance.blocked_words,
        infill_percent=(acceptance.infill_min_percent, acceptance.infill_max_percent),
        supports=frozenset(acceptance.supports),
        ask_about_instructions=acceptance.ask_about_instructions,
        packagings=[Packaging(name=name, inner_mm=(x, y, z)) for name, (x, y, z) in acceptance.packagings.items()],
    )


@contextlib.asynccontextmanager
async def open_shop(settings: Settings) -> AsyncIterator[Shop]:
    """Everything the daemon works with, opened in order and closed in the reverse one."""
    async with contextlib.AsyncExitStack() as stack:
        store = file_store(settings)
        store.open()
        ledger = stack.enter_context(SqlLedger(ledger_url(settings)))
        notifier = notifier_for(settings.notifications.addresses, store.path)
        stack.push_async_callback(notifier.aclose)
        shutil.rmtree(slicing_dir(settings), ignore_errors=True)  # of slicers that died with an earlier daemon
        slicers = build_slicers(settings, profile_library(settings), store)
        yield Shop(
            ledger=ledger,
            store=store,
            marketplaces={market.name: await stack.enter_async_context(build_marketplace(market)) for market in settings.marketplaces},
            printers={name: await stack.enter_async_context(printer) for name, printer in build_printers(settings).items()},
            slicers=slicers,
            meshes=await stack.enter_async_context(ChildInspector(store, limits=mesh_limits(settings))),
            notifier=notifier,
            policy=policy_of(settings.acceptance),
            now=utc_now,
            local_now=lambda: datetime.now().astimezone(),
            largest_file_bytes=settings.files.max_file_mb * MB,
            orient=settings.slicing.orient,
            heat_at_once=settings.printing.heat_at_once,
            slicing=asyncio.Semaphore(settings.slicing.workers),
        )


def utc_now() -> datetime:
    return datetime.now(UTC)
