"""Orders, their events, and what was sliced."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, case, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from agent.domain.decision import Answer
from agent.domain.errors import Transient
from agent.domain.events import GENESIS, Event, event_hash
from agent.domain.job import JobState
from agent.domain.offer import Offer
from agent.domain.order import ENDED, Dossier, Order, State
from agent.domain.plate import SlicedPlate
from agent.ledger import tables as t
from agent.ledger.changes import Changes
from agent.ledger.database import told_apart
from agent.ledger.stock import book, take
from agent.ports.ledger import OrderMove, Stale

_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
_BEFORE_YES = (State.OFFERED, *ENDED)
_BEFORE_PACKED = (
    *(State.ACCEPTED, State.FETCHED, State.CHECKED, State.SLICED, State.PRINTING, State.PRINTED),
    *(State.PHOTOS, State.SUBMITTED, State.LABEL, State.PACKING),
)
_OPEN = select(func.count()).select_from(t.orders).where(t.orders.c.state.not_in(_BEFORE_YES))
_ASKED_AT_ONCE = 500
"""Databases bound how many values one question may name."""
WANT_A_PRINTER = (State.SLICED, State.PRINTING)
"""Orders that may wait for a printer; woken when one comes free."""


def _new_id() -> str:
    """Random, so that no ledger ever gives out a name again that a printer still remembers; no look-alike letters."""
    return "o" + "".join(secrets.choice(_ALPHABET) for _ in range(8))


def append_event(connection: Connection, order_id: str, at: datetime, kind: str, data: Mapping[str, Any]) -> None:
    """The next link of the order's chain, in the caller's transaction."""
    last = connection.execute(
        select(t.events.c.n, t.events.c.hash).where(t.events.c.order_id == order_id).order_by(t.events.c.n.desc()).limit(1)
    ).one_or_none()
    n, prev = (last.n + 1, last.hash) if last else (1, GENESIS)
    digest = event_hash(prev, order_id, n, at.isoformat(), kind, data)
    connection.execute(insert(t.events).values(order_id=order_id, n=n, at=at, kind=kind, data=dict(data), prev_hash=prev, hash=digest))


def _order(row: RowMapping) -> Order:
    return Order.model_validate(dict(row))


class OrderRows:
    """The part of the ledger that keeps orders."""

    _engine: Engine
    _now: Callable[[], datetime]
    _changes: Changes
    _marked: tuple[object, str] | None = None

    def add_offers(self, marketplace: str, offers: Sequence[tuple[Offer, datetime]]) -> Sequence[Order]:
        new = self._unknown(marketplace, offers)
        if not new:
            return []
        orders = [_new_order(marketplace, offer, accept_by, self._now()) for offer, accept_by in new]
        rows = [
            {**dict(order), "offer_id": order.dossier.offer.offer_id, "dossier": order.dossier.model_dump(mode="json")} for order in orders
        ]
        try:
            with told_apart(), self._engine.begin() as connection:
                connection.execute(insert(t.orders), rows)
                for order in orders:
                    _taken_in(connection, order)
        except IntegrityError as error:
            raise Transient("Another program took in the same offer.", hint="Is this ledger another agent's as well?") from error
        return orders

    def _unknown(self, marketplace: str, offers: Sequence[tuple[Offer, datetime]]) -> Sequence[tuple[Offer, datetime]]:
        """Spares every look at offers that wait a write; the unique constraint is what makes it certain."""
        by_id: dict[str, tuple[Offer, datetime]] = {}
        for offer, accept_by in offers:
            by_id.setdefault(offer.offer_id, (offer, accept_by))
        ids = list(by_id)
        known: set[str] = set()
        for first in range(0, len(ids), _ASKED_AT_ONCE):
            some = t.orders.c.offer_id.in_(ids[first : first + _ASKED_AT_ONCE])
            with told_apart(), self._reading() as connection:
                known.update(connection.execute(select(t.orders.c.offer_id).where(t.orders.c.marketplace == marketplace, some)).scalars())
        return [found for offer_id, found in by_id.items() if offer_id not in known]

    def order(self, order_id: str) -> Order:
        with told_apart(), self._reading() as connection:
            row = connection.execute(select(t.orders).where(t.orders.c.id == order_id)).mappings().one_or_none()
        if row is None:
            raise KeyError(order_id)
        return _order(row)

    def orders(self, *, open_only: bool = False) -> Sequence[Order]:
        query = select(t.orders).order_by(t.orders.c.created_at, t.orders.c.id)
        if open_only:
            query = query.where(t.orders.c.state.not_in(ENDED))
        with told_apart(), self._reading() as connection:
            return [_order(row) for row in connection.execute(query).mappings()]

    def some_orders(self, states: Collection[State], most: int, *, newest_first: bool = False) -> Sequence[Order]:
        made = (t.orders.c.created_at, t.orders.c.id)
        query = select(t.orders).where(t.orders.c.state.in_(states)).limit(most)
        query = query.order_by(*(column.desc() for column in made)) if newest_first else query.order_by(*made)
        with told_apart(), self._reading() as connection:
            return [_order(row) for row in connection.execute(query).mappings()]

    def count_open(self) -> int:
        with told_apart(), self._reading() as connection:
            return int(connection.execute(_OPEN).scalar_one())

    def packagings_promised(self) -> Mapping[str, int]:
        decision = t.orders.c.dossier["decision"]
        name, answer = decision["packaging"].as_string(), decision["answer"].as_string()
        stage = func.coalesce(t.orders.c.resume_state, t.orders.c.state)
        promised = or_(stage.in_(_BEFORE_PACKED), and_(stage == State.OFFERED, answer == Answer.ACCEPT))
        query = select(name, func.count()).where(and_(promised, name != "")).group_by(name)
        with told_apart(), self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def due(self, now: datetime, limit: int) -> Sequence[str]:
        offers_first = case((t.orders.c.state == State.OFFERED, 0), else_=1)
        query = select(t.orders.c.id).where(t.orders.c.due_at <= now).order_by(offers_first, t.orders.c.due_at).limit(limit)
        with told_apart(), self._reading() as connection:
            return list(connection.execute(query).scalars())

    def next_due_after(self, now: datetime) -> datetime | None:
        query = select(t.orders.c.due_at).where(t.orders.c.due_at > now).order_by(t.orders.c.due_at).limit(1)
        with told_apart(), self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def move(self, order: Order, move: OrderMove) -> Order:
        now = self._now()
        values: dict[str, Any] = {
            "state": move.to,
            "resume_state": move.resume_state,
            "version": order.version + 1,
            "due_at": None if move.to in ENDED else now,
            "tries": 0,
            "updated_at": now,
        }
        if move.dossier is not None:
            values["dossier"] = move.dossier.model_dump(mode="json")
        with told_apart(), self._engine.begin() as connection:
            _swap(connection, order, values)
            append_event(connection, order.id, now, move.event, {"from": order.state, "to": move.to, **move.data})
            if move.settles_intent is not None:
                outcome = {"event": move.event}
                connection.execute(update(t.intents).where(t.intents.c.id == move.settles_intent).values(outcome=outcome))
            if move.takes is not None:
                take(connection, order.id, move.takes, now)
            if move.books is not None:
                book(connection, order.id, move.books, now)
            idle = t.questions.c.order_id == order.id if move.to in ENDED else t.questions.c.id == move.settles_question
            settled = connection.execute(update(t.questions).where(idle).values(settled=True))
            if move.to in ENDED and settled.rowcount + _release(connection, order.id):
                # A printer came free, or others had left it to this order to ask for a bed.
                wake_states(connection, WANT_A_PRINTER, now, but=order.id)
        return order.model_copy(update=values if move.dossier is None else {**values, "dossier": move.dossier})

    def wait(self, order: Order, due_at: datetime | None, tries: int = 0) -> Order:
        with told_apart(), self._engine.begin() as connection:
            _swap(connection, order, {"due_at": due_at, "tries": tries, "version": order.version + 1})
        return order.model_copy(update={"due_at": due_at, "tries": tries, "version": order.version + 1})

    def record(self, order_id: str, event: str, data: Mapping[str, Any]) -> None:
        with told_apart(), self._engine.begin() as connection:
            append_event(connection, order_id, self._now(), event, data)

    def wake(self, states: Sequence[State]) -> None:
        with told_apart(), self._engine.begin() as connection:
            wake_states(connection, states, self._now())

    def events(self, order_id: str) -> Sequence[Event]:
        query = select(t.events).where(t.events.c.order_id == order_id).order_by(t.events.c.n)
        with told_apart(), self._reading() as connection:
            return [Event.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def changes(self) -> object:
        return self._changes.now()

    def mark(self) -> str:
        changes = self.changes()  # first: what is written from here on is another mark
        if self._marked is None or self._marked[0] != changes:
            self._marked = changes, self._read_mark()
        return self._marked[1]

    def _read_mark(self) -> str:
        query = select(select(func.max(t.events.c.id)).scalar_subquery(), select(func.max(t.beds.c.since)).scalar_subquery())
        with told_apart(), self._reading() as connection:
            return "/".join(str(newest) for newest in connection.execute(query).one())

    def sliced(self, key: str) -> Sequence[SlicedPlate] | None:
        with told_apart(), self._reading() as connection:
            found = connection.execute(select(t.slices.c.plates).where(t.slices.c.key == key)).scalar_one_or_none()
        return None if found is None else [SlicedPlate.model_validate(plate) for plate in found]

    def remember_slice(self, key: str, plates: Sequence[SlicedPlate]) -> None:
        rows = [plate.model_dump(mode="json") for plate in plates]
        try:
            with told_apart(), self._engine.begin() as connection:
                connection.execute(insert(t.slices).values(key=key, made_at=self._now(), plates=rows))
        except IntegrityError:
            return  # the same work was finished twice at once: equal key, same plates

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)


def _new_order(marketplace: str, offer: Offer, accept_by: datetime, now: datetime) -> Order:
    return Order(
        id=_new_id(),
        marketplace=marketplace,
        state=State.OFFERED,
        version=1,
        due_at=now,
        accept_by=accept_by,
        created_at=now,
        updated_at=now,
        dossier=Dossier(offer=offer),
    )


def _taken_in(connection: Connection, order: Order) -> None:
    offer = order.dossier.offer
    seen = {
        "marketplace": order.marketplace,
        "offer_id": offer.offer_id,
        "payout": str(offer.payout),
        "accept_by": order.accept_by.isoformat(),
    }
    append_event(connection, order.id, order.created_at, "offered", seen)


def _swap(connection: Connection, order: Order, values: Mapping[str, Any]) -> None:
    moved = connection.execute(
        update(t.orders).where(and_(t.orders.c.id == order.id, t.orders.c.version == order.version)).values(**values)
    )
    if moved.rowcount != 1:
        raise Stale(f"order {order.id} is no longer at version {order.version}")


def _release(connection: Connection, order_id: str) -> int:
    """Give back the printers of jobs that never began; how many."""
    waiting = and_(t.jobs.c.order_id == order_id, t.jobs.c.state.in_((JobState.CLAIMED, JobState.UPLOADED)))
    return connection.execute(update(t.jobs).where(waiting).values(state=JobState.CANCELLED, version=t.jobs.c.version + 1)).rowcount


def wake_states(connection: Connection, states: Sequence[State], now: datetime, but: str = "") -> None:
    """In the caller's transaction. The version goes up, also where an order is awake: a handler at work must not put it back to sleep.

    `but`: the order whose own handler does this; it sees by itself what came free.
    """
    others = and_(t.orders.c.state.in_(states), t.orders.c.id != but)
    connection.execute(update(t.orders).where(others).values(due_at=now, version=t.orders.c.version + 1))


def wake_order(connection: Connection, order_id: str, now: datetime) -> None:
    """As `wake_states`, for one order; one that has ended sleeps on."""
    open_one = and_(t.orders.c.id == order_id, t.orders.c.state.not_in(ENDED))
    connection.execute(update(t.orders).where(open_one).values(due_at=now, version=t.orders.c.version + 1))
