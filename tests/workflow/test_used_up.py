"""What an order takes from the shop is counted with it, and counted on: by the decision, the plan and the page alike."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.booking import Prices
from agent.domain.fit import Packaging
from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.printer import BedState, LoadedMaterial, PrinterState
from agent.domain.question import Step
from agent.domain.stock import StockKind, Thing, Why, configured, written_of
from agent.domain.values import Money
from agent.operator.answers import Answers
from agent.ports.notifier import Urgency
from agent.workflow.acceptance import Policy
from agent.workflow.steps import Hold
from tests.workflow.workshop import BLACK, Outside, Workshop, make_offer

BOXES = [Packaging(name="box-s", inner_mm=(50, 50, 50), stock=2), Packaging(name="box-m", inner_mm=(90, 90, 90), stock=9)]
PHOTO = b"\xff\xd8\xff\xe0 a photo"


class Shop(Workshop):
    """With boxes, and a spool that is counted; a person who does what is asked."""

    def __init__(self, folder: Path, grams: float | None = 100.0, **more: object) -> None:
        super().__init__(Outside(folder), policy=Policy(packagings=BOXES), **more)  # type: ignore[arg-type]
        spool = LoadedMaterial(material="PLA", color=BLACK, remaining_g=grams)
        self.printer.facts = self.printer.facts.model_copy(update={"materials": [spool]})

    def __enter__(self) -> "Shop":
        super().__enter__()
        reels = written_of([("mk3s", self.printer.facts.materials)])
        self.ledger.count_from(configured(reels, BOXES))
        self.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        return self

    @property
    def ada(self) -> Answers:
        return Answers(self.ledger, self.store, "Ada")

    async def take(self, offer_id: str = "f1", **offer: object) -> str:
        """An order that is printing."""
        known = {order.id for order in self.ledger.orders()}
        self.outside.market.add(make_offer(offer_id, **offer))  # type: ignore[arg-type]
        self.receive()
        await self.settle()
        (order_id,) = {order.id for order in self.ledger.orders()} - known
        return order_id

    async def printed(self, order_id: str) -> None:
        self.outside.printer.finish()
        await self.settle()
        self.ada.bed_is_clear("mk3s")
        await self.settle()
        assert self.ledger.order(order_id).state is State.PHOTOS

    async def until(self, order_id: str, state: State) -> None:
        photo = self.outside.folder / "photo.jpg"
        photo.write_bytes(PHOTO)
        while self.ledger.order(order_id).state is not state:
            (question,) = [question for question in self.ledger.open_questions() if question.order_id == order_id]
            if question.step is Step.PHOTOS:
                self.ada.photographed(order_id, [photo], ["no_flaws"])
            else:
                self.ada.choose(question.step, order_id, "")
            await self.settle()

    def held(self, order_id: str) -> None:
        """Put on hold, as the marketplace's word that it is cancelled does."""
        order, hold = self.ledger.order(order_id), Hold("test", "What now?", {"cancel": "give up"})
        self.ledger.ask(self.ledger.move(order, hold.move(order)), hold.question())

    def left(self) -> dict[str, float]:
        return {stock.name: stock.left for stock in self.ledger.stock()}


async def test_an_order_takes_its_filament_and_its_box_and_brings_what_is_left(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        object.__setattr__(shop.shop, "prices", Prices(of_filament=Money(amount=20, currency="EUR"), of_printers=100))  # type: ignore[arg-type]
        order_id = await shop.take()
        assert shop.left()["mk3s: PLA black"] == 100, "nothing was used before the print has ended"
        await shop.printed(order_id)
        assert shop.left()["mk3s: PLA black"] == 97
        shop.ledger.record(order_id, "rejected", {"grams": 1.5, "seconds": 60})
        await shop.until(order_id, State.CLOSED)
        assert shop.left() == {"box-s": 1, "box-m": 9, "mk3s: PLA black": 97}
        (booked,) = shop.ledger.bookings(datetime(2020, 1, 1, tzinfo=UTC))
        assert (str(booked.booking.gross), booked.remote_id, booked.booking.packaging) == ("12.50 EUR", "r-f1", "box-s")
        (spent,) = booked.booking.prints
        assert (str(spent.filament), spent.grams, spent.printer) == ("0.06 EUR", 3, "mk3s")
        assert (booked.booking.rejected.grams, booked.booking.rejected.times) == (1.5, 1)
        (told,) = [event.data for event in shop.ledger.events(order_id) if event.kind == "delivered"]
        assert told["booked"]["gross"] == {"amount": "12.50", "currency": "EUR"}, "in the chained history, and so in the dossier"


async def test_what_an_order_took_that_was_given_up_is_booked_as_lost_once(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        object.__setattr__(shop.shop, "prices", Prices(of_filament=Money(amount=20, currency="EUR"), of_printers=100))  # type: ignore[arg-type]
        order_id = await shop.take()
        shop.shop.progress.clear()
        shop.outside.printer.finish(PrinterState.FAILED)
        await shop.settle()
        shop.ada.choose(Step.HOLD, order_id, "cancel")
        await shop.settle()
        assert shop.ledger.order(order_id).state is State.CANCELLED
        await shop.settle()
        (booked,) = shop.ledger.bookings(datetime(2020, 1, 1, tzinfo=UTC))
        assert (booked.booking.given_up, str(booked.booking.gross), booked.booking.grams) == (True, "0.00 EUR", 3)
        (spent,) = booked.booking.prints
        assert (str(spent.filament), spent.seconds) == ("0.06 EUR", 600)
        (told,) = [event.data for event in shop.ledger.events(order_id) if event.kind == "cancelled"]
        assert told["booked"]["given_up"] is True


async def test_an_order_of_which_nothing_was_printed_is_given_up_without_a_loss(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        shop.ledger.set_bed("mk3s", BedState.OCCUPIED, "Ada")
        order = shop.ledger.order(await shop.take())
        shop.held(order.id)
        shop.ada.choose(Step.HOLD, order.id, "cancel")
        await shop.settle()
        assert shop.ledger.order(order.id).state is State.CANCELLED
        assert shop.ledger.bookings(datetime(2020, 1, 1, tzinfo=UTC)) == []


async def test_the_plan_and_the_decision_go_by_what_is_left(tmp_path: Path) -> None:
    with Shop(tmp_path, grams=5.0) as shop:
        first = await shop.take()
        await shop.printed(first)
        assert shop.shop.facts()[0].materials[0].remaining_g == 2
        second = shop.ledger.order(await shop.take("f2"))
        assert second.state is State.DECLINED and second.dossier.decision is not None
        assert any("2 g on the spool" in rule.limit and not rule.ok for rule in second.dossier.decision.rules)


async def test_a_box_that_is_used_up_or_spoken_for_is_promised_to_nobody(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        first = await shop.take()
        second = await shop.take("f2")
        assert [shop.ledger.order(one).dossier.decision.packaging for one in (first, second)] == ["box-s", "box-s"]  # type: ignore[union-attr]
        await shop.printed(first)
        await shop.until(first, State.DROP_OFF)
        third = await shop.take("f3")
        assert shop.ledger.order(third).dossier.decision.packaging == "box-m"  # type: ignore[union-attr]


async def test_the_box_that_was_really_used_is_the_one_that_is_counted(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        order_id = await shop.take()
        await shop.printed(order_id)
        await shop.until(order_id, State.PACKING)
        (question,) = shop.ledger.open_questions()
        assert question.text == "Pack 1 × hook.stl into box-s."
        shop.ada.packed(order_id, "box-m")
        await shop.settle()
        assert shop.left() == {"box-s": 2, "box-m": 8, "mk3s: PLA black": 97}


async def test_a_box_of_another_kind_is_counted_nowhere(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        order_id = await shop.take()
        await shop.printed(order_id)
        await shop.until(order_id, State.PACKING)
        with pytest.raises(Exception, match="no packaging tube"):
            shop.ada.packed(order_id, "tube")
        shop.ada.packed(order_id, "other")
        await shop.settle()
        assert shop.left() == {"box-s": 2, "box-m": 9, "mk3s: PLA black": 97}
        assert shop.ledger.order(order_id).state is State.DROP_OFF


@pytest.mark.parametrize(("seen", "takes"), [(0.25, 0.75), (None, 3.0)])
async def test_a_print_that_failed_took_as_much_as_it_was_seen_to_print(tmp_path: Path, seen: float | None, takes: float) -> None:
    """Where nobody knows how far it came all of it is counted: a spool is better fuller than was thought."""
    with Shop(tmp_path) as shop:
        order_id = await shop.take()
        shop.shop.progress.clear()
        (job,) = shop.ledger.jobs(order_id)
        if seen is not None:
            shop.shop.progress[job.remote_name] = seen
        shop.outside.printer.finish(PrinterState.FAILED)
        await shop.settle()
        assert shop.ledger.jobs(order_id)[0].state is JobState.FAILED
        (taking,) = shop.ledger.takings(order_id)
        assert (taking.amount, taking.why, taking.seconds) == (takes, Why.FAILED, 200 * takes)
        shop.ada.bed_is_clear("mk3s")
        shop.ada.choose(Step.HOLD, order_id, "reprint")
        await shop.settle()
        await shop.printed(order_id)
        assert [one.why for one in shop.ledger.takings(order_id)] == [Why.FAILED, Why.FINISHED]
        assert shop.left()["mk3s: PLA black"] == 100 - takes - 3


async def test_what_is_printing_is_reserved_and_when_it_has_ended_it_is_gone_once(tmp_path: Path) -> None:
    with Shop(tmp_path, grams=6.0) as shop:
        first = await shop.take()
        shop.outside.printer.finish()
        await shop.settle()
        assert shop.ledger.jobs(first)[0].state is JobState.FINISHED, "its bed is not clear yet"
        second = shop.ledger.order(await shop.take("f2"))
        assert second.dossier.remote is not None, "3 g are left, and 3 g are what it takes"


async def test_what_a_command_counted_is_seen_without_a_restart(tmp_path: Path) -> None:
    with Shop(tmp_path) as shop:
        assert shop.shop.facts()[0].materials[0].remaining_g == 100
        shop.ledger.counted(Thing(StockKind.SPOOL, "mk3s: PLA black"), 40, 100.0)
        shop.shop.counts.forget()
        assert shop.shop.facts()[0].materials[0].remaining_g == 40


# --- reminded before it has to be on its way -------------------------------------------------------------------------
async def test_who_has_a_parcel_that_is_to_be_shipped_soon_is_reminded_once(tmp_path: Path) -> None:
    clock = [datetime.now(UTC)]
    with Shop(tmp_path, now=lambda: clock[0]) as shop:
        order_id = await shop.take(ship_by=clock[0] + timedelta(days=2))
        await shop.printed(order_id)
        await shop.until(order_id, State.DROP_OFF)
        clock[0] += timedelta(hours=30)
        await shop.settle()
        assert "ship_by_near" not in [notice.event for notice in shop.inbox.notices]
        clock[0] += timedelta(hours=7)
        for _ in range(3):
            await shop.settle()
            shop.ledger.wake([State.DROP_OFF])
        (reminder,) = [notice for notice in shop.inbox.notices if notice.event == "ship_by_near"]
        assert (reminder.urgency, reminder.order_id) == (Urgency.ALARM, order_id)
        assert "Hand the parcel" in reminder.text
        assert shop.ledger.next_due_after(clock[0]) is None, "and then it waits at no cost"


async def test_what_was_late_when_it_was_asked_for_is_not_told_a_second_time(tmp_path: Path) -> None:
    clock = [datetime.now(UTC)]
    with Shop(tmp_path, now=lambda: clock[0]) as shop:
        order_id = await shop.take(ship_by=clock[0] + timedelta(hours=8))
        clock[0] += timedelta(hours=9)
        await shop.printed(order_id)
        clock[0] += timedelta(hours=9)
        await shop.settle()
        assert "ship_by_near" not in [notice.event for notice in shop.inbox.notices]
