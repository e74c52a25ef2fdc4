"""One order from an offer to closed, by what a person presses on the page: no JavaScript, no shortcut."""

from agent.domain.events import first_broken
from agent.domain.offer import AddOn
from agent.domain.order import State
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.served import Served


async def test_an_order_goes_from_printed_to_closed_by_the_pages_forms(served: Served) -> None:
    ada, shop = await served.person(), served.shop
    order_id = served.offer(add_ons=[AddOn(code="sand", title="Sand the edges")])
    await shop.settle()
    await ada.press("/", "The bed of mk3s is clear")
    await shop.settle()
    shop.outside.printer.finish()
    await shop.settle()
    await ada.press("/", "The bed of mk3s is clear")
    await shop.settle()
    assert "Sand the edges" in await ada.get("/")
    await ada.press("/", "All of it is done")
    await shop.settle()
    assert "Photograph 1 × hook.stl" in await ada.get("/")
    assert "I have looked and there are no visible flaws." in await ada.get(f"/orders/{order_id}/photos")
    await ada.photograph(order_id, [photo_of_a_part(1), photo_of_a_part(2)], ["no_flaws"])
    await shop.settle()
    for button in ("It is printed", "The parcel is closed", "The carrier has it"):
        await ada.press("/", button)
        await shop.settle()
    order = shop.ledger.order(order_id)
    assert order.state is State.CLOSED
    assert [act.split()[0] for act in shop.outside.market.acts] == ["accept", "start", "photo", "photo", "submit", "delivered"]
    (agreement,) = order.dossier.said["agreements"]
    assert agreement["agreed_by"] == "Ada Example"
    assert first_broken(shop.ledger.events(order_id)) is None
    assert "Nothing waits for your hands." in await ada.get("/")
    assert "Ada Example agreed to" in await ada.get(f"/orders/{order_id}")
