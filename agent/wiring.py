"""From configuration to adapters: with shopfloor.py the only files that name every one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.config.costs import prices
from agent.config.labels import LabelSettings
from agent.config.mailbox import MailboxSettings
from agent.config.model import HotFolderSettings, OperatorApiSettings, Settings
from agent.config.mqtt import MqttSettings
from agent.config.printer import BambuSettings, MoonrakerSettings, OctoPrintSettings, PrinterSettings, VirtualSettings
from agent.domain.errors import NeedsOperator
from agent.domain.printer import PrinterFacts
from agent.domain.stock import written_of
from agent.dossiers.apart import export_apart
from agent.labels.desk import CarrierLabels
from agent.labels.printing import PATIENCE_S, LabelDesk
from agent.labels.queue import Queue
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.operator_api import OperatorApi
from agent.meshes.limits import MB
from agent.notifiers.caller import Caller, Line
from agent.notifiers.calling import Callee
from agent.notifiers.fanout import FanOut, channel_for
from agent.notifiers.log import LogChannel
from agent.operator.desk import Backroom, Desk
from agent.operator.remote import RemoteActs
from agent.operator.shelf import Stocked
from agent.operator.web.access import Access, access_of
from agent.operator.web.server import WebPage
from agent.ports.marketplace import Marketplace
from agent.ports.meshes import MeshInspector
from agent.ports.notifier import Notifier
from agent.ports.printer import Printer
from agent.printers.bambu.access import BambuAccess
from agent.printers.virtual import VirtualPrinter
from agent.shopfloor import build_slicers, data_dir, facts_of, profile_library, slicing_dir
from agent.wire.imap import ImapServer
from agent.wire.tls import trusting
from agent.workflow import reprint
from agent.workflow.acceptance import Mode
from agent.workflow.by_hand import AskFirst, HandSwitches
from agent.workflow.obstacles import Limits, Obstacles
from agent.workflow.online import Online
from agent.workflow.planned import scene
from agent.workflow.shop import Shop
from agent.workflow.turns import Turns

if TYPE_CHECKING:
    from agent.dashboards.dashboard import Dashboard
    from agent.marketplaces.mailbox.marketplace import Mailbox
    from agent.operator.metrics.metrics import Metrics
    from agent.printers.moonraker.access import MoonrakerAccess
    from agent.wire.mqtt import Broker

_LABEL_S = 10.0
"""No order's handler waits longer for a label to come out; how it stands is told then."""


def ledger_url(settings: Settings) -> str:
    """The configured database, or SQLite in data_dir."""
    return settings.ledger.address.get_secret_value() or sqlite_url(data_dir(settings))


def file_store(settings: Settings) -> DiskStore:
    return DiskStore(settings.agent.data_dir / "files", keep_free_bytes=settings.files.keep_free_mb * MB)


def build_printers(settings: Settings) -> dict[str, Printer]:
    profiles = profile_library(settings)
    facts = [facts_of(printer, profiles, settings.schedule.color_limit) for printer in settings.printers]
    return {printer.name: build_printer(printer, known, settings) for printer, known in zip(settings.printers, facts, strict=True)}


def build_printer(printer: PrinterSettings, facts: PrinterFacts, settings: Settings) -> Printer:
    """A kind is loaded where there is a printer of it: octorest, with requests, is 6 MB, and not everybody's."""
    match printer:
        case OctoPrintSettings():
            from agent.printers.octoprint import OctoPrintPrinter  # noqa: PLC0415

            return OctoPrintPrinter(facts, printer.url, printer.api_key.reveal(), printer.snapshot_url or "")
        case MoonrakerSettings():
            from agent.printers.moonraker.printer import MoonrakerPrinter  # noqa: PLC0415

            return MoonrakerPrinter(facts, moonraker_access(printer))
        case BambuSettings():
            from agent.printers.bambu.printer import BambuPrinter  # noqa: PLC0415

            return BambuPrinter(facts, bambu_access(printer, slicing_dir(settings)))
        case VirtualSettings():
            return VirtualPrinter(facts, settings.agent.data_dir / "virtual" / printer.name, printer.speed)


def moonraker_access(printer: MoonrakerSettings) -> "MoonrakerAccess":
    """ConfigError where the certificate authority's file cannot be used."""
    # Late: paho is a megabyte, for those who talk to a broker.
    from agent.printers.moonraker.access import MoonrakerAccess  # noqa: PLC0415
    from agent.wire.mqtt import Broker  # noqa: PLC0415

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
            # Late: watchdog is 1.6 MB, for those who have a folder.
            from agent.marketplaces.hot_folder.marketplace import HotFolder  # noqa: PLC0415

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


def marketplace_of(
    market: OperatorApiSettings | HotFolderSettings | MailboxSettings, settings: Settings, notifier: Notifier
) -> Marketplace:
    return build_mailbox(market, settings, notifier) if isinstance(market, MailboxSettings) else build_marketplace(market)


def build_mailbox(market: MailboxSettings, settings: Settings, notifier: Notifier) -> "Mailbox":
    # Late: with the standard library's parser of mails it is 2.6 MB, for those who have one.
    from agent.marketplaces.mailbox.marketplace import Mailbox  # noqa: PLC0415
    from agent.marketplaces.mailbox.sorting import Rules  # noqa: PLC0415

    largest_bytes = market.max_mail_mb * MB
    return Mailbox(
        market.name,
        mail_server(market),
        market.folder,
        Rules(market.senders, market.authserv_id, market.link_hosts, largest_bytes),
        mailbox_dir(market, settings),
        notifier,
        templates_dir=market.templates_dir,
        answer_within_s=market.answer_within_min * 60,
        poll_s=market.poll_interval_s,
        look_back_days=market.look_back_days,
    )


def mailbox_dir(market: MailboxSettings, settings: Settings) -> Path:
    """Where what came by mail is kept."""
    return settings.agent.data_dir / "mailbox" / market.name


def mail_server(market: MailboxSettings) -> ImapServer:
    """ConfigError where the certificate authority's file cannot be used."""
    return ImapServer(
        host=market.host,
        port=market.port,
        username=market.username,
        secret=lambda: _mail_secret(market),
        tls=None if market.security == "none" else trusting(market.ca_file),
        starttls=market.security == "starttls",
        oauth=market.login == "xoauth2",
    )


def _mail_secret(market: MailboxSettings) -> str:
    """A token is read anew: it lives for an hour."""
    if market.login == "password" or market.password_file is None:
        return market.password.reveal()
    path = Path(market.password_file.source)
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "Whatever renews it has to write it."
        raise NeedsOperator(f"{path}, with the token for {market.host}, cannot be read.", hint=hint) from error


@dataclass(frozen=True)
class Opened:
    """What a shop works with that is opened and closed. `leaving`: of the printers, those that the configuration no longer has."""

    ledger: SqlLedger
    store: DiskStore
    meshes: MeshInspector
    notifier: Notifier
    marketplaces: Mapping[str, Marketplace]
    printers: Mapping[str, Printer]
    leaving: Sequence[PrinterSettings] = ()


def shop_of(settings: Settings, opened: Opened) -> Shop:
    return Shop(
        ledger=opened.ledger,
        store=opened.store,
        marketplaces=opened.marketplaces,
        printers=opened.printers,
        slicers=build_slicers(settings, profile_library(settings), opened.store),
        meshes=opened.meshes,
        notifier=opened.notifier,
        policy=settings.acceptance.value(),
        now=utc_now,
        local_now=lambda: datetime.now().astimezone(),
        largest_file_bytes=settings.files.max_file_mb * MB,
        orient=settings.slicing.orient,
        schedule=settings.schedule.value(),
        heat_at_once=settings.printing.heat_at_once,
        slicing=Turns(settings.slicing.workers),
        labels=CarrierLabels(label_desk(settings.labels, opened.ledger, patience_s=_LABEL_S), by_itself=settings.labels.print_when_fetched),
        prices=prices(settings.costs, [*settings.printers, *opened.leaving]),
        ask_first=AskFirst(ask_first_file(settings)).is_on,
        remind_before_s=settings.schedule.remind_h * 3600,
        leaving=frozenset(printer.name for printer in opened.leaving),
    )


def build_caller(settings: Settings, ledger: SqlLedger, store: DiskStore) -> Caller:
    """Whoever is called, and the log. Buttons only where there is a page that a phone can open."""
    called = settings.notifications
    lines = [
        Line(person.value(), FanOut([channel_for(url) for url in person.addresses], store.path), person.buttons) for person in called.people
    ]
    if called.addresses:
        lines.append(Line(Callee(""), FanOut([channel_for(url) for url in called.addresses], store.path)))
    url = (settings.web.url or "") if settings.web.listen else ""
    return Caller(lines, FanOut([LogChannel()], store.path), ledger, ledger, url=url, now=utc_now)


def label_desk(labels: LabelSettings, ledger: SqlLedger, queue: str = "", patience_s: float = PATIENCE_S) -> LabelDesk | None:
    """On `queue`, or the configured one; None where there is neither."""
    where = queue or labels.printer
    return LabelDesk(Queue(where), ledger, labels.media, fit=labels.scaling == "fit", patience_s=patience_s) if where else None


def online_watch(settings: Settings, shop: Shop) -> Online | None:
    """None where the agent is not to switch: told so, or it answers no offers."""
    online = settings.online
    if not online.automatic or shop.policy.mode is Mode.OFF:
        return None
    limits = Limits(printers_away_s=online.printers_away_s, filament_g=online.filament_g, clock_off_s=online.clock_off_s)
    memory = settings.agent.data_dir / "online.json"
    return Online(shop, Obstacles(shop, limits), memory, agent_name=settings.agent.name, back_after_s=online.back_after_s)


def web_page(settings: Settings, shop: Shop, wake: Callable[[], None]) -> WebPage | None:
    """None where there is to be none. ConfigError where its certificate cannot be used."""
    if not settings.web.listen:
        return None
    access = web_access(settings)
    access.check_certificate()
    return WebPage(access, page_desk(settings, shop, wake))


def page_desk(settings: Settings, shop: Shop, wake: Callable[[], None]) -> Desk:
    """What people work with, on the page and from elsewhere."""
    ledger = shop.ledger
    assert isinstance(ledger, SqlLedger), "a workshop opens one, and it knows people as well"
    return Desk(
        name=settings.agent.name,
        ledger=ledger,
        people=ledger,
        store=shop.store,
        printers=shop.printers,
        notifier=shop.notifier,
        now=shop.now,
        back=backroom(settings, shop),
        wake=wake,
        buttons=shop.notifier if isinstance(shop.notifier, Caller) else None,
        uploads=ledger,
        uploads_dir=settings.agent.data_dir / "photo-uploads",
        foresee=lambda order, pieces: reprint.foreseen(order, pieces, scene(shop)),
        metrics=_metrics(settings, shop, ledger),
    )


def _metrics(settings: Settings, shop: Shop, ledger: SqlLedger) -> "Metrics | None":
    if not (settings.metrics.enabled and settings.web.listen):
        return None
    # Late: for those who collect them.
    from agent.operator.metrics.metrics import Metrics, MetricSources  # noqa: PLC0415

    sources = MetricSources(
        ledger=ledger,
        figures=ledger,
        measures=shop.measures,
        printers=shop.printers,
        last_seen=shop.last_seen,
        data_dir=settings.agent.data_dir,
        version=__version__,
        open_here=settings.metrics.open_on_this_machine and web_access(settings).loopback and not settings.web.trusted_proxies,
    )
    return Metrics(sources)


def dashboard(settings: Settings, shop: Shop, wake: Callable[[], None]) -> "Dashboard | None":
    """None where there is to be none. ConfigError where the broker's certificate authority cannot be used."""
    mqtt = settings.mqtt
    if mqtt is None:
        return None
    # Late: for those who have one.
    from agent.dashboards.dashboard import Access as DashboardAccess  # noqa: PLC0415
    from agent.dashboards.dashboard import Dashboard  # noqa: PLC0415
    from agent.dashboards.discovery import Announced  # noqa: PLC0415
    from agent.dashboards.sources import Sources  # noqa: PLC0415
    from agent.dashboards.topics import Topics  # noqa: PLC0415

    by = "Home Assistant (MQTT)"
    topics = Topics(settings.agent.name, mqtt.prefix, mqtt.discovery_prefix)
    page = web_access(settings) if settings.web.listen else None
    url = page.opened_at() if page is not None and not page.loopback else ""
    announced = Announced(topics, __version__, mqtt.language, url, mqtt.commands)
    sources = Sources(
        ledger=shop.ledger,
        store=shop.store,
        printers=shop.printers,
        facts=shop.facts,
        last_seen=shop.last_seen,
        marketplaces=shop.marketplaces,
        acts=RemoteActs(page_desk(settings, shop, wake), by),
        switches=HandSwitches(shop, AskFirst(ask_first_file(settings)), by),
        now=shop.now,
        local_now=shop.local_now,
    )
    return Dashboard(DashboardAccess(dashboard_broker(mqtt), announced, mqtt.version == "5", mqtt.picture_s), sources)


def dashboard_broker(mqtt: MqttSettings) -> "Broker":
    """ConfigError where the certificate authority's file cannot be used."""
    from agent.wire.mqtt import Broker  # noqa: PLC0415 (late: paho, for those who have a broker)

    password = mqtt.password.reveal() if mqtt.password else ""
    return Broker(mqtt.host, mqtt.port, mqtt.username or "", password, trusting(mqtt.ca_file) if mqtt.tls else None)


def ask_first_file(settings: Settings) -> Path:
    """There while a person wants to be asked about every offer."""
    return settings.agent.data_dir / "ask-first"


def backroom(settings: Settings, shop: Shop) -> Backroom:
    reels = written_of((printer.facts.name, printer.facts.materials) for printer in shop.printers.values())
    return Backroom(
        marketplaces=shop.marketplaces,
        written=Stocked(reels, shop.policy.packagings, settings.supplies.lead_time_days),
        labels=shop.labels,
        dossier=partial(export_apart, ledger_url(settings), settings.agent.data_dir / "files"),
        counted=shop.counts.forget,
    )


def web_access(settings: Settings) -> Access:
    """Only where the page is not switched off."""
    web = settings.web
    return access_of(web.listen, url=web.url or "", certificate=web.certificate_file, key=web.key_file, trusted_proxies=web.trusted_proxies)


def utc_now() -> datetime:
    return datetime.now(UTC)
