"""Polygons of any number of corners as triangles of the same corners.

A fan of triangles from one corner is right where every one of them faces as the polygon does: numpy tells that of all polygons at once.
Of a small polygon, a fan from any corner will do. Where there is none, its ears are clipped, which costs Python some twenty microseconds
a corner, and more where there are thousands; so what all polygons of a file may cost is bounded.
"""

import numpy as np
import numpy.typing as npt

from agent.meshes.reading import UnreadableModel

Rows = npt.NDArray[np.int64]
Points = npt.NDArray[np.float64]

_BLOCK = 1 << 16
"""Corners at a time."""
_NEARLY = 1e-9
"""Of the area squared: a corner on the line between its neighbours does no harm to a fan."""
_SMALL = 8
_MOST_WORK = 1_000_000
"""In looks at a corner, of one to three microseconds."""


def triangulated(points: Points, corners: Rows, counts: Rows) -> Rows:
    """(n, 3) rows of `points`. `counts`: how many of `corners` each polygon has, three or more. UnreadableModel where it costs too much."""
    starts = np.cumsum(counts) - counts
    made = [np.empty((0, 3), np.int64)]
    work = 0
    for count in np.unique(counts).tolist():
        of_count = starts[counts == count]
        step = max(1, _BLOCK // count)
        for at in range(0, len(of_count), step):
            polygons = corners[of_count[at : at + step, None] + np.arange(count)]
            good, normals = _fans(points[polygons])
            for _turn in range(1, count if count <= _SMALL else 1):
                left = np.flatnonzero(~good)
                polygons[left] = np.roll(polygons[left], 1, axis=1)
                good[left] = _fans(points[polygons[left]])[0]
            made.append(polygons[good][:, _fan(count)].reshape(-1, 3))
            for polygon, normal in zip(polygons[~good], normals[~good], strict=True):
                ears = _Ears(points[polygon], normal)
                made.append(polygon[ears.clipped(_MOST_WORK - work)])
                work += ears.work
    return np.concatenate(made)


def _fan(count: int) -> Rows:
    second = np.arange(1, count - 1)
    return np.stack((np.zeros_like(second), second, second + 1), axis=1)


def _fans(at: Points) -> tuple[npt.NDArray[np.bool_], Points]:
    """For polygons (k, corners, 3): whether the fan from the first corner is good, and twice the area as a vector."""
    spokes = at - at[:, :1]
    areas = np.cross(spokes[:, 1:-1], spokes[:, 2:])
    normals = areas.sum(axis=1)
    along = (areas * normals[:, None]).sum(axis=2)
    good: npt.NDArray[np.bool_] = (along >= -_NEARLY * (normals * normals).sum(axis=1)[:, None]).all(axis=1)
    return good, normals


class _Ears:
    """One polygon seen along its normal. `work`: what was done, in looks at a corner."""

    def __init__(self, at: Points, normal: Points) -> None:
        axis = int(np.abs(normal).argmax())
        one, other = ((1, 2), (2, 0), (0, 1))[axis]
        if normal[axis] < 0:
            one, other = other, one
        self._at = np.ascontiguousarray(at[:, (one, other)])
        self._xy: list[tuple[float, float]] = self._at.tolist()
        count = len(at)
        self._before = [count - 1, *range(count - 1)]
        self._after = [*range(1, count), 0]
        self._inward = np.array([self._turn(corner) <= 0 for corner in range(count)])
        self.work = 20 + 4 * count

    def clipped(self, most_work: int) -> Rows:
        made = []
        corner, left, missed = 0, len(self._xy), 0
        while left > 3:
            # Where nothing is an ear the polygon crosses itself: then any corner will do, and its edges still fit the others'.
            if missed > left or self._is_ear(corner):
                made.append((self._before[corner], corner, self._after[corner]))
                self._drop(corner)
                left, missed = left - 1, 0
                corner = self._after[corner]
            else:
                missed += 1
            corner = self._after[corner]
            if self.work > most_work:
                raise UnreadableModel("TOO_COMPLEX", "The polygons of the model have too many corners; export it as triangles.")
        made.append((self._before[corner], corner, self._after[corner]))
        return np.array(made, np.int64)

    def _drop(self, corner: int) -> None:
        before, after = self._before[corner], self._after[corner]
        self._after[before], self._before[after] = after, before
        self._inward[corner] = False
        for neighbour in (before, after):
            if self._inward[neighbour] and self._turn(neighbour) > 0:
                self._inward[neighbour] = False

    def _turn(self, corner: int) -> float:
        """Twice the area of the corner with its neighbours; positive where it bends as the polygon does."""
        (ax, ay), (bx, by), (cx, cy) = (self._xy[at] for at in (self._before[corner], corner, self._after[corner]))
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    def _is_ear(self, corner: int) -> bool:
        """It bends outward, and its triangle, with the edges, holds no corner that bends inward, but for those at its own three places."""
        self.work += 1
        if self._inward[corner]:
            return False
        self.work += 15 + len(self._xy) // 100
        a, b, c = self._at[[self._before[corner], corner, self._after[corner]]]
        inward = self._at[self._inward]
        inside = (_left_of(inward, a, b) >= 0) & (_left_of(inward, b, c) >= 0) & (_left_of(inward, c, a) >= 0)
        near = inward[inside]
        return not ((near != a).any(axis=1) & (near != b).any(axis=1) & (near != c).any(axis=1)).any()


def _left_of(points: Points, start: Points, end: Points) -> Points:
    """Positive for points on the left of a line."""
    along, away = end - start, points - start
    left: Points = along[0] * away[:, 1] - along[1] * away[:, 0]
    return left
