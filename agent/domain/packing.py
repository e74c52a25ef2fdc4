"""Whether many boxes go into one together, each along its sides, whichever way round. Lengths in mm.

Three answers: they fit, with a place for each; they cannot, which is proved; or it was not found out within a bounded search.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations_with_replacement, permutations, product
from typing import NamedTuple

from agent.domain.fit import Packaging, Sides

_Whole = tuple[int, int, int]
_UNIT = 1000
"""Inside, lengths are whole micrometres: sums of them are exact."""
_FUZZ = 1e-3
"""Of a micrometre: what a float may be off."""
LOOKS = 60_000
"""At so many spaces for a block the search gives up: about a tenth of a second."""
_SHUFFLES = 40
_PAIRED = 24
"""So many kinds, those that are thickest, are looked at two by two."""
_COUNTED = 40
"""So many kinds, those with most volume, are counted with their sides rounded up."""
_ROUNDINGS = 5


class Fit(StrEnum):
    FITS = "fits"
    CANNOT = "cannot"
    UNKNOWN = "unknown"


class Kind(NamedTuple):
    """So many boxes of one size."""

    sides: Sides
    copies: int


class Block(NamedTuple):
    """Boxes of one kind side by side in a grid. `at`: the corner nearest to the origin; `sides`: of one box as it lies."""

    kind: int
    at: Sides
    sides: Sides
    grid: _Whole


class Packed(NamedTuple):
    """`why`: the proof that it cannot be, for people. `blocks`: where everything lies, where it fits."""

    fit: Fit
    why: str = ""
    blocks: Sequence[Block] = ()


def pack(kinds: Sequence[Kind], packaging: Packaging, looks: int = LOOKS) -> Packed:
    """The same boxes, packaging and `looks` give the same answer. `looks`: how long the search may take."""
    # So much padding on every side of a part is as much less room at one side of the box, and as much more of each part at one of its.
    room = _room([side - packaging.padding_mm for side in packaging.inner_mm])
    boxes = [(_box([side + packaging.padding_mm for side in kind.sides]), kind.copies) for kind in kinds]
    if why := _too_large(boxes, room):
        return Packed(Fit.CANNOT, why)
    blocks = _in_rows(boxes, room)
    if blocks is None and (why := _never_together(boxes, room)):
        return Packed(Fit.CANNOT, why)
    if blocks is None:
        blocks = _search(boxes, room, looks)
    if blocks is None:
        return Packed(Fit.UNKNOWN)
    return Packed(Fit.FITS, blocks=[_told(block, packaging.padding_mm) for block in blocks])


def _box(sides: Sequence[float]) -> _Whole:
    x, y, z = (max(1, math.ceil(side * _UNIT - _FUZZ)) for side in sides)
    return x, y, z


def _room(sides: Sequence[float]) -> _Whole:
    x, y, z = (max(0, math.floor(side * _UNIT + _FUZZ)) for side in sides)
    return x, y, z


class _Block(NamedTuple):
    kind: int
    at: _Whole
    sides: _Whole
    grid: _Whole

    @property
    def ends(self) -> _Whole:
        (x, y, z), (a, b, c), (i, j, k) = self.at, self.sides, self.grid
        return x + a * i, y + b * j, z + c * k


def _told(block: _Block, padding_mm: float) -> Block:
    """The padding that was made part of the box is taken off again, and is what lies before it."""
    at = tuple(value / _UNIT + padding_mm for value in block.at)
    sides = tuple(value / _UNIT - padding_mm for value in block.sides)
    return Block(block.kind, (at[0], at[1], at[2]), (sides[0], sides[1], sides[2]), block.grid)


# --- what cannot be ---------------------------------------------------------------------------------------------------
_Boxes = Sequence[tuple[_Whole, int]]


def _too_large(boxes: _Boxes, room: _Whole) -> str:
    """Empty where that is not so."""
    if any(not _lies(box, room) for box, _ in boxes):
        return "one part alone is too large for it"
    if sum(math.prod(box) * count for box, count in boxes) > math.prod(room):
        return "the parts have more volume than there is room"
    return ""


def _never_together(boxes: _Boxes, room: _Whole) -> str:
    """Of boxes that go in alone. Empty where nothing is proved."""
    thick = sorted(boxes, key=lambda known: min(known[0]), reverse=True)[:_PAIRED]
    for (one, count), (other, _) in combinations_with_replacement(thick, 2):
        if (one != other or count > 1) and not _together(one, other, room):
            return "two of the parts do not go in beside each other"
    return "so many of the parts do not go in beside each other" if _too_many(boxes, room) else ""


def _too_many(boxes: _Boxes, room: _Whole) -> bool:
    """More volume than there is room, once sides are rounded up where they waste some: of 20 mm only two go into 45 mm, so each counts
    for half of it. Any two roundings that keep what goes in beside each other within the whole may be multiplied, an axis each
    (dual feasible functions, Fekete and Schepers 2004); a box counts as it lies best."""
    large = sorted(boxes, key=lambda known: math.prod(known[0]) * known[1], reverse=True)[:_COUNTED]
    ways = [(_lies(box, room), count) for box, count in large]
    shares = [[_rounded(way, room) for way in lies] for lies, _ in ways]
    for rounding in product(range(_ROUNDINGS + 1), repeat=3):
        taken = 0.0
        for (_, count), lies in zip(ways, shares, strict=True):
            taken += count * min(math.prod(share[axis][k] for axis, k in enumerate(rounding)) for share in lies)
        if taken > 1 + 1e-9:
            return True
    return False


def _rounded(way: _Whole, room: _Whole) -> list[list[float]]:
    """For each axis the box's share of the room, as it is and rounded by each function."""
    return [[_share(side, wide, k) for k in range(_ROUNDINGS + 1)] for side, wide in zip(way, room, strict=True)]


def _share(side: int, wide: int, k: int) -> float:
    if k == 0 or (k + 1) * side % wide == 0:
        return side / wide
    return (k + 1) * side // wide / k


def _lies(box: _Whole, room: _Whole) -> list[_Whole]:
    """The ways it goes in."""
    return [way for way in _turns(box) if all(side <= wide for side, wide in zip(way, room, strict=True))]


def _turns(box: _Whole) -> list[_Whole]:
    """All ways a box can lie along the axes."""
    return list(dict.fromkeys((box[i], box[j], box[k]) for i, j, k in permutations(range(3))))


def _together(one: _Whole, other: _Whole, room: _Whole) -> bool:
    """Two boxes lie apart where some axis has room for both, one behind the other."""
    ways = product(_lies(one, room), _lies(other, room))
    return any(a + b <= wide for first, second in ways for a, b, wide in zip(first, second, room, strict=True))


# --- what can: rows, layers of rows, layers on each other -------------------------------------------------------------
def _in_rows(boxes: _Boxes, room: _Whole) -> list[_Block] | None:
    """Quick also for hundreds of kinds, and enough where there is room to spare. Each way up for all, and each way the rows run."""
    for upright, axes in product((0, 2), permutations(range(3))):
        rows = _Rows((room[axes[0]], room[axes[1]], room[axes[2]]))
        lying = [(number, _stood(box, upright), count) for number, (box, count) in enumerate(boxes)]
        lying.sort(key=lambda kind: (kind[1][2], kind[1][1], kind[1][0]), reverse=True)
        if all(rows.take(*kind) for kind in lying):
            return [_turned(block, axes) for block in rows.blocks]
    return None


def _stood(box: _Whole, upright: int) -> _Whole:
    """With its smallest (0) or largest (2) side up, and the longer one of the others along the row."""
    ordered = sorted(box)
    height = ordered.pop(upright)
    return ordered[1], ordered[0], height


def _turned(block: _Block, axes: Sequence[int]) -> _Block:
    """From the rows' axes to those of the room."""

    def back(values: _Whole) -> _Whole:
        x, y, z = (values[axes.index(axis)] for axis in range(3))
        return x, y, z

    return _Block(block.kind, back(block.at), back(block.sides), back(block.grid))


@dataclass
class _Rows:
    """Filled with ever flatter boxes: the first one of a row says how deep it is, the first one of a layer how high."""

    room: _Whole
    x: int = 0
    y: int = 0
    z: int = 0
    deep: int = 0
    high: int = 0
    blocks: list[_Block] = field(default_factory=list)

    def take(self, kind: int, box: _Whole, count: int) -> bool:
        """False where there is no room for all of them."""
        wide, deep, high = box
        while count:
            fit = (self.room[0] - self.x) // wide if deep <= self.deep and high <= self.high else 0
            if fit:
                self.blocks.append(_Block(kind, (self.x, self.y, self.z), box, (min(fit, count), 1, 1)))
                self.x += wide * min(fit, count)
                count -= min(fit, count)
            elif not self._next(box):
                return False
        return True

    def _next(self, box: _Whole) -> bool:
        """A new row for this box, in a new layer where this one is full; False where even that has no room."""
        wide, deep, high = box
        x, y, z = self.x, self.y + self.deep, self.z
        if high > self.high or y + deep > self.room[1]:
            y, z, self.high = 0, z + self.high, high
        if wide > self.room[0] or y + deep > self.room[1] or z + self.high > self.room[2]:
            return False
        x, self.deep = 0, deep
        self.x, self.y, self.z = x, y, z
        return True


# --- what can: a search over free spaces ------------------------------------------------------------------------------
_Order = Callable[[tuple[_Whole, int]], int]
_ORDERS: Sequence[_Order] = (
    lambda kind: math.prod(kind[0]),
    lambda kind: max(kind[0]),
    lambda kind: math.prod(sorted(kind[0])[1:]),
    lambda kind: min(kind[0]),
)
"""Which kind is laid first: the one with most volume, the longest, the one with the largest face, the thickest."""


class _Space(NamedTuple):
    """A free box that goes as far as it can on every side. Several overlap."""

    low: _Whole
    high: _Whole

    @property
    def sides(self) -> _Whole:
        (a, b, c), (x, y, z) = self
        return x - a, y - b, z - c


_Score = Callable[[_Space, _Block], tuple[int, ...]]


def _lowest(space: _Space, block: _Block) -> tuple[int, ...]:
    return space.low[2], space.low[1], space.low[0], -math.prod(block.grid)


def _tightest(space: _Space, block: _Block) -> tuple[int, ...]:
    rest = sorted(high - end for high, end in zip(space.high, block.ends, strict=True))
    return (-math.prod(block.grid), *rest, sum(space.low))


def _deepest(space: _Space, block: _Block) -> tuple[int, ...]:
    return sum(block.ends), -math.prod(block.grid), *space.low


_SCORES: Sequence[_Score] = (_tightest, _lowest, _deepest)


@dataclass
class _Search:
    """How much may still be looked at, over all attempts."""

    room: _Whole
    looks: int

    def attempt(self, boxes: Sequence[tuple[int, _Whole, int]], score: _Score) -> list[_Block] | None:
        laid = _Laid([_Space((0, 0, 0), self.room)])
        for kind, box, count in boxes:
            left = count
            while left:
                block = self._best(laid, kind, box, left, score)
                if block is None:
                    return None
                self.looks -= laid.put(block)
                left -= math.prod(block.grid)
        return laid.blocks

    def _best(self, laid: "_Laid", kind: int, box: _Whole, left: int, score: _Score) -> _Block | None:
        found = [(score(space, block), block) for space in laid.free for block in _blocks(space, kind, box, left)]
        self.looks -= 6 * len(laid.free)
        return min(found)[1] if found and self.looks > 0 else None


@dataclass
class _Laid:
    free: list[_Space]
    blocks: list[_Block] = field(default_factory=list)

    def put(self, block: _Block) -> int:
        """How much had to be looked at for it."""
        self.blocks.append(block)
        whole = [space for space in self.free if not _meet(space, block)]
        cut = [piece for space in self.free if _meet(space, block) for piece in _around(space, block)]
        cut = list(dict.fromkeys(cut))
        kept = [piece for piece in cut if not any(_holds(other, piece) for other in (*whole, *cut) if other != piece)]
        self.free = whole + kept
        return len(cut) * len(self.free)


def _search(boxes: _Boxes, room: _Whole, looks: int) -> list[_Block] | None:
    """None where none was found."""
    search = _Search(room, looks)
    for order, score in _ways(boxes):
        blocks = search.attempt(order, score)
        if blocks is not None:
            return blocks
        if search.looks <= 0:
            return None
    return None


def _ways(boxes: _Boxes) -> Iterator[tuple[list[tuple[int, _Whole, int]], _Score]]:
    kinds = [(number, box, count) for number, (box, count) in enumerate(boxes)]
    for order, score in product(_ORDERS, _SCORES):
        yield sorted(kinds, key=lambda kind: order(kind[1:]), reverse=True), score
    chance = random.Random(0)  # the same boxes are tried in the same orders
    for _ in range(_SHUFFLES):
        chance.shuffle(kinds)
        yield list(kinds), chance.choice(_SCORES)


def _blocks(space: _Space, kind: int, box: _Whole, left: int) -> Iterator[_Block]:
    """The largest grids of these boxes for the corner of a space, for each way they lie and each axis that is filled first."""
    for way in _turns(box):
        most = [wide // side for wide, side in zip(space.sides, way, strict=True)]
        if all(most):
            yield from (_Block(kind, space.low, way, grid) for grid in _grids(most, left))


def _grids(most: Sequence[int], left: int) -> set[_Whole]:
    if left == 1:
        return {(1, 1, 1)}
    grids = set()
    for axes in permutations(range(3)):
        grid, rest = [1, 1, 1], left
        for axis in axes:
            grid[axis] = min(most[axis], rest)
            rest //= grid[axis]
        grids.add((grid[0], grid[1], grid[2]))
    return grids


def _meet(space: _Space, block: _Block) -> bool:
    sides = zip(space.low, space.high, block.at, block.ends, strict=True)
    return all(low < end and at < high for low, high, at, end in sides)


def _around(space: _Space, block: _Block) -> Iterator[_Space]:
    """What is left of a space on each side of a block."""
    for axis, (low, high, at, end) in enumerate(zip(space.low, space.high, block.at, block.ends, strict=True)):
        if at > low:
            yield _Space(space.low, _with(space.high, axis, at))
        if end < high:
            yield _Space(_with(space.low, axis, end), space.high)


def _with(corner: _Whole, axis: int, value: int) -> _Whole:
    x, y, z = (value if number == axis else known for number, known in enumerate(corner))
    return x, y, z


def _holds(outer: _Space, inner: _Space) -> bool:
    low = all(a <= b for a, b in zip(outer.low, inner.low, strict=True))
    return low and all(a >= b for a, b in zip(outer.high, inner.high, strict=True))
