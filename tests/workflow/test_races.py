"""Two things at once: the marketplace cancels while a handler works, somebody else prints, a person answers, the agent dies."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.job import JobState
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import Item, ProblemCode, RemoteOrder, RemoteState, Supports
from agent.domain.order import Order, State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.workflow.hold import give_up
from agent.workflow.intake import Intake
from agent.workflow.reconcile import Reconciler
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import BLACK, FakePrinter, Killed, Outside, OutsidePrinter, Workshop, make_offer


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


@pytest.fixture
def shop(outside: Outside) -> Iterator[Workshop]:
    with Workshop(outside) as opened:
        yield opened


def order_of(shop: Workshop, n: int = 0) -> Order:
    return shop.ledger.orders()[n]


def say(shop: Workshop, choice: str, n: int = 0) -> None:
    Answers(shop.ledger, shop.store, "Ada").choose(Step.HOLD, order_of(shop, n).id, choice)


def bed(shop: Workshop) -> BedState:
    return shop.ledger.beds()["mk3s"].state


async def receive(shop: Workshop, offer_id: str = "f1", rounds: int = 6, **offer: Any) -> None:
    shop.outside.market.add(make_offer(offer_id, **offer))
    shop.receive()
    await shop.settle(rounds)


async def printing(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    await receive(shop)
    assert shop.outside.printer.state is PrinterState.PRINTING


async def marketplace_cancels(shop: Workshop, offer_id: str = "f1") -> None:
    orders = shop.outside.market.orders
    orders[offer_id] = orders[offer_id].model_copy(update={"state": RemoteState.CANCELLED})
    intake = Intake(shop.market, shop.shop, lambda: None)
    intake.remote_checked -= timedelta(days=1)
    await intake.look()


def over(shop: Workshop, **parts: Any) -> None:
    """The same workshop with other parts."""
    shop.shop = dataclasses.replace(shop.shop, **parts)
    shop.reconciler = Reconciler(shop.shop)


# --- beds ---------------------------------------------------------------------------------------------------------
async def test_giving_up_an_order_that_waits_does_not_free_a_bed_that_somebody_else_used(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.printer.current, shop.outside.printer.state = "foreign.gcode", PrinterState.PRINTING
    await receive(shop)
    shop.outside.printer.finish()
    await PrinterWatch(shop.printer, shop.shop).look()
    await marketplace_cancels(shop)
    say(shop, "cancel")
    await receive(shop, "f2")
    assert bed(shop) is BedState.UNKNOWN
    assert shop.outside.printer.starts == []


async def test_a_start_that_never_came_does_not_free_a_bed_that_somebody_else_used_meanwhile(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    starts, shop.outside.printer.reset = shop.printer.start, True

    async def lost(_name: str) -> None:
        raise Transient("timed out")

    shop.printer.start = lost  # type: ignore[method-assign]
    await receive(shop)
    shop.outside.printer.current, shop.outside.printer.state = "foreign.gcode", PrinterState.PRINTING
    watch = PrinterWatch(shop.printer, shop.shop)
    await watch.look()
    shop.outside.printer.finish()
    shop.printer.start = starts  # type: ignore[method-assign]
    say(shop, "never")
    await shop.settle()
    assert bed(shop) is BedState.UNKNOWN
    assert shop.outside.printer.starts == []


async def test_a_print_of_somebody_else_that_ended_while_nobody_looked_takes_the_bed(outside: Outside) -> None:
    with Workshop(outside) as shop:
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        outside.printer.state = PrinterState.OFFLINE
        await receive(shop)
    outside.printer.current, outside.printer.state = "foreign.gcode", PrinterState.FINISHED
    with Workshop(outside) as shop:
        shop.ledger.wake([State.PRINTING])
        await shop.settle()
        assert bed(shop) is BedState.UNKNOWN
        assert outside.printer.starts == []


async def test_an_order_that_ends_leaves_the_question_for_its_bed_to_the_next(shop: Workshop) -> None:
    await receive(shop, "f1")
    await receive(shop, "f2")
    await marketplace_cancels(shop, "f1")
    await shop.settle()
    assert [question.order_id for question in shop.ledger.open_questions() if question.step is Step.BED] == [order_of(shop, 1).id]


# --- the marketplace cancels while a handler works -------------------------------------------------------------------
@pytest.mark.parametrize("error", [Transient("broke"), Refused("gone", code="gone")], ids=["passing", "for good"])
async def test_an_order_cancelled_under_its_handler_stays_cancelled_and_costs_nothing(shop: Workshop, error: AgentError) -> None:
    async def fetch(*_: Any) -> None:
        await marketplace_cancels(shop)
        raise error

    shop.market.fetch = fetch  # type: ignore[method-assign]
    await receive(shop, files_before_accept=False)
    assert order_of(shop).state is State.CANCELLED
    assert (order_of(shop).due_at, list(shop.ledger.open_questions())) == (None, [])


async def test_no_question_hangs_on_an_order_that_was_cancelled_under_its_handler(shop: Workshop) -> None:
    shop.meshes.verdict, inspect = Verdict.HOLD, shop.meshes.inspect

    async def cancelled_meanwhile(sha256: str, name: str, alone: bool = False) -> MeshReport:
        await marketplace_cancels(shop)
        return await inspect(sha256, name, alone)

    shop.meshes.inspect = cancelled_meanwhile  # type: ignore[method-assign]
    await receive(shop, files_before_accept=False)
    assert (order_of(shop).state, list(shop.ledger.open_questions())) == (State.CANCELLED, [])


async def test_a_cancellation_that_meets_the_printing_handler_is_asked_and_its_answer_is_done(shop: Workshop) -> None:
    await printing(shop)
    order = shop.market.order

    async def slow(order_id: str) -> RemoteOrder:
        await shop.settle(1)  # the handler looks at its print while the marketplace is asked
        return await order(order_id)

    shop.market.order = slow  # type: ignore[method-assign]
    await marketplace_cancels(shop)
    assert order_of(shop).state is State.ON_HOLD
    assert [notice.event for notice in shop.inbox.notices][-1] == "order_cancelled"
    shop.market.order = order  # type: ignore[method-assign]
    say(shop, "cancel")
    await shop.settle()
    assert (order_of(shop).state, shop.outside.printer.state) == (State.CANCELLED, PrinterState.CANCELLED)


async def test_to_go_on_all_the_same_is_said_once(shop: Workshop) -> None:
    await printing(shop)
    await marketplace_cancels(shop)
    say(shop, "retry")
    await shop.settle(2)
    await marketplace_cancels(shop)
    assert order_of(shop).state is State.PRINTING


async def test_nothing_is_started_for_an_order_that_was_put_on_hold_during_its_upload(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    upload = shop.printer.upload

    async def slow(gcode: Path, name: str) -> None:
        await marketplace_cancels(shop)
        await upload(gcode, name)

    shop.printer.upload = slow  # type: ignore[method-assign]
    await receive(shop)
    assert (order_of(shop).state, shop.outside.printer.starts) == (State.ON_HOLD, [])


# --- answers that must not be lost -------------------------------------------------------------------------------------
async def test_a_cancel_that_cannot_be_told_yet_is_told_when_it_can(shop: Workshop) -> None:
    shop.meshes.verdict = Verdict.HOLD
    await receive(shop, files_before_accept=False)
    report = shop.market.report_problem

    async def refused(*_: Any) -> None:
        raise NeedsOperator("the token has expired")

    shop.market.report_problem = refused  # type: ignore[method-assign]
    say(shop, "cancel")
    await shop.settle(2)
    assert order_of(shop).state is State.ON_HOLD
    shop.market.report_problem = report  # type: ignore[method-assign]
    await shop.settle(3)
    assert order_of(shop).state is State.CANCELLED
    assert any(act.startswith("problem") for act in shop.outside.market.acts)


async def test_a_hold_whose_question_was_lost_in_a_crash_asks_it_again(outside: Outside) -> None:
    with Workshop(outside) as shop:
        shop.meshes.verdict = Verdict.HOLD

        def dies(*_: Any) -> None:
            raise Killed

        shop.ledger.ask = dies  # type: ignore[method-assign,assignment]
        with pytest.raises(Killed):
            await receive(shop, files_before_accept=False)
    with Workshop(outside) as shop:
        await shop.settle()
        (question,) = shop.ledger.open_questions()
        assert (question.step, set(question.choices)) == (Step.HOLD, {"print", "cancel"})
        say(shop, "print")
        await shop.settle()
        assert order_of(shop).state is State.SLICED


async def test_an_order_of_a_printer_that_is_no_longer_configured_can_be_given_up(outside: Outside) -> None:
    with Workshop(outside) as shop:
        await printing(shop)
    with Workshop(outside) as shop:
        over(shop, printers={})
        await shop.settle()
        say(shop, "cancel")
        await shop.settle()
        assert order_of(shop).state is State.CANCELLED


async def test_an_offer_that_was_accepted_is_ours_also_when_the_agent_comes_back_after_the_deadline(outside: Outside) -> None:
    with Workshop(outside) as shop:
        outside.market.drops_replies = 1
        await receive(shop, rounds=1)
        assert shop.ledger.orders()[0].state is State.OFFERED
    with Workshop(outside) as shop:
        over(shop, now=lambda: datetime.now(UTC) + timedelta(minutes=16))
        shop.ledger.wake([State.OFFERED])
        await shop.settle()
        assert order_of(shop).state is State.SLICED


# --- several printers --------------------------------------------------------------------------------------------------
async def test_a_printer_that_is_away_stops_no_other_plate_of_its_order(shop: Workshop) -> None:
    second = FakePrinter(OutsidePrinter(), shop.fate, "mk4")
    over(shop, printers={"mk3s": shop.printer, "mk4": second})
    for name in ("mk3s", "mk4"):
        shop.ledger.set_bed(name, BedState.FREE, "Ada")

    async def away(*_: Any) -> None:
        raise Transient("no route to host")

    shop.printer.upload = away  # type: ignore[method-assign]
    items = [Item(item_id=f"i{n}", file_id="m1", quantity=1, color=BLACK, infill_percent=n, supports=Supports.NO) for n in (10, 20)]
    await receive(shop, items=items)
    assert len(second.outside.starts) == 1


async def test_a_plate_no_printer_can_make_any_more_is_a_question(shop: Workshop) -> None:
    await receive(shop)
    assert order_of(shop).state is State.SLICED
    shop.printer.facts = shop.printer.facts.model_copy(update={"materials": []})
    shop.ledger.wake([State.SLICED])
    await shop.settle()
    (question,) = [question for question in shop.ledger.open_questions() if question.step is Step.HOLD]
    assert "loaded any more" in question.text


async def test_work_that_waits_for_a_printer_that_is_away_goes_to_another(shop: Workshop) -> None:
    second = FakePrinter(OutsidePrinter(), shop.fate, "mk4")
    over(shop, printers={"mk3s": shop.printer, "mk4": second})
    shop.outside.printer.state = PrinterState.OFFLINE
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    await receive(shop)
    assert (order_of(shop).state, order_of(shop).tries > 0) == (State.PRINTING, True)
    shop.ledger.set_bed("mk4", BedState.FREE, "Ada")
    shop.ledger.wake([State.PRINTING])
    await shop.settle()
    assert (shop.outside.printer.starts, len(second.outside.starts)) == ([], 1)
    assert [job.state for job in shop.ledger.jobs(order_of(shop).id)] == [JobState.DISCARDED, JobState.PRINTING]
    assert shop.ledger.beds()["mk3s"].state is BedState.FREE


async def test_the_next_order_is_not_given_to_a_printer_that_is_away(shop: Workshop) -> None:
    second = FakePrinter(OutsidePrinter(), shop.fate, "mk4")
    over(shop, printers={"mk3s": shop.printer, "mk4": second})
    for name in ("mk3s", "mk4"):
        shop.ledger.set_bed(name, BedState.FREE, "Ada")
    shop.outside.printer.state = PrinterState.OFFLINE
    await PrinterWatch(shop.printer, shop.shop).look()
    await receive(shop)
    assert [job.printer for job in shop.ledger.jobs(order_of(shop).id)] == ["mk4"]


async def test_giving_up_while_it_is_not_known_whether_we_have_it_reads_it_back_and_tells_the_marketplace(outside: Outside) -> None:
    with Workshop(outside) as shop:
        outside.market.drops_replies = 1
        await receive(shop, rounds=1)
        (order,) = shop.ledger.orders()
        assert (order.state, order.dossier.remote) == (State.OFFERED, None)
        await give_up(order, shop.shop, "Ada")
        (remote,) = outside.market.orders.values()
        assert outside.market.acts == ["accept f1", f"problem {ProblemCode.OTHER} {remote.order_id}"]


async def test_a_question_the_agent_died_before_is_asked_without_holding_the_order_once_more(outside: Outside) -> None:
    """Otherwise an agent that dies early in each of its lives would never come to ask it."""

    def dies(*_: Any) -> None:
        raise Killed

    with Workshop(outside) as shop:
        shop.meshes.verdict, shop.ledger.ask = Verdict.HOLD, dies  # type: ignore[method-assign,assignment]
        with pytest.raises(Killed):
            await receive(shop, files_before_accept=False)
        assert (order_of(shop).state, list(shop.ledger.open_questions())) == (State.ON_HOLD, [])
    with Workshop(outside) as shop:
        shop.ledger.wake([State.ON_HOLD])
        await shop.settle()
        (question,) = shop.ledger.open_questions()
        assert (question.step, set(question.choices)) == (Step.HOLD, {"print", "cancel"})
        assert [event.kind for event in shop.ledger.events(order_of(shop).id)].count("on_hold") == 1
        assert "on_hold" in [notice.event for notice in shop.inbox.notices]
