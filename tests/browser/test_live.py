"""Pages that stay true while they are looked at, and that serve when nothing comes by itself."""

from playwright.sync_api import Browser, Page, expect

from agent.domain.question import Step
from tests.browser.chromium import PATIENCE_MS, PHONE, patient
from tests.browser.phone import Phone, title_of
from tests.browser.shop import Shop

_LOST = "The agent cannot be reached"


def _marked(page: Page) -> None:
    """A page that is loaded anew forgets this."""
    page.evaluate("window.thisVeryPage = true")


def _is_the_same(page: Page) -> bool:
    return bool(page.evaluate("window.thisVeryPage === true"))


def test_what_one_phone_answers_the_other_shows_by_itself(phone: Phone, browser: Browser, shop: Shop) -> None:
    bob = patient(browser.new_context(**PHONE))
    other = Phone(bob.new_page(), shop.url)
    other.sign_in(shop.code("Bob Example"))
    _marked(other.page)
    (order_id,) = shop.printed("vase.stl")
    bed = shop.asked(order_id, Step.BED)
    assert bed is not None
    title = f"Clear the bed of {bed.printer}"
    other.waits_for(title)
    phone.open()
    phone.button(title).click()
    photographed = title_of(Step.PHOTOS, "vase.stl")
    other.waits_for(photographed)
    other.is_done(title)
    assert _is_the_same(other.page)

    # A daemon that is gone is told, and one that is back is believed again.
    shop.kill()
    expect(other.page.get_by_text(_LOST)).to_be_visible(timeout=PATIENCE_MS)
    shop.restart()
    expect(other.page.get_by_text(_LOST)).to_be_hidden(timeout=PATIENCE_MS)
    assert _is_the_same(other.page)

    # What a person has begun stays under their fingers.
    other.card(photographed).get_by_role("link", name="Photos and agreement").click()
    box = other.page.locator("fieldset").get_by_role("checkbox").first
    box.check()
    shop.lead_to_its_end(order_id, until=Step.LABEL)
    expect(box).to_be_checked()
    bob.close()
    shop.lead_to_its_end(order_id)


def test_the_page_serves_where_nothing_comes_by_itself(phone: Phone, shop: Shop) -> None:
    """A proxy that swallows the stream of news."""
    phone.page.route("**/live?*", lambda route: route.abort())
    (order_id,) = shop.printed("fan.stl")
    bed = shop.asked(order_id, Step.BED)
    assert bed is not None
    title = f"Clear the bed of {bed.printer}"
    phone.open()
    expect(phone.page.get_by_text(_LOST)).to_be_visible(timeout=PATIENCE_MS)
    phone.button(title).click()
    phone.is_done(title)
    shop.lead_to_its_end(order_id)
