"""An offer has a deadline: it does not stand behind a crowd of orders that a printer woke."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.domain.order import Order, State
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.workflow import reconcile
from agent.workflow.reconcile import AT_A_TIME
from agent.workflow.shop import Shop
from agent.workflow.steps import Wait
from tests.ledger.offers import add_offer
from tests.workflow.workshop import Outside, Workshop, make_offer

CROWD = 4 * AT_A_TIME


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """With a crowd that waits for a printer, and is due."""
    with Workshop(Outside(tmp_path)) as workshop:
        for n in range(CROWD):
            order = _offered(workshop, f"w{n}")
            workshop.ledger.move(order, OrderMove(to=State.SLICED, event="sliced"))
        yield workshop


def _offered(shop: Workshop, offer_id: str) -> Order:
    order = add_offer(shop.ledger, "market", make_offer(offer_id), shop.shop.now() + timedelta(minutes=15))
    assert order is not None
    return order


async def _run_until(done: asyncio.Event, shop: Workshop) -> None:
    running = asyncio.create_task(shop.reconciler.run())
    await done.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _looked_at(shop: Workshop, monkeypatch: pytest.MonkeyPatch, *, offer_after: int) -> list[State]:
    """The states of the orders that were looked at, in turn; an offer comes in during one of the first looks."""
    looks: list[State] = []
    all_done = asyncio.Event()

    async def look(order: Order, _shop: Shop) -> Wait:
        looks.append(order.state)
        if len(looks) == offer_after:
            _offered(shop, "new")
            shop.reconciler.wake()
        if len(looks) == CROWD + 1:
            all_done.set()
        return Wait(None)

    monkeypatch.setattr(reconcile, "HANDLERS", {State.SLICED: look, State.OFFERED: look})
    await _run_until(all_done, shop)
    return looks


async def test_an_offer_comes_next_however_many_were_woken(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = await _looked_at(shop, monkeypatch, offer_after=3)
    assert looks.index(State.OFFERED) <= AT_A_TIME


async def test_each_of_the_crowd_has_its_turn_once(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = await _looked_at(shop, monkeypatch, offer_after=1)
    assert sorted(looks) == sorted([State.OFFERED, *[State.SLICED] * CROWD])


def test_offers_are_due_before_orders_that_wait_longer(shop: Workshop) -> None:
    offer = _offered(shop, "new")
    due = shop.ledger.due(shop.shop.now(), CROWD + 1)
    assert (len(due), due[0]) == (CROWD + 1, offer.id)


async def _looks(shop: Workshop, monkeypatch: pytest.MonkeyPatch, answers: list[Wait], first: asyncio.Event) -> int:
    """How often its only order is looked at until the answers are used up; `first` after the first time."""
    done, looked = asyncio.Event(), 0

    async def look(_order: Order, _shop: Shop) -> Wait:
        nonlocal looked
        looked += 1
        first.set()
        if looked == len(answers):
            done.set()
        return answers[looked - 1]

    monkeypatch.setattr(reconcile, "HANDLERS", {State.OFFERED: look})
    await _run_until(done, shop)
    return looked


async def test_an_order_whose_time_comes_is_looked_at_though_nothing_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        _offered(shop, "sleeps")
        assert await _looks(shop, monkeypatch, [Wait(0.3), Wait(0.3), Wait(None)], asyncio.Event()) == 3


async def test_an_order_that_another_program_wakes_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workshop(Outside(tmp_path)) as shop, SqlLedger(sqlite_url(tmp_path)) as another_program:
        _offered(shop, "waits")
        first = asyncio.Event()
        looking = asyncio.create_task(_looks(shop, monkeypatch, [Wait(None), Wait(None)], first))
        await first.wait()
        await asyncio.sleep(2.5 * reconcile.TICK_S)  # it has found nothing to do more than once
        another_program.wake([State.OFFERED])
        assert await looking == 2
