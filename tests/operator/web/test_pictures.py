"""The printers' pictures: real cameras over HTTP, of which some hang, send too much, or send none; a page that waits for no camera."""

import asyncio
import html
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from agent.domain.errors import NeedsOperator
from agent.domain.person import Scope
from agent.domain.printer import BedState
from agent.operator import pictures
from agent.ports.printer import NO_CAMERA
from agent.wire import jpeg
from agent.wire.jpeg import fetch_jpeg
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.served import Browser, Served, serving
from tests.rigs.http_stub import Handler, Stub, closing, hang, reply
from tests.workflow.workshop import FakePrinter, Fate, OutsidePrinter

_SMALL = re.compile(r'src="(/printers/mk3s/picture\?small=1&amp;at=[0-9.]+)"')


class Filmed(FakePrinter):
    """A printer whose camera is at that address."""

    def __init__(self, url: str) -> None:
        super().__init__(OutsidePrinter(), Fate())
        self._url = url

    async def snapshot(self) -> bytes:
        return await fetch_jpeg(self._url)


@asynccontextmanager
async def filmed(folder: Path, answer: bytes | Handler) -> AsyncIterator[tuple[Served, Stub]]:
    async with Stub(answer) as camera, serving(folder) as served:
        served.shop.shop.printers["mk3s"] = Filmed(f"{camera.url}/snapshot.jpg")  # type: ignore[index]
        yield served, camera


async def looked(browser: Browser, for_: str) -> str:
    """The page of the printers once that is on it: each look is a load, as a browser without JavaScript has it."""
    async with asyncio.timeout(30):
        while True:
            if for_ in (page := html.unescape(await browser.get("/printers"))):
                return page
            await asyncio.sleep(0.05)


async def test_the_page_shows_a_small_picture_made_anew_and_links_to_a_larger_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera that tells its name"
    large = io.BytesIO()
    Image.open(io.BytesIO(photo_of_a_part())).resize((2400, 1800)).save(large, "JPEG", quality=95, exif=exif)
    async with filmed(tmp_path, reply(200, large.getvalue())) as (served, _):
        ada = await served.person()
        await looked(ada, "as its camera sees it")
        found = _SMALL.search(await ada.get("/printers"))
        assert found is not None
        small = await ada.client.get(html.unescape(found[1]))
        assert (small.headers["content-type"], len(small.content) <= 16_000) == ("image/jpeg", True)
        assert Image.open(io.BytesIO(small.content)).size == (480, 360)
        whole = await ada.client.get("/printers/mk3s/picture")
        assert Image.open(io.BytesIO(whole.content)).size == (1280, 960)
        for shown in (small, whole):
            assert b"tells its name" not in shown.content
            assert "sandbox" in shown.headers["content-security-policy"] and shown.headers["x-content-type-options"] == "nosniff"


async def test_only_who_is_signed_in_sees_it_and_scripts_need_a_token(tmp_path: Path) -> None:
    async with filmed(tmp_path, reply(200, photo_of_a_part())) as (served, camera):
        stranger = await served.browser()
        assert (await stranger.client.get("/printers/mk3s/picture")).status_code == 303
        assert (await stranger.client.get("/printers/mk3s/picture?small=1", headers={"accept": "image/*"})).status_code == 401
        assert (await stranger.client.get("/api/v1/printers/mk3s/picture")).status_code == 401
        assert camera.received == [], "nobody who may see it has looked"
        script = await served.api(Scope.READ)
        answer = await script.get("/printers/mk3s/picture")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(answer.content)).size == (800, 640)
        assert "last-modified" in answer.headers
        (printer,) = (await script.get("/printers")).json()["printers"]
        assert printer["looks"]["camera"] is True and printer["looks"]["picture_at"]
        unknown = await script.get("/printers/nobody/picture")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_printer")


async def test_many_who_look_are_one_to_the_camera_and_nobody_who_does_not_look_is_any(tmp_path: Path) -> None:
    async with filmed(tmp_path, reply(200, photo_of_a_part())) as (served, camera):
        people = [await served.person(name) for name in ("Ada Example", "Bob Example", "Eve Example")]
        script = await served.api(Scope.READ)
        await asyncio.gather(*(person.get("/") for person in people), script.get("/printers"))
        assert camera.received == []
        await asyncio.gather(*(person.get("/printers") for person in people), *(script.get("/printers/mk3s/picture") for _ in range(3)))
        for person in people:
            await looked(person, "as its camera sees it")
        assert len(camera.received) == 1


async def test_where_there_is_no_camera_the_page_says_so_and_shows_what_is_printed(served: Served) -> None:
    served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    ada, script = await served.person(), await served.api(Scope.READ)
    assert "It has no camera." in html.unescape(await ada.get("/printers"))
    order_id = served.offer()
    await served.shop.settle()
    page = await looked(ada, "this is hook.stl, which it prints")
    (drawing,) = re.findall(rf'src="(/orders/{order_id}/files/[0-9a-f]{{64}})" alt="Drawing of hook.stl, which is printed"', page)
    assert (await ada.client.get(drawing)).status_code == 200
    answer = await script.get("/printers/mk3s/picture")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_camera")


async def test_a_printer_without_a_webcam_has_no_camera(served: Served) -> None:
    """OctoPrint and Moonraker say so only when they are asked."""

    async def none() -> bytes:
        raise NeedsOperator("mk3s has no webcam in Moonraker.", code=NO_CAMERA)

    served.shop.printer.snapshot = none  # type: ignore[attr-defined]
    ada = await served.person()
    assert "No picture now" not in await looked(ada, "It has no camera.")
    answer = await (await served.api(Scope.READ)).get("/printers/mk3s/picture")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_camera")


HALF = photo_of_a_part()[:5000]
BROKEN: dict[str, tuple[bytes | Handler, str]] = {
    "hangs": (hang, "The camera did not answer in time."),
    "sends 50 MB": (reply(200, b"\xff\xd8\xff" + bytes(50_000_000)), "What the camera sends does not end."),
    "sends 8 MB": (reply(200, b"\xff\xd8\xff" + bytes(8_000_000)), "its picture has 8 MB, and at most 5 are read"),
    "sends text": (reply(200, b"<html>Sign in to your camera"), "What the camera sends is no JPEG."),
    "sends half of one": (reply(200, HALF), "it is damaged, or not complete"),
    "is gone": (closing(b""), "The camera cannot be reached"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_camera_that_does_not_work_is_told_in_words_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    answer, told = BROKEN[how]
    if how == "hangs":
        monkeypatch.setattr(jpeg, "LIMIT_S", 1.0)
    async with filmed(tmp_path, answer) as (served, _):
        ada, script = await served.person(), await served.api(Scope.READ)
        async with asyncio.timeout(3):
            page = await ada.get("/printers")
        assert "Its camera is being asked for a picture." in page and "mk3s" in page and "The bed of mk3s is clear" in page
        page = await looked(ada, "No picture now.")
        assert told in page and "<img" not in page and "The bed of mk3s is clear" in page
        refused = await script.get("/printers/mk3s/picture")
        assert (refused.status_code, refused.json()["code"]) == (503, "camera_away") and told in refused.json()["detail"]
        assert list((tmp_path / "files" / "incoming").glob("*")) == []


async def test_an_old_picture_is_said_to_be_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FRESH_S", 0.0)
    async with filmed(tmp_path, reply(200, photo_of_a_part())) as (served, camera):
        ada = await served.person()
        assert "An old picture" not in await looked(ada, "as its camera sees it")
        camera.answer = reply(503)
        page = await looked(ada, "The camera answers 503.")
        assert "An old picture" in page and _SMALL.search(page.replace("&", "&amp;"))


@pytest.mark.slow
async def test_who_sees_pictures_hears_of_new_ones_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FRESH_S", 0.5)
    async with filmed(tmp_path, reply(200, photo_of_a_part())) as (served, camera):
        ada = await served.person()
        mark = re.search(r'data-mark="([^"]*)"', await ada.get("/"))
        assert mark is not None
        asks = {"mark": html.unescape(mark[1])}
        async with ada.client.stream("GET", "/live", params=asks) as plain:
            heard = plain.aiter_text()
            assert "retry" in await anext(heard)
            async with asyncio.timeout(30), ada.client.stream("GET", "/live", params={**asks, "pictures": "none yet"}) as live:
                events = live.aiter_text()
                for _ in range(3):
                    while "event: pictures" not in await anext(events):
                        pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    while "event" not in await anext(heard):
                        pass
        asked = len(camera.received)
        assert asked >= 2
        await asyncio.sleep(1.5)
        assert len(camera.received) == asked, "nobody looks any more"
