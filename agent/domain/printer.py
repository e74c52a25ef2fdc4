"""What a printer can do and how it stands, in words no vendor owns."""

import math
from enum import StrEnum

from pydantic import Field

from agent.domain.color_difference import LIMIT
from agent.domain.errors import AgentError, Transient, Unsound
from agent.domain.fit import Floor, Sides, narrowed
from agent.domain.values import Color, Value


class PrinterState(StrEnum):
    """OFFLINE: not reachable, or its firmware is halted. FINISHED, CANCELLED and FAILED are the last job's end, seen while idle."""

    OFFLINE = "offline"
    IDLE = "idle"
    PREPARING = "preparing"
    PRINTING = "printing"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


BUSY = frozenset({PrinterState.PREPARING, PrinterState.PRINTING, PrinterState.PAUSED})
ENDED = frozenset({PrinterState.FINISHED, PrinterState.CANCELLED, PrinterState.FAILED})


class PrinterObservation(Value):
    """How a printer stands at one instant.

    `remote_name` is the file of the job the state speaks of, as the printer names it; empty where it does not say.
    `progress` is 0…1. `reason` is why it is offline, paused, cancelled or failed, in the printer's own words.
    `needs_attention`, of one that is offline: something answers there, or should, and only a person can make sense of it.
    `layer` of `layers` is for people's eyes only; few printers tell it.
    """

    state: PrinterState
    remote_name: str = ""
    progress: float = 0.0
    seconds_left: int | None = None
    layer: int | None = None
    layers: int | None = None
    reason: str = ""
    needs_attention: bool = False

    @property
    def busy(self) -> bool:
        return self.state in BUSY


def away(why: AgentError) -> PrinterObservation:
    """A printer that could not be looked at. Out of reach it needs patience; where it makes no sense, or lets us in no more, a person."""
    patience = isinstance(why, Transient) and not isinstance(why, Unsound)
    return PrinterObservation(state=PrinterState.OFFLINE, reason=why.told(), needs_attention=not patience)


class Temperatures(Value):
    """In °C at one instant. None: the printer has no such heater, or does not say. A target of 0 is a heater that is off."""

    nozzle_c: float | None = None
    nozzle_target_c: float | None = None
    bed_c: float | None = None
    bed_target_c: float | None = None


class LoadedMaterial(Value):
    """A spool on a printer. `remaining_g` None: not tracked."""

    material: str = Field(min_length=1, max_length=40)
    color: Color
    remaining_g: float | None = Field(default=None, ge=0)


class MaterialSlot(Value):
    """A place on a printer that holds filament, as the printer itself tells it. `slot` is what people call it: A1, B3, external.

    `color_hex` None: it does not say. `remaining_percent` None: not measured.
    """

    slot: str
    material: str
    color_hex: str | None = None
    remaining_percent: int | None = None


class PrinterFacts(Value):
    """What deciding and slicing need to know of a printer; from its file and its profile, never from the network."""

    name: str
    kind: str
    profile: str
    slicer: str
    bed_mm: Sides
    """Where parts may stand: the bed less what is kept free around it."""
    free_mm: list[Floor] = []
    """The largest rectangles of it that are free, where the bed is no rectangle or has excluded zones."""
    supports_mm: float = 0.0
    """So much more is kept free on each side of parts with supports."""
    nozzle_mm: float
    materials: list[LoadedMaterial]
    profile_materials: list[str]
    clears_its_own_bed: bool = False
    bed_cool_c: float | None = None
    """After a print nobody is sent to a bed warmer than this. None: at once."""
    color_limit: float = LIMIT
    """How far a loaded colour may be from the ordered one (CIEDE2000)."""

    def room(self, *, supports: bool = False) -> tuple[Sides, list[Floor]]:
        """`bed_mm` and `free_mm` as parts with or without supports find them."""
        return narrowed(self.bed_mm, self.free_mm, self.supports_mm) if supports else (self.bed_mm, self.free_mm)

    def loaded(self, material: str, color: Color) -> LoadedMaterial | None:
        """The spool that serves this material and colour, if one is loaded: of several the nearest in colour, one whose hex value is not
        known after those whose is."""
        serving = [
            spool
            for spool in self.materials
            if spool.material.casefold() == material.casefold() and spool.color.same_as(color, self.color_limit)
        ]
        return min(serving, key=lambda spool: _apart(spool, color), default=None)


def _apart(spool: LoadedMaterial, color: Color) -> float:
    apart = spool.color.distance(color)
    return math.inf if apart is None else apart


class BedState(StrEnum):
    """UNKNOWN until a person looked, or the printer cleared its own bed; only FREE is ever printed on."""

    UNKNOWN = "unknown"
    FREE = "free"
    OCCUPIED = "occupied"
