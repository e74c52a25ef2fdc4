"""Watching printers: a bed that somebody else used is no longer free, and a printer that stops or goes away is told."""

import asyncio

import structlog

from agent.domain.errors import AgentError
from agent.domain.job import Job
from agent.domain.printer import ENDED, BedState, PrinterObservation, PrinterState
from agent.ports.notifier import Notice, Urgency
from agent.ports.printer import Printer
from agent.workflow.shop import Shop

log = structlog.get_logger()

LOST_AFTER_LOOKS = 2
"""A printer that misses one look was perhaps only restarted."""


class PrinterWatch:
    """One printer. Runs until cancelled; lost, back and paused are told once each, to the order at work there and to its operator."""

    def __init__(self, printer: Printer, shop: Shop) -> None:
        self._printer = printer
        self._shop = shop
        self._missed = 0
        self._paused = False
        self._foreign: str | None = None

    @property
    def _name(self) -> str:
        return self._printer.facts.name

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except AgentError as error:
                log.warning("printer_not_observed", printer=self._name, why=error.told())
            await asyncio.sleep(self._shop.pace.idle_printer_s)  # the printer's own pace: it has no event we could trust

    async def look(self) -> None:
        seen = await self._printer.observe()
        await self._tell_presence(seen)
        await self._tell_pause(seen)
        self._guard_bed(seen)

    async def _tell_presence(self, seen: PrinterObservation) -> None:
        if seen.state is PrinterState.OFFLINE:
            self._missed += 1
            if self._missed == LOST_AFTER_LOOKS:
                log.warning("printer_lost", printer=self._name, why=seen.reason)
                await self._tell_job("printer_lost", f"{self._name} cannot be reached", seen.reason, Urgency.ALARM)
        else:
            if self._missed >= LOST_AFTER_LOOKS:
                log.info("printer_back", printer=self._name, state=seen.state)
                await self._tell_job("printer_back", f"{self._name} is back", f"It is {seen.state} now.", Urgency.INFO)
            self._missed = 0

    async def _tell_pause(self, seen: PrinterObservation) -> None:
        """A print that was paused waits for hands: for filament, most often."""
        paused = seen.state is PrinterState.PAUSED and self._shop.ledger.knows_job(seen.remote_name)
        if paused and not self._paused:
            await self._tell_job("print_paused", f"{self._name} is paused", f"{seen.remote_name}: {seen.reason}", Urgency.ACT)
        self._paused = paused

    async def _tell_job(self, event: str, title: str, text: str, urgency: Urgency) -> None:
        """Into the history of the order that is printed there, and to the operator; nobody is called for a printer without work."""
        job = self._job()
        if job is None:
            return
        self._shop.ledger.record(job.order_id, event, {"printer": self._name, "job": job.remote_name, "why": text})
        await self._shop.notifier.notify(Notice(event=event, title=title, text=text, urgency=urgency, order_id=job.order_id))

    def _job(self) -> Job | None:
        return next((job for job in self._shop.ledger.active_jobs() if job.printer == self._name), None)

    def _is_ours(self, seen: PrinterObservation) -> bool:
        """A file of ours may still be shown long after it was taken off; that it *runs* is ours only while it is the printer's job."""
        if seen.busy:
            job = self._job()
            return job is not None and job.remote_name == seen.remote_name
        return self._shop.ledger.knows_job(seen.remote_name)

    def _guard_bed(self, seen: PrinterObservation) -> None:
        """A print that is not ours, running or ended there since we last looked, leaves a bed nobody vouched for.

        So does a file of ours that somebody prints again. One that ended counts once: a person who says afterwards that the bed is
        clear has seen what it left.
        """
        if not (seen.busy or seen.state in ENDED) or self._is_ours(seen):
            return
        counted = seen.state in ENDED and seen.remote_name == self._foreign
        self._foreign = seen.remote_name
        bed = self._shop.ledger.beds().get(self._name)
        if counted or bed is None or bed.state is BedState.UNKNOWN:
            return
        log.warning("foreign_job", printer=self._name, job=seen.remote_name, state=seen.state)
        self._shop.ledger.set_bed(self._name, BedState.UNKNOWN, f"printed {seen.remote_name or 'a job of somebody else'}")
