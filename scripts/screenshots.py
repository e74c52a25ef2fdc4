"""Takes the pictures of the page in docs/pictures: `make screenshots`. A real daemon, a sandbox marketplace, Chromium as a phone."""

import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from agent.domain.question import Step
from agent.sandbox.models import demo_part, rippled_sphere, t_shape, write_binary_stl
from tests.browser.chromium import PHONE, chromium, patient
from tests.browser.phone import Phone
from tests.browser.shop import PERSON, SLOW, Shop, open_shop
from tests.rigs.agent_process import wait_until

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_COLORS = 48
_WHITE = {"name": "white", "hex": "#ffffff"}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser, open_shop(Path(temporary), fresh=True) as shop:
        phone = Phone(patient(browser.new_context(**PHONE)).new_page(), shop.url)
        phone.open("/sign-in")
        _take(phone.page, "sign-in")
        phone.sign_in(shop.first_code, PERSON)
        waits = _a_day_at_work(shop, Path(temporary))
        _look_around(phone, waits)


def _a_day_at_work(shop: Shop, folder: Path) -> str:
    """Orders at several steps, an offer, a print that goes on; the order whose photos are to be taken."""
    hook = write_binary_stl(folder / "hook.stl", demo_part())
    shop.models = {name: hook for name in ("wall-hook.stl", "coat-hook.stl")}
    shop.models["lamp.stl"] = write_binary_stl(folder / "lamp.stl", rippled_sphere(20_000, 22))
    shop.models["stand.stl"] = write_binary_stl(folder / "stand.stl", t_shape())
    ended, waits, _ = shop.printed("stand.stl", "wall-hook.stl", "lamp.stl", ship_by=(datetime.now(UTC) + timedelta(hours=9)).isoformat())
    shop.lead_to_its_end(ended)
    shop.lead_to_its_end(waits, until=Step.PHOTOS)
    (parcel,) = shop.printed("stand.stl")
    shop.lead_to_its_end(parcel, until=Step.DROPPED_OFF)
    asked_about = shop.offer("wall-hook.stl", special_instructions="A gift: please wrap it.")
    shop.answers.bed_is_clear(SLOW)
    printing = shop.offer("coat-hook.stl", items=[{"color": _WHITE, "quantity": 2}])
    wait_until(lambda: shop.asked(shop.order_of(asked_about), Step.OFFER), "an offer is asked about")
    wait_until(lambda: "printing" in shop.desk.kinds(shop.order_of(printing)), "a print goes on")
    return waits


def _look_around(phone: Phone, waits: str) -> None:
    phone.open()
    expect(phone.page.get_by_role("article").first).to_be_visible()
    _take(phone.page, "now")
    phone.page.emulate_media(color_scheme="dark")
    _take(phone.page, "now-dark")
    phone.page.emulate_media(color_scheme="light")
    pages = [link.get_attribute("href") or "/" for link in phone.page.get_by_role("navigation").get_by_role("link").all()]
    order = f"/orders/{waits}"
    for path in [*pages[1:], "/drop-off", order, f"{order}/photos", f"{order}/reject?pieces-1=1"]:
        phone.open(path)
        _take(phone.page, "order" if path == order else path.rpartition("/")[2].partition("?")[0])


def _take(page: Page, name: str) -> None:
    """What is seen without scrolling, in few colours: these files are committed."""
    page.wait_for_load_state("load")
    taken = Image.open(io.BytesIO(page.screenshot()))
    few = taken.convert("RGB").quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
