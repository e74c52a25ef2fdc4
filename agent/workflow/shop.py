"""What the handlers work with: the ledger, the adapters and the rules, put together once by the wiring."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agent.domain.booking import Prices
from agent.domain.errors import NeedsOperator
from agent.domain.fit import Packaging
from agent.domain.measures import Measures
from agent.domain.printer import PrinterFacts, PrinterObservation
from agent.ports.files import FileStore
from agent.ports.labels import Labels
from agent.ports.ledger import Ledger
from agent.ports.marketplace import Marketplace
from agent.ports.meshes import MeshInspector
from agent.ports.notifier import Notifier
from agent.ports.printer import Printer
from agent.ports.slicer import Slicer
from agent.workflow.acceptance import Policy
from agent.workflow.poses import Orient
from agent.workflow.promises import Memory
from agent.workflow.scheduling import Schedule
from agent.workflow.stock import Counts
from agent.workflow.turns import Turns


@dataclass(frozen=True)
class Pace:
    """How often things are looked at, and how long the answers may take. Seconds."""

    confirm_start_s: float = 0.1
    """Between two looks at a printer that was just asked to start."""
    start_may_take_s: float = 30.0
    """A start that the printer neither shows nor denies after this long is asked of a person."""
    request_on_its_way_s: float = 10.0
    """For this long a start that was sent by a dead process may still arrive; only then can 'it never started' be believed."""
    printing_s: float = 2.0
    idle_printer_s: float = 5.0
    printer_away_s: float = 5.0
    label_s: float = 20.0
    remote_s: float = 60.0
    first_retry_s: float = 1.0
    longest_retry_s: float = 300.0
    cooling_s: float = 15.0
    look_away_s: float = 60.0
    """A print that was not looked at for longer tells nothing of how long it took."""
    makes_no_sense_s: float = 300.0
    """A printer with work of ours that answers nonsense, or nothing, for this long is asked about."""
    plan_s: float = 60.0
    """Between two looks at whether every promise is still kept."""
    picture_s: float = 5.0
    """How long a camera may take while somebody waits to be called."""


@dataclass(frozen=True)
class Puzzled:
    """From which look to which a printer made no sense."""

    since: datetime
    last: datetime


@dataclass(frozen=True)
class Watched:
    """A print that has been watched since it was started, up to the last look."""

    since: datetime
    last: datetime


@dataclass(frozen=True)
class Shop:
    """One operator's workshop as the workflow sees it."""

    ledger: Ledger
    store: FileStore
    marketplaces: Mapping[str, Marketplace]
    printers: Mapping[str, Printer]
    slicers: Mapping[str, Slicer]
    """By the name a printer's file gives: prusaslicer, …"""
    meshes: MeshInspector
    notifier: Notifier
    policy: Policy
    now: Callable[[], datetime]
    largest_file_bytes: int
    local_now: Callable[[], datetime]
    """The same instant with the operator's time zone, for opening hours."""
    slicing: Turns
    """As many slicers at once as the machine was said to bear, what is needed soonest first."""
    pace: Pace = field(default_factory=Pace)
    orient: Orient = Orient.PROPOSE
    schedule: Schedule = field(default_factory=Schedule)
    heat_at_once: int | None = None
    """How many printers may warm up at the same time. None: all."""
    foreign_jobs: dict[str, str] = field(default_factory=dict)
    """Printer -> the print of somebody else that was seen there last: see beds.py."""
    heating: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from counting the printers that warm up until one more is intended to."""
    ask_first: Callable[[], bool] = lambda: False
    """A person wants to be asked about every offer for now: see by_hand.py."""
    last_seen: dict[str, PrinterObservation] = field(default_factory=dict)
    """Printer -> the last look of the workflow, for whoever only watches: nobody asks a printer twice."""
    away: set[str] = field(default_factory=set)
    """Printers that could not be reached at the last look: work goes to others first."""
    seen: set[str] = field(default_factory=set)
    """Printers that were reached at least once since this daemon began."""
    labels: Labels | None = None
    """None: a label is fetched, and a person does the rest."""
    watched: dict[str, Watched] = field(default_factory=dict)
    """By the job's remote name: see watched.py."""
    progress: dict[str, float] = field(default_factory=dict)
    """By the job's remote name: how far a print was seen to come."""
    counts: Counts = field(default_factory=Counts)
    prices: Prices = field(default_factory=Prices)
    remind_before_s: float = 12 * 3600.0
    """So long before a parcel has to be on its way a person is reminded of what it waits for."""
    memory: Memory = field(default_factory=Memory)
    """What the planner need not read again: see promises.py."""
    measures: Measures = field(default_factory=Measures)
    """What this daemon has counted: for whoever keeps figures."""
    puzzled: dict[str, Puzzled] = field(default_factory=dict)
    """Printer -> since when it makes no sense: see attention.py."""
    leaving: frozenset[str] = frozenset()
    """Printers that the configuration no longer has, and that are still at a print: nothing new is planned for them."""

    def remembering(self, before: "Shop") -> "Shop":
        """This shop, with what one before it knew of printers and prints: the configuration changed, and the machines did not."""
        for name in before.last_seen.keys() - self.printers.keys():
            del before.last_seen[name]
        before.away.intersection_update(self.printers)
        before.counts.forget()
        return replace(
            self,
            foreign_jobs=before.foreign_jobs,
            heating=before.heating,
            last_seen=before.last_seen,
            away=before.away,
            seen=before.seen,
            watched=before.watched,
            progress=before.progress,
            counts=before.counts,
            measures=before.measures,
            puzzled=before.puzzled,
        )

    def printer(self, name: str) -> Printer:
        """NeedsOperator where the configuration no longer has it."""
        if name not in self.printers:
            hint = "Put its file back, or give the order up."
            raise NeedsOperator(f"The printer {name} is no longer configured.", hint=hint, code="no_such_printer")
        return self.printers[name]

    def marketplace(self, name: str) -> Marketplace:
        """NeedsOperator where the configuration no longer has it."""
        if name not in self.marketplaces:
            hint = "Put it back into config.toml, under its old name."
            raise NeedsOperator(f"The marketplace {name} is no longer configured.", hint=hint, code="no_such_marketplace")
        return self.marketplaces[name]

    def facts(self) -> list[PrinterFacts]:
        """With what is left on the spools."""
        return self.counts.facts([printer.facts for name, printer in self.printers.items() if name not in self.leaving], self.ledger)

    def packagings(self) -> list[Packaging]:
        """With how many of them are left."""
        return self.counts.packagings(self.policy.packagings, self.ledger)

    def after(self, seconds: float) -> datetime:
        return self.now() + timedelta(seconds=seconds)
