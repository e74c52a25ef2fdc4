"""A copy of the SQLite ledger, taken while the daemon writes to it, that counts only once it was read back.

The copy is made inside one read transaction of SQLite's backup API: in WAL mode a reader keeps no writer waiting, and what is copied is
the ledger as it was at one instant. The file is a ledger by itself, with no -wal beside it; `put_back` makes it the ledger again. This file
uses sqlite3 and not the tables: a ledger that is backed up before its migration is older than they are.
"""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import make_url

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.events import GENESIS, event_hash
from agent.wire.durable import private_file, sync, sync_folder

log = structlog.get_logger()

_STEP_PAGES = 1024
"""4 MB; between two steps an interruption is heard."""
_BUSY_S = 10.0
_BESIDE = ("-wal", "-shm", "-journal")


class Facts(NamedTuple):
    """What a ledger is known by. `head`: sha256 over the last link of every order's chain, so of all that ever happened; `broken`: orders
    whose history somebody changed."""

    schema: str
    orders: int
    events: int
    head: str
    broken: list[str]


def backed_up(ledger: Path, into: Path, why: str) -> Path:
    """Copy the SQLite ledger at `ledger` into the folder `into` (made where it is not there), while agents may be writing to it.

    The copy is `<into>/ledger-<UTC time>-<why>.sqlite3`, mode 0600; sorted by name they are sorted by time. It is there only when it is
    whole: SQLite's own check and the foreign keys passed, the chains of events were followed, file and folder are synced. It takes about a
    second per 50 MB: call it in a thread, or before the loop runs. `why`: a word or two for the name, such as `before-0007`.

    Refused (code no_ledger, ledger_damaged, cannot_write); NeedsOperator (code disk_full). Nothing is left in `into` then. A history that
    somebody changed (`facts_of(path).broken`) is logged and copied as it is: it must not keep an upgrade from having a backup.
    """
    copy = _free_name(into, why)
    copied(ledger, copy)
    if broken := facts_of(copy).broken:
        log.warning("history_changed", ledger=str(ledger), orders=broken[:20])
    return copy


def copied(ledger: Path, copy: Path) -> None:
    """As `backed_up`, under that very name."""
    if not ledger.is_file():
        raise Refused(f"There is no ledger at {ledger}.", hint="Is [agent] data_dir the right one?", code="no_ledger")
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_file(temporary).close()
        with _told(ledger, copy):
            _copy(ledger, temporary)
        require_sound(temporary)
        sync(temporary)
        temporary.rename(copy)
        sync_folder(copy.parent)
    except OSError as error:
        raise Refused(f"{copy} cannot be written: {error.strerror}.", hint="Give another folder.", code="cannot_write") from error
    finally:
        for left in (temporary, *(temporary.with_name(temporary.name + ending) for ending in _BESIDE)):
            left.unlink(missing_ok=True)


def put_back(copy: Path, ledger: Path) -> Path | None:
    """Put a copy in place of the ledger of an agent that does not run. What was there, damaged or not, is moved aside: the path returned.

    The copy itself stays. Killed at any instant, the old ledger or the new one is there, or neither and the old one lies aside: done once
    more, it is done.
    """
    arriving = ledger.with_name(f".arriving-{ledger.name}")
    arriving.unlink(missing_ok=True)
    copied(copy, arriving)
    aside = _free_name(ledger.parent, "replaced")
    moved = [ending for ending in ("", *_BESIDE) if ledger.with_name(ledger.name + ending).exists()]
    for ending in moved:  # a log belongs to its own ledger: beside another one it would be played into that
        ledger.with_name(ledger.name + ending).rename(aside.with_name(aside.name + ending))
    arriving.rename(ledger)
    sync_folder(ledger.parent)
    return aside if "" in moved else None


def sqlite_path(url: str) -> Path:
    """Where the ledger of this address lies. Refused (code not_sqlite) for a server's."""
    address = make_url(url)
    if address.get_backend_name() != "sqlite" or not address.database:
        raise Refused(
            "This ledger is kept by PostgreSQL, which is backed up with its own tools.",
            hint="pg_dump --format=custom for the ledger, and a copy of data_dir/files for the files; pg_restore puts it back.",
            code="not_sqlite",
        )
    return Path(address.database)


def require_sound(ledger: Path) -> None:
    """Refused (code ledger_damaged) where SQLite, or the foreign keys, say that this file is damaged, or no ledger."""
    with contextlib.closing(_opened(ledger)) as connection:
        try:
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise _damaged(ledger, str(error)) from error
    if said != ["ok"]:
        raise _damaged(ledger, said[0])
    if dangling is not None:
        raise _damaged(ledger, f"a row of {dangling[0]} belongs to nothing")


def facts_of(ledger: Path) -> Facts:
    """Read from the file alone, in flat memory. Refused (code ledger_damaged) where it is no ledger."""
    with contextlib.closing(_opened(ledger)) as connection:
        try:
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone()
            (events,) = connection.execute("SELECT count(*) FROM events").fetchone()
            head, broken = hashlib.sha256(), []
            for order_id, n, last, whole in _chains(connection):
                head.update(f"{order_id} {n} {last}\n".encode())
                broken += [] if whole else [order_id]
        except (sqlite3.DatabaseError, TypeError, ValueError, RecursionError) as error:
            raise _damaged(ledger, str(error)) from error
    return Facts(str(schema), orders, events, head.hexdigest(), broken)


def _chains(connection: sqlite3.Connection) -> Iterator[tuple[str, int, str, bool]]:
    """Every order's chain: its last number and hash, and whether each link follows from the one before it."""
    known, n, prev, whole = "", 0, GENESIS, True
    query = "SELECT order_id, n, at, kind, data, prev_hash, hash FROM events ORDER BY order_id, n"
    for order_id, number, at, kind, data, prev_hash, found in connection.execute(query):
        if order_id != known:
            if known:
                yield known, n, prev, whole
            known, n, prev, whole = order_id, 0, GENESIS, True
        time = datetime.fromisoformat(at).replace(tzinfo=UTC).isoformat()
        expected = event_hash(prev, order_id, n + 1, time, kind, json.loads(data))
        whole = whole and (number, prev_hash, found) == (n + 1, prev, expected)
        n, prev = number, found
    if known:
        yield known, n, prev, whole


def _copy(ledger: Path, temporary: Path) -> None:
    with contextlib.closing(_opened(ledger)) as source, contextlib.closing(_opened(temporary)) as target:
        target.execute("PRAGMA synchronous = OFF")  # it is synced once, as a whole
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the snapshot begins with the first question
        source.backup(target, pages=_STEP_PAGES)
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it


def _opened(path: Path) -> sqlite3.Connection:
    """`rw` and not `ro`: a log that a killed agent left beside it is read as well. It creates nothing that is not there."""
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise Refused(f"{path} cannot be opened: {error}.", hint="Run it as the agent's user, or as root.", code="no_ledger") from error


@contextlib.contextmanager
def _told(ledger: Path, copy: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise NeedsOperator(f"There is no room for {copy}: {error}.", hint="Free some space.", code="disk_full") from error
        raise _damaged(ledger, str(error)) from error


def _damaged(ledger: Path, why: str) -> Refused:
    hint = "Put the newest backup back that passes; a damaged one is of no use."
    return Refused(f"{ledger} is damaged, or no ledger of this agent: {why}.", hint=hint, code="ledger_damaged")


def _free_name(into: Path, why: str) -> Path:
    word = re.sub(r"[^A-Za-z0-9.]+", "-", why).strip("-")[:40] or "copy"
    return into / f"ledger-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{word}.sqlite3"
