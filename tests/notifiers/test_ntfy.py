"""ntfy over real HTTP: what goes over the wire, and what every answer means."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.notifiers.ntfy import NtfyChannel, _sendable
from agent.ports.notifier import Notice, Urgency
from tests.rigs.http_stub import Handler, Stub, drip, hang, reply

NOTICE = Notice(event="bed_full", title="Clear the bed", text="mk3s has finished.", urgency=Urgency.ACT, order_id="o1")


async def send(stub: Stub, notice: Notice = NOTICE, credential: str = "", timeout_s: float = 5.0) -> dict[str, Any]:
    """The message as it came over the wire."""
    channel = NtfyChannel(f"ntfy://{credential}{stub.host}/garage", timeout_s=timeout_s)
    try:
        await channel.send(notice)
    finally:
        await channel.aclose()
    message: dict[str, Any] = json.loads(stub.received[-1].body)
    return message


async def test_the_text_is_in_the_body_and_nowhere_else() -> None:
    async with Stub(reply()) as stub:
        assert await send(stub) == {
            "topic": "garage",
            "title": "Clear the bed",
            "message": "mk3s has finished.",
            "priority": 4,
            "tags": ["raised_hand", "o1"],
        }
        (request,) = stub.received
    assert (request.method, request.target) == ("POST", "/")
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert "finished" not in str(request.headers)


@pytest.mark.parametrize(
    ("urgency", "priority", "tag"), [("info", 3, "printer"), ("act", 4, "raised_hand"), ("alarm", 5, "rotating_light")]
)
async def test_urgency_is_priority_and_tag(urgency: str, priority: int, tag: str) -> None:
    async with Stub(reply()) as stub:
        sent = await send(stub, Notice(event="x", title="t", text="", urgency=Urgency(urgency)))
    assert (sent["priority"], sent["tags"], sent["message"]) == (priority, [tag], "t")


async def test_a_token_is_a_bearer_token() -> None:
    async with Stub(reply()) as stub:
        await send(stub, credential="tk_secret123@")
        assert stub.received[0].headers["authorization"] == "Bearer tk_secret123"


async def test_user_and_password_are_basic() -> None:
    async with Stub(reply()) as stub:
        await send(stub, credential="ada:p%40ss%3Aw%C3%B6rd@")
        kind, _, told = stub.received[0].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(told).decode()) == ("Basic", "ada:p@ss:wörd")


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(10, 300))
def test_a_long_text_is_cut_at_a_characters_border(text: str, most: int) -> None:
    sent = _sendable(text, most)
    assert len(sent.encode()) <= most
    assert sent == text or sent.endswith("…") or not text.isprintable()
    assert text.encode(errors="replace").decode().startswith(sent.removesuffix("…"))


@pytest.mark.parametrize("text", ["ö" * 3000, "🖨" * 2000, "a" * 4097, "half a pair \ud83d of a file's name"])
async def test_every_text_goes_over_the_wire(text: str) -> None:
    async with Stub(reply()) as stub:
        sent = await send(stub, Notice(event="x", title="T" * 1000, text=text))
    assert len(sent["message"].encode()) <= 4096
    assert len(sent["title"].encode()) <= 256
    if len(text) > 100:
        assert sent["message"].endswith("…")
        assert len(sent["message"].encode()) > 4090


@pytest.mark.parametrize(
    ("status", "error", "retry_after_s"),
    [
        (400, Refused, None),
        (401, NeedsOperator, None),
        (403, NeedsOperator, None),
        (404, Refused, None),
        (301, Refused, None),
        (429, Transient, 17.0),
        (500, Transient, 17.0),
        (503, Transient, 17.0),
    ],
)
async def test_what_an_answer_means(status: int, error: type[AgentError], retry_after_s: float | None) -> None:
    async with Stub(reply(status, b'{"code": 42901}', Retry_After="17", Location="http://127.0.0.1:1/")) as stub:
        with pytest.raises(error, match=str(status)) as failed:
            await send(stub, credential="tk_secret123@")
        assert len(stub.received) == 1
    assert getattr(failed.value, "retry_after_s", None) == retry_after_s
    assert "tk_secret123" not in failed.value.told()


@pytest.mark.parametrize("told", ["soon", "-1", "1e9", "", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 5000, "inf"])
async def test_a_strange_time_to_stay_away_is_none(told: str) -> None:
    async with Stub(reply(429, Retry_After=told)) as stub:
        with pytest.raises(Transient) as failed:
            await send(stub)
    assert failed.value.retry_after_s is None


@pytest.mark.parametrize("server", [hang, drip(0.02, b"HTTP/1.1 200 OK\r\nX-"), drip(0.02, b"HTTP/1.1 500 No\r\n\r\n")])
async def test_a_server_that_hangs_or_drips_is_left(server: Handler) -> None:
    async with Stub(server) as stub:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Transient):
            await asyncio.wait_for(_send_only(stub), 5)
        assert asyncio.get_running_loop().time() - begun < 3


async def _send_only(stub: Stub) -> None:
    channel = NtfyChannel(f"ntfy://{stub.host}/garage", timeout_s=0.2)
    try:
        await channel.send(NOTICE)
    finally:
        await channel.aclose()


async def test_nobody_there() -> None:
    channel = NtfyChannel("ntfy://tk_secret123@127.0.0.1:9/garage")
    with pytest.raises(Transient, match="was not reached: ConnectError") as failed:
        await channel.send(NOTICE)
    await channel.aclose()
    assert "tk_secret123" not in failed.value.told()
    assert "garage" not in failed.value.told()  # on a public server the topic is all there is of a secret


async def test_many_messages_and_closing_twice() -> None:
    async with Stub(reply()) as stub:
        channel = NtfyChannel(f"ntfy://{stub.host}/garage")
        for _ in range(3):
            await channel.send(NOTICE)
        await channel.aclose()
        await channel.aclose()
        assert len(stub.received) == 3


async def test_a_proxy_of_the_environment_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stub(reply()) as stub:
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        await send(stub)
        assert len(stub.received) == 1


async def test_the_servers_address_is_https_where_it_is_asked_for() -> None:
    channel = NtfyChannel("ntfys://127.0.0.1:9/garage")
    with pytest.raises(Transient):
        await channel.send(NOTICE)
    assert channel._client is not None
    assert channel._client.base_url == httpx.URL("https://127.0.0.1:9")
    await channel.aclose()
