"""An offer is sliced for every printer that may make it, planned and answered, always with time left to answer."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.decision import Answer, Decision
from agent.domain.errors import NeedsOperator, Refused
from agent.domain.fit import Packaging
from agent.domain.offer import DeclineReason
from agent.domain.order import Dossier, Order, State
from agent.domain.plate import SlicedPlate
from agent.domain.printer import BedState
from agent.domain.question import Step
from agent.domain.values import Color
from agent.ledger.database import utc_now
from agent.operator.answers import Answers
from agent.ports.ledger import OrderMove
from agent.ports.slicer import Progress, SliceWork
from agent.sandbox import models
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from agent.slicers.prusaslicer import PrusaSlicer
from agent.workflow.estimating import SAFETY, SAFETY_S
from tests.workflow.workshop import MODEL_SHA256, FakePrinter, Outside, OutsidePrinter, Workshop, make_offer

SECONDS = 600
"""What the workshop's slicer says of a plate."""
MARGIN_S = 60.0


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


@pytest.fixture
def shop(outside: Outside) -> Iterator[Workshop]:
    with Workshop(outside) as workshop:
        add_printer(workshop, "mk3s")
        yield workshop


def add_printer(shop: Workshop, name: str, profile: str = "test", **changes: Any) -> None:
    """One with a free bed; the workshop's own where that is its name."""
    printer = shop.printer if name == "mk3s" else FakePrinter(OutsidePrinter(), shop.fate, name)
    printer.facts = printer.facts.model_copy(update={"profile": profile, **changes})
    shop.shop.printers[name] = printer  # type: ignore[index]
    shop.ledger.set_bed(name, BedState.FREE, "Ada")


def ruled(shop: Workshop, **rules: Any) -> None:
    object.__setattr__(shop.shop, "policy", replace(shop.shop.policy, **rules))


async def offered(shop: Workshop, offer_id: str = "f1", **offer: Any) -> Order:
    """As far as it goes by itself."""
    shop.outside.market.add(make_offer(offer_id, **offer))
    shop.receive()
    await shop.settle()
    return the(shop, offer_id)


def the(shop: Workshop, offer_id: str = "f1") -> Order:
    return next(order for order in shop.ledger.orders() if order.dossier.offer.offer_id == offer_id)


def decision(order: Order) -> Decision:
    assert order.dossier.decision is not None
    return order.dossier.decision


def slices_by_profile(shop: Workshop, seconds: dict[str, int]) -> None:
    """The same parts take other times with other profiles."""
    real = shop.slicer.slice

    async def sliced(work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        made = await real(work, progress)
        return [plate.model_copy(update={"print_seconds": seconds[work.printer.profile]}) for plate in made]

    shop.slicer.slice = sliced  # type: ignore[method-assign]


# --- a quote for each printer -----------------------------------------------------------------------------------------
async def test_each_profile_is_sliced_once_each_printer_has_its_quote_and_nothing_is_sliced_after_yes(shop: Workshop) -> None:
    slices_by_profile(shop, {"test": SECONDS, "quick": 300})
    for name, profile in (("second", "test"), ("third", "quick"), ("fourth", "quick")):
        add_printer(shop, name, profile)
    order = await offered(shop)
    assert shop.slicer.sliced == 2
    assert [(quote.printer, quote.print_seconds, quote.filament_g, quote.plates) for quote in decision(order).quotes] == [
        ("mk3s", SECONDS, 3.0, 1),
        ("second", SECONDS, 3.0, 1),
        ("third", 300, 3.0, 1),
        ("fourth", 300, 3.0, 1),
    ]
    (batch,) = order.dossier.batches
    assert [(way.profile, way.printers, way.estimated) for way in batch.alternatives] == [
        ("test", ["mk3s", "second"], False),
        ("quick", ["third", "fourth"], False),
    ]
    assert order.state is State.PRINTING and [plate.profile for plate in order.dossier.plates] == ["quick"], "the plan's choice"


async def test_an_order_of_two_colours_has_a_quote_of_its_part_from_each_printer(shop: Workshop) -> None:
    red = Color(name="red", hex="#ff0000")
    add_printer(shop, "red-one", materials=[shop.printer.facts.materials[0].model_copy(update={"color": red})])
    black = make_offer().items[0]
    order = await offered(shop, items=[black, black.model_copy(update={"item_id": "i2", "color": red})])
    assert [(quote.printer, quote.items) for quote in decision(order).quotes] == [("mk3s", ["i1"]), ("red-one", ["i2"])]
    assert [batch.number for batch in order.dossier.batches] == [1, 2] and order.state is State.PRINTING
    assert [plate.number for plate in order.dossier.plates] == [1, 2] and shop.slicer.sliced == 2


async def test_each_part_of_an_order_is_sliced_as_it_is_planned(shop: Workshop) -> None:
    """A printer that is planned for one part, and comes first, could make the other one too."""
    red = Color(name="red", hex="#ff0000")
    spool = shop.printer.facts.materials[0]
    slices_by_profile(shop, {"test": SECONDS, "quick": 300})
    add_printer(shop, "mk3s", materials=[spool, spool.model_copy(update={"color": red})])
    add_printer(shop, "quick-one", "quick")
    black = make_offer().items[0]
    order = await offered(shop, items=[black, black.model_copy(update={"item_id": "i2", "color": red})])
    assert [(plate.number, plate.profile, plate.settings.color.name) for plate in order.dossier.plates] == [
        (1, "quick", "black"),
        (2, "test", "red"),
    ]
    assert shop.slicer.sliced == 3, "nothing more after yes"


async def test_a_profile_that_the_slicer_refuses_leaves_the_others_printers(shop: Workshop) -> None:
    add_printer(shop, "other", "odd")
    real = shop.slicer.slice

    async def refuses_odd(work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        if work.printer.profile == "odd":
            raise Refused("too thin for this nozzle")
        return await real(work, progress)

    shop.slicer.slice = refuses_odd  # type: ignore[method-assign]
    order = await offered(shop)
    refused = next(quote for quote in decision(order).quotes if quote.printer == "other")
    assert not refused.ok and refused.reasons == ["too thin for this nozzle"]
    assert decision(order).answer is Answer.ACCEPT and decision(order).printers == {"i1": ["mk3s"]}


async def test_a_model_that_no_slicer_takes_is_declined_with_the_slicers_words(shop: Workshop) -> None:
    shop.slicer.error = Refused("nothing to print")
    order = await offered(shop)
    assert order.state is State.DECLINED and "slicing: nothing to print" in decision(order).text


async def test_a_slicer_that_is_not_installed_is_no_reason_to_decline(shop: Workshop) -> None:
    shop.slicer.error = NeedsOperator("prusa-slicer is not installed")
    order = await offered(shop)
    assert (order.state, decision(order).answer) == (State.OFFERED, Answer.ASK)
    assert "prusa-slicer is not installed" in shop.ledger.open_questions()[0].text


async def test_nothing_is_fetched_for_an_offer_that_is_declined_whatever_it_is(shop: Workshop) -> None:
    ruled(shop, blocked_words=["hook"])
    order = await offered(shop)
    assert order.state is State.DECLINED and order.dossier.files == {} and shop.slicer.sliced == 0


# --- time is left to answer -------------------------------------------------------------------------------------------
async def hangs(*_args: object, **_more: object) -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("what", ["fetch", "mesh", "slicer"])
async def test_what_hangs_is_given_up_in_time_and_estimated(shop: Workshop, what: str) -> None:
    ruled(shop, quote_budget_s=0.3)
    owner, method = {"fetch": (shop.market, "fetch"), "mesh": (shop.meshes, "inspect"), "slicer": (shop.slicer, "slice")}[what]
    works = getattr(owner, method)
    setattr(owner, method, hangs)
    item = make_offer().items[0].model_copy(update={"bounding_box_mm": [20.0, 20.0, 20.0], "volume_mm3": 8000.0})
    shop.outside.market.add(make_offer(items=[item]))
    shop.receive()
    async with asyncio.timeout(5):
        await answered(shop)
    (quote,) = decision(the(shop)).quotes
    assert quote.estimated and quote.time_told == "estimated from its size: there was no time left to slice it"
    (way,) = the(shop).dossier.batches[0].alternatives
    assert way.estimated and way.plates[0].print_seconds == round(quote.print_seconds * SAFETY) + SAFETY_S
    setattr(owner, method, works)
    await shop.settle()
    assert the(shop).state is State.PRINTING, "made for good after yes"


async def until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 - the workshop's outside tells nobody
        await asyncio.sleep(0.01)


async def answered(shop: Workshop) -> None:
    """Until the marketplace has its answer."""
    task = asyncio.create_task(shop.reconciler.reconcile(the(shop).id))
    await until(lambda: bool(shop.outside.market.acts))
    task.cancel()
    await asyncio.wait([task])


async def test_with_only_the_margin_left_it_is_answered_at_once_by_an_estimate(shop: Workshop) -> None:
    shop.slicer.slice = hangs  # type: ignore[method-assign]
    item = make_offer().items[0].model_copy(update={"bounding_box_mm": [20.0, 20.0, 20.0]})
    shop.outside.market.add(make_offer(minutes=(MARGIN_S - 1) / 60, items=[item]))
    shop.receive()
    async with asyncio.timeout(5):
        await answered(shop)
    assert shop.outside.market.acts == ["accept f1"] and decision(the(shop)).quotes[0].estimated


async def test_one_slow_offer_makes_no_other_one_late(shop: Workshop) -> None:
    """The only slicer's place is taken: the one that must be answered soon takes the estimate."""
    entered = asyncio.Event()

    async def slow(*_args: object) -> Any:
        entered.set()
        await asyncio.Event().wait()

    shop.slicer.slice = slow  # type: ignore[method-assign,assignment]
    item = make_offer().items[0].model_copy(update={"bounding_box_mm": [20.0, 20.0, 20.0]})
    shop.outside.market.add(make_offer("slow", items=[item]))
    shop.outside.market.add(make_offer("soon", minutes=(MARGIN_S + 0.4) / 60, items=[item.model_copy(update={"infill_percent": 20})]))
    shop.receive()
    first = asyncio.create_task(shop.reconciler.reconcile(the(shop, "slow").id))
    await entered.wait()
    second = asyncio.create_task(shop.reconciler.reconcile(the(shop, "soon").id))
    async with asyncio.timeout(5):
        await until(lambda: "accept soon" in shop.outside.market.acts)
    assert the(shop, "soon").accept_by - utc_now() > timedelta(seconds=MARGIN_S - 5)
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])


async def test_the_offers_nearest_their_deadline_get_the_slicer_first(shop: Workshop) -> None:
    turn, order = asyncio.Event(), []
    real = shop.slicer.slice

    async def told(work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        order.append(work.settings.infill_percent)
        await turn.wait()
        return await real(work, progress)

    shop.slicer.slice = told  # type: ignore[method-assign]
    for minutes, infill in ((12, 10), (14, 20), (9, 30), (11, 40)):
        item = make_offer().items[0].model_copy(update={"infill_percent": infill})
        shop.outside.market.add(make_offer(f"f{infill}", minutes=minutes, items=[item]))
    shop.receive()
    tasks = []
    for infill in (10, 20, 30, 40):
        tasks.append(asyncio.create_task(shop.reconciler.reconcile(the(shop, f"f{infill}").id)))
        await until(lambda: bool(order))  # the first one has the slicer; the others come while it is at it
    await asyncio.sleep(0.5)
    turn.set()
    await asyncio.wait(tasks)
    assert order == [10, 30, 40, 20]


async def test_the_same_work_for_two_offers_at_once_is_sliced_once(shop: Workshop) -> None:
    object.__setattr__(shop.shop, "slicing", type(shop.shop.slicing)(2))
    real = shop.slicer.slice

    async def slow(work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        await asyncio.sleep(0.05)
        return await real(work, progress)

    shop.slicer.slice = slow  # type: ignore[method-assign]
    for offer_id in ("f1", "f2"):
        shop.outside.market.add(make_offer(offer_id))
    shop.receive()
    await asyncio.gather(*(shop.reconciler.reconcile(the(shop, offer_id).id) for offer_id in ("f1", "f2")))
    assert shop.slicer.sliced == 1 and sorted(shop.outside.market.acts) == ["accept f1", "accept f2"]


@pytest.mark.slow
async def test_a_slicer_that_is_given_up_leaves_no_process_behind(shop: Workshop, tmp_path: Path) -> None:
    """The real adapter over a program that hangs."""
    program, began = tmp_path / "hangs", tmp_path / "began"
    program.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exec prusa-slicer --help\necho $$ > {began}\nexec sleep 600\n')
    program.chmod(0o755)
    library = ProfileLibrary(default_profiles_dir())
    real = PlateSlicer(PrusaSlicer(str(program)), library, shop.store, tmp_path / "slicing")
    await real.warm()
    shop.shop.slicers["prusaslicer"] = real  # type: ignore[index]
    add_printer(shop, "mk3s", "prusa-mk3s", slicer="prusaslicer")
    cube = models.write_binary_stl(tmp_path / "cube.stl", models.box(20, 20, 20))
    canonical = shop.store.put(cube.read_bytes())
    inspect = shop.meshes.inspect

    async def as_cube(*args: Any) -> Any:
        return (await inspect(*args)).model_copy(update={"canonical_sha256": canonical})

    shop.meshes.inspect = as_cube  # type: ignore[method-assign]
    ruled(shop, quote_budget_s=5.0)
    shop.outside.market.add(make_offer())
    shop.receive()
    await answered(shop)
    pid = int(began.read_text())
    assert decision(the(shop)).quotes[0].estimated
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- the plan decides -------------------------------------------------------------------------------------------------
async def test_an_offer_that_is_ready_in_time_is_accepted_with_the_plan_in_the_record(shop: Workshop) -> None:
    order = await offered(shop, ship_by=utc_now() + timedelta(hours=2))
    forecast = decision(order).forecast
    assert forecast is not None and forecast.ok and forecast.printers == ["mk3s"] and forecast.ready_at is not None
    assert forecast.ready_at - utc_now() >= timedelta(seconds=SECONDS)
    (rule,) = (rule for rule in decision(order).rules if rule.rule == "schedule")
    assert rule.ok and rule.value.startswith("ready ") and rule.limit.startswith("ready by ")


async def test_an_offer_that_would_not_be_ready_in_time_is_declined(shop: Workshop) -> None:
    order = await offered(shop, ship_by=utc_now() + timedelta(seconds=SECONDS / 2))
    assert (order.state, decision(order).reason) == (State.DECLINED, DeclineReason.NO_CAPACITY)
    assert shop.outside.market.acts == ["decline f1 no_capacity"] and "schedule: ready " in decision(order).text


async def test_an_offer_that_would_break_a_promise_is_declined_and_one_that_comes_after_it_is_not(shop: Workshop) -> None:
    soon = utc_now() + timedelta(seconds=2.8 * SECONDS)
    first = await offered(shop, "first", ship_by=soon)
    assert first.state is State.PRINTING
    second = await offered(shop, "second", ship_by=soon)
    assert (second.state, decision(second).reason) == (State.DECLINED, DeclineReason.NO_CAPACITY)
    later = await offered(shop, "later", ship_by=utc_now() + timedelta(days=1))
    assert later.state is State.SLICED


async def test_of_two_offers_that_are_decided_at_the_same_time_only_one_gets_the_printer(shop: Workshop) -> None:
    soon = utc_now() + timedelta(seconds=2.8 * SECONDS)
    for offer_id in ("f1", "f2"):
        shop.outside.market.add(make_offer(offer_id, ship_by=soon))
    shop.receive()
    await asyncio.gather(*(shop.reconciler.reconcile(the(shop, offer_id).id) for offer_id in ("f1", "f2")))
    assert sorted(act.split()[0] for act in shop.outside.market.acts) == ["accept", "decline"]


async def test_an_offer_with_a_deadline_of_which_nothing_is_known_is_a_persons_to_answer(shop: Workshop) -> None:
    order = await offered(shop, files_before_accept=False, ship_by=utc_now() + timedelta(hours=2))
    assert decision(order).answer is Answer.ASK and "how long it takes is not known" in decision(order).text
    assert decision(order).quotes == [] and order.dossier.batches == []


# --- packaging --------------------------------------------------------------------------------------------------------
BOX = Packaging(name="box-s", inner_mm=(45, 45, 25))


@pytest.mark.parametrize(
    ("quantity", "packaging", "state"),
    [
        (4, BOX, State.PRINTING),
        (5, BOX, State.DECLINED),
        (1, BOX.model_copy(update={"padding_mm": 10.0}), State.DECLINED),
        (1, BOX.model_copy(update={"stock": 0}), State.DECLINED),
        (1, BOX.model_copy(update={"stock": 1}), State.PRINTING),
    ],
)
async def test_all_copies_go_into_one_packaging_that_is_there_or_it_is_declined(
    shop: Workshop, quantity: int, packaging: Packaging, state: State
) -> None:
    ruled(shop, packagings=[packaging])
    order = await offered(shop, items=[make_offer().items[0].model_copy(update={"quantity": quantity})])
    assert order.state is state and decision(order).packaging == ("box-s" if state is State.PRINTING else "")
    if state is State.DECLINED:
        assert shop.outside.market.acts == ["decline f1 does_not_fit_package"]


async def test_the_smallest_that_fits_is_taken_and_told_when_it_is_packed(shop: Workshop) -> None:
    large = Packaging(name="box-l", inner_mm=(200, 200, 200))
    ruled(shop, packagings=[large, BOX, Packaging(name="flat", inner_mm=(300, 300, 10))])
    order = await offered(shop)
    assert decision(order).packaging == "box-s"
    told = await packing_question(shop, order)
    assert told == "Pack 1 × hook.stl into box-s."


async def packing_question(shop: Workshop, order: Order) -> str:
    shop.ledger.move(shop.ledger.order(order.id), OrderMove(to=State.PACKING, event="test"))
    await shop.settle()
    return next(question.text for question in shop.ledger.open_questions() if question.step is Step.PACKED)


async def test_the_last_packaging_is_not_promised_twice(shop: Workshop) -> None:
    ruled(shop, packagings=[BOX.model_copy(update={"stock": 1})])
    assert (await offered(shop, "f1")).state is State.PRINTING
    second = await offered(shop, "f2")
    assert second.state is State.DECLINED and "box-s: none is left" in decision(second).text


# --- a marketplace that a person answers at ---------------------------------------------------------------------------
async def test_where_a_person_answers_they_are_asked_with_advice_and_tell_us(outside: Outside) -> None:
    ahead = timedelta()

    def now() -> datetime:
        return utc_now() + ahead

    with Workshop(outside, now=now) as shop:
        shop.market.answered_by_person = True
        order = await offered(shop, ship_by=utc_now() + timedelta(hours=2))
        (question,) = shop.ledger.open_questions()
        assert outside.market.acts == [] and "15 minutes left. Advice: accept." in question.text
        assert "market takes your answer only" in question.text and question.choices["accept"] == "I have accepted it there"
        ahead = timedelta(minutes=20)
        await shop.settle()
        assert the(shop).state is State.OFFERED, "they may have answered there in time, and tell us late"
        Answers(shop.ledger, shop.store, "Ada").choose(Step.OFFER, order.id, "accept")
        await shop.settle()
        assert the(shop).state is State.SLICED and outside.market.acts == ["accept f1"]


async def test_where_a_person_answers_and_never_tells_it_expires_a_day_later(outside: Outside) -> None:
    ahead = timedelta()
    with Workshop(outside, now=lambda: utc_now() + ahead) as shop:
        shop.market.answered_by_person = True
        await offered(shop)
        ahead = timedelta(days=1, minutes=16)
        await shop.settle()
        assert the(shop).state is State.EXPIRED and outside.market.acts == []


# --- records of earlier versions --------------------------------------------------------------------------------------
def test_a_dossier_of_an_earlier_version_loads() -> None:
    offer = make_offer().model_dump(mode="json")
    rule = {"rule": "infill", "printer": "", "value": "15 %", "limit": "0…100 %", "ok": True, "reason": "cannot_make"}
    quote = {"printer": "prusa-mk3s", "ok": True, "reasons": [], "print_seconds": 600, "filament_g": 3.0, "plates": 1, "estimated": False}
    old = {"answer": "accept", "rules": [rule], "printers": {"i1": ["mk3s"]}, "quotes": [quote], "reason": None, "text": "", "advice": []}
    dossier = Dossier.model_validate_json(json.dumps({"offer": offer, "decision": old, "files": {"m1": MODEL_SHA256}}))
    assert dossier.batches == [] and dossier.decision is not None
    assert (dossier.decision.packaging, dossier.decision.decided_at, dossier.decision.rules[0].also) == ("", None, ())
