"""Heaters: no more of them warming up at once than the house wiring bears, and no bed asked for while it is hot."""

import structlog

from agent.domain.errors import AgentError
from agent.domain.job import JobState
from agent.domain.printer import Temperatures
from agent.ports.printer import Heats
from agent.workflow.shop import Shop

log = structlog.get_logger()

WARM_ENOUGH_C = 5.0
"""A heater this close to its target draws little more than it needs to stay there."""


async def may_heat(shop: Shop, printer: str) -> bool:
    """Whether one more printer may warm up now. A start that is on its way counts as one that does."""
    if shop.heat_at_once is None:
        return True
    heating = 0
    for job in shop.ledger.active_jobs():
        if job.printer == printer or job.state not in (JobState.STARTING, JobState.PRINTING):
            continue
        heating += job.state is JobState.STARTING or _warms_up(await _temperatures(shop, job.printer))
    return heating < shop.heat_at_once


async def too_warm(shop: Shop, printer: str) -> float | None:
    """The bed's temperature in °C where a person is not to be sent there yet. None: cool enough, or not known."""
    limit = shop.printer(printer).facts.bed_cool_c
    if limit is None:
        return None
    bed_c = (await _temperatures(shop, printer)).bed_c
    return bed_c if bed_c is not None and bed_c > limit else None


async def _temperatures(shop: Shop, name: str) -> Temperatures:
    printer = shop.printers.get(name)
    if not isinstance(printer, Heats):
        return Temperatures()
    try:
        return await printer.temperatures()
    except AgentError as unknown:
        log.info("temperatures_unknown", printer=name, why=unknown.told())
        return Temperatures()


def _warms_up(now: Temperatures) -> bool:
    pairs = ((now.nozzle_c, now.nozzle_target_c), (now.bed_c, now.bed_target_c))
    return any(at is not None and target and at < target - WARM_ENOUGH_C for at, target in pairs)
