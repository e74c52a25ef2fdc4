"""Calling people through the real ledger and a server that publishes as ntfy does: once, over restarts, with buttons for each person."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.domain.attended import Attended
from agent.domain.errors import NeedsOperator
from agent.domain.order import Order
from agent.domain.person import hashed
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Question, Step
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.notifiers.caller import SNOOZE, Caller, Line
from agent.notifiers.calling import Callee, Wants
from agent.notifiers.fanout import FanOut, channel_for
from agent.notifiers.log import LogChannel
from agent.notifiers.messages import asked
from agent.ports.calls import Call, Outcome, Press
from agent.ports.notifier import Notice, Urgency
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.rigs.http_stub import Stub, hang, reply
from tests.rigs.ntfy_server import Message, NtfyServer
from tests.workflow.workshop import make_offer

URL = "https://printers.example"
JPEG = b"\xff\xd8\xff" + bytes(300)
MINUTE = timedelta(minutes=1)


class Shop:
    """A ledger on disk whose clock stands still unless it is moved, and the daemons that call from it, one after the other."""

    def __init__(self, folder: Path, server: NtfyServer) -> None:
        self.folder, self.server = folder, server
        self.now = datetime.now(UTC)
        self.ledger = SqlLedger(sqlite_url(folder), now=lambda: self.now)

    def line(self, callee: Callee, *urls: str, buttons: bool = True) -> Line:
        """Without an address: the topic of their name at the server."""
        channels = [channel_for(url) for url in urls or (f"ntfy://{self.server.stub.host}/{callee.name or 'all'}",)]
        return Line(callee, FanOut(channels, self.folder.joinpath, pauses_s=(), drain_s=5.0), buttons)

    def calling(self, *lines: Line, url: str = URL) -> Caller:
        log = FanOut([LogChannel()], self.folder.joinpath)
        return Caller(lines or [self.line(Callee("Ada"))], log, self.ledger, self.ledger, url=url, now=lambda: self.now)

    def order(self, offer_id: str = "f1") -> Order:
        order = add_offer(self.ledger, "market", make_offer(offer_id), self.now + 15 * MINUTE)
        assert order is not None
        return order

    def ask(self, step: Step = Step.PACKED, printer: str = "", order: Order | None = None, **more: Any) -> Notice:
        """A question, and the notice of it."""
        order = order or self.order(f"f{len(self.ledger.orders())}")
        self.ledger.ask(order, NewQuestion(step=step, text=f"{step}?", **{"choices": {"done": "it is done"}, **more}), printer)
        return Notice(event=f"waits_for_{step}", title=step, text="?", urgency=Urgency.ACT, order_id=order.id, step=step, printer=printer)

    def answer(self, notice: Notice) -> None:
        assert notice.step is not None
        question = self.ledger.question(notice.order_id, notice.step, notice.printer)
        assert question is not None
        self.ledger.answer(question, {"choice": "done"}, "Ada Example")

    async def rested(self) -> None:
        """Every call that was begun has ended, and nobody is to be called now."""
        await until(lambda: all(call.outcome is not Outcome.SENDING for call in self.calls()) and not self.due())

    def calls(self) -> list[Call]:
        return [call for kept in self.ledger.open_notices() for call in kept.calls.values()]

    def due(self) -> bool:
        return any(not kept.calls for kept in self.ledger.open_notices())

    def topics(self) -> list[tuple[str, str]]:
        return [(message.topic, message.title) for message in self.server.messages]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what another task does next gives no sign of its own)
            await asyncio.sleep(0.01)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with NtfyServer() as server:
        lay_empty_ledger(tmp_path)
        made = Shop(tmp_path, server)
        with made.ledger:
            yield made


async def tell(shop: Shop, caller: Caller, *notices: Notice) -> list[Message]:
    """What arrived by it."""
    before = len(shop.server.messages)
    for notice in notices:
        await caller.notify(notice)
    await shop.rested()
    return shop.server.messages[before:]


async def test_people_and_the_addresses_of_nobody_are_called_and_nothing_is_left_to_do(shop: Shop) -> None:
    async with shop.calling(shop.line(Callee("Ada")), shop.line(Callee("Bob")), shop.line(Callee(""))) as caller:
        messages = await tell(shop, caller, shop.ask())
        await until(lambda: not shop.ledger.open_notices())
    assert sorted(message.topic for message in messages) == ["Ada", "Bob", "all"]


async def test_the_same_question_is_told_once_however_often_and_over_a_restart(shop: Shop) -> None:
    notice = shop.ask()
    for _ in range(3):
        async with shop.calling() as caller:
            await tell(shop, caller, notice, notice)
    assert shop.topics() == [("Ada", "packed")]


async def test_a_reminder_of_the_same_question_is_told_once_too(shop: Shop) -> None:
    notice = shop.ask(Step.DROPPED_OFF)
    reminder = notice.model_copy(update={"event": "ship_by_near", "title": "soon"})
    for _ in range(2):
        async with shop.calling() as caller:
            await tell(shop, caller, notice, reminder)
    assert shop.topics() == [("Ada", "dropped-off"), ("Ada", "soon")]


async def test_what_asks_nothing_is_not_repeated_by_the_next_daemon_and_told_again_when_it_happens_again(shop: Shop) -> None:
    lost = Notice(event="printer_lost", title="mk3s cannot be reached", text="", urgency=Urgency.ALARM, order_id="o1", printer="mk3s")
    back = Notice(event="printer_back", title="mk3s is back", text="", order_id="o1", printer="mk3s")
    async with shop.calling() as caller:
        await tell(shop, caller, lost)
    async with shop.calling() as caller:
        assert await tell(shop, caller, lost) == []
        assert [message.title for message in await tell(shop, caller, lost)] == [lost.title], "it has happened once more"
    async with shop.calling() as caller:
        assert [message.title for message in await tell(shop, caller, back, lost)] == [back.title, lost.title]
    shop.now += timedelta(days=2)
    async with shop.calling() as caller:
        assert len(await tell(shop, caller, lost)) == 1, "so long after it is news"


async def test_a_daemon_that_died_before_it_told_of_a_question_leaves_that_to_the_next(shop: Shop) -> None:
    shop.ask(Step.HOLD)
    shop.ask(Step.BED, "mk3s")
    shop.now += MINUTE
    async with shop.calling():
        await until(lambda: len(shop.server.messages) == 2)
    assert sorted((message.title[:5], message.priority) for message in shop.server.messages) == [("Clear", 4), ("Order", 5)]
    async with shop.calling():
        await shop.rested()
    assert len(shop.server.messages) == 2


@pytest.mark.parametrize("step", Step)
def test_whatever_is_asked_can_be_told_by_its_question_alone(step: Step) -> None:
    told = asked(Question(id=1, step=step, order_id="o1", printer="mk3s", text="?", asked_at=datetime.now(UTC)))
    assert told.title
    assert "{" not in told.title
    assert (told.step, told.order_id, told.printer) == (step, "o1", "mk3s")


@pytest.mark.parametrize(("urgency", "again"), [(Urgency.INFO, 0), (Urgency.ACT, 1), (Urgency.ALARM, 1)])
async def test_a_call_that_was_under_way_when_the_daemon_died(shop: Shop, urgency: Urgency, again: int) -> None:
    """Nobody knows whether it arrived. What asks for hands is sent again, what only informs is not."""
    shop.ledger.add_notice("k", "an earlier run", Notice(event="x", title="t", text="", urgency=urgency))
    (kept,) = shop.ledger.open_notices()
    shop.ledger.begin_call([kept.id], "Ada")
    async with shop.calling():
        await until(lambda: [call.outcome for call in shop.calls()] != [Outcome.SENDING])
    shop.now += 2 * MINUTE
    async with shop.calling():
        await until(lambda: not shop.ledger.open_notices())
    assert len(shop.server.messages) == again


async def test_the_next_person_is_called_when_nobody_answers_and_spared_when_somebody_does(shop: Shop) -> None:
    ada, bob = Callee("Ada"), Callee("Bob", Wants.URGENT, urgent_after=10 * MINUTE)
    first, second = (shop.ask(Step.HOLD).model_copy(update={"urgency": Urgency.ALARM, "title": f"{n}"}) for n in (1, 2))
    async with shop.calling(shop.line(ada), shop.line(bob)) as caller:
        await tell(shop, caller, first, second)
        shop.answer(first)
        shop.now += 11 * MINUTE
        await tell(shop, caller, Notice(event="x", title="3", text=""))  # whatever happens makes it look at the clock
        await until(lambda: not shop.ledger.open_notices())
    assert sorted(shop.topics()) == [("Ada", "1"), ("Ada", "2"), ("Ada", "3"), ("Bob", "2")]


async def test_what_came_right_by_itself_calls_nobody_else(shop: Shop) -> None:
    lost = Notice(event="printer_lost", title="lost", text="", urgency=Urgency.ALARM, order_id="o1", printer="mk3s")
    back = Notice(event="printer_back", title="back", text="", order_id="o1", printer="mk3s")
    other = back.model_copy(update={"printer": "mk4"})
    async with shop.calling(shop.line(Callee("Ada")), shop.line(Callee("Bob", Wants.URGENT, urgent_after=10 * MINUTE))) as caller:
        await tell(shop, caller, lost, other)
        await until(lambda: [kept.notice.title for kept in shop.ledger.open_notices()] == ["lost"])
        await tell(shop, caller, back)
        await until(lambda: not shop.ledger.open_notices())
    assert ("Bob", "lost") not in shop.topics()


async def test_what_came_by_night_is_one_message_in_the_morning_also_for_the_next_daemon(shop: Shop) -> None:
    begins = (shop.now + timedelta(hours=2)).time().replace(microsecond=0)
    ends = (shop.now + timedelta(hours=3)).time().replace(microsecond=0)
    asleep = Callee("Ada", hours=Attended([(begins, ends)], zone=UTC))
    async with shop.calling(shop.line(asleep)) as caller:
        await caller.notify(shop.ask())
        await caller.notify(shop.ask(Step.LABEL))
        await asyncio.sleep(0.1)
    assert shop.server.messages == []
    shop.now += timedelta(hours=2, seconds=5)
    async with shop.calling(shop.line(asleep)):
        await until(lambda: len(shop.server.messages) == 1)
        await shop.rested()
    (message,) = shop.server.messages
    assert (message.title.split(" since ")[0], message.priority) == ("2 messages", 4)
    assert [line.split(" ", 2)[2] for line in message.message.splitlines()] == ["packed", "label"]
    assert [action["action"] for action in message.actions] == ["view"]


async def test_a_channel_that_fails_is_tried_again_later_and_the_next_person_called_at_once(shop: Shop) -> None:
    async with Stub(reply(401)) as broken:
        ada = shop.line(Callee("Ada"), f"ntfy://{broken.host}/ada")
        async with shop.calling(ada, shop.line(Callee("Bob", urgent_after=60 * MINUTE))) as caller:
            with capture_logs() as told:
                await caller.notify(shop.ask(Step.HOLD).model_copy(update={"urgency": Urgency.ALARM}))
                await until(lambda: len(shop.server.messages) == 1)
                await until(lambda: shop.ledger.latest_calls()["Ada"].outcome is Outcome.FAILED)
            assert [line["channel"] for line in told if line["event"] == "notify_failed"] == [f"ntfy {broken.host}"]
            shop.now += 2 * MINUTE
            broken.answer = reply(200)
            await caller.notify(Notice(event="x", title="x", text=""))
            await until(lambda: shop.ledger.latest_calls()["Ada"].outcome is Outcome.ARRIVED)
            await until(lambda: len(broken.received) == 3)


async def test_a_ledger_that_cannot_be_written_keeps_nobody_from_being_called(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise NeedsOperator("no space left", code="disk_full")

    monkeypatch.setattr(SqlLedger, "add_notice", full)
    async with shop.calling() as caller:
        with capture_logs() as told:
            await caller.notify(Notice(event="went_offline", title="The disk is full", text="", urgency=Urgency.ALARM))
            await until(lambda: len(shop.server.messages) == 1)
    assert [line["event"] for line in told if line["log_level"] == "error"] == ["notice_not_kept", "notice"]


async def test_no_order_waits_for_a_server_that_hangs_nor_does_the_end(shop: Shop) -> None:
    async with Stub(hang) as stuck:
        line = Line(Callee("Ada"), FanOut([channel_for(f"ntfy://{stuck.host}/ada")], Path, pauses_s=(), drain_s=0.2))
        async with shop.calling(line) as caller:
            begun = asyncio.get_running_loop().time()
            for _ in range(5):
                await caller.notify(shop.ask())
            assert asyncio.get_running_loop().time() - begun < 1
            await until(lambda: len(stuck.received) == 1)
        assert asyncio.get_running_loop().time() - begun < 5
    assert len(shop.ledger.open_notices()) == 5, "the next daemon tells them"


# --- buttons -----------------------------------------------------------------------------------------------------
OFFER = {"accept": "make it", "decline": "leave it to another"}


async def test_each_persons_message_has_buttons_of_its_own_and_the_ledger_only_their_hashes(shop: Shop) -> None:
    notice = shop.ask(Step.OFFER, choices=OFFER).model_copy(update={"deadline": shop.now + 15 * MINUTE})
    lines = [
        shop.line(Callee("Ada")),
        shop.line(Callee("Bob")),
        shop.line(Callee("Cem"), buttons=False),
        shop.line(Callee(""), buttons=False),
    ]
    async with shop.calling(*lines) as caller:
        messages = {message.topic: message for message in await tell(shop, caller, notice)}
    assert [action["label"] for action in messages["Ada"].actions] == ["Make it", "Leave it to another", "Open the page"]
    assert [[action["label"] for action in messages[name].actions] for name in ("Cem", "all")] == [["Open the page"]] * 2
    accept = messages["Ada"].action("Make it")
    assert {**accept, "body": ""} == {
        "action": "http", "label": "Make it", "url": f"{URL}/buttons", "method": "POST", "body": "", "clear": True,
    }  # fmt: skip
    assert messages["Ada"].action("Open the page")["url"] == messages["Ada"].click == f"{URL}/orders/{notice.order_id}"
    secrets = [action["body"] for name in ("Ada", "Bob") for action in messages[name].actions[:2]]
    assert len(set(secrets)) == 4
    kept = [shop.ledger.button(hashed(secret)) for secret in secrets]
    assert [(button.person, button.act, button.subject["choice"]) for button in kept if button] == [
        (name, Press.ANSWER, choice) for name in ("Ada", "Bob") for choice in OFFER
    ]
    assert all(button.until == shop.now + 15 * MINUTE for button in kept if button)
    content = b"".join(path.read_bytes() for path in shop.folder.iterdir())
    assert not any(secret.encode() in content for secret in secrets)


async def test_a_cleared_bed_is_said_of_the_bed_as_it_was_when_the_message_went(shop: Shop) -> None:
    shop.ledger.set_bed("mk3s", BedState.OCCUPIED, "agent")
    notice = shop.ask(Step.BED, "mk3s")
    (shop.folder / "bed").write_bytes(JPEG)
    async with shop.calling() as caller:
        (message,) = await tell(shop, caller, notice.model_copy(update={"picture": "bed"}))
    assert message.attachment is not None
    assert message.attachment.content == JPEG
    assert message.click == f"{URL}/"
    assert [action["label"] for action in message.actions] == ["The bed is clear", "Later", "Open the page"]
    button = shop.ledger.button(hashed(message.action("The bed is clear")["body"]))
    assert button is not None
    assert button.subject == {"printer": "mk3s", "mark": shop.ledger.beds()["mk3s"].mark}


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.OFFER, Step.BED)])
async def test_no_button_agrees_decides_or_hands_in(shop: Shop, step: Step) -> None:
    async with shop.calling() as caller:
        (message,) = await tell(shop, caller, shop.ask(step, choices={"retry": "again", "cancel": "give it up"}))
    assert [action["label"] for action in message.actions] == ["Later", "Open the page"]
    button = shop.ledger.button(hashed(message.action("Later")["body"]))
    assert button is not None
    assert button.act is Press.SNOOZE


async def test_without_the_pages_address_there_are_no_buttons_and_that_is_said_once(shop: Shop) -> None:
    with capture_logs() as told:
        async with shop.calling(url="") as caller:
            messages = await tell(shop, caller, shop.ask(), shop.ask())
    assert [message.actions for message in messages] == [[], []]
    assert [line["event"] for line in told].count("notifications_without_buttons") == 1


async def test_later_calls_that_person_again_where_it_still_waits(shop: Shop) -> None:
    waits, answered = shop.ask(), shop.ask(Step.LABEL)
    async with shop.calling() as caller:
        for message in await tell(shop, caller, waits, answered):
            button = caller.button(hashed(message.action("Later")["body"]))
            assert button is not None
            assert caller.snooze(button) == shop.now + SNOOZE
        shop.answer(answered)
        shop.now += SNOOZE + MINUTE
        await tell(shop, caller, Notice(event="x", title="x", text=""))
        await until(lambda: not shop.ledger.open_notices())
    assert [title for _, title in shop.topics()].count("packed") == 2
    assert [title for _, title in shop.topics()].count("label") == 1


async def test_who_is_called_no_more_has_no_buttons_left(shop: Shop) -> None:
    async with shop.calling() as caller:
        (message,) = await tell(shop, caller, shop.ask())
        secret = hashed(message.action("Later")["body"])
        assert caller.button(secret) is not None
    async with shop.calling(shop.line(Callee("Bob"))) as caller:
        assert caller.button(secret) is None
