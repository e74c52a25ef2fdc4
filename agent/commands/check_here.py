"""What `check` looks at on this machine: ledger, disk, memory, slicers, profiles, clock, page."""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from threading import Event

from agent.commands.at_work import pid_at_work
from agent.commands.finding import Finding, Look, failed
from agent.config.model import Settings
from agent.domain.errors import AgentError
from agent.ledger.files import DiskStore
from agent.ledger.sql_ledger import SqlLedger
from agent.meshes.limits import MB
from agent.shopfloor import build_engine, facts_of, profile_library
from agent.slicers.engine import Engine
from agent.wire.clock import is_synchronised
from agent.wiring import ledger_url, web_access

PROVEN_SLICERS = ("PrusaSlicer-2.5", "PrusaSlicer-2.9", "CuraEngine-4.13", "CuraEngine-5.0")
NEVER_RUN = ("OrcaSlicer-", "BambuStudio-")


def looks_here(settings: Settings, ledger_is_there: Event) -> Iterator[Look]:
    """`ledger_is_there` is set once the ledger was opened: who opens it for the first time makes its tables, and only one may."""
    yield Look("ledger", partial(_ledger, settings, ledger_is_there))
    yield Look("disk", partial(_disk, settings))
    yield Look("backup", partial(_backup, settings))
    yield Look("memory", partial(_memory, settings))
    for name in sorted({printer.slicer for printer in settings.printers}):
        yield Look("slicer", partial(_slicer, build_engine(name, settings)))
    yield Look("profiles", partial(_profiles, settings))
    yield Look("packaging", partial(_packaging, settings))
    yield Look("clock", partial(_clock, settings))
    yield Look("page", partial(_page, settings))


def _ledger(settings: Settings, is_there: Event) -> Iterator[Finding]:
    try:
        with SqlLedger(ledger_url(settings)) as ledger:
            is_there.set()
            ledger.require_writable()
            yield Finding("ledger", "ok", f"opened, and can be written; {ledger.count_open()} open orders")
    except AgentError as error:
        yield failed("ledger", error)


def _disk(settings: Settings) -> Iterator[Finding]:
    """Where the data will lie, also before the ledger, which is looked at meanwhile, has made the folder."""
    folder = settings.agent.data_dir
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    try:
        DiskStore(there, keep_free_bytes=settings.files.keep_free_mb * MB).require_room()
        yield Finding("disk", "ok", f"{shutil.disk_usage(there).free // MB:,} MB free in {folder}")
    except AgentError as error:
        yield failed("disk", error)


def _backup(settings: Settings) -> Iterator[Finding]:
    """The daemon makes the folder where it can; a mount that is not there would be made as a folder on the small disk."""
    folder = settings.backup.folder
    if folder is None:
        return
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        hint = "Give the agent's user that folder, or set [backup] folder to another one."
        yield Finding("backup", "error", f"{nearest} cannot be written, and copies would go to {folder}", hint)
    elif nearest != folder:
        yield Finding(
            "backup", "warning", f"{folder} is not there yet", "The daemon makes it. If a disk is to be mounted there, mount it first."
        )
    else:
        yield Finding("backup", "ok", f"{shutil.disk_usage(folder).free // MB:,} MB free in {folder}")


def _memory(settings: Settings) -> Iterator[Finding]:
    """A slicer may take all that it is allowed; where that is more than there is, the kernel ends something of its own choice."""
    there, wanted = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB, settings.slicing.workers * settings.slicing.memory_mb
    if wanted > there:
        hint = f"Set [slicing] workers or memory_mb lower: together they may be at most the {there:,} MB of this machine."
        yield Finding("memory", "warning", f"{settings.slicing.workers} slicers may take {wanted:,} MB, and there are {there:,}", hint)


def _slicer(engine: Engine) -> Iterator[Finding]:
    try:
        version = engine.version()
    except AgentError as error:
        yield failed("slicer", error)
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
            yield failed(subject, error)
            continue
        size = "×".join(f"{side:.0f}" for side in profile.bed_mm)
        yield Finding(subject, "ok", f"{profile.name}, {size} mm, nozzle {profile.nozzle_mm} mm, {', '.join(profile.materials)}")
        if not printer.materials:
            yield Finding(printer.name, "warning", "no material is loaded", "Nothing is printed there: add [[materials]] to its file.")


def _packaging(settings: Settings) -> Iterator[Finding]:
    """Boxes that are used up make the agent decline what would need them."""
    boxes = settings.acceptance.packagings
    if not boxes and settings.marketplaces:
        hint = "Set [acceptance] packagings to the boxes you have, with what fits inside."
        yield Finding("packaging", "warning", "no box is known: whether an order's parts can be packed is not looked at", hint)
    elif boxes:
        yield Finding("packaging", "ok", ", ".join(boxes))


def _clock(settings: Settings) -> Iterator[Finding]:
    here = datetime.now().astimezone()
    now = f"{here:%Y-%m-%d %H:%M %Z}"
    if is_synchronised() is False:
        hint = "Deadlines hold all the same; opening hours and the history need it: timedatectl set-ntp true."
        yield Finding("clock", "warning", f"{now}, not set by a time service", hint)
    else:
        yield Finding("clock", "ok", now)
    by_hours = bool(settings.acceptance.hours or settings.schedule.attended or any(who.hours for who in settings.notifications.people))
    if by_hours and time.tzname[0] == "UTC" and not time.daylight:
        hint = "If your shop is elsewhere: timedatectl set-timezone Europe/Berlin (or yours), then start the agent again."
        yield Finding("time zone", "warning", "the hours in the configuration are read as UTC, which is this machine's time zone", hint)


def _page(settings: Settings) -> Iterator[Finding]:
    if not settings.web.listen:
        return
    access = web_access(settings)
    where = f"{access.opened_at()}, from {settings.web.listen}"
    if (pid := pid_at_work(settings.agent.data_dir)) is not None:
        yield Finding("page", "ok", f"{where}, is the running agent's to serve (process {pid})")
        return
    try:
        access.check_certificate()
        access.listening().close()
    except AgentError as error:
        yield failed("page", error)
    except OSError as error:
        hint = "Give it another port with [web] listen, or stop what has this one (`ss -ltnp` tells)."
        yield Finding("page", "error", f"{settings.web.listen} cannot be had: {error.strerror or error}", hint)
    else:
        yield Finding("page", "ok", f"{where}, can be served")
