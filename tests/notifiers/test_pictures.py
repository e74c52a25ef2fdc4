"""A notice with a picture: both arrive, or the notice alone does. Over real HTTP, against a server that publishes as ntfy does."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.notifiers.fanout import FanOut
from agent.notifiers.log import LogChannel
from agent.notifiers.ntfy import NtfyChannel, _sendable, _with_picture
from agent.notifiers.picture import LARGEST_BYTES, Picture
from agent.ports.notifier import Notice, Urgency
from tests.rigs.http_stub import Handler, Received, Stub, drip, hang, reply
from tests.rigs.ntfy_server import NtfyServer, parameters

JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 40
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
TEXT = "mk3s: nächste Zeile\nUnd „mehr“ 🖨️ =?UTF-8?Q?kein=20Wort?= %41 a+b"
Send = Callable[..., Awaitable[list[dict[str, object]]]]


def notice(text: str = TEXT, picture: str = "bed") -> Notice:
    return Notice(event="print_finished", title="Bett räumen 🖨", text=text, urgency=Urgency.ACT, order_id="o1", picture=picture)


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Sends each picture's bytes (None: the file is not there) with a notice of its own; what was logged meanwhile."""

    async def sent(host: str, *pictures: bytes | None, credential: str = "", timeout_s: float = 5.0) -> list[dict[str, object]]:
        notifier = FanOut(
            [NtfyChannel(f"ntfy://{credential}{host}/garage", timeout_s=timeout_s)], tmp_path.joinpath, pauses_s=(), drain_s=20.0
        )
        with capture_logs() as told:
            for n, content in enumerate(pictures):
                if content is not None:
                    (tmp_path / f"bed{n}").write_bytes(content)
                await notifier.notify(notice(picture=f"bed{n}"))
            await notifier.aclose()
        return [dict(line) for line in told]

    return sent


@pytest.mark.parametrize(("content", "name", "media_type"), [(JPEG, "picture.jpg", "image/jpeg"), (PNG, "picture.png", "image/png")])
async def test_the_picture_arrives_with_all_that_is_said(send: Send, content: bytes, name: str, media_type: str) -> None:
    async with NtfyServer() as server:
        assert await send(server.stub.host, content, credential="tk_s3cr3t@") == []
    (message,), (request,) = server.messages, server.stub.received
    assert message.attachment is not None
    assert (message.attachment.name, message.attachment.content) == (name, content)
    assert (message.topic, message.title, message.message) == ("garage", "Bett räumen 🖨", TEXT)
    assert (message.priority, message.tags) == (4, ["raised_hand", "o1"])
    assert (request.method, request.target) == ("PUT", "/garage"), "the text is in no address, so in no access log"
    assert (request.headers["content-type"], request.headers["content-length"]) == (media_type, str(len(content)))
    assert request.headers["authorization"] == "Bearer tk_s3cr3t"


@settings(deadline=None)
@example("C:\\new\\nozzle.stl\nand \\\\n")
@example("a" * 5000)
@given(st.text(max_size=200))
def test_every_text_says_the_same_with_and_without_a_picture(text: str) -> None:
    headers = _with_picture("garage", notice(text), Picture(Path(), JPEG, "picture.jpg", "image/jpeg"))["headers"]
    assert all(value.isascii() and value.isprintable() and len(value) < 8000 for value in headers.values())
    read = parameters({name.lower(): value for name, value in headers.items()})
    message = read["x-message"].replace("\\n", "\n").replace("\N{WORD JOINER}", "")
    said = _sendable(text or "Bett räumen 🖨", 4096).strip().replace("\N{WORD JOINER}", "")
    assert message == said or (message.endswith("…") and said.startswith(message[:-1]))


async def test_a_server_without_attachments_gets_every_notice_and_the_log_one_word(send: Send) -> None:
    async with NtfyServer(largest=None) as server:
        told = await send(server.stub.host, JPEG, JPEG, JPEG)
    assert [(message.message, message.attachment) for message in server.messages] == [(TEXT, None)] * 3
    (line,) = told
    assert (line["event"], line["order_id"]) == ("notify_without_picture", "o1")
    assert "attachments switched on" in str(line["error"])


async def test_a_picture_the_server_finds_too_large_is_left_out_and_the_next_one_goes(send: Send) -> None:
    async with NtfyServer(largest=len(JPEG)) as server:
        told = await send(server.stub.host, JPEG + b"x", JPEG, JPEG + b"x")
    assert [message.attachment is not None for message in server.messages] == [False, True, False]
    assert [("413" in str(line["error"]), "larger" in str(line["error"])) for line in told] == [(True, True)] * 2


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 507])
async def test_whatever_is_answered_to_a_picture_the_notice_goes_without(send: Send, status: int) -> None:
    """A proxy may refuse files for reasons of its own, and a day's bandwidth for them be used up (42905)."""

    async with NtfyServer() as ntfy:

        async def no_files(request: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(reply(status) if request.method == "PUT" else ntfy.published(request))
            await writer.drain()

        async with Stub(no_files) as server:
            told = await send(server.host, JPEG)
    assert [message.attachment for message in ntfy.messages] == [None]
    assert [line["event"] for line in told] == ["notify_without_picture"]


async def test_a_server_that_hangs_up_in_the_middle_of_a_picture(send: Send) -> None:
    """As Go's HTTP server does with a large body that it will not take: it answers, and closes with most of it unread."""
    taken: list[str] = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PUT"):
            writer.write(reply(413))
        else:
            body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            taken.append(json.loads(body)["message"])
            writer.write(reply(200))
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    async with server:
        told = await send(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", JPEG + os.urandom(4_900_000))
    assert taken == [TEXT]
    assert [line["event"] for line in told] == ["notify_without_picture"]
    assert "answered 413" in str(told[0]["error"]) or "hung up on the picture" in str(told[0]["error"])


@pytest.mark.parametrize("answer", [hang, drip(0.02, b"HTTP/1.1 200 OK\r\nX-")])
async def test_a_server_that_hangs_over_a_picture(send: Send, answer: Handler) -> None:
    async with NtfyServer() as ntfy:

        async def stuck(request: Received, writer: asyncio.StreamWriter) -> None:
            await (answer if request.method == "PUT" else ntfy.answer)(request, writer)

        async with Stub(stuck) as server:
            begun = asyncio.get_running_loop().time()
            told = await send(server.host, JPEG, timeout_s=0.3)
            assert asyncio.get_running_loop().time() - begun < 5
    assert [message.message for message in ntfy.messages] == [TEXT]
    assert [line["event"] for line in told] == ["notify_without_picture"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file"),
        (b"", "neither a JPEG nor a PNG"),
        (b"<html>", "neither a JPEG nor a PNG"),
        (JPEG + bytes(LARGEST_BYTES), "more than 5 MB"),
    ],
    ids=["gone", "empty", "a page", "too large"],
)
async def test_a_picture_that_is_none_is_told_and_the_notice_goes(send: Send, content: bytes | None, why: str) -> None:
    async with NtfyServer() as server:
        told = await send(server.stub.host, content)
    assert [(message.message, message.attachment) for message in server.messages] == [(TEXT, None)]
    assert [request.method for request in server.stub.received] == ["POST"], "nothing of it is sent"
    assert [line["event"] for line in told] == ["notify_without_picture"]
    assert why in str(told[0]["error"])


async def test_a_server_that_is_away_is_told_as_such_and_not_as_one_without_pictures(send: Send) -> None:
    (line,) = await send("127.0.0.1:9", JPEG)
    assert line["event"] == "notify_failed"


async def test_the_largest_picture_of_all_arrives_whole(send: Send) -> None:
    content = JPEG + os.urandom(LARGEST_BYTES - len(JPEG))
    async with NtfyServer() as server:
        assert await send(server.stub.host, content) == []
    assert server.messages[0].attachment is not None
    assert server.messages[0].attachment.content == content


async def test_the_log_tells_which_picture_and_reads_none(tmp_path: Path) -> None:
    notifier = FanOut([LogChannel()], tmp_path.joinpath)
    with capture_logs() as told:
        await notifier.notify(notice(picture="no-such-file"))
        await notifier.notify(notice(picture=""))
        await notifier.aclose()
    assert [(line["event"], line.get("picture")) for line in told] == [("notice", "no-such-file"), ("notice", None)]
