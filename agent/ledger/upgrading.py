"""A ledger that is older than the program is copied before it is migrated, so that an upgrade can be taken back.

Beside the SQLite ledger lies `before-upgrade/` with the copies, and `upgrades.jsonl` in it tells which version made them. This file reads
ledgers of any schema, also newer ones, and so uses sqlite3 and only what has been in every schema.
"""

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import ValidationError

from agent import __version__
from agent.domain.errors import ConfigError, Refused
from agent.domain.values import Value
from agent.ledger.backup import backed_up, facts_of, put_back, sqlite_path
from agent.ledger.tables import SCHEMA
from agent.wire.durable import private_file, sync_folder

log = structlog.get_logger()

FOLDER = "before-upgrade"
_JOURNAL = "upgrades.jsonl"
_MARK = "rolled-back"
"""Beside the ledger, from before a copy is put back until a daemon has seen to what it does not know."""


class Upgrade(Value):
    """One migration. `backup` is the name of the copy in `before-upgrade/`, `version` the program that migrated."""

    at: datetime
    version: str
    from_schema: str
    to_schema: str
    backup: str


class Lost(NamedTuple):
    """What the ledger has and a copy has not. `moved`: order -> its state in the copy and in the ledger."""

    new: list[str]
    moved: dict[str, tuple[str, str]]
    events: int


def copied_first(url: str, found: str) -> None:
    """Before the migration of a ledger with that schema. Errors as `backed_up`: without a copy nothing is migrated."""
    try:
        ledger = sqlite_path(url)
    except Refused as elsewhere:
        log.warning("upgraded_without_a_copy", schema=found, hint=elsewhere.hint)
        return
    if (known := _same_again(ledger, found)) is None:
        copy = backed_up(ledger, ledger.parent / FOLDER, f"before-{SCHEMA}")
        known = Upgrade(at=datetime.now(UTC), version=__version__, from_schema=found, to_schema=SCHEMA, backup=copy.name)
        _write_down(ledger, known)
        _to_the_ledgers_owner(ledger, copy.parent, copy, copy.parent / _JOURNAL)
    log.info("ledger_copied_before_upgrade", backup=str(ledger.parent / FOLDER / known.backup), of=found, to=SCHEMA)


def upgrades(ledger: Path) -> list[Upgrade]:
    """Those whose copy is still there, the oldest first."""
    try:
        lines = (ledger.parent / FOLDER / _JOURNAL).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValidationError):  # a line that was cut by a power failure
            found.append(Upgrade.model_validate_json(line))
    return [upgrade for upgrade in found if (ledger.parent / FOLDER / upgrade.backup).is_file()]


def too_new(url: str, shown: str, found: str) -> ConfigError:
    """The way out for whoever starts an older program on a migrated ledger."""
    made_by, way_back = "a newer version", "put back the backup made before the upgrade"
    with contextlib.suppress(Refused):
        ledger = sqlite_path(url)
        if past := [upgrade for upgrade in upgrades(ledger) if upgrade.to_schema == found]:
            made_by = f"version {past[-1].version}"
            way_back = (
                f"`intagly-agent rollback`, which puts back {ledger.parent / FOLDER / past[-1].backup} and tells what is lost by that"
            )
    return ConfigError(
        f"The ledger {shown} has schema {found}, made by {made_by}; this one, {__version__}, knows {SCHEMA}.",
        hint=f"Install {made_by} again, or {way_back}.",
        code="ledger_too_new",
    )


def lost_by(ledger: Path, copy: Path) -> Lost:
    """What going back to that copy loses. Refused (code ledger_damaged) where one of the two cannot be read."""
    then, now = _states(copy), _states(ledger)
    moved = {order: (then[order], state) for order, state in now.items() if order in then and then[order] != state}
    events = facts_of(ledger).events - facts_of(copy).events
    return Lost([order for order in now if order not in then], moved, max(0, events))


def rolled_back(ledger: Path, copy: Path) -> Path | None:
    """Put the copy in place of the ledger of an agent that does not run; where the ledger was moved to. See `put_back`."""
    of = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
    mark = ledger.parent / _MARK
    mark.unlink(missing_ok=True)
    with private_file(mark) as file:
        file.write(of.isoformat().encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(mark.parent)
    aside = put_back(copy, ledger)
    _to_the_ledgers_owner(ledger, mark, ledger)
    return aside


def rolled_back_to(url: str) -> datetime | None:
    """Of when the copy is that was put back since a daemon was last at work here; None where none was."""
    with contextlib.suppress(Refused, FileNotFoundError):
        return datetime.fromisoformat((sqlite_path(url).parent / _MARK).read_text(encoding="ascii"))
    return None


def seen_to(url: str) -> None:
    """Every order that may have gone on since that copy asks a person now."""
    mark = sqlite_path(url).parent / _MARK
    mark.unlink(missing_ok=True)
    sync_folder(mark.parent)


def _to_the_ledgers_owner(ledger: Path, *made: Path) -> None:
    """Where root did it, by a command: the daemon has a user of its own, and could not read what is root's."""
    if os.geteuid() == 0:
        owner = ledger.parent.stat()
        for path in made:
            os.chown(path, owner.st_uid, owner.st_gid)


def _same_again(ledger: Path, found: str) -> Upgrade | None:
    """An earlier start made the copy, and died before the migration was done."""
    past = [upgrade for upgrade in upgrades(ledger) if (upgrade.from_schema, upgrade.to_schema) == (found, SCHEMA)]
    if past and facts_of(ledger.parent / FOLDER / past[-1].backup) == facts_of(ledger):
        return past[-1]
    return None


def _write_down(ledger: Path, upgrade: Upgrade) -> None:
    with (ledger.parent / FOLDER / _JOURNAL).open("a", encoding="utf-8") as file:
        file.write(upgrade.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())


def _states(ledger: Path) -> Mapping[str, str]:
    try:
        with contextlib.closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            return dict(connection.execute("SELECT id, state FROM orders ORDER BY created_at"))
    except sqlite3.DatabaseError as error:
        raise Refused(f"{ledger} cannot be read: {error}.", hint="--force goes back without telling.", code="ledger_damaged") from error
