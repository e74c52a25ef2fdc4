"""Resumable uploads over HTTP, as a phone sends them and as somebody hostile does."""

import base64
import contextlib
import itertools
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent.domain.person import Role, Scope
from agent.domain.question import NewQuestion, Question, Step
from agent.operator.web.guard import LARGEST_CHUNK
from tests.operator.web.pictures import photo_of_a_part
from tests.operator.web.served import Browser, Served, button_on

JPEG = photo_of_a_part()
CHUNK = {"content-type": "application/offset+octet-stream"}
KEYS = itertools.count(1)


def asked(served: Served, offer_id: str = "f1") -> Question:
    order = served.ledger.order(served.offer(offer_id=offer_id))
    return served.ledger.ask(order, NewQuestion(step=Step.PHOTOS, text="Photos, please.", data={"attestations": []}))


class Phone:
    """The page's script, as far as the agent can tell."""

    def __init__(self, browser: Browser, headers: dict[str, str]) -> None:
        self.client, self.headers = browser.client, headers

    async def call(self, method: str, path: str, content: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, headers={**self.headers, **named}, content=content)

    async def begin(self, order_id: str, length: int | str = len(JPEG), **about: str) -> httpx.Response:
        told = {"order": order_id, "item": "i1", "key": f"k{next(KEYS)}"} | about
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in told.items())
        return await self.call("POST", "/uploads", upload_length=str(length), upload_metadata=metadata)

    async def begun(self, order_id: str, length: int = len(JPEG), **about: str) -> str:
        answer = await self.begin(order_id, length, **about)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    async def append(self, path: str, offset: int | str, content: Any, **headers: str) -> httpx.Response:
        return await self.call("PATCH", path, content, upload_offset=str(offset), **{"content_type": CHUNK["content-type"], **headers})

    async def here(self, path: str) -> int:
        answer = await self.call("HEAD", path)
        assert answer.status_code == 200
        return int(answer.headers["upload-offset"])


async def phone(served: Served, question: Question, name: str = "Ada Example") -> Phone:
    browser = await served.person(name)
    _, fields = button_on(await browser.get(f"/orders/{question.order_id}/photos"), "Hand in")
    return Phone(browser, {"x-form": fields["form"], "tus-resumable": "1.0.0"})


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert (answer.json()["code"], bool(answer.json()["hint"])) == (code, True)


async def test_a_photo_comes_in_pieces_and_is_handed_in(served: Served) -> None:
    question = asked(served)
    ada = await phone(served, question)
    path = await ada.begun(question.order_id)
    for offset in range(0, len(JPEG), 10_000):
        answer = await ada.append(path, offset, JPEG[offset : offset + 10_000])
        assert answer.status_code == 204
        assert int(answer.headers["upload-offset"]) == min(offset + 10_000, len(JPEG))
    browser = Browser(ada.client)
    page = await browser.get(f"/orders/{question.order_id}/photos")
    assert "Photo 1</b>: good" in page
    at = f"/orders/{question.order_id}/photos/{path.rpartition('/')[2]}"
    assert f'<a href="{at}"><img src="{at}?small=1"' in page
    picture, small = await ada.client.get(at), await ada.client.get(f"{at}?small=1")
    assert picture.headers["content-type"] == small.headers["content-type"] == "image/jpeg"
    assert picture.content != JPEG, "what was made of it, without place and time"
    assert len(small.content) < len(picture.content)
    await browser.photograph(question.order_id, [], [])
    found = served.ledger.question_by_id(question.id)
    assert found is not None
    assert list(found.answer["photos"]) == ["photo-1"]
    assert found.answer["shows"] == {"photo-1": "i1"}
    problem(await ada.append(path, len(JPEG), b""), 404, "no_such_upload")


async def test_it_goes_on_where_the_network_was_lost_and_after_a_restart(served: Served) -> None:
    question = asked(served)
    ada = await phone(served, question)
    path = await ada.begun(question.order_id, key="one")

    async def lost() -> AsyncIterator[bytes]:
        yield JPEG[:3000]
        raise ConnectionError("no network")

    with pytest.raises(ConnectionError):
        await ada.append(path, 0, lost())
    while (answer := await ada.append(path, here := await ada.here(path), b"")).status_code == 409:
        pass  # what was cut off is still being taken in: a phone asks once more
    assert answer.status_code == 204
    assert 0 <= here <= 3000
    assert await ada.begun(question.order_id, key="one") == path, "begun again by a page that was opened again"
    assert (await ada.append(path, here, JPEG[here:5000])).status_code == 204
    assert await ada.here(path) == 5000
    assert (await ada.append(path, 5000, JPEG[5000:])).headers["upload-offset"] == str(len(JPEG))


async def test_what_does_not_fit_is_refused_and_leaves_what_was_there(served: Served) -> None:
    question = asked(served)
    ada = await phone(served, question)
    path = await ada.begun(question.order_id)
    await ada.append(path, 0, JPEG[:100])
    for offset in (0, 99, 101, len(JPEG)):
        problem(await ada.append(path, offset, b"x" if offset < len(JPEG) else b""), 409, "wrong_offset")
    problem(await ada.append(path, 100, JPEG), 413, "more_than_announced")

    async def more() -> AsyncIterator[bytes]:
        yield JPEG[100:]
        yield b"more"

    problem(await ada.append(path, 100, more()), 413, "more_than_announced")
    for offset in ("-1", "1e3", "", "٣", "9" * 30):
        answer = await ada.client.patch(path, content=b"x", headers={**ada.headers, **CHUNK, "upload-offset": offset.encode()})
        problem(answer, 400, "bad_header")
    problem(await ada.append(path, 100, b"x", content_type="text/plain"), 415, "wrong_type")
    problem(await ada.append(path, 100, b"x", tus_resumable="0.2.2"), 412, "wrong_tus_version")
    with contextlib.suppress(httpx.NetworkError):  # refused by its length alone: the connection is ended while it still sends
        assert (await ada.append(path, 100, bytes(LARGEST_CHUNK + 1))).status_code == 413
    assert await ada.here(path) == 100
    assert (await ada.call("DELETE", path)).status_code == 204
    problem(await ada.append(path, 100, b"x"), 404, "no_such_upload")


async def test_what_is_announced_has_to_be_a_photo_of_this_order(served: Served) -> None:
    question = asked(served)
    other = served.offer(offer_id="f2")
    ada = await phone(served, question)
    problem(await ada.begin(other), 409, "not_asked")
    problem(await ada.begin("o9"), 409, "not_asked")
    problem(await ada.begin(question.order_id, item="i9"), 422, "no_such_item")
    problem(await ada.begin(question.order_id, 31_000_000), 413, "too_large")
    for length in ("-5", "many"):
        problem(await ada.begin(question.order_id, length), 400, "bad_header")
    for metadata in ("order ***", "order", "x" * 2000, "order " + base64.b64encode(b"\xff").decode()):
        answer = await ada.call("POST", "/uploads", upload_length="5", upload_metadata=metadata)
        assert answer.status_code in (400, 409), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_nobody_elses_photo_and_nobody_from_elsewhere(served: Served) -> None:
    question = asked(served)
    ada, bob = await phone(served, question), await phone(served, question, "Bob Example")
    path = await ada.begun(question.order_id)
    for method in ("PATCH", "DELETE"):
        problem(await bob.call(method, path, b"x", upload_offset="0", **{"content_type": CHUNK["content-type"]}), 404, "no_such_upload")
    assert (await bob.call("HEAD", path)).status_code == 404
    problem(await ada.append(path, 0, b"x", x_form=bob.headers["x-form"]), 403, "form_expired")
    problem(await ada.append(path, 0, b"x", x_form=""), 403, "form_expired")
    problem(await ada.append(path, 0, b"x", origin="https://evil.example"), 403, "form_expired")
    viewer = await served.person("Vic Example", Role.VIEWER)
    answer = await viewer.client.post("/uploads", headers=ada.headers)
    problem(answer, 403, "not_allowed")
    script = await served.api(*Scope)
    problem(await script.post(f"{served.url}/uploads", headers=ada.headers), 401, "not_signed_in")
    assert await ada.here(path) == 0


def bomb() -> bytes:
    """A PNG of a few kilobytes that would be 30 000 × 30 000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1_000_000), 9)) + chunk(b"IEND", b"")


async def test_what_is_hostile_is_told_beside_the_others_and_not_shown(served: Served) -> None:
    content = bomb()
    question = asked(served)
    ada = await phone(served, question)
    path = await ada.begun(question.order_id, len(content))
    assert (await ada.append(path, 0, content)).status_code == 204
    browser = Browser(ada.client)
    page = await browser.get(f"/orders/{question.order_id}/photos")
    assert "more than is taken" in page
    assert 'name="kept"' not in page
    await browser.get(f"/orders/{question.order_id}/photos/{path.rpartition('/')[2]}", 404)
    assert "At least one photo is needed" in (await browser.photograph(question.order_id, [], [], 422)).text


async def test_what_the_protocol_can_do_is_told(served: Served) -> None:
    ada = await phone(served, asked(served))
    answer = await ada.call("OPTIONS", "/uploads")
    assert (answer.status_code, answer.headers["tus-version"], answer.headers["tus-extension"]) == (204, "1.0.0", "creation,termination")
