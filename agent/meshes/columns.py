"""Columns: what a field of parallel lines meets in a mesh. It measures meshes that are not closed, without mending them first.

Where a line enters and leaves, and how often, says what the mesh fills along it: by *winding* (what slicers fill), by *parity*, or
nothing certain, where the line does not come out again. Two meshes are compared on the same lines, so the field's own error cancels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.geometry import Numbers
from agent.meshes.topology import Mesh, Rows

_LINES_A_SIDE = 128
_LINES_A_SIDE_LEAST = 32
_PAIRS_MOST = 3_000_000
"""Facets times the lines in their boxes. Thousands of large triangles through each other would take a quarter of a minute."""
_PAIRS_AT_ONCE = 1 << 19
_FACETS_AT_ONCE = 1 << 16
_OFF_GRID = np.array([[0.4871], [0.5137]])
"""Where in its cell a line stands: off the middle, for much that is drawn is symmetric."""
_SAME_PLACE = 1e-3
"""Share of a cell's height."""
_NO_WIDTH_MM = 1e-12

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class Field(NamedTuple):
    """`side` × `side` lines along one axis, all over a box from `low` in cells of `step` mm."""

    axis: int
    low: Numbers
    step: Numbers
    side: int

    @property
    def across(self) -> list[int]:
        return [(self.axis + 1) % 3, (self.axis + 2) % 3]

    @property
    def cell_mm2(self) -> float:
        return float(self.step[self.across].prod())

    def points(self, line: Rows, depth: Numbers) -> Numbers:
        """(3, n)."""
        points = np.empty((3, len(line)))
        points[self.across] = self.low[self.across, None] + (np.divmod(line, self.side) + _OFF_GRID) * self.step[self.across, None]
        points[self.axis] = depth
        return points

    def nearest(self, points: Numbers) -> Rows:
        """The line in whose cell each of (3, n) points lies."""
        at = ((points[self.across] - self.low[self.across, None]) / self.step[self.across, None]).astype(np.intp)
        first, second = at.clip(0, self.side - 1)
        return np.asarray(first * self.side + second)


class Columns(NamedTuple):
    """Every crossing, in the order of the lines and of the depth in mm along each; and sums, one for each line.

    `inside`: whether the line runs inside, by winding, from this crossing to its next. `closed`: whether the line left as often as it
    entered. Lengths in mm: inside by winding; inside by parity, and by that of the places it met, where copies lie on each other; from
    the first crossing to the last. `again`: how much a sum of signed volumes counts more than once, or as less than nothing.
    """

    line: Rows
    depth: Numbers
    inside: Flags
    crossed: Flags
    closed: Flags
    by_winding: Numbers
    by_parity: Numbers
    by_places: Numbers
    first_to_last: Numbers
    again: Numbers


class _Block(NamedTuple):
    """Some facets: corners as (3 corners, 3 coordinates, n), the two across in cells; first line and count of lines as (2, n)."""

    corners: Numbers
    first: Counts
    lines: Counts


def along(mesh: Mesh, axis: int) -> tuple[Field, Columns] | None:
    """Along as many lines as can be paid for; None where even a few cost too much.

    A facet along the lines is not met, so whoever must see every facet looks along all three axes.
    """
    low, high = mesh.points.min(axis=0).astype(np.float64), mesh.points.max(axis=0).astype(np.float64)
    side = _LINES_A_SIDE
    while side >= _LINES_A_SIDE_LEAST:
        lines = Field(axis, low, np.maximum((high - low) / side, _NO_WIDTH_MM), side)
        found = cast(mesh, lines)
        if found is not None:
            return lines, found
        side //= 2
    return None


def cast(mesh: Mesh, lines: Field) -> Columns | None:
    """None where it costs too much."""
    blocks = list(_blocks(mesh, lines))
    if sum(int(block.lines.prod(axis=0).sum()) for block in blocks) > _PAIRS_MOST:
        return None
    found = [crossings for block in blocks for crossings in _crossings(block, lines.side)]
    line, depth, turn = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (np.zeros(0, np.int64),) * 3
    order = np.lexsort((depth, line))
    return _columns(line[order], depth[order].astype(np.float64), turn[order], lines)


def _blocks(mesh: Mesh, lines: Field) -> Iterator[_Block]:
    """Facets whose boxes hold lines: few of a fine mesh. Between which lines a point lies are small numbers, cheap to look at."""
    across = lines.across
    u, v = at = (mesh.points[:, across].T - lines.low[across, None]) / lines.step[across, None] - _OFF_GRID
    after, before = np.ceil(at).clip(0, lines.side).astype(np.int16), np.floor(at).clip(-1, lines.side - 1).astype(np.int16)
    for start in range(0, len(mesh.faces), _FACETS_AT_ONCE):
        faces = mesh.faces[start : start + _FACETS_AT_ONCE].T
        some = (_most(np.maximum, before, faces) >= _most(np.minimum, after, faces)).all(axis=0)
        faces = faces[:, some]
        first, last = _most(np.minimum, after, faces).astype(np.int64), _most(np.maximum, before, faces).astype(np.int64)
        depth = mesh.points[faces, lines.axis].astype(np.float64)
        yield _Block(np.stack((u[faces], v[faces], depth), axis=1), first, last - first + 1)


def _most(extreme: np.ufunc, of_points: npt.NDArray[np.int16], faces: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """The least or the greatest of each facet's three corners, in both directions."""
    a, b, c = faces
    return np.stack([extreme(extreme(row[a], row[b]), row[c]) for row in of_points])


def _crossings(block: _Block, side: int) -> Iterator[tuple[Counts, Numbers, Counts]]:
    """Line, depth and turn (1 in, -1 out) of each crossing, from each pair of a facet and a line in its box."""
    ends = block.lines.prod(axis=0).cumsum()
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE)))
        count = block.lines[:, start:stop]
        pairs = count.prod(axis=0)
        facet = np.repeat(np.arange(start, stop), pairs)
        nth = np.arange(len(facet)) - np.repeat(pairs.cumsum() - pairs, pairs)
        down, right = np.divmod(nth, block.lines[1, facet])
        u, v = block.first[0, facet] + down, block.first[1, facet] + right
        yield _met(block.corners[:, :, facet], u, v, side)
        start = stop


def _met(corners: Numbers, u: Counts, v: Counts, side: int) -> tuple[Counts, Numbers, Counts]:
    """The depth by the areas of the three triangles the line makes with the facet's edges; all of one sign where it goes through."""
    (au, av, aw), (bu, bv, bw), (cu, cv, cw) = corners
    a = (bu - u) * (cv - v) - (bv - v) * (cu - u)
    b = (cu - u) * (av - v) - (cv - v) * (au - u)
    c = (au - u) * (bv - v) - (av - v) * (bu - u)
    whole = a + b + c
    through = (whole != 0) & (((a > 0) & (b > 0) & (c > 0)) | ((a < 0) & (b < 0) & (c < 0)))
    depth = (a * aw + b * bw + c * cw)[through] / whole[through]
    return (u * side + v)[through], depth, np.where(whole[through] < 0, 1, -1)


def _columns(line: Rows, depth: Numbers, turn: Counts, lines: Field) -> Columns:
    count = np.bincount(line, minlength=lines.side**2)
    first = count.cumsum() - count
    last = np.concatenate((line[1:] != line[:-1], [True]))[: len(line)]
    length = np.where(last, 0, np.diff(depth, append=0))
    wound = np.concatenate(([0], turn.cumsum()))
    winding = wound[1:] - wound[first[line]]
    inside = (winding != 0) & ~last
    odd = (np.arange(len(line)) - first[line]) % 2 == 0
    # A line's last length is nothing, so every line counts as coming to another place after it.
    places = np.concatenate(([0], (last | (length > _SAME_PLACE * lines.step[lines.axis])).cumsum()))[: len(line)]
    odd_place = (places - places[first[line]]) % 2 == 0

    def summed(lengths: Numbers) -> Numbers:
        return np.bincount(line, lengths, lines.side**2).astype(np.float64)

    return Columns(
        line=line,
        depth=depth,
        inside=inside,
        crossed=count > 0,
        closed=wound[first + count] == wound[first],
        by_winding=summed(length * inside),
        by_parity=summed(length * odd),
        by_places=summed(length * odd_place),
        first_to_last=summed(length),
        again=summed(length * (winding - inside)),
    )
