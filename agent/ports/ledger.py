"""What the agent knows and means to do, durable at every step."""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from agent.domain.booking import Booked, Booking
from agent.domain.errors import AgentError
from agent.domain.events import Event
from agent.domain.intent import Act, Intent, NewSupplyIntent, SupplyIntent
from agent.domain.job import Job, JobState
from agent.domain.offer import Offer
from agent.domain.order import Dossier, Order, State
from agent.domain.overview import Overview
from agent.domain.plate import SlicedPlate
from agent.domain.print_time import PrintTime
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Question, Step
from agent.domain.stock import Stock, Taking, Thing, Use
from agent.domain.values import Value


class Stale(AgentError):
    """Somebody else moved it first: read again."""


class Bed(Value):
    """What is known of one printer's bed, and who said so."""

    printer: str
    state: BedState
    since: datetime
    said_by: str

    @property
    def mark(self) -> str:
        """Another one whenever something happens to the bed, or somebody says something of it."""
        return self.since.isoformat()


class Unprinted(NamedTuple):
    """An order whose last plate was not harvested yet, as far as it takes to see that it changed. An offer is one as well."""

    id: str
    state: State
    resume_state: State | None
    version: int
    tries: int
    updated_at: datetime

    @property
    def stage(self) -> State:
        """Where it stands on the path, also while it is on hold."""
        return self.resume_state or self.state

    @property
    def as_moved(self) -> object:
        """Another one after every move."""
        return self.state, self.resume_state, self.updated_at


class OrderMove(Value):
    """Where an order goes next, in one transaction with its event, what was taken from the stock for it, and what it brought."""

    to: State
    event: str
    data: dict[str, Any] = {}
    dossier: Dossier | None = None
    resume_state: State | None = None
    settles_question: int | None = None
    settles_intent: int | None = None
    takes: Taking | None = None
    books: Booking | None = None


class Ledger(Protocol):
    """Every method is one transaction. Transient: locked for too long. NeedsOperator (code disk_full): no room to write."""

    def require_writable(self) -> None:
        """Write something of no meaning, down to the disk; raises as every write would."""
        ...

    # --- orders -------------------------------------------------------------------------------------------
    def add_offers(self, marketplace: str, offers: Sequence[tuple[Offer, datetime]]) -> Sequence[Order]:
        """New orders in state offered, due now, for those of this marketplace's offers that are not known yet; each with the instant by
        which it must be answered."""
        ...

    def order(self, order_id: str) -> Order:
        """KeyError where there is none."""
        ...

    def orders(self, *, open_only: bool = False) -> Sequence[Order]:
        """The oldest first. Each is read whole: without `open_only` for commands, not for a daemon at work."""
        ...

    def some_orders(self, states: Collection[State], most: int, *, newest_first: bool = False) -> Sequence[Order]:
        """Of those in one of these states so many, the oldest first or the newest."""
        ...

    def count_open(self) -> int:
        """Accepted orders that are not at their end."""
        ...

    def packagings_promised(self) -> Mapping[str, int]:
        """Packaging -> how many orders that were accepted, or will be, are still to go into one."""
        ...

    def due(self, now: datetime, limit: int) -> Sequence[str]:
        """Ids of orders whose time has come: offers first, they have a deadline; then the longest waiting."""
        ...

    def next_due_after(self, now: datetime) -> datetime | None:
        """When the next sleeping order is due; None where all wait for an answer."""
        ...

    def move(self, order: Order, move: OrderMove) -> Order:
        """Compare and swap on `order.version`; due again at once. Stale: somebody else moved it."""
        ...

    def wait(self, order: Order, due_at: datetime | None, tries: int = 0) -> Order:
        """Same state, another due time; no event. Stale as `move`, also when it was woken meanwhile."""
        ...

    def record(self, order_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Something worth telling happened without a change of state."""
        ...

    def wake(self, states: Sequence[State]) -> None:
        """Make every order in one of these states due now: a bed or a printer came free."""
        ...

    def events(self, order_id: str) -> Sequence[Event]: ...

    # --- jobs and beds ------------------------------------------------------------------------------------
    def claim(self, order_id: str, plate: int, printer: str, gcode_sha256: str) -> Job | None:
        """A new attempt that has the printer to itself; None where it is taken or its bed is not known to be free."""
        ...

    def jobs(self, order_id: str) -> Sequence[Job]: ...

    def active_jobs(self) -> Sequence[Job]: ...

    def printers_at_work(self) -> Set[str]:
        """Those with an active job."""
        ...

    def idle_printers(self) -> Set[str]:
        """Those without one whose bed is free; they may be out of reach."""
        ...

    def knows_job(self, remote_name: str) -> bool:
        """True where this ledger ever gave out that name: anything else on a printer is somebody else's."""
        ...

    def move_job(
        self,
        job: Job,
        to: JobState,
        event: str,
        data: Mapping[str, Any],
        bed: BedState | None = None,
        settles: Intent | None = None,
        took: PrintTime | None = None,
        takes: Taking | None = None,
    ) -> Job:
        """Compare and swap on `job.version`, with its event and, where given, the bed, the intent this is the outcome of, how long the
        print took, and what it took from a spool.

        FREE only takes back what this job did to the bed: one that is not OCCUPIED by this job stays as it is.
        """
        ...

    def print_times(self, printer: str, profile: str, slicer: str, latest: int) -> Sequence[PrintTime]:
        """Of prints on that printer from G-code of that profile and slicer, the latest jobs first."""
        ...

    def open_start(self, job: Job) -> tuple[Job, Intent]:
        """The intent to start, the job STARTING and the bed OCCUPIED, in one transaction, before anything is sent.

        Stale where the order is not printing any more: it was put on hold, or ended, meanwhile.
        """
        ...

    def beds(self) -> Mapping[str, Bed]: ...

    def set_bed(self, printer: str, state: BedState, said_by: str) -> None: ...

    # --- what is still to be printed ----------------------------------------------------------------------
    def unprinted(self) -> Sequence[Unprinted]:
        """Offers, and orders up to the end of printing, the oldest first."""
        ...

    def plates_in_work(self) -> Mapping[str, frozenset[int]]:
        """Order -> its plates that a job is at, or that were harvested; for orders that are printed."""
        ...

    # --- intents ------------------------------------------------------------------------------------------
    def intent(self, order_id: str, act: Act, subject: str = "") -> tuple[Intent, bool]:
        """The intent for this act, written now or found; the flag is True where it was written now.

        An open intent that was found may have been acted on already: observe before acting again.
        """
        ...

    def open_intent(self, order_id: str, act: Act, subject: str = "") -> Intent | None:
        """The newest intent of this act without an outcome, whose subject begins with this (for START: the job's remote name)."""
        ...

    def settle(self, intent: Intent, outcome: Mapping[str, Any]) -> None: ...

    # --- people -------------------------------------------------------------------------------------------
    def ask(self, order: Order, question: NewQuestion, printer: str = "") -> Question:
        """The open question of this step for this order, asked now or found."""
        ...

    def question(self, order_id: str, step: Step, printer: str = "") -> Question | None:
        """The question of this step that is not settled yet, answered or not."""
        ...

    def open_questions(self) -> Sequence[Question]:
        """All that wait for an answer, oldest first."""
        ...

    def question_by_id(self, question_id: int) -> Question | None:
        """That very question, also when it was settled long ago."""
        ...

    def answer(self, question: Question, answer: Mapping[str, Any], by: str, *, settles: bool = False) -> None:
        """A person's answer; wakes the order. Stale where somebody answered before. `settles`: nothing more comes of it."""
        ...

    def settle_question(self, question: Question) -> None:
        """The answer was taken into account, or the question has become idle; it may be asked anew."""
        ...

    # --- what is used up, and what it brought --------------------------------------------------------------
    def count_from(self, configured: Mapping[Thing, float]) -> None:
        """What the operator's files say. A number that is another one than at the last time is the count from now on."""
        ...

    def counted(self, thing: Thing, number: float, configured: float) -> None:
        """Somebody counted: so many are there now. `configured`: what the operator's file says."""
        ...

    def stock(self) -> Sequence[Stock]:
        """Everything that was ever counted, by kind and name."""
        ...

    def used(self, since: datetime) -> Mapping[Thing, Use]:
        """What was taken since then, also of what is not counted."""
        ...

    def takings(self, order_id: str) -> Sequence[Taking]:
        """All that was taken for one order."""
        ...

    def bookings(self, since: datetime) -> Sequence[Booked]:
        """Orders that were delivered since then, or given up after something was printed, the oldest first."""
        ...

    # --- what marketplaces are asked to send ---------------------------------------------------------------
    def intend_supplies(self, new: NewSupplyIntent) -> tuple[SupplyIntent, bool]:
        """Written now (True), before the marketplace is asked. Or found: the one of this marketplace and kind that is still open, or one
        under the same key that was made."""
        ...

    def open_supply_intents(self) -> Sequence[SupplyIntent]:
        """Those without an outcome, the oldest first. Each may have been acted on already."""
        ...

    def settle_supplies(self, intent: SupplyIntent, outcome: Mapping[str, Any]) -> None:
        """What came of it. An outcome that is there already stays."""
        ...

    # --- for those who watch ------------------------------------------------------------------------------
    def changes(self) -> object:
        """Equal to what it was where nothing was written since; the other way round that need not hold. Costs nothing."""
        ...

    def mark(self) -> str:
        """Another one after everything that happened to an order or a bed. Costs next to nothing."""
        ...

    def overview(self) -> Overview:
        """All orders in a few figures; cheap also where ten thousand wait."""
        ...

    def newest_event(self) -> int:
        """The number of the newest event of all orders; 0 where there is none."""
        ...

    def events_after(self, number: int, most: int) -> Sequence[tuple[int, Event]]:
        """Each with its number, the oldest first."""
        ...

    # --- slices -------------------------------------------------------------------------------------------
    def sliced(self, key: str) -> Sequence[SlicedPlate] | None: ...

    def remember_slice(self, key: str, plates: Sequence[SlicedPlate]) -> None: ...
