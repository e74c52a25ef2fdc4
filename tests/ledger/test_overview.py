"""All orders in a few figures: as those who count them one by one would say, and quickly where there are many."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.order import Order, State
from agent.domain.overview import Overview
from agent.domain.question import NewQuestion, Step
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.workshop import make_offer, remote_order

SOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    lay_empty_ledger(tmp_path)
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        yield opened


def add(
    ledger: SqlLedger, offer_id: str, state: State = State.OFFERED, *, ship_by: datetime | None = None, resume: State | None = None
) -> Order:
    order = add_offer(ledger, "market", make_offer(offer_id, ship_by=ship_by), SOON)
    assert order is not None
    if state is State.OFFERED:
        return order
    dossier = order.dossier.model_copy(update={"remote": remote_order(order.dossier.offer)})
    return ledger.move(order, OrderMove(to=state, event="moved", dossier=dossier, resume_state=resume))


def ask(ledger: SqlLedger, order: Order, step: Step) -> None:
    ledger.ask(order, NewQuestion(step=step, text="?", choices={"accept": "yes"}))


def test_an_empty_ledger_has_nothing(ledger: SqlLedger) -> None:
    assert ledger.overview() == Overview()
    assert ledger.newest_event() == 0
    assert ledger.events_after(0, 10) == []


def test_questions_are_counted_by_step_until_somebody_answers(ledger: SqlLedger) -> None:
    orders = [add(ledger, f"f{n}", State.PHOTOS) for n in range(3)]
    for order in orders:
        ask(ledger, order, Step.PHOTOS)
    ask(ledger, orders[0], Step.HOLD)
    assert ledger.overview().waits == {Step.PHOTOS: 3, Step.HOLD: 1}
    ledger.answer(ledger.open_questions()[0], {"choice": "accept"}, "Ada")
    ledger.settle_question(ledger.open_questions()[0])
    assert ledger.overview().waits == {Step.PHOTOS: 1, Step.HOLD: 1}


def test_offers_that_wait_are_told_the_first_to_end_first(ledger: SqlLedger) -> None:
    add(ledger, "decided-by-the-agent")
    first, second = (add_offer(ledger, "market", make_offer(name), SOON + timedelta(hours=n)) for n, name in ((1, "f1"), (0, "f2")))
    assert first is not None
    assert second is not None
    ask(ledger, first, Step.OFFER)
    ask(ledger, second, Step.OFFER)
    offers = ledger.overview().offers
    assert [(offer.order_id, str(offer.payout), offer.marketplace) for offer in offers] == [
        (second.id, "12.50 EUR", "market"),
        (first.id, "12.50 EUR", "market"),
    ]
    question = ledger.question_by_id(offers[0].question_id)
    assert question is not None
    assert question.order_id == second.id
    assert ledger.overview().deadline == SOON


def test_orders_are_counted_by_where_they_stand_also_on_hold(ledger: SqlLedger) -> None:
    add(ledger, "offer")
    add(ledger, "a", State.PRINTING)
    add(ledger, "b", State.ON_HOLD, resume=State.SLICED)
    add(ledger, "c", State.ON_HOLD, resume=State.PACKING)
    add(ledger, "d", State.ON_HOLD, resume=State.OFFERED)
    add(ledger, "e", State.CLOSED)
    add(ledger, "f", State.DROP_OFF)
    overview = ledger.overview()
    assert (overview.open_orders, overview.to_print) == (4, 2)
    assert overview.open_orders == ledger.count_open() - 1, "an offer that is on hold was not accepted"


def test_the_next_deadline_is_the_earliest_parcel_that_nobody_has_handed_over(ledger: SqlLedger) -> None:
    at = datetime(2030, 1, 5, 9, 0, tzinfo=UTC)
    add(ledger, "handed-over", State.DELIVERED, ship_by=at - timedelta(days=2))
    add(ledger, "over", State.CLOSED, ship_by=at - timedelta(days=3))
    add(ledger, "next", State.PACKING, ship_by=at)
    add(ledger, "later", State.PRINTING, ship_by=at + timedelta(days=1))
    add(ledger, "whenever", State.PRINTING)
    assert ledger.overview().deadline == at


def test_the_marketplaces_later_word_on_a_deadline_counts(ledger: SqlLedger) -> None:
    order = add(ledger, "f1", State.PACKING, ship_by=SOON)
    remote = remote_order(order.dossier.offer).model_copy(update={"ship_by": SOON - timedelta(days=1)})
    ledger.move(order, OrderMove(to=State.DROP_OFF, event="moved", dossier=order.dossier.model_copy(update={"remote": remote})))
    assert ledger.overview().deadline == SOON - timedelta(days=1)


def test_events_are_told_from_a_number_on_over_all_orders(ledger: SqlLedger) -> None:
    first = add(ledger, "f1")
    here = ledger.newest_event()
    second = add(ledger, "f2")
    ledger.record(first.id, "printed", {"a": 1})
    found = ledger.events_after(here, 10)
    assert [(event.order_id, event.kind) for _, event in found] == [(second.id, "offered"), (first.id, "printed")]
    assert [number for number, _ in found] == [here + 1, here + 2]
    assert len(ledger.events_after(0, 2)) == 2
    assert ledger.newest_event() == here + 2


@pytest.mark.slow
def test_two_thousand_orders_are_counted_in_an_instant(ledger: SqlLedger) -> None:
    """And without reading them: one by one it would take far longer. The limit is generous for a busy machine."""
    from sqlalchemy import insert  # noqa: PLC0415

    from agent.ledger import tables  # noqa: PLC0415

    order = add(ledger, "f", State.PRINTING, ship_by=SOON)
    with ledger._engine.begin() as connection:
        row = dict(connection.execute(tables.orders.select()).mappings().one())
        connection.execute(insert(tables.orders), [{**row, "id": f"o{n}", "offer_id": f"f{n}"} for n in range(2000)])
    began = time.process_time()
    overview = ledger.overview()
    assert time.process_time() - began < 0.5
    assert overview.open_orders == 2001
    assert order.id
