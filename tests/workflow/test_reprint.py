"""Pieces that are not good enough for photos are printed again: only they, once, with their cost on the order, wherever the agent dies."""

import dataclasses
import shutil
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import Event, first_broken
from agent.domain.job import JobState
from agent.domain.offer import AddOn, Item, ModelFile, Supports
from agent.domain.order import Order, State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Question, Step
from agent.domain.rejection import Rejection, RejectReason
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import Answers
from agent.ports.ledger import Stale
from agent.workflow.planned import current, scene
from agent.workflow.reprint import foreseen
from tests.workflow.workshop import BLACK, MODEL, MODEL_SHA256, Fate, Killed, Outside, Workshop, make_offer

TWO = Rejection(pieces={"i1": 2}, reason=RejectReason.WARPED, why="the corners came up")


def item(item_id: str, quantity: int, infill: int = 15) -> Item:
    file_id = f"m{item_id[1:]}"
    return Item(item_id=item_id, file_id=file_id, quantity=quantity, color=BLACK, infill_percent=infill, supports=Supports.NO)


def files(*names: str) -> list[ModelFile]:
    return [ModelFile(file_id=f"m{n}", name=name, bytes=len(MODEL), sha256=MODEL_SHA256) for n, name in enumerate(names, start=1)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(Outside(tmp_path)) as opened:
        yield opened


def order_of(shop: Workshop) -> Order:
    (order,) = shop.ledger.orders()
    return order


def answers(shop: Workshop, name: str = "Ada Example") -> Answers:
    return Answers(shop.ledger, shop.store, name)


async def print_what_waits(shop: Workshop) -> None:
    """One plate after the other, each bed cleared, until nothing of the order is to be printed."""
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    for _ in range(10):
        await shop.settle(4)
        if shop.outside.printer.state is PrinterState.PRINTING:
            shop.outside.printer.finish()
            await shop.settle(4)
            answers(shop).bed_is_clear("mk3s")


async def at_photos(shop: Workshop, **offer: Any) -> Order:
    shop.outside.market.add(make_offer(**({"items": [item("i1", 4)]} | offer)))
    shop.receive()
    await print_what_waits(shop)
    order = order_of(shop)
    assert order.state is State.PHOTOS
    return order


def told(shop: Workshop, kind: str) -> list[Event]:
    return [event for event in shop.ledger.events(order_of(shop).id) if event.kind == kind]


async def test_only_the_rejected_pieces_are_printed_again_and_what_they_cost_stays_with_the_order(shop: Workshop) -> None:
    order = await at_photos(shop)
    answers(shop).rejected(order.id, TWO)
    await shop.settle(2)
    assert order_of(shop).state is State.PRINTING
    (event,) = told(shop, "rejected")
    assert event.data["pieces"] == {"i1": 2}
    assert (event.data["grams"], event.data["seconds"]) == (1.5, 300), "half of a plate of 3 g and 600 s"
    assert (event.data["reason"], event.data["why"], event.data["by"]) == ("warped", "the corners came up", "Ada Example")
    first, again = order_of(shop).dossier.plates
    assert (first.copies, again.copies, again.number) == ({"i1": 4}, {"i1": 2}, 2)
    await print_what_waits(shop)
    assert order_of(shop).state is State.PHOTOS
    assert len(shop.outside.printer.starts) == 2
    assert [(job.plate, job.state) for job in shop.ledger.jobs(order.id)] == [(1, JobState.HARVESTED), (2, JobState.HARVESTED)]
    assert shop.ledger.question(order.id, Step.PHOTOS) is not None, "photos are asked for anew"


async def test_of_several_items_only_the_bad_one_with_its_own_settings(shop: Workshop) -> None:
    order = await at_photos(shop, items=[item("i1", 1, 15), item("i2", 3, 80)], files=files("hook.stl", "lid.stl"))
    answers(shop).rejected(order.id, Rejection(pieces={"i2": 1}, reason=RejectReason.FLAWS))
    await print_what_waits(shop)
    plates = order_of(shop).dossier.plates
    assert [plate.copies for plate in plates] == [{"i1": 1}, {"i2": 3}, {"i2": 1}]
    assert plates[2].settings.infill_percent == 80
    assert len(shop.outside.printer.starts) == 3
    (event,) = told(shop, "rejected")
    assert (event.data["what"], event.data["grams"]) == ("1 × lid.stl", 1.0)


async def test_what_is_printed_again_is_post_processed_again(shop: Workshop) -> None:
    shop.outside.market.add(make_offer(add_ons=[AddOn(code="sand", title="Sand the edges")]))
    shop.receive()
    await print_what_waits(shop)
    order = order_of(shop)
    for again in ("", " Of what was printed again: 1 × hook.stl."):
        asked = shop.ledger.question(order.id, Step.POST_PROCESSING)
        assert asked is not None
        assert asked.text == f"Post-processing that was ordered: Sand the edges.{again}"
        answers(shop).choose(Step.POST_PROCESSING, order.id, "")
        await shop.settle(2)
        if not told(shop, "rejected"):
            answers(shop).rejected(order.id, TWO.model_copy(update={"pieces": {"i1": 1}}))
            await print_what_waits(shop)
    assert order_of(shop).state is State.PHOTOS


async def test_pressed_twice_and_by_two_people_it_is_printed_again_once(shop: Workshop) -> None:
    order = await at_photos(shop)
    asked = shop.ledger.question(order.id, Step.PHOTOS)
    assert asked is not None
    answers(shop).rejected(order.id, TWO, asked=asked.id)
    for name in ("Ada Example", "Bob Example"):
        with pytest.raises(Stale, match="Ada Example answered this"):
            answers(shop, name).rejected(order.id, TWO, asked=asked.id)
    await print_what_waits(shop)
    with pytest.raises(Stale, match="Ada Example answered this"):
        answers(shop, "Bob Example").rejected(order.id, TWO, asked=asked.id)
    await print_what_waits(shop)
    assert len(shop.outside.printer.starts) == 2


async def test_what_is_printed_again_may_be_rejected_as_well(shop: Workshop) -> None:
    order = await at_photos(shop)
    for pieces in (2, 1):
        answers(shop).rejected(order.id, TWO.model_copy(update={"pieces": {"i1": pieces}}))
        await print_what_waits(shop)
    assert [plate.number for plate in order_of(shop).dossier.plates] == [1, 2, 3]
    assert [event.data["plates"] for event in told(shop, "rejected")] == [[2], [3]]
    assert told(shop, "rejected")[1].data["grams"] == 1.0, "one of six pieces that two plates of 3 g held"


async def test_g_code_that_does_not_prove_to_be_the_order_is_not_printed_the_second_time_either(shop: Workshop) -> None:
    order = await at_photos(shop)
    shop.slicer.proves = False
    answers(shop).rejected(order.id, TWO)
    await shop.settle()
    assert order_of(shop).state is State.ON_HOLD
    assert "does not prove" in str(told(shop, "on_hold")[0].data["text"])
    assert len(shop.outside.printer.starts) == 1
    answers(shop).choose(Step.HOLD, order.id, "cancel")
    await shop.settle()
    assert order_of(shop).state is State.CANCELLED


async def test_a_printer_without_the_material_any_more_is_asked_about_and_nothing_that_was_said_is_lost(shop: Workshop) -> None:
    order = await at_photos(shop)
    loaded = shop.printer.facts
    shop.printer.facts = loaded.model_copy(update={"materials": []})
    answers(shop).rejected(order.id, TWO)
    await shop.settle()
    assert order_of(shop).state is State.ON_HOLD
    shop.printer.facts = loaded
    answers(shop).choose(Step.HOLD, order.id, "retry")
    await print_what_waits(shop)
    assert (order_of(shop).state, len(shop.outside.printer.starts)) == (State.PHOTOS, 2)


async def test_the_plan_counts_what_is_printed_again_and_nothing_else_of_the_order(shop: Workshop) -> None:
    order = await at_photos(shop)
    shop.ledger.set_bed("mk3s", BedState.OCCUPIED, "somebody else's print")
    assert current(shop.shop).assignments == []
    answers(shop).rejected(order.id, TWO)
    await shop.settle(2)
    assert [(place.order_id, place.plate) for place in current(shop.shop).assignments] == [(order.id, 2)]


# --- the promise -------------------------------------------------------------------------------------------------
async def test_it_is_told_beforehand_whether_it_is_still_in_time(shop: Workshop) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    order = await at_photos(shop, ship_by=soon)
    told_now = foreseen(order, {"i1": 2}, scene(shop.shop))
    assert (told_now.in_time, told_now.ship_by, told_now.reasons) == (True, soon, [])
    assert (told_now.costs.grams, told_now.costs.seconds) == (1.5, 300)
    assert told_now.ready_at is not None
    assert timedelta(seconds=300) <= told_now.ready_at - datetime.now(UTC) < timedelta(hours=1)
    late = order.model_copy(
        update={
            "dossier": order.dossier.model_copy(
                update={"remote": None, "offer": order.dossier.offer.model_copy(update={"ship_by": datetime.now(UTC)})}
            )
        }
    )
    assert not foreseen(late, {"i1": 2}, scene(shop.shop)).in_time
    assert order_of(shop) == order, "looking changes nothing"


async def test_a_printer_that_cannot_print_it_any_more_is_told_beforehand(shop: Workshop) -> None:
    order = await at_photos(shop)
    shop.printer.facts = shop.printer.facts.model_copy(update={"materials": []})
    told_now = foreseen(order, {"i1": 2}, scene(shop.shop))
    assert (told_now.in_time, told_now.ready_at) == (False, None)
    assert told_now.reasons[0] == "No printer has the material loaded now."


@pytest.mark.parametrize("tell", [False, True])
async def test_the_marketplace_is_told_of_the_delay_only_where_the_person_said_so(shop: Workshop, *, tell: bool) -> None:
    order = await at_photos(shop)
    answers(shop).rejected(order.id, TWO.model_copy(update={"tell_delay": tell}))
    await print_what_waits(shop)
    assert [act for act in shop.outside.market.acts if act.startswith("problem")] == ["problem delay r-f1"] * tell


# --- killed ------------------------------------------------------------------------------------------------------
async def live(outside: Outside, fate: Fate) -> bool:
    """One life of the agent over an order at its photos: two pieces are rejected, once; True where they were printed and photos are asked
    for again, False where the agent was killed before."""
    try:
        with Workshop(outside, fate=fate) as shop, SqlLedger(sqlite_url(outside.folder)) as desk:
            for _ in range(30):
                await shop.settle(1)
                if outside.printer.state is PrinterState.PRINTING:
                    outside.printer.finish()
                if all(acted(question, desk) for question in desk.open_questions()):
                    continue
                return True
    except Killed:
        return False
    raise AssertionError("the order stands still")


def acted(question: Question, desk: SqlLedger) -> bool:
    """What a person does; False where nothing is left to do."""
    hands = Answers(desk, DiskStore(Path()), "Ada Example")
    if question.step is Step.BED:
        hands.bed_is_clear(question.printer)
        return True
    assert question.step is Step.PHOTOS, f"the agent asks what it should know: {question.text}"
    if any("rejected" in event.data.get("answer", {}) for event in desk.events(question.order_id)):
        return False
    hands.rejected(question.order_id, TWO.model_copy(update={"tell_delay": True}))
    return True


def check(outside: Outside) -> None:
    with SqlLedger(sqlite_url(outside.folder)) as desk:
        (order,) = desk.orders()
        assert order.state is State.PHOTOS
        assert first_broken(desk.events(order.id)) is None
        assert [event.data["grams"] for event in desk.events(order.id) if event.kind == "rejected"] == [1.5]
        assert len(order.dossier.plates) == 2
    assert len(outside.printer.starts) == len(set(outside.printer.starts)) == 2, "printed twice, or not again"
    assert [act for act in outside.market.acts if act.startswith("problem")] == ["problem delay r-f1"]


def moved(outside: Outside, folder: Path) -> Outside:
    """The same, elsewhere."""
    shutil.copytree(outside.folder, folder)
    return dataclasses.replace(deepcopy(outside), folder=folder)


@pytest.mark.slow
async def test_killed_at_every_third_point_between_the_word_and_the_new_photos(tmp_path: Path) -> None:
    before = Outside(tmp_path / "before")
    before.folder.mkdir()
    with Workshop(before) as shop:
        await at_photos(shop)
    fate, outside = Fate(), moved(before, tmp_path / "undisturbed")
    assert await live(outside, fate)
    check(outside)
    assert fate.calls >= 30, f"printing again has only {fate.calls} points"
    for dies_at in range(1, fate.calls + 1, 3):  # before or after a commit in turn, and in the calls between
        outside = moved(before, tmp_path / str(dies_at))
        if not await live(outside, Fate(dies_at)):
            assert await live(outside, Fate())
        check(outside)
