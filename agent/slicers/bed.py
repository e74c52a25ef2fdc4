"""A printer's bed: its outline, the zones of it that are excluded, and the rectangles of it that are free.

Lengths in mm, in the machine's own coordinates: those of PrusaSlicer's `bed_shape`, which are those of the G-code.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

Point = tuple[float, float]
Way = tuple[Point, Point]
"""Straight, from one point to another."""
_Span = tuple[float, float]

MOST_CORNERS = 500
"""PrusaSlicer draws a circle with 72."""
_BANDS = 40
"""A bed with slanted edges is looked at in so many bands, narrow ones at its front and back, where a round one changes most. What is
told to be free is, and a few millimetres more may be."""
_FEW_CORNERS = 16
_TOUCHING = 1e-6


class Area(NamedTuple):
    """A rectangle along the axes: its low corner, then its high one."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def depth(self) -> float:
        return self.y1 - self.y0

    def grown(self, by: float) -> "Area":
        return Area(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def meets(self, other: "Area") -> bool:
        """More than by its edge."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


@dataclass(frozen=True)
class Bed:
    """Any polygon that does not cross itself, less the rectangles in `excluded`, in which nothing may be laid."""

    corners: tuple[Point, ...]
    excluded: tuple[Area, ...] = ()

    @cached_property
    def around(self) -> Area:
        xs, ys = zip(*self.corners, strict=True)
        return Area(min(xs), min(ys), max(xs), max(ys))

    @cached_property
    def edges(self) -> list[Way]:
        return list(zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True))

    @cached_property
    def is_plain(self) -> bool:
        """A rectangle without zones."""
        x0, y0, x1, y1 = self.around
        return not self.excluded and set(self.corners) == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}

    @property
    def is_convex(self) -> bool:
        """What goes around several places of it (as a skirt does) stays on it."""
        turns = [_turn(a, b, c) for (a, b), (_, c) in pairwise([*self.edges, self.edges[0]])]
        return not self.excluded and (all(turn >= 0 for turn in turns) or all(turn <= 0 for turn in turns))

    def holds(self, area: Area) -> bool:
        """The whole of it on the bed, and none of it in a zone. Edges may touch."""
        inner = area.grown(-_TOUCHING)
        middle = ((area.x0 + area.x1) / 2, (area.y0 + area.y1) / 2)
        return not (
            any(zone.meets(inner) for zone in self.excluded)
            or any(_crosses(edge, inner) for edge in self.edges)
            or not _is_inside(middle, self.edges)
        )

    def keeps(self, way: Way) -> bool:
        """All of the way on the bed, and none of it in a zone; not along their edges either."""
        (ax, ay), (bx, by) = way
        if self.plainly_holds(Area(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))):
            return True  # nearly all of them
        return (
            _is_inside(way[0], self.edges)
            and not any(_crosses(way, zone) for zone in self.excluded)
            and not any(_meet(way, edge) for edge in self.edges)
        )

    def plainly_holds(self, area: Area) -> bool:
        """A quick yes: it lies within the bed's largest free rectangle, and touches none of its edges. False says nothing."""
        x0, y0, x1, y1 = self._largest
        return x0 < area.x0 and area.x1 < x1 and y0 < area.y0 and area.y1 < y1

    @cached_property
    def _largest(self) -> Area:
        return max(free_areas(self, 0.0), key=lambda area: area.width * area.depth, default=Area(0.0, 0.0, 0.0, 0.0))


def bed_of(bed_shape: str, excluded: Sequence[Area] = ()) -> Bed:
    """From PrusaSlicer's list of corners, `0x0,250x0,250x210,0x210`. ValueError says what is wrong with it."""
    try:
        corners = [(float(x), float(y)) for x, y in (corner.split("x") for corner in bed_shape.split(","))]
    except ValueError:
        raise ValueError("is no list of corners like 0x0,250x0,250x210,0x210") from None
    corners = [corner for corner, before in zip(corners, [corners[-1], *corners], strict=False) if corner != before]
    if not 3 <= len(corners) <= MOST_CORNERS or not all(map(math.isfinite, (at for corner in corners for at in corner))):
        raise ValueError(f"needs 3…{MOST_CORNERS} corners")
    bed = Bed(tuple(corners), tuple(excluded))
    if _crosses_itself(bed.edges):
        raise ValueError("crosses itself")
    return bed


def bed_told(bed: Bed) -> str:
    """As JSON, for another process."""
    return json.dumps({"corners": bed.corners, "excluded": bed.excluded})


def bed_from(told: str) -> Bed:
    """The one that `bed_told` told."""
    bed = json.loads(told)
    return Bed(tuple((x, y) for x, y in bed["corners"]), tuple(Area(*zone) for zone in bed["excluded"]))


@lru_cache(maxsize=32)
def free_areas(bed: Bed, margin: float) -> tuple[Area, ...]:
    """The largest rectangles that stay so far from the bed's edge and from its zones; none of them is part of another."""
    levels = _levels(bed)
    bands = [_free_spans(bed, low, high) for low, high in pairwise(levels)]
    found: list[Area] = []
    for first in range(len(bands)):
        spans = bands[first]
        for last in range(first, len(bands)):
            spans = list(_common(spans, bands[last]))
            for span in spans:
                beside = [bands[at] for at in (first - 1, last + 1) if 0 <= at < len(bands)]
                if not any(_within(span, band) for band in beside):
                    found.append(Area(span[0], levels[first], span[1], levels[last + 1]).grown(-margin))
    return tuple(area for area in found if area.width > _TOUCHING and area.depth > _TOUCHING)


def _levels(bed: Bed) -> list[float]:
    around = bed.around
    levels = {around.y0, around.y1, *(y for zone in bed.excluded for y in (zone.y0, zone.y1) if around.y0 < y < around.y1)}
    slanted = False
    for (ax, ay), (bx, by) in bed.edges:
        straight = ax == bx or ay == by
        slanted = slanted or not straight
        if straight or len(bed.corners) <= _FEW_CORNERS:
            levels |= {ay, by}
    if slanted:
        levels |= {around.y0 + around.depth * (1 - math.cos(math.pi * n / _BANDS)) / 2 for n in range(1, _BANDS)}
    return sorted(levels)


def _free_spans(bed: Bed, low: float, high: float) -> list[_Span]:
    """From where to where in x a band of the bed is free over all of its depth."""
    taken = [(zone.x0, zone.x1) for zone in bed.excluded if zone.y0 < high and low < zone.y1]
    for (ax, ay), (bx, by) in bed.edges:
        if min(ay, by) < high and low < max(ay, by):
            at = [ax + (min(max(y, min(ay, by)), max(ay, by)) - ay) / (by - ay) * (bx - ax) for y in (low, high)]
            taken.append((min(at), max(at)))
    taken.sort()
    spans: list[_Span] = []
    reached = -math.inf
    for x0, x1 in taken:
        if reached > -math.inf and x0 > reached and _is_inside(((reached + x0) / 2, (low + high) / 2), bed.edges):
            spans.append((reached, x0))
        reached = max(reached, x1)
    return spans


def _common(spans: Sequence[_Span], others: Sequence[_Span]) -> Iterator[_Span]:
    for a0, a1 in spans:
        for b0, b1 in others:
            if max(a0, b0) < min(a1, b1):
                yield max(a0, b0), min(a1, b1)


def _within(span: _Span, spans: Sequence[_Span]) -> bool:
    return any(low <= span[0] and span[1] <= high for low, high in spans)


# --- points and lines -------------------------------------------------------------------------------------------------
def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 where the way from a over b to c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _is_inside(point: Point, edges: Sequence[Way]) -> bool:
    """By the edges to the right of it: their number is odd."""
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in edges:
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def _crosses(way: Way, area: Area) -> bool:
    """Some of the way lies in the area: what is left of it after each of the area's sides has cut it."""
    (ax, ay), (bx, by) = way
    begin, end = 0.0, 1.0
    for at, along, low, high in ((ax, bx - ax, area.x0, area.x1), (ay, by - ay, area.y0, area.y1)):
        if along == 0:
            if not low <= at <= high:
                return False
            continue
        enters, leaves = sorted(((low - at) / along, (high - at) / along))
        begin, end = max(begin, enters), min(end, leaves)
    return begin <= end


def _crosses_itself(edges: Sequence[Way]) -> bool:
    """Edges that are not neighbours have a point in common."""
    pairs = combinations(enumerate(edges), 2)
    return any(m - n not in (1, len(edges) - 1) and _meet(way, other) for (n, way), (m, other) in pairs)


def _meet(way: Way, other: Way) -> bool:
    """They have a point in common."""
    (a, b), (c, d) = way, other
    if any(max(min(a[n], b[n]), min(c[n], d[n])) > min(max(a[n], b[n]), max(c[n], d[n])) for n in (0, 1)):
        return False
    return _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0
