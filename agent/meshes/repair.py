"""Closing a mesh that is not balanced: few, small, exact steps, each result verified, by us and by trimesh. What they
cannot close is left to a person.

The steps never move a surface by more than the weld's tolerance and never invent more than small holes' own facets. Tools that
remesh do close more, and lose bodies on the way.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agent.meshes import geometry, topology
from agent.meshes.topology import Faces, Mesh, Rows

_FINEST_WELD_MM = 1e-5
_LOOSE_POINTS_MOST = 3_000_000
_HOLE_EDGES_MOST = 30_000
_FORK_MOST = 4
"""Where more boundary edges than these leave one point, which of them belong to one hole cannot be told."""
_INVENTED_AREA_MOST = 0.1
_BOX_CHANGE_MOST_MM = 0.01
_NO_VOLUME = 1e-6
_VOLUME_DIFFERS_MOST = 1e-3


class Attempt(NamedTuple):
    """A mesh and what was done to make it, as sentences by code."""

    mesh: Mesh
    done: dict[str, str]
    invented_mm2: float = 0.0


def welds(mesh: Mesh, shape: geometry.Shape, found: topology.Edges) -> list[Attempt]:
    """The mesh as it is, and with its cracks closed at two tolerances. `found` are its edges, which are not balanced."""
    attempts = [Attempt(mesh, {})]
    if len(found.loose_points) > _LOOSE_POINTS_MOST:
        return attempts
    finest = max(max(shape.box_mm) * 1e-6, _FINEST_WELD_MM)
    for tolerance in (finest, 10 * finest):
        welded = topology.welded(mesh, found.loose_points, tolerance)
        if len(welded.faces) and len(welded.points) < len(attempts[-1].mesh.points):
            attempts.append(Attempt(welded, {"CRACKS": "Gaps thinner than a hundredth of a millimetre were closed."}))
    return attempts


def closed(before: geometry.Shape, attempts: list[Attempt]) -> Attempt | None:
    """The first candidate that is balanced and faithful to the shape the mesh had, or None."""
    for welded in attempts:
        pieces, _ = topology.shells(welded.mesh)
        for candidate in _candidates(welded):
            if _faithful(candidate, before, pieces) and _others_agree(candidate.mesh):
                return candidate
    return None


def _candidates(base: Attempt) -> Iterator[Attempt]:
    """The base, then without copies, without opposite pairs; each also wound one way, and with small holes closed."""
    for start in (base, *_without_copies(base)):
        yield start
        wound = _wound(start)
        if wound is not None:
            yield wound
            yield from _filled(wound)


def _faithful(candidate: Attempt, before: geometry.Shape, pieces: int) -> bool:
    if not topology.edges(candidate.mesh.faces).balanced:
        return False
    after = geometry.shape(candidate.mesh)
    return (
        bool(np.abs(np.subtract(after.box_mm, before.box_mm)).max() < _BOX_CHANGE_MOST_MM)
        and abs(after.volume_mm3) > _NO_VOLUME * after.box_mm3
        and abs(after.volume_mm3) <= 1.001 * after.box_mm3
        and candidate.invented_mm2 <= _INVENTED_AREA_MOST * after.area_mm2
        and topology.shells(candidate.mesh)[0] >= pieces
    )


def _others_agree(mesh: Mesh) -> bool:
    """What we changed must be a closed body to a library we did not write, too, and as large as we say."""
    # Late: it takes a third of a second and 30 MB, and few models need a repair.
    import trimesh  # noqa: PLC0415

    read = trimesh.Trimesh(mesh.points, mesh.faces, process=False, validate=False)
    ours = geometry.shape(mesh).volume_mm3
    return bool(read.is_watertight and read.is_winding_consistent and abs(read.volume - ours) <= _VOLUME_DIFFERS_MOST * abs(ours))


def _without_copies(base: Attempt) -> Iterator[Attempt]:
    """Facets on the same three corners: keep one of each; or, where they face each other, none of a pair."""
    first, group = topology.facet_groups(base.mesh.faces, oriented=False)
    if len(first) == len(base.mesh.faces):
        return
    one = np.zeros(len(base.mesh.faces), np.bool_)
    one[first] = True
    done = {**base.done, "COPIES": "Triangles that were in the file more than once were dropped."}
    yield Attempt(topology.kept(base.mesh, one), done)
    odd = one & (np.bincount(group)[group] % 2 == 1)
    if odd.any():
        yield Attempt(topology.kept(base.mesh, odd), done)


def _wound(base: Attempt) -> Attempt | None:
    """Every facet turned the way most of its piece is; None where a piece has no two sides.

    Each facet is two nodes, as it is (n) and turned (n + facets). An edge of two facets links the nodes that go together; a
    facet linked to its own turned self has no side.
    """
    faces = base.mesh.faces
    count = len(faces)
    one, other, agree = _neighbours(faces)
    turned = np.where(agree, 0, count)
    root = topology.components(2 * count, np.concatenate((one, one + count)), np.concatenate((other + turned, other + count - turned)))
    as_is, flipped = root[:count], root[count:]
    if (as_is == flipped).any():
        return None
    piece = np.minimum(as_is, flipped)
    odd = flipped < as_is
    mostly_odd = 2 * np.bincount(piece, odd, count) > np.bincount(piece, minlength=count)
    turn = odd != mostly_odd[piece]
    if not turn.any():
        return base
    wound = np.where(turn[:, None], faces[:, ::-1], faces)
    return base._replace(
        mesh=Mesh(base.mesh.points, wound), done={**base.done, "WINDING": "Triangles that faced inward were turned round."}
    )


def _neighbours(faces: Faces) -> tuple[Rows, Rows, Rows]:
    """Pairs of facets that share an edge with no third, and whether they run along it in opposite directions, as they should."""
    keys = topology.edge_keys(faces)
    order = keys.argsort()
    edge = keys[order] >> 1
    same = np.concatenate(([False], edge[1:] == edge[:-1], [False]))
    second = np.flatnonzero(same[1:-1] & ~same[:-2] & ~same[2:]) + 1
    one, other = order[second - 1], order[second]
    return one // 3, other // 3, (keys[one] & 1) != (keys[other] & 1)


def _filled(base: Attempt) -> Iterator[Attempt]:
    """Holes of three and four edges closed with one and two facets: those have (nearly) only one way to be."""
    edges = topology.boundary(base.mesh.faces)
    if not len(edges) or len(edges) > _HOLE_EDGES_MOST:
        return
    patches = _patches(base.mesh, edges)
    if not len(patches):
        return
    filled = Mesh(base.mesh.points, np.concatenate((base.mesh.faces, patches)))
    done = {**base.done, "HOLES": f"Small holes were closed; triangles added: {len(patches):,}."}
    yield Attempt(filled, done, geometry.shape(Mesh(base.mesh.points, patches)).area_mm2)


def _patches(mesh: Mesh, edges: Rows) -> Faces:
    """Each boundary edge a→b leaves a hole whose rim runs b→a."""
    onward: dict[int, list[int]] = {}
    for start, end in edges.tolist():
        onward.setdefault(end, []).append(start)
    patches: list[tuple[int, int, int]] = []
    for start in list(onward):
        while rim := _rim(onward, start):
            for place, point in enumerate(rim):
                onward[point].remove(rim[(place + 1) % len(rim)])
            patches += _spanned(mesh, rim)
    return np.array(patches, np.int32).reshape(-1, 3)


def _rim(onward: dict[int, list[int]], start: int) -> list[int]:
    """The shortest closed way of three or four steps from here back to here; empty where there is none."""
    paths = [[start]]
    for _ in range(3):
        paths = [[*path, point] for path in paths if len(onward.get(path[-1], [])) <= _FORK_MOST for point in onward.get(path[-1], [])]
        for path in paths:
            if len(path) >= 3 and start in onward.get(path[-1], []) and len(set(path)) == len(path):
                return path
    return []


def _spanned(mesh: Mesh, rim: list[int]) -> list[tuple[int, int, int]]:
    """One facet over three points; over four, two that meet on the shorter diagonal."""
    if len(rim) == 3:
        return [(rim[0], rim[1], rim[2])]
    a, b, c, d = rim
    across = mesh.points[[a, b]].astype(np.float64) - mesh.points[[c, d]]
    first, second = np.linalg.norm(across, axis=1)
    return [(a, b, c), (a, c, d)] if first <= second else [(b, c, d), (b, d, a)]
