"""What `top` shows, read from the ledger: the daemon is not asked, and does not notice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agent.domain.events import Event
from agent.domain.figures import OpenRow
from agent.domain.job import Job, JobState
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.ledger.sql_ledger import SqlLedger

MOST_ROWS = 60
"""Nobody's terminal is higher."""
_STARTED = ("printing", "start_intended")


@dataclass(frozen=True)
class PrinterRow:
    """`state`: as the daemon's page says, where it was asked; else what its job in the ledger comes to. `started_at`, `takes_s`: of its
    print, by the slicer's time; `progress` and `seconds_left` where the printer itself was asked."""

    name: str
    state: str
    bed: str
    order: str = ""
    plate: int = 0
    started_at: datetime | None = None
    takes_s: int | None = None
    progress: float | None = None
    seconds_left: int | None = None

    def left_s(self, now: datetime) -> float | None:
        if self.seconds_left is not None:
            return float(self.seconds_left)
        if self.started_at is None or self.takes_s is None:
            return None
        return max(0.0, self.takes_s - (now - self.started_at).total_seconds())

    def done(self, now: datetime) -> float | None:
        """0 to 1."""
        if self.progress is not None:
            return self.progress
        left = self.left_s(now)
        return None if left is None or not self.takes_s else min(1.0, 1 - left / self.takes_s)


@dataclass(frozen=True)
class OrderRow:
    """`waits_for`: what it waits for from a person; empty: it goes on by itself."""

    id: str
    state: str
    waits_for: str
    deadline: datetime | None
    items: str
    payout: str


@dataclass(frozen=True)
class EventRow:
    at: datetime
    order: str
    kind: str


@dataclass(frozen=True)
class View:
    """Everything on the screen. Rows are cut at `MOST_ROWS`; `offers_open` and `orders_open` count all."""

    agent: str
    mark: str
    printers: list[PrinterRow]
    offers: list[OrderRow]
    orders: list[OrderRow]
    events: list[EventRow]
    offers_open: int
    orders_open: int

    def as_json(self) -> dict[str, Any]:
        told = asdict(self)
        del told["mark"]
        return told


def read(ledger: SqlLedger, agent: str, printers: Sequence[str], live: Mapping[str, Mapping[str, Any]]) -> View:
    """`live`: what the page's API said of printers, by name; empty where it was not asked."""
    mark = ledger.mark()
    rows = ledger.open_rows()
    waits = {question.order_id: f"{question.step} {question.printer}".strip() for question in ledger.open_questions()}
    offers = [row for row in rows if row.state is State.OFFERED]
    orders = sorted((row for row in rows if row.state is not State.OFFERED), key=lambda row: row.id not in waits)
    jobs = {job.printer: job for job in ledger.active_jobs()}
    beds = ledger.beds()
    newest = ledger.newest_event()
    return View(
        agent=agent,
        mark=mark,
        printers=[
            _printer(name, jobs.get(name), beds[name].state if name in beds else BedState.UNKNOWN, live.get(name), ledger)
            for name in printers
        ],
        offers=[_order(row, waits, ledger) for row in offers[:MOST_ROWS]],
        orders=[_order(row, waits, ledger) for row in orders[:MOST_ROWS]],
        events=[
            EventRow(event.at, event.order_id, event.kind) for _, event in reversed(ledger.events_after(newest - MOST_ROWS, MOST_ROWS))
        ],
        offers_open=len(offers),
        orders_open=len(orders),
    )


def story(ledger: SqlLedger, order_id: str) -> Sequence[Event]:
    """Newest first."""
    return list(reversed(ledger.events(order_id)))


def _order(row: OpenRow, waits: Mapping[str, str], ledger: SqlLedger) -> OrderRow:
    order = ledger.order(row.id)
    state = row.state.value if row.state is row.stage else f"{row.stage.value}, held"
    return OrderRow(row.id, state, waits.get(row.id, ""), row.deadline, _items(order), str(order.dossier.offer.payout))


def _items(order: Order) -> str:
    offer = order.dossier.offer
    return ", ".join(f"{item.quantity} × {offer.file(item.file_id).name}" for item in offer.items)


def _printer(name: str, job: Job | None, bed: BedState, live: Mapping[str, Any] | None, ledger: SqlLedger) -> PrinterRow:
    state = str(live["state"]) if live else (job.state.value if job else "idle" if bed is BedState.FREE else "clear the bed")
    if job is None:
        return PrinterRow(name, state, bed.value)
    printing = job.state in (JobState.STARTING, JobState.PRINTING)
    plates = ledger.order(job.order_id).dossier.plates
    return PrinterRow(
        name=name,
        state=state,
        bed=bed.value,
        order=job.order_id,
        plate=job.plate,
        started_at=_started(job, ledger.events(job.order_id)) if printing else None,
        takes_s=next((plate.print_seconds for plate in plates if plate.number == job.plate), None) if printing else None,
        progress=float(live["progress"]) if live and printing else None,
        seconds_left=live["seconds_left"] if live and printing else None,
    )


def _started(job: Job, events: Sequence[Event]) -> datetime | None:
    return next((event.at for event in reversed(events) if event.kind in _STARTED and event.data.get("job") == job.remote_name), None)
