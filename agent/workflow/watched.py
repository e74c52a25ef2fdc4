"""How long a print took, where this agent saw all of it: from the start it sent to a good end, with no pause and no long look away.

Kept in memory only. An agent that was restarted meanwhile does not know what it missed, so such a print tells nothing.
"""

from datetime import datetime, timedelta

from agent.domain.job import Job, JobState
from agent.domain.order import Order
from agent.domain.print_time import PrintTime
from agent.domain.printer import PrinterObservation, PrinterState
from agent.domain.stock import Taking
from agent.workflow.shop import Shop, Watched
from agent.workflow.stock import taken_by


def begun(job: Job, at: datetime, shop: Shop) -> None:
    """The start that was sent at that time is seen to have worked."""
    shop.watched[job.remote_name] = Watched(since=at, last=at)
    _look(job, shop)


def seen_busy(job: Job, seen: PrinterObservation, shop: Shop) -> None:
    shop.progress[job.remote_name] = max(seen.progress, shop.progress.get(job.remote_name, 0.0))
    if seen.state is PrinterState.PAUSED:
        shop.watched.pop(job.remote_name, None)
    _look(job, shop)


def ended_well(order: Order, job: Job, shop: Shop) -> PrintTime | None:
    """None where not all of it was seen."""
    _look(job, shop)
    watch = shop.watched.pop(job.remote_name, None)
    plate = next((plate for plate in order.dossier.plates if plate.number == job.plate), None)
    if watch is None or plate is None:
        return None
    took = round((watch.last - watch.since).total_seconds())
    return PrintTime(printer=job.printer, profile=plate.profile, slicer=plate.slicer, planned_s=plate.print_seconds, took_s=took)


def used(order: Order, job: Job, to: JobState, shop: Shop, took: PrintTime | None = None) -> Taking | None:
    """What a print that goes to that state took from its spool, as far as it was seen to come."""
    taking = taken_by(order, job, to, shop.printers, shop.progress.pop(job.remote_name, None), took)
    if taking is not None:
        shop.counts.forget()
    return taking


def _look(job: Job, shop: Shop) -> None:
    """Forgets the print where too long went by since the last look."""
    watch, now = shop.watched.pop(job.remote_name, None), shop.now()
    if watch is not None and now - watch.last <= timedelta(seconds=shop.pace.look_away_s):
        shop.watched[job.remote_name] = Watched(since=watch.since, last=now)
