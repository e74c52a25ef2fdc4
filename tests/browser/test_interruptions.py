"""Three orders at once, and at every step of each something goes wrong: nothing is done twice, nothing that was confirmed is lost."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Locator, expect

from agent.domain.question import Step
from tests.browser.chromium import PATIENCE_MS
from tests.browser.phone import AFTER_PRINTING, Phone, photos, title_of
from tests.browser.radio import Radio
from tests.browser.shop import Shop

PARTS = ("jar.stl", "lid.stl", "tray.stl")
TOO_LATE = "Somebody was faster"


@dataclass
class Hand:
    """One thing to do, of one order."""

    phone: Phone
    shop: Shop
    radio: Radio
    title: str
    seed: int

    def ready(self, phone: Phone | None = None) -> Locator:
        """All is filled in; the button that only has to be pressed."""
        phone = phone or self.phone
        phone.open()
        phone.waits_for(self.title)
        if self.title.startswith("Photograph"):
            return phone.fill_in_photos(self.title, photos(self.seed))
        return phone.button(self.title)

    def press(self, button: Locator) -> None:
        """And see what comes of it."""
        with self.phone.page.expect_navigation(wait_until="domcontentloaded"):
            button.click()

    def done(self) -> None:
        self.phone.open()
        self.phone.is_done(self.title)

    def second_tab(self) -> Phone:
        """In which time stands still: it hears of nothing."""
        page = self.phone.page.context.new_page()
        page.route("**/live?*", lambda route: route.abort())
        return Phone(page, self.phone.url)

    def no_answer(self) -> None:
        """The browser says that nobody is there, in its own words."""
        expect(self.phone.page.locator("body:not(:has(#main))")).to_be_visible(timeout=PATIENCE_MS)


def out_of_reach(hand: Hand) -> None:
    button = hand.ready()
    hand.radio.out_of_reach()
    button.click()
    hand.no_answer()
    hand.radio.back_in_reach()
    hand.press(hand.ready())


def answer_is_lost(hand: Hand) -> None:
    """The browser says so; or it asks once more by itself, as Chromium does on a connection that served before, and hears who was first."""
    page, button = hand.phone.page, hand.ready()
    hand.radio.lose_next_answer()
    button.click()
    assert hand.radio.lost.wait(20)
    no_answer = page.locator("body:not(:has(#main))")
    expect(no_answer.or_(page.get_by_role("heading", name=TOO_LATE))).to_be_visible(timeout=PATIENCE_MS)


def killed_before(hand: Hand) -> None:
    button = hand.ready()
    hand.shop.kill()
    button.click()
    hand.no_answer()
    hand.shop.restart()
    hand.press(hand.ready())


def killed_after(hand: Hand) -> None:
    button = hand.ready()
    with hand.phone.page.expect_response(lambda response: response.request.method == "POST") as said:
        button.click()
    assert said.value.status == 303
    hand.shop.kill()
    hand.shop.restart()


def reloaded(hand: Hand) -> None:
    hand.ready()
    hand.phone.page.reload()
    hand.press(hand.ready())
    hand.phone.page.reload()


def two_tabs(hand: Hand) -> None:
    other = hand.second_tab()
    late = hand.ready(other)
    hand.press(hand.ready())
    hand.done()
    late.click()
    expect(other.page.get_by_role("heading", name=TOO_LATE)).to_be_visible()
    other.page.close()


def tapped_twice(hand: Hand) -> None:
    button = hand.ready()
    with hand.phone.page.expect_navigation(wait_until="domcontentloaded"):
        button.dblclick()


def back_button(hand: Hand) -> None:
    """What the old page still offers is pressed again."""
    hand.press(hand.ready())
    hand.phone.page.go_back()
    again = hand.phone.button(hand.title)
    if again.count():
        again.click()
        expect(hand.phone.page.get_by_role("heading", name=TOO_LATE)).to_be_visible()


def signed_out(hand: Hand) -> None:
    """On another tab; this one has not heard of it."""
    other = hand.second_tab()
    late = hand.ready(other)
    hand.phone.open()
    hand.press(hand.phone.page.get_by_role("button", name="Sign out"))
    late.click()
    expect(other.page.get_by_text("You are not signed in.")).to_be_visible()
    other.page.get_by_role("link", name="Sign in").click()
    expect(other.page.get_by_label("Pairing code")).to_be_visible()
    other.page.close()
    hand.phone.sign_in(hand.shop.code())
    hand.press(hand.ready())


INTERRUPTIONS: tuple[Callable[[Hand], None], ...] = (
    two_tabs,
    reloaded,
    tapped_twice,
    signed_out,
    back_button,
    killed_after,
    killed_before,
    answer_is_lost,
    out_of_reach,
)
"""In turn over orders and steps: the last three meet the photos, and the parcels on their way."""


def test_three_orders_at_once_with_an_interruption_at_every_step(far_phone: Phone, shop: Shop, radio: Radio) -> None:
    orders = shop.printed(*PARTS, add_ons=[{"code": "sand", "title": "Sand the edges"}])
    beds = [shop.asked(order_id, Step.BED) for order_id in orders]
    titles = [[f"Clear the bed of {bed.printer}" for bed in beds if bed is not None]]
    titles += [[title_of(step, part) for part in PARTS] for step in AFTER_PRINTING]
    happened: set[str] = set()
    for number, title in enumerate(title for step in titles for title in step):
        interrupted = INTERRUPTIONS[number % len(INTERRUPTIONS)]
        hand = Hand(far_phone, shop, radio, title, seed=100 + number)
        interrupted(hand)
        hand.done()
        happened.add(interrupted.__name__)
    assert len(happened) == len(INTERRUPTIONS)
    for order_id in orders:
        shop.closed(order_id)
