"""A printer that makes no sense: told once, waited for a while, then asked about; one that is only out of reach is never asked about."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.errors import Unsound
from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Question, Step
from agent.workflow.reconcile import ASK_AFTER_TRIES, Reconciler
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import Outside, Workshop, make_offer

NONSENSE = "It answers in rhymes."
TOO_LONG = timedelta(minutes=6)
_STEP = timedelta(seconds=20)


class Clock:
    """The workflow's."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Floor:
    """A workshop with one order, and a clock that can be put forward."""

    def __init__(self, shop: Workshop) -> None:
        self.shop, self.clock, self.printer = shop, Clock(), shop.outside.printer
        shop.shop = replace(shop.shop, now=self.clock.now)
        shop.reconciler = Reconciler(shop.shop)
        self.watch = PrinterWatch(shop.printer, shop.shop)

    @property
    def state(self) -> State:
        return self.shop.ledger.orders()[0].state

    @property
    def job(self) -> JobState:
        return self.shop.ledger.jobs(self.shop.ledger.orders()[0].id)[-1].state

    @property
    def question(self) -> Question:
        found = self.shop.ledger.question(self.shop.ledger.orders()[0].id, Step.HOLD)
        assert found is not None
        return found

    def told(self, event: str) -> int:
        return sum(notice.event == event for notice in self.shop.inbox.notices)

    async def begins(self) -> None:
        self.shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        self.shop.receive()
        await self.shop.settle()

    async def passes(self, time: timedelta) -> None:
        """With a look of the watch and one of the order at each step."""
        until = self.clock.ahead + time
        while self.clock.ahead < until:
            self.clock.ahead += _STEP
            await self.watch.look()
            await self.goes_on()

    async def goes_on(self) -> None:
        self.shop.ledger.wake([State.PRINTING, State.SLICED])
        await self.shop.settle(1)

    async def answered(self, choice: str) -> None:
        self.shop.ledger.answer(self.question, {"choice": choice}, "Ada")
        self.shop.ledger.wake([State.ON_HOLD])
        await self.shop.settle()


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    outside = Outside(tmp_path)
    outside.market.add(make_offer())
    with Workshop(outside) as opened:
        yield Floor(opened)


async def test_a_print_is_waited_for_and_then_asked_about_and_goes_on_with_the_answer(floor: Floor) -> None:
    await floor.begins()
    floor.printer.nonsense = NONSENSE
    await floor.passes(timedelta(minutes=4))
    assert floor.state is State.PRINTING, "it may only be overloaded"
    await floor.passes(timedelta(minutes=2))
    assert floor.state is State.ON_HOLD
    assert "rhymes" in floor.question.text
    assert set(floor.question.choices) == {"printing", "printed", "failed", "cancel"}
    await floor.passes(TOO_LONG)
    assert (floor.told("printer_needs_attention"), floor.told("on_hold"), floor.told("printer_lost")) == (1, 1, 0)
    floor.printer.nonsense = ""
    await floor.answered("printing")
    assert floor.state is State.PRINTING
    floor.printer.finish()
    await floor.goes_on()
    assert floor.job is JobState.FINISHED
    assert len(floor.printer.starts) == 1


async def test_asked_again_at_once_where_it_still_makes_no_sense(floor: Floor) -> None:
    await floor.begins()
    floor.printer.nonsense = NONSENSE
    await floor.passes(TOO_LONG)
    await floor.answered("printing")
    assert floor.state is State.ON_HOLD
    await floor.answered("printed")
    assert (floor.state, floor.job) == (State.PRINTING, JobState.FINISHED)
    assert len(floor.printer.starts) == 1


async def test_sense_in_between_begins_the_wait_anew_and_is_told(floor: Floor) -> None:
    await floor.begins()
    for _ in range(3):
        floor.printer.nonsense = NONSENSE
        await floor.passes(timedelta(minutes=4))
        floor.printer.nonsense = ""
        await floor.passes(_STEP)
    assert floor.state is State.PRINTING
    assert floor.told("printer_needs_attention") == floor.told("printer_back") == 3


async def test_out_of_reach_for_long_is_no_question_also_when_it_stalls_at_both_ends(floor: Floor) -> None:
    await floor.begins()
    for nonsense, time in ((NONSENSE, 1), ("", 10), (NONSENSE, 1)):
        floor.printer.state, floor.printer.nonsense = PrinterState.OFFLINE, nonsense
        await floor.passes(timedelta(minutes=time))
    assert floor.state is State.PRINTING
    assert (floor.told("printer_lost"), floor.told("printer_needs_attention")) == (1, 1)


async def test_falling_out_of_reach_now_and_then_does_not_hide_that_it_makes_no_sense(floor: Floor) -> None:
    await floor.begins()
    for at in range(21):
        floor.printer.state, floor.printer.nonsense = PrinterState.OFFLINE, "" if at % 5 == 2 else NONSENSE
        await floor.passes(_STEP)
    assert floor.state is State.ON_HOLD


async def test_a_start_that_may_have_arrived_is_asked_about(floor: Floor) -> None:
    floor.printer.reset = True
    floor.shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    floor.shop.receive()
    start = floor.shop.printer.start

    async def lost(remote_name: str) -> None:
        await start(remote_name)
        floor.printer.nonsense = NONSENSE
        raise Unsound("no answer")

    floor.shop.printer.start = lost  # type: ignore[method-assign]
    await floor.shop.settle()
    assert floor.job is JobState.STARTING
    await floor.passes(TOO_LONG)
    assert (floor.state, set(floor.question.choices)) == (State.ON_HOLD, {"never", "printing", "printed", "failed", "cancel"})
    await floor.answered("printed")
    assert floor.job is JobState.FINISHED
    assert len(floor.printer.starts) == 1


async def test_a_plate_that_waits_for_it_may_be_taken_off_it_and_nothing_is_started_there(floor: Floor) -> None:
    floor.printer.nonsense = NONSENSE
    await floor.begins()
    assert floor.job is JobState.CLAIMED
    await floor.passes(TOO_LONG)
    assert (floor.state, set(floor.question.choices)) == (State.ON_HOLD, {"retry", "reprint", "cancel"})
    floor.printer.nonsense = ""
    await floor.answered("reprint")
    await floor.goes_on()
    assert floor.job is JobState.PRINTING
    assert len(floor.printer.starts) == 1, "there was no other, so there later"


async def test_nonsense_in_answer_to_an_upload_only_is_asked_about_after_some_tries(floor: Floor) -> None:
    tries: list[str] = []

    async def upload(_gcode: Path, remote_name: str) -> None:
        tries.append(remote_name)
        raise Unsound(NONSENSE)

    floor.shop.printer.upload = upload  # type: ignore[method-assign]
    await floor.begins()
    assert (floor.state, len(tries)) == (State.ON_HOLD, ASK_AFTER_TRIES + 1)
    assert "rhymes" in floor.question.text
    assert floor.printer.starts == []
