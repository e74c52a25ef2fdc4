"""Any service apprise knows, here its plain JSON one against a real HTTP server. Slow: apprise takes seconds to load."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Transient
from agent.notifiers.apprise import AppriseChannel
from agent.ports.notifier import Notice, Urgency
from tests.rigs.http_stub import Stub, hang, reply

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
