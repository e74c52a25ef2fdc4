"""`check`: is everything there that the daemon needs? One line each, with the way out."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import click

from agent.commands.notify import look_at_notifications
from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.config.mailbox import MailboxSettings
from agent.config.mistakes import BadConfiguration
from agent.config.model import HotFolderSettings, OperatorApiSettings, Settings
from agent.domain.errors import AgentError
from agent.domain.printer import PrinterState
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.mailbox.standing import Standing, look_at
from agent.meshes.limits import MB
from agent.ports.printer import Printer
from agent.shopfloor import PROGRAMS, build_engine, facts_of, profile_library
from agent.slicers.engine import Engine
from agent.wire.clock import is_synchronised
from agent.wiring import build_marketplace, build_printers, file_store, ledger_url, mail_server, mailbox_dir

Level = Literal["ok", "warning", "error"]
PROVEN_SLICERS = ("PrusaSlicer-2.5", "PrusaSlicer-2.9", "CuraEngine-4.13", "CuraEngine-5.0")
NEVER_RUN = ("OrcaSlicer-", "BambuStudio-")
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """One line. `hint` is the way out, empty where all is well."""

    subject: str
    level: Level
    text: str
    hint: str = ""


@click.command()
@config_option
@json_option
def check(config: ConfigSource, as_json: bool) -> None:
    """Look at configuration, ledger, slicer, profiles, printers, marketplaces, disk and clock. Prints nothing, accepts nothing."""
    findings = _config_mistakes(config)
    if isinstance(findings, Settings):
        findings = asyncio.run(_collect(findings))
        exit_code = 1 if any(finding.level == "error" for finding in findings) else 0
    else:
        exit_code = 78
    if as_json:
        say_json({"ok": exit_code == 0, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            mark, color = _MARKS[finding.level]
            click.echo(f"{click.style(mark, fg=color)} {finding.subject}: {finding.text}" + (f" — {finding.hint}" if finding.hint else ""))
    raise click.exceptions.Exit(exit_code)


def _config_mistakes(config: ConfigSource) -> Settings | list[Finding]:
    try:
        return config.settings()
    except BadConfiguration as bad:
        hint = bad.hint if len(bad.mistakes) == 1 else ""
        return [Finding("configuration", "error", str(mistake), hint) for mistake in bad.mistakes]


async def _collect(settings: Settings) -> list[Finding]:
    findings = [Finding("configuration", "ok", f"{len(settings.printers)} printers, {len(settings.marketplaces)} marketplaces")]
    findings += [Finding("configuration", "warning", warning) for warning in settings.warnings]
    findings += [*_ledger(settings), *_disk(settings), *_slicers(settings), *_profiles(settings), *_clock()]
    findings += [finding async for finding in _printers(settings)]
    findings += [finding async for finding in _marketplaces(settings)]
    findings += [Finding(*told) for told in await look_at_notifications(settings)]
    return findings


def _failed(subject: str, error: AgentError) -> Finding:
    return Finding(subject, "error", str(error), error.hint)


def _ledger(settings: Settings) -> Iterator[Finding]:
    try:
        with SqlLedger(ledger_url(settings)) as ledger:
            yield Finding("ledger", "ok", f"opened; {ledger.count_open()} open orders")
    except AgentError as error:
        yield _failed("ledger", error)


def _disk(settings: Settings) -> Iterator[Finding]:
    if not settings.agent.data_dir.is_dir():
        return  # told with the ledger
    try:
        file_store(settings).require_room()
        yield Finding("disk", "ok", f"{shutil.disk_usage(settings.agent.data_dir).free // MB:,} MB free in {settings.agent.data_dir}")
    except AgentError as error:
        yield _failed("disk", error)


def _slicers(settings: Settings) -> Iterator[Finding]:
    """Those that some printer names."""
    engines = {program: build_engine(program, settings) for program in PROGRAMS}
    for name in sorted({printer.slicer for printer in settings.printers}):
        yield from _slicer(engines[name])


def _slicer(engine: Engine) -> Iterator[Finding]:
    try:
        version = engine.version()
    except AgentError as error:
        yield _failed("slicer", error)
        return
    yield Finding("slicer", "ok", f"{engine.program}: {version}")
    if version.startswith(NEVER_RUN):
        hint = "What it writes may not prove; orders then go on hold. Print a small part first, beside the machine. See docs/slicers.md."
        yield Finding("slicer", "warning", f"{engine.name} was never run by us: it is called as its public sources say", hint)
    elif not version.startswith(PROVEN_SLICERS):
        hint = "What it writes may not prove; orders then go on hold. See docs/slicers.md."
        yield Finding("slicer", "warning", f"only {', '.join(PROVEN_SLICERS)} were tried with this agent", hint)


def _profiles(settings: Settings) -> Iterator[Finding]:
    profiles = profile_library(settings)
    for printer in settings.printers:
        subject = f"profile of {printer.name}"
        try:
            profile = profiles.profile(printer.profile)
            facts_of(printer, profiles)
            for spool in printer.materials:
                profile.material(spool.material)
        except AgentError as error:
            yield _failed(subject, error)
            continue
        size = "×".join(f"{side:.0f}" for side in profile.bed_mm)
        yield Finding(subject, "ok", f"{profile.name}, {size} mm, nozzle {profile.nozzle_mm} mm, {', '.join(profile.materials)}")
        if not printer.materials:
            yield Finding(printer.name, "warning", "no material is loaded", "Nothing is printed there: add [[materials]] to its file.")


def _clock() -> Iterator[Finding]:
    now = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    if is_synchronised() is False:
        hint = "Deadlines hold all the same; opening hours and the history need it: timedatectl set-ntp true."
        yield Finding("clock", "warning", f"{now}, not set by a time service", hint)
    else:
        yield Finding("clock", "ok", now)


async def _printers(settings: Settings) -> AsyncIterator[Finding]:
    try:
        adapters = build_printers(settings)
    except AgentError:
        return  # told with the profiles
    for found in await asyncio.gather(*(_printer(name, printer) for name, printer in adapters.items())):
        yield found


async def _printer(name: str, printer: Printer) -> Finding:
    subject = f"printer {name}"
    try:
        async with printer:
            seen = await printer.observe()
    except OSError as error:
        return Finding(subject, "error", f"{error.filename or 'its files'} cannot be used: {error.strerror}")
    if seen.state is PrinterState.OFFLINE:
        return Finding(subject, "error", f"offline: {seen.reason}")
    return Finding(subject, "ok", f"{seen.state}{' with ' + seen.remote_name if seen.remote_name else ''}")


async def _marketplaces(settings: Settings) -> AsyncIterator[Finding]:
    for found in await asyncio.gather(*(_marketplace(market, settings) for market in settings.marketplaces)):
        for finding in found:
            yield finding


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
        return [_failed(subject, error)]
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
