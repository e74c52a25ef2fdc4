"""What keeps the agent from keeping a promise, whoever it were made to: no printer, no room, no clock, no ledger."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent.domain.account import ClockReading
from agent.domain.errors import AgentError
from agent.domain.printer import PrinterFacts
from agent.ports.marketplace import TellsTheTime
from agent.wire.clock import is_synchronised
from agent.workflow.shop import Shop

THOROUGH_S = 60.0
"""Slicers are asked and the ledger is written this often while all is well; the rest is looked at each time."""
_MOST_NAMES = 5


@dataclass(frozen=True)
class Limits:
    """From which on it is one."""

    printers_away_s: float = 300.0
    """A printer that cannot be reached for so long is not counted on."""
    filament_g: float = 20.0
    """Nor is one whose every spool is tracked and has less left. 0: not looked at."""
    clock_off_s: float = 120.0
    """This machine's clock against the marketplaces'. 0: not looked at."""


@dataclass(frozen=True)
class Obstacle:
    """`text` is a part of a sentence, and stays the same for as long as things stand the same."""

    code: str
    text: str


class Obstacles:
    """Looks for them. `monotonic` is a clock nobody sets; `clock_is_kept`: whether a time service holds this machine's, None: not known."""

    def __init__(
        self,
        shop: Shop,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
        clock_is_kept: Callable[[], bool | None] = is_synchronised,
    ) -> None:
        self._shop = shop
        self._limits = limits
        self._monotonic = monotonic
        self._clock_is_kept = clock_is_kept
        self._begun = monotonic()
        self._reached: dict[str, float] = {}
        self._slicers: Mapping[str, str] = {}
        self._ledger: Obstacle | None = None
        self._thorough_at = self._begun - THOROUGH_S

    async def found(self, *, patient: bool) -> list[Obstacle]:
        """As things stand now. `patient`: a printer that is away has its time to come back; else only what is in reach counts."""
        if self._slicers or self._ledger or self._monotonic() - self._thorough_at >= THOROUGH_S:
            self._thorough_at = self._monotonic()
            self._slicers = await self._missing_slicers()
            self._ledger = self._unwritable()
        kinds = (self._no_printer(self._limits.printers_away_s if patient else 0.0), self._no_room(), self._clock_off(), self._ledger)
        return [obstacle for obstacle in kinds if obstacle is not None]

    # --- printers, with their slicers and spools --------------------------------------------------------------------

    def _no_printer(self, patience_s: float) -> Obstacle | None:
        """None where at least one could take an order."""
        names: dict[str, list[str]] = {}
        for facts in self._shop.facts():
            why = self._why_not(facts.name, facts, patience_s)
            if why is None:
                return None
            names.setdefault(why, []).append(facts.name)
        told = "; ".join(f"{_listed(those)}: {why}" for why, those in names.items())
        return Obstacle("no_printer", f"no printer can take an order ({told or 'none is configured'})")

    def _why_not(self, name: str, facts: PrinterFacts, patience_s: float) -> str | None:
        now, shop = self._monotonic(), self._shop
        if name in shop.seen and name not in shop.away:
            self._reached[name] = now
        elif now - self._reached.get(name, self._begun) >= patience_s:
            return "cannot be reached"
        if facts.slicer in self._slicers:
            return self._slicers[facts.slicer]
        return _short(facts, self._limits.filament_g)

    async def _missing_slicers(self) -> dict[str, str]:
        missing = {}
        for name, slicer in self._shop.slicers.items():
            try:
                await slicer.warm()
            except AgentError as error:
                missing[name] = str(error).rstrip(".")
        return missing

    # --- the machine ------------------------------------------------------------------------------------------------

    def _no_room(self) -> Obstacle | None:
        try:
            self._shop.store.require_room()
        except (AgentError, OSError):
            return Obstacle("disk", "the disk is nearly full, or does not answer")
        return None

    def _unwritable(self) -> Obstacle | None:
        try:
            self._shop.ledger.require_writable()
        except AgentError:
            return Obstacle("ledger", "the ledger cannot be written")
        return None

    def _clock_off(self) -> Obstacle | None:
        """Only where no reading of any marketplace agrees with this machine's clock, and no time service holds it: else it is the
        marketplace's that is wrong, and offers keep their deadlines all the same."""
        now, limit = self._shop.now(), self._limits.clock_off_s
        seconds = [reading.ahead(now).total_seconds() for reading in self._readings()]
        nearest = min(seconds, key=abs, default=0.0)
        if not limit or abs(nearest) <= limit or self._clock_is_kept():
            return None
        return Obstacle("clock", f"this machine's clock is {'ahead of' if nearest > 0 else 'behind'} the marketplace's by over {limit:g} s")

    def _readings(self) -> Iterator[ClockReading]:
        for market in self._shop.marketplaces.values():
            if isinstance(market, TellsTheTime):
                yield from market.clock()


def _short(facts: PrinterFacts, least_g: float) -> str | None:
    if not facts.materials:
        return "no material is loaded"
    left = [spool.remaining_g for spool in facts.materials]
    return f"less than {least_g:g} g of filament left" if all(grams is not None and grams < least_g for grams in left) else None


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
