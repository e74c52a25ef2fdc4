"""What a camera shows on the page of the printers: it comes by itself, does not flicker, and is told to be old where the camera is gone."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, expect

from agent.operator import pictures
from tests.browser.axe import violations
from tests.browser.chromium import PATIENCE_MS, PHONE, patient
from tests.browser.phone import Phone
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.test_pictures import filmed
from tests.rigs.http_stub import Received, Stub, reply

_WATCH = """() => {
  window.blank = 0;
  const look = () => {
    const image = document.querySelector("figure img");
    if (!image?.complete || !image.naturalWidth) window.blank += 1;
    requestAnimationFrame(look);
  };
  look();
}"""


@dataclass
class _Page:
    """A page with one printer and its camera, of which each picture is another."""

    url: str
    code: str
    camera: Stub

    def breaks(self) -> None:
        self.camera.answer = reply(503)


@asynccontextmanager
async def _filming(folder: Path) -> AsyncIterator[_Page]:
    shots = itertools.count(1)

    async def shot(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, photo_of_a_part(next(shots)), Connection="close"))
        await writer.drain()

    async with filmed(folder, shot) as (served, camera):
        yield _Page(served.url, served.code(), camera)


@pytest.fixture
def page_with_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Page]:
    """In a thread of its own: Playwright's calls block."""
    monkeypatch.setattr(pictures, "FRESH_S", 0.5)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_filming(tmp_path)) as page:
        yield page


def test_what_a_camera_sees_comes_by_itself_and_does_not_flicker(browser: Browser, page_with_camera: _Page) -> None:
    context = patient(browser.new_context(**PHONE))
    phone = Phone(context.new_page(), page_with_camera.url)
    phone.sign_in(page_with_camera.code, "Ada Example")
    phone.page.get_by_role("link", name="Printers").click()
    picture = phone.page.get_by_role("img", name="mk3s, as its camera sees it")
    expect(picture).to_be_visible(timeout=PATIENCE_MS)
    expect(picture).to_have_js_property("naturalWidth", 480)
    phone.page.evaluate(_WATCH)
    for _ in range(2):
        before = picture.get_attribute("src")
        expect(picture).not_to_have_attribute("src", before or "", timeout=PATIENCE_MS)
    assert phone.page.evaluate("window.blank") == 0, "a frame without a picture, between two of them"
    page_with_camera.breaks()
    expect(phone.page.get_by_text("The camera answers 503.")).to_be_visible(timeout=PATIENCE_MS)
    expect(phone.page.get_by_text("An old picture")).to_be_visible()
    expect(picture).to_be_visible()
    assert violations(phone.page) == []
    context.close()
