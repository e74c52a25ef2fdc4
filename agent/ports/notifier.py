"""Calling the operator."""

from enum import StrEnum
from typing import Protocol

from agent.domain.values import Value


class Urgency(StrEnum):
    INFO = "info"
    ACT = "act"
    """Something waits for the operator's hands."""
    ALARM = "alarm"


class Notice(Value):
    """One message. `event` is from the log's vocabulary."""

    event: str
    title: str
    text: str
    urgency: Urgency = Urgency.INFO
    order_id: str = ""
    picture: str = ""
    """sha256 of a JPEG or PNG in the file store. One that is missing, too large or refused never keeps the notice back."""


class Notifier(Protocol):
    """Tells a person. Failing to tell is logged by the implementation and never raised: no order stops for it."""

    async def notify(self, notice: Notice) -> None: ...

    async def aclose(self) -> None: ...
