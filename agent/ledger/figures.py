"""The ledger's figures. Events are counted on from where they were counted last: ten thousand orders' histories are read once."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, event, false, func, select
from sqlalchemy.pool import ConnectionPoolEntry

from agent.domain.figures import History, OpenRow, PrintSeconds, Standing
from agent.domain.measures import SHORT_S, Spread
from agent.domain.order import ENDED, State
from agent.domain.question import Step
from agent.domain.stock import StockKind
from agent.ledger import tables as t
from agent.ledger.database import told_apart

_ENDS = {"print_finished": "finished", "print_failed": "failed", "print_cancelled": "cancelled"}
_BEGAN = "write began"


class FigureRows:
    """The part of the ledger for those who keep figures."""

    _reading: Callable[[], Connection]

    def add_history(self, history: History, most: int) -> bool:
        with told_apart(), self._reading() as connection:
            newest = connection.execute(select(func.max(t.events.c.id))).scalar_one() or 0
            up_to = min(newest, history.up_to + most)
            new = and_(t.events.c.id > history.up_to, t.events.c.id <= up_to)
            history.kinds.update(_counts(connection, t.events.c.kind, new))
            printer = t.events.c.data["printer"].as_string()
            ends = (
                select(t.events.c.kind, printer, func.count())
                .where(and_(new, t.events.c.kind.in_(_ENDS)))
                .group_by(t.events.c.kind, printer)
            )
            for kind, name, count in connection.execute(ends):
                history.prints[name or "", _ENDS[kind]] += count
            declined = and_(new, t.events.c.kind == "declined")
            history.declined.update(_counts(connection, t.events.c.data["reason"].as_string(), declined))
            decided = select(t.orders.c.created_at, t.events.c.at).join_from(t.events, t.orders, t.events.c.order_id == t.orders.c.id)
            for came, answered in connection.execute(decided.where(and_(new, t.events.c.kind == "decided"))):
                history.decisions.took(max(0.0, (answered - came).total_seconds()))
            history.up_to = up_to
        return up_to < newest

    def standing(self) -> Standing:
        unanswered = and_(t.questions.c.settled == false(), t.questions.c.answered_at.is_(None))
        spools = t.takings.c.kind == StockKind.SPOOL
        with told_apart(), self._reading() as connection:
            times = select(t.print_times.c.printer, func.count(), func.sum(t.print_times.c.took_s)).group_by(t.print_times.c.printer)
            used = select(t.takings.c.why, func.sum(t.takings.c.amount)).where(spools).group_by(t.takings.c.why)
            until = select(func.min(t.orders.c.accept_by)).where(t.orders.c.state == State.OFFERED)
            return Standing(
                states={State(state): count for state, count in _counts(connection, t.orders.c.state).items()},
                offers=_counts(connection, t.orders.c.marketplace),
                waits={Step(step): count for step, count in _counts(connection, t.questions.c.step, unanswered).items()},
                print_seconds={name: PrintSeconds(count, float(seconds)) for name, count, seconds in connection.execute(times)},
                filament_g={why: float(grams) for why, grams in connection.execute(used)},
                calls=_counts(connection, t.calls.c.outcome),
                offer_until=connection.execute(until).scalar_one_or_none(),
            )

    def open_rows(self) -> list[OpenRow]:
        """Every offer and order that has not ended, the one with the nearest deadline first; those without one last."""
        remote, offer = t.orders.c.dossier["remote"]["ship_by"].as_string(), t.orders.c.dossier["offer"]["ship_by"].as_string()
        columns = (t.orders.c.id, t.orders.c.state, t.orders.c.resume_state, t.orders.c.accept_by, func.coalesce(remote, offer))
        with told_apart(), self._reading() as connection:
            rows = [_open_row(*row) for row in connection.execute(select(*columns).where(t.orders.c.state.not_in(ENDED)))]
        return sorted(rows, key=lambda row: (row.deadline is None, row.deadline.timestamp() if row.deadline else 0.0, row.id))


def _open_row(order_id: str, state: str, resume: str | None, accept_by: datetime, ship_by: str | None) -> OpenRow:
    due = datetime.fromisoformat(ship_by) if ship_by else None
    return OpenRow(order_id, State(state), State(resume or state), accept_by if state == State.OFFERED else due)


def _counts(connection: Connection, by: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> Mapping[str, int]:
    query = select(by, func.count()).group_by(by)
    return {str(value): count for value, count in connection.execute(query if where is None else query.where(where))}


def timed_writes(engine: Engine) -> Spread:
    """Told from now on how long each transaction that may write takes, until it is on the disk."""
    writes = Spread(SHORT_S)

    @event.listens_for(engine, "begin", insert=True)  # before SQLite's own BEGIN, which waits for other writers
    def _began(connection: Connection) -> None:
        if not connection.get_execution_options().get("reading", False):
            connection.info[_BEGAN] = time.perf_counter()

    @event.listens_for(engine, "rollback")
    def _rolled_back(connection: Connection) -> None:
        connection.info.pop(_BEGAN, None)

    @event.listens_for(engine, "checkin")  # there is no event after a commit; a transaction gives its connection back right then
    def _over(_connection: object, record: ConnectionPoolEntry) -> None:
        if (began := record.info.pop(_BEGAN, None)) is not None:
            writes.took(time.perf_counter() - began)

    return writes
