"""A photo on its way from a phone to the operator's agent, and until it is handed in."""

from datetime import datetime
from typing import Any

from agent.domain.values import Value

MOST_PHOTOS = 30
"""Of one order, at the same time."""
MOST_EVER = 150
"""Of one order, with those that were put away: the store keeps what it has taken."""
MOST_UNFINISHED_OF_ONE, MOST_UNFINISHED_OF_ALL = 150_000_000, 600_000_000
"""Bytes that were announced and have not been looked at yet: of one person, of all."""


class NewUpload(Value):
    """`key` is the phone's own name for it: begun twice under one key, it is the same. `item_id`: what it shows; empty: all of the order.
    `length` in bytes."""

    order_id: str
    item_id: str
    key: str
    person: str
    length: int


class Upload(NewUpload):
    """`received`: bytes that are on the disk for certain. `checked`: what looking at the whole photo found; None: not looked at yet."""

    id: str
    received: int
    began_at: datetime
    touched_at: datetime
    checked: dict[str, Any] | None = None

    @property
    def whole(self) -> bool:
        return self.received == self.length
