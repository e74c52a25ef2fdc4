"""One order from *printed* to *closed* with nothing but the page."""

from playwright.sync_api import expect

from agent.domain.question import Step
from tests.browser.phone import AFTER_PRINTING, Phone, photos, title_of
from tests.browser.shop import PERSON, Shop
from tests.conftest import FIGURES, Tell
from tests.rigs.agent_process import wait_until

MOST_RSS_MIB = 110


def test_from_printed_to_closed_on_a_phone(phone: Phone, shop: Shop, record_property: Tell) -> None:
    """With a part that is not good enough the first time, and another parcel that goes the same way."""
    order_id, other = shop.printed("cup.stl", "lid.stl")
    shop.lead_to_its_end(other, until=Step.DROPPED_OFF)
    phone.open()
    _clear_its_bed(phone, shop, order_id)
    _print_it_again(phone, order_id, title_of(Step.PHOTOS, "cup.stl"))
    _clear_its_bed(phone, shop, order_id)
    for title in [title_of(step, "cup.stl") for step in (Step.PHOTOS, Step.LABEL, Step.PACKED)]:
        phone.waits_for(title)
        if title.startswith("Photograph"):
            phone.fill_in_photos(title, [*photos(1), phone.camera_frame()]).click()
            expect(phone.page.get_by_role("heading", name=f"Order {order_id}")).to_be_visible()
            phone.open()
        else:
            phone.button(title).click()
        phone.is_done(title)
    _drop_off_together(phone, "cup.stl", "lid.stl")
    for each in (order_id, other):
        shop.closed(each)
    order = shop.desk.ledger.order(order_id)
    assert len(order.dossier.photos) == 3
    assert len(shop.desk.ledger.jobs(order_id)) == 2, "once, and once more"
    assert {agreement["agreed_by"] for agreement in order.dossier.said["agreements"]} == {PERSON}
    phone.page.get_by_role("link", name="Orders", exact=True).click()
    phone.page.get_by_role("link", name=order_id).click()
    expect(phone.page.get_by_text(f"{PERSON} agreed to").first).to_be_visible()
    peak = shop.peak_rss_mib()
    record_property(FIGURES, f"daemon: {peak:.0f} MiB at its peak while an order was printed and led to its end on the page")
    assert peak <= MOST_RSS_MIB


def _clear_its_bed(phone: Phone, shop: Shop, order_id: str) -> None:
    bed = wait_until(lambda: shop.asked(order_id, Step.BED), f"{order_id} lies on a bed", 120)
    title = f"Clear the bed of {bed.printer}"
    phone.waits_for(title)
    phone.button(title).click()
    phone.is_done(title)


def _print_it_again(phone: Phone, order_id: str, title: str) -> None:
    """From the card that asks for photos; what it takes is told before it is said."""
    phone.waits_for(title)
    phone.card(title).get_by_role("link", name="Photos and agreement").click()
    phone.page.get_by_text("Something is not good").click()
    phone.page.get_by_label("How many of 1 × cup.stl are not good").fill("1")
    phone.page.get_by_role("button", name="Look what printing again takes").click()
    expect(phone.page.get_by_text("of filament once more")).to_be_visible()
    phone.page.get_by_label("What is wrong").select_option("warped")
    phone.page.get_by_role("button", name="Print 1 × cup.stl again").click()
    expect(phone.page.get_by_role("heading", name=f"Order {order_id}")).to_be_visible()
    phone.open()
    phone.is_done(title)


def _drop_off_together(phone: Phone, *parts: str) -> None:
    titles = [title_of(Step.DROPPED_OFF, part) for part in parts]
    for title in titles:
        phone.waits_for(title)
    phone.page.get_by_role("link", name=f"{len(parts)} parcels to drop off").click()
    ticked = phone.page.get_by_role("checkbox", checked=True)
    expect(ticked).to_have_count(len(parts))
    phone.page.get_by_role("button", name="The carrier has those that are ticked").click()
    for title in titles:
        phone.is_done(title)


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
