"""What a phone that was never here before has to fetch before a page is there."""

from playwright.sync_api import Browser

from agent.domain.question import Step
from tests.browser.chromium import PHONE, patient
from tests.browser.loading import Meter
from tests.browser.pages import every_page, kind_of
from tests.browser.phone import Phone
from tests.browser.shop import Shop
from tests.conftest import FIGURES, Tell

MOST_BYTES = 100_000


def test_every_page_is_there_with_its_first_hundred_thousand_bytes(
    phone: Phone, browser: Browser, shop: Shop, record_property: Tell
) -> None:
    """An order whose photos were handed in, and one that is under way, among them."""
    ended, order_id = shop.printed("hook.stl", "peg.stl")
    shop.lead_to_its_end(ended)
    shop.lead_to_its_end(order_id, until=Step.PHOTOS)
    paths = [*every_page(phone.page, shop.url), f"/orders/{ended}"]
    context = patient(browser.new_context(**PHONE, storage_state=phone.page.context.storage_state()))
    meter = Meter(context.new_page())
    largest, most = "", 0
    for path in paths:
        loaded = meter.load(shop.url + path)
        assert loaded.size <= MOST_BYTES, f"{path}: {loaded.told()}"
        if loaded.size > most:
            largest, most = kind_of(path), loaded.size
    context.close()
    record_property(FIGURES, f"first load: the largest page is {largest} with {most / 1000:.0f} kB, of {len(paths)} kinds")
    shop.lead_to_its_end(order_id)
