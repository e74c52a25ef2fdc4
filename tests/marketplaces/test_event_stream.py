"""The event stream: what its bytes mean, however they arrive, and that nothing that goes wrong with it is felt."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.marketplaces import event_stream
from agent.marketplaces.event_stream import LARGEST_DATA, LONGEST_LINE, EventParser, News, ServerEvent
from tests.rigs.http_stub import Handler, Received, Stub, hang, reply

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
LONG = 30.0
"""A poll interval no test waits for."""
SOON = 5.0
"""Far less than that, also on a machine that is busy; the benchmark has the true figure."""


def parsed(*chunks: bytes) -> list[ServerEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def event(seq: int, kind: str = "offer.created") -> bytes:
    return f"id: {seq}\ndata: {json.dumps({'seq': seq, 'kind': kind})}\n\n".encode()


# --- the parser --------------------------------------------------------------------------------------------------

lines = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=30)
pieces = st.one_of(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\n", b"data:", b"data: ", b"id: 7", b"id", b":", b"\xef\xbb\xbf", b"event: x\n"]),
    st.binary(max_size=12),
)


@settings(deadline=None)
@given(st.lists(pieces), st.data())
def test_however_the_bytes_are_cut_the_events_are_the_same(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    chunks = [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]
    assert parsed(*chunks) == parsed(whole) == parsed(*(bytes([byte]) for byte in whole))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.lists(lines, min_size=1, max_size=3))), st.sampled_from(["\n", "\r", "\r\n"]))
def test_what_was_sent_is_what_is_heard(events: list[tuple[int, list[str]]], end: str) -> None:
    sent = "".join(
        f": a comment{end}event: news{end}id: {seq}{end}" + "".join(f"data: {line}{end}" for line in data) + end for seq, data in events
    )
    assert parsed(sent.encode()) == [ServerEvent(str(seq), "\n".join(data)) for seq, data in events]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"", []),
        (b"data: half an event\n", []),
        (b"\n\n\n", []),
        (b": only a comment\n\n", []),
        (b"id: 5\n\n", []),
        (b"data\n\n", [("", "")]),
        (b"data:no space\n\n", [("", "no space")]),
        (b"data:  two\n\n", [("", " two")]),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [("", "after a byte order mark")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("1", "a"), ("1", "b")]),
        (b"id: 1\ndata: a\n\nid: \x00\ndata: b\n\nid: \xe2\x98\x83\ndata: c\n\n", [("1", "a"), ("1", "b"), ("1", "c")]),
        (b"data: \xff\n\n", [("", "�")]),
    ],
)
def test_the_small_print(sent: bytes, heard: list[tuple[str, str]]) -> None:
    assert parsed(sent) == [ServerEvent(*each) for each in heard]


def test_the_memory_is_bounded_and_the_next_event_is_heard() -> None:
    parser = EventParser()
    for _ in range(200):
        assert parser.feed(b"data: " + b"x" * 65_536) == []  # 13 MB of a line without an end
    assert len(parser._rest) == LONGEST_LINE
    for _ in range(200):
        assert parser.feed(b"\ndata: " + b"y" * 10_000) == []
    assert len(parser._data) == LARGEST_DATA
    (cut, whole) = parser.feed(b"\n\nid: 2\ndata: short\n\n")
    assert len(cut.data) == LARGEST_DATA
    assert whole == ServerEvent("2", "short")


# --- the stream kept open ----------------------------------------------------------------------------------------


class Tap:
    """A stream whose bytes the test lets flow, over as many connections as are made."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.opened = asyncio.Event()

    async def __call__(self, _request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await writer.drain()
        self.writers.append(writer)
        self.opened.set()
        await writer.wait_closed()

    async def open(self) -> None:
        """The next connection is there."""
        await self.opened.wait()
        self.opened.clear()

    def say(self, said: bytes) -> None:
        self.writers[-1].write(said)

    def cut(self) -> None:
        self.writers[-1].close()


@asynccontextmanager
async def listening(answer: bytes | Handler) -> AsyncIterator[tuple[News, Stub]]:
    async with Stub(answer) as stub, httpx.AsyncClient(trust_env=False) as client:
        news = News("shop", client, stub.url + "/events")
        try:
            yield news, stub
        finally:
            await news.aclose()


async def seconds(news: News, at_most_s: float = LONG) -> float:
    now = asyncio.get_running_loop().time
    begun = now()
    await news.wait(at_most_s)
    return now() - begun


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 (what another task does next gives no sign of its own)
            await asyncio.sleep(0.005)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    for name, value in (("FIRST_PAUSE_S", 0.01), ("LONGEST_PAUSE_S", 0.04), ("STEADY_S", 0.05), ("NOT_OFFERED_PAUSE_S", LONG)):
        monkeypatch.setattr(event_stream, name, value)


async def test_an_event_ends_the_wait_at_once() -> None:
    tap = Tap()
    async with listening(tap) as (news, _):
        waiting = asyncio.create_task(seconds(news))
        await tap.open()
        tap.say(event(1))
        assert await waiting < SOON


async def test_what_happened_while_nobody_waited_is_not_forgotten_and_told_once() -> None:
    tap = Tap()
    async with listening(tap) as (news, _):
        await news.wait(0.01)
        await tap.open()
        tap.say(event(1) + event(2) + event(3))
        assert await seconds(news) < SOON
        assert await seconds(news, 0.4) >= 0.35  # three events, one look


@pytest.mark.parametrize("kind", ["order.updated", "label.ready", "message"])
async def test_echoes_of_our_own_acts_are_no_news(kind: str) -> None:
    tap = Tap()
    async with listening(tap) as (news, _):
        await news.wait(0.01)
        await tap.open()
        tap.say(b": still here\n\n" + event(1, kind))
        assert await seconds(news, 0.15) >= 0.14
        tap.say(event(2, "offer.withdrawn"))
        assert await seconds(news) < SOON


@pytest.mark.parametrize("said", [b"data: no json\n\n", b"data: [1]\n\n", b'data: {"kind": "of another day"}\n\n'])
async def test_an_event_that_cannot_be_read_is_worth_a_look(said: bytes) -> None:
    tap = Tap()
    async with listening(tap) as (news, _):
        await news.wait(0.01)
        await tap.open()
        tap.say(said)
        assert await seconds(news) < SOON


async def test_a_flood_of_events_is_no_flood_of_looks() -> None:
    async def flood(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while True:
            writer.write(event(1) * 100)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with listening(flood) as (news, _):
        begun = asyncio.get_running_loop().time()
        for _ in range(4):
            await news.wait(LONG)
        assert asyncio.get_running_loop().time() - begun >= 3 * event_stream.LEAST_GAP_S - 0.01


@pytest.mark.usefixtures("quick")
async def test_a_broken_stream_is_opened_again_where_it_was() -> None:
    tap = Tap()
    async with listening(tap) as (news, stub):
        await news.wait(0.01)
        await tap.open()
        tap.say(event(41) + b"id: 42\ndata: half an ev")
        await news.wait(LONG)
        tap.cut()
        await tap.open()
        tap.say(event(42))
        assert await seconds(news) < SOON
        assert [request.headers.get("last-event-id") for request in stub.received] == [None, "41"]
        assert all(request.headers["accept"] == "text/event-stream" for request in stub.received)


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_does_not_come_back_is_told_once_and_once_when_it_is_back() -> None:
    tap = Tap()
    async with listening(tap) as (news, stub):
        with capture_logs() as logs:
            await news.wait(0.01)
            await tap.open()
            stub.answer = reply(503)
            tap.cut()
            await until(lambda: len(stub.received) >= 5)
            assert [line["event"] for line in logs] == ["event_stream_lost"]
            stub.answer = tap
            await tap.open()
            await until(lambda: len(logs) > 1)
        assert [line["event"] for line in logs] == ["event_stream_lost", "event_stream_back"]


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_a_proxy_cuts_now_and_then_is_not_worth_a_word() -> None:
    tap = Tap()
    async with listening(tap) as (news, stub):
        with capture_logs() as logs:
            for _ in range(4):
                waiting = asyncio.create_task(news.wait(0.1))
                await tap.open()
                await waiting
                tap.cut()
        assert logs == []
        assert len(stub.received) >= 4


async def test_a_server_that_ends_every_stream_at_once_is_asked_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "FIRST_PAUSE_S", 0.05)
    times: list[float] = []

    async def ends(_request: Received, writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.write(HEAD)

    async with listening(ends) as (news, _):
        with capture_logs() as logs:
            await news.wait(0.7)
            await until(lambda: len(times) >= 4)
    assert len(times) <= 5  # after 0.05, 0.1, 0.2, 0.4, 0.8 s
    assert [line["event"] for line in logs] == ["event_stream_lost"]


async def test_the_pauses_do_not_grow_past_a_minute() -> None:
    async with httpx.AsyncClient() as client:
        news = News("shop", client, "http://127.0.0.1/events")
        pauses = [news._ended("test") for _ in range(1000)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(pauses[7:]) == {60}


@pytest.mark.parametrize(
    "answer",
    [reply(404), reply(405), reply(406), reply(501), reply(200, b'{"events": []}', Content_Type="application/json"), reply(204, b"")],
)
@pytest.mark.usefixtures("quick")
async def test_a_stream_that_is_not_offered_costs_one_question(answer: bytes) -> None:
    async with listening(answer) as (news, stub):
        with capture_logs() as logs:
            assert await seconds(news, 0.2) >= 0.19
            assert await seconds(news, 0.05) >= 0.04
        assert len(stub.received) == 1
        assert [line["event"] for line in logs] == ["event_stream_not_offered"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 429, 500, 503])
@pytest.mark.usefixtures("quick")
async def test_any_other_answer_is_tried_again(status: int) -> None:
    async with listening(reply(status)) as (news, stub):
        await news.wait(0.01)
        await until(lambda: len(stub.received) >= 3)


@pytest.mark.usefixtures("quick")
async def test_it_stays_away_for_as_long_as_it_is_told() -> None:
    async with listening(reply(429, Retry_After="600")) as (news, stub):
        await news.wait(0.2)
        assert len(stub.received) == 1


@pytest.mark.usefixtures("quick")
async def test_an_id_that_the_marketplace_refuses_is_forgotten() -> None:
    tap = Tap()
    async with listening(tap) as (news, stub):
        await news.wait(0.01)
        await tap.open()
        tap.say(event(7))
        await news.wait(LONG)
        stub.answer = reply(400)
        tap.cut()
        await until(lambda: len(stub.received) >= 3)
        assert [request.headers.get("last-event-id") for request in stub.received[:3]] == [None, "7", None]


@pytest.mark.usefixtures("quick")
async def test_silence_is_no_fault_and_ends_in_a_new_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SILENT_S", 0.1)
    tap = Tap()
    async with listening(tap) as (news, stub):
        with capture_logs() as logs:
            await news.wait(0.01)
            await until(lambda: len(stub.received) >= 3)
        assert logs == []


async def test_an_idle_stream_outlives_the_client_s_own_read_timeout() -> None:
    tap = Tap()
    async with Stub(tap) as stub, httpx.AsyncClient(timeout=0.1, trust_env=False) as client:
        news = News("shop", client, stub.url)
        await news.wait(0.4)
        tap.say(event(1))
        assert await seconds(news) < SOON
        assert len(stub.received) == 1
        await news.aclose()


@pytest.mark.usefixtures("quick")
async def test_a_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "ANSWER_S", 0.05)
    async with listening(hang) as (news, stub):
        await news.wait(0.01)
        await until(lambda: len(stub.received) >= 2)


@pytest.mark.usefixtures("quick")
async def test_nobody_there() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        news = News("shop", client, "http://127.0.0.1:9/events")
        with capture_logs() as logs:
            assert await seconds(news, 0.05) >= 0.04
            await until(lambda: bool(logs))
            await news.aclose()
    assert [line["event"] for line in logs] == ["event_stream_lost"]


async def test_closing_ends_the_stream_and_its_task() -> None:
    tap = Tap()
    before = asyncio.all_tasks()
    async with Stub(tap) as stub, httpx.AsyncClient(trust_env=False) as client:
        news = News("shop", client, stub.url)
        waiting = asyncio.create_task(news.wait(LONG))
        await tap.open()
        waiting.cancel()
        await news.aclose()
        await until(lambda: stub.connections == 0)
    assert asyncio.all_tasks() <= before


async def test_nothing_is_opened_before_somebody_waits() -> None:
    async with listening(hang) as (_, stub):
        await asyncio.sleep(0.05)
        assert stub.received == []


async def test_a_bug_is_told_and_polling_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_data: str) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(event_stream, "_is_news", broken)
    tap = Tap()
    async with listening(tap) as (news, _):
        with capture_logs() as logs:
            await news.wait(0.01)
            await tap.open()
            tap.say(event(1))
            assert await seconds(news, 0.1) >= 0.09
            assert await seconds(news, 0.1) >= 0.09
    assert [line["event"] for line in logs] == ["event_stream_bug"]
