"""Opening the database, bringing its schema up to date, and telling its errors apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from agent.domain.errors import ConfigError, NeedsOperator, Transient
from agent.ledger.tables import SCHEMA

BUSY_TIMEOUT_MS = 10_000


def open_database(url: str) -> Engine:
    """An engine on an up-to-date schema. ConfigError where the database is another program's, newer than us, or cannot be reached."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        _durable_sqlite(engine)
    try:
        found = _schema_version(engine)
    except DatabaseError as error:
        engine.dispose()
        raise ConfigError(
            f"The ledger {engine.url.render_as_string()} cannot be opened: {error.orig}",
            hint="Is it a database of this agent, on a disk that can be written? A damaged file: put the backup back.",
        ) from error
    if found != SCHEMA:
        _migrate(engine, found)
    return engine


def _durable_sqlite(engine: Engine) -> None:
    """WAL with a full sync at each commit, and writers that queue up at BEGIN instead of failing in the middle."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late: at the first write
        cursor = connection.cursor()
        for pragma in (f"busy_timeout = {BUSY_TIMEOUT_MS}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A reader asks one question at a time, and SQLite answers each from one snapshot anyway.
        if not connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _schema_version(engine: Engine) -> str | None:
    with engine.connect().execution_options(reading=True) as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
        if tables:
            raise ConfigError(
                f"The database {engine.url.render_as_string()} holds tables of another program ({', '.join(sorted(tables)[:3])} …).",
                hint="Give the ledger a database of its own: [ledger] url.",
            )
        return None


def _migrate(engine: Engine, found: str | None) -> None:
    # Late: Alembic costs a tenth of the daemon's memory and is needed once in a schema's life.
    from agent.ledger.migrations.upgrade import known_revisions, upgrade  # noqa: PLC0415
    from agent.ledger.upgrading import copied_first, too_new  # noqa: PLC0415

    if found is not None:
        url = engine.url.render_as_string(hide_password=False)
        if found not in known_revisions():
            raise too_new(url, engine.url.render_as_string(), found)
        copied_first(url, found)
    upgrade(engine)


@contextmanager
def told_apart() -> Iterator[None]:
    """Translates the database's errors: full disk, locked, and everything that is a bug of ours."""
    try:
        yield
    except IntegrityError:
        raise
    except OperationalError as error:
        words = str(error.orig)
        if "full" in words or "No space left" in words or "disk I/O" in words:
            raise NeedsOperator(
                f"The ledger could not be written: {words}.", hint="Free some space; the agent goes on by itself.", code="disk_full"
            ) from error
        raise Transient(f"The ledger did not answer: {words}.", hint="Another program may hold it locked.", code="ledger_busy") from error


def write_nothing(connection: Connection) -> None:
    """Changes nothing that is kept, and yet its commit has to reach the disk: both databases write a row that is set to what it is."""
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))


def utc_now() -> datetime:
    return datetime.now(UTC)
