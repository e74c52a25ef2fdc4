"""The members of a support bundle: each gathered by itself, so that what is broken keeps no other from being told."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent import __version__
from agent.commands.at_work import pid_at_work
from agent.commands.doctor_masking import reduced, reduced_line
from agent.commands.finding import Finding
from agent.commands.setup_found import slicers_here
from agent.config.mailbox import MailboxSettings
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.domain.errors import AgentError, Refused
from agent.domain.events import first_broken
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.tables import SCHEMA
from agent.meshes.limits import MB
from agent.wiring import ledger_url

UNIT = "intagly-agent.service"
_UNIT_SAYS = "ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,MemoryCurrent,StatusText"
_PROGRAM_S = 5.0
_NEWEST_ORDERS = 200
_LARGEST_LOG = 4 * MB


@dataclass(frozen=True)
class Member:
    """One file in the bundle. `what`: in a few words, for the person who looks before sending."""

    name: str
    what: str
    content: str


def _json(name: str, what: str, content: object) -> Member:
    return Member(name, what, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def about(settings: Settings | None) -> Member:
    told = {
        "agent": __version__,
        "schema": SCHEMA,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB,
        "time_zone": time.tzname,
        "slicers": slicers_here(settings),
        "disk_free_mb": _free_mb(settings),
        "at_work": None if settings is None else pid_at_work(settings.agent.data_dir) is not None,
        "unit": _unit(),
        "packages": {name: importlib.metadata.version(name) for name in _dependencies()},
    }
    return _json("about.json", "versions of the agent, Python, system, slicers and packages; free disk; state of the service", told)


def _dependencies() -> list[str]:
    """The agent's own, where they are installed."""
    wanted = [text.partition(";")[0] for text in importlib.metadata.requires("intagly-agent") or []]
    names = {"".join(c if c.isalnum() or c in "-_." else " " for c in text).split()[0] for text in wanted}
    there = {(found.metadata["Name"] or "").lower() for found in importlib.metadata.distributions()}
    return sorted(name for name in names if name.lower() in there)


def _free_mb(settings: Settings | None) -> int | None:
    folder = settings.agent.data_dir if settings else None
    return shutil.disk_usage(folder).free // MB if folder and folder.is_dir() else None


def _unit() -> dict[str, str]:
    """Empty where there is no systemd, or no such unit."""
    said = _said("systemctl", "show", UNIT, f"--property={_UNIT_SAYS}")
    pairs = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return {name: value for name, value in pairs.items() if name != "StatusText"}


def _said(*command: str) -> str:
    """What a program of the system says; empty where it is not there, or says nothing in time."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PROGRAM_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def configuration(settings: Settings) -> Member:
    told = {**reduced(settings), "printers": [reduced(printer) for printer in settings.printers]}
    return _json("configuration.json", "every option: numbers, choices, names of printers; of all else only that it is set", told)


def mistakes(bad: BadConfiguration) -> Member:
    """Without what was found: that may be a secret in the wrong place."""
    told = [{"file": Path(each.file).name, "line": each.line, "expected": each.expected} for each in bad.mistakes]
    return _json("configuration.json", "the mistakes in the configuration, without what stands there", told)


def checks(findings: list[Finding], settings: Settings | None) -> Member:
    """Of a mailbox only how it stands: what it tells of mails is other people's."""
    mailboxes = {
        f"marketplace {market.name}" for market in (settings.marketplaces if settings else ()) if isinstance(market, MailboxSettings)
    }
    told = [asdict(finding) for finding in findings if not (finding.subject in mailboxes and finding.level == "warning")]
    for row in told:
        row["subject"] = row["subject"] if not row["subject"].startswith("notifications") else "notifications"
    return _json("check.json", "what `intagly-agent check` says", told)


def ledger(settings: Settings) -> Member:
    """Kinds and times only: nothing of what was ordered, and nothing of whom it goes to."""
    what = "orders by state; of the newest ones the kinds and times of what happened; whether the history is whole"
    try:
        with SqlLedger(ledger_url(settings)) as opened:
            orders = list(opened.orders())
            broken = {}
            told = []
            for order in orders:
                events = opened.events(order.id)
                if (wrong := first_broken(events)) is not None:
                    broken[order.id] = wrong.n
                told.append({"id": order.id, "state": order.state, "events": [[event.at.isoformat(), event.kind] for event in events]})
            beds = {name: bed.state for name, bed in opened.beds().items()}
    except AgentError as error:
        return _json("ledger.json", what, {"error": str(error)})
    states = Counter(str(order.state) for order in orders)
    facts = {"orders": states, "history_broken_at": broken, "beds": beds, "newest": told[-_NEWEST_ORDERS:]}
    return _json("ledger.json", what, facts)


def log(lines: int, file: Path | None) -> Member:
    """Of the daemon's newest lines the events, times and numbers."""
    text = _tail(file) if file else _said("journalctl", "--unit", UNIT, "--lines", str(lines), "--output", "cat", "--no-pager")
    told = [reduced_line(line) for line in text.splitlines()[-lines:]]
    kept = [json.dumps(line, ensure_ascii=False) for line in told if line is not None]
    left = len(told) - len(kept)
    return Member(
        "log.jsonl", f"{len(kept)} lines of the log: events, times, numbers ({left} other lines left out)", "\n".join(kept) + "\n"
    )


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _LARGEST_LOG))
            return opened.read(_LARGEST_LOG).decode("utf-8", "replace")
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.", hint="Give another --log.") from error


def environment(environ: Mapping[str, str]) -> Member:
    told = sorted(name for name in environ if name.startswith("INTAGLY_AGENT"))
    return _json("environment.json", "which of the agent's variables are set, without their values", told)
