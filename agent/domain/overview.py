"""How all orders stand together, in figures: for those who watch a shop and not an order."""

from datetime import datetime

from agent.domain.question import Step
from agent.domain.values import Money, Value


class WaitingOffer(Value):
    """An offer that a person was asked about and has not answered. `question_id` is what an answer to it names."""

    question_id: int
    order_id: str
    marketplace: str
    payout: Money
    accept_by: datetime


class Overview(Value):
    """`waits`: how many questions of each step nobody has answered; steps with none are left out.

    `offers`: the first to end first; not more of them than anybody reads. `open_orders`: accepted and not at their end. `to_print`: of
    those, the ones whose last plate is not off its printer. `deadline`: the earliest of all parcels that are still to be shipped, and of
    all offers that wait for a person.
    """

    waits: dict[Step, int] = {}
    offers: list[WaitingOffer] = []
    open_orders: int = 0
    to_print: int = 0
    deadline: datetime | None = None
