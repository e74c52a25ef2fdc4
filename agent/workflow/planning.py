"""Which plate goes to which printer, and when. Pure: nothing is asked of anybody here, and the same input makes the same plan.

A list schedule: the earliest promise first, each batch whole by the alternative, and each plate on the printer, that has it ready first.
Why this and no solver: docs/decisions/0015-scheduling.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.domain.print_time import hours
from agent.domain.schedule import Alternative, Assignment, Batch, BrokenPromise, Plan, PlateNeed
from agent.domain.values import Color
from agent.workflow.scheduling import Choice, Floor, Schedule, Slot, Station

_REARRANGED = 2
"""So often what would be late is tried in front of all else, and the plan kept that breaks fewer promises."""


@dataclass(frozen=True)
class Laid:
    """A plan with what it was made of, so that it can be added to."""

    plan: Plan
    batches: Mapping[tuple[str, int], Batch]
    floor: Floor
    """The printers as the plan leaves them."""


def plan(batches: Sequence[Batch], stations: Sequence[Station], schedule: Schedule, now: datetime) -> Laid:
    """Every batch is assigned whole, or told in `broken`. Of batches with the same promise those of one spool follow each other;
    those without a promise come last, in the order they are given in."""
    queue = sorted(batches, key=_urgency)
    best = _listed(queue, stations, schedule, now)
    first = _late_ones(best.plan)
    for _ in range(_REARRANGED if first else 0):
        other = _listed([*_only(queue, first), *_only(queue, first, inside=False)], stations, schedule, now, len(best.plan.broken))
        if len(other.plan.broken) < len(best.plan.broken):
            best = other
        helped = first - _late_ones(other.plan)
        if helped in (set(), first):
            break
        first = helped
    return best


def within(batches: Sequence[Batch], stations: Sequence[Station], schedule: Schedule, now: datetime, most_broken: int) -> Plan | None:
    """As `plan`, at its first go; None where it breaks more than so many promises, found out as early as may be."""
    made = _listed(sorted(batches, key=_urgency), stations, schedule, now, most_broken + 1).plan
    return made if len(made.broken) <= most_broken else None


def followed(before: Laid, batches: Sequence[Batch], stations: Sequence[Station], schedule: Schedule, now: datetime) -> Laid:
    """The plan `before` as things stand now: what is in it stays on its printers, in its order, and what is not is put where there is room,
    the earliest promise first. So nothing that is only added breaks a promise that was kept.

    `before` itself where nothing is another now."""
    floor = Floor(stations, schedule, now)
    more = _only_more(before, batches)
    if more is None or not floor.carries_on(before.floor):
        return _laid_again(before.plan, batches, floor, now)
    if not more and floor.begins_like(before.floor):
        return before
    making = _Making(floor, now, before)
    for batch in sorted(more, key=_urgency):
        making.place(batch)
    return making.made()


def _only_more(before: Laid, batches: Sequence[Batch]) -> list[Batch] | None:
    """Those that are not in it; None where one that is in it is gone, or is another now."""
    left, more = dict(before.batches), []
    for batch in batches:
        known = left.pop((batch.order_id, batch.number), None)
        if known is None:
            more.append(batch)
        elif known is not batch and known != batch:
            return None
    return None if left else more


def _laid_again(before: Plan, batches: Sequence[Batch], floor: Floor, now: datetime) -> Laid:
    places = _Places(before)
    found = [one for batch in batches if (one := places.of(batch, floor)) is not None]
    kept = _with_filament(floor, found)
    making = _Making(floor, now)
    for one, choice in _as_before(floor, kept):
        making.add(one.batch, choice)
    placed = {(one.batch.order_id, one.batch.number) for one in kept}
    for batch in sorted(_only(batches, placed, inside=False), key=_urgency):
        making.place(batch)
    return making.made()


def _listed(
    queue: Sequence[Batch], stations: Sequence[Station], schedule: Schedule, now: datetime, most_broken: float = float("inf")
) -> Laid:
    """Not to its end where it breaks `most_broken` promises or more: nobody would keep it."""
    making = _Making(Floor(stations, schedule, now), now)
    for batch in queue:
        if len(making.broken) >= most_broken:
            break
        making.place(batch)
    return making.made()


class _Making:
    """A plan that is being put together, of nothing or of one that stands on that floor already."""

    def __init__(self, floor: Floor, now: datetime, of: Laid | None = None) -> None:
        self._floor, self._now = floor, now
        self._batches: dict[tuple[str, int], Batch] = dict(of.batches) if of else {}
        self._assignments: list[Assignment] = list(of.plan.assignments) if of else []
        self.broken: list[BrokenPromise] = list(of.plan.broken) if of else []

    def place(self, batch: Batch) -> None:
        """Where it is ready first."""
        choice = self._floor.best(batch)
        if choice is None:
            self._batches[batch.order_id, batch.number] = batch
            why = self._floor.why_not(batch)
            self.broken.append(BrokenPromise(order_id=batch.order_id, batch=batch.number, late_by_s=None, why=why))
            return
        self._floor.take(choice)
        self.add(batch, choice)

    def add(self, batch: Batch, choice: Choice) -> None:
        """One that has its place already."""
        self._batches[batch.order_id, batch.number] = batch
        self._assignments += choice.assignments(batch)
        if choice.late_s > 0:
            self.broken.append(_late(batch, choice))

    def made(self) -> Laid:
        self._assignments.sort(key=lambda one: (one.starts_at, one.printer))
        return Laid(Plan(made_at=self._now, assignments=self._assignments, broken=self.broken), self._batches, self._floor)


@dataclass(frozen=True)
class _Followed:
    """A batch, and for each plate of the alternative that it is printed by the place it had."""

    batch: Batch
    alternative: Alternative
    places: Sequence[tuple[int, PlateNeed, Assignment]]


class _Places:
    """What a plan has for whom."""

    def __init__(self, of: Plan) -> None:
        self._known: dict[tuple[str, str, str, Color], list[Assignment]] = defaultdict(list)
        for place in of.assignments:
            self._known[place.order_id, place.profile, place.material, place.color].append(place)

    def of(self, batch: Batch, floor: Floor) -> _Followed | None:
        """None where a plate of it has no place, or a printer of it cannot print it any more."""
        spools = floor.spools_for(batch)
        for alternative in batch.alternatives:
            places = self._places(batch, alternative)
            if places and all(place.printer in spools and place.printer in alternative.printers for _, _, place in places):
                return _Followed(batch, alternative, places)
        return None

    def _places(self, batch: Batch, alternative: Alternative) -> Sequence[tuple[int, PlateNeed, Assignment]]:
        """By the plates' numbers. An order that was sliced for good numbers anew: then in their order."""
        known = self._known.get((batch.order_id, alternative.profile, batch.material, batch.color), [])
        own = [place for place in known if place.batch == batch.number]
        known = own if len(own) >= len(alternative.plates) else known
        if len(known) < len(alternative.plates):
            return ()
        counted = list(enumerate(alternative.plates, start=1))
        by_number = {place.plate: place for place in known}
        if all((need.number or count) in by_number for count, need in counted):
            return [(count, need, by_number[need.number or count]) for count, need in counted]
        in_order = sorted(known, key=lambda place: (place.batch, place.plate))
        return [(count, need, place) for (count, need), place in zip(counted, in_order, strict=False)]


def _with_filament(floor: Floor, batches: Sequence[_Followed]) -> list[_Followed]:
    """Those for whose plates enough is left where they were to be printed, the first to begin first."""
    spoken_for: dict[tuple[str, int], float] = defaultdict(float)
    kept = []
    for one in sorted(batches, key=lambda one: min(place.starts_at for _, _, place in one.places)):
        spools = floor.spools_for(one.batch)
        takes: dict[tuple[str, int], float] = defaultdict(float)
        for _, need, place in one.places:
            takes[place.printer, spools[place.printer]] += need.filament_g
        if all(spoken_for[spool] + grams <= floor.left_g(*spool) for spool, grams in takes.items()):
            kept.append(one)
            for spool, grams in takes.items():
                spoken_for[spool] += grams
    return kept


def _as_before(floor: Floor, batches: Sequence[_Followed]) -> Iterator[tuple[_Followed, Choice]]:
    """Each plate on its printer, in the order in which they were to begin."""
    slots: dict[int, list[tuple[int, PlateNeed, Slot]]] = defaultdict(list)
    plates = [(place.starts_at, n, count, need, place.printer) for n, one in enumerate(batches) for count, need, place in one.places]
    for _, n, count, need, printer in sorted(plates, key=lambda plate: plate[:3]):
        slots[n].append((count, need, floor.append(printer, floor.spools_for(batches[n].batch)[printer], need)))
    for n, one in enumerate(batches):
        until = None if one.batch.finish_by is None else one.batch.finish_by.timestamp()
        yield one, Choice(one.alternative, slots[n], {}, until)


def _late_ones(made: Plan) -> set[tuple[str, int]]:
    return {(broken.order_id, broken.batch) for broken in made.broken if broken.late_by_s is not None}


def _only(queue: Sequence[Batch], these: set[tuple[str, int]], *, inside: bool = True) -> list[Batch]:
    return [batch for batch in queue if ((batch.order_id, batch.number) in these) is inside]


def _urgency(batch: Batch) -> tuple[float, str, str, str]:
    if batch.finish_by is None:
        return float("inf"), "", "", ""
    return batch.finish_by.timestamp(), batch.material.casefold(), batch.color.hex or "", batch.color.name.casefold()


def _late(batch: Batch, choice: Choice) -> BrokenPromise:
    why = f"Its last plate is off the printer {hours(choice.late_s)} too late."
    return BrokenPromise(order_id=batch.order_id, batch=batch.number, late_by_s=max(1, round(choice.late_s)), why=why)
