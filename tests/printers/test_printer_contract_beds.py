"""No print is ever started on a bed that is not free.

The port knows no beds: it shows what a machine is at and what it was at last, whoever printed it. The promise is the workflow's, and is
proved here with its own code and its real ledger, over every adapter and its machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.job import JobState
from agent.domain.offer import Supports
from agent.domain.order import State
from agent.domain.plate import PrintSettings, ProofLine, SlicedPlate
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.ports.ledger import OrderMove
from agent.workflow.reconcile import Reconciler
from agent.workflow.shop import Pace
from tests.ledger.offers import add_offer
from tests.printers.benches import Bench, new_name, until
from tests.workflow.workshop import Outside, Workshop, make_offer


class Floor:
    """Orders that are sliced, a person, and one machine with its bed."""

    def __init__(self, workshop: Workshop, bench: Bench) -> None:
        self._bench, self._printer = bench, bench.printer.facts.name
        self._shop = replace(workshop.shop, printers={self._printer: bench.printer}, pace=Pace())
        self._reconciler = Reconciler(self._shop)
        self._person = Answers(self._shop.ledger, self._shop.store, "Ada")
        self._shop.ledger.set_bed(self._printer, BedState.FREE, "Ada")

    def order(self, offer_id: str, gcode: Path) -> str:
        """Sliced and proved; it only wants a printer."""
        offer = make_offer(offer_id)
        item, ledger = offer.items[0], self._shop.ledger
        order = add_offer(ledger, "market", offer, datetime.now(UTC) + timedelta(hours=1))
        assert order is not None
        plate = SlicedPlate(
            number=1,
            gcode_sha256=self._shop.store.put(gcode.read_bytes()),
            copies={item.item_id: 1},
            settings=PrintSettings(material="PLA", color=item.color, infill_percent=15, supports=Supports.NO),
            profile="test",
            slicer="test",
            print_seconds=1,
            filament_g=1.0,
            filament_mm=300.0,
            layers=1,
            height_mm=1.0,
            proof=[ProofLine(check="copies", expected="1", found="1", ok=True)],
        )
        dossier = order.dossier.model_copy(update={"plates": [plate]})
        return ledger.move(order, OrderMove(to=State.SLICED, event="sliced", dossier=dossier)).id

    async def goes_on(self, *orders: str, until: Callable[[], object]) -> None:
        """The workflow moves these orders, again and again, until that is so."""
        looks = 0
        while not until():
            for order_id in orders:
                await self._reconciler.reconcile(order_id)
            await self._bench.pass_time()
            looks += 1
            assert looks < 600, [event.kind for order_id in orders for event in self._shop.ledger.events(order_id)]

    def state(self, order_id: str) -> JobState | None:
        """Of its last job; None where it has none yet."""
        jobs = self._shop.ledger.jobs(order_id)
        return jobs[-1].state if jobs else None

    def asked_for_bed(self) -> bool:
        return any(question.step is Step.BED for question in self._shop.ledger.open_questions())

    def bed(self) -> BedState:
        return self._shop.ledger.beds()[self._printer].state

    def clear_the_bed(self) -> None:
        self._person.bed_is_clear(self._printer)


@pytest.fixture
def floor(bench: Bench, tmp_path: Path) -> Iterator[Floor]:
    (tmp_path / "agent").mkdir()
    with Workshop(Outside(tmp_path / "agent")) as workshop:
        yield Floor(workshop, bench)


async def test_the_next_print_waits_until_the_part_is_taken_off(bench: Bench, floor: Floor) -> None:
    first, second = floor.order("f1", bench.brief), floor.order("f2", bench.brief)
    await floor.goes_on(first, second, until=floor.asked_for_bed)
    assert floor.state(first) is JobState.FINISHED
    for _ in range(5):
        await floor.goes_on(first, second, until=lambda: True)
    assert (floor.bed(), len(bench.starts())) == (BedState.OCCUPIED, 1)
    floor.clear_the_bed()
    await floor.goes_on(first, second, until=lambda: len(bench.starts()) == 2)
    assert len(set(bench.starts())) == 2
    assert floor.state(first) is JobState.HARVESTED


@pytest.mark.parametrize("ended", [False, True])
async def test_a_bed_that_somebody_else_printed_on_is_not_printed_on(bench: Bench, floor: Floor, ended: bool) -> None:
    """Somebody at the machine, after the bed was said to be free: seen at work, or only by what it left."""
    theirs = new_name()
    await bench.a_person_prints(bench.brief, theirs)
    if ended:
        await bench.it_ends()
    ours = floor.order("f1", bench.lasting)
    await floor.goes_on(ours, until=floor.asked_for_bed)
    assert (floor.bed(), bench.starts()) == (BedState.UNKNOWN, [theirs])
    assert not (await bench.printer.observe()).busy
    floor.clear_the_bed()
    await floor.goes_on(ours, until=lambda: floor.state(ours) is JobState.PRINTING)
    assert bench.starts()[0] == theirs
    assert len(bench.starts()) == 2
    assert (await until(bench, lambda seen: seen.busy)).remote_name == bench.starts()[1]


async def test_a_print_that_failed_leaves_its_bed_to_a_person(bench: Bench, floor: Floor) -> None:
    first, second = floor.order("f1", bench.lasting), floor.order("f2", bench.brief)
    await floor.goes_on(first, until=lambda: floor.state(first) is JobState.PRINTING)
    await until(bench, lambda seen: seen.state is PrinterState.PRINTING)
    await bench.it_fails(bench.starts()[0])
    await floor.goes_on(first, second, until=lambda: floor.state(first) is JobState.FAILED)
    await floor.goes_on(second, until=floor.asked_for_bed)
    assert (floor.bed(), len(bench.starts())) == (BedState.OCCUPIED, 1)
