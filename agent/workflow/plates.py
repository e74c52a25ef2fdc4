"""An order's plates on their way. Which printer a plate goes to, and when, is the plan's: planned.py."""

from collections.abc import Iterator, Sequence, Set
from datetime import timedelta

from agent.domain.errors import AgentError, Refused
from agent.domain.job import HOLDS_PRINTER, Job, JobState
from agent.domain.order import Order
from agent.domain.plate import SlicedPlate
from agent.domain.printer import BedState
from agent.domain.question import Step
from agent.domain.schedule import Assignment, Plan
from agent.ports.ledger import Stale
from agent.workflow.able import able_printers
from agent.workflow.planned import order_of_work
from agent.workflow.print_once import PRINTER_OFFLINE, Moved, advance, ask_about_bad_end, bed_question
from agent.workflow.scheduling import BACK_AFTER_S
from agent.workflow.shop import Shop
from agent.workflow.steps import Hold, Outcome, Wait

_LOOK_AGAIN = (JobState.CLAIMED, JobState.FAILED, JobState.CANCELLED)
_SOONEST_S, _LATEST_S = 1.0, 300.0
"""A plate that waits beside a free printer looks at the plan again: an order that was to go first may have been put on hold."""


def claim_next(order: Order, shop: Shop) -> bool:
    """Claim the printers whose turn it is for waiting plates; True where the order has a job. Asks for beds nobody vouched for.

    Refused where a plate can be printed nowhere any more.
    """
    return any(job.state in HOLDS_PRINTER for job in _with_claims(order, shop.ledger.jobs(order.id), shop))


def _with_claims(order: Order, jobs: Sequence[Job], shop: Shop) -> Sequence[Job]:
    """The order's jobs, with those that were claimed for its waiting plates."""
    unclaimed = _waiting(order, jobs)
    working = shop.ledger.printers_at_work() if unclaimed else set()
    waiting = [plate for plate in unclaimed if not _all_work(plate, working, shop)]
    if not waiting:
        return jobs
    plan = order_of_work(shop)
    for plate in waiting:
        _claim_or_ask(order, plate, plan, shop)
    return shop.ledger.jobs(order.id)


def _all_work(plate: SlicedPlate, working: Set[str], shop: Shop) -> bool:
    """Then there is nothing to claim and no bed to ask for, and no plan need be made to find that out. The end of a job wakes the order."""
    able = {facts.name for facts in able_printers(plate, shop.facts())}
    return bool(able) and able <= working


def turn(order: Order, shop: Shop) -> Wait:
    """How long waiting plates wait. Where no printer that can print them is free, until one is: that wakes the order. That one came back
    into reach wakes nobody."""
    return Wait(_until_turn(order, shop.ledger.jobs(order.id), shop))


def _until_turn(order: Order, jobs: Sequence[Job], shop: Shop) -> float | None:
    waiting = _waiting(order, jobs)
    idle = shop.ledger.idle_printers() if waiting else set()
    beside = [plate for plate in waiting if idle & {facts.name for facts in able_printers(plate, shop.facts())}]
    if not beside:
        return None
    plan, now = order_of_work(shop), shop.now()
    starts = [place.starts_at for plate in beside if (place := _place(order, plate, plan)) is not None]
    soonest = min(((start - now).total_seconds() for start in starts), default=_LATEST_S)
    return min(max(soonest, _SOONEST_S), _LATEST_S)


def _waiting(order: Order, jobs: Sequence[Job]) -> list[SlicedPlate]:
    taken = {job.plate for job in jobs if job.state in HOLDS_PRINTER or job.state is JobState.HARVESTED}
    return [plate for plate in order.dossier.plates if plate.number not in taken]


def _place(order: Order, plate: SlicedPlate, plan: Plan) -> Assignment | None:
    return next((place for place in plan.assignments if place.order_id == order.id and place.plate == plate.number), None)


def _claim_or_ask(order: Order, plate: SlicedPlate, plan: Plan, shop: Shop) -> None:
    place = _place(order, plate, plan)
    if place is None:
        _must_be_printable(order, plate, plan, shop)
        return
    claimed = _is_due(place, plan, shop) and shop.ledger.claim(order.id, plate.number, place.printer, plate.gcode_sha256)
    if not claimed:
        _ask_for_bed(order, place.printer, shop)


def _must_be_printable(order: Order, plate: SlicedPlate, plan: Plan, shop: Shop) -> None:
    if not able_printers(plate, shop.facts()):
        raise Refused(
            f"No printer with the profile {plate.profile} has {plate.settings.material} {plate.settings.color.name} loaded any more.",
            hint="Load it, write it into the printer's file, restart the agent, and try again.",
            code="no_printer",
        )
    for broken in plan.broken:
        if broken.order_id == order.id and broken.late_by_s is None:
            hint = "Load a fuller spool, write its grams into the printer's file, restart the agent, and try again."
            raise Refused(f"Plate {plate.number} of order {order.id} cannot be printed. {broken.why}", hint=hint, code="filament_short")


def _is_due(place: Assignment, plan: Plan, shop: Shop) -> bool:
    """One that is away is claimed at once where the plan counts on its return: its bed was free, and it may come back any moment."""
    patience = BACK_AFTER_S if place.printer in shop.away else 0.0
    return place.starts_at <= max(plan.made_at, shop.now()) + timedelta(seconds=patience)


def _ask_for_bed(order: Order, printer: str, shop: Shop) -> None:
    bed = shop.ledger.beds().get(printer)
    if (bed is not None and bed.state is BedState.FREE) or any(job.printer == printer for job in shop.ledger.active_jobs()):
        return
    if any(question.step is Step.BED and question.printer == printer for question in shop.ledger.open_questions()):
        return
    text = f"Order {order.id} waits for {printer}, whose bed is not known to be free. Look at it, clear it, and say so."
    shop.ledger.ask(order, bed_question(text), printer)


async def advance_all(order: Order, shop: Shop) -> Outcome | None:
    """Move every job of the order; None when every plate was harvested."""
    jobs = shop.ledger.jobs(order.id)
    for job in jobs:
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            return await ask_about_bad_end(job, shop)
    waits, holds, errors = await _advance_each(order, jobs, shop)
    if holds:
        return holds[0]
    jobs = shop.ledger.jobs(order.id)
    if _harvested(order, jobs):
        return None
    jobs = _with_claims(order, jobs, shop)  # also where a printer of the order fails: the plan keeps others waiting for its plates
    if errors:
        raise errors[0]
    if any(job.state in _LOOK_AGAIN for job in jobs):
        return Wait(0.0)
    own = _until_turn(order, jobs, shop)
    return Wait(min([*waits, *([] if own is None else [own])], default=None))


async def _advance_each(order: Order, jobs: Sequence[Job], shop: Shop) -> tuple[list[float], list[Hold], list[AgentError]]:
    """How long each waits, what is to be asked, and what went wrong: told when all have moved, so that one printer stops no other."""
    waits: list[float] = []
    holds: list[Hold] = []
    errors: list[AgentError] = []
    for job in jobs:
        if job.state not in HOLDS_PRINTER:
            continue
        try:
            outcome = await _as_far_as_it_goes(order, job, shop)
        except Stale:
            raise
        except AgentError as error:
            if error.code == PRINTER_OFFLINE and _given_to_another(order, job, shop):
                waits.append(0.0)
            else:
                errors.append(error)
            continue
        if isinstance(outcome, Hold):
            holds.append(outcome)
        elif isinstance(outcome, Wait) and outcome.seconds is not None:
            waits.append(outcome.seconds)
    return waits, holds, errors


async def _as_far_as_it_goes(order: Order, job: Job, shop: Shop) -> Outcome:
    while True:
        outcome = await advance(order, job, shop)
        if not isinstance(outcome, Moved):
            return outcome
        job = next(known for known in shop.ledger.jobs(order.id) if known.id == job.id)
        if job.state not in HOLDS_PRINTER:
            return Wait(None)


def _given_to_another(order: Order, job: Job, shop: Shop) -> bool:
    """A printer that went away before it had the file: its plate goes to another one that is free and that nobody's turn it is on."""
    plate = next(plate for plate in order.dossier.plates if plate.number == job.plate)
    printer = next(_spare(plate, shop), None)
    if printer is None:
        return False
    shop.ledger.move_job(job, JobState.DISCARDED, "printer_away", {"printer": job.printer, "instead": printer})
    shop.ledger.claim(order.id, plate.number, printer, plate.gcode_sha256)
    return True


def _spare(plate: SlicedPlate, shop: Shop) -> Iterator[str]:
    plan = order_of_work(shop)
    spoken_for = {place.printer for place in plan.assignments if place.starts_at <= max(plan.made_at, shop.now())}
    spare = shop.ledger.idle_printers() - shop.away - spoken_for
    return (facts.name for facts in able_printers(plate, shop.facts()) if facts.name in spare)


def _harvested(order: Order, jobs: Sequence[Job]) -> bool:
    done = {job.plate for job in jobs if job.state is JobState.HARVESTED}
    return all(plate.number in done for plate in order.dossier.plates)
