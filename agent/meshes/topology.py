"""How the triangles of a mesh hang together: shared corners, edges, shells. Plain numpy, in the child process.

A closed surface uses every edge as often one way as the other: it is *balanced*. That is what a slicer needs, and it is less than
"every edge exactly twice": sound parts with touching bodies have edges of four triangles.
"""

import itertools
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
"""(v, 3), mm."""
Faces = npt.NDArray[np.int32]
"""(n, 3): each facet's corners as rows of Points, anticlockwise from outside."""
Rows = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]

# Random in every process: a file crafted so that its corners collide here cannot be made beforehand.
_SALT = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


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


def _hashed(rows: npt.NDArray[np.integer]) -> Keys:
    """One 64-bit key for each row of three numbers."""
    keys = np.zeros(len(rows), np.uint64)
    for column, salt in zip(rows.T, _SALT, strict=True):
        keys += column.astype(np.uint64) * salt
    keys ^= keys >> _HALF
    keys *= _MIX
    keys ^= keys >> _HALF
    return keys


def _grouped(keys: Keys) -> tuple[Rows, Rows]:
    """Where each different key stands first, in that order, and for every key the number of its group.

    Numbered by place, not by key: the salt must not show in what is written.
    """
    order = keys.argsort()
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    first = np.minimum.reduceat(order, starts)
    by_place = first.argsort()
    number = np.empty(len(first), np.intp)
    number[by_place] = np.arange(len(first))
    group = np.empty(len(keys), np.intp)
    group[order] = np.repeat(number, np.diff(starts, append=len(keys)))
    return first[by_place], group


def merged(corners: npt.NDArray[np.float32]) -> Mesh:
    """Corners with the very same coordinates become one point (minus zero is zero)."""
    flat = corners.reshape(-1, 3) + np.float32(0)
    first, group = _grouped(_hashed(flat.view(np.uint32)))
    return Mesh(flat[first], group.reshape(-1, 3).astype(np.int32))


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


def edges(faces: Faces) -> Edges:
    """Sorts the edges once: three keys a facet, the same for both directions but for the lowest bit."""
    keys = edge_keys(faces)
    keys.sort()
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] >> 1 != keys[:-1] >> 1)))
    facets = np.diff(starts, append=len(keys))
    forward = np.add.reduceat(keys & 1, starts)
    uneven = np.flatnonzero(2 * forward != facets)
    pairs = keys[starts[uneven]] >> 1
    loose = np.zeros(int(faces.max()) + 1, np.bool_)
    loose[pairs >> 31] = loose[pairs & 0x7FFFFFFF] = True
    return Edges(
        total=len(starts),
        boundary=int(np.count_nonzero(facets == 1)),
        unbalanced=len(uneven),
        fewest_facets=int(facets.min()),
        most_facets=int(facets.max()),
        loose_points=np.flatnonzero(loose),
    )


def edge_keys(faces: Faces) -> npt.NDArray[np.int64]:
    """(3n,): smaller point, larger point, and in the lowest bit the direction."""
    start = faces.ravel().astype(np.int64)
    end = np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    return (np.minimum(start, end) << 32) | (np.maximum(start, end) << 1) | (start < end)


def boundary(faces: Faces) -> Rows:
    """The edges of only one facet as (k, 2) points, in the direction the facet runs along them."""
    keys = edge_keys(faces)
    keys.sort()
    edge = keys >> 1
    new = np.concatenate(([True], edge[1:] != edge[:-1], [True]))
    alone = keys[new[:-1] & new[1:]]
    low, high, forward = (alone >> 32).astype(np.intp), ((alone >> 1) & 0x7FFFFFFF).astype(np.intp), alone & 1 == 1
    return np.stack((np.where(forward, low, high), np.where(forward, high, low)), axis=1)


def components(count: int, one: Rows, other: Rows) -> Rows:
    """For each of `count` nodes the smallest node it is linked to, over any number of links.

    Every round hangs each root under its smallest neighbour and flattens; the number of roots at least halves, so a chain of a
    million links takes some twenty rounds.
    """
    root = np.arange(count)
    while len(one):
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        apart = low != high
        one, other = low[apart], high[apart]
        np.minimum.at(root, other, one)
        while not np.array_equal(root, above := root[root]):
            root = above
    return root


def shells(mesh: Mesh) -> tuple[int, Rows]:
    """How many pieces share no point, and for each facet the number of its piece (0…)."""
    a, b, c = mesh.faces.T.astype(np.intp)
    root = components(len(mesh.points), np.concatenate((a, a)), np.concatenate((b, c)))
    roots, label = np.unique(root[a], return_inverse=True)
    return len(roots), label


def facet_groups(faces: Faces, *, oriented: bool) -> tuple[Rows, Rows]:
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
    at = mesh.points[loose].astype(np.float64) / tolerance_mm
    chosen, place = np.arange(len(loose)), np.arange(len(loose))
    for shift in itertools.product((0.0, 0.5), repeat=3):
        first, group = _grouped(_hashed(np.floor(at[chosen] + shift).astype(np.int64)))
        chosen, place = chosen[first], group[place]
    rows = np.arange(len(mesh.points), dtype=np.int32)
    rows[loose] = loose[chosen[place]]
    welded = Mesh(mesh.points, rows[mesh.faces])
    return kept(welded, _has_area(welded), compact=True)
