"""No more heaters at once than the house bears, nobody sent to a hot bed, a picture when a print ends or stops."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Transient
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState, Temperatures
from agent.domain.question import Step
from agent.ports.notifier import Notice
from agent.ports.printer import NO_CAMERA
from agent.workflow.watch import PrinterWatch
from tests.workflow.test_races import over
from tests.workflow.workshop import FakePrinter, Killed, Outside, OutsidePrinter, Workshop, make_offer

JPEG = b"\xff\xd8\xff a picture"


class WarmPrinter(FakePrinter):
    """With heaters and a camera."""

    def __init__(self, shop: Workshop, name: str, *, cool_c: float | None = None) -> None:
        super().__init__(OutsidePrinter(), shop.fate, name)
        self.facts = self.facts.model_copy(update={"bed_cool_c": cool_c})
        self.now = Temperatures()
        self.trouble: AgentError | None = None
        self.camera_hangs = False
        self.pictures = 0

    async def temperatures(self) -> Temperatures:
        if self.trouble is not None:
            raise self.trouble
        return self.now

    async def snapshot(self) -> bytes:
        if self.trouble is not None:
            raise self.trouble
        if self.camera_hangs:
            await asyncio.Event().wait()
        self.pictures += 1
        return JPEG + bytes([self.pictures])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(Outside(tmp_path)) as opened:
        yield opened


def printers(shop: Workshop, *names: str, cool_c: float | None = None, heat_at_once: int | None = None) -> list[WarmPrinter]:
    made = [WarmPrinter(shop, name, cool_c=cool_c) for name in names]
    over(shop, printers={printer.facts.name: printer for printer in made}, heat_at_once=heat_at_once)
    for name in names:
        shop.ledger.set_bed(name, BedState.FREE, "Ada")
    return made


@contextmanager
def next_life(shop: Workshop, printer: WarmPrinter) -> Iterator[tuple[Workshop, WarmPrinter]]:
    """Another agent over the same outside, and its adapter for the same machine."""
    with Workshop(shop.outside) as later:
        adapter = WarmPrinter(later, printer.facts.name, cool_c=printer.facts.bed_cool_c)
        adapter.outside = printer.outside
        over(later, printers={printer.facts.name: adapter})
        yield later, adapter


async def receive(shop: Workshop, *offers: str) -> None:
    for offer in offers:
        shop.outside.market.add(make_offer(offer))
    shop.receive()
    await shop.settle()


async def again(shop: Workshop) -> None:
    shop.ledger.wake([State.PRINTING])
    await shop.settle()


def events(shop: Workshop, kind: str) -> list[dict[str, object]]:
    return [dict(event.data) for order in shop.ledger.orders() for event in shop.ledger.events(order.id) if event.kind == kind]


def told(shop: Workshop, event: str) -> Notice:
    """The only notice of that event."""
    (notice,) = (notice for notice in shop.inbox.notices if notice.event == event)
    return notice


def shown(shop: Workshop, event: str) -> bytes:
    """The picture that went with that notice."""
    return shop.store.path(told(shop, event).picture).read_bytes()


def bed_is_asked_for(shop: Workshop) -> bool:
    return any(question.step is Step.BED for question in shop.ledger.open_questions())


# --- heating ---------------------------------------------------------------------------------------------------------
async def test_the_next_printer_starts_when_the_one_before_it_is_warm(shop: Workshop) -> None:
    one, other = printers(shop, "one", "other", heat_at_once=1)
    one.now = other.now = Temperatures(nozzle_c=30, nozzle_target_c=215, bed_c=25, bed_target_c=60)
    await receive(shop, "f1", "f2")
    assert [len(one.outside.starts), len(other.outside.starts)] == [1, 0]
    one.now = Temperatures(nozzle_c=214, nozzle_target_c=215, bed_c=40, bed_target_c=60)
    await again(shop)
    assert len(other.outside.starts) == 0, "the bed still warms up"
    one.now = Temperatures(nozzle_c=214, nozzle_target_c=215, bed_c=57, bed_target_c=60)
    await again(shop)
    assert len(other.outside.starts) == 1


async def test_a_start_on_its_way_counts_as_one_that_heats(shop: Workshop) -> None:
    one, other = printers(shop, "one", "other", heat_at_once=1)

    async def lost(_name: str) -> None:
        raise Transient("no answer")

    one.start, one.outside.reset = lost, True  # type: ignore[method-assign]
    await receive(shop, "f1", "f2")
    assert other.outside.starts == []


@pytest.mark.parametrize("heat_at_once", [None, 2])
async def test_all_that_may_heat_do(shop: Workshop, heat_at_once: int | None) -> None:
    one, other = printers(shop, "one", "other", heat_at_once=heat_at_once)
    one.now = other.now = Temperatures(nozzle_c=30, nozzle_target_c=215)
    await receive(shop, "f1", "f2")
    assert [len(one.outside.starts), len(other.outside.starts)] == [1, 1]


# --- cooling ---------------------------------------------------------------------------------------------------------
async def test_nobody_is_called_to_a_hot_bed(shop: Workshop) -> None:
    (printer,) = printers(shop, "one", cool_c=45)
    await receive(shop, "f1")
    printer.now = Temperatures(bed_c=60, bed_target_c=0)
    printer.outside.finish()
    await again(shop)
    assert shop.ledger.jobs(shop.ledger.orders()[0].id)[0].state == "finished"
    assert not bed_is_asked_for(shop)
    printer.now = Temperatures(bed_c=44.9, bed_target_c=0)
    await again(shop)
    assert bed_is_asked_for(shop)


@pytest.mark.parametrize("now", [Temperatures(), Temperatures(bed_c=45)], ids=["not told", "at the limit"])
async def test_a_bed_that_is_not_known_to_be_hot_is_asked_for(shop: Workshop, now: Temperatures) -> None:
    (printer,) = printers(shop, "one", cool_c=45)
    await receive(shop, "f1")
    printer.now = now
    printer.outside.finish()
    await again(shop)
    assert bed_is_asked_for(shop)


# --- pictures --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", [PrinterState.FINISHED, PrinterState.FAILED, PrinterState.CANCELLED])
async def test_a_picture_is_taken_when_a_print_ends(shop: Workshop, end: PrinterState) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    printer.outside.finish(end)
    await again(shop)
    (taken,) = events(shop, "picture_taken")
    assert taken["when"] == end
    assert shop.shop.store.path(str(taken["sha256"])).read_bytes() == JPEG + b"\1"


@pytest.mark.parametrize(
    ("end", "call"),
    [(PrinterState.FINISHED, "print_finished"), (PrinterState.FAILED, "on_hold"), (PrinterState.CANCELLED, "on_hold")],
)
async def test_who_is_called_to_the_end_of_a_print_sees_it(shop: Workshop, end: PrinterState, call: str) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    printer.outside.finish(end)
    await again(shop)
    assert shown(shop, call) == JPEG + b"\1"


async def test_who_is_called_when_the_bed_is_cool_sees_the_picture_of_the_end(shop: Workshop) -> None:
    """Also where the agent was restarted meanwhile, and the camera has gone."""
    (printer,) = printers(shop, "one", cool_c=45)
    await receive(shop, "f1")
    printer.now = Temperatures(bed_c=60, bed_target_c=0)
    printer.outside.finish()
    await again(shop)
    with next_life(shop, printer) as (later, printer_later):
        printer_later.camera_hangs = True
        await again(later)
        assert shown(later, "print_finished") == JPEG + b"\1"


@pytest.mark.parametrize(
    ("end", "call"), [(PrinterState.FINISHED, "print_finished"), (PrinterState.FAILED, "on_hold")], ids=["finished", "failed"]
)
async def test_an_agent_that_died_before_it_took_the_picture_takes_it_in_its_next_life(
    shop: Workshop, end: PrinterState, call: str
) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    printer.outside.finish(end)

    async def dies() -> bytes:
        raise Killed

    printer.snapshot = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await again(shop)
    with next_life(shop, printer) as (later, _):
        await again(later)
        assert shown(later, call) == JPEG + b"\1"


async def test_a_hold_that_is_asked_again_after_a_crash_shows_its_picture_again(shop: Workshop) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    printer.outside.finish(PrinterState.FAILED)
    await again(shop)
    question = shop.ledger.question(shop.ledger.orders()[0].id, Step.HOLD)
    assert question is not None
    shop.ledger.settle_question(question)  # as if it had never been asked
    shop.inbox.notices.clear()
    shop.ledger.wake([State.ON_HOLD])
    await shop.settle()
    assert shown(shop, "on_hold") == JPEG + b"\1"


async def test_who_is_asked_what_became_of_a_start_sees_the_bed(shop: Workshop) -> None:
    (printer,) = printers(shop, "one")

    async def lost(_name: str) -> None:
        raise Transient("no answer")

    printer.start, printer.outside.reset = lost, True  # type: ignore[method-assign]
    await receive(shop, "f1")
    assert "what happened?" in told(shop, "on_hold").text
    assert shown(shop, "on_hold") == JPEG + b"\1"


async def test_an_agent_that_died_between_the_picture_and_its_question_takes_no_second_picture(shop: Workshop) -> None:
    """Else one that dies there again and again would write a picture into the history in each life."""
    (printer,) = printers(shop, "one")

    async def lost(_name: str) -> None:
        raise Transient("no answer")

    async def taken_and_soon_dead() -> bytes:
        shop.fate.dies_at = shop.fate.calls + 1  # before the move that comes next
        return JPEG

    printer.start, printer.outside.reset = lost, True  # type: ignore[method-assign]
    printer.snapshot = taken_and_soon_dead  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await receive(shop, "f1")
    with next_life(shop, printer) as (later, printer_later):
        assert len(events(later, "picture_taken")) == 1
        await again(later)
        assert shown(later, "on_hold") == JPEG
        assert (len(events(later, "picture_taken")), printer_later.pictures) == (1, 0)


async def test_a_camera_that_hangs_delays_the_call_by_its_time_and_no_more(shop: Workshop) -> None:
    (printer,) = printers(shop, "one")
    over(shop, pace=dataclasses.replace(shop.shop.pace, picture_s=0.05))
    printer.camera_hangs = True
    await receive(shop, "f1")
    watch = PrinterWatch(printer, shop.shop)
    printer.outside.state = PrinterState.PAUSED
    async with asyncio.timeout(20):
        await watch.look()
        printer.outside.finish()
        await again(shop)
    assert [told(shop, call).picture for call in ("print_paused", "print_finished")] == ["", ""]
    assert [event["problem"] for event in events(shop, "no_picture")] == [
        "The camera took longer than 0.05 s. — Does its picture open in a browser?"
    ] * 2
    assert bed_is_asked_for(shop)


async def test_each_pause_has_a_picture_of_its_own_taken_before_the_call(shop: Workshop) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    watch = PrinterWatch(printer, shop.shop)
    for state in (PrinterState.PAUSED, PrinterState.PRINTING, PrinterState.PAUSED):
        printer.outside.state = state
        await watch.look()
    calls = [notice for notice in shop.inbox.notices if notice.event == "print_paused"]
    assert [shop.store.path(call.picture).read_bytes()[-1] for call in calls] == [1, 2]


async def test_a_picture_is_taken_when_a_print_stops_for_filament(shop: Workshop) -> None:
    (printer,) = printers(shop, "one")
    await receive(shop, "f1")
    watch = PrinterWatch(printer, shop.shop)
    printer.outside.state = PrinterState.PAUSED
    await watch.look()
    await watch.look()
    assert [taken["when"] for taken in events(shop, "picture_taken")] == ["paused"]


@pytest.mark.parametrize(
    ("trouble", "noted"), [(Transient("camera away"), 1), (NeedsOperator("none", code=NO_CAMERA), 0)], ids=["away", "there is none"]
)
async def test_a_camera_that_does_not_work_stops_nothing(shop: Workshop, trouble: AgentError, noted: int) -> None:
    (printer,) = printers(shop, "one", cool_c=45)
    await receive(shop, "f1")
    printer.trouble = trouble
    printer.outside.finish()
    await again(shop)
    assert bed_is_asked_for(shop)
    assert (len(events(shop, "no_picture")), events(shop, "picture_taken")) == (noted, [])
    assert told(shop, "print_finished").picture == ""
