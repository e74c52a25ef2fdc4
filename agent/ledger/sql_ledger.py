"""The ledger as one object."""

from collections.abc import Callable
from datetime import datetime
from typing import Self

from sqlalchemy import Engine

from agent.ledger.calls import CallRows
from agent.ledger.changes import Changes
from agent.ledger.database import open_database, told_apart, utc_now, write_nothing
from agent.ledger.figures import FigureRows, timed_writes
from agent.ledger.jobs import JobRows
from agent.ledger.orders import OrderRows
from agent.ledger.overview import OverviewRows
from agent.ledger.people import QuestionRows
from agent.ledger.references import ReferenceRows
from agent.ledger.sign_in import SignInRows
from agent.ledger.stock import StockRows
from agent.ledger.supplies import SupplyRows
from agent.ledger.unprinted import UnprintedRows
from agent.ledger.uploads import UploadRows


class SqlLedger(
    OrderRows,
    JobRows,
    UnprintedRows,
    OverviewRows,
    QuestionRows,
    SignInRows,
    StockRows,
    SupplyRows,
    UploadRows,
    CallRows,
    FigureRows,
    ReferenceRows,
):
    """Implements ports.ledger.Ledger, ports.people.People and ports.uploads.Uploads on any database SQLAlchemy speaks to.

    Its methods are short and synchronous on purpose: one local commit is about 2 ms, see docs/decisions/0002.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        self._url = url
        self._now = now

    def __enter__(self) -> Self:
        self._engine: Engine = open_database(self._url)
        self.writes = timed_writes(self._engine)
        self._changes = Changes(self._engine)
        return self

    def __exit__(self, *exc: object) -> None:
        self._changes.close()
        self._engine.dispose()

    def require_writable(self) -> None:
        with told_apart(), self._engine.begin() as connection:
            write_nothing(connection)
