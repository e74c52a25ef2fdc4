"""Lengths in mm, areas in mm², volumes in mm³. Facets are taken in blocks: a mesh of millions must not be copied in float64."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.topology import Mesh

Box = tuple[float, float, float]
Numbers = npt.NDArray[np.float64]

_BLOCK = 1 << 13
_OFF_CENTER_MM = 1e-4


class Shape(NamedTuple):
    """`volumes`: each facet's signed tetrahedron to the middle of the box; their sum is the volume a closed mesh encloses."""

    box_mm: Box
    area_mm2: float
    volumes: Numbers

    @property
    def volume_mm3(self) -> float:
        return float(self.volumes.sum())

    @property
    def box_mm3(self) -> float:
        return float(np.prod(self.box_mm))


def to_bed(corners: npt.NDArray[np.float32]) -> Numbers:
    """By how much to move so that the lowest point is at z = 0 and the box is centred on x = y = 0.

    What is centred within a tenth of a micron stays where it is: a canonical file, read again, is itself.
    """
    low, high = bounds(corners)
    shift = -(low + high) / 2
    shift[np.abs(shift) < _OFF_CENTER_MM] = 0
    shift[2] = -low[2]
    return shift


def on_bed(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Moved there. The sum is taken in float64 and rounded once, so corners that met before meet afterwards."""
    shift = to_bed(corners)
    if not shift.any():
        return corners
    moved = np.empty_like(corners)
    by = np.tile(shift, (_BLOCK, 3, 1))
    for start in range(0, len(corners), _BLOCK):
        part = corners[start : start + _BLOCK]
        np.add(part, by[: len(part)], out=moved[start : start + _BLOCK], casting="same_kind")
    return moved


def shape(mesh: Mesh) -> Shape:
    """One pass over all facets."""
    low, high = bounds(mesh.points)
    x, y, z = (high - low).tolist()
    columns = list(zip(mesh.points.T, (low + high) / 2, strict=True))
    volumes = np.empty(len(mesh.faces))
    area = 0.0
    for start in range(0, len(mesh.faces), _BLOCK):
        corners = mesh.faces[start : start + _BLOCK].T
        (ax, bx, cx), (ay, by, cy), (az, bz, cz) = (column[corners] - middle for column, middle in columns)
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        area += float(np.sqrt(nx * nx + ny * ny + nz * nz).sum())
        volumes[start : start + _BLOCK] = (ax * nx + ay * ny + az * nz) / 6
    return Shape((x, y, z), area / 2, volumes)


def bounds(points: npt.NDArray[np.float32]) -> tuple[Numbers, Numbers]:
    """The lowest and highest x, y, z of points, however they are stacked."""
    flat = points.reshape(-1, 3)
    return _folded(np.minimum, flat).astype(np.float64), _folded(np.maximum, flat).astype(np.float64)


def _folded(extreme: np.ufunc, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Whole rows of many points first: along so short an axis as x, y, z numpy is ten times slower."""
    whole = len(points) // _BLOCK * _BLOCK
    rows, rest = points[:whole].reshape(-1, 3 * _BLOCK), points[whole:]
    few = np.concatenate((extreme.reduce(rows).reshape(-1, 3), rest)) if whole else rest
    return np.asarray(extreme.reduce(few))


def boxes(mesh: Mesh, label: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The low and high corners, (labels, 3) each, of the facets with each label; every label from 0 up is in use."""
    order = label.argsort(kind="stable")
    starts = np.searchsorted(label[order], np.arange(int(label.max()) + 1))
    corners = mesh.points[mesh.faces[order]]
    return np.minimum.reduceat(corners.min(axis=1), starts), np.maximum.reduceat(corners.max(axis=1), starts)
