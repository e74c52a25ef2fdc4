"""What a printer shows and its bed: a print that is not ours leaves a bed nobody vouched for."""

import structlog

from agent.domain.printer import ENDED, BedState, PrinterObservation
from agent.workflow.shop import Shop

log = structlog.get_logger()


def guard_bed(shop: Shop, printer: str, seen: PrinterObservation) -> None:
    """A print of somebody else, running or ended, takes the bed; so does a file of ours that somebody prints again.

    One that ended counts once in the life of a daemon: a person who says afterwards that the bed is clear has seen what it left.
    """
    if not (seen.busy or seen.state in ENDED) or _is_ours(shop, printer, seen):
        return
    counted = seen.state in ENDED and shop.foreign_jobs.get(printer) == seen.remote_name
    shop.foreign_jobs[printer] = seen.remote_name
    bed = shop.ledger.beds().get(printer)
    if counted or bed is None or bed.state is BedState.UNKNOWN:
        return
    log.warning("foreign_job", printer=printer, job=seen.remote_name, state=seen.state)
    shop.ledger.set_bed(printer, BedState.UNKNOWN, f"printed {seen.remote_name or 'a job of somebody else'}")


def _is_ours(shop: Shop, printer: str, seen: PrinterObservation) -> bool:
    """A file of ours may still be shown long after it was taken off; that it *runs* is ours only while it is the printer's job."""
    if seen.busy:
        return any(job.printer == printer and job.remote_name == seen.remote_name for job in shop.ledger.active_jobs())
    return shop.ledger.knows_job(seen.remote_name)
