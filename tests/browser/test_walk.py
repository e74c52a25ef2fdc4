"""One order from *printed* to *closed* with nothing but the page."""

from playwright.sync_api import expect

from agent.domain.question import Step
from tests.browser.phone import AFTER_PRINTING, Phone, photos, title_of
from tests.browser.shop import PERSON, Shop
from tests.conftest import FIGURES, Tell
from tests.rigs.agent_process import wait_until

MOST_RSS_MIB = 110


def test_from_printed_to_closed_on_a_phone(phone: Phone, shop: Shop, record_property: Tell) -> None:
    (order_id,) = shop.printed("cup.stl")
    bed = shop.asked(order_id, Step.BED)
    assert bed is not None
    phone.open()
    for title in [f"Clear the bed of {bed.printer}", *(title_of(step, "cup.stl") for step in AFTER_PRINTING[1:])]:
        phone.waits_for(title)
        if title.startswith("Photograph"):
            phone.fill_in_photos(title, [*photos(1), phone.camera_frame()]).click()
            expect(phone.page.get_by_role("heading", name=f"Order {order_id}")).to_be_visible()
            phone.open()
        else:
            phone.button(title).click()
        phone.is_done(title)
    shop.closed(order_id)
    order = shop.desk.ledger.order(order_id)
    assert len(order.dossier.photos) == 3
    assert {agreement["agreed_by"] for agreement in order.dossier.said["agreements"]} == {PERSON}
    phone.page.get_by_role("link", name="Orders", exact=True).click()
    phone.page.get_by_role("link", name=order_id).click()
    expect(phone.page.get_by_text(f"{PERSON} agreed to").first).to_be_visible()
    peak = shop.peak_rss_mib()
    record_property(FIGURES, f"daemon: {peak:.0f} MiB at its peak while an order was printed and led to its end on the page")
    assert peak <= MOST_RSS_MIB


def test_from_printed_to_closed_without_javascript(bare_phone: Phone, shop: Shop) -> None:
    (order_id,) = shop.printed("bowl.stl")
    bed = shop.asked(order_id, Step.BED)
    assert bed is not None
    for title in [f"Clear the bed of {bed.printer}", *(title_of(step, "bowl.stl") for step in AFTER_PRINTING[1:])]:
        _look_until_it_is_there(bare_phone, title)
        if title.startswith("Photograph"):
            bare_phone.fill_in_photos(title, photos(2), live=False).click()
            bare_phone.open()
        else:
            bare_phone.button(title).click()
        bare_phone.is_done(title)
    shop.closed(order_id)


def _look_until_it_is_there(phone: Phone, title: str) -> None:
    """As a person does whose page does not stay true by itself."""
    wait_until(lambda: (phone.open(), phone.card(title).count())[1], title)
