"""Sheets: facets that hang together over edges of just two facets. What is wound wrong, there twice, or a wall within, is told by them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from agent.meshes import geometry, topology
from agent.meshes.topology import Faces, Mesh, Rows

_SHEETS_MOST = 256
_SEAMS_MOST = 100_000
"""Edges of other than two facets. With as many sheets the table of both is the largest thing here."""

Flags = npt.NDArray[np.bool_]


def one_way_wound(faces: Faces) -> Faces | None:
    """Every facet turned the way most of its sheet is; None where a sheet has no two sides.

    Each facet is two nodes, as it is (n) and turned (n + facets). An edge of two facets links the nodes that go together; a
    facet linked to its own turned self has no side.
    """
    count = len(faces)
    one, other, agree = _neighbours(faces)
    turned = np.where(agree, 0, count)
    root = topology.components(2 * count, np.concatenate((one, one + count)), np.concatenate((other + turned, other + count - turned)))
    as_is, flipped = root[:count], root[count:]
    if (as_is == flipped).any():
        return None
    sheet = np.minimum(as_is, flipped)
    odd = flipped < as_is
    mostly_odd = 2 * np.bincount(sheet, odd, count) > np.bincount(sheet, minlength=count)
    turn = odd != mostly_odd[sheet]
    return np.where(turn[:, None], faces[:, ::-1], faces) if turn.any() else faces


def numbered(faces: Faces) -> tuple[int, Rows]:
    """How many sheets the facets make, loose triangles being one each, and for each facet the number of its sheet (0…)."""
    one, other, _ = _neighbours(faces)
    roots, sheet = np.unique(topology.components(len(faces), one, other), return_inverse=True)
    return len(roots), sheet


def _neighbours(faces: Faces) -> tuple[Rows, Rows, Flags]:
    """Pairs of facets that share an edge with no third, and whether they run along it in opposite directions, as they should."""
    keys = topology.edge_keys(faces)
    order = keys.argsort()
    edge = keys[order] >> 1
    same = np.concatenate(([False], edge[1:] == edge[:-1], [False]))
    second = np.flatnonzero(same[1:-1] & ~same[:-2] & ~same[2:]) + 1
    one, other = order[second - 1], order[second]
    return one // 3, other // 3, (keys[one] & 1) != (keys[other] & 1)


def without_copies(faces: Faces) -> Iterator[Flags]:
    """Which facets to keep where some lie on the same three corners: one of each; or, where they face each other, none of a pair."""
    first, group = topology.facet_groups(faces, oriented=False)
    if len(first) == len(faces):
        return
    one = np.zeros(len(faces), np.bool_)
    one[first] = True
    yield one
    odd = one & (np.bincount(group)[group] % 2 == 1)
    if odd.any():
        yield odd


def without_walls(mesh: Mesh) -> Flags:
    """Which facets to keep so that no sheet hangs with all its rim between others that fit together better without it.

    Of three sheets that meet in one rim any can be left out so that the others close. The flat wall between is the smallest of them,
    so the smallest go first.
    """
    sheets, sheet = numbered(mesh.faces)
    rims, free = _rims(mesh.faces, sheet, sheets)
    between = np.flatnonzero((rims != 0).any(axis=1) & ~rims[:, free].any(axis=1))
    if not len(between):
        return np.ones(len(mesh.faces), np.bool_)
    areas = np.bincount(sheet, _areas(mesh))
    left, walls = rims.sum(axis=0), []
    for wall in between[areas[between].argsort(kind="stable")].tolist():
        if np.abs(left - rims[wall]).sum() < np.abs(left).sum():
            left = left - rims[wall]
            walls.append(wall)
    return ~np.isin(sheet, walls) if len(walls) < sheets else np.ones(len(sheet), np.bool_)


def _areas(mesh: Mesh) -> geometry.Numbers:
    a, b, c = mesh.points[mesh.faces.T].astype(np.float64)
    areas: geometry.Numbers = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return areas


def _rims(faces: Faces, sheet: Rows, sheets: int) -> tuple[npt.NDArray[np.int64], Flags]:
    """(sheets, seams): how often each sheet uses each seam one way more than the other; and which seams have a single facet.

    Empty where there are too many of them.
    """
    keys = topology.edge_keys(faces)
    edges, edge, often = np.unique(keys >> 1, return_inverse=True, return_counts=True)
    seams = np.flatnonzero(often != 2)
    if sheets > _SHEETS_MOST or len(seams) > _SEAMS_MOST:
        return np.zeros((sheets, 0), np.int64), np.zeros(0, np.bool_)
    number = np.full(len(edges), -1)
    number[seams] = np.arange(len(seams))
    at = np.flatnonzero(number[edge] >= 0)
    rims = np.zeros((sheets, len(seams)), np.int64)
    np.add.at(rims, (sheet[at // 3], number[edge[at]]), np.where(keys[at] & 1 == 1, 1, -1))
    return rims, often[seams] == 1
