"""Whether a thing goes onto a bed as it stands, and whether it goes into a packaging. Lengths in mm."""

import math
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from agent.domain.values import Name, Value

Sides = tuple[float, float, float]
Floor = tuple[float, float]
"""Width and depth of a rectangle on a bed in which parts may stand."""


def sides(size: Sides) -> str:
    """For people: to the hundredth of a millimetre, without zeros behind it."""
    return "×".join(f"{round(side, 2):g}" for side in size) + " mm"


class Packaging(Value):
    """A box or an envelope. `inner_mm`: what fits inside. `padding_mm`: how much of that is kept free on each side of each part.

    `stock`: how many there are. None: nobody counts them. `supply`: what a marketplace that sends them calls them; empty: the same.
    """

    name: Name
    inner_mm: Sides
    padding_mm: float = 0.0
    stock: int | None = None
    supply: str = ""

    def holds(self, size: Sides) -> bool:
        """One part with its sides along the packaging's, whichever way round."""
        rooms = (inner - 2 * self.padding_mm for inner in sorted(self.inner_mm))
        return all(side <= room for side, room in zip(sorted(size), rooms, strict=True))

    @property
    def told(self) -> str:
        """For people: its name and what fits inside."""
        padding = f", {self.padding_mm:g} mm of padding" if self.padding_mm else ""
        return f"{self.name} {sides(self.inner_mm)}{padding}"


class Lie(NamedTuple):
    """How a thing lies on a bed: turned about z, anticlockwise seen from above, and the room it takes then."""

    turned_deg: float
    width_mm: float
    depth_mm: float


def lie(size: Sides, bed: Sides, free: Sequence[Floor] = ()) -> Lie | None:
    """As it stands where that fits, else turned by 90°, else aslant; None where no turn about z helps.

    `free`: the rectangles of the bed that a thing may stand in, where that is not all of it: a round bed, or one with excluded zones.
    Judged by its box: turned aslant, the thing itself may take less room, never more.
    """
    x, y, z = size
    width, depth, height = bed
    if z > height:
        return None
    floors = free or [(width, depth)]
    for stands in (Lie(0.0, x, y), Lie(90.0, y, x)):
        if any(stands.width_mm <= wide and stands.depth_mm <= deep for wide, deep in floors):
            return stands
    return next((found for wide, deep in floors if (found := _aslant(x, y, wide, deep)) is not None), None)


def fits_on_another_side(size: Sides, bed: Sides, free: Sequence[Floor] = ()) -> bool:
    """For what does not fit as it stands. The side is the customer's choice: strength and looks depend on it."""
    return any(lie((x, y, z), bed, free) is not None for x, y, z in permutations(size))


def narrowed(bed: Sides, free: Sequence[Floor], by: float) -> tuple[Sides, list[Floor]]:
    """What is left of both where so much more is kept free on each side."""
    width, depth, height = bed
    return (width - 2 * by, depth - 2 * by, height), [(wide - 2 * by, deep - 2 * by) for wide, deep in free]


def room_told(bed: Sides, free: Sequence[Floor] = ()) -> str:
    """For people: how large a part may be."""
    return f"{sides(bed)} less its corners and excluded zones" if free else sides(bed)


def _aslant(x: float, y: float, width: float, depth: float) -> Lie | None:
    """Halfway between the turn at which it becomes narrow enough and the one at which it becomes too deep.

    With its diagonal d at an angle of a to its long side, a turn of t takes d cos(t - a) in width and d sin(t + a) in depth.
    """
    long, short = max(x, y), min(x, y)
    if short > min(width, depth):
        return None
    diagonal = math.hypot(long, short)
    turn = (math.acos(width / diagonal) + math.asin(depth / diagonal)) / 2
    cos, sin = math.cos(turn), math.sin(turn)
    takes = Lie(math.degrees(turn) + (90 if y > x else 0), long * cos + short * sin, long * sin + short * cos)
    return takes if takes.width_mm <= width and takes.depth_mm <= depth else None
