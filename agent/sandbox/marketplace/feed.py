"""Events in order, for whoever asks again and for whoever listens (server-sent events)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

PAGE = 200
_KEEP_ALIVE_S = 15.0


class Feed:
    """What happened, with a strictly increasing `seq`. Kept for as long as the server runs."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.closing = asyncio.Event()

    def emit(self, at: str, kind: str, **about: str) -> None:
        self._events.append({"seq": len(self._events) + 1, "at": at, "kind": kind, **about})
        self._wake()

    def after(self, seq: int, limit: int = PAGE) -> list[dict[str, Any]]:
        # seq counts from 1 without a gap, so it is also a place in the list.
        return self._events[seq : seq + limit]

    def close(self) -> None:
        """End every stream: the server stops."""
        self.closing.set()
        self._wake()

    async def stream(self, seq: int) -> AsyncIterator[bytes]:
        """Server-sent events after `seq`, until the listener leaves or the server stops."""
        yield b": the events of this marketplace\n\n"
        while not self.closing.is_set():
            news = self._news
            for event in self.after(seq):
                seq = event["seq"]
                yield f"id: {seq}\ndata: {json.dumps(event)}\n\n".encode()
            if self._events[seq:]:
                continue
            try:
                await asyncio.wait_for(news.wait(), _KEEP_ALIVE_S)
            except TimeoutError:
                yield b": still here\n\n"

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
