"""The tables. Anything that must never be is refused here by the database, not by code elsewhere.

The migrations make them. Where an index here is one of some rows, the condition is named for SQLite only: to name it for PostgreSQL would
load that dialect, 2.7 MiB and a twentieth of a second for every daemon.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator

from agent.domain.job import HOLDS_PRINTER

SCHEMA = "0007"
"""The newest migration; a test holds it against the migrations folder. Knowing it here spares the daemon the import of Alembic."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, also on SQLite, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        if value is None:
            return None
        aware: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("marketplace", String(100), nullable=False),
    Column("offer_id", String(128), nullable=False),
    Column("state", String(20), nullable=False),
    Column("resume_state", String(20)),
    Column("version", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("accept_by", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("dossier", JSON, nullable=False),
    UniqueConstraint("marketplace", "offer_id"),
    Index("ix_orders_due_at", "due_at"),
    Index("ix_orders_state", "state"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(60), nullable=False),
    Column("data", JSON, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("order_id", "n"),
)

HOLDS = text("state IN (" + ", ".join(f"'{state.value}'" for state in HOLDS_PRINTER) + ")")
"""A job has its printer to itself. SQLite takes the index below only for a question in the same words: one with parameters reads all jobs
that ever were."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("plate", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("printer", String(100), nullable=False),
    Column("remote_name", String(120), nullable=False, unique=True),
    Column("gcode_sha256", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("order_id", "plate", "attempt"),
    Index("uq_jobs_active_printer", "printer", unique=True, sqlite_where=HOLDS),
)

print_times = Table(
    "print_times",
    metadata,
    Column("job_id", Integer, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("printer", String(100), nullable=False),
    Column("profile", String(100), nullable=False),
    Column("slicer", String(200), nullable=False),
    Column("planned_s", Integer, nullable=False),
    Column("took_s", Integer, nullable=False),
    Index("ix_print_times_printer", "printer"),
)

beds = Table(
    "beds",
    metadata,
    Column("printer", String(100), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("said_by", String(200), nullable=False),
)

intents = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("act", String(30), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("key", String(64), nullable=False, unique=True),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("outcome", JSON(none_as_null=True)),
    UniqueConstraint("order_id", "act", "subject"),
)

_UNSETTLED = text("settled = false")

questions = Table(
    "questions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("step", String(30), nullable=False),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("printer", String(100), nullable=False, default=""),
    Column("text", Text, nullable=False),
    Column("choices", JSON, nullable=False),
    Column("data", JSON, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("answer", JSON, nullable=False, default=dict),
    Column("answered_by", String(200), nullable=False, default=""),
    Column("settled", Boolean, nullable=False, server_default=false()),
    Index("uq_questions_unsettled", "order_id", "step", "printer", unique=True, sqlite_where=_UNSETTLED),
)

slices = Table(
    "slices",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("plates", JSON, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("key", String(400), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)
"""`key`: the name as it is compared. Removed with the sessions; what they said names them by their name."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("person_id", Integer, ForeignKey("people.id"), nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("device", String(200), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

pairings = Table(
    "pairings",
    metadata,
    Column("code_sha256", String(64), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("name", String(200), nullable=False),
    Column("until", UtcDateTime, nullable=False),
)
"""Codes that were neither spent nor have grown too old."""

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

photo_uploads = Table(
    "photo_uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("item_id", String(128), nullable=False),
    Column("key", String(64), nullable=False),
    Column("person", String(200), nullable=False),
    Column("length", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("checked", JSON(none_as_null=True)),
    Column("put_away", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("order_id", "key"),
)
"""`received`: bytes that are on the disk for certain; more may lie there of a request that was cut off."""

stocks = Table(
    "stocks",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("name", String(400), primary_key=True),
    Column("configured", Float, nullable=False),
    Column("counted", Float, nullable=False),
    Column("after_taking", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)
"""`configured`: the number in the operator's file when it was last read. `counted`: what was there at `since`; every taking with a higher
number than `after_taking` has gone from it. Numbers, not times: a clock may be set."""

takings = Table(
    "takings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", String(32), ForeignKey("orders.id"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("name", String(400), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("amount", Float, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("why", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("order_id", "kind", "subject"),
    Index("ix_takings_kind_name", "kind", "name"),
)

bookings = Table(
    "bookings",
    metadata,
    Column("order_id", String(32), ForeignKey("orders.id"), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("booking", JSON, nullable=False),
    Index("ix_bookings_at", "at"),
)

_OPEN = text("outcome IS NULL")

supply_intents = Table(
    "supply_intents",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("marketplace", String(100), nullable=False),
    Column("kind", String(200), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("said_by", String(200), nullable=False),
    Column("key", String(64), nullable=False),
    Column("known", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("outcome", JSON(none_as_null=True)),
    Index("uq_supply_intents_open", "marketplace", "kind", unique=True, sqlite_where=_OPEN),
    Index("ix_supply_intents_key", "key"),
)
"""Of a marketplace and kind one is open at most. A key may come again where nothing was made of it the first time."""

notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("run", String(32), nullable=False),
    Column("event", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("notice", JSON, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("snoozed_until", UtcDateTime),
    Column("snoozed_by", String(100), nullable=False, default=""),
    Column("over", Boolean, nullable=False, server_default=false()),
    Index("ix_notices_over", "over"),
    Index("ix_notices_subject", "subject"),
)
"""What people are to be told. `key`: the same event has the same. `run`: the life of the daemon in which it was made."""

calls = Table(
    "calls",
    metadata,
    Column("notice_id", Integer, ForeignKey("notices.id"), primary_key=True, autoincrement=False),
    Column("person", String(100), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("tries", Integer, nullable=False),
)
"""One person's call about one notice, and how it ended."""

buttons = Table(
    "buttons",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("notice_id", Integer, ForeignKey("notices.id"), nullable=False),
    Column("person", String(100), nullable=False),
    Column("act", String(20), nullable=False),
    Column("subject", JSON, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("pressed_at", UtcDateTime),
)
