"""What a ledger that comes from a backup does not know: whatever happened since. Nothing is printed on the strength of it."""

from datetime import datetime
from typing import NamedTuple

from agent.domain.intent import Act
from agent.domain.job import HOLDS_PRINTER, JobState
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.domain.question import Question, Step
from agent.ports.ledger import Ledger, OrderMove
from agent.workflow.steps import CANCEL, Go, Hold

RESTORED = "restored"
"""The event. After it a printer's own record is asked before any print is started, also one that this ledger never intended."""
_MAY_HAVE_GONE_ON = (State.ACCEPTED, State.FETCHED, State.CHECKED, State.SLICED, State.PRINTING)
PRINTED_SINCE = "printed_since"
_CHOICES = {
    "retry": "nothing of it was printed since then: go on",
    PRINTED_SINCE: "all of it was printed since then: go on with what comes after printing",
    **CANCEL,
}


class Distrusted(NamedTuple):
    """Orders that ask a person, and offers that are answered no more: the ids."""

    held: list[str]
    offers: list[str]


def distrust(ledger: Ledger, backup_of: datetime) -> Distrusted:
    """Every order that may have been printed since then is put on hold, and no bed is known to be free any more. An offer may have been
    accepted since, under a key that is not known here: it is left alone."""
    held, offers = [], []
    for order in ledger.orders(open_only=True):
        ledger.record(order.id, RESTORED, {"backup_of": backup_of.isoformat()})
        stage = order.resume_state or order.state
        if stage is State.OFFERED:
            ledger.move(
                order, OrderMove(to=State.LOST, event="lost", data={"why": "Whether it was accepted since the backup is not known."})
            )
            offers.append(order.id)
        elif stage in _MAY_HAVE_GONE_ON:
            _hold(order, backup_of, ledger)
            held.append(order.id)
    for printer in ledger.beds():
        ledger.set_bed(printer, BedState.UNKNOWN, "restored from a backup")
    return Distrusted(held, offers)


def _hold(order: Order, backup_of: datetime, ledger: Ledger) -> None:
    text = (
        f"This order comes from a backup of {backup_of.astimezone():%d %b %Y %H:%M}. What was done for it since then is not known here. "
        f"Look at the printers and at the marketplace: was any of it printed since?"
    )
    before = ledger.question(order.id, Step.HOLD)
    hold = Hold(RESTORED, text, _CHOICES)
    held = ledger.move(order, hold.move(order))
    if before is not None:
        ledger.settle_question(before)
    ledger.ask(held, hold.question())


def printed_since(order: Order, answered: Question, ledger: Ledger) -> Go:
    """A person saw all of its parts. What a job that is open here used is not known, and nothing is booked for it."""
    said = {"by": answered.answered_by}
    for job in ledger.jobs(order.id):
        if job.state in HOLDS_PRINTER:
            intent = ledger.open_intent(order.id, Act.START, job.remote_name)
            ledger.move_job(job, JobState.HARVESTED, "told_by_person", said, settles=intent)
    return Go(State.PRINTED, "printed", said, settles=answered)
