"""All orders in a few figures, counted by the database: ten thousand that wait are not to be read for it one by one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, false, func, select

from agent.domain.events import Event
from agent.domain.order import ENDED, State
from agent.domain.overview import Overview, WaitingOffer
from agent.domain.question import Step
from agent.ledger import tables as t
from agent.ledger.database import told_apart

_MOST_OFFERS = 20
_STAGE = func.coalesce(t.orders.c.resume_state, t.orders.c.state)
"""Where an order stands on its path, also while it is on hold."""
_PRINTED = (State.PRINTED, State.PHOTOS, State.SUBMITTED, State.LABEL, State.PACKING, State.DROP_OFF, State.DELIVERED)
_UNANSWERED = and_(t.questions.c.settled == false(), t.questions.c.answered_at.is_(None))


class OverviewRows:
    """The part of the ledger for those who watch."""

    _reading: Callable[[], Connection]

    def overview(self) -> Overview:
        with told_apart(), self._reading() as connection:
            by_step = select(t.questions.c.step, func.count()).where(_UNANSWERED).group_by(t.questions.c.step)
            offers = _waiting_offers(connection)
            open_, to_print = _counts(connection)
            return Overview(
                waits={Step(step): count for step, count in connection.execute(by_step)},
                offers=offers,
                open_orders=open_,
                to_print=to_print,
                deadline=min([*_ship_bys(connection), *(offer.accept_by for offer in offers)], default=None),
            )

    def newest_event(self) -> int:
        with told_apart(), self._reading() as connection:
            return connection.execute(select(func.max(t.events.c.id))).scalar_one() or 0

    def events_after(self, number: int, most: int) -> Sequence[tuple[int, Event]]:
        query = select(t.events).where(t.events.c.id > number).order_by(t.events.c.id).limit(most)
        with told_apart(), self._reading() as connection:
            return [(row["id"], _event(dict(row))) for row in connection.execute(query).mappings()]


def _event(row: dict[str, Any]) -> Event:
    return Event.model_validate({name: value for name, value in row.items() if name != "id"})


def _waiting_offers(connection: Connection) -> list[WaitingOffer]:
    asked = and_(_UNANSWERED, t.questions.c.step == Step.OFFER, t.orders.c.state == State.OFFERED)
    query = (
        select(
            t.questions.c.id.label("question_id"),
            t.orders.c.id.label("order_id"),
            t.orders.c.marketplace,
            t.orders.c.accept_by,
            t.orders.c.dossier["offer"]["payout"].label("payout"),
        )
        .join_from(t.questions, t.orders, t.questions.c.order_id == t.orders.c.id)
        .where(asked)
        .order_by(t.orders.c.accept_by, t.orders.c.id)
        .limit(_MOST_OFFERS)
    )
    return [WaitingOffer.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def _counts(connection: Connection) -> tuple[int, int]:
    """Accepted orders that are open, and those of them that are still to be printed."""
    query = select(_STAGE, func.count()).where(t.orders.c.state.not_in(ENDED)).group_by(_STAGE)
    counts = {State(stage): count for stage, count in connection.execute(query) if stage != State.OFFERED}
    return sum(counts.values()), sum(count for stage, count in counts.items() if stage not in _PRINTED)


def _ship_bys(connection: Connection) -> list[datetime]:
    """Of accepted orders whose parcel nobody has handed over. The marketplace's word on the order comes before the offer's."""
    remote, offer = t.orders.c.dossier["remote"]["ship_by"].as_string(), t.orders.c.dossier["offer"]["ship_by"].as_string()
    open_ = and_(t.orders.c.state.not_in(ENDED), _STAGE.not_in((State.OFFERED, State.DELIVERED)))
    told = connection.execute(select(func.coalesce(remote, offer)).where(open_)).scalars()
    return [datetime.fromisoformat(text) for text in told if text]
