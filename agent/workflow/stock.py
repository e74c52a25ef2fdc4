"""What is left of filament and packagings, for the plan and the decision; and what a print took."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agent.domain.booking import Booking, Prices, Rejected, booked, lost
from agent.domain.fit import Packaging
from agent.domain.job import Job, JobState
from agent.domain.offer import RemoteOrder
from agent.domain.order import Order
from agent.domain.print_time import PrintTime
from agent.domain.printer import PrinterFacts
from agent.domain.stock import Stock, StockKind, Stocks, Taking, Thing, Why, spool_for, stocked, with_left
from agent.ports.ledger import Ledger
from agent.ports.printer import Printer

PACKED = "packed"
"""The subject of what an order was packed in: one a parcel."""
_HOLDS_S = 5.0
"""What another process counted, by a command, is seen no later than this."""
_WHY = {
    JobState.FINISHED: Why.FINISHED,
    JobState.FAILED: Why.FAILED,
    JobState.CANCELLED: Why.CANCELLED,
    JobState.DISCARDED: Why.DISCARDED,
}


class _Counts(Protocol):
    """The part of the ledger that is read here."""

    def stock(self) -> Sequence[Stock]: ...


class Counts:
    """What is left, read anew when something was taken, and every few seconds. Printers are asked for their facts all the time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._stocks: Stocks | None = None
        self._read_at = float("-inf")
        self._seen: Sequence[PrinterFacts] = ()
        self._facts: Sequence[PrinterFacts] = ()

    def forget(self) -> None:
        """Something was taken, or counted."""
        self._read_at = float("-inf")

    def facts(self, printers: Sequence[PrinterFacts], ledger: _Counts) -> list[PrinterFacts]:
        """The printers with what is left on their spools."""
        stocks = self._now(ledger)
        if len(self._seen) != len(printers) or any(one is not other for one, other in zip(self._seen, printers, strict=True)):
            self._seen, self._facts = list(printers), [with_left(facts, stocks) for facts in printers]
        return list(self._facts)

    def packagings(self, packagings: Sequence[Packaging], ledger: _Counts) -> list[Packaging]:
        stocks = self._now(ledger)
        return [stocked(packaging, stocks) for packaging in packagings]

    def _now(self, ledger: _Counts) -> Stocks:
        if self._stocks is None or self._monotonic() - self._read_at >= _HOLDS_S:
            stocks = {Thing(row.kind, row.name): row for row in ledger.stock()}
            self._read_at = self._monotonic()
            if stocks != self._stocks:
                self._stocks, self._seen = stocks, ()
        return self._stocks or {}


# --- what a print took ----------------------------------------------------------------------------------------------
def taken_by(
    order: Order, job: Job, to: JobState, printers: Mapping[str, Printer], progress: float | None, took: PrintTime | None = None
) -> Taking | None:
    """What a print took that goes to that state now; None where it never began, or its end was counted before.

    `progress`: how far it was seen to come. Where nobody knows, all of it is taken: a spool is better fuller than was thought.
    """
    plate = next((plate for plate in order.dossier.plates if plate.number == job.plate), None)
    if plate is None or to not in _WHY or job.state not in (JobState.STARTING, JobState.PRINTING):
        return None
    part = 1.0 if to is JobState.FINISHED or progress is None else min(1.0, max(0.0, progress))
    what = f"{plate.settings.material} {plate.settings.color.name}"
    printer = printers.get(job.printer)
    spool = None if printer is None else spool_for(printer.facts, plate.settings.material, plate.settings.color)
    return Taking(
        kind=StockKind.SPOOL,
        name=spool.name if spool is not None else f"{job.printer}: {what}",
        subject=job.remote_name,
        amount=plate.filament_g * part,
        why=_WHY[to],
        seconds=took.took_s if took is not None else round(plate.print_seconds * part),
    )


# --- what an order was packed in, and what it brought -----------------------------------------------------------------
def packed_in(packaging: str) -> Taking | None:
    """One of it. Empty: of none that is counted here."""
    if not packaging:
        return None
    return Taking(kind=StockKind.PACKAGING, name=packaging, subject=PACKED, amount=1, why=Why.PACKED)


def brought(order: Order, remote: RemoteOrder, prices: Prices, ledger: Ledger) -> Booking:
    """By what the ledger has of it: every print, also those that failed, and what a person rejected."""
    return booked(remote.payout, ledger.takings(order.id), _printers_of(order, ledger), _made_again(order, ledger), prices)


def lost_with(order: Order, prices: Prices, ledger: Ledger) -> Booking | None:
    """What goes with an order that is given up; None where nothing was printed for it."""
    currency = order.dossier.offer.payout.currency
    return lost(currency, ledger.takings(order.id), _printers_of(order, ledger), _made_again(order, ledger), prices)


def _printers_of(order: Order, ledger: Ledger) -> dict[str, str]:
    return {job.remote_name: job.printer for job in ledger.jobs(order.id)}


def _made_again(order: Order, ledger: Ledger) -> Rejected:
    rejected = [event.data for event in ledger.events(order.id) if event.kind == "rejected"]
    grams, seconds = (sum(float(data.get(key) or 0) for data in rejected) for key in ("grams", "seconds"))
    return Rejected(grams=grams, seconds=round(seconds), times=len(rejected))
