"""Buttons in messages, from the message as ntfy gets it to what the ledger says: each once, for what it was made, and for nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.person import Scope, hashed
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Question, Step
from agent.notifiers.caller import Caller, Line
from agent.notifiers.calling import Callee
from agent.notifiers.fanout import FanOut, channel_for
from agent.notifiers.log import LogChannel
from agent.operator.web import buttons
from agent.operator.web.access import Access
from agent.operator.web.limits import RateLimit
from agent.operator.web.server import WebPage
from agent.ports.calls import KeptButton, Press
from agent.ports.ledger import OrderMove
from agent.ports.notifier import Notice, Urgency
from tests.operator.web.served import Served, running
from tests.rigs.ntfy_server import Message, NtfyServer
from tests.rigs.processes import free_port

OFFER = {"accept": "make it", "decline": "leave it to another"}
BY_ADA = "button in a notification for Ada Example"


class Phones:
    """Two people who are called, and what their phones do when a button is pressed."""

    def __init__(self, served: Served, server: NtfyServer, caller: Caller, phone: httpx.AsyncClient) -> None:
        self.served, self.ledger, self.server, self.caller, self._phone = served, served.ledger, server, caller, phone
        self.late = timedelta(0)

    def now(self) -> datetime:
        return self.served.shop.shop.now() + self.late

    async def called(self, notice: Notice) -> dict[str, Message]:
        """The message each of them gets."""
        before = len(self.server.messages)
        await self.caller.notify(notice)
        async with asyncio.timeout(10):
            while len(self.server.messages) < before + 2:  # noqa: ASYNC110 (the server is another's)
                await asyncio.sleep(0.01)
        return {message.topic: message for message in self.server.messages[before:]}

    async def press(self, action: dict[str, Any], status: int = 200) -> str:
        """As ntfy's app makes the request: the method, the address and the body of the action, and nothing of ours."""
        answer = await self._phone.request(action["method"], action["url"], content=action["body"])
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        return answer.text

    async def pressed(self, body: bytes, status: int) -> httpx.Response:
        answer = await self._phone.post("/buttons", content=body)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        return answer

    def offer(self) -> tuple[Question, Notice]:
        order = self.ledger.order(self.served.offer())
        question = self.ledger.ask(order, NewQuestion(step=Step.OFFER, text="Make it?", choices=OFFER))
        notice = Notice(event="offer_asks", title="An offer", text="?", urgency=Urgency.ACT, order_id=order.id, step=Step.OFFER)
        return question, notice.model_copy(update={"deadline": order.accept_by})

    def bed(self) -> tuple[Question, Notice]:
        self.ledger.set_bed("mk3s", BedState.OCCUPIED, "agent")
        order = self.ledger.order(self.served.offer())
        question = self.ledger.ask(order, NewQuestion(step=Step.BED, text="Clear it.", choices={"clear": "it is clear"}), "mk3s")
        notice = Notice(event="print_finished", title="Done", text="?", urgency=Urgency.ACT, order_id=order.id, step=Step.BED)
        return question, notice.model_copy(update={"printer": "mk3s"})

    def said(self, question: Question) -> tuple[str, str]:
        found = self.ledger.question_by_id(question.id)
        assert found is not None
        return str(found.answer.get("choice", "")), found.answered_by


@pytest_asyncio.fixture
async def phones(served: Served, tmp_path: Path) -> AsyncIterator[Phones]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with NtfyServer() as server, httpx.AsyncClient(base_url=url, timeout=20) as phone:
        lines = [
            Line(Callee(name), FanOut([channel_for(f"ntfy://{server.stub.host}/{topic}")], tmp_path.joinpath), buttons=True)
            for name, topic in (("Ada Example", "ada"), ("Bob Example", "bob"))
        ]
        log = FanOut([LogChannel()], tmp_path.joinpath)
        async with Caller(lines, log, served.ledger, served.ledger, url=url, now=served.shop.shop.now) as caller:
            made = Phones(served, server, caller, phone)
            page = WebPage(Access("127.0.0.1", port), replace(served.desk, buttons=caller, now=made.now))
            async with running(page):
                yield made


async def test_an_offer_is_accepted_from_the_message_and_the_second_is_told_who_was_first(phones: Phones) -> None:
    question, notice = phones.offer()
    messages = await phones.called(notice)
    assert "make it" in await phones.press(messages["ada"].action("Make it"))
    assert phones.said(question) == ("accept", BY_ADA)
    assert f"{BY_ADA} answered this" in await phones.press(messages["bob"].action("Leave it to another"), 409)
    assert "pressed already" in await phones.press(messages["ada"].action("Make it"), 409)
    assert phones.said(question) == ("accept", BY_ADA)
    assert [event.kind for event in phones.ledger.events(question.order_id)].count("answered") == 1


async def test_two_at_the_same_moment_are_one_answer(phones: Phones) -> None:
    question, notice = phones.offer()
    messages = await phones.called(notice)
    actions = [messages["ada"].action("Make it"), messages["ada"].action("Make it"), messages["bob"].action("Leave it to another")]
    answers = await asyncio.gather(*(phones._phone.post("/buttons", content=action["body"]) for action in actions))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert [event.kind for event in phones.ledger.events(question.order_id)].count("answered") == 1


async def test_a_message_of_before_answers_no_later_question(phones: Phones) -> None:
    question, notice = phones.offer()
    old = (await phones.called(notice))["ada"].action("Make it")
    phones.ledger.settle_question(question)
    again = phones.ledger.ask(phones.ledger.order(question.order_id), NewQuestion(step=Step.OFFER, text="And now?", choices=OFFER))
    assert "not asked any more" in await phones.press(old, 409)
    assert phones.said(again) == ("", "")


async def test_a_bed_is_clear_as_it_was_shown_and_not_as_it_is_later(phones: Phones) -> None:
    question, notice = phones.bed()
    messages = await phones.called(notice)
    assert await phones.press(messages["ada"].action("The bed is clear")) == "The bed of mk3s is clear."
    bed = phones.ledger.beds()["mk3s"]
    assert (bed.state, bed.said_by) == (BedState.FREE, BY_ADA)
    assert phones.said(question) == ("clear", BY_ADA)
    phones.ledger.set_bed("mk3s", BedState.OCCUPIED, "agent")
    assert "has changed since" in await phones.press(messages["bob"].action("The bed is clear"), 409)
    assert phones.ledger.beds()["mk3s"].state is BedState.OCCUPIED


async def test_a_print_goes_on_by_the_button_once_and_only_that_print(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id, resumed = phones.served.offer(), []
    phones.ledger.move(phones.ledger.order(order_id), OrderMove(to=State.PRINTING, event="print_begun"))
    phones.ledger.set_bed("mk3s", BedState.FREE, "Ada Example")
    job = phones.ledger.claim(order_id, 1, "mk3s", "a" * 64)
    assert job is not None
    job = phones.ledger.move_job(job, JobState.PRINTING, "print_started", {})

    async def resume(name: str) -> None:
        resumed.append(name)

    monkeypatch.setattr(phones.served.shop.shop.printers["mk3s"], "resume", resume)
    paused = Notice(event="print_paused", title="mk3s is paused", text="", urgency=Urgency.ACT, order_id=order_id, printer="mk3s")
    messages = await phones.called(paused)
    assert [action["label"] for action in messages["ada"].actions] == ["Resume", "Later", "Open the page"]
    await phones.press(messages["ada"].action("Resume"))
    assert "pressed already" in await phones.press(messages["ada"].action("Resume"), 409)
    assert resumed == [job.remote_name]
    (asked,) = [event.data for event in phones.ledger.events(order_id) if event.kind == "asked_to_resume"]
    assert asked["by"] == BY_ADA
    phones.ledger.move_job(job, JobState.FINISHED, "print_finished", {})
    phones.ledger.move_job(phones.ledger.jobs(order_id)[0], JobState.HARVESTED, "harvested", {}, BedState.FREE)
    assert "not printing" in await phones.press(messages["bob"].action("Resume"), 409)
    assert resumed == [job.remote_name]


async def test_later_says_when_and_answers_nothing(phones: Phones) -> None:
    question, notice = phones.bed()
    later = (await phones.called(notice))["ada"].action("Later")
    assert re.match(r"You are called again at \d\d:\d\d", await phones.press(later))
    await phones.press(later, 409)
    assert phones.said(question) == ("", "")
    (kept,) = phones.ledger.open_notices()
    assert kept.snoozed_by == "Ada Example"


async def test_too_late_it_does_nothing(phones: Phones) -> None:
    question, notice = phones.bed()
    action = (await phones.called(notice))["ada"].action("The bed is clear")
    phones.late = timedelta(hours=12, seconds=1)
    assert "too old" in await phones.press(action, 410)
    assert phones.said(question) == ("", "")
    assert phones.ledger.beds()["mk3s"].state is BedState.OCCUPIED


async def test_a_phone_that_only_shows_a_failure_is_told_why_in_a_message(phones: Phones) -> None:
    """To who pressed it, and to nobody else."""
    _, notice = phones.offer()
    messages = await phones.called(notice)
    await phones.press(messages["ada"].action("Make it"))
    await phones.press(messages["bob"].action("Make it"), 409)
    async with asyncio.timeout(10):
        while len(phones.server.messages) < 3:  # noqa: ASYNC110 (the server is another's)
            await asyncio.sleep(0.01)
    (told,) = phones.server.messages[2:]
    assert (told.topic, told.title) == ("bob", "The button did nothing")
    assert f"{BY_ADA} answered this" in told.message


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.OFFER])
async def test_a_button_that_was_made_for_it_still_answers_nothing_but_an_offer(phones: Phones, step: Step) -> None:
    """None is made for anything else. Were one in the ledger all the same, it would not agree, decide or hand in."""
    order = phones.ledger.order(phones.served.offer())
    question = phones.ledger.ask(order, NewQuestion(step=step, text="?", choices={"done": "it is done"}))
    phones.ledger.add_notice("k", "run", Notice(event="x", title="x", text=""))
    notice = phones.ledger.open_notices()[-1].id
    about = {"question": str(question.id), "choice": "done"}
    until = phones.now() + timedelta(hours=1)
    button = KeptButton(notice_id=notice, person="Ada Example", act=Press.ANSWER, subject=about, until=until)
    phones.ledger.add_button(hashed("secret"), button)
    await phones.pressed(b"secret", 404)
    assert phones.said(question) == ("", "")


async def test_a_button_opens_no_other_door_and_no_other_key_opens_this_one(phones: Phones) -> None:
    _, notice = phones.offer()
    secret = (await phones.called(notice))["ada"].action("Make it")["body"]
    for headers in ({"authorization": f"Bearer {secret}"}, {"cookie": f"intagly={secret}"}):
        assert (await phones._phone.get("/api/v1/now", headers=headers)).status_code == 401
        assert (await phones._phone.get("/orders", headers={**headers, "accept": "text/html"})).status_code == 303
    token = phones.served.token(*Scope)["authorization"].removeprefix("Bearer ")
    await phones.pressed(token.encode(), 404)
    assert (await phones._phone.get("/buttons")).status_code in (404, 405)


async def test_no_more_than_a_secret_is_read_and_guessing_is_slowed(phones: Phones) -> None:
    assert (await phones.pressed(b"x" * (buttons.LARGEST + 1), 413)).json()["code"] == "too_large"
    told = [await phones._phone.post("/buttons", content=f"guess {n}") for n in range(25)]
    assert {answer.json()["code"] for answer in told} == {"no_such_button", "too_many"}
    assert [answer.status_code for answer in told][-1] == 429
    _, notice = phones.offer()
    await phones.press((await phones.called(notice))["ada"].action("Make it"), 429)


async def test_whatever_is_sent_is_refused_in_words(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateLimit, "allows", lambda *_: True)
    loop = asyncio.get_running_loop()

    @settings(deadline=None, max_examples=40)
    @given(st.binary(max_size=200))
    def sent(body: bytes) -> None:
        answer = asyncio.run_coroutine_threadsafe(phones._phone.post("/buttons", content=body), loop).result(20)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_button")

    await asyncio.to_thread(sent)
