"""The ledger counts: once, from the number the operator wrote, and from another one anew."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from agent.domain.booking import Booking
from agent.domain.order import Order, State
from agent.domain.stock import StockKind, Taking, Thing, Why
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove, Stale
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer

BOX = Thing(StockKind.PACKAGING, "box-s")
AGES_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        yield opened


def packed(ledger: SqlLedger, offer_id: str, name: str = "box-s") -> Order:
    order = add_offer(ledger, "market", make_offer(offer_id), datetime.now(UTC) + timedelta(minutes=15))
    assert order is not None
    taking = Taking(kind=StockKind.PACKAGING, name=name, subject="packed", amount=1, why=Why.PACKED)
    return ledger.move(order, OrderMove(to=State.DROP_OFF, event="packed", takes=taking))


def left(ledger: SqlLedger) -> dict[str, float]:
    return {stock.name: stock.left for stock in ledger.stock()}


def test_what_is_packed_is_counted_down_and_a_restart_forgets_nothing(ledger: SqlLedger) -> None:
    ledger.count_from({BOX: 12})
    packed(ledger, "f1")
    packed(ledger, "f2", "another")
    ledger.count_from({BOX: 12})
    assert left(ledger) == {"box-s": 11}


def test_another_number_in_the_file_is_counted_from_anew(ledger: SqlLedger) -> None:
    ledger.count_from({BOX: 12})
    packed(ledger, "f1")
    ledger.count_from({BOX: 30})
    assert left(ledger) == {"box-s": 30}
    packed(ledger, "f2")
    assert left(ledger) == {"box-s": 29}
    ledger.count_from({BOX: 12})
    assert left(ledger) == {"box-s": 12}


def test_a_person_who_counted_is_believed_until_the_file_says_something_else(ledger: SqlLedger) -> None:
    ledger.count_from({BOX: 12})
    packed(ledger, "f1")
    ledger.counted(BOX, 40, 12)
    ledger.count_from({BOX: 12})
    packed(ledger, "f2")
    assert left(ledger) == {"box-s": 39}
    ledger.count_from({BOX: 13})
    assert left(ledger) == {"box-s": 13}


def test_the_clock_does_not_count(tmp_path: Path) -> None:
    """A machine without a battery for its clock may begin in 1970, and be right an hour later."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with SqlLedger(sqlite_url(tmp_path), lambda: now[0]) as ledger:
        ledger.count_from({BOX: 12})
        now[0] = datetime(1970, 1, 1, tzinfo=UTC)
        packed(ledger, "f1")
        assert left(ledger) == {"box-s": 11}


def test_one_subject_is_counted_once_and_a_move_that_lost_takes_nothing(ledger: SqlLedger) -> None:
    ledger.count_from({BOX: 12})
    order = packed(ledger, "f1")
    taking = Taking(kind=StockKind.PACKAGING, name="box-s", subject="packed", amount=1, why=Why.PACKED)
    back = ledger.move(order, OrderMove(to=State.PACKING, event="test"))
    again = ledger.move(back, OrderMove(to=State.DROP_OFF, event="packed", takes=taking))
    with pytest.raises(Stale):
        ledger.move(back, OrderMove(to=State.DROP_OFF, event="packed", takes=taking.model_copy(update={"subject": "other"})))
    assert left(ledger) == {"box-s": 11}
    assert len(ledger.takings(again.id)) == 1


def test_what_was_used_lately_is_told_also_of_what_nobody_counts(ledger: SqlLedger) -> None:
    packed(ledger, "f1")
    packed(ledger, "f2")
    used = ledger.used(AGES_AGO)
    assert used[BOX].amount == 2 and used[BOX].first <= datetime.now(UTC)
    assert ledger.used(datetime.now(UTC) + timedelta(days=1)) == {}


def test_an_order_is_booked_once_and_with_its_move_or_not_at_all(ledger: SqlLedger) -> None:
    order = packed(ledger, "f1")
    booking = Booking(gross=order.dossier.offer.payout, prints=[])
    closed = ledger.move(order, OrderMove(to=State.CLOSED, event="delivered", books=booking))
    with pytest.raises(IntegrityError):
        ledger.move(closed, OrderMove(to=State.FAILED, event="test", books=booking))
    assert ledger.order(order.id).state is State.CLOSED
    (booked,) = ledger.bookings(AGES_AGO)
    assert (booked.order_id, booked.booking, booked.remote_id) == (order.id, booking, None)
