"""A picture of the bed when a print ends or stops: a person sees at a glance whether to get up for it."""

import structlog

from agent.domain.errors import AgentError
from agent.domain.job import Job
from agent.ports.printer import NO_CAMERA, Camera
from agent.workflow.shop import Shop

log = structlog.get_logger()


async def take_picture(job: Job, why: str, shop: Shop) -> None:
    """Into the store and the order's history. A camera that does not work stops nothing: it is told there."""
    printer = shop.printers.get(job.printer)
    if not isinstance(printer, Camera):
        return
    about = {"job": job.remote_name, "printer": job.printer, "when": why}
    try:
        picture = await printer.snapshot()
        shop.store.require_room()
        shop.ledger.record(job.order_id, "picture_taken", {**about, "sha256": shop.store.put(picture)})
    except AgentError as error:
        if error.code == NO_CAMERA:
            return
        log.info("no_picture", error=error.told(), **about)
        shop.ledger.record(job.order_id, "no_picture", {**about, "problem": error.told()})
