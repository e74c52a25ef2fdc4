"""A decision is a record: every rule with its value and its limit, for every printer, and the answer."""

from datetime import datetime
from enum import StrEnum

from agent.domain.offer import DeclineReason
from agent.domain.schedule import Forecast
from agent.domain.values import Value


class Answer(StrEnum):
    ACCEPT = "accept"
    DECLINE = "decline"
    ASK = "ask"
    """The agent has advice, a person decides."""


class RuleResult(Value):
    """One rule's finding. `printer` is empty for a rule about the offer as a whole; `also` are more printers it is found of, word for
    word: fifty printers of three models are not fifty times the same lines."""

    rule: str
    printer: str = ""
    also: tuple[str, ...] = ()
    value: str
    limit: str
    ok: bool
    reason: DeclineReason = DeclineReason.CANNOT_MAKE


class Quote(Value):
    """What making an order takes. `printer`: the printer, or the profiles, it was made for. `estimated`: from volume, not from slicing.

    `items`: those it is for; empty: all of the order. `reasons`: why others are not among them, or why it is no quote at all.
    `print_seconds`: what is reckoned with. `slicer_seconds`: what the slicer says, where that was corrected, and `time_told` why.
    """

    printer: str
    ok: bool
    reasons: list[str] = []
    print_seconds: int = 0
    slicer_seconds: int = 0
    time_told: str = ""
    filament_g: float = 0.0
    plates: int = 0
    estimated: bool = False
    items: list[str] = []


class Decision(Value):
    """The answer with everything it was made from. `printers`: item id -> the printers that can make it. `advice` changed no answer.

    `forecast`: what it does to the plan, where a plan was made. `packaging`: the one that all of it goes into; empty: none was looked for,
    or found. `decided_at` (local time) and `open_orders`: how things stood; None in records of earlier versions.
    """

    answer: Answer
    rules: list[RuleResult]
    printers: dict[str, list[str]] = {}
    quotes: list[Quote] = []
    reason: DeclineReason | None = None
    text: str = ""
    advice: list[str] = []
    forecast: Forecast | None = None
    packaging: str = ""
    decided_at: datetime | None = None
    open_orders: int | None = None
