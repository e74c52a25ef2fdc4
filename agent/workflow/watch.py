"""Watching printers: a bed that somebody else used is no longer free, and a printer that stops or goes away is told."""

import asyncio

import structlog

from agent.domain.errors import AgentError
from agent.domain.job import Job
from agent.domain.printer import PrinterObservation, PrinterState
from agent.ports.notifier import Notice, Urgency
from agent.ports.printer import Printer
from agent.workflow.attention import look
from agent.workflow.beds import guard_bed
from agent.workflow.pictures import take_picture
from agent.workflow.shop import Shop

log = structlog.get_logger()

LOST_AFTER_LOOKS = 2
"""A printer that misses one look was perhaps only restarted."""
_LOST, _UNCLEAR = "printer_lost", "printer_needs_attention"


class PrinterWatch:
    """One printer. Runs until cancelled; lost, back and paused are told once each, to the order at work there and to its operator."""

    def __init__(self, printer: Printer, shop: Shop) -> None:
        self._printer = printer
        self._shop = shop
        self._missed = 0
        self._told: set[str] = set()
        """What was told since it was last seen well."""
        self._paused = False

    @property
    def printer(self) -> Printer:
        return self._printer

    def in_shop(self, shop: Shop) -> "PrinterWatch":
        """This watch, which knows what it told, in another shop with the same printer. It must not run meanwhile."""
        self._shop = shop
        return self

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
        seen = await look(self._printer, self._shop)
        await self._tell_presence(seen)
        await self._tell_pause(seen)
        guard_bed(self._shop, self._name, seen)

    async def _tell_presence(self, seen: PrinterObservation) -> None:
        if seen.state is not PrinterState.OFFLINE:
            if self._told:
                log.info("printer_back", printer=self._name, state=seen.state)
                await self._tell_job("printer_back", f"{self._name} is back", f"It is {seen.state} now.", Urgency.INFO)
            self._missed, self._told = 0, set()
            return
        self._missed += 1
        event = _UNCLEAR if seen.needs_attention else _LOST
        if self._missed >= LOST_AFTER_LOOKS and event not in self._told:
            self._told.add(event)
            log.warning(event, printer=self._name, why=seen.reason)
            title = f"{self._name} needs attention" if seen.needs_attention else f"{self._name} cannot be reached"
            await self._tell_job(event, title, seen.reason, Urgency.ALARM)

    async def _tell_pause(self, seen: PrinterObservation) -> None:
        """A print that was paused waits for hands: for filament, most often."""
        paused = seen.state is PrinterState.PAUSED and self._shop.ledger.knows_job(seen.remote_name)
        if paused and not self._paused and (job := self._job()) is not None:
            picture = await take_picture(job, "paused", self._shop)
            await self._tell_job("print_paused", f"{self._name} is paused", f"{seen.remote_name}: {seen.reason}", Urgency.ACT, picture)
        if self._paused and seen.state is PrinterState.PRINTING:
            await self._tell_job("print_goes_on", f"{self._name} prints on", f"{seen.remote_name} goes on.", Urgency.INFO)
        self._paused = paused

    async def _tell_job(self, event: str, title: str, text: str, urgency: Urgency, picture: str = "") -> None:
        """Into the history of the order that is printed there, and to the operator; nobody is called for a printer without work."""
        job = self._job()
        if job is None:
            return
        self._shop.ledger.record(job.order_id, event, {"printer": self._name, "job": job.remote_name, "why": text})
        notice = Notice(event=event, title=title, text=text, urgency=urgency, order_id=job.order_id, picture=picture, printer=self._name)
        await self._shop.notifier.notify(notice)

    def _job(self) -> Job | None:
        return next((job for job in self._shop.ledger.active_jobs() if job.printer == self._name), None)
