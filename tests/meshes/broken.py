"""Models of our own that are broken in one way each, and what they are once that is mended."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agent.sandbox import models
from agent.sandbox.models import Mesh, Point

BALL = models.rippled_sphere(6240)
"""80 facets around, 60 mm high."""
HOLLOW = models.cube(20) + models.moved(models.inverted_cube(10), 5, 5, 5)


class Broken(NamedTuple):
    """`codes`: what repair tells. `mm3`: the volume of what it makes, hollows taken off and overlaps counted once."""

    mesh: Mesh
    codes: list[str]
    mm3: float
    shells: int = 1


def without_top(mesh: Mesh, height: float) -> Mesh:
    """Without the facets whose middle is higher than that."""
    return [triangle for triangle in mesh if sum(point[2] for point in triangle) < 3 * height]


def without_caps(mesh: Mesh, radius: float) -> Mesh:
    """A ball that stands on z = 0 without what is that far from its middle along each axis, on one side."""
    limits = (radius, radius, 30 + radius)
    return [
        triangle
        for triangle in mesh
        if all(sum(along) < 3 * limit for along, limit in zip(zip(*triangle, strict=True), limits, strict=True))
    ]


def pierced(mesh: Mesh, every: int) -> Mesh:
    return [triangle for n, triangle in enumerate(mesh) if n % every]


def turned(mesh: Mesh, every: int) -> Mesh:
    """Every so manieth facet the wrong way round."""
    return [(a, c, b) if n % every == 0 else (a, b, c) for n, (a, b, c) in enumerate(mesh)]


def shaken(mesh: Mesh, mm: float = 1e-5) -> Mesh:
    """No two facets meet exactly any more."""
    corners = np.array(mesh) + np.random.default_rng(3).normal(0, mm, (len(mesh), 3, 3))
    return [(tuple(a), tuple(b), tuple(c)) for a, b, c in corners.tolist()]


def sheet(a: Point, b: Point, c: Point, d: Point) -> Mesh:
    """Two facets over four corners."""
    return [(a, b, c), (a, c, d)]


def boxes_on_each_other(missing: int) -> Mesh:
    """Two boxes of 20 x 20 x 10 mm with one face in common, of which each has its own copy; the upper one lacks as many facets of its.

    With none missing it is closed, with two there is a wall within.
    """
    upper = models.moved(models.box(20, 20, 10), 0, 0, 10)
    between = [triangle for triangle in upper if all(point[2] == 10 for point in triangle)]
    return models.box(20, 20, 10) + [triangle for triangle in upper if triangle not in between[:missing]]


def four_chambers() -> Mesh:
    """A box of 40 x 40 x 10 mm of four rooms, with single walls between them that cross each other."""
    mesh: Mesh = []
    for x, y in ((0, 0), (0, 20), (20, 0), (20, 20)):
        room = models.moved(models.box(20, 20, 10), x, y, 0)
        mesh += [facet for facet in room if not any(all(point[axis] == 20 == at for point in facet) for axis, at in ((0, x), (1, y)))]
    return mesh


def rod(around: int) -> Mesh:
    """60 mm long, 10 mm thick."""
    return models.extruded([(5 * math.cos(turn), 5 * math.sin(turn)) for turn in turns(around)], 60)


def finely_rounded() -> Mesh:
    """A ball of 60 mm that lacks its top, with a rim of 1,200 edges."""
    rings, around = 16, 1200
    rows = [
        [(30 * math.sin(tilt) * math.cos(turn), 30 * math.sin(tilt) * math.sin(turn), 30 * math.cos(tilt)) for turn in turns(around)]
        for tilt in (math.pi * n / rings for n in range(1, rings))
    ]
    mesh = [facet for upper, lower in pairwise(rows) for facet in band(upper, lower)]
    return mesh + [((0, 0, -30), b, a) for a, b in zip(rows[-1], [*rows[-1][1:], rows[-1][0]], strict=True)]


def turns(around: int) -> list[float]:
    return [2 * math.pi * n / around for n in range(around)]


def band(upper: list[Point], lower: list[Point]) -> Mesh:
    """What lies between two closed rows of as many points."""
    mesh: Mesh = []
    for n in range(len(upper)):
        mesh += sheet(upper[n - 1], lower[n - 1], lower[n], upper[n])
    return mesh


def one_sided() -> Mesh:
    """A closed surface that has no inside: a figure of eight drawn round a ring, with half a turn (Klein's bottle)."""
    rows, around = 24, 16
    grid: list[list[Point]] = []
    for turn in turns(rows):
        # Not through the middle of the eight, where the surface would meet itself.
        row = [(math.sin(v), math.sin(2 * v)) for v in (turn + math.pi / around for turn in turns(around))]
        half = (math.cos(turn / 2), math.sin(turn / 2))
        lying = [(20 + 6 * (half[0] * x - half[1] * y), 6 * (half[1] * x + half[0] * y)) for x, y in row]
        grid.append([(r * math.cos(turn), r * math.sin(turn), z) for r, z in lying])
    # After one turn the eight is its own mirror image.
    return [facet for upper, lower in zip(grid, [*grid[1:], grid[0][::-1]], strict=True) for facet in band(upper, lower)]


BROKEN = {
    "pin holes": Broken(pierced(BALL, 60), ["HOLES"], models.volume_mm3(BALL)),
    "a round hole of 80 edges": Broken(without_top(BALL, 57.6), ["HOLES"], 112_300),
    "a hole of 1,200 edges": Broken(finely_rounded(), ["HOLES"], 111_000),
    "a hole on each axis": Broken(without_caps(BALL, 28.6), ["HOLES"], 112_300),
    "cracks": Broken(shaken(BALL), ["CRACKS"], models.volume_mm3(BALL)),
    "a third of the facets turned": Broken(turned(BALL, 3), ["WINDING"], models.volume_mm3(BALL)),
    "a part there twice": Broken(BALL + BALL[:600], ["COPIES"], models.volume_mm3(BALL)),
    "a part with a reversed twin": Broken(BALL + models.inverted(BALL[:600]), ["COPIES"], models.volume_mm3(BALL)),
    "every third facet with a reversed twin": Broken(models.t_shape() + models.inverted(models.t_shape()[::3]), ["WALLS"], 9400),
    "all of it at once": Broken(shaken(turned(pierced(BALL, 60), 3)), ["CRACKS", "WINDING", "HOLES"], models.volume_mm3(BALL)),
    "a wall within": Broken(boxes_on_each_other(missing=2), ["WALLS"], 8000),
    "half a wall within": Broken(boxes_on_each_other(missing=1), ["WALLS"], 8000),
    "walls that cross": Broken(four_chambers(), ["WALLS"], 16_000),
    "a loose sheet within": Broken(models.cube(20) + sheet((5, 5, 5), (15, 5, 5), (15, 15, 6), (5, 15, 6)), ["WALLS"], 8000),
    "a speck of a sheet within": Broken(
        models.cube(40) + models.moved(sheet((0, 0, 0), (0.05, 0, 0), (0.05, 0.05, 0.02), (0, 0.05, 0.02)), 30, 30, 30), ["WALLS"], 64_000
    ),
    "one of two bodies open": Broken(models.cube(20) + models.moved(models.open_cube(20), 30, 0, 0), ["HOLES"], 16_000, 2),
    "open bodies that overlap": Broken(models.overlapping_cubes()[:-1], ["HOLES"], 15_000, 2),
    "open bodies that share an edge": Broken(models.touching_cubes()[:-1], ["HOLES"], 16_000),
    "an open hollow": Broken(HOLLOW[:-1], ["HOLES"], 7000, 2),
    "open round a hollow": Broken(models.cube(20)[:-1] + HOLLOW[12:], ["HOLES"], 7000, 2),
}
