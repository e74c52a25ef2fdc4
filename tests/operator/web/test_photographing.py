"""The page of photos without JavaScript: what was sent stays, each item has its own, and what is not good is printed again."""

from datetime import UTC, datetime, timedelta

import httpx

from agent.domain.offer import AddOn
from agent.domain.order import State
from agent.domain.person import Role, Scope
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import NewQuestion, Question, Step
from agent.ports.ledger import OrderMove
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.served import Browser, Served, button_on
from tests.workflow.test_reprint import files, item

JPEG = photo_of_a_part()


async def at_photos(served: Served, **offer: object) -> Question:
    """An order that was really printed, and waits for photos."""
    served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    order_id = served.offer(**offer)
    for _ in range(6):
        await served.shop.settle(3)
        if served.shop.outside.printer.state is PrinterState.PRINTING:
            served.shop.outside.printer.finish()
            await served.shop.settle(3)
            served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
            served.ledger.wake([State.PRINTING])
    question = served.ledger.question(order_id, Step.PHOTOS)
    assert question is not None
    return question


async def send(ada: Browser, order_id: str, button: str, status: int = 303, **photos: bytes) -> httpx.Response:
    """Fill in the form with these photos, field by field, and press that button."""
    form, data = button_on(await ada.get(f"/orders/{order_id}/photos"), button)
    kept = [value for name, value in form.fields if name == "kept"]
    sent = [(field.replace("_", "-"), ("IMG.jpg", photo, "image/jpeg")) for field, photo in photos.items()]
    answer = await ada.client.post(form.action, data={**data, "kept": kept, "agree": "no_flaws"}, files=sent)
    assert answer.status_code == status, answer.text[-1500:]
    return answer


def taken(served: Served, question: Question) -> dict[str, object]:
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    return found.answer


async def test_a_photo_that_got_a_hint_stays_and_is_accepted_as_it_is_or_replaced(served: Served) -> None:
    question, ada = await at_photos(served), await served.person()
    told = (await ada.photograph(question.order_id, [JPEG, JPEG], ["no_flaws"], 422, customer_note="Enjoy it")).text
    assert "Photo 2: It is nearly the same as photo 1" in told
    assert "Enjoy it" in told, "what was typed stays as well"
    assert taken(served, question) == {}
    page = await ada.get(f"/orders/{question.order_id}/photos")
    assert page.count('name="kept"') == 2, "they are here, also when the page is opened again"
    await ada.press(f"/orders/{question.order_id}/photos", "Remove photo 2")
    await ada.photograph(question.order_id, [photo_of_a_part(2)], ["no_flaws"])
    assert list(taken(served, question)["photos"]) == ["photo-1", "photo-2"]
    assert served.ledger.uploads(question.order_id) == []


async def test_what_is_no_photo_costs_none_of_the_others(served: Served) -> None:
    question, ada = await at_photos(served), await served.person()
    assert "Photo 2: It is text" in (await ada.photograph(question.order_id, [JPEG, b"<svg/>"], ["no_flaws"], 422)).text
    await ada.photograph(question.order_id, [], ["no_flaws"])
    assert list(taken(served, question)["photos"]) == ["photo-1"]


async def test_each_item_has_its_photos_beside_what_was_ordered(served: Served) -> None:
    two = {"items": [item("i1", 1), item("i2", 3)], "files": files("hook.stl", "lid.stl")}
    question, ada = await at_photos(served, **two), await served.person()
    page = await ada.get(f"/orders/{question.order_id}/photos")
    for what in ("1 × hook.stl", "3 × lid.stl", "All of it together", "PLA black", "Drawing of lid.stl"):
        assert what in page
    assert "No photo shows 1 × hook.stl." in (await send(ada, question.order_id, "Hand in", 422, photo_2=photo_of_a_part(2))).text
    await send(ada, question.order_id, "Send the chosen photos", photo=photo_of_a_part(3), photo_1=photo_of_a_part(1))
    await send(ada, question.order_id, "Hand in")
    answer = taken(served, question)
    assert answer["shows"] == {"photo-1": "i1", "photo-2": "i2"}
    assert list(answer["photos"]) == ["photo-1", "photo-2", "photo-3"], "in the order of the items, then what shows all of them"


async def test_add_ons_are_named(served: Served) -> None:
    order = served.offer(add_ons=[AddOn(code="sand", title="Sand the edges")])
    served.ledger.ask(served.ledger.order(order), NewQuestion(step=Step.PHOTOS, text="Photos, please."))
    assert "Ordered with it: Sand the edges" in await (await served.person()).get(f"/orders/{order}/photos")


async def test_nothing_is_handed_in_that_was_not_on_the_page(served: Served) -> None:
    question, ada, bob = await at_photos(served), await served.person(), await served.person("Bob Example")
    await send(ada, question.order_id, "Send the chosen photos", photo=JPEG)
    form, data = button_on(await ada.get(f"/orders/{question.order_id}/photos"), "Hand in")
    kept = [value for name, value in form.fields if name == "kept"]
    await send(bob, question.order_id, "Send the chosen photos", photo=photo_of_a_part(2))
    late = await ada.client.post(form.action, data={**data, "kept": kept, "agree": "no_flaws"}, files=[("photo", b"")])
    assert "Photo 2 came after this page was shown" in late.text
    forged = await ada.client.post(
        form.action, data={**data, "kept": ["f" * 32], "agree": "no_flaws", "as_they_are": "yes"}, files=[("photo", b"")]
    )
    assert forged.status_code == 422
    assert taken(served, question) == {}


# --- printed again -------------------------------------------------------------------------------------------------
async def test_pieces_are_printed_again_after_it_was_told_what_that_takes(served: Served) -> None:
    due = datetime.now(UTC) + timedelta(days=3)
    question, ada = await at_photos(served, items=[item("i1", 4)], ship_by=due), await served.person()
    at = f"/orders/{question.order_id}"
    assert "Something is not good: print it again" in await ada.get(f"{at}/photos")
    page = await ada.get(f"{at}/reject?pieces-1=2")
    assert "Print 2 × hook.stl again?" in page
    assert "About 5 min and 1.5 g" in page
    assert "Ready about" in page
    assert "to be shipped by" in page
    assert ": in time." in page
    assert "Tell the marketplace" not in page
    assert taken(served, question) == {}
    pressed = button_on(page, "Print 2 × hook.stl again")
    await ada.send(pressed, reason="warped", why="the corners came up")
    assert taken(served, question)["rejected"] == {
        "pieces": {"i1": 2}, "reason": "warped", "why": "the corners came up", "tell_delay": False,
    }  # fmt: skip
    await ada.send(pressed, 409, reason="warped")
    bob = await served.person("Bob Example")
    await bob.get(f"{at}/reject?pieces-1=1", 409)
    await served.shop.settle(3)
    assert served.ledger.order(question.order_id).state is State.PRINTING
    assert len(served.shop.outside.printer.starts) == 2
    assert "rejected" in await ada.get(at)


async def test_a_promise_that_breaks_is_told_and_the_marketplace_only_where_that_is_ticked(served: Served) -> None:
    question, ada = await at_photos(served), await served.person()
    order = served.ledger.order(question.order_id)
    assert order.dossier.remote is not None
    remote = order.dossier.remote.model_copy(update={"ship_by": datetime.now(UTC)})
    served.ledger.move(order, OrderMove(to=order.state, event="test", dossier=order.dossier.model_copy(update={"remote": remote})))
    page = await ada.get(f"/orders/{question.order_id}/reject?pieces-1=1")
    assert ": not in time." in page
    await ada.send(button_on(page, "again"), reason="flaws", tell_delay="yes")
    await served.shop.settle(3)
    assert [act for act in served.shop.outside.market.acts if act.startswith("problem")] == ["problem delay r-f1"]


async def test_pieces_that_were_not_ordered(served: Served) -> None:
    question, ada = await at_photos(served, items=[item("i1", 4)]), await served.person()
    for query in ("", "pieces-1=0", "pieces-1=5", "pieces-1=x", "pieces-1=-1", "pieces-2=1", "pieces-1=" + "9" * 30):
        await ada.get(f"/orders/{question.order_id}/reject?{query}", 422)


async def test_who_only_looks_rejects_nothing_and_a_script_may(served: Served) -> None:
    question = await at_photos(served, items=[item("i1", 4)])
    viewer = await served.person("Vic Example", Role.VIEWER)
    await viewer.get(f"/orders/{question.order_id}/reject?pieces-1=1", 403)
    reads, script = await served.api(Scope.READ), await served.api(Scope.ANSWER)
    at = f"/questions/{question.id}"
    foreseen = (await reads.post(f"{at}/reprint", json={"pieces": {"i1": 2}})).json()["reprint"]
    assert (foreseen["costs"], foreseen["in_time"]) == ({"grams": 1.5, "seconds": 300}, True)
    said = {"pieces": {"i1": 2}, "reason": "other"}
    assert (await reads.post(f"{at}/reject", json=said)).status_code == 403
    assert (await script.post(f"{at}/reject", json=said)).json()["code"] == "no_reason"
    assert (await script.post("/questions/999/reject", json=said)).json()["code"] == "no_such_question"
    assert (await script.post(f"{at}/reject", json={**said, "why": "smells"})).json() == {"done": True}
    assert (await script.post(f"{at}/reject", json={**said, "why": "smells"})).json()["code"] == "answered_already"
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    assert found.answered_by.startswith("API token script-")
