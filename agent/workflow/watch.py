"""Watching printers: a bed that somebody else used is no longer free, and a printer that stops or goes away is told."""

import asyncio

import structlog

from agent.domain.errors import AgentError
from agent.domain.job import Job
from agent.domain.printer import PrinterObservation, PrinterState
from agent.ports.notifier import Notice, Urgency
from agent.ports.printer import Printer
from agent.workflow.beds import guard_bed
from agent.workflow.pictures import take_picture
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
        guard_bed(self._shop, self._name, seen)

    async def _tell_presence(self, seen: PrinterObservation) -> None:
        if seen.state is PrinterState.OFFLINE:
            self._shop.away.add(self._name)
            self._missed += 1
            if self._missed == LOST_AFTER_LOOKS:
                log.warning("printer_lost", printer=self._name, why=seen.reason)
                await self._tell_job("printer_lost", f"{self._name} cannot be reached", seen.reason, Urgency.ALARM)
        else:
            if self._missed >= LOST_AFTER_LOOKS:
                log.info("printer_back", printer=self._name, state=seen.state)
                await self._tell_job("printer_back", f"{self._name} is back", f"It is {seen.state} now.", Urgency.INFO)
            self._shop.away.discard(self._name)
            self._missed = 0

    async def _tell_pause(self, seen: PrinterObservation) -> None:
        """A print that was paused waits for hands: for filament, most often."""
        paused = seen.state is PrinterState.PAUSED and self._shop.ledger.knows_job(seen.remote_name)
        if paused and not self._paused:
            await self._tell_job("print_paused", f"{self._name} is paused", f"{seen.remote_name}: {seen.reason}", Urgency.ACT)
            if (job := self._job()) is not None:
                await take_picture(job, "paused", self._shop)
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
