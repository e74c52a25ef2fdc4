"""Telling people never holds up an order: at once, in the background, each channel at its own pace."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.domain.errors import ConfigError, NeedsOperator, Transient
from agent.notifiers.apprise import AppriseChannel
from agent.notifiers.fanout import FanOut, channel_for
from agent.notifiers.log import LogChannel
from agent.notifiers.ntfy import NtfyChannel
from agent.notifiers.picture import Picture
from agent.ports.notifier import Notice, Urgency
from tests.rigs.http_stub import Stub, hang, reply
from tests.rigs.written_log import written_log

SOON = 5.0


def notice(number: int = 1, urgency: Urgency = Urgency.INFO) -> Notice:
    return Notice(event="x", title=f"notice {number}", text="text", urgency=urgency, order_id=f"o{number}")


class Channel:
    """Remembers what it was given. `trouble` is raised, in turn, before a notice is taken; `gate` holds all of them up."""

    takes_pictures = False

    def __init__(self, name: str = "channel", *trouble: Exception) -> None:
        self.name = name
        self.trouble = list(trouble)
        self.gate = asyncio.Event()
        self.gate.set()
        self.sent: list[str] = []
        self.tried = 0
        self.closed = False

    async def send(self, told: Notice, picture: Picture | None = None) -> None:
        assert picture is None
        self.tried += 1
        await self.gate.wait()
        if self.trouble:
            raise self.trouble.pop(0)
        self.sent.append(told.title)

    async def aclose(self) -> None:
        self.closed = True


def fanout(*channels: Any, **more: Any) -> FanOut:
    return FanOut(channels, Path, **{"pauses_s": (0.01, 0.02), "drain_s": 1.0, **more})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 (what another task does next gives no sign of its own)
            await asyncio.sleep(0.005)


async def test_every_channel_gets_every_notice_in_order() -> None:
    one, other = Channel("one"), Channel("other")
    notifier = fanout(one, other)
    for number in range(5):
        await notifier.notify(notice(number))
    await notifier.aclose()
    assert one.sent == other.sent == [f"notice {number}" for number in range(5)]
    assert one.closed
    assert other.closed


async def test_a_channel_that_hangs_delays_nobody() -> None:
    hanging, good = Channel("hanging"), Channel("good")
    hanging.gate.clear()
    notifier = fanout(hanging, good, drain_s=0.1)
    begun = asyncio.get_running_loop().time()
    for number in range(50):
        await notifier.notify(notice(number))
    assert asyncio.get_running_loop().time() - begun < 0.5
    await until(lambda: len(good.sent) == 50)
    with capture_logs() as told:
        begun = asyncio.get_running_loop().time()
        await notifier.aclose()
    assert asyncio.get_running_loop().time() - begun < SOON
    assert [(line["event"], line["channel"], line["lost"]) for line in told] == [("notify_cut_short", "hanging", 50)]
    assert hanging.closed


async def test_a_full_queue_loses_its_oldest_and_says_so() -> None:
    slow = Channel()
    slow.gate.clear()
    notifier = fanout(slow, room=3)
    await notifier.notify(notice(0))
    await until(lambda: slow.tried == 1)  # the first is under way
    with capture_logs() as told:
        for number in range(1, 6):
            await notifier.notify(notice(number))
    assert [line["title"] for line in told] == ["notice 1", "notice 2"]
    slow.gate.set()
    await notifier.aclose()
    assert slow.sent == ["notice 0", "notice 3", "notice 4", "notice 5"]


async def test_what_fails_for_now_is_tried_again() -> None:
    channel = Channel("channel", Transient("away"), Transient("away"))
    notifier = fanout(channel)
    with capture_logs() as told:
        await notifier.notify(notice())
        await notifier.aclose()
    assert channel.sent == ["notice 1"]
    assert told == []


async def test_the_third_failure_is_told_once_and_the_next_notice_goes() -> None:
    channel = Channel("channel", *(Transient("away", hint="is it up?") for _ in range(3)))
    notifier = fanout(channel)
    with capture_logs() as told:
        await notifier.notify(notice(1))
        await notifier.notify(notice(2))
        await notifier.aclose()
    assert channel.sent == ["notice 2"]
    failed, works = told
    assert (failed["event"], failed["title"], failed["error"]) == ("notify_failed", "notice 1", "away — is it up?")
    assert works["event"] == "notify_works_again"


async def test_what_fails_for_good_is_not_tried_again() -> None:
    channel = Channel("channel", NeedsOperator("no token"))
    notifier = fanout(channel)
    await notifier.notify(notice())
    await notifier.aclose()
    assert (channel.tried, channel.sent) == (1, [])


async def test_a_channel_is_given_the_time_it_asks_for() -> None:
    channel = Channel("channel", Transient("busy", retry_after_s=0.3))
    notifier = fanout(channel)
    begun = asyncio.get_running_loop().time()
    await notifier.notify(notice())
    await notifier.aclose()
    assert asyncio.get_running_loop().time() - begun >= 0.29
    assert channel.sent == ["notice 1"]


async def test_a_bug_in_a_channel_is_told_and_the_notices_behind_it_go() -> None:
    channel, other = Channel("channel", ZeroDivisionError("a bug")), Channel("other")
    notifier = fanout(channel, other)
    with capture_logs() as told:
        for number in range(4):
            await notifier.notify(notice(number))
        await until(lambda: len(channel.sent) == 3)
        await notifier.notify(notice(4))
        await notifier.aclose()
    assert channel.sent == ["notice 1", "notice 2", "notice 3", "notice 4"]
    assert len(other.sent) == 5
    assert [(line["event"], line["channel"], type(line["exc_info"])) for line in told] == [("notify_bug", "channel", ZeroDivisionError)]


async def test_a_channel_that_is_nothing_but_bugs_ends_all_the_same() -> None:
    channel = Channel("channel", *(ZeroDivisionError() for _ in range(10)))
    notifier = fanout(channel)
    with capture_logs() as told:
        for number in range(10):
            await notifier.notify(notice(number))
        await notifier.aclose()
    assert len(told) == 10
    assert channel.closed


async def test_closing_leaves_no_task_behind_and_needs_no_notice() -> None:
    before = asyncio.all_tasks()
    idle, used = fanout(Channel()), fanout(Channel("x", ZeroDivisionError()))
    await used.notify(notice())
    with capture_logs():
        await used.aclose()
    await idle.aclose()
    assert asyncio.all_tasks() == before


async def test_a_real_server_that_hangs_does_not_hold_up_the_shutdown() -> None:
    async with Stub(hang) as stuck, Stub(reply()) as good:
        notifier = FanOut([NtfyChannel(f"ntfy://{stuck.host}/a"), NtfyChannel(f"ntfy://{good.host}/b")], Path, drain_s=0.2)
        await notifier.notify(notice())
        await until(lambda: len(good.received) == 1)
        begun = asyncio.get_running_loop().time()
        with capture_logs():
            await notifier.aclose()
        assert asyncio.get_running_loop().time() - begun < SOON


async def test_no_credential_reaches_the_log() -> None:
    with written_log() as written:
        async with Stub(reply(401)) as stub:
            channels = [NtfyChannel(f"ntfy://tk_s3cr3t@{stub.host}/a"), NtfyChannel("ntfy://ada:s3cr3t@127.0.0.1:9/b")]
            broken = Channel("broken", ValueError("https://ada:s3cr3t@host/ and Bearer s3cr3t"))
            notifier = FanOut([*channels, broken], Path, pauses_s=(0.01,))
            await notifier.notify(notice())
            await notifier.aclose()
    events = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert sorted(events) == ["notify_bug", "notify_failed", "notify_failed"]
    assert "s3cr3t" not in written.getvalue()


@pytest.mark.parametrize(("urgency", "level"), [(Urgency.INFO, "info"), (Urgency.ACT, "warning"), (Urgency.ALARM, "error")])
async def test_the_log_is_a_channel_too(urgency: Urgency, level: str) -> None:
    notifier = fanout(LogChannel())
    with capture_logs() as told:
        await notifier.notify(notice(urgency=urgency))
        await notifier.aclose()
    (line,) = told
    assert (line["event"], line["log_level"], line["title"], line["order_id"]) == ("notice", level, "notice 1", "o1")


async def test_an_address_names_its_channel() -> None:
    assert isinstance(channel_for("ntfy://ntfy.sh/garage"), NtfyChannel)
    assert isinstance(channel_for("json://localhost/x"), AppriseChannel)
    with pytest.raises(ConfigError):
        channel_for("no address")


async def test_a_message_is_told_to_have_arrived_once_one_address_took_it_and_failed_once_none_did() -> None:
    told: list[bool] = []
    good, bad = Channel("good"), Channel("bad", NeedsOperator("no token"), NeedsOperator("no token"))
    for channels in ([bad, good], [bad]):
        person = fanout(*channels)
        person.send(notice(), told.append)
        await person.aclose()
    assert told == [True, False]


async def test_a_bug_in_a_channel_is_a_message_that_did_not_arrive() -> None:
    told: list[bool] = []
    person = fanout(Channel("channel", ZeroDivisionError("a bug")))
    with capture_logs():
        person.send(notice(), told.append)
        await person.aclose()
    assert told == [False]


async def test_a_channel_that_fails_is_told_once_until_it_works() -> None:
    channel = Channel("channel", *(Transient("away") for _ in range(9)))
    notifier = fanout(channel)
    with capture_logs() as told:
        for number in range(4):
            await notifier.notify(notice(number))
        await notifier.aclose()
    assert [(line["event"], line["channel"]) for line in told] == [("notify_failed", "channel"), ("notify_works_again", "channel")]
    assert channel.sent == ["notice 3"]
