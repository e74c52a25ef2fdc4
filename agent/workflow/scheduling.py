"""Time on the printers: where a plate has room, and what stands there then. Pure; times inside are seconds since the epoch.

How a plan is made of it: planning.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.domain.attended import Attended
from agent.domain.printer import PrinterFacts
from agent.domain.schedule import Alternative, Assignment, Batch, PlateNeed
from agent.domain.values import Color
from agent.workflow.attended import Calendar

_CHANGE_IS_WORTH_S = 3600.0
"""A plate waits up to this long for a printer that has its spool in use already, rather than have another one change."""
_NO_TIME_S = 0.001
BACK_AFTER_S = 1800.0
"""A printer that is out of reach is taken to be back so much later: most are only restarted."""


@dataclass(frozen=True)
class Schedule:
    """The operator's day, and what hands take. Seconds."""

    attended: Attended = field(default_factory=Attended)
    finish_unattended: bool = False
    """A plate may end while nobody is there, and lie on its warm bed until somebody comes."""
    clear_bed_s: float = 300.0
    change_material_s: float = 300.0
    handling_s: float = 0.0
    """Attended time between the last plate and `ship_by`: post-processing, photos, packing."""

    def finish_by(self, ship_by: datetime | None) -> datetime | None:
        """When the last plate has to be off its printer."""
        return None if ship_by is None else self.attended.before(ship_by, self.handling_s)


@dataclass(frozen=True)
class Station:
    """A printer as it stands. `free_from`: when what it prints now ends, or has ended. `bed_free` False: a person has to clear its bed,
    and is reckoned with from then on."""

    facts: PrinterFacts
    free_from: datetime
    bed_free: bool
    reserved_g: Mapping[int, float] = field(default_factory=dict)
    """By the place of the spool in `facts.materials`: grams of it that are spoken for."""
    spool: int | None = None
    """The one in use; None: not known."""
    away: bool = False


@dataclass(slots=True)
class _Gap:
    """Time before a plate whose start was put off, so that it ends while somebody is there."""

    start: float
    end: float
    spool: int
    """The one that is in use then."""


@dataclass(slots=True)
class _Line:
    """What is planned on one printer so far."""

    station: Station
    free: float
    spool: int | None
    left_g: list[float | None]
    gaps: list[_Gap]

    def copy(self) -> "_Line":
        return _Line(self.station, self.free, self.spool, self.left_g.copy(), self.gaps.copy())

    def is_like(self, other: "_Line", later_s: float = 0.0) -> bool:
        """`later_s`: what is free at once is free so much later there."""
        same = self.station.facts is other.station.facts or self.station.facts == other.station.facts
        free = abs(self.free - other.free) < _NO_TIME_S or abs(self.free - later_s - other.free) < _NO_TIME_S
        return same and free and (self.spool, self.left_g, self.gaps) == (other.spool, other.left_g, other.gaps)


@dataclass(slots=True)
class Slot:
    """Where one plate would go."""

    line: _Line
    spool: int
    start: float
    end: float
    cleared: float
    changes: bool
    gap: int | None = None
    put_off: bool = False


@dataclass(slots=True)
class Choice:
    """A batch's alternative with a place for each of its plates, and what the lines look like then."""

    alternative: Alternative
    slots: list[tuple[int, PlateNeed, Slot]]
    lines: dict[str, _Line]
    until: float | None
    """When it has to be ready."""

    @property
    def late_s(self) -> float:
        return 0.0 if self.until is None else self.ready - self.until

    @property
    def ready(self) -> float:
        return max((slot.cleared for _, _, slot in self.slots), default=0.0)

    @property
    def score(self) -> tuple[float, float]:
        changes = sum(slot.changes for _, _, slot in self.slots)
        return max(0.0, self.late_s), self.ready + changes * _CHANGE_IS_WORTH_S

    def assignments(self, batch: Batch) -> Iterator[Assignment]:
        for count, need, slot in self.slots:
            yield Assignment(
                printer=slot.line.station.facts.name,
                order_id=batch.order_id,
                batch=batch.number,
                plate=need.number or count,
                profile=self.alternative.profile,
                material=batch.material,
                color=batch.color,
                starts_at=_instant(slot.start),
                ends_at=_instant(slot.end),
                cleared_at=_instant(slot.cleared),
                changes_material=slot.changes,
                estimated=self.alternative.estimated,
            )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class Floor:
    """All printers while a plan is being made."""

    def __init__(self, stations: Sequence[Station], schedule: Schedule, now: datetime) -> None:
        self._schedule = schedule
        self._now = now.timestamp()
        self._calendar = Calendar(schedule.attended, self._now, schedule.clear_bed_s)
        self._lines = {station.facts.name: self._line(station) for station in stations}
        self._empty = {name: line.copy() for name, line in self._lines.items()}
        self._spools: dict[tuple[str, Color], dict[str, int]] = {}

    def _line(self, station: Station) -> _Line:
        free = station.free_from.timestamp()
        if station.away:
            free = max(free, self._now + BACK_AFTER_S)
        if not station.bed_free:
            cleared = self._cleared(free)
            free = cleared if cleared >= self._now else self._cleared(self._now)  # who is late begins now
        free = max(free, self._now)
        left = [
            None if spool.remaining_g is None else spool.remaining_g - station.reserved_g.get(n, 0.0)
            for n, spool in enumerate(station.facts.materials)
        ]
        return _Line(station, free, station.spool, left, [])

    def _cleared(self, since: float) -> float:
        return self._calendar.next_at(since) + self._schedule.clear_bed_s

    def carries_on(self, before: "Floor") -> bool:
        """Takes over all that was planned on that floor, where every printer that has to do there stands as it did, to the instant at which
        it begins. False, and nothing is taken over, where one does not."""
        busy = {name: line for name, line in before._lines.items() if not line.is_like(before._empty[name])}
        if self._schedule != before._schedule or not all(
            (now := self._empty.get(name)) is not None and now.is_like(before._empty[name]) for name in busy
        ):
            return False
        self._lines.update({name: line.copy() for name, line in busy.items()})
        if self._has_facts_of(before):
            self._spools = before._spools
        return True

    def _has_facts_of(self, before: "Floor") -> bool:
        return len(self._empty) == len(before._empty) and all(
            (other := before._empty.get(name)) is not None and line.station.facts is other.station.facts
            for name, line in self._empty.items()
        )

    def begins_like(self, before: "Floor") -> bool:
        """No printer stands otherwise than on that floor, but that time has passed."""
        later_s = self._now - before._now
        return self._empty.keys() == before._empty.keys() and all(
            line.is_like(before._empty[name], later_s) for name, line in self._empty.items()
        )

    def best(self, batch: Batch) -> Choice | None:
        """The alternative that is least late, then ready first; None where no alternative has a place for every plate."""
        choices = (self._tried(batch, alternative) for alternative in batch.alternatives)
        return min((choice for choice in choices if choice is not None), key=lambda choice: choice.score, default=None)

    def take(self, choice: Choice) -> None:
        self._lines.update(choice.lines)

    def left_g(self, printer: str, spool: int) -> float:
        """Grams that nobody has spoken for."""
        left = self._lines[printer].left_g[spool]
        return float("inf") if left is None else left

    def append(self, printer: str, spool: int, need: PlateNeed) -> Slot:
        """After all that is planned on that printer."""
        line = self._lines[printer]
        slot = self._after_all(line, spool, need)
        self._put(line, slot, need)
        return slot

    def why_not(self, batch: Batch) -> str:
        """For people: why no alternative has a place for every plate."""
        what = f"{batch.material} {batch.color.name}"
        named = list(dict.fromkeys(name for alternative in batch.alternatives for name in alternative.printers))
        if not named:
            return "No printer can make it."
        spools = self.spools_for(batch)
        loaded = [name for name in named if name in spools]
        if not loaded:
            return f"{what} is loaded on none of {', '.join(named)}."
        left = ", ".join(f"{self._lines[name].left_g[spools[name]]:.0f} g on {name}" for name in loaded)
        least = min(sum(plate.filament_g for plate in alternative.plates) for alternative in batch.alternatives)
        return f"Too little {what} is left: {least:.0f} g needed, {left} less what is spoken for."

    def spools_for(self, batch: Batch) -> dict[str, int]:
        """Printer -> the place of the spool that serves the batch."""
        key = (batch.material.casefold(), batch.color)
        if key not in self._spools:
            found = {}
            for name, line in self._lines.items():
                facts = line.station.facts
                if (spool := facts.loaded(batch.material, batch.color)) is not None:
                    found[name] = facts.materials.index(spool)
            self._spools[key] = found
        return self._spools[key]

    def _tried(self, batch: Batch, alternative: Alternative) -> Choice | None:
        """Longest plates first, so that the last ones even out what the printers have to do."""
        spools, lines = self.spools_for(batch), dict[str, _Line]()
        able = [name for name in alternative.printers if name in spools]
        slots: list[tuple[int, PlateNeed, Slot]] = []
        until = None if batch.finish_by is None else batch.finish_by.timestamp()
        plates = sorted(enumerate(alternative.plates, start=1), key=lambda plate: -plate[1].print_seconds)
        for count, need in plates:
            candidates = ((lines.get(name) or self._lines[name], spools[name]) for name in able)
            slot = self._earliest(candidates, need, until)
            if slot is None:
                return None
            line = slot.line.copy()
            self._put(line, slot, need)
            slot.line = line
            lines[line.station.facts.name] = line
            slots.append((count, need, slot))
        return Choice(alternative, slots, lines, until)

    def _earliest(self, candidates: Iterable[tuple[_Line, int]], need: PlateNeed, until: float | None) -> Slot | None:
        """The slot that keeps the promise and is ready first; a change of material counts as time lost."""
        best: Slot | None = None
        best_score = (True, float("inf"), float("inf"))
        for line, spool in candidates:
            left = line.left_g[spool]
            if left is not None and left < need.filament_g:
                continue
            if not line.gaps and not best_score[0] and line.free + need.print_seconds > best_score[1]:
                continue
            slot = self._slot(line, spool, need)
            late = until is not None and slot.cleared > until
            score = (late, slot.cleared + (_CHANGE_IS_WORTH_S if slot.changes else 0.0), slot.start)
            if best is None or score < best_score:
                best, best_score = slot, score
        return best

    def _slot(self, line: _Line, spool: int, need: PlateNeed) -> Slot:
        """In a gap where it fits and changes nothing, else after all that is planned there."""
        for n, gap in enumerate(line.gaps):
            if gap.spool == spool:
                slot = self._ended(line, spool, gap.start, need.print_seconds, changes=False)
                if slot.cleared <= gap.end and not slot.put_off:
                    slot.gap = n
                    return slot
        return self._after_all(line, spool, need)

    def _after_all(self, line: _Line, spool: int, need: PlateNeed) -> Slot:
        changes = line.spool is not None and line.spool != spool
        takes = need.print_seconds + (self._schedule.change_material_s if changes else 0.0)
        return self._ended(line, spool, line.free, takes, changes=changes)

    def _ended(self, line: _Line, spool: int, start: float, takes: float, *, changes: bool) -> Slot:
        """With its start put off where it would end with nobody there."""
        end = start + takes
        if line.station.facts.clears_its_own_bed:
            return Slot(line, spool, start, end, end, changes)
        somebody = self._calendar.next_at(end)
        put_off = somebody > end and not self._schedule.finish_unattended
        if put_off:
            start, end = start + somebody - end, somebody
        return Slot(line, spool, start, end, somebody + self._schedule.clear_bed_s, changes, put_off=put_off)

    @staticmethod
    def _put(line: _Line, slot: Slot, need: PlateNeed) -> None:
        left = line.left_g[slot.spool]
        if left is not None:
            line.left_g[slot.spool] = left - need.filament_g
        if slot.gap is not None:
            gap = line.gaps[slot.gap]
            line.gaps[slot.gap] = _Gap(slot.cleared, gap.end, slot.spool)
            return
        if slot.put_off:
            line.gaps.append(_Gap(line.free, slot.start, slot.spool if line.spool is None else line.spool))
        line.free, line.spool = slot.cleared, slot.spool
