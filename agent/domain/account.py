"""The operator's account with a marketplace: whether offers come, what can be asked for, what was earned. As the Operator API names it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from agent.domain.values import Money, Name, Text, Token, Value

Days = Annotated[int, Field(ge=0, le=3650)]
Side = Annotated[float, Field(gt=0, le=100_000)]


class Presence(StrEnum):
    """Online is what makes offers come; offline takes nothing back that was accepted."""

    ONLINE = "online"
    OFFLINE = "offline"


class Status(Value):
    """`until` None: until it is changed. `reason` is whatever was sent with the change, by whoever made it."""

    state: Presence
    until: AwareDatetime | None = None
    reason: Text = ""


class SupplyKind(Value):
    """Something that can be asked for. `inner_mm`: what fits inside, where it is a box."""

    kind: Token
    title: Name
    inner_mm: Annotated[list[Side], Field(min_length=3, max_length=3)] | None = None


class SupplyState(StrEnum):
    OPEN = "open"
    SHIPPED = "shipped"
    ARRIVED = "arrived"


class SupplyRequest(Value):
    request_id: Token
    kind: Token
    quantity: int = Field(ge=1, le=1_000_000)
    state: SupplyState


class Supplies(Value):
    """What can be asked for, how long that takes, and what is on its way. `left_out`: rows that could not be read."""

    lead_time_days: Days
    kinds: list[SupplyKind]
    requests: list[SupplyRequest] = []
    left_out: int = 0

    def on_the_way(self, kind: str) -> list[SupplyRequest]:
        return [request for request in self.requests if request.kind == kind and request.state is not SupplyState.ARRIVED]


class EarningState(StrEnum):
    """PENDING: earned, and not to be paid yet."""

    PENDING = "pending"
    PAYABLE = "payable"
    PAID = "paid"


class Earning(Value):
    """What one order brought."""

    order_id: Token
    amount: Money
    state: EarningState


class EarningSum(Value):
    """What several orders brought together."""

    state: EarningState
    amount: Decimal
    currency: str
    orders: int


class Earnings(Value):
    """One line an order. `left_out`: lines that could not be read, so that no sum is taken for whole that is not."""

    lines: list[Earning]
    left_out: int = 0


def sums(lines: Sequence[Earning]) -> list[EarningSum]:
    """By state, in the order money moves, and by currency; currencies are never added up."""
    places = sorted({(list(EarningState).index(line.state), line.amount.currency) for line in lines})
    return [_sum(lines, list(EarningState)[n], currency) for n, currency in places]


def _sum(lines: Sequence[Earning], state: EarningState, currency: str) -> EarningSum:
    amounts = [line.amount.amount for line in lines if line.state is state and line.amount.currency == currency]
    return EarningSum(state=state, amount=sum(amounts, Decimal()), currency=currency, orders=len(amounts))


class ClockReading(Value):
    """What another machine's clock shows now: somewhere between the two, for its answers take time to come."""

    earliest: AwareDatetime
    latest: AwareDatetime

    def ahead(self, now: datetime) -> timedelta:
        """By how much `now` is ahead of that clock, at the least; negative where it is behind."""
        if now > self.latest:
            return now - self.latest
        return min(now - self.earliest, timedelta())
