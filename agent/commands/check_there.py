"""What `check` looks at elsewhere: printers and cameras, marketplaces, the label printer, the dashboard's broker, notifications."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from agent.commands.finding import Finding, Look, failed
from agent.commands.notify import look_at_notifications
from agent.config.mailbox import MailboxSettings
from agent.config.model import HotFolderSettings, OperatorApiSettings, Settings
from agent.config.mqtt import MqttSettings
from agent.config.printer import PrinterSettings
from agent.domain.errors import AgentError
from agent.domain.printer import PrinterFacts, PrinterState
from agent.labels.media import CHOICES, Size, named, sides_of
from agent.labels.queue import Queue
from agent.marketplaces.mailbox.standing import Standing, look_at
from agent.ports.printer import NO_CAMERA, Camera
from agent.shopfloor import facts_of, profile_library
from agent.wiring import build_marketplace, build_printer, dashboard_broker, mail_server, mailbox_dir

_BROKER_S = 8.0
_LEDGER_S = 4.0
_ITS_FOLDER = "Give the agent's user [agent] data_dir and all that is in it."
_NOT_REACHED = "Is the server on, and is its address right? `intagly-agent notify --test` tries it anew."


def looks_there(settings: Settings, ledger_is_there: Event) -> Iterator[Look]:
    """`ledger_is_there` as in looks_here."""
    yield from _printers(settings)
    for market in settings.marketplaces:
        yield Look(f"marketplace {market.name}", partial(_run, _marketplace, market, settings))
    if settings.labels.printer:
        yield Look("label printer", partial(_run, _label_printer, Queue(settings.labels.printer), settings.labels.media))
    if settings.mqtt is not None:
        yield Look("dashboard", partial(_run, _broker, settings.mqtt, settings.agent.name))
    yield Look("notifications", partial(_run, _notifications, settings, ledger_is_there))


def _run(look: Callable[..., Coroutine[Any, Any, list[Finding]]], *arguments: Any) -> list[Finding]:
    """In a loop of its own: what blocks there blocks nothing else."""
    return asyncio.run(look(*arguments))


# --- printers ----------------------------------------------------------------------------------------------------
def _printers(settings: Settings) -> Iterator[Look]:
    profiles = profile_library(settings)
    for printer in settings.printers:
        try:
            facts = facts_of(printer, profiles)
        except AgentError:
            continue  # told with the profiles
        yield Look(f"printer {printer.name}", partial(_run, _printer, printer, facts, settings))


async def _printer(configured: PrinterSettings, facts: PrinterFacts, settings: Settings) -> list[Finding]:
    subject = f"printer {configured.name}"
    try:
        async with build_printer(configured, facts, settings) as printer:
            seen = await printer.observe()
            if seen.state is PrinterState.OFFLINE:
                return [Finding(subject, "error", f"offline: {seen.reason}")]
            found = [Finding(subject, "ok", f"{seen.state}{' with ' + seen.remote_name if seen.remote_name else ''}")]
            return [*found, *await _camera(configured.name, printer)] if isinstance(printer, Camera) else found
    except AgentError as error:
        return [failed(subject, error)]
    except OSError as error:
        return [Finding(subject, "error", f"{error.filename or 'its files'} cannot be used: {error.strerror}", _ITS_FOLDER)]


async def _camera(name: str, printer: Camera) -> list[Finding]:
    """No print waits for a picture: a broken camera is a warning."""
    try:
        picture = await printer.snapshot()
    except AgentError as error:
        return [] if error.code == NO_CAMERA else [Finding(f"camera of {name}", "warning", str(error), error.hint)]
    return [Finding(f"camera of {name}", "ok", f"sends a picture of {len(picture) // 1024} kB")]


# --- marketplaces ------------------------------------------------------------------------------------------------
async def _marketplace(market: OperatorApiSettings | HotFolderSettings | MailboxSettings, settings: Settings) -> list[Finding]:
    subject = f"marketplace {market.name}"
    if isinstance(market, HotFolderSettings):
        return [_folder(subject, market.path)]  # opening it would take what lies there
    try:
        if isinstance(market, MailboxSettings):
            state = mailbox_dir(market, settings)
            return _mailbox(subject, await look_at(mail_server(market), market.folder, state, market.templates_dir))
        async with build_marketplace(market) as opened:
            offers = await opened.offers()
    except AgentError as error:
        return [Finding(subject, "error", str(error), error.hint or "Is its address right, and this machine in the network?")]
    return [Finding(subject, "ok", f"answers; {len(offers)} offers wait")]


def _mailbox(subject: str, standing: Standing) -> list[Finding]:
    tells = "tells of new mails itself (IDLE)" if standing.tells else "is asked now and then (no IDLE)"
    found = [Finding(subject, "ok", f"{standing.mails} mails; the server {tells}; templates: {', '.join(standing.templates)}")]
    read = "Read WHY.txt there."
    found += [Finding(subject, "warning", f"a mail was not understood: {folder}", read) for folder in standing.questions]
    for mail in standing.unproven:
        hint = "Nothing was made of it. See docs/marketplaces.md."
        found += [Finding(subject, "warning", f"“{mail.subject}” from {mail.sender} was not believed: {mail.about}", hint)]
    return found


def _folder(subject: str, path: Path) -> Finding:
    if path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(subject, "ok", f"watches {path}")
    if path.exists():
        return Finding(subject, "error", f"{path} is no folder that can be written", "Files are moved away when they are taken.")
    return Finding(subject, "warning", f"{path} is not there yet", "The daemon makes it.")


# --- the label printer -------------------------------------------------------------------------------------------
async def _label_printer(queue: Queue, media: str) -> list[Finding]:
    """Nothing is printed. Whether a label fits is known when there is one; whether the printer has the paper is known now."""
    try:
        facts = await queue.facts()
    except AgentError as error:
        return [failed("label printer", error)]
    if facts.formats and "application/pdf" not in facts.formats:
        hint = "Print through a queue of CUPS that has a driver for it."
        return [Finding("label printer", "error", f"{queue.uri} takes no PDF", hint)]
    if media in CHOICES and named(Size(*sides_of(CHOICES[media])), facts.media) is None:
        hint = f"It has {', '.join(facts.media[:12])}. Set [labels] media to one of them, or another printer."
        return [Finding("label printer", "error", f"{queue.uri} has no paper {media}", hint)]
    says = f"; it says: {facts.says}" if facts.says else ""
    return [Finding("label printer", "ok", f"{queue.uri} takes jobs{says}")]


# --- the dashboard -----------------------------------------------------------------------------------------------
async def _broker(mqtt: MqttSettings, agent: str) -> list[Finding]:
    """As the dashboard would: with its password and trust, and for the topics it listens to. Nothing is published."""
    # Late, as in wiring: for those who have a broker.
    from agent.dashboards.topics import Topics  # noqa: PLC0415
    from agent.wire.mqtt import MqttLink  # noqa: PLC0415

    topics, where = Topics(agent, mqtt.prefix, mqtt.discovery_prefix), f"the broker at {mqtt.host}:{mqtt.port}"
    heard = [*topics.heard, *(topics.commands if mqtt.commands else [])]
    try:
        async with MqttLink(dashboard_broker(mqtt), heard, lambda *_: None, mqtt5=mqtt.version == "5") as link:
            await link.wait_up(_BROKER_S, once=True)
    except AgentError as error:
        return [failed("dashboard", error)]
    found = [Finding("dashboard", "ok", f"{where} lets the agent in{', through TLS' if mqtt.tls else ''}")]
    if mqtt.password and not mqtt.tls and mqtt.host not in ("localhost", "127.0.0.1", "::1"):
        hint = "Set [mqtt] tls = true and the broker's TLS port, if it has one."
        found.append(Finding("dashboard", "warning", "the password goes over the network in the clear", hint))
    return found


# --- notifications -----------------------------------------------------------------------------------------------
async def _notifications(settings: Settings, ledger_is_there: Event) -> list[Finding]:
    """What arrived lately stands in the ledger: looked up where that could be opened in time."""
    known = await asyncio.to_thread(ledger_is_there.wait, _LEDGER_S)
    return [
        Finding(told.subject, told.level, told.text, told.hint or (_NOT_REACHED if told.level == "error" else ""))
        for told in await look_at_notifications(settings, with_ledger=known)
    ]
