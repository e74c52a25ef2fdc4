"""How the triangles of a mesh hang together: shared corners, edges, shells. Plain numpy, in the child process.

A closed surface uses every edge as often one way as the other: it is *balanced*. That is what a slicer needs, and it is less than
"every edge exactly twice": sound parts with touching bodies have edges of four triangles.
"""

import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
"""(v, 3), mm."""
Faces = npt.NDArray[np.int32]
"""(n, 3): each facet's corners as rows of Points, anticlockwise from outside."""
Rows = npt.NDArray[np.intp]
Groups = npt.NDArray[np.int32]
Nodes = Rows | Groups
Keys = npt.NDArray[np.uint64]

# Random in every process: a file crafted so that its corners collide here cannot be made beforehand.
_SALT = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)
_MIX = 0x9E3779B97F4A7C15
_HALF = np.uint64(32)
_ALL_BITS = (1 << 64) - 1
_NO_SHIFT = np.zeros(3)
_BLOCK = 1 << 13
"""Rows at a time where there are intermediate results: they stay in the processor's cache, and cost no memory."""


class Mesh(NamedTuple):
    points: Points
    faces: Faces


class Edges(NamedTuple):
    """Counts over all edges, and the corners (rows of Points) at those that are not balanced."""

    total: int
    boundary: int
    unbalanced: int
    fewest_facets: int
    most_facets: int
    loose_points: Rows

    @property
    def balanced(self) -> bool:
        return self.unbalanced == 0


def _mixed(x: Keys, y: Keys, z: Keys) -> Keys:
    """A key for each three numbers, in place of the first. Any bit of them may change any bit of it."""
    x *= _SALT[0]
    x ^= x >> _HALF
    x += y * _SALT[1]
    x *= np.uint64(_MIX)
    x ^= x >> _HALF
    x += z * _SALT[2]
    x *= np.uint64(_MIX)
    x ^= x >> _HALF
    return x


def _hashed(rows: npt.NDArray[np.integer]) -> Keys:
    """One 64-bit key for each row of three numbers."""
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _BLOCK):
        keys[start : start + _BLOCK] = _mixed(*rows[start : start + _BLOCK].T.astype(np.uint64))
    return keys


def _grouped(keys: Keys) -> tuple[Rows, Groups]:
    """Where each different key stands first, in that order, and for every key the number of its group.

    Numbered by place, not by key: the salt must not show in what is written.
    """
    place = _first_places(keys)
    first = np.flatnonzero(place == np.arange(len(keys), dtype=np.int32))
    number = np.empty(len(keys), np.int32)
    number[first] = np.arange(len(first), dtype=np.int32)
    return first, number[place]


def _first_places(keys: Keys) -> Groups:
    """For every key the place where an equal one stands first.

    Every key writes its place into a slot of a table, the last key first, so a slot keeps the earliest of those that share it. Who
    finds another key's place there goes into the next round, with other slots; equal keys share all their slots. Most corners of
    a mesh are equal to five others, so the first rounds settle nearly all: a quarter of the time of sorting, and of its memory.
    """
    place = np.empty(len(keys), np.int32)
    left = np.arange(len(keys), dtype=np.int32)
    spread = _MIX
    while len(left):
        bits = len(left).bit_length()
        table = np.empty(1 << bits, np.int32)
        starts = range(0, len(left), _BLOCK)
        for start in reversed(starts):
            part = left[start : start + _BLOCK]
            table[_slots(keys[part], spread, bits)[::-1]] = part[::-1]
        lost = []
        for start in starts:
            part = left[start : start + _BLOCK]
            own = keys[part]
            found = table[_slots(own, spread, bits)].astype(np.intp)
            place[part] = found
            lost.append(part[np.flatnonzero(keys[found] != own)])
        left = np.concatenate(lost)
        spread = spread * _MIX & _ALL_BITS
    return place


def _slots(keys: Keys, spread: int, bits: int) -> Rows:
    return (keys * np.uint64(spread) >> np.uint64(64 - bits)).view(np.intp)


def merged(corners: npt.NDArray[np.float32], shift: npt.NDArray[np.float64] = _NO_SHIFT) -> Mesh:
    """Corners that have the very same coordinates after the shift become one point (minus zero is zero).

    Shifted in float64 and rounded once, so corners that met before meet afterwards. There is no copy of all shifted corners.
    """
    flat = corners.reshape(-1, 3)
    first, group = _grouped(_keys_of_shifted(flat, shift))
    points = np.empty((len(first), 3), np.float32)
    for start in range(0, len(first), _BLOCK):
        points[start : start + _BLOCK] = _shifted(flat[first[start : start + _BLOCK]], shift).T
    return Mesh(points, group.reshape(-1, 3))


def _keys_of_shifted(points: Points, shift: npt.NDArray[np.float64]) -> Keys:
    keys = np.empty(len(points), np.uint64)
    for start in range(0, len(points), _BLOCK):
        bits = _shifted(points[start : start + _BLOCK], shift).view(np.uint32)
        keys[start : start + _BLOCK] = _mixed(*bits.astype(np.uint64))
    return keys


def _shifted(points: Points, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """As (3, n): numpy is slow along short axes."""
    return (points.T + shift[:, None]).astype(np.float32, order="C") + np.float32(0)


def without_degenerate(mesh: Mesh) -> Mesh:
    """Only facets with three different corners."""
    return kept(mesh, _has_area(mesh))


def _has_area(mesh: Mesh) -> npt.NDArray[np.bool_]:
    a, b, c = mesh.faces.T
    different: npt.NDArray[np.bool_] = (a != b) & (b != c) & (c != a)
    return different


def kept(mesh: Mesh, facets: npt.NDArray[np.bool_], *, compact: bool = False) -> Mesh:
    """Only these facets, and only the points they use; `compact`: look for unused points also where every facet is kept."""
    if facets.all() and not compact:
        return mesh
    faces = mesh.faces[facets]
    used = np.zeros(len(mesh.points), np.bool_)
    used[faces] = True
    return Mesh(mesh.points[used], (used.cumsum(dtype=np.int32) - 1)[faces])


def balanced(faces: Faces) -> bool:
    """Whether every edge is used as often one way as the other, without sorting or counting them.

    Each edge has a random number (its key), added for one direction and subtracted for the other: what is balanced comes to
    exactly zero. Anything else does by an accident of one in 2⁶⁴, which nobody can bring about: the numbers are new in every process.
    """
    left_over = 0
    for start in range(0, len(faces), _BLOCK):
        here = faces[start : start + _BLOCK].T.astype(np.uint64)
        onward = here[[1, 2, 0]]
        forward = here < onward
        low, high = np.minimum(here, onward).ravel(), np.maximum(here, onward).ravel()
        numbers = _mixed(low, high, high)
        left_over += int(np.where(forward.ravel(), numbers, -numbers).sum())
    return left_over & _ALL_BITS == 0


def edges(faces: Faces) -> Edges:
    """Sorts the edges once: three keys a facet, the same for both directions but for the lowest bit."""
    keys = edge_keys(faces)
    keys.sort()
    loose = np.zeros(int(faces.max()) + 1, np.bool_)
    counts = [_counted(part, loose) for part in _whole_edges(keys)]
    total, boundary, unbalanced, fewest, most = zip(*counts, strict=True)
    return Edges(sum(total), sum(boundary), sum(unbalanced), min(fewest), max(most), np.flatnonzero(loose))


def _whole_edges(keys: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Parts of sorted keys, cut between edges."""
    start = 0
    while start < len(keys):
        last = min(start + _BLOCK, len(keys)) - 1
        end = int(np.searchsorted(keys, keys[last] | 1, side="right"))
        yield keys[start:end]
        start = end


def _counted(keys: npt.NDArray[np.int64], loose: npt.NDArray[np.bool_]) -> tuple[int, int, int, int, int]:
    """The counts of Edges, of these; marks the points of those that are not balanced."""
    edge = keys >> 1
    starts = np.flatnonzero(np.concatenate(([True], edge[1:] != edge[:-1])))
    facets = np.diff(starts, append=len(keys))
    uneven = edge[starts[2 * np.add.reduceat(keys & 1, starts) != facets]]
    loose[uneven >> 31] = loose[uneven & 0x7FFFFFFF] = True
    return len(starts), int(np.count_nonzero(facets == 1)), len(uneven), int(facets.min()), int(facets.max())


def edge_keys(faces: Faces) -> npt.NDArray[np.int64]:
    """(3n,): smaller point, larger point, and in the lowest bit the direction."""
    keys = np.empty(faces.shape, np.int64)
    for start in range(0, len(faces), _BLOCK):
        here = faces[start : start + _BLOCK].astype(np.int64)
        onward = here[:, [1, 2, 0]]
        keys[start : start + _BLOCK] = np.minimum(here, onward) << 32 | np.maximum(here, onward) << 1 | (here < onward)
    return keys.ravel()


def boundary(faces: Faces) -> Rows:
    """The edges of only one facet as (k, 2) points, in the direction the facet runs along them."""
    keys = edge_keys(faces)
    keys.sort()
    edge = keys >> 1
    new = np.concatenate(([True], edge[1:] != edge[:-1], [True]))
    alone = keys[new[:-1] & new[1:]]
    low, high, forward = (alone >> 32).astype(np.intp), ((alone >> 1) & 0x7FFFFFFF).astype(np.intp), alone & 1 == 1
    return np.stack((np.where(forward, low, high), np.where(forward, high, low)), axis=1)


def components(count: int, one: Nodes, other: Nodes) -> Rows:
    """For each of `count` nodes the smallest node it is linked to, over any number of links.

    Every round hangs each root under its smallest neighbour and flattens; the number of roots at least halves, so a chain of a
    million links takes some twenty rounds.
    """
    root = np.arange(count)
    while len(one):
        for a, b in _linked(one, other):
            np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, above := root[root]):
            root = above
        one, other = _apart(root, one, other)
    return root


def _linked(one: Nodes, other: Nodes) -> Iterator[tuple[Rows, Rows]]:
    for start in range(0, len(one), _BLOCK):
        yield one[start : start + _BLOCK].astype(np.intp), other[start : start + _BLOCK].astype(np.intp)


def _apart(root: Rows, one: Nodes, other: Nodes) -> tuple[Rows, Rows]:
    """The roots of linked nodes, where they differ."""
    ones, others = [], []
    for a, b in _linked(one, other):
        a, b = root[a], root[b]
        apart = a != b
        ones.append(a[apart])
        others.append(b[apart])
    return np.concatenate(ones), np.concatenate(others)


def shells(mesh: Mesh) -> tuple[int, Rows]:
    """How many pieces share no point, and for each facet the number of its piece (0…), by their first points."""
    a, b, c = mesh.faces.T
    root = components(len(mesh.points), np.concatenate((a, a)), np.concatenate((b, c)))[a]
    first = np.zeros(len(mesh.points), np.bool_)
    first[root] = True
    number = first.cumsum() - 1
    return int(number[-1]) + 1, number[root]


def facet_groups(faces: Faces, *, oriented: bool) -> tuple[Rows, Groups]:
    """The first of each set of facets with the same corners, and for every facet its set. `oriented`: same way round, too."""
    if oriented:
        first = faces.argmin(axis=1)[:, None]
        faces = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    else:
        faces = np.sort(faces, axis=1)
    return _grouped(_hashed(faces))


def welded(mesh: Mesh, loose: Rows, tolerance_mm: float) -> Mesh:
    """Loose points within half the tolerance of each other become the first of them; facets that vanish by it are dropped.

    Rounds on eight grids, each shifted by half a cell along other axes: points that near share a cell in at least one.
    """
    points = mesh.points[loose]
    chosen, place = np.arange(len(loose)), np.arange(len(loose), dtype=np.int32)
    for shift in itertools.product((0.0, 0.5), repeat=3):
        first, group = _grouped(_keys_of_cells(points, chosen, tolerance_mm, np.array(shift)))
        chosen, place = chosen[first], group[place]
    rows = np.arange(len(mesh.points), dtype=np.int32)
    rows[loose] = loose[chosen[place]]
    welded = Mesh(mesh.points, rows[mesh.faces])
    return kept(welded, _has_area(welded), compact=True)


def _keys_of_cells(points: Points, chosen: Rows, side_mm: float, shift: npt.NDArray[np.float64]) -> Keys:
    keys = np.empty(len(chosen), np.uint64)
    for start in range(0, len(chosen), _BLOCK):
        cells = np.floor(points[chosen[start : start + _BLOCK]].T.astype(np.float64) / side_mm + shift[:, None])
        keys[start : start + _BLOCK] = _mixed(*cells.astype(np.int64).view(np.uint64))
    return keys
