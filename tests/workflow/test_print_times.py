"""The slicer's time against the printer's: from three prints on, the time an offer is judged by is corrected, and that is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import cli
from agent.commands.workbench import Wish, workbench
from agent.config.load import load
from agent.domain.decision import Answer, Decision
from agent.domain.job import JobState
from agent.domain.offer import Supports
from agent.domain.order import Order, State
from agent.domain.print_time import LATEST, PrintTime, correction
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.meshes.process import Worker
from agent.operator.answers import Answers
from agent.ports.ledger import OrderMove
from agent.sandbox import models
from agent.workflow.acceptance import Mode, Policy
from agent.workflow.times import correction_on
from tests.commands.test_commands import agent, answer
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.workflow.workshop import FakePrinter, Outside, OutsidePrinter, Workshop, make_offer

PLANNED_S = 600
"""What the workshop's slicer says of every plate."""
LOOK_S = 50.0


class Clock:
    """The workshop's time, which runs as fast as the test wants."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop(outside: Outside, clock: Clock) -> Iterator[Workshop]:
    with Workshop(outside, clears_its_own_bed=True, now=clock.now) as workshop:
        workshop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        yield workshop


async def begun(shop: Workshop, offer_id: str) -> Order:
    """An order of that offer that is being printed."""
    shop.outside.market.add(make_offer(offer_id))
    shop.receive()
    await shop.settle()
    return next(order for order in shop.ledger.orders() if order.dossier.offer.offer_id == offer_id)


async def watched(shop: Workshop, clock: Clock, seconds: float, step_s: float = LOOK_S) -> None:
    """The print goes on for so long, and the agent looks every so often."""
    left = seconds
    while left > 0:
        clock.ahead += timedelta(seconds=min(step_s, left))
        left -= step_s
        await shop.settle(1)


async def finished(shop: Workshop, clock: Clock, offer_id: str, seconds: float) -> None:
    order = await begun(shop, offer_id)
    await watched(shop, clock, seconds)
    shop.outside.printer.finish()
    await shop.settle()
    assert shop.ledger.order(order.id).state is State.PHOTOS


def times(shop: Workshop, printer: str = "mk3s") -> list[int]:
    return [time.took_s for time in shop.ledger.print_times(printer, "test", "fake 1", LATEST)]


def decision(order: Order) -> Decision:
    assert order.dossier.decision is not None
    return order.dossier.decision


# --- from the ledger to the next offer -----------------------------------------------------------------------------------
async def test_after_three_slow_prints_the_next_offers_time_is_corrected_and_told(shop: Workshop, clock: Clock) -> None:
    for n in range(2):
        await finished(shop, clock, f"f{n}", 660)
    (quote,) = decision(await begun(shop, "fewer")).quotes
    assert (quote.print_seconds, quote.slicer_seconds, quote.time_told) == (PLANNED_S, 0, ""), "two prints tell nothing"
    await watched(shop, clock, 700)
    shop.outside.printer.finish()
    await shop.settle()
    assert times(shop) == [pytest.approx(700, abs=5), pytest.approx(660, abs=5), pytest.approx(660, abs=5)]
    order = await begun(shop, "next")
    (quote,) = decision(order).quotes
    assert quote.print_seconds == pytest.approx(660, abs=7) and quote.slicer_seconds == PLANNED_S
    assert quote.time_told == "10 min by the slicer, 11 min corrected ×1.10 from 3 prints on mk3s"
    assert order.dossier.plates[0].print_seconds == PLANNED_S, "the slicer's own number stays"
    sliced = next(event.data for event in shop.ledger.events(order.id) if event.kind == "sliced")
    assert (sliced["slicer_seconds"], sliced["time_told"]) == (PLANNED_S, quote.time_told)


async def test_an_offer_is_declined_by_the_time_its_printer_takes(outside: Outside, clock: Clock) -> None:
    with Workshop(outside, clears_its_own_bed=True, now=clock.now, policy=Policy(longest_print_s=700)) as shop:
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        for n in range(3):
            await finished(shop, clock, f"f{n}", 780)
        (rule,) = (rule for rule in decision(await begun(shop, "next")).rules if rule.rule == "print time")
        assert not rule.ok
        assert rule.value == "0.2 h (10 min by the slicer, 13 min corrected ×1.30 from 3 prints on mk3s)"
        assert decision(next(order for order in shop.ledger.orders() if order.dossier.offer.offer_id == "next")).answer is Answer.DECLINE


async def test_the_person_who_answers_an_offer_is_told_both_times(outside: Outside, clock: Clock) -> None:
    with Workshop(outside, clears_its_own_bed=True, now=clock.now) as shop:
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        for n in range(3):
            await finished(shop, clock, f"f{n}", 900)
    with Workshop(outside, now=clock.now, policy=Policy(mode=Mode.ASK)) as shop:
        await begun(shop, "next")
        (question,) = (question for question in shop.ledger.open_questions() if question.step is Step.OFFER)
        assert "Print time: 10 min by the slicer, 15 min corrected ×1.50 from 3 prints on mk3s." in question.text


async def test_orders_show_tells_both_times(shop: Workshop, clock: Clock, tmp_path: Path) -> None:
    for n in range(3):
        await finished(shop, clock, f"f{n}", 900)
    order = await begun(shop, "next")
    (tmp_path / "config.toml").write_text(f'[agent]\ndata_dir = "{tmp_path}"\n')
    call = ["orders", "show", order.id, "--config", str(tmp_path / "config.toml")]
    shown = CliRunner().invoke(cli, call, env={"COLUMNS": "300"})
    assert "print time: 10 min by the slicer, 15 min corrected ×1.50 from 3 prints on mk3s" in shown.output


# --- what does not count -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", [PrinterState.FAILED, PrinterState.CANCELLED])
async def test_a_print_that_did_not_end_well_does_not_count(shop: Workshop, clock: Clock, end: PrinterState) -> None:
    await begun(shop, "f1")
    await watched(shop, clock, 660)
    shop.outside.printer.finish(end)
    await shop.settle()
    assert times(shop) == []


async def test_a_paused_print_does_not_count(shop: Workshop, clock: Clock) -> None:
    await begun(shop, "f1")
    await watched(shop, clock, 300)
    shop.outside.printer.state = PrinterState.PAUSED
    await watched(shop, clock, 40)
    shop.outside.printer.state = PrinterState.PRINTING
    await watched(shop, clock, 300)
    shop.outside.printer.finish()
    await shop.settle()
    assert times(shop) == []


@pytest.mark.parametrize("gap_at_the_end", [True, False])
async def test_a_print_that_was_out_of_sight_for_long_does_not_count(shop: Workshop, clock: Clock, gap_at_the_end: bool) -> None:
    await begun(shop, "f1")
    await watched(shop, clock, 300)
    await watched(shop, clock, 300, step_s=300)
    await watched(shop, clock, 0 if gap_at_the_end else 100)
    shop.outside.printer.finish()
    await shop.settle()
    assert times(shop) == []


async def test_what_an_earlier_life_of_the_agent_began_does_not_count(outside: Outside, clock: Clock) -> None:
    with Workshop(outside, clears_its_own_bed=True, now=clock.now) as first:
        first.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        order = await begun(first, "f1")
        await watched(first, clock, 300)
    with Workshop(outside, clears_its_own_bed=True, now=clock.now) as second:
        await watched(second, clock, 300)
        outside.printer.finish()
        await second.settle()
        assert second.ledger.order(order.id).state is State.PHOTOS
        assert times(second) == []


async def test_what_a_person_says_of_the_end_is_no_time(shop: Workshop, clock: Clock) -> None:
    order = await begun(shop, "f1")
    await watched(shop, clock, 300)
    shop.outside.printer.current, shop.outside.printer.state = "", PrinterState.IDLE
    await shop.settle()
    Answers(shop.ledger, shop.store, "Ada").choose(shop.ledger.open_questions()[0].step, order.id, "printed")
    await shop.settle()
    assert [job.state for job in shop.ledger.jobs(order.id)] == [JobState.HARVESTED] and times(shop) == []


# --- one printer, one profile, one slicer --------------------------------------------------------------------------------
async def test_of_two_printers_the_slower_one_is_reckoned_with_and_each_has_its_own_prints(shop: Workshop, clock: Clock) -> None:
    for n in range(3):
        await finished(shop, clock, f"f{n}", 540)
    (plate,) = (await begun(shop, "next")).dossier.plates
    known = correction_on("mk3s", plate, shop.ledger)
    assert known is not None and known.told == "×0.90 from 3 prints on mk3s"
    assert correction_on("other", plate, shop.ledger) is None
    assert correction_on("mk3s", plate.model_copy(update={"slicer": "fake 2"}), shop.ledger) is None
    assert correction_on("mk3s", plate.model_copy(update={"profile": "finer"}), shop.ledger) is None
    second = FakePrinter(OutsidePrinter(), shop.fate, "other")
    shop.shop.printers["other"] = second  # type: ignore[index]
    order = await begun(shop, "after")
    mine, its = decision(order).quotes
    assert (mine.printer, mine.print_seconds) == ("mk3s", round(0.9 * PLANNED_S))
    assert (its.printer, its.print_seconds, its.time_told) == ("other", PLANNED_S, ""), "nothing is known of the other printer"
    sliced = next(event.data for event in shop.ledger.events(order.id) if event.kind == "sliced")
    assert sliced["print_seconds"] == PLANNED_S, "it may get the plate, and is the slower one"


@given(st.lists(st.floats(0.5, 3), min_size=3, max_size=LATEST))
def test_one_odd_print_moves_little(ratios: list[float]) -> None:
    known = correction([took(ratio) for ratio in ratios])
    factor = known.factor if known else 1.0
    assert min(ratios) - 0.01 <= factor <= max(ratios) + 0.01
    odd = correction([took(ratio) for ratio in [*sorted(ratios)[:-1], 5.0]])
    assert (odd.factor if odd else 1.0) <= max(ratios) + 0.01


@pytest.mark.parametrize(
    ("ratios", "factor"),
    [
        ([], None),
        ([2.0, 2.0], None),
        ([1.1, 1.1, 1.1], 1.1),
        ([1.1, 1.2, 4.5], 1.2),
        ([1.0, 1.001, 1.0], None),
        ([0.3, 0.3, 0.3], 0.5),
        ([4.0, 4.0, 4.0], 3.0),
        ([0.01, 0.01, 0.01], None),  # a printer that only pretends
        ([1.1, 1.1, 1.1, 50.0], 1.1),
    ],
)
def test_the_middle_of_at_least_three_within_bounds(ratios: list[float], factor: float | None) -> None:
    known = correction([took(ratio) for ratio in ratios])
    assert (known.factor if known else None) == factor


def took(ratio: float, slicer: str = "fake 1", profile: str = "test") -> PrintTime:
    return PrintTime(printer="mk3s", profile=profile, slicer=slicer, planned_s=10_000, took_s=round(10_000 * ratio))


async def test_quote_tells_what_the_ledger_knows_and_makes_none(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    model = models.write_binary_stl(tmp_path / "plate.stl", models.box(15, 10, 2))
    call = ("quote", model, "--config", home.config, "--json")
    (without,) = answer(agent(*call))["quotes"]
    assert "time_told" not in without and not list(home.folder.rglob("*.sqlite3"))
    async with workbench(load(home.config, {}), [model], Worker()) as bench:
        (plate,) = await bench.plates(bench.printers[0], Wish(15, Supports.OPERATOR, "PLA", "", 1))
    (home.folder / "data").mkdir(exist_ok=True)
    with SqlLedger(sqlite_url(home.folder / "data")) as ledger:
        for ratio in (2.0, 2.0, 2.5):
            remember(ledger, took(ratio, plate.slicer, plate.profile))
    (told,) = answer(agent(*call))["quotes"]
    assert told["slicer_seconds"] == without["print_seconds"] and told["print_seconds"] == 2 * without["print_seconds"]
    assert told["time_told"].endswith("corrected ×2.00 from 3 prints on mk3s")


def remember(ledger: SqlLedger, time: PrintTime) -> None:
    """One more print that took so long."""
    known = len(ledger.orders())
    order = add_offer(ledger, "market", make_offer(f"f{known}"), datetime.now(UTC))
    assert order is not None
    ledger.move(order, OrderMove(to=State.PRINTING, event="print_begun"))
    ledger.set_bed(time.printer, BedState.FREE, "Ada")
    job = ledger.claim(order.id, 1, time.printer, "a" * 64)
    assert job is not None
    job = ledger.move_job(job, JobState.FINISHED, "print_finished", {}, BedState.OCCUPIED, took=time)
    ledger.move_job(job, JobState.HARVESTED, "harvested", {}, BedState.FREE)


def test_the_latest_prints_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        for ratio in (1.0, 1.1, 1.2, 1.3):
            remember(ledger, took(ratio))
        assert [time.took_s for time in ledger.print_times("mk3s", "test", "fake 1", 3)] == [13_000, 12_000, 11_000]
