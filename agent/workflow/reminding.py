"""A parcel that has to be on its way soon, and that waits for hands: its person is reminded, once."""

from datetime import datetime, timedelta

from agent.domain.order import Order
from agent.domain.question import Question
from agent.ports.notifier import Notice, Urgency
from agent.workflow.promises import ship_by
from agent.workflow.shop import Shop

_REMINDED = "reminded"


async def remind(order: Order, waits_for: Question, shop: Shop) -> float | None:
    """Reminds where it is time. In how many seconds it will be; None: not any more.

    It is noted after it was told: a daemon that dies in between tells it twice, which is better than never.
    """
    deadline = ship_by(order.dossier)
    at = None if deadline is None else _time_for(waits_for.asked_at, deadline, shop.remind_before_s)
    if deadline is None or at is None:
        return None
    left_s = (at - shop.now()).total_seconds()
    if left_s > 0:
        return left_s
    if any(event.kind == _REMINDED for event in shop.ledger.events(order.id)):
        return None
    text = f"It has to be on its way by {deadline.astimezone():%a %d %b %H:%M}, and waits for you. {waits_for.text}"
    notice = Notice(
        event="ship_by_near", title=f"Order {order.id} has to be shipped soon", text=text, urgency=Urgency.ALARM, order_id=order.id
    )
    await shop.notifier.notify(notice.model_copy(update={"step": waits_for.step, "deadline": deadline}))
    shop.ledger.record(order.id, _REMINDED, {"step": waits_for.step, "ship_by": deadline.isoformat()})
    return None


def _time_for(asked_at: datetime, deadline: datetime, before_s: float) -> datetime | None:
    """So long before the deadline; where it was asked for later than that, halfway to it. None where it was too late by then."""
    if not before_s or deadline <= asked_at:
        return None
    early = deadline - timedelta(seconds=before_s)
    return early if asked_at < early else asked_at + (deadline - asked_at) / 2
