"""What was written down before an act that cannot be repeated."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from agent.domain.values import Value


class Act(StrEnum):
    """Acts that need an intent. START is a print, PRINT_LABEL one on paper; the rest are calls to a marketplace."""

    ACCEPT = "accept"
    DECLINE = "decline"
    START = "start"
    BEGIN_SUBMISSION = "begin_submission"
    SUBMIT = "submit"
    DELIVERED = "delivered"
    PROBLEM = "problem"
    PRINT_LABEL = "print_label"


class Intent(Value):
    """`key` is unique for ever and goes out with the act wherever the other side takes one. `outcome` None: still open."""

    id: int
    order_id: str
    act: Act
    subject: str
    key: str
    opened_at: datetime
    outcome: dict[str, Any] | None = None


class SupplyIntent(Value):
    """A person asked a marketplace for so many of a kind. `known`: ids of the requests that were there when it was said.

    `outcome` None: still open. Else {"request": …} as the marketplace tells it, {"refused": why}, or {"unknown": why}.
    """

    id: int
    marketplace: str
    kind: str
    quantity: int
    said_by: str
    key: str
    known: list[str]
    opened_at: datetime
    outcome: dict[str, Any] | None = None


class NewSupplyIntent(Value):
    """As SupplyIntent, not yet written."""

    marketplace: str
    kind: str
    quantity: int
    said_by: str
    key: str
    known: list[str]
