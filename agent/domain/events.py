"""What happened to an order, in order, each event chained to the one before it by hash."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from agent.domain.values import Value

GENESIS = "0" * 64


class Event(Value):
    """The n-th thing that happened to an order (n counts from 1). `at` is UTC."""

    order_id: str
    n: int
    at: datetime
    kind: str
    data: dict[str, Any]
    prev_hash: str
    hash: str


def event_hash(prev_hash: str, order_id: str, n: int, at: str, kind: str, data: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of an event and the hash before it. `at` is RFC 3339 text."""
    body = json.dumps([prev_hash, order_id, n, at, kind, data], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(body.encode()).hexdigest()


def first_broken(events: Iterable[Event]) -> Event | None:
    """The first event whose place, link or hash does not hold; None where the chain is whole."""
    prev = GENESIS
    for n, event in enumerate(events, start=1):
        expected = event_hash(prev, event.order_id, n, event.at.isoformat(), event.kind, event.data)
        if event.n != n or event.prev_hash != prev or event.hash != expected:
            return event
        prev = event.hash
    return None
