"""What is counted, what was used of it, and what delivered orders brought."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, func, insert, select, update

from agent.domain.booking import Booked, Booking
from agent.domain.stock import Stock, StockKind, Taking, Thing, Use
from agent.ledger import tables as t
from agent.ledger.database import told_apart


def take(connection: Connection, order_id: str, taking: Taking, at: datetime) -> None:
    """In the caller's transaction; a subject that was counted before is not counted again."""
    taken = and_(t.takings.c.order_id == order_id, t.takings.c.kind == taking.kind, t.takings.c.subject == taking.subject)
    if connection.execute(select(t.takings.c.id).where(taken)).one_or_none() is None:
        connection.execute(insert(t.takings).values(order_id=order_id, at=at, **taking.model_dump()))


def book(connection: Connection, order_id: str, booking: Booking, at: datetime) -> None:
    """In the caller's transaction. IntegrityError where the order is booked already: the move that books must be its first."""
    connection.execute(insert(t.bookings).values(order_id=order_id, at=at, booking=booking.model_dump(mode="json")))


class StockRows:
    """The part of the ledger that counts."""

    _engine: Engine
    _now: Callable[[], datetime]
    _reading: Callable[[], Connection]

    def count_from(self, configured: Mapping[Thing, float]) -> None:
        with told_apart(), self._engine.begin() as connection:
            known = {Thing(StockKind(row.kind), row.name): row.configured for row in connection.execute(select(t.stocks))}
            for thing, number in configured.items():
                if known.get(thing) != number:
                    _count(connection, thing, number, number, self._now())

    def counted(self, thing: Thing, number: float, configured: float) -> None:
        with told_apart(), self._engine.begin() as connection:
            _count(connection, thing, number, configured, self._now())

    def stock(self) -> Sequence[Stock]:
        later = and_(t.takings.c.kind == t.stocks.c.kind, t.takings.c.name == t.stocks.c.name, t.takings.c.id > t.stocks.c.after_taking)
        used = select(func.coalesce(func.sum(t.takings.c.amount), 0.0)).where(later).scalar_subquery()
        query = select(t.stocks, used.label("used")).order_by(t.stocks.c.kind, t.stocks.c.name)
        with told_apart(), self._reading() as connection:
            return [Stock.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def used(self, since: datetime) -> Mapping[Thing, Use]:
        takings = t.takings.c
        query = select(takings.kind, takings.name, func.sum(takings.amount)).where(takings.at >= since).group_by(takings.kind, takings.name)
        first = select(takings.kind, takings.name, func.min(takings.at)).group_by(takings.kind, takings.name)
        with told_apart(), self._reading() as connection:
            began = {(kind, name): at for kind, name, at in connection.execute(first)}
            rows = connection.execute(query).all()
        return {Thing(StockKind(kind), name): Use(amount=amount, first=began[kind, name]) for kind, name, amount in rows}

    def takings(self, order_id: str) -> Sequence[Taking]:
        query = select(t.takings).where(t.takings.c.order_id == order_id).order_by(t.takings.c.id)
        with told_apart(), self._reading() as connection:
            return [Taking.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def bookings(self, since: datetime) -> Sequence[Booked]:
        remote_id = t.orders.c.dossier["remote"]["order_id"].as_string().label("remote_id")
        columns = (t.bookings, t.orders.c.marketplace, remote_id)
        query = select(*columns).join(t.orders, t.orders.c.id == t.bookings.c.order_id).where(t.bookings.c.at >= since)
        with told_apart(), self._reading() as connection:
            return [Booked.model_validate(dict(row)) for row in connection.execute(query.order_by(t.bookings.c.at)).mappings()]


def _count(connection: Connection, thing: Thing, number: float, configured: float, now: datetime) -> None:
    newest = connection.execute(select(func.coalesce(func.max(t.takings.c.id), 0))).scalar_one()
    values = {"configured": configured, "counted": number, "after_taking": newest, "since": now}
    of_thing = and_(t.stocks.c.kind == thing.kind, t.stocks.c.name == thing.name)
    if connection.execute(update(t.stocks).where(of_thing).values(**values)).rowcount == 0:
        connection.execute(insert(t.stocks).values(kind=thing.kind, name=thing.name, **values))
