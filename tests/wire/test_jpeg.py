"""One picture from a camera, whatever is at the other end of its address."""

import asyncio

import pytest

from agent.domain.errors import AgentError, Refused, Transient
from agent.wire import jpeg
from agent.wire.jpeg import fetch_jpeg
from tests.rigs.http_stub import Handler, Stub, closing, drip, hang, reply

PICTURE = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


async def test_the_picture_is_fetched_with_its_query() -> None:
    async with Stub(closing(reply(body=PICTURE))) as camera:
        assert await fetch_jpeg(f"{camera.url}/webcam/?action=snapshot") == PICTURE
        assert camera.received[0].target == "/webcam/?action=snapshot"


@pytest.mark.parametrize(
    ("answers", "error", "code"),
    [
        (closing(reply(body=b"<html>")), Refused, "no_picture"),
        (closing(reply(body=b"")), Refused, "no_picture"),
        (closing(reply(404)), Refused, "no_picture"),
        (closing(reply(302, Location="http://127.0.0.1:1/")), Refused, "no_picture"),
        (closing(b"no http at all"), Transient, "camera_away"),
        (closing(b""), Transient, "camera_away"),
        (hang, Transient, "camera_away"),
        (drip(0.01), Transient, "camera_away"),
    ],
    ids=["a page", "nothing", "404", "a redirect", "no http", "closed", "hangs", "drips"],
)
async def test_what_is_no_picture_is_told(answers: Handler, error: type[AgentError], code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "LIMIT_S", 0.5)
    async with Stub(answers) as camera:
        with pytest.raises(error) as told:
            async with asyncio.timeout(5):
                await fetch_jpeg(camera.url)
    assert told.value.code == code
    assert told.value.hint


async def test_a_stream_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "LARGEST_BYTES", 1000)
    async with Stub(closing(reply(body=PICTURE + b"x" * 2000))) as camera:
        with pytest.raises(Refused) as told:
            await fetch_jpeg(camera.url)
    assert "stream" in told.value.hint


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://[::1"])
async def test_a_camera_that_is_not_there_is_away(url: str) -> None:
    with pytest.raises(Transient) as away:
        await fetch_jpeg(url)
    assert away.value.code == "camera_away"
