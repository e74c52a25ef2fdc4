"""What is asked of a person and what they answered. The agent never answers for them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from agent.domain.values import Value


class Step(StrEnum):
    """What a person can be asked to do or decide; the STEP of `intagly-agent confirm`."""

    OFFER = "offer"
    HOLD = "hold"
    BED = "bed"
    POST_PROCESSING = "post-processing"
    PHOTOS = "photos"
    LABEL = "label"
    PACKED = "packed"
    DROPPED_OFF = "dropped-off"


class Question(Value):
    """One question. `choices` are the answers it takes, with what each does; empty where the answer is data.

    `order_id` is empty for a question about a printer, `printer` for one about an order.
    """

    id: int
    step: Step
    order_id: str = ""
    printer: str = ""
    text: str
    choices: dict[str, str] = {}
    data: dict[str, Any] = {}
    asked_at: datetime
    answered_at: datetime | None = None
    answer: dict[str, Any] = {}
    answered_by: str = ""


class NewQuestion(Value):
    """A question about to be asked."""

    step: Step
    text: str = Field(min_length=1)
    choices: dict[str, str] = {}
    data: dict[str, Any] = {}
