"""How a model stands on the bed as it lies: facts for advice, never a reason to refuse. Runs in the child process.

One pass in blocks over the canonical triangles, in float32: 0.04 CPU-s for a million.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 14
STEEP = math.sin(math.radians(46))
"""One degree beyond 45°: sound parts are drawn with slopes of 45°, which floats make a little more."""
FLAT = math.sin(math.radians(80))
_FIRST_LAYER_MM = 0.3
_SECTION_MM = 0.1
"""Where slicers cut a first layer of 0.2 mm."""
_LEVELS_PER_MM = 100
_DIRECTIONS = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_TOWARDS = np.stack((np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)))[:, :, None]
"""Every 5°: a corner of the hull that turns by less may be missed, which costs at most 2 % of the side it is on."""

_Corners = npt.NDArray[np.float32]
"""(n, 3, 3): the canonical triangles."""
_Floats = npt.NDArray[np.float32]
_Points = npt.NDArray[np.float64]


class Stance(NamedTuple):
    """As in the report."""

    overhang_share: float
    ceiling_share: float
    bed_contact_mm2: float
    tips_at_deg: float


def stance(corners: _Corners, height_mm: float) -> Stance:
    """Of a closed mesh whose lowest point is at z = 0."""
    sums = _Sums(height_mm)
    for start in range(0, len(corners), _BLOCK):
        sums.add(corners[start : start + _BLOCK])
    # Bodies that lie on each other face up and down at the same height: nothing hangs there.
    ceilings = float(np.maximum(-sums.up_at, 0).sum())
    return Stance(
        overhang_share=(sums.slopes + ceilings) / sums.area,
        ceiling_share=ceilings / sums.area,
        bed_contact_mm2=max(sums.contact_mm2, 0.0),
        tips_at_deg=sums.tips_at_deg(),
    )


class _Sums:
    """Over the facets so far. Surfaces are counted twice and volumes six times: only their ratios are used.

    `slopes`: what faces down between 45° and flat. `up_at`: what is flat and faces up, less what faces down, at each height.
    `outermost`: the first layer's furthest point in each direction; taken in turn, they are the corners of its hull.
    """

    def __init__(self, height_mm: float) -> None:
        self._section_mm = min(_SECTION_MM, height_mm / 2)
        self.area = self.slopes = self.contact_mm2 = self._volume = 0.0
        self._moment = np.zeros(3)
        self.up_at = np.zeros(math.ceil(height_mm * _LEVELS_PER_MM) + 2)
        self._outermost = np.zeros((2, len(_DIRECTIONS)))
        self._reach = np.full(len(_DIRECTIONS), -np.inf)

    def add(self, block: _Corners) -> None:
        ax, ay, az, bx, by, bz, cx, cy, cz = np.ascontiguousarray(block.reshape(-1, 9).T)
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        area = np.sqrt(nx * nx + ny * ny + nz * nz)
        volume = ax * nx + ay * ny + az * nz
        low, top = np.minimum(np.minimum(az, bz), cz), np.maximum(np.maximum(az, bz), cz)
        self.area += float(area.sum())
        self._volume += float(volume.sum())
        self._moment += (volume @ (ax + bx + cx), volume @ (ay + by + cy), volume @ (az + bz + cz))
        self._add_undersides(area, nz, top)
        self._add_section(block[(low < self._section_mm) & (top >= self._section_mm)])

    def _add_undersides(self, area: _Floats, nz: _Floats, top: _Floats) -> None:
        above = top > _FIRST_LAYER_MM
        flat = above & (np.abs(nz) > FLAT * area)
        self.slopes += float(area[above & ~flat & (nz < -STEEP * area)].sum())
        levels = np.rint(top[flat] * _LEVELS_PER_MM).astype(np.intp)
        self.up_at += np.bincount(levels, np.copysign(area[flat], nz[flat]), len(self.up_at))

    def _add_section(self, facets: _Corners) -> None:
        """Each crosses the plane, with one corner on one side and two on the other."""
        up = facets[:, :, 2] >= self._section_mm
        lone = np.where(up[:, 0] == up[:, 1], 2, np.where(up[:, 0] == up[:, 2], 1, 0))
        for first in range(3):
            for lone_is_up in (True, False):
                some = facets[(lone == first) & (up[:, first] == lone_is_up)].astype(np.float64)
                if len(some):
                    ends = [_crossing(some[:, first].T, some[:, (first + step) % 3].T, self._section_mm) for step in (1, 2)]
                    self._add_outline(*(ends if lone_is_up else reversed(ends)))

    def _add_outline(self, start: _Points, end: _Points) -> None:
        """Pieces of the first layer's outline, each from x, y to x, y with the solid to its left."""
        self.contact_mm2 += float((start[0] * end[1] - start[1] * end[0]).sum()) / 2
        far = start[:, np.hypot(*start) > self._reach.min()]
        if far.size:
            self._keep_outermost(far)

    def _keep_outermost(self, points: _Points) -> None:
        reach = _TOWARDS[0] * points[0] + _TOWARDS[1] * points[1]
        furthest = reach.argmax(axis=1)
        reach = reach[np.arange(len(reach)), furthest]
        further = reach > self._reach
        self._reach[further] = reach[further]
        self._outermost[:, further] = points[:, furthest[further]]

    def tips_at_deg(self) -> float:
        """How far it may be tilted before the middle of its mass is beyond the hull."""
        (ax, ay), (bx, by) = self._outermost, np.roll(self._outermost, -1, axis=1)
        along_x, along_y = bx - ax, by - ay
        length = np.hypot(along_x, along_y)
        side = length > 0
        if not side.any() or self._volume <= 0:
            return 0.0
        x, y, height = self._moment / (4 * self._volume)
        inside = along_x * (y - ay) - along_y * (x - ax)
        room = (inside[side] / length[side]).min()
        return max(math.degrees(math.atan2(room, height)), 0.0)


def _crossing(one: _Points, other: _Points, at_mm: float) -> _Points:
    """x and y where the way from one to the other meets the plane."""
    crossing: _Points = one[:2] + (at_mm - one[2]) / (other[2] - one[2]) * (other[:2] - one[:2])
    return crossing
