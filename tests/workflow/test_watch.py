"""Watching printers and marketplaces: what changes there without us is noticed, and told once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.domain.errors import Transient
from agent.domain.offer import OfferState, RemoteState
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.workflow.intake import Intake
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import Outside, Workshop, make_offer


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    outside = Outside(tmp_path)
    outside.market.add(make_offer())
    with Workshop(outside) as opened:
        yield opened


async def printing(shop: Workshop) -> str:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.receive()
    await shop.settle()
    assert shop.outside.printer.state is PrinterState.PRINTING
    return shop.ledger.orders()[0].id


def kinds(shop: Workshop, order_id: str) -> list[str]:
    return [event.kind for event in shop.ledger.events(order_id)]


def told(shop: Workshop) -> list[str]:
    return [notice.event for notice in shop.inbox.notices]


async def test_a_printer_that_vanishes_is_told_once_to_its_order_and_the_operator_and_once_when_it_is_back(shop: Workshop) -> None:
    order_id = await printing(shop)
    watch = PrinterWatch(shop.printer, shop.shop)
    for state in (PrinterState.OFFLINE,) * 4 + (PrinterState.PRINTING,) * 2:
        shop.outside.printer.state = state
        await watch.look()
    assert kinds(shop, order_id).count("printer_lost") == 1
    assert kinds(shop, order_id).count("printer_back") == 1
    assert (told(shop).count("printer_lost"), told(shop).count("printer_back")) == (1, 1)
    assert shop.ledger.order(order_id).state is State.PRINTING, "it may print on while nobody sees it"


async def test_one_missed_look_calls_nobody(shop: Workshop) -> None:
    order_id = await printing(shop)
    watch = PrinterWatch(shop.printer, shop.shop)
    for state in (PrinterState.OFFLINE, PrinterState.PRINTING, PrinterState.OFFLINE, PrinterState.PRINTING):
        shop.outside.printer.state = state
        await watch.look()
    assert "printer_lost" not in kinds(shop, order_id) + told(shop)


async def test_a_printer_without_work_that_is_switched_off_calls_nobody(shop: Workshop) -> None:
    watch = PrinterWatch(shop.printer, shop.shop)
    shop.outside.printer.state = PrinterState.OFFLINE
    for _ in range(3):
        await watch.look()
    assert told(shop) == []


async def test_each_pause_of_our_print_calls_for_hands_once(shop: Workshop) -> None:
    order_id = await printing(shop)
    watch = PrinterWatch(shop.printer, shop.shop)
    for state in (PrinterState.PAUSED, PrinterState.PAUSED, PrinterState.PRINTING, PrinterState.PAUSED):
        shop.outside.printer.state = state
        await watch.look()
    assert kinds(shop, order_id).count("print_paused") == 2
    assert told(shop).count("print_paused") == 2


async def test_a_bed_that_somebody_else_printed_on_is_not_free_until_a_person_says_so_again(shop: Workshop) -> None:
    def bed() -> BedState:
        return shop.ledger.beds()["mk3s"].state

    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    watch = PrinterWatch(shop.printer, shop.shop)
    shop.outside.printer.current, shop.outside.printer.state = "vase.gcode", PrinterState.FINISHED
    await watch.look()
    assert bed() is BedState.UNKNOWN
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    await watch.look()
    assert bed() is BedState.FREE, "Ada took the vase off; that the printer still shows it changes nothing"
    shop.outside.printer.state = PrinterState.PRINTING
    await watch.look()
    assert bed() is BedState.UNKNOWN, "the vase is printed again"


async def test_an_order_cancelled_by_the_marketplace_before_it_is_printed_just_ends(shop: Workshop) -> None:
    shop.receive()
    await shop.settle()
    order = shop.ledger.orders()[0]
    assert order.state is State.SLICED
    await cancelled_remotely(shop)
    assert shop.ledger.order(order.id).state is State.CANCELLED
    assert told(shop)[-1] == "order_cancelled"


async def test_an_order_cancelled_while_it_prints_is_a_persons_to_stop(shop: Workshop) -> None:
    order_id = await printing(shop)
    await cancelled_remotely(shop)
    assert shop.ledger.order(order_id).state is State.ON_HOLD
    question = shop.ledger.question(order_id, Step.HOLD)
    assert question is not None
    assert set(question.choices) == {"cancel", "retry"}
    assert shop.outside.printer.state is PrinterState.PRINTING


async def cancelled_remotely(shop: Workshop) -> None:
    remote = shop.outside.market.orders["f1"]
    shop.outside.market.orders["f1"] = remote.model_copy(update={"state": RemoteState.CANCELLED})
    intake = Intake(shop.market, shop.shop, lambda: None)
    intake.remote_checked -= timedelta(hours=1)
    await intake.look()


async def test_a_marketplace_that_is_away_is_asked_again_ever_more_slowly_and_told_once(shop: Workshop) -> None:
    intake = Intake(shop.market, shop.shop, lambda: None)
    away = Transient("no answer")
    pauses = [intake.away(away) for _ in range(9)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, 60)
    assert intake.away(Transient("busy", retry_after_s=90)) == 90


async def test_an_offer_is_taken_in_once_and_wakes_the_loop(shop: Workshop) -> None:
    woken: list[bool] = []
    intake = Intake(shop.market, shop.shop, lambda: woken.append(True))
    await intake.look()
    await intake.look()
    assert len(woken) == 1
    assert [order.dossier.offer.state for order in shop.ledger.orders()] == [OfferState.OPEN]


async def test_a_file_of_ours_that_somebody_prints_again_takes_the_bed(shop: Workshop) -> None:
    order_id = await printing(shop)
    shop.outside.printer.finish()
    await shop.settle()
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.ledger.wake([State.PRINTING])
    await shop.settle()
    assert [job.state for job in shop.ledger.jobs(order_id)] == ["harvested"]
    watch = PrinterWatch(shop.printer, shop.shop)
    await watch.look()
    assert shop.ledger.beds()["mk3s"].state is BedState.FREE, "it is only still shown"
    shop.outside.printer.state = PrinterState.PRINTING
    await watch.look()
    assert shop.ledger.beds()["mk3s"].state is BedState.UNKNOWN
