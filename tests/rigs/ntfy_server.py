"""A real HTTP server that publishes as ntfy does, as far as the agent uses it: JSON to the root, a file to a topic, and its health.

After ntfy's server/server.go (parsePublishParams, handleBodyAsAttachment), server/util.go (readParam), server/actions.go (parseActions) and
server/errors.go: a parameter is a header with encoded words, a backslash before an n in a message is a line break, tags are separated by
commas, all of them are trimmed; actions in a header are JSON where they begin with a bracket, and no more than three.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.header import decode_header
from typing import Any, Self

from tests.rigs.http_stub import Received, Stub, reply


@dataclass(frozen=True)
class Attachment:
    name: str
    content: bytes


@dataclass(frozen=True)
class Message:
    """What a phone that is subscribed to the topic would get."""

    topic: str
    title: str
    message: str
    priority: int
    tags: list[str]
    attachment: Attachment | None
    actions: list[dict[str, Any]] = field(default_factory=list)
    click: str = ""

    def action(self, label: str) -> dict[str, Any]:
        (found,) = [action for action in self.actions if action["label"] == label]
        return found


class NtfyServer:
    """`largest` None: attachments are switched off."""

    def __init__(self, largest: int | None = 15 * 1024 * 1024) -> None:
        self.largest = largest
        self.messages: list[Message] = []
        self.stub = Stub(self.answer)

    async def __aenter__(self) -> Self:
        await self.stub.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stub.__aexit__(*exc)

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(self.published(request))
        await writer.drain()

    def published(self, request: Received) -> bytes:
        if (request.method, request.target) == ("GET", "/v1/health"):
            return reply(200, b'{"healthy":true}')
        if request.target == "/":
            sent = json.loads(request.body)
            actions = _checked(sent.get("actions", []))
            text = sent["message"].strip()
            click = sent.get("click", "")
            self.messages.append(Message(sent["topic"], sent["title"], text, sent["priority"], sent["tags"], None, actions, click))
            return reply(200)
        if self.largest is None:
            return reply(400, b'{"code":40014,"http":400,"error":"invalid request: attachments not allowed"}')
        if len(request.body) > self.largest:
            return reply(413, b'{"code":41301,"http":413,"error":"attachment too large, or bandwidth limit reached"}')
        self.messages.append(_with_attachment(request))
        return reply(200)


@contextmanager
def running_ntfy() -> Iterator[NtfyServer]:
    """In a thread of its own, for a test that waits for another process."""
    server, listening, done = NtfyServer(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server:
            listening.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="ntfy")
    thread.start()
    try:
        assert listening.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def _with_attachment(request: Received) -> Message:
    told = parameters(request.headers)
    return Message(
        topic=request.path.strip("/"),
        title=told["x-title"],
        message=told["x-message"].replace("\\n", "\n"),
        priority=int(told["x-priority"]),
        tags=[tag.strip() for tag in told["x-tags"].split(",") if tag],
        attachment=Attachment(told["x-filename"], request.body),
        actions=_checked(json.loads(told["x-actions"])) if told.get("x-actions", "").startswith("[") else [],
        click=told.get("x-click", ""),
    )


def _checked(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As parseActions does; what it refuses is a fault of the agent's."""
    assert len(actions) <= 3
    for action in actions:
        assert action["action"] in ("view", "http")
        assert action["label"]
        assert action["url"]
    return actions


def parameters(headers: Any) -> dict[str, str]:
    """The headers as ntfy reads them."""
    return {name: "".join(_words(value)).strip() for name, value in headers.items()}


def _words(value: str) -> list[str]:
    return [word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in decode_header(value)]
