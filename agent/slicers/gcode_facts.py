"""What a G-code file says it does, as gcode.py finds it."""

from dataclasses import dataclass, field

Box = list[float]
"""x, y, z of the low corner, then of the high one; inside out while it is empty."""


def empty() -> Box:
    return [float("inf")] * 3 + [float("-inf")] * 3


@dataclass
class GcodeFacts:
    """Lengths in mm, times in s, temperatures in °C. `Laid` is filament pushed out while the nozzle moves in x or y, once a layer began."""

    layers: int = 0
    layer_mm: float = 0.0
    """The step from layer to layer that comes most often where parts are laid; 0 with fewer than two of them."""
    first_mm: float = 0.0
    """How high the first thing is laid."""
    widest_step_mm: float = 0.0
    """From anything laid, supports too, to what is laid above it, dots on a pointed top aside: more than a layer is a missing one."""
    bounds: Box = field(default_factory=empty)
    """Of all that is laid."""
    strays: list[str] | None = None
    """Where lines leave what is free of the bed, as `x, y` of their ends; the first few. None: not looked at."""
    laid_mm: dict[str, float] = field(default_factory=dict)
    """By feature, as the slicer names it."""
    net_mm: float = 0.0
    """All filament moved once the first layer began, what was pulled back taken off."""
    before_mm: float = 0.0
    """Likewise before it began: the line that primes the nozzle."""
    bodies: dict[str, list[Box]] = field(default_factory=dict)
    """Object name -> the box of what is laid of each copy, supports left out. A copy that is only named is none."""
    nozzle_c: list[float] = field(default_factory=list)
    bed_c: list[float] = field(default_factory=list)
    """Every temperature that is set."""
    laid_at_nozzle_c: list[float] = field(default_factory=list)
    laid_at_bed_c: list[float] = field(default_factory=list)
    """The ones set when something was laid."""
    commands: dict[str, int] = field(default_factory=dict)
    """Every command but straight moves, in capitals without leading zeros, and how often it comes. Arcs only once a layer began."""
    not_understood: list[str] = field(default_factory=list)
    """Lines that are no command this reader knows the shape of; the first few."""
    whole: bool = False
    """It ends with what its slicer writes last."""
    config: dict[str, str] = field(default_factory=dict)
    """The slicer's effective settings, where it writes them; empty in a file that is not whole."""
    seconds: int = 0
    filament_mm: float = 0.0
    filament_g: float = 0.0
    filament_cm3: float = 0.0
