"""What a person can do: the same for pages, scripts and from afar. Each act says of what it was shown, so that it is not done twice."""

from agent.domain.errors import Refused
from agent.domain.question import Step
from agent.operator.answers import Answers, job_on
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks

CONTROLS = ("pause", "resume", "cancel")


def answer(desk: Desk, by: str, question_id: int, choice: str, used: str = "") -> None:
    """One of the choices of that very question. Stale, with who was first, where it was answered. Nobody agrees to a sentence this way.

    `used`: of a parcel that was packed, as `Answers.packed` has it.
    """
    question = desk.ledger.question_by_id(question_id)
    if question is None:
        raise Refused(f"There is no question {question_id}.", hint="Look at what waits now.", code="no_such_question")
    if question.step is Step.BED:
        hint = f"Say it of the printer {question.printer}, with the mark of its bed."
        raise Refused("A bed is said to be clear of its printer.", hint=hint, code="not_a_choice")
    if question.step is Step.PHOTOS and not question.choices:
        hint = "A person does that, signed in on the page, or by `intagly-agent confirm photos`."
        raise Refused("This takes photos, and a person who agrees.", hint=hint, code="person_required")
    answers = Answers(desk.ledger, desk.store, by)
    if question.step is Step.PACKED and choice in ("", *question.choices):
        answers.packed(question.order_id, used, asked=question_id)
    else:
        answers.choose(question.step, question.order_id, choice, asked=question_id)
    desk.wake()


def clear_bed(desk: Desk, by: str, printer: str, mark: str) -> None:
    """The bed as it was shown is clear. Stale where something has happened to it since then."""
    _known(desk, printer)
    Answers(desk.ledger, desk.store, by).bed_is_clear(printer, mark)
    desk.wake()


async def control(desk: Desk, looks: PrinterLooks, by: str, printer: str, act: str, job_name: str) -> None:
    """As `ask_printer`; the next who looks sees what came of it."""
    try:
        await ask_printer(desk, by, printer, act, job_name)
    finally:
        if printer in desk.printers:
            looks.forget(printer)


async def ask_printer(desk: Desk, by: str, printer: str, act: str, job_name: str) -> None:
    """Pause, resume or cancel that job of ours. What a person asked for stands in the order's history before it is done."""
    _known(desk, printer)
    if act not in CONTROLS:
        raise Refused(f"A printer cannot be asked to {act}.", hint=f"It can be asked to {', '.join(CONTROLS)}.", code="no_such_act")
    job = job_on(desk.ledger, printer)
    if job is None or job.remote_name != job_name:
        hint = "Look at the printer again."
        raise Refused(f"{printer} is not printing {job_name} for the agent any more.", hint=hint, code="not_that_job")
    desk.ledger.record(job.order_id, f"asked_to_{act}", {"printer": printer, "job": job_name, "by": by})
    machine = desk.printers[printer]
    try:
        match act:
            case "pause":
                await machine.pause(job_name)
            case "resume":
                await machine.resume(job_name)
            case "cancel":
                await machine.cancel(job_name)
    finally:
        desk.wake()


def _known(desk: Desk, printer: str) -> None:
    if printer not in desk.printers:
        raise Refused(f"There is no printer {printer}.", hint=f"Printers: {', '.join(desk.printers)}.", code="no_such_printer")
