"""Holes: the rims of what is open, and for each rim the triangles of least area that close it. No new points are made."""

from typing import NamedTuple

import numpy as np

from agent.meshes import topology
from agent.meshes.geometry import Numbers
from agent.meshes.topology import Faces, Mesh, Rows

_OPEN_EDGES_MOST = 100_000
_RIM_AT_ONCE = 500
"""Edges of a rim that are spanned in one step. The work grows with their cube: 500 take a third of a second."""
_WORK_MOST = 6 * _RIM_AT_ONCE**3
_FORK_MOST = 4
"""Where more open edges than these leave one point, which of them belong to one hole cannot be told by looking for the shortest."""

_Onward = dict[int, list[int]]
"""For each point the points its rims go on to, once for each rim edge."""


class Patches(NamedTuple):
    """The facets that close every rim, and of each rim how many edges it has."""

    faces: Faces
    rims: list[int]


def patches(mesh: Mesh) -> Patches | str:
    """What closes every hole of the mesh, or why that is not tried."""
    ends = _open_edges(mesh.faces)
    if len(ends) > _OPEN_EDGES_MOST:
        return f"Too many edges are open: {len(ends):,}."
    rims = _rims(ends)
    if sum(min(len(rim), _RIM_AT_ONCE) ** 3 for rim in rims) > _WORK_MOST:
        return f"Its holes are too many and too large: {len(rims):,}, with {len(ends):,} edges."
    faces = [facet for rim in rims for facet in _closed(mesh, rim)]
    return Patches(np.array(faces, np.int32).reshape(-1, 3), [len(rim) for rim in rims])


def _open_edges(faces: Faces) -> Rows:
    """(k, 2): the edges that facets use more often one way than the other, as often as that, in the direction a patch must use them.

    At every point as many of them end as begin: they are what a surface ends in. So they fall into closed rims, and closing each
    leaves every edge balanced, also where three facets meet.
    """
    keys = topology.edge_keys(faces)
    keys.sort()
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] >> 1 != keys[:-1] >> 1)))
    often = 2 * np.add.reduceat(keys & 1, starts) - np.diff(starts, append=len(keys))
    edge = np.repeat(keys[starts] >> 1, np.abs(often))
    forward = np.repeat(often > 0, np.abs(often))
    low, high = (edge >> 31).astype(np.intp), (edge & 0x7FFFFFFF).astype(np.intp)
    return np.stack((np.where(forward, high, low), np.where(forward, low, high)), axis=1)


def _rims(ends: Rows) -> list[list[int]]:
    """All open edges as closed ways that touch no point twice; the shortest first, for holes often share a point."""
    onward: _Onward = {}
    for start, end in ends.tolist():
        onward.setdefault(start, []).append(end)
    rims = []
    for start in list(onward):
        while rim := _short_rim(onward, start):
            for place, point in enumerate(rim):
                onward[point].remove(rim[(place + 1) % len(rim)])
            rims.append(rim)
    for start in list(onward):
        while onward[start]:
            rims += _walked(onward, start)
    return rims


def _short_rim(onward: _Onward, start: int) -> list[int]:
    """The shortest closed way of three or four steps from here back to here; empty where there is none."""
    paths = [[start]]
    for _ in range(3):
        paths = [[*path, point] for path in paths if len(onward[path[-1]]) <= _FORK_MOST for point in onward[path[-1]]]
        for path in paths:
            if len(path) >= 3 and start in onward[path[-1]] and len(set(path)) == len(path):
                return path
    return []


def _walked(onward: _Onward, start: int) -> list[list[int]]:
    """One walk until it is back at `start` with nowhere to go; what it closes on the way is cut off as a rim of its own."""
    rims: list[list[int]] = []
    path, place = [start], {start: 0}
    while onward[path[-1]]:
        point = onward[path[-1]].pop()
        if point not in place:
            place[point] = len(path)
            path.append(point)
            continue
        rims.append(path[place[point] :])
        for passed in path[place[point] + 1 :]:
            del place[passed]
        del path[place[point] + 1 :]
    return rims


# --- closing one rim -------------------------------------------------------------------------------------------------
def _closed(mesh: Mesh, rim: list[int]) -> list[tuple[int, int, int]]:
    """Of a rim that is too long every so many points are spanned, and then what lies between two of them and the rim."""
    stride = -(-len(rim) // _RIM_AT_ONCE)
    faces = _spanned(mesh, rim[::stride])
    if stride > 1:
        for start in range(0, len(rim), stride):
            faces += _spanned(mesh, [*rim, rim[0]][start : start + stride + 1])
    return faces


def _spanned(mesh: Mesh, rim: list[int]) -> list[tuple[int, int, int]]:
    """The triangulation of least area over the rim's points (Barequet and Sharir, 1995): flat where the rim is flat, and never folded
    there, for a fold has more area.

    Built up over spans of the rim. `from_start[gap, i]` is twice the least area over the points i to i + gap, `to_end[gap, i + gap]`
    the same: so every row of candidates is a plain slice. `step[gap, i]` tells which point makes the triangle with both.
    """
    points = mesh.points[rim].astype(np.float64)
    count = len(rim)
    chord = np.zeros((count, 3, count))
    for gap in range(1, count):
        chord[gap, :, : count - gap] = (points[gap:] - points[:-gap]).T
    from_start, to_end, step = np.zeros((count, count)), np.zeros((count, count)), np.zeros((count, count), np.intp)
    for gap in range(2, count):
        spans = count - gap
        areas = _cross(chord[1:gap, :, :spans], chord[gap, :, :spans])
        areas += from_start[1:gap, :spans]
        areas += to_end[gap - 1 : 0 : -1, gap:]
        best = areas.argmin(axis=0)
        from_start[gap, :spans] = to_end[gap, gap:] = areas[best, np.arange(spans)]
        step[gap, :spans] = best + 1
    return _triangles(step, rim)


def _cross(some: Numbers, one: Numbers) -> Numbers:
    """Lengths of the cross products, (m, n), of (m, 3, n) with (3, n)."""
    (ux, uy, uz), (vx, vy, vz) = some.transpose(1, 0, 2), one
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    lengths: Numbers = np.sqrt(x * x + y * y + z * z)
    return lengths


def _triangles(step: Rows, rim: list[int]) -> list[tuple[int, int, int]]:
    triangles, spans = [], [(0, len(rim) - 1)]
    while spans:
        start, gap = spans.pop()
        if gap > 1:
            first = int(step[gap, start])
            triangles.append((rim[start], rim[start + first], rim[start + gap]))
            spans += [(start, first), (start + first, gap - first)]
    return triangles
