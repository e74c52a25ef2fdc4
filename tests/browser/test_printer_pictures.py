"""What a camera shows on the page of the printers: it comes by itself, does not flicker, and is told to be old where the camera is gone."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
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


class _Filmed:
    """A page with one printer and its camera, in a thread of its own: Playwright's calls block. Each picture is another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._down = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), name="filmed page")
        self._shots = 0
        self._camera: Stub | None = None
        self.url = self.code = ""

    def __enter__(self) -> "_Filmed":
        self._thread.start()
        assert self._up.wait(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(30)
        self._loop.close()

    async def _run(self) -> None:
        async with filmed(self._folder, self._shot) as (served, self._camera):
            self.url, self.code = served.url, served.code()
            self._up.set()
            await self._down.wait()

    async def _shot(self, _request: Received, writer: asyncio.StreamWriter) -> None:
        self._shots += 1
        writer.write(reply(200, photo_of_a_part(self._shots), Connection="close"))
        await writer.drain()

    def breaks(self) -> None:
        assert self._camera is not None
        self._camera.answer = reply(503)


@pytest.fixture
def page_with_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Filmed]:
    monkeypatch.setattr(pictures, "FRESH_S", 0.5)
    with _Filmed(tmp_path) as running:
        yield running


def test_what_a_camera_sees_comes_by_itself_and_does_not_flicker(browser: Browser, page_with_camera: _Filmed) -> None:
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
