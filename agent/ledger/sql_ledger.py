"""The ledger as one object."""

from collections.abc import Callable
from datetime import datetime
from typing import Self

from sqlalchemy import Engine

from agent.ledger.database import open_database, utc_now
from agent.ledger.jobs import JobRows
from agent.ledger.orders import OrderRows
from agent.ledger.people import QuestionRows


class SqlLedger(OrderRows, JobRows, QuestionRows):
    """Implements ports.ledger.Ledger on any database SQLAlchemy speaks to.

    Its methods are short and synchronous on purpose: one local commit is about 2 ms, see docs/decisions/0002.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        self._url = url
        self._now = now

    def __enter__(self) -> Self:
        self._engine: Engine = open_database(self._url)
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.dispose()
