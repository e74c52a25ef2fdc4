"""Calling the operator."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

from agent.domain.question import Step
from agent.domain.values import Value


class Urgency(StrEnum):
    INFO = "info"
    ACT = "act"
    """Something waits for the operator's hands."""
    ALARM = "alarm"


class Button(Value):
    """Something to press in a message. Without a secret it opens `url`; with one, the secret is sent there, and that is the act."""

    label: str
    url: str
    secret: SecretStr | None = None


class Notice(Value):
    """One message. `event` is from the log's vocabulary.

    `step`: the question of this order (and printer) that this tells of; None: nothing is asked. `deadline`: until when it has to be done.
    """

    event: str
    title: str
    text: str
    urgency: Urgency = Urgency.INFO
    order_id: str = ""
    picture: str = ""
    """sha256 of a JPEG or PNG in the file store. One that is missing, too large or refused never keeps the notice back."""
    printer: str = ""
    step: Step | None = None
    deadline: datetime | None = None
    buttons: list[Button] = []
    """For one person; whoever makes a notice leaves it empty."""


class Notifier(Protocol):
    """Tells a person. Failing to tell is logged by the implementation and never raised: no order stops for it."""

    async def notify(self, notice: Notice) -> None: ...

    async def aclose(self) -> None: ...
