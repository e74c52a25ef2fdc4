"""Other sides for a model that stands badly as it lies, and turning it onto one. Runs in the child process.

Without supports only a plane of the surface carries a model, so no hull is needed: the sides to try are those the most of the surface
faces, and the six axes. One pass sorts the surface by direction, which tells for every side roughly what would hang there; the few
that promise most are then judged like any model. 0.7 CPU-s for a million triangles.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.domain.standing import OVERHANG_SHARE, stands_badly
from agent.meshes.advice import FLAT, STEEP, Stance, stance
from agent.meshes.geometry import Box, Numbers, bounds, on_bed
from agent.meshes.topology import merged, without_degenerate

_BLOCK = 1 << 14
_FACETS_MOST = 2_000_000
"""Above, no side is looked for: it would take as long as the verdict itself."""
_TOLD_MOST = 3
_TRIED_MOST = 6
_LARGEST = 32
_HALF, _COARSER = 512, 16
"""The directions are told apart by 0.1° where a plane is looked for, and by 2° where it is only asked what would hang."""
_WIDTH = 2 * _HALF + 1
_SAME, _AS_IT_IS = math.cos(math.radians(0.5)), math.cos(math.radians(0.03))
"""A model that lies half a degree aslant may stand badly for just that."""
_ON_AXIS = 1e-4
_ROUGHLY = 0.05
_AXES = np.concatenate((np.eye(3), -np.eye(3)))
_DOWN = np.array((0.0, 0.0, -1.0))

Corners = npt.NDArray[np.float32]
Turn = Numbers
"""(3, 3): what a corner is multiplied with."""


class Pose(NamedTuple):
    """As in the report."""

    turn: Turn
    box_mm: Box
    stance: Stance


class _Facing(NamedTuple):
    """The surface by the direction it faces: unit vectors (n, 3), and the area of each in double."""

    directions: Numbers
    areas: Numbers


def better_poses(corners: Corners) -> list[Pose]:
    """In which nothing is to be said against it, the best first, of a closed mesh. Empty: there is none, or it was too much to look for."""
    if len(corners) > _FACETS_MOST:
        return []
    poses = [_pose(corners, turn_down(side)) for side in _promising(_surface(corners))]
    return sorted((pose for pose in poses if not stands_badly(pose.stance, pose.box_mm)), key=_cost)[:_TOLD_MOST]


def turned(corners: Corners, turn: Turn) -> Corners:
    """The mesh on that side, on the bed and centred. Corners that met before meet afterwards; facets that rounding flattened are gone."""
    mesh = without_degenerate(merged(on_bed(_rotated(corners, turn))))
    return mesh.points.take(mesh.faces, axis=0)


def _pose(corners: Corners, turn: Turn) -> Pose:
    lying = on_bed(_rotated(corners, turn))
    low, high = bounds(lying)
    x, y, z = (high - low).tolist()
    return Pose(turn, (x, y, z), stance(lying, z))


def _cost(pose: Pose) -> float:
    """What hangs counts most; then how much of the box stands on the bed, and how low it is."""
    x, y, z = pose.box_mm
    return pose.stance.overhang_share - 0.1 * pose.stance.bed_contact_mm2 / (x * y) + 0.1 * z / max(pose.box_mm)


# --- turning -----------------------------------------------------------------------------------------------------------
def turn_down(side: Numbers) -> Turn:
    """The shortest turn after which that direction points down. About an axis by quarters it is exact."""
    x, y, z = side.tolist()
    level = x * x + y * y
    if z > 0 and level == 0:
        return np.diag((1.0, -1.0, -1.0))
    about = np.array(((0.0, 0.0, x), (0.0, 0.0, y), (-x, -y, 0.0)))
    # Two ways to write the same number. Near straight up, one minus z keeps few of its digits.
    turn: Turn = np.eye(3) + about + about @ about * ((1 + z) / level if z > 0 else 1 / (1 - z))
    return turn


def _rotated(corners: Corners, turn: Turn) -> Corners:
    """Number by number, not by a matrix product: that may round the same corner in two ways."""
    out = np.empty_like(corners)
    for start in range(0, len(corners), _BLOCK):
        x, y, z = corners[start : start + _BLOCK].reshape(-1, 3).T.astype(np.float64)
        block = out[start : start + _BLOCK].reshape(-1, 3)
        for n, (a, b, c) in enumerate(turn.tolist()):
            block[:, n] = a * x + b * y + c * z
    return out


# --- which sides -------------------------------------------------------------------------------------------------------
def _surface(corners: Corners) -> _Facing:
    sums = np.zeros((4, _WIDTH * _WIDTH))
    for start in range(0, len(corners), _BLOCK):
        ax, ay, az, bx, by, bz, cx, cy, cz = np.ascontiguousarray(corners[start : start + _BLOCK].reshape(-1, 9).T, np.float64)
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        normals = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        cells = _cells(*normals)
        for into, parts in zip(sums, (*normals, np.sqrt(normals[0] ** 2 + normals[1] ** 2 + normals[2] ** 2)), strict=True):
            np.add.at(into, cells, parts)
    return _facing(sums)


def _cells(x: Numbers, y: Numbers, z: Numbers) -> npt.NDArray[np.intp]:
    """The directions on an octahedron laid flat: the square's middle is straight up, its corners are straight down."""
    span = np.maximum(np.abs(x) + np.abs(y) + np.abs(z), np.finfo(np.float64).tiny)
    u, v, below = x / span, y / span, z < 0
    across, along = np.where(below, np.copysign(1 - np.abs(v), u), u), np.where(below, np.copysign(1 - np.abs(u), v), v)
    cells: npt.NDArray[np.intp] = (np.rint((across + 1) * _HALF) * _WIDTH + np.rint((along + 1) * _HALF)).astype(np.intp)
    return cells


def _facing(sums: Numbers) -> _Facing:
    length = np.sqrt((sums[:3] ** 2).sum(axis=0))
    used = np.flatnonzero(length > 0)
    return _Facing((sums[:3, used] / length[used]).T, sums[3, used])


def _coarse(surface: _Facing) -> _Facing:
    cells = _cells(*surface.directions.T)
    wide = _WIDTH // _COARSER + 1
    cells = cells // _WIDTH // _COARSER * wide + cells % _WIDTH // _COARSER
    weighted = (*(surface.directions.T * surface.areas), surface.areas)
    return _facing(np.stack([np.bincount(cells, parts, wide * wide) for parts in weighted]))


def _promising(surface: _Facing) -> list[Numbers]:
    """The directions to turn down: where little is steep, those first that most of the surface lies flat in."""
    coarse = _coarse(surface)
    whole = coarse.areas.sum()
    ranked: list[tuple[float, int, Numbers]] = []
    for side in _sides(surface):
        down = coarse.directions @ side
        steep, flat = (coarse.areas[(down > STEEP) & (down <= FLAT)].sum() / whole, coarse.areas[down > FLAT].sum() / whole)
        if steep < OVERHANG_SHARE + _ROUGHLY:
            ranked.append((steep - flat, len(ranked), side))
    return [side for *_, side in sorted(ranked)[:_TRIED_MOST]]


def _sides(surface: _Facing) -> list[Numbers]:
    """What most of the surface faces, and the axes; none twice, and not the one it stands on already."""
    largest = (-surface.areas).argsort(kind="stable")[:_LARGEST]
    found: list[Numbers] = []
    for side in np.concatenate((surface.directions[largest], _AXES)):
        side = np.where(np.abs(side) < _ON_AXIS, 0.0, side)
        side /= np.linalg.norm(side)
        if side @ _DOWN < _AS_IT_IS and all(side @ known < _SAME for known in found):
            found.append(side)
    return found
