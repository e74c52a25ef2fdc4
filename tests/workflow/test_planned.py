"""The plan over a real ledger: what an offer would do to it, whose turn it is at a printer, and a promise that will be broken."""

import asyncio
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.domain.attended import Attended
from agent.domain.decision import Answer
from agent.domain.job import JobState
from agent.domain.offer import Item, Supports
from agent.domain.order import Order, State
from agent.domain.plate import SlicedPlate
from agent.domain.printer import BedState, LoadedMaterial, PrinterState
from agent.domain.question import Step
from agent.domain.schedule import Alternative, Batch, PlateNeed
from agent.domain.values import Color
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.ports.slicer import Progress, SliceWork
from agent.workflow import planned
from agent.workflow.planning import plan
from agent.workflow.promise_watch import PromiseWatch
from agent.workflow.reconcile import Reconciler
from agent.workflow.scheduling import Schedule
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import BLACK, FAST, FakePrinter, Outside, OutsidePrinter, Workshop, make_offer

BERLIN = ZoneInfo("Europe/Berlin")
H = 3600


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its schema, to be copied."""
    folder = tmp_path_factory.mktemp("ledger")
    with SqlLedger(sqlite_url(folder)):
        return folder / "ledger.sqlite3"


@pytest.fixture
def shop(tmp_path: Path, clock: Clock, new_ledger: Path) -> Iterator[Workshop]:
    shutil.copy(new_ledger, tmp_path)
    with Workshop(Outside(tmp_path), now=clock, pace=dataclasses.replace(FAST, printing_s=1.0)) as opened:
        yield opened


def over(shop: Workshop, **parts: Any) -> None:
    shop.shop = dataclasses.replace(shop.shop, **parts)
    shop.reconciler = Reconciler(shop.shop)


def add_printer(shop: Workshop, name: str, **facts: Any) -> FakePrinter:
    made = FakePrinter(OutsidePrinter(), shop.fate, name)
    made.facts = made.facts.model_copy(update=facts)
    shop.shop.printers[name] = made  # type: ignore[index]
    return made


def free(shop: Workshop, *names: str) -> None:
    for name in names or ("mk3s",):
        shop.ledger.set_bed(name, BedState.FREE, "Ada")


async def order(shop: Workshop, offer_id: str, by: datetime | None = None, rounds: int = 6, **offer: Any) -> Order:
    shop.outside.market.add(make_offer(offer_id, ship_by=by, **offer))
    shop.receive()
    await shop.settle(rounds)
    return named(shop, offer_id)


def named(shop: Workshop, offer_id: str) -> Order:
    return next(order for order in shop.ledger.orders() if order.dossier.offer.offer_id == offer_id)


def offered(*seconds: int, by: datetime | None = None, on: tuple[str, ...] = ("mk3s",), g: float = 3, color: Color = BLACK) -> list[Batch]:
    plates = [PlateNeed(print_seconds=each, filament_g=g) for each in seconds]
    way = Alternative(profile="test", slicer="fake", printers=list(on), plates=plates)
    return [Batch(order_id="new", number=1, material="PLA", color=color, alternatives=[way], finish_by=by)]


def items(n: int) -> list[Item]:
    """So many plates."""
    return [Item(item_id=f"i{k}", file_id="m1", quantity=1, color=BLACK, infill_percent=10 + k, supports=Supports.NO) for k in range(n)]


def printed(shop: Workshop, printer: FakePrinter | None = None) -> list[str]:
    """Offers in the order their prints were started in."""
    offers = {order.id: order.dossier.offer.offer_id for order in shop.ledger.orders()}
    starts = (printer or shop.printer).outside.starts
    return [offers[name.split("-")[0]] for name in starts]


async def next_print(shop: Workshop) -> None:
    """The print ends, and its bed is cleared."""
    shop.outside.printer.finish()
    shop.ledger.wake([State.PRINTING])
    await shop.settle()
    free(shop)
    await shop.settle()


@pytest.fixture(params=[100, 0], ids=["small floor", "large floor"])
def floor_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From how many batches on a floor is a large one."""
    monkeypatch.setattr(planned, "_CHEAP", request.param)


# --- what an offer would do -------------------------------------------------------------------------------------------
async def test_an_offer_is_taken_where_it_is_ready_in_time(shop: Workshop, clock: Clock) -> None:
    free(shop)
    found = planned.forecast(shop.shop, offered(H, by=clock.now + timedelta(hours=2)))
    assert (found.ok, found.printers, found.reasons) == (True, ["mk3s"], [])
    assert found.ready_at is not None and abs(found.ready_at - clock.now - timedelta(minutes=65)) < timedelta(seconds=1)
    late = planned.forecast(shop.shop, offered(2 * H, by=clock.now + timedelta(hours=2)))
    assert (late.ok, late.reasons) == (False, ["Its last plate is off the printer 5 min too late."])


async def test_what_prints_and_what_waits_stands_before_it(shop: Workshop, clock: Clock) -> None:
    free(shop)
    await order(shop, "f1", clock.now + timedelta(hours=5))
    await order(shop, "f2", clock.now + timedelta(hours=5))
    assert (named(shop, "f1").state, named(shop, "f2").state) == (State.PRINTING, State.SLICED)
    clock.now += timedelta(minutes=4)
    found = planned.forecast(shop.shop, offered(H))
    assert found.ready_at is not None
    # The first print began four minutes ago and takes ten; then a bed to clear, the second, another bed, the offer, and its bed.
    assert abs(found.ready_at - clock.now - timedelta(minutes=6 + 5 + 10 + 5 + 60 + 5)) < timedelta(seconds=5)


async def test_a_bed_is_reckoned_to_be_cleared_from_the_end_of_its_print_on(shop: Workshop, clock: Clock) -> None:
    """Else every promise behind it would slip with each second that nobody has come yet."""
    free(shop)
    await order(shop, "f1")
    shop.outside.printer.finish()
    shop.ledger.wake([State.PRINTING])
    await shop.settle()
    for minutes, ready in ((0, 5 + 60 + 5), (4, 1 + 60 + 5), (10, 5 + 60 + 5)):  # the last: who is late begins now
        ended = clock.now
        clock.now = ended + timedelta(minutes=minutes)
        found = planned.forecast(shop.shop, offered(H))
        clock.now, now = ended, clock.now
        assert found.ready_at is not None
        assert abs(found.ready_at - now - timedelta(minutes=ready)) < timedelta(seconds=5)


async def test_a_promise_made_before_is_not_broken_for_an_offer(shop: Workshop, clock: Clock) -> None:
    await order(shop, "f1", clock.now + timedelta(minutes=40))
    tight = planned.forecast(shop.shop, offered(600, by=clock.now + timedelta(minutes=25)))
    assert tight.ok, tight.reasons
    found = planned.forecast(shop.shop, offered(1500, by=clock.now + timedelta(minutes=36)))
    assert (found.ok, found.reasons) == (
        False,
        [f"Order {named(shop, 'f1').id} would not be ready in time any more: Its last plate is off the printer 10 min too late."],
    )


@pytest.mark.usefixtures("floor_size")
async def test_what_a_plan_made_anew_would_break_is_kept_by_the_plan_so_far(shop: Workshop, clock: Clock) -> None:
    """The urgent one has room on the other printer; made anew, the plan has it first on this one, and another one too late."""
    over(shop, schedule=Schedule(clear_bed_s=0))
    long = await order(shop, "f1", clock.now + timedelta(minutes=32), items=items(2))
    short = await order(shop, "f2", clock.now + timedelta(minutes=25))
    add_printer(shop, "second", profile="other")
    assert (long.state, short.state) == (State.SLICED, State.SLICED)
    assert planned.current(shop.shop).broken == []
    here = planned.scene(shop.shop)
    urgent = offered(300, by=clock.now + timedelta(minutes=12), on=("mk3s", "second"))
    anew = plan([*here.batches(), *urgent], here.stations(), here.schedule, here.now).plan
    assert [broken.order_id for broken in anew.broken] == [long.id]
    found = planned.forecast(shop.shop, urgent)
    assert (found.ok, found.printers) == (True, ["second"])
    taken = await order(shop, "f3", clock.now + timedelta(minutes=12))
    assert taken.dossier.decision is not None and taken.dossier.decision.answer is Answer.ACCEPT
    assert planned.current(shop.shop).broken == []


async def test_what_was_broken_before_does_not_count_against_it(shop: Workshop, clock: Clock) -> None:
    await order(shop, "f1", clock.now + timedelta(minutes=40))
    clock.now += timedelta(hours=1)
    assert [broken.order_id for broken in planned.current(shop.shop).broken] == [named(shop, "f1").id]
    assert planned.forecast(shop.shop, offered(H, by=clock.now + timedelta(hours=9))).ok


@pytest.mark.usefixtures("floor_size")
async def test_what_is_late_already_does_not_become_later_for_an_offer(shop: Workshop, clock: Clock) -> None:
    """Three plates, which have to wait for their bed; the offer has an earlier promise, and would be printed first."""
    late = await order(shop, "f1", clock.now + timedelta(minutes=100), items=items(3))
    clock.now += timedelta(hours=1)
    assert {broken.order_id for broken in planned.current(shop.shop).broken} == {late.id}
    urgent = planned.forecast(shop.shop, offered(600, by=clock.now + timedelta(minutes=39)))
    assert not urgent.ok
    if planned._CHEAP:  # on a large floor it is told why it has no room in the plan that is kept to
        assert [reason.partition(":")[0] for reason in urgent.reasons] == [f"Order {late.id}, which is late already, would be later still"]
    assert planned.forecast(shop.shop, offered(600, by=clock.now + timedelta(hours=9))).ok


async def test_an_order_is_sliced_for_the_printer_that_the_plan_moved_it_to_meanwhile(shop: Workshop, clock: Clock) -> None:
    """Other promises may count on that. It was accepted by an estimate, so that it could go to either."""
    add_printer(shop, "second", profile="other")
    free(shop, "mk3s", "second")
    slices, asked = shop.slicer.slice, []

    async def moved_meanwhile(work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        asked.append(work.printer.name)
        if len(asked) == 1:
            shop.shop.away.add(work.printer.name)
        return await slices(work, progress)

    shop.slicer.slice = moved_meanwhile  # type: ignore[method-assign]
    sized = make_offer().items[0].model_copy(update={"bounding_box_mm": [20.0, 20.0, 20.0], "volume_mm3": 8000.0})
    taken = await order(shop, "f1", clock.now + timedelta(hours=9), items=[sized], files_before_accept=False, rounds=3)
    assert len(asked) == 2, asked
    assert [plate.profile for plate in taken.dossier.plates] == [{"mk3s": "test", "second": "other"}[asked[1]]]
    assert [job.printer for job in shop.ledger.jobs(taken.id)] == [asked[1]]


async def test_an_offer_decided_yes_counts_before_it_is_answered(shop: Workshop, clock: Clock) -> None:
    free(shop)
    shop.outside.market.drops_replies = 9
    await order(shop, "f1", rounds=1)
    known = named(shop, "f1")
    assert known.state is State.OFFERED
    assert [one.order_id for one in planned.current(shop.shop).assignments] == [known.id]
    found = planned.forecast(shop.shop, offered(H))
    assert found.ready_at is not None and found.ready_at - clock.now > timedelta(minutes=70)


async def test_an_offer_is_not_counted_against_itself(shop: Workshop, clock: Clock) -> None:
    known = await order(shop, "f1")
    again = [batch.model_copy(update={"order_id": known.id}) for batch in offered(600)]
    found = planned.forecast(shop.shop, again).ready_at
    assert found is not None and found - clock.now < timedelta(minutes=21)


async def test_nothing_is_promised_on_a_printer_that_cannot_be_reached(shop: Workshop) -> None:
    shop.shop.away.add("mk3s")
    found = planned.forecast(shop.shop, offered(600))
    assert (found.ok, found.reasons) == (False, ["It would be printed on mk3s, which cannot be reached now."])
    add_printer(shop, "mk4")
    assert planned.forecast(shop.shop, offered(600, on=("mk3s", "mk4"))).printers == ["mk4"]


async def test_filament_of_what_prints_is_spoken_for(shop: Workshop) -> None:
    shop.printer.facts = shop.printer.facts.model_copy(update={"materials": [LoadedMaterial(material="PLA", color=BLACK, remaining_g=5)]})
    free(shop)
    assert planned.forecast(shop.shop, offered(600, g=3)).ok
    await order(shop, "f1")  # takes 3 g
    found = planned.forecast(shop.shop, offered(600, g=3))
    assert (found.ok, "2 g on mk3s" in found.reasons[0]) == (False, True)


async def test_finish_by_leaves_time_for_hands(shop: Workshop) -> None:
    over(shop, schedule=Schedule(attended=Attended([(time(8), time(20))], zone=BERLIN), handling_s=4 * H))
    ship_by = datetime(2026, 11, 28, 10, tzinfo=BERLIN)
    assert planned.finish_by(shop.shop, ship_by) == datetime(2026, 11, 27, 18, tzinfo=BERLIN)
    assert planned.finish_by(shop.shop, None) is None


# --- whose turn it is -------------------------------------------------------------------------------------------------
async def test_an_urgent_order_is_not_overtaken_by_one_that_was_looked_at_first(shop: Workshop, clock: Clock) -> None:
    free(shop)
    await order(shop, "first")
    await order(shop, "whenever", clock.now + timedelta(days=9))
    await order(shop, "urgent", clock.now + timedelta(hours=2))
    await next_print(shop)
    await next_print(shop)
    assert printed(shop) == ["first", "urgent", "whenever"]


async def test_an_urgent_order_goes_before_the_waiting_plates_of_one_that_prints(shop: Workshop, clock: Clock) -> None:
    free(shop)
    await order(shop, "two", clock.now + timedelta(days=9), items=items(2))
    await order(shop, "urgent", clock.now + timedelta(hours=2))
    await next_print(shop)
    await next_print(shop)
    assert printed(shop) == ["two", "urgent", "two"]


async def test_an_order_on_hold_keeps_no_printer_from_the_others(shop: Workshop, clock: Clock) -> None:
    urgent = await order(shop, "urgent", clock.now + timedelta(hours=2))
    shop.ledger.move(urgent, OrderMove(to=State.ON_HOLD, event="on_hold", resume_state=State.SLICED))
    await order(shop, "other")
    free(shop)
    await shop.settle()
    assert printed(shop) == ["other"]


async def test_an_order_whose_acceptance_is_not_heard_yet_keeps_its_printer(shop: Workshop, clock: Clock) -> None:
    over(shop, pace=dataclasses.replace(FAST, first_retry_s=60.0, longest_retry_s=60.0))
    shop.outside.market.drops_replies = 1
    await order(shop, "urgent", clock.now + timedelta(minutes=50))
    assert named(shop, "urgent").state is State.OFFERED
    await order(shop, "other")
    free(shop)
    await shop.settle()
    assert named(shop, "other").state is State.SLICED
    assert printed(shop) == []


async def test_a_start_that_would_end_in_the_night_waits_and_then_comes(shop: Workshop, clock: Clock) -> None:
    over(shop, schedule=Schedule(attended=Attended([(time(8), time(20))], zone=BERLIN)))
    clock.now = datetime(2026, 11, 27, 19, 55, tzinfo=BERLIN)
    free(shop)
    waiting = await order(shop, "f1")
    assert (waiting.state, printed(shop)) == (State.SLICED, [])
    assert waiting.due_at is not None and waiting.due_at > clock.now, "it is due again by itself"
    clock.now = datetime(2026, 11, 28, 7, 49, 30, tzinfo=BERLIN)
    await shop.settle()
    assert printed(shop) == []
    due = named(shop, "f1").due_at
    assert due is not None and due.astimezone(BERLIN) <= datetime(2026, 11, 28, 7, 50, 1, tzinfo=BERLIN)
    clock.now = due
    await shop.settle()
    assert printed(shop) == ["f1"], "a print of ten minutes, ready at eight"


async def test_where_a_night_may_be_waited_for_it_starts_at_once(shop: Workshop, clock: Clock) -> None:
    over(shop, schedule=Schedule(attended=Attended([(time(8), time(20))], zone=BERLIN), finish_unattended=True))
    clock.now = datetime(2026, 11, 27, 19, 55, tzinfo=BERLIN)
    free(shop)
    await order(shop, "f1")
    assert printed(shop) == ["f1"]


async def test_a_start_that_was_put_off_comes_also_where_the_printer_was_out_of_reach_meanwhile(shop: Workshop, clock: Clock) -> None:
    over(shop, schedule=Schedule(attended=Attended([(time(8), time(20))], zone=BERLIN)))
    clock.now = datetime(2026, 11, 27, 19, 55, tzinfo=BERLIN)
    free(shop)
    await order(shop, "f1")
    shop.outside.printer.state = PrinterState.OFFLINE
    watch = PrinterWatch(shop.printer, shop.shop)
    await watch.look()
    shop.ledger.wake([State.SLICED])
    await shop.settle()
    shop.outside.printer.state = PrinterState.IDLE
    await watch.look()
    for _ in range(4):
        clock.now = max(clock.now, named(shop, "f1").due_at or clock.now)
        await shop.settle(1)
    assert named(shop, "f1").due_at is not None, "it looks now and then"
    clock.now = datetime(2026, 11, 28, 7, 55, tzinfo=BERLIN)
    await shop.settle()
    assert printed(shop) == ["f1"]


async def test_only_the_bed_that_the_plan_needs_is_asked_for(shop: Workshop) -> None:
    for name in ("mk4", "mk5"):
        add_printer(shop, name)
    await order(shop, "f1")
    await order(shop, "f2")
    asked = [question.printer for question in shop.ledger.open_questions() if question.step is Step.BED]
    assert len(asked) == len(set(asked)) == 2


async def test_a_bed_that_was_not_asked_for_is_used_when_it_comes_free(shop: Workshop) -> None:
    other = add_printer(shop, "mk4")
    await order(shop, "f1")
    (asked,) = [question.printer for question in shop.ledger.open_questions() if question.step is Step.BED]
    assert asked == "mk3s"
    free(shop, "mk4")
    await shop.settle()
    assert printed(shop, other) == ["f1"]


async def test_work_on_a_printer_that_fails_goes_to_another_of_its_profile(shop: Workshop) -> None:
    other = add_printer(shop, "mk4")
    free(shop, "mk3s", "mk4")
    await order(shop, "f1", items=items(3))
    assert len(shop.outside.printer.starts) == len(other.outside.starts) == 1
    shop.printer.outside.state = PrinterState.OFFLINE
    await PrinterWatch(shop.printer, shop.shop).look()
    other.outside.finish()
    shop.ledger.wake([State.PRINTING])
    await shop.settle()
    free(shop, "mk4")
    await shop.settle()
    assert [job.printer for job in shop.ledger.jobs(named(shop, "f1").id)] == ["mk3s", "mk4", "mk4"]


async def test_a_plate_its_spools_are_too_short_for_is_a_question(shop: Workshop) -> None:
    known = await order(shop, "f1")
    assert known.state is State.SLICED
    shop.printer.facts = shop.printer.facts.model_copy(update={"materials": [LoadedMaterial(material="PLA", color=BLACK, remaining_g=1)]})
    over(shop, memory=type(shop.shop.memory)())
    free(shop)
    await shop.settle()
    (question,) = [question for question in shop.ledger.open_questions() if question.step is Step.HOLD]
    assert "Too little PLA black is left: 3 g needed, 1 g on mk3s" in question.text
    assert printed(shop) == []


async def test_a_printer_is_given_to_one_order_though_many_ask_at_once(shop: Workshop, clock: Clock) -> None:
    for n in range(5):
        await order(shop, f"f{n}", clock.now + timedelta(hours=9 - n))
    free(shop)
    await asyncio.gather(*(shop.reconciler.reconcile(order_id) for order_id in shop.ledger.due(clock(), 9)))
    await shop.settle()
    assert printed(shop) == ["f4"]
    assert [job.state for job in shop.ledger.active_jobs()] == [JobState.PRINTING]


# --- a promise that will be broken ------------------------------------------------------------------------------------
def told(shop: Workshop) -> list[tuple[str, str]]:
    kinds = ("promise_will_break", "promise_kept_again")
    return [(notice.event, notice.order_id) for notice in shop.inbox.notices if notice.event in kinds]


def kinds_of(shop: Workshop, known: Order) -> Mapping[str, int]:
    found = [event.kind for event in shop.ledger.events(known.id)]
    return {kind: found.count(kind) for kind in ("promise_will_break", "promise_kept_again")}


async def test_a_promise_that_will_be_broken_is_told_once_also_over_a_restart(shop: Workshop, clock: Clock) -> None:
    known = await order(shop, "f1", clock.now + timedelta(hours=2))
    watch = PromiseWatch(shop.shop)
    for _ in range(3):
        await watch.look()
    assert told(shop) == []
    clock.now += timedelta(hours=1, minutes=50)
    for _ in range(4):
        await watch.look()
    assert told(shop) == [("promise_will_break", known.id)]
    assert kinds_of(shop, known)["promise_will_break"] == 1
    assert "15 min" not in shop.inbox.notices[-1].text and "too late" in shop.inbox.notices[-1].text
    again = PromiseWatch(shop.shop)
    for _ in range(4):
        await again.look()
    assert len(told(shop)) == 1


async def test_one_that_is_kept_again_is_told_too(shop: Workshop, clock: Clock) -> None:
    free(shop)
    await order(shop, "first", items=items(3))
    known = await order(shop, "f1", clock.now + timedelta(minutes=50))
    shop.shop.away.add("mk3s")
    watch = PromiseWatch(shop.shop)
    clock.now += timedelta(minutes=20)
    for _ in range(3):
        await watch.look()
    assert told(shop) == [("promise_will_break", known.id)]
    add_printer(shop, "mk4")
    free(shop, "mk4")
    watch = PromiseWatch(dataclasses.replace(shop.shop, memory=type(shop.shop.memory)()))
    for _ in range(3):
        await watch.look()
    assert told(shop) == [("promise_will_break", known.id), ("promise_kept_again", known.id)]


async def test_a_printer_that_only_misses_a_look_alarms_nobody(shop: Workshop, clock: Clock) -> None:
    await order(shop, "f1", clock.now + timedelta(minutes=30))
    watch = PromiseWatch(shop.shop)
    for _ in range(3):
        await watch.look()
    shop.shop.away.add("mk3s")
    await watch.look()
    shop.shop.away.discard("mk3s")
    for _ in range(3):
        await watch.look()
    assert told(shop) == []
