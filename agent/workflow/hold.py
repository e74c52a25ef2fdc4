"""What a person's answer to a question does."""

from collections.abc import Callable

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.intent import Act
from agent.domain.job import HOLDS_PRINTER, Job, JobState
from agent.domain.mesh import Verdict
from agent.domain.offer import ProblemCode
from agent.domain.order import Dossier, Order, State
from agent.domain.printer import BedState
from agent.domain.question import Question, Step
from agent.ports.notifier import Notice, Urgency
from agent.workflow import stock, submission, watched
from agent.workflow.restored import PRINTED_SINCE, printed_since
from agent.workflow.shop import Shop
from agent.workflow.steps import Go, Hold, Outcome, Wait


async def answered_hold(order: Order, shop: Shop) -> Outcome:
    """Wait for the answer; then do what it says and go back to where the order stood."""
    question = shop.ledger.question(order.id, Step.HOLD)
    if question is None:
        return await _ask_again(order, shop)
    if question.answered_at is None:
        return Wait(None)
    choice = str(question.answer.get("choice", ""))
    said = {"choice": choice, "by": question.answered_by}
    if choice == "cancel":
        return await give_up(order, shop, question.answered_by, question)
    if choice == PRINTED_SINCE:
        return printed_since(order, question, shop.ledger)
    dossier = _with_answer(order, choice)
    if choice in _JOB_ANSWERS:
        job = _asked_about(order, question, shop)
        if job is not None and job.state in (*HOLDS_PRINTER, JobState.FAILED, JobState.CANCELLED):
            _JOB_ANSWERS[choice](order, job, shop)
    return Go(order.resume_state or State.ACCEPTED, "resumed", said, dossier, question)


async def _ask_again(order: Order, shop: Shop) -> Outcome:
    """The agent died between putting the order on hold and asking; the event has the question."""
    held = next(event.data for event in reversed(shop.ledger.events(order.id)) if event.kind == "on_hold")
    hold = Hold(held["reason"], held["text"], held["choices"], held["more"], picture=held.get("picture", ""))
    shop.ledger.ask(order, hold.question())
    await shop.notifier.notify(hold.notice(order.id))
    return Wait(None)


def _with_answer(order: Order, choice: str) -> Dossier:
    """`print`: the person looked at the models that were held, and lets them through."""
    if choice != "print":
        return order.dossier
    meshes = {
        file_id: report.model_copy(update={"verdict": Verdict.PRINT}) if report.verdict is Verdict.HOLD else report
        for file_id, report in order.dossier.meshes.items()
    }
    return order.dossier.model_copy(update={"meshes": meshes})


def _asked_about(order: Order, question: Question, shop: Shop) -> Job | None:
    name = question.data.get("job")
    return next((job for job in shop.ledger.jobs(order.id) if job.remote_name == name), None)


def _person_says(to: JobState, bed: BedState | None) -> Callable[[Order, Job, Shop], None]:
    def said(order: Order, job: Job, shop: Shop) -> None:
        intent = shop.ledger.open_intent(order.id, Act.START, job.remote_name)
        shop.ledger.move_job(job, to, "told_by_person", {}, bed, intent, takes=watched.used(order, job, to, shop))

    return said


_JOB_ANSWERS: dict[str, Callable[[Order, Job, Shop], None]] = {
    "never": _person_says(JobState.UPLOADED, BedState.FREE),
    "printing": _person_says(JobState.PRINTING, BedState.OCCUPIED),
    "printed": _person_says(JobState.FINISHED, BedState.OCCUPIED),
    "failed": _person_says(JobState.DISCARDED, BedState.OCCUPIED),
    "reprint": _person_says(JobState.DISCARDED, None),
}
"""What a person who looked at the printer can say of a job."""


async def give_up(order: Order, shop: Shop, by: str, question: Question | None = None) -> Outcome:
    """Stop what is ours on printers, tell the marketplace, and end the order. What is on a bed stays for a person to see; what was printed
    is booked as lost with the last move, so once."""
    for job in shop.ledger.jobs(order.id):
        if job.state in HOLDS_PRINTER:
            await _stop(order, job, shop)
    try:
        await _tell_marketplace(order, shop)
    except Refused as refused:
        shop.ledger.record(order.id, "problem_not_taken", {"why": str(refused)})
    except NeedsOperator as error:
        # The answer stands and is done once the marketplace can be told; a new question would lose it.
        raise Transient(str(error), hint=error.hint, code=error.code) from error
    loss = stock.lost_with(order, shop.prices, shop.ledger)
    booked = {} if loss is None else {"booked": loss.model_dump(mode="json")}
    return Go(State.CANCELLED, "cancelled", {"by": by, **booked}, settles=question, books=loss)


async def _tell_marketplace(order: Order, shop: Shop) -> None:
    """Also where an acceptance was sent and its answer never came: it may be ours all the same."""
    remote = order.dossier.remote
    if remote is None and shop.ledger.open_intent(order.id, Act.ACCEPT) is not None:
        remote = await shop.marketplace(order.marketplace).order_of(order.dossier.offer.offer_id)
    if remote is not None:
        known = order.model_copy(update={"dossier": order.dossier.model_copy(update={"remote": remote})})
        await submission.report_problem(known, ProblemCode.OTHER, "The operator cannot complete this order.", shop)


async def _stop(order: Order, job: Job, shop: Shop) -> None:
    untouched = job.state in (JobState.CLAIMED, JobState.UPLOADED)
    if job.state in (JobState.STARTING, JobState.PRINTING):
        try:
            await shop.printer(job.printer).cancel(job.remote_name)
        except AgentError as why:
            shop.ledger.record(order.id, "print_not_cancelled", {"job": job.remote_name, "why": why.told()})
            text = f"{job.remote_name} may still be printing on {job.printer}, and could not be stopped: {why.told()} Stop it by hand."
            notice = Notice(event="print_not_cancelled", title=f"Stop {job.printer}", text=text, urgency=Urgency.ALARM, order_id=order.id)
            await shop.notifier.notify(notice)
    bed = None if untouched else BedState.UNKNOWN
    intent, takes = shop.ledger.open_intent(order.id, Act.START, job.remote_name), watched.used(order, job, JobState.CANCELLED, shop)
    shop.ledger.move_job(job, JobState.CANCELLED, "job_given_up", {}, bed, intent, takes=takes)
