"""Which plate goes to which printer, and an order's plates on their way."""

from collections.abc import Sequence

from agent.domain.errors import AgentError, Refused
from agent.domain.job import HOLDS_PRINTER, Job, JobState
from agent.domain.order import Order
from agent.domain.plate import SlicedPlate
from agent.domain.printer import BedState, PrinterFacts
from agent.domain.question import Step
from agent.ports.ledger import Stale
from agent.workflow.print_once import PRINTER_OFFLINE, Moved, advance, ask_about_bad_end, bed_question
from agent.workflow.shop import Shop
from agent.workflow.steps import Hold, Outcome, Wait

_LOOK_AGAIN = (JobState.CLAIMED, JobState.FAILED, JobState.CANCELLED)


def able_printers(plate: SlicedPlate, shop: Shop) -> list[PrinterFacts]:
    """Printers this very G-code was made for, with its material loaded."""
    return [
        facts
        for facts in shop.facts()
        if facts.profile == plate.profile and facts.loaded(plate.settings.material, plate.settings.color) is not None
    ]


def claim_next(order: Order, shop: Shop) -> bool:
    """Claim a printer for as many waiting plates as can be had now; True where the order has a job. Asks for beds nobody vouched for."""
    jobs = shop.ledger.jobs(order.id)
    taken = {job.plate for job in jobs if job.state in HOLDS_PRINTER or job.state is JobState.HARVESTED}
    for plate in order.dossier.plates:
        if plate.number in taken:
            continue
        if not able_printers(plate, shop):
            raise Refused(
                f"No printer with the profile {plate.profile} has {plate.settings.material} {plate.settings.color.name} loaded any more.",
                hint="Load it, write it into the printer's file, restart the agent, and try again.",
                code="no_printer",
            )
        if not _claim(order, plate, shop):
            _ask_for_beds(order, plate, shop)
    return any(job.state in HOLDS_PRINTER for job in shop.ledger.jobs(order.id))


def _claim(order: Order, plate: SlicedPlate, shop: Shop) -> Job | None:
    """One that is away is claimed only where no other is to be had: its bed was free, and it may come back first."""
    for facts in sorted(able_printers(plate, shop), key=lambda facts: facts.name in shop.away):
        job = shop.ledger.claim(order.id, plate.number, facts.name, plate.gcode_sha256)
        if job is not None:
            return job
    return None


def _ask_for_beds(order: Order, plate: SlicedPlate, shop: Shop) -> None:
    beds, taken = shop.ledger.beds(), {job.printer for job in shop.ledger.active_jobs()}
    asked = {question.printer for question in shop.ledger.open_questions() if question.step is Step.BED}
    for facts in able_printers(plate, shop):
        bed = beds.get(facts.name)
        if facts.name in taken or facts.name in asked or (bed is not None and bed.state is BedState.FREE):
            continue
        text = f"Order {order.id} waits for {facts.name}, whose bed is not known to be free. Look at it, clear it, and say so."
        shop.ledger.ask(order, bed_question(text), facts.name)


async def advance_all(order: Order, shop: Shop) -> Outcome | None:
    """Move every job of the order; None when every plate was harvested."""
    for job in shop.ledger.jobs(order.id):
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            return await ask_about_bad_end(job, shop)
    waits, holds, errors = await _advance_each(order, shop)
    if holds:
        return holds[0]
    if errors:
        raise errors[0]
    if _harvested(order, shop.ledger.jobs(order.id)):
        return None
    claim_next(order, shop)
    undecided = any(job.state in _LOOK_AGAIN for job in shop.ledger.jobs(order.id))
    return Wait(0.0) if undecided else Wait(min(waits, default=None))


async def _advance_each(order: Order, shop: Shop) -> tuple[list[float], list[Hold], list[AgentError]]:
    """How long each waits, what is to be asked, and what went wrong: told when all have moved, so that one printer stops no other."""
    waits: list[float] = []
    holds: list[Hold] = []
    errors: list[AgentError] = []
    for job in shop.ledger.jobs(order.id):
        if job.state not in HOLDS_PRINTER:
            continue
        try:
            outcome = await _as_far_as_it_goes(order, job, shop)
        except Stale:
            raise
        except AgentError as error:
            if error.code == PRINTER_OFFLINE and _given_back(order, job, shop):
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


def _given_back(order: Order, job: Job, shop: Shop) -> bool:
    """A printer that went away before it had the file: its plate goes to another one that is free, where there is one."""
    taken, beds = {other.printer for other in shop.ledger.active_jobs()}, shop.ledger.beds()
    plate = next(plate for plate in order.dossier.plates if plate.number == job.plate)
    for facts in able_printers(plate, shop):
        bed = beds.get(facts.name)
        if facts.name not in taken | shop.away and bed is not None and bed.state is BedState.FREE:
            shop.ledger.move_job(job, JobState.DISCARDED, "printer_away", {"printer": job.printer, "instead": facts.name})
            return True
    return False


def _harvested(order: Order, jobs: Sequence[Job]) -> bool:
    done = {job.plate for job in jobs if job.state is JobState.HARVESTED}
    return all(plate.number in done for plate in order.dossier.plates)
