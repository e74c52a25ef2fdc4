"""Whether a thing goes onto a bed as it stands, and whether it goes into a packaging. Lengths in mm."""

import math
from itertools import permutations
from typing import NamedTuple

from agent.domain.values import Name, Value

Sides = tuple[float, float, float]


def sides(size: Sides) -> str:
    """For people: to the hundredth of a millimetre, without zeros behind it."""
    return "×".join(f"{round(side, 2):g}" for side in size) + " mm"


class Packaging(Value):
    """A box or an envelope. `inner_mm`: what fits inside, with the padding already taken off."""

    name: Name
    inner_mm: Sides

    def holds(self, size: Sides) -> bool:
        """With its sides along the packaging's, whichever way round."""
        return all(side <= room for side, room in zip(sorted(size), sorted(self.inner_mm), strict=True))


class Lie(NamedTuple):
    """How a thing lies on a bed: turned about z, anticlockwise seen from above, and the room it takes then."""

    turned_deg: float
    width_mm: float
    depth_mm: float


def lie(size: Sides, bed: Sides) -> Lie | None:
    """As it stands where that fits, else turned by 90°, else aslant; None where no turn about z helps.

    Judged by its box: turned aslant, the thing itself may take less room, never more.
    """
    x, y, z = size
    width, depth, height = bed
    if z > height:
        return None
    if x <= width and y <= depth:
        return Lie(0.0, x, y)
    if y <= width and x <= depth:
        return Lie(90.0, y, x)
    return _aslant(x, y, width, depth)


def fits_on_another_side(size: Sides, bed: Sides) -> bool:
    """For what does not fit as it stands. The side is the customer's choice: strength and looks depend on it."""
    return any(lie((x, y, z), bed) is not None for x, y, z in permutations(size))


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
