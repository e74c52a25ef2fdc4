"""What is still to be printed, in rows light enough to be asked for at every decision."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, and_, or_, select

from agent.domain.job import HOLDS_PRINTER, JobState
from agent.domain.order import State
from agent.ledger import tables as t
from agent.ledger.database import told_apart
from agent.ports.ledger import Unprinted

_UP_TO_PRINTED = (State.OFFERED, State.ACCEPTED, State.FETCHED, State.CHECKED, State.SLICED, State.PRINTING)
_NOT_TO_BE_PRINTED = (*HOLDS_PRINTER, JobState.HARVESTED)
_ON_HOLD = and_(t.orders.c.state == State.ON_HOLD, t.orders.c.resume_state.in_(_UP_TO_PRINTED))
_UNPRINTED = (
    select(t.orders.c.id, t.orders.c.state, t.orders.c.resume_state, t.orders.c.version, t.orders.c.tries, t.orders.c.updated_at)
    .where(or_(t.orders.c.state.in_(_UP_TO_PRINTED), _ON_HOLD))
    .order_by(t.orders.c.created_at, t.orders.c.id)
)
_OF_OPEN = and_(t.jobs.c.order_id == t.orders.c.id, t.orders.c.state.in_((State.PRINTING, State.ON_HOLD)))
_IN_WORK = select(t.jobs.c.order_id, t.jobs.c.plate).join(t.orders, _OF_OPEN).where(t.jobs.c.state.in_(_NOT_TO_BE_PRINTED))
"""Made once: making a question costs as much as its answer."""


class UnprintedRows:
    """The part of the ledger that a plan is made from."""

    _reading: Callable[[], Connection]

    def unprinted(self) -> Sequence[Unprinted]:
        with told_apart(), self._reading() as connection:
            return [
                Unprinted(order_id, State(state), None if resume is None else State(resume), *rest)
                for order_id, state, resume, *rest in connection.execute(_UNPRINTED)
            ]

    def plates_in_work(self) -> Mapping[str, frozenset[int]]:
        found: dict[str, set[int]] = {}
        with told_apart(), self._reading() as connection:
            for row in connection.execute(_IN_WORK):
                found.setdefault(row.order_id, set()).add(row.plate)
        return {order_id: frozenset(plates) for order_id, plates in found.items()}
