"""What waits for hands, over all orders, the most urgent first."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import ConfigDict

from agent.domain.offer import Offer
from agent.domain.order import Order, State
from agent.domain.printer import PrinterObservation, PrinterState
from agent.domain.question import Question, Step
from agent.domain.values import Value
from agent.operator.answers import bed_mark
from agent.ports.ledger import Bed, Ledger

SOON = timedelta(hours=1)
"""A deadline this close comes before everything else."""
_TITLES = {
    Step.OFFER: "Make {what}?",
    Step.HOLD: "Decide about {what}",
    Step.BED: "Clear the bed of {printer}",
    Step.POST_PROCESSING: "Post-process {what}",
    Step.PHOTOS: "Photograph {what}",
    Step.LABEL: "Print the label of {what}",
    Step.PACKED: "Pack {what}",
    Step.DROPPED_OFF: "Drop off {what}",
}
_HEEDED = frozenset({Step.OFFER, Step.POST_PROCESSING, Step.PHOTOS, Step.PACKED})
"""Where what the customer wrote has to be known."""
_STOPS_WORK = frozenset({Step.HOLD, Step.BED})
_LAST_FIRST = [Step.DROPPED_OFF, Step.PACKED, Step.LABEL, Step.PHOTOS, Step.POST_PROCESSING]


class Told(Value):
    """What goes out to scripts too: FastAPI wants it built when it is first seen."""

    model_config = ConfigDict(defer_build=False)


class Choice(Told):
    """An answer, and what it does."""

    choice: str
    does: str


class Task(Told):
    """One thing to do. `question_id` None: nothing is asked, a printer needs hands.

    `deadline`: when an offer ends, or a parcel has to be with the carrier. `picture`, `label`: sha256 of a file of the order.
    `bed_mark`: goes back with the word that the bed is clear. `packaging`: the planned one, of `packagings`. `carrier`: of a parcel that
    is ready.
    """

    step: str
    title: str
    text: str
    question_id: int | None = None
    order_id: str = ""
    printer: str = ""
    choices: list[Choice] = []
    deadline: datetime | None = None
    asked_at: datetime | None = None
    picture: str = ""
    label: str = ""
    bed_mark: str | None = None
    packaging: str = ""
    packagings: list[str] = []
    carrier: str = ""
    customer_says: str = ""
    attestations: list[dict[str, str]] = []


def what_waits(ledger: Ledger, seen: Mapping[str, PrinterObservation], now: datetime) -> list[Task]:
    """The queue. One task a bed, however many orders wait for it."""
    orders = {order.id: order for order in ledger.orders(open_only=True)}
    questions, beds = ledger.open_questions(), ledger.beds()
    tasks = [task_of(question, orders.get(question.order_id), beds) for question in _one_a_bed(questions)]
    tasks += _printers_that_need_hands(ledger, seen)
    return sorted(tasks, key=lambda task: _urgency(task, now))


def task_of(question: Question, order: Order | None, beds: Mapping[str, Bed]) -> Task:
    what = _parts(order) if order is not None else question.order_id
    return Task(
        step=question.step,
        title=_TITLES.get(question.step, question.step.value.capitalize()).format(what=what, printer=question.printer),
        text=question.text,
        question_id=question.id,
        order_id=question.order_id,
        printer=question.printer,
        choices=[Choice(choice=choice, does=does) for choice, does in question.choices.items()],
        deadline=_deadline(question.step, order),
        asked_at=question.asked_at,
        picture=_picture(order),
        label=order.dossier.label_sha256 if order is not None and question.step in (Step.LABEL, Step.PACKED) else "",
        bed_mark=bed_mark(beds.get(question.printer)) if question.step is Step.BED else None,
        packaging=question.data.get("packaging", ""),
        packagings=question.data.get("packagings", []),
        carrier=_carrier(order) if question.step is Step.DROPPED_OFF else "",
        customer_says=order.dossier.offer.special_instructions if order is not None and question.step in _HEEDED else "",
        attestations=question.data.get("attestations", []),
    )


def _one_a_bed(questions: Sequence[Question]) -> list[Question]:
    beds: set[str] = set()
    kept = []
    for question in questions:
        if question.step is Step.BED and question.printer in beds:
            continue
        beds |= {question.printer} if question.step is Step.BED else set()
        kept.append(question)
    return kept


def _printers_that_need_hands(ledger: Ledger, seen: Mapping[str, PrinterObservation]) -> list[Task]:
    """With work of ours that stands still: out of filament, or in no state to be understood."""
    tasks = []
    for job in ledger.active_jobs():
        look = seen.get(job.printer)
        if look is None or not (look.state is PrinterState.PAUSED or look.needs_attention):
            continue
        title = f"{job.printer} is paused" if look.state is PrinterState.PAUSED else f"{job.printer} needs attention"
        text = look.reason or "Is there filament? Resume it at the printer or on the page of the printers."
        tasks.append(Task(step="printer", title=title, text=text, order_id=job.order_id, printer=job.printer))
    return tasks


def _parts(order: Order) -> str:
    offer = order.dossier.offer
    first, *more = [f"{item.quantity} × {file_name(offer, item.file_id)}" for item in offer.items]
    return f"{first} and {len(more)} more" if more else first


def file_name(offer: Offer, file_id: str) -> str:
    """As the marketplace announced it. An item may name a file that was never announced."""
    return next((file.name for file in offer.files if file.file_id == file_id), file_id)


def _deadline(step: Step, order: Order | None) -> datetime | None:
    if order is None:
        return None
    if step is Step.OFFER or order.state is State.OFFERED:
        return order.accept_by
    remote = order.dossier.remote
    return (remote.ship_by if remote is not None else None) or order.dossier.offer.ship_by


def _picture(order: Order | None) -> str:
    reports = order.dossier.meshes.values() if order is not None else ()
    return next((picture for report in reports if (picture := report.pictures.get("isometric", ""))), "")


def _carrier(order: Order | None) -> str:
    """Empty: the marketplace did not say."""
    remote = order.dossier.remote if order is not None else None
    return remote.shipping.carrier if remote is not None and remote.shipping is not None else ""


def _urgency(task: Task, now: datetime) -> tuple[int, float, int, float]:
    """What ends soon; what keeps a printer or an order from going on; then what ships first, and what is nearest to its end."""
    deadline = task.deadline.timestamp() if task.deadline is not None else float("inf")
    asked = task.asked_at.timestamp() if task.asked_at is not None else 0.0
    if deadline <= (now + SOON).timestamp():
        return (0, deadline, 0, asked)
    if task.step in _STOPS_WORK or task.question_id is None:
        return (1, 0.0, 0, asked)
    place = _LAST_FIRST.index(Step(task.step)) if task.step in _LAST_FIRST else len(_LAST_FIRST)
    return (2, deadline, place, asked)
