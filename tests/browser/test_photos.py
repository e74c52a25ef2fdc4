"""Photos on their way: what was sent is there, what was not goes on, whatever happens to phone, network and daemon meanwhile."""

import io

from PIL import Image
from playwright.sync_api import FilePayload, Route, expect

from agent.domain.question import Step
from tests.browser.chromium import PATIENCE_MS
from tests.browser.phone import Phone, photos
from tests.browser.radio import Radio
from tests.browser.shop import Shop


def _large_photo() -> FilePayload:
    """Takes several pieces to send."""
    out = io.BytesIO()
    Image.effect_noise((1600, 1200), 90).convert("RGB").save(out, "JPEG", quality=92)
    return {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


def test_a_photo_goes_on_where_it_was_cut(far_phone: Phone, shop: Shop, radio: Radio) -> None:
    """The network goes away, the page is closed, the daemon is killed: three times in one photo."""
    (order_id,) = shop.printed("dish.stl")
    shop.lead_to_its_end(order_id, until=Step.PHOTOS)
    at = f"/orders/{order_id}/photos"
    large = _large_photo()
    part = len(large["buffer"]) // 3
    far_phone.open(at)
    radio.out_of_reach_after(part)
    far_phone.take([large])
    expect(far_phone.page.get_by_text("waits for the network")).to_be_visible()
    context = far_phone.page.context
    far_phone.page.close()

    radio.back_in_reach()
    later = Phone(context.new_page(), radio.url)
    with later.page.expect_request(lambda request: request.method == "PATCH") as first:
        radio.out_of_reach_after(part)
        later.open(at)
    assert int(first.value.headers["upload-offset"]) > 0, "it began anew"
    expect(later.page.get_by_text("waits for the network")).to_be_visible()
    shop.kill()
    shop.restart()
    radio.back_in_reach()
    expect(later.photos_here).to_have_count(1, timeout=PATIENCE_MS)
    later.page.reload()
    expect(later.photos_here).to_have_count(1)
    shop.lead_to_its_end(order_id)


def test_a_photo_chosen_while_the_page_still_loads(phone: Phone, shop: Shop) -> None:
    (order_id,) = shop.printed("bowl.stl")
    shop.lead_to_its_end(order_id, until=Step.PHOTOS)
    held: list[Route] = []
    phone.page.route("**/static/photos.js*", lambda route: held.append(route))
    with phone.page.expect_request("**/static/photos.js*"):
        phone.page.goto(f"{phone.url}/orders/{order_id}/photos", wait_until="commit")
    phone.take(photos(7))
    held[0].continue_()
    expect(phone.photos_here).to_have_count(2, timeout=PATIENCE_MS)
    shop.lead_to_its_end(order_id)
