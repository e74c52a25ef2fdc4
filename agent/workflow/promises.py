"""From the ledger to the planner's input: what open orders still need of the printers, and how the printers stand."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from agent.domain.decision import Answer
from agent.domain.job import Job, JobState
from agent.domain.order import Dossier, Order, State
from agent.domain.plate import SlicedPlate
from agent.domain.printer import BedState, PrinterFacts
from agent.domain.schedule import Alternative, Batch, Plan, PlateNeed
from agent.domain.values import Color
from agent.ports.ledger import Bed, Ledger, Unprinted
from agent.workflow.able import able_printers
from agent.workflow.planning import Laid
from agent.workflow.scheduling import Schedule, Station
from agent.workflow.times import correction_on

_HAS_PLATES = (State.SLICED, State.PRINTING)
_LEARNS_EVERY = timedelta(seconds=30)
_NOT_BEGUN = (JobState.CLAIMED, JobState.UPLOADED)


@dataclass(frozen=True)
class Need:
    """What one order takes as a whole, as its last move left it. `plates`: number -> its batch and what it takes, for the jobs at work."""

    batches: Sequence[Batch] = ()
    plates: Mapping[int, tuple[Batch, PlateNeed]] = field(default_factory=dict)


@dataclass
class Memory:
    """What need not be read again: an order's needs until it moves, and plans until anything changes. `kept`: the one that is kept to."""

    needs: dict[str, tuple[object, Need]] = field(default_factory=dict)
    kept: "Kept | None" = None
    work: "Work | None" = None
    factors: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Of print times, by printer, profile and slicer: hundreds of plates have the same. Each is a question to the ledger."""
    factors_since: datetime | None = None

    def factors_at(self, now: datetime) -> dict[tuple[str, str, str], float]:
        """Forgotten every half minute: what a print has taught counts from then on."""
        if self.factors_since is None or abs(now - self.factors_since) > _LEARNS_EVERY:
            self.factors, self.factors_since = {}, now
        return self.factors


@dataclass(frozen=True)
class Kept:
    """A plan of all promises. `key`: of what it was made from. `weighed`: when it was last compared with one made anew."""

    key: object
    laid: Laid
    weighed: datetime


@dataclass(frozen=True)
class Work:
    """The plan that printers are claimed by: of those orders, as `of` has them."""

    key: object
    of: Laid
    orders: frozenset[str]
    plan: Plan


@dataclass(frozen=True)
class Scene:
    """All that a plan is made from, at one instant: what the ledger was once asked for is not asked for again."""

    ledger: Ledger
    facts: Sequence[PrinterFacts]
    schedule: Schedule
    now: datetime
    away: frozenset[str]
    memory: Memory

    def batches(self, which: Callable[[Unprinted], bool] = lambda _row: True, but: Collection[str] = ()) -> list[Batch]:
        """Of the promises made, the oldest order first, less the plates that a job is at or that are done."""
        return [batch for row, batch in self._promised if row.id not in but and which(row)]

    def stations(self) -> list[Station]:
        return self._stations

    def fingerprint(self) -> object:
        """Another one when the same question could get another plan."""
        beds = tuple(sorted((bed.printer, bed.state, bed.since) for bed in self._beds.values()))
        return self.ledger.mark(), beds, self.away, tuple(self.facts), self.schedule

    @cached_property
    def _promised(self) -> list[tuple[Unprinted, Batch]]:
        in_work = self.ledger.plates_in_work()
        return [
            (row, left)
            for row in self._rows
            for batch in self._need(row).batches
            if (left := _less(batch, in_work.get(row.id, frozenset()))) is not None
        ]

    @cached_property
    def _stations(self) -> list[Station]:
        jobs = {job.printer: job for job in self.ledger.active_jobs()}
        rows = {row.id: row for row in self._rows} if jobs else {}
        return [self._station(facts, self._beds.get(facts.name), jobs.get(facts.name), rows) for facts in self.facts]

    @cached_property
    def _beds(self) -> Mapping[str, Bed]:
        return self.ledger.beds()

    @cached_property
    def _rows(self) -> Sequence[Unprinted]:
        rows = self.ledger.unprinted()
        known = {row.id for row in rows}
        for gone in [order_id for order_id in self.memory.needs if order_id not in known]:
            del self.memory.needs[gone]
        return rows

    def _need(self, row: Unprinted) -> Need:
        found, moved = self.memory.needs.get(row.id), row.as_moved
        if found is not None and found[0] == moved:
            return found[1]
        new = row.state is State.OFFERED and row.version == 1  # nothing was decided yet: dozens may come at once, and each is decided fast
        need = Need() if new else self._read(self.ledger.order(row.id), row.stage)
        self.memory.needs[row.id] = (moved, need)
        return need

    def _read(self, order: Order, stage: State) -> Need:
        dossier = order.dossier
        finish_by = self.schedule.finish_by(ship_by(dossier))
        if stage is State.OFFERED and (dossier.decision is None or dossier.decision.answer is not Answer.ACCEPT):
            return Need()
        if stage not in _HAS_PLATES and dossier.batches:
            return Need([batch.model_copy(update={"finish_by": finish_by}) for batch in dossier.batches])
        return self._of_plates(order, finish_by)

    def _of_plates(self, order: Order, finish_by: datetime | None) -> Need:
        """Plates of one profile, material and colour are a batch: what it takes is known, and so is where it can be printed."""
        groups: dict[tuple[str, str, str, Color], list[SlicedPlate]] = {}
        for plate in order.dossier.plates:
            key = plate.profile, plate.slicer, plate.settings.material, plate.settings.color
            groups.setdefault(key, []).append(plate)
        batches: list[Batch] = []
        by_number: dict[int, tuple[Batch, PlateNeed]] = {}
        for number, ((profile, slicer, material, color), plates) in enumerate(groups.items(), start=1):
            needs = [self._plate_need(plate) for plate in plates]
            printers = [facts.name for facts in able_printers(plates[0], self.facts)]
            batch = Batch(
                order_id=order.id,
                number=number,
                material=material,
                color=color,
                alternatives=[Alternative(profile=profile, slicer=slicer, printers=printers, plates=needs)],
                finish_by=finish_by,
            )
            batches.append(batch)
            by_number |= {plate.number: (batch, need) for plate, need in zip(plates, needs, strict=True)}
        return Need(batches, by_number)

    def _plate_need(self, plate: SlicedPlate) -> PlateNeed:
        """In the time it takes on the slowest of its printers, as times.slowest has it."""
        factor = max((self._factor(facts.name, plate) for facts in able_printers(plate, self.facts)), default=1.0)
        return PlateNeed(print_seconds=round(plate.print_seconds * factor), filament_g=plate.filament_g, number=plate.number)

    def _factor(self, printer: str, plate: SlicedPlate) -> float:
        key, factors = (printer, plate.profile, plate.slicer), self.memory.factors_at(self.now)
        if key not in factors:
            found = correction_on(printer, plate, self.ledger)
            factors[key] = found.factor if found else 1.0
        return factors[key]

    def _station(self, facts: PrinterFacts, bed: Bed | None, job: Job | None, rows: Mapping[str, Unprinted]) -> Station:
        away = facts.name in self.away
        free = bed is not None and bed.state is BedState.FREE
        if job is None:
            return Station(facts, self.now, free, away=away)
        row = rows.get(job.order_id)
        known = self._need(row).plates.get(job.plate) if row else None
        spool, grams = None, 0.0
        if known is not None and (loaded := facts.loaded(known[0].material, known[0].color)) is not None:
            spool = facts.materials.index(loaded)
            grams = 0.0 if job.state is JobState.FINISHED else known[1].filament_g  # then it was taken from what is left
        seconds = known[1].print_seconds if known else 0
        since = self._since(job, bed)
        return Station(
            facts,
            since if job.state is JobState.FINISHED else max(self.now, since + timedelta(seconds=seconds)),
            facts.clears_its_own_bed or (job.state is JobState.FINISHED and free),
            reserved_g={} if spool is None else {spool: grams},
            spool=spool,
            away=away,
        )

    def _since(self, job: Job, bed: Bed | None) -> datetime:
        """When it was begun, or when it ended: either takes the bed in the same transaction, under the job's name."""
        if job.state in _NOT_BEGUN or bed is None or bed.said_by != job.remote_name:
            return self.now
        return bed.since


def ship_by(dossier: Dossier) -> datetime | None:
    """As the marketplace says now, else as it was offered."""
    return (dossier.remote.ship_by if dossier.remote else None) or dossier.offer.ship_by


def _less(batch: Batch, done: frozenset[int]) -> Batch | None:
    """Without the plates of those numbers; None where none is left."""
    if not any(plate.number in done for alternative in batch.alternatives for plate in alternative.plates):
        return batch
    left = [
        alternative.model_copy(update={"plates": [plate for plate in alternative.plates if plate.number not in done]})
        for alternative in batch.alternatives
    ]
    return batch.model_copy(update={"alternatives": left}) if any(alternative.plates for alternative in left) else None
