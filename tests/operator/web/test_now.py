"""The queue: what is on top, and what the pages say where there is nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.domain.decision import Answer, Decision
from agent.domain.order import State
from agent.domain.question import NewQuestion, Step
from agent.operator.web import stories
from agent.operator.web.tasks import what_waits
from agent.ports.ledger import OrderMove
from agent.workflow.acceptance import Mode, Policy
from tests.operator.web.served import Served, serving

NOW = datetime.now(UTC)


def ask(served: Served, step: Step, printer: str = "", **offer: object) -> str:
    """A new order past its offer that asks this."""
    order_id = served.offer(offer_id=f"f{len(served.ledger.orders())}", **offer)
    order = served.ledger.move(served.ledger.order(order_id), OrderMove(to=State.PRINTING, event="test"))
    served.ledger.ask(order, NewQuestion(step=step, text=f"{step}?", choices={"done": "it is done"}), printer)
    return order_id


def steps(served: Served) -> list[str]:
    return [task.step for task in what_waits(served.ledger, {}, NOW)]


async def test_what_keeps_others_from_going_on_comes_first_then_what_ships_first(served: Served) -> None:
    ask(served, Step.PHOTOS)
    ask(served, Step.DROPPED_OFF)
    ask(served, Step.PACKED, ship_by=NOW + timedelta(days=2))
    ask(served, Step.POST_PROCESSING, ship_by=NOW + timedelta(days=1))
    ask(served, Step.BED, "mk3s")
    ask(served, Step.LABEL, ship_by=NOW + timedelta(minutes=30))
    assert steps(served) == ["label", "bed", "post-processing", "packed", "dropped-off", "photos"]


async def test_an_offer_that_ends_soon_is_on_top_with_its_minutes(served: Served) -> None:
    ask(served, Step.BED, "mk3s")
    offer = served.ledger.order(served.offer(offer_id="soon", minutes=12))
    served.ledger.ask(offer, NewQuestion(step=Step.OFFER, text="Make it?", choices={"accept": "make it", "decline": "leave it"}))
    assert steps(served) == ["offer", "bed"]
    ada = await served.person()
    page = await ada.get("/")
    assert page.index("Make 1 × hook.stl?") < page.index("Clear the bed of mk3s")
    assert "12 min left" in page


async def test_one_bed_is_one_task_however_many_wait_for_it(served: Served) -> None:
    for _ in range(3):
        ask(served, Step.BED, "mk3s")
    ask(served, Step.BED, "other")
    assert steps(served) == ["bed", "bed"]
    ada = await served.person()
    await ada.press("/", "The bed of mk3s is clear")
    assert [question.printer for question in served.ledger.open_questions()] == ["other"]


async def test_an_offer_is_answered_with_one_thumb_in_mode_ask(tmp_path: object) -> None:
    async with serving(tmp_path, policy=Policy(mode=Mode.ASK)) as served:  # type: ignore[arg-type]
        order_id = served.offer()
        await served.shop.settle()
        ada = await served.person()
        assert "Advice: accept." in await ada.get("/")
        await ada.press("/offers", "Accept: make it")
        await served.shop.settle()
        assert served.ledger.order(order_id).dossier.remote is not None


async def test_an_empty_page_says_what_is_going_on(served: Served) -> None:
    ada = await served.person()
    said = {"/": "Nothing waits for your hands.", "/orders": "No order is open.", "/offers": "No offer waits now.", "/printers": "mk3s"}
    for path, sentence in said.items():
        assert sentence in await ada.get(path)


async def test_an_order_tells_its_whole_story(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    await served.shop.settle()
    page = await ada.get(f"/orders/{order_id}")
    for said in ("Decision: accept", "Plate 1", "copies", "hook.stl", "History", "accepted"):
        assert said in page
    assert served.ledger.order(order_id).dossier.decision is not None


async def test_a_refused_offer_says_why(served: Served) -> None:
    order = served.ledger.order(served.offer())
    decision = Decision(answer=Answer.DECLINE, rules=[], text="It is too big.")
    dossier = order.dossier.model_copy(update={"decision": decision})
    served.ledger.move(order, OrderMove(to=State.DECLINED, event="declined", dossier=dossier))
    assert "It is too big." in await (await served.person()).get("/offers")


async def test_a_history_that_was_changed_is_told(served: Served) -> None:
    order_id, ada = served.offer(), await served.person()
    with served.ledger._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET kind = 'accepted'")
    assert "The history of this order was changed" in await ada.get(f"/orders/{order_id}")


async def test_an_offer_that_names_a_file_nobody_announced_breaks_no_page(served: Served) -> None:
    order = served.ledger.order(served.offer())
    offer = order.dossier.offer
    strange = offer.model_copy(update={"items": [offer.items[0].model_copy(update={"file_id": "elsewhere"})]})
    dossier = order.dossier.model_copy(update={"offer": strange})
    served.ledger.move(order, OrderMove(to=order.state, event="test", dossier=dossier))
    ada = await served.person()
    for path in ("/", "/offers", "/orders", f"/orders/{order.id}"):
        await ada.get(path)


async def test_of_very_many_orders_the_oldest_are_shown_and_all_are_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read whole, in the time of the daemon."""
    monkeypatch.setattr(stories, "MOST_OPEN", 2)
    made = [ask(served, Step.PHOTOS) for _ in range(3)]
    ada = await served.person()
    page = await ada.get("/orders")
    assert [order_id in page for order_id in made] == [True, True, False]
    assert "1 more, newer ones, are not shown" in page
    assert "3 open orders" in await ada.get("/")


async def test_what_has_ended_is_told_the_latest_first(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "_LATEST", 2)
    made = [ask(served, Step.PHOTOS) for _ in range(3)]
    for order_id in made:
        served.ledger.move(served.ledger.order(order_id), OrderMove(to=State.CANCELLED, event="test"))
    assert [order.id for order in stories.orders(served.ledger, ended=True)] == [made[2], made[1]]
    assert stories.orders(served.ledger, ended=False) == []
