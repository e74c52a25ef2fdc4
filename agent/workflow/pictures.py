"""A picture of the bed when a print ends or stops: a person sees at a glance whether to get up for it."""

import asyncio
from collections.abc import Sequence

import structlog

from agent.domain.errors import AgentError, Transient
from agent.domain.events import Event
from agent.domain.job import Job
from agent.ports.printer import NO_CAMERA, Camera
from agent.workflow.shop import Shop

log = structlog.get_logger()


async def take_picture(job: Job, why: str, shop: Shop) -> str:
    """Its sha256, with it in the store and in the order's history; empty where there is none.

    A camera that does not work stops nothing: it is told in the history. One that hangs is waited for `pace.picture_s`.
    """
    printer = shop.printers.get(job.printer)
    if not isinstance(printer, Camera):
        return ""
    about = {"job": job.remote_name, "printer": job.printer, "when": why}
    try:
        picture = await _snapshot(printer, shop.pace.picture_s)
        shop.store.require_room()
        sha256 = shop.store.put(picture)
        shop.ledger.record(job.order_id, "picture_taken", {**about, "sha256": sha256})
    except AgentError as error:
        if error.code != NO_CAMERA:
            log.info("no_picture", error=error.told(), **about)
            shop.ledger.record(job.order_id, "no_picture", {**about, "problem": error.told()})
        return ""
    return sha256


async def picture_of_end(job: Job, shop: Shop) -> str:
    """The one that was taken when this job ended as it did; taken now where nobody tried, because the agent died in between."""
    return await _taken_once(job, job.state, shop, shop.ledger.events(job.order_id))


async def picture_for_question(job: Job, why: str, shop: Shop) -> str:
    """Taken anew, unless the last that happened to the order is this very picture: then the agent died before it could ask."""
    return await _taken_once(job, why, shop, shop.ledger.events(job.order_id)[-1:])


async def _taken_once(job: Job, why: str, shop: Shop, history: Sequence[Event]) -> str:
    for event in reversed(history):
        about = (event.data.get("job"), event.data.get("when"))
        if event.kind in ("picture_taken", "no_picture") and about == (job.remote_name, why):
            return str(event.data.get("sha256", ""))
    return await take_picture(job, why, shop)


async def _snapshot(camera: Camera, limit_s: float) -> bytes:
    try:
        async with asyncio.timeout(limit_s):
            return await camera.snapshot()
    except TimeoutError as error:
        raise Transient(f"The camera took longer than {limit_s:g} s.", hint="Does its picture open in a browser?") from error
