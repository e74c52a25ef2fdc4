"""Every page for every person: axe finds nothing, light and dark, on a phone and on a desk; a thumb hits, and a keyboard reaches all."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from agent.domain.question import Step
from tests.browser.axe import violations
from tests.browser.chromium import PATIENCE_MS, PHONE, SMALL_PHONE_PX
from tests.browser.pages import every_page
from tests.browser.phone import Phone, title_of
from tests.browser.shop import SLOW, Shop
from tests.rigs.agent_process import wait_until

pytestmark = pytest.mark.usefixtures("busy_shop")
_CONTRAST = ["color-contrast"]
_THUMB_PX = 44
_WHITE = {"color": {"name": "white", "hex": "#ffffff"}}
_OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
_TOO_SMALL = """(least) => [...document.querySelectorAll('button, .button, summary, nav a, input[type=checkbox], select, input[type=file]')]
  .map((element) => [element, (element.labels?.[0] ?? element).getBoundingClientRect(), element.getBoundingClientRect()])
  .filter(([, box, own]) => own.width && Math.max(box.height, own.height) < least)
  .map(([element, box]) => `${element.outerHTML.slice(0, 120)}: ${Math.round(box.height)} px high`)"""
_TOO_WIDE = """(width) => [...document.querySelectorAll('body *')]
  .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > width + 1 && !element.closest('.wide'))
  .map((element) => element.outerHTML.slice(0, 120))"""
_TO_BE_REACHED = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
  .filter((element) => element.checkVisibility() && !element.disabled)
  .map((element, n) => { element.dataset.reached = 'no'; return element; }).length"""
_HERE = """() => { const at = document.activeElement; const style = getComputedStyle(at); at.dataset.reached = 'yes';
  return at === document.body || (at.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)
    ? '' : at.outerHTML.slice(0, 120); }"""
_BUTTON_OF = (
    """() => document.activeElement.matches('button') && document.activeElement.closest('article')?.querySelector('h2')?.innerText"""
)
_NOT_REACHED = "() => [...document.querySelectorAll('[data-reached=no]')].map((element) => element.outerHTML.slice(0, 120))"


@pytest.fixture(scope="module")
def busy_shop(shop: Shop) -> Iterator[Shop]:
    """Something to see on every page: a bed to clear, photos to take, an offer to answer, a print that goes on, a parcel, an order that
    ended."""
    (parcel,) = shop.printed("vase.stl")
    shop.lead_to_its_end(parcel, until=Step.DROPPED_OFF)
    waits, bed, ended = shop.printed("mug.stl", "plate.stl", "spoon.stl")
    shop.lead_to_its_end(ended)
    shop.lead_to_its_end(waits, until=Step.PHOTOS)
    asked_about = shop.offer("knob.stl", special_instructions="Please wrap it as a gift.")
    shop.answers.bed_is_clear(SLOW)
    printing = shop.offer("tower.stl", items=[_WHITE])
    wait_until(lambda: shop.asked(shop.order_of(asked_about), Step.OFFER), "an offer is asked about")
    wait_until(lambda: "printing" in shop.desk.kinds(shop.order_of(printing)), "a print goes on")
    yield shop
    shop.market.withdraw_offer(asked_about)
    for order_id in (waits, bed, parcel):
        shop.lead_to_its_end(order_id)


def _opened(page: Page) -> None:
    """All there is to see; what is hidden once photos are sent as they are taken, is hidden."""
    page.evaluate(_OPEN_ALL)
    expect(page.get_by_role("button", name="Send the chosen photos")).to_be_hidden()


def _shown(phone: Phone) -> Iterator[str]:
    """Every page, and those that no link leads to."""
    photos = ""
    for path in every_page(phone.page, phone.url):
        _opened(phone.page)
        photos = path if path.endswith("/photos") else photos
        yield path
    for path in ("/drop-off", f"{photos.removesuffix('/photos')}/reject?pieces-1=1", "/orders/o-0"):
        phone.open(path)
        yield path
    phone.open("/people")
    phone.page.get_by_role("button", name="Make a code").click()
    expect(phone.page.get_by_role("img", name="QR code")).to_be_visible()
    yield "/people/pair"


def test_axe_finds_nothing(phone: Phone, desk_screen: Phone) -> None:
    found: list[str] = []
    seen = []
    for path in _shown(phone):
        seen.append(path)
        found += violations(phone.page)
        phone.page.emulate_media(color_scheme="dark")
        found += violations(phone.page, _CONTRAST)
        phone.page.emulate_media(color_scheme="light")
    desk_screen.page.emulate_media(color_scheme="dark")
    for _ in _shown(desk_screen):
        found += violations(desk_screen.page)
        desk_screen.page.emulate_media(color_scheme="light")
        found += violations(desk_screen.page, _CONTRAST)
        desk_screen.page.emulate_media(color_scheme="dark")
    phone.page.context.clear_cookies()
    phone.open("/sign-in")
    found += violations(phone.page)
    assert found == []
    assert {"/", "/orders", "/offers", "/printers", "/people"} <= set(seen), seen
    assert any(path.endswith("/photos") for path in seen) and any("/reject?" in path for path in seen), seen


def test_a_thumb_hits_everything_and_nothing_runs_off_the_side(phone: Phone) -> None:
    found: list[str] = []
    for path in _shown(phone):
        for width in (PHONE["viewport"]["width"], SMALL_PHONE_PX):
            phone.page.set_viewport_size({"width": width, "height": 780})
            found += [f"{path} at {width} px: {each}" for each in phone.page.evaluate(_TOO_WIDE, width)]
        found += [f"{path}: {each}" for each in phone.page.evaluate(_TOO_SMALL, _THUMB_PX)]
    assert found == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(desk_screen: Phone) -> None:
    found: list[str] = []
    page = desk_screen.page
    for path in _shown(desk_screen):
        page.evaluate("document.activeElement?.blur()")
        for _ in range(page.evaluate(_TO_BE_REACHED) + 5):
            page.keyboard.press("Tab")
            if unseen := page.evaluate(_HERE):
                found.append(f"{path}: the focus cannot be seen on {unseen}")
        found += [f"{path}: not reached: {each}" for each in page.evaluate(_NOT_REACHED)]
    assert found == []


def test_a_bed_is_cleared_by_keyboard_alone(desk_screen: Phone) -> None:
    page = desk_screen.page
    desk_screen.open()
    title = page.get_by_role("heading", name="Clear the bed of").first.inner_text()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(_BUTTON_OF) == title:
            break
    page.keyboard.press("Enter")
    desk_screen.is_done(title)
    expect(desk_screen.card(title_of(Step.PHOTOS, "plate.stl"))).to_be_visible(timeout=PATIENCE_MS)
