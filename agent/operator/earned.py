"""What delivered orders brought by our own books, with what the marketplaces say beside it."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.domain.account import Earning, Earnings, EarningSum, sums
from agent.domain.booking import Booked, Month, Sums, months, sums_of
from agent.domain.errors import AgentError
from agent.domain.values import Value
from agent.ports.ledger import Ledger

LOOKED_BACK = timedelta(days=366)


class EarnedOrder(Value):
    """An order's line. `unpriced`: what is not taken off, because it has no price. `there`: what the marketplace says of it."""

    order: Booked
    sums: list[Sums]
    grams: float
    failed_prints: int
    unpriced: list[str]
    there: Earning | None


class EarnedMonth(Value):
    month: Month
    orders: list[EarnedOrder]


class There(Value):
    """What a marketplace says of the whole time. `why`: what of it is not known."""

    marketplace: str
    sums: list[EarningSum]
    why: str = ""


class Earned(Value):
    months: list[EarnedMonth]
    there: list[There]


def earned(ledger: Ledger, answers: Mapping[str, Earnings | AgentError], now: datetime) -> Earned:
    """Of a year. `answers`: of each marketplace that tells earnings."""
    said = {(name, line.order_id): line for name, answer in answers.items() if isinstance(answer, Earnings) for line in answer.lines}
    found = months(ledger.bookings(now - LOOKED_BACK))
    return Earned(
        months=[EarnedMonth(month=month, orders=[_order(order, said) for order in month.orders]) for month in found],
        there=[_there(name, answer) for name, answer in answers.items()],
    )


def _order(order: Booked, said: Mapping[tuple[str, str], Earning]) -> EarnedOrder:
    booking = order.booking
    return EarnedOrder(
        order=order,
        sums=sums_of([booking]),
        grams=booking.grams,
        failed_prints=len(booking.failed),
        unpriced=booking.unpriced,
        there=said.get((order.marketplace, order.remote_id or "")),
    )


def _there(name: str, answer: Earnings | AgentError) -> There:
    if isinstance(answer, AgentError):
        return There(marketplace=name, sums=[], why=answer.told())
    left_out = f"{answer.left_out} lines could not be read and are not counted." if answer.left_out else ""
    return There(marketplace=name, sums=sums(answer.lines), why=left_out)
