"""Printing once. The printer is the truth, the ledger is the intent; what cannot be known is asked, never guessed.

CLAIMED    the printer and its free bed are ours            -> upload (repeatable)
UPLOADED   the file lies on the printer                     -> look; intent + STARTING in one commit; send start once
STARTING   a start was, or may have been, sent              -> observe only: adopt, disprove, or ask
PRINTING   the printer named the job as active              -> observe until it ends
FINISHED   it ended well; the part is on the bed            -> wait until the bed was cleared
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agent.domain.errors import AgentError, Refused, Transient
from agent.domain.intent import Act, Intent
from agent.domain.job import Job, JobState
from agent.domain.order import Order
from agent.domain.printer import ENDED, BedState, PrinterObservation, PrinterState
from agent.domain.question import NewQuestion, Step
from agent.domain.values import as_sentence
from agent.ports.notifier import Notice, Urgency
from agent.ports.printer import ForgetsItsJobs, Printer
from agent.workflow import watched
from agent.workflow.attention import look, to_be_asked
from agent.workflow.beds import guard_bed
from agent.workflow.pictures import picture_for_question, picture_of_end, take_picture
from agent.workflow.restored import RESTORED
from agent.workflow.shop import Shop
from agent.workflow.steps import CANCEL, Hold, Outcome, Wait
from agent.workflow.warmth import may_heat, too_warm

PRINTER_OFFLINE = "offline"
"""The code of the error for a printer that is claimed and cannot be reached: nothing of the job is there yet."""
_END_STATES = {
    PrinterState.FINISHED: JobState.FINISHED,
    PrinterState.CANCELLED: JobState.CANCELLED,
    PrinterState.FAILED: JobState.FAILED,
}
_REPRINT = {"reprint": "print this plate again, once the bed was cleared"}
_HOW_DID_IT_END = {
    "printing": "it is printing now, or paused: watch it",
    "printed": "it printed and the part is good",
    "failed": "it started and did not end well: print it again, once the bed was cleared",
}
_DID_IT_START = {"never": "it never started: start it", **_HOW_DID_IT_END}
_NOT_BEGUN = (
    "was not started there. Look at the printer.",
    {
        "retry": "look at it again: it makes sense now",
        "reprint": "print this plate on another printer, or there later",
    },
)
_WHERE_IT_STANDS = {
    JobState.CLAIMED: _NOT_BEGUN,
    JobState.UPLOADED: _NOT_BEGUN,
    JobState.STARTING: ("may have been started there. Look at the printer: what happened?", _DID_IT_START),
    JobState.PRINTING: ("was printing there. Look at the printer, and answer when you know what became of it.", _HOW_DID_IT_END),
}
"""Of a job on a printer that makes no sense: what is known, and what a person can say."""


@dataclass(frozen=True)
class Moved:
    """The job is in another state now: look again at once."""


@dataclass(frozen=True)
class _Case:
    """One job with all that is needed to move it."""

    order: Order
    job: Job
    printer: Printer
    shop: Shop

    async def look(self) -> PrinterObservation:
        return await look(self.printer, self.shop)

    async def ask(self, reason: str, text: str, choices: dict[str, str]) -> Hold:
        """With a picture of the bed: perhaps it is the answer."""
        picture = await picture_for_question(self.job, reason, self.shop)
        return Hold(reason, text, {**choices, **CANCEL}, {"job": self.job.remote_name}, picture=picture)

    async def away(self, seen: PrinterObservation) -> Outcome:
        """Waits for a printer that is out of reach; asks about one that makes no sense, once it has made none for long enough."""
        if not to_be_asked(self.shop, self.job.printer, seen):
            return Wait(self.shop.pace.printer_away_s)
        what, choices = _WHERE_IT_STANDS[self.job.state]
        text = f"{self.job.printer} needs attention: {as_sentence(seen.reason)} {self.job.remote_name} {what}"
        return await self.ask("printer_needs_attention", text, choices)


async def advance(order: Order, job: Job, shop: Shop) -> Outcome | Moved:
    """One step of one job."""
    case = _Case(order, job, shop.printer(job.printer), shop)
    match job.state:
        case JobState.CLAIMED:
            return await _upload(case)
        case JobState.UPLOADED:
            return await _start(case)
        case JobState.STARTING:
            return await _settle_start(case)
        case JobState.PRINTING:
            return await _watch(case)
        case JobState.FINISHED:
            return await _harvest(case)
    return Moved()


async def _upload(case: _Case) -> Outcome | Moved:
    """Looks first: an upload may wipe out what the printer shows of somebody else's print."""
    seen = await case.look()
    if to_be_asked(case.shop, case.job.printer, seen):
        return await case.away(seen)
    if seen.state is PrinterState.OFFLINE:
        raise Transient(f"{case.job.printer} cannot be reached: {seen.reason}", hint="Is it on, and connected?", code=PRINTER_OFFLINE)
    guard_bed(case.shop, case.job.printer, seen)
    await case.printer.upload(case.shop.store.path(case.job.gcode_sha256), case.job.remote_name)
    case.shop.ledger.move_job(case.job, JobState.UPLOADED, "uploaded", {})
    return Moved()


async def _start(case: _Case) -> Outcome | Moved:
    seen = await case.look()
    if seen.state is PrinterState.OFFLINE:
        return await case.away(seen)
    if (began := await _began_already(case, seen)) is not None:
        return began
    guard_bed(case.shop, case.job.printer, seen)
    if seen.busy:
        return Wait(case.shop.pace.idle_printer_s)  # it works for somebody else: nothing of theirs is touched
    bed = case.shop.ledger.beds().get(case.job.printer)
    if bed is None or bed.state is not BedState.FREE:
        return _ask_for_bed(
            case, f"The bed of {case.job.printer} is no longer known to be free. Clear it and say so; the print then starts."
        )
    async with case.shop.heating:
        if not await may_heat(case.shop, case.job.printer):
            return Wait(case.shop.pace.idle_printer_s)
        job, intent = case.shop.ledger.open_start(case.job)
    try:
        await case.printer.start(job.remote_name)
    except Transient as lost:
        # Not known whether it arrived: from here on the printer is only observed.
        case.shop.ledger.record(case.order.id, "start_unconfirmed", {"job": job.remote_name, "why": str(lost)})
    except Refused as refused:
        case.shop.ledger.move_job(job, JobState.UPLOADED, "start_refused", {"why": str(refused)}, BedState.FREE, intent)
        return await case.ask("start_refused", f"{job.printer} refused to start: {refused.told()}", {"retry": "try to start it again"})
    return Moved()


async def _began_already(case: _Case, seen: PrinterObservation) -> Moved | None:
    """A person pressed Print on our file, or a start that was thought lost came late: taken over, and never started again."""
    ours = seen.remote_name == case.job.remote_name
    if ours and seen.busy:
        case.shop.ledger.move_job(case.job, JobState.PRINTING, "printing", {"begun": "not by this start"}, BedState.OCCUPIED)
        return Moved()
    if ours and seen.state in ENDED:
        return await _ended(case, seen)
    asked_before = any(
        event.kind == RESTORED or (event.kind == "start_intended" and event.data.get("job") == case.job.remote_name)
        for event in case.shop.ledger.events(case.order.id)
    )
    end = await case.printer.outcome(case.job.remote_name) if asked_before else None
    return None if end is None else await _ended(case, end)


async def _settle_start(case: _Case) -> Outcome | Moved:
    """A start is on its way, or was when an earlier process died. Nothing is sent here."""
    shop, job = case.shop, case.job
    intent = shop.ledger.open_intent(case.order.id, Act.START, job.remote_name)
    seen = await case.look()
    if seen.state is PrinterState.OFFLINE:
        return await case.away(seen)
    ours = seen.remote_name == job.remote_name
    if ours and seen.busy:
        shop.ledger.move_job(job, JobState.PRINTING, "printing", {"progress": seen.progress}, settles=intent)
        if intent is not None:
            watched.begun(job, intent.opened_at, shop)
        return Moved()
    end = seen if ours and seen.state in ENDED else await case.printer.outcome(job.remote_name)
    if end is not None:
        return await _ended(case, end, intent)
    return await _perhaps_never_started(case, intent, seen)


async def _perhaps_never_started(case: _Case, intent: Intent | None, seen: PrinterObservation) -> Outcome | Moved:
    shop, job = case.shop, case.job
    age = shop.now() - intent.opened_at if intent else timedelta.max
    if age < timedelta(seconds=shop.pace.request_on_its_way_s):
        return Wait(shop.pace.confirm_start_s)
    if not seen.busy and await case.printer.never_started(job.remote_name):
        shop.ledger.move_job(job, JobState.UPLOADED, "never_started", {"proved_by": "printer"}, BedState.FREE, intent)
        return Moved()
    if age < timedelta(seconds=shop.pace.start_may_take_s):
        return Wait(shop.pace.confirm_start_s)
    return await case.ask(
        "start_unknown",
        f"A start of {job.remote_name} was sent to {job.printer}, and the printer cannot say what became of it "
        f"(it is {seen.state}{' with ' + seen.remote_name if seen.remote_name else ''} now). Look at the printer: what happened?",
        _DID_IT_START,
    )


async def _watch(case: _Case) -> Outcome | Moved:
    if isinstance(case.printer, ForgetsItsJobs):
        case.printer.was_at_work(case.job.remote_name)
    seen = await case.look()
    if seen.remote_name == case.job.remote_name:
        if seen.state in ENDED:
            return await _ended(case, seen)
        if seen.busy:
            watched.seen_busy(case.job, seen, case.shop)
            return Wait(case.shop.pace.printing_s)
    if seen.state is PrinterState.OFFLINE:
        return await _away(case, seen)
    end = await case.printer.outcome(case.job.remote_name)
    if end is not None:
        return await _ended(case, end)
    return await case.ask(
        "end_unknown",
        f"{case.job.printer} no longer shows {case.job.remote_name} and has no record of how it ended. Look at the printer: what happened?",
        _DID_IT_START,
    )


async def _away(case: _Case, seen: PrinterObservation) -> Outcome | Moved:
    """A printer that halted says so in its history once it can be asked; one that is only unreachable may print on."""
    try:
        end = await case.printer.outcome(case.job.remote_name) if seen.reason else None
    except AgentError:
        end = None  # away altogether, or as senseless as its state, which is asked about: nothing is known now
    if end is not None and end.state is not PrinterState.FINISHED:
        return await _ended(case, end.model_copy(update={"reason": end.reason or seen.reason}))
    return await case.away(seen)


async def _ended(case: _Case, seen: PrinterObservation, intent: Intent | None = None) -> Moved:
    to = _END_STATES[seen.state]
    took = watched.ended_well(case.order, case.job, case.shop) if to is JobState.FINISHED else None
    data: dict[str, Any] = {"why": seen.reason} if seen.reason else {}
    data |= {"planned_s": took.planned_s, "took_s": took.took_s} if took else {}
    takes = watched.used(case.order, case.job, to, case.shop, took)
    case.shop.ledger.move_job(case.job, to, f"print_{to}", data, BedState.OCCUPIED, intent, took, takes)
    await take_picture(case.job, str(seen.state), case.shop)
    return Moved()


async def ask_about_bad_end(job: Job, shop: Shop) -> Hold:
    """A job that failed or was cancelled: whether to print the plate again is a person's to say."""
    how = "was cancelled" if job.state is JobState.CANCELLED else "failed"
    told = [
        str(event.data["why"])
        for event in shop.ledger.events(job.order_id)
        if event.data.get("job") == job.remote_name and "why" in event.data
    ]
    why = f": {told[-1]}" if told else ""
    text = f"The print {job.remote_name} (plate {job.plate}) on {job.printer} {how}{why}. Look at the printer, then decide."
    picture = await picture_of_end(job, shop)
    return Hold(f"print_{job.state}", text, {**_REPRINT, **CANCEL}, {"job": job.remote_name}, picture=picture)


async def _harvest(case: _Case) -> Outcome | Moved:
    job, shop = case.job, case.shop
    if case.printer.facts.clears_its_own_bed:
        shop.ledger.move_job(job, JobState.HARVESTED, "harvested", {"by": "the printer clears its own bed"}, BedState.FREE)
        return Moved()
    bed, asked = shop.ledger.beds()[job.printer], shop.ledger.question(case.order.id, Step.BED, job.printer)
    if bed.state is BedState.FREE:
        shop.ledger.move_job(job, JobState.HARVESTED, "harvested", {"by": bed.said_by})
        if asked is not None:
            shop.ledger.settle_question(asked)
        return Moved()
    if asked is None:
        if await too_warm(shop, job.printer) is not None:
            return Wait(shop.pace.cooling_s)
        text = f"{job.printer} has finished plate {job.plate} of order {case.order.id}. Take the part off and say that the bed is clear."
        title, picture = f"{job.printer} is done", await picture_of_end(job, shop)
        _ask_for_bed(case, text)
        notice = Notice(event="print_finished", title=title, text=text, urgency=Urgency.ACT, order_id=case.order.id, picture=picture)
        await shop.notifier.notify(notice.model_copy(update={"printer": job.printer, "step": Step.BED}))
    return Wait(None)


def _ask_for_bed(case: _Case, text: str) -> Outcome:
    case.shop.ledger.ask(case.order, bed_question(text), case.job.printer)
    return Wait(None)


def bed_question(text: str) -> NewQuestion:
    return NewQuestion(step=Step.BED, text=text, choices={"clear": "the bed is clear"})
