"""Any service apprise knows, here the plain ones against a real HTTP server. Slow: apprise takes seconds to load."""

import asyncio
import base64
import json
import logging
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from structlog.testing import capture_logs

from agent.domain.errors import NeedsOperator, Transient
from agent.notifiers.apprise import AppriseChannel
from agent.notifiers.fanout import FanOut
from agent.ports.notifier import Notice, Urgency
from tests.rigs.http_stub import Received, Stub, hang, reply

JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 40
NOTICE = Notice(event="bed_full", title="Clear the bed", text="mk3s has finished.", urgency=Urgency.ALARM)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of what apprise imports


async def test_a_notice_arrives() -> None:
    async with Stub(reply()) as stub:
        channel = AppriseChannel(f"json://ada:s3cr3t@{stub.host}/hook")
        await channel.send(NOTICE)
        await channel.send(Notice(event="x", title="Only a title", text=""))
        await channel.aclose()
        first, second = (json.loads(request.body) for request in stub.received)
    assert (first["title"], first["message"], first["type"]) == ("Clear the bed", "mk3s has finished.", "failure")
    assert (second["title"] or second["message"], second["type"]) == ("Only a title", "info")
    assert stub.paths() == ["/hook", "/hook"]
    assert channel.name == "apprise json"


async def send_with_picture(url: str, folder: Path) -> list[str]:
    """What the log says of it."""
    (folder / "a hash & more?").write_bytes(JPEG)
    notifier = FanOut([AppriseChannel(url)], folder.joinpath, pauses_s=(), drain_s=60.0)
    with capture_logs() as told:
        await notifier.notify(NOTICE.model_copy(update={"picture": "a hash & more?"}))
        await notifier.aclose()
    return [str(line["event"]) for line in told]


async def test_a_picture_goes_with_it_as_json_and_as_a_form(tmp_path: Path) -> None:
    async with Stub(reply()) as stub:
        assert await send_with_picture(f"json://{stub.host}/hook", tmp_path) == []
        assert await send_with_picture(f"form://{stub.host}/hook", tmp_path) == []
        as_json, as_form = stub.received
    sent = json.loads(as_json.body)
    (attachment,) = sent["attachments"]
    assert (sent["message"], attachment["filename"], attachment["mimetype"]) == ("mk3s has finished.", "picture.jpg", "image/jpeg")
    assert base64.b64decode(attachment["base64"]) == JPEG
    assert as_form.headers["content-type"].startswith("multipart/form-data")
    assert JPEG in as_form.body
    assert b'filename="picture.jpg"\r\nContent-Type: image/jpeg' in as_form.body
    assert b"mk3s has finished." in as_form.body


async def test_a_service_without_attachments_gets_the_text(tmp_path: Path) -> None:
    async with Stub(reply()) as stub:
        assert await send_with_picture(f"gotify://{stub.host}/token", tmp_path) == []
        (request,) = stub.received
    assert json.loads(request.body)["message"] == "mk3s has finished."


async def test_a_service_that_refuses_the_picture_gets_the_text_alone(tmp_path: Path) -> None:
    async def no_files(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(413 if JPEG in request.body else 200))
        await writer.drain()

    async with Stub(no_files) as stub:
        assert await send_with_picture(f"form://{stub.host}/hook", tmp_path) == ["notify_without_picture"]
        _refused, taken = stub.received
    assert parse_qs(taken.body.decode())["message"] == ["mk3s has finished."]


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_what_does_not_arrive_may_arrive_later(status: int, caplog: pytest.LogCaptureFixture) -> None:
    async with Stub(reply(status)) as stub:
        channel = AppriseChannel(f"json://ada:s3cr3t@{stub.host}/hook")
        with pytest.raises(Transient) as failed:
            await channel.send(NOTICE)
        await channel.aclose()
    assert "s3cr3t" not in failed.value.told() + caplog.text


async def test_an_address_that_apprise_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    channel = AppriseChannel("nosuchservice://s3cr3t@host")
    with caplog.at_level(logging.DEBUG), pytest.raises(NeedsOperator, match="does not know this address") as unknown:
        await channel.send(NOTICE)
    await channel.aclose()
    assert "s3cr3t" not in unknown.value.told() + caplog.text
    assert not logging.getLogger("apprise").disabled


async def test_a_service_that_hangs_holds_up_nothing_but_itself(tmp_path: Path) -> None:
    """Neither the loop nor the threads that everybody uses: a second message waits for the first one's thread and gives up in time."""
    async with Stub(reply()) as stub:
        channel = AppriseChannel(f"json://{stub.host}/?rto=2", timeout_s=30)
        await channel.send(NOTICE)  # loads apprise
        channel._timeout_s = 0.02
        stub.answer = hang
        for _ in range(40):  # more than there are threads
            with pytest.raises(Transient, match="took longer"):
                await channel.send(NOTICE)
        await asyncio.wait_for(asyncio.to_thread((tmp_path / "x").write_text, "free"), 5)
        begun = asyncio.get_running_loop().time()
        await channel.aclose()
        assert asyncio.get_running_loop().time() - begun < 1
    await asyncio.to_thread(channel._thread.shutdown)  # it ends with its own time limit
