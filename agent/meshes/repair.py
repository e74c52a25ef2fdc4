"""Closing a mesh that is not balanced: few, small, exact steps on those of its pieces that need it, each result verified (faithful.py).
What they cannot close is left to a person.

The steps never move a surface by more than the weld's tolerance and never invent more than what spans a hole. Tools that remesh do
close more, and lose bodies on the way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from agent.meshes import geometry, holes, sheets, topology
from agent.meshes.faithful import Changed, Original, Volumes, encloses_nothing
from agent.meshes.topology import Edges, Mesh

_FINEST_WELD_MM = 1e-5
_LOOSE_POINTS_MOST = 3_000_000
_FACETS_MOST = 1_000_000
"""Of pieces that need a repair. Searching and measuring more takes longer than a file may keep the process that judges it."""
_OPEN_SHARE_MOST = 1 / 3
"""A surface with more boundary edges than this is no solid that lacks something."""
_INVENTED_AREA_MOST = 0.1
_ADDED_MOST = 0.05
_ADDED_ALWAYS = 4
"""Facets that may be added however few there are: a cube has twelve."""
_TELLING_AREA = 0.1
"""Share of a piece's own surface up to which what is missing leaves no doubt what is outside."""


@dataclass(frozen=True)
class Changes:
    """What was done, counted. `cracks` are open edges that fit together once close points were made one."""

    cracks: int = 0
    turned: int = 0
    copies: int = 0
    walls: int = 0
    rims: tuple[int, ...] = ()
    added: int = 0
    added_mm2: float = 0.0

    def plus(self, other: "Changes") -> "Changes":
        return Changes(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


class Attempt(NamedTuple):
    mesh: Mesh
    changes: Changes


class Repaired(NamedTuple):
    """`why`: why what is still open was left so; empty where nothing is. `volumes`: summed over the pieces that were closed.

    `tried`: False for a mesh so large that not even cracks were looked for, which make pieces out of one.
    """

    mesh: Mesh
    changes: Changes
    volumes: Volumes
    why: str
    tried: bool = True


_NONE = Volumes(0.0, 0.0)


class _Allowed(NamedTuple):
    """How much may be added to the whole model."""

    facets: int
    area_mm2: float


_Piece = tuple[Attempt, Volumes]


def repaired(mesh: Mesh, shape: geometry.Shape, found: Edges, pieces_most: int) -> Repaired | None:
    """The mesh, whose edges are `found` and not balanced, with every piece closed that can be; None where it is no solid at all.

    Pieces that are closed stay as they are.
    """
    if len(found.loose_points) > _LOOSE_POINTS_MOST:
        return Repaired(mesh, Changes(), _NONE, "It is too large to be repaired here.", tried=False)
    hopeful = [(weld, edges) for weld, edges in _welds(mesh, shape, found) if edges.boundary <= _OPEN_SHARE_MOST * edges.total]
    allowed = _Allowed(max(_ADDED_ALWAYS, int(_ADDED_MOST * len(mesh.faces))), _INVENTED_AREA_MOST * shape.area_mm2)
    best = None
    for weld, edges in sorted(hopeful, key=lambda each: each[1].unbalanced):
        base = Attempt(weld, Changes(cracks=max(0, found.unbalanced - edges.unbalanced)))
        done = _pieces_closed(base, edges, allowed, pieces_most)
        if not done.why and weld is not mesh:
            whole = Original(mesh).compared(done.mesh)
            done = Repaired(*base, _NONE, whole.why) if isinstance(whole, Changed) else done._replace(volumes=whole)
        if not done.why:
            return done
        best = best or done  # the one with the fewest open edges: cracks hide how much is open, and count as pieces
    return best


def _welds(mesh: Mesh, shape: geometry.Shape, found: Edges) -> list[tuple[Mesh, Edges]]:
    """The mesh as it is, and with its cracks closed at one tolerance or two; with their edges."""
    welds = [(mesh, found)]
    finest = max(max(shape.box_mm) * 1e-6, _FINEST_WELD_MM)
    for tolerance in (finest, 10 * finest):
        before, edges = welds[-1]
        if edges.balanced:
            break
        welded = topology.welded(mesh, found.loose_points, tolerance)
        if len(welded.faces) and len(welded.points) < len(before.points):
            welds.append((welded, topology.edges(welded.faces)))
    return welds


def told(repaired: Repaired, area_mm2: float) -> Iterator[tuple[str, str]]:
    """What was changed, as codes with a sentence each. `area_mm2`: of the repaired mesh."""
    changes = repaired.changes
    lines = [
        (
            changes.cracks,
            "CRACKS",
            f"Gaps thinner than a hundredth of a millimetre were closed; open edges that fit now: {changes.cracks:,}.",
        ),
        (changes.copies, "COPIES", f"Triangles that were in the file more than once were dropped: {changes.copies:,}."),
        (changes.turned, "WINDING", f"Triangles that faced inward were turned round: {changes.turned:,}."),
        (
            changes.walls,
            "WALLS",
            f"Surface that lies within the solid, or on it twice, is not printed and was dropped; triangles: {changes.walls:,}.",
        ),
        (len(changes.rims), "HOLES", _holes_text(changes, area_mm2)),
    ]
    found = [(code, text) for number, code, text in lines if number]
    held, holds = repaired.volumes
    if holds:
        code, text = found.pop()
        measured = f"Measured along lines, what was repaired holds {_number(holds)} mm³; before, as far as it was closed, {_number(held)}."
        found.append((code, f"{text} {measured}"))
    yield from found


def _holes_text(changes: Changes, area_mm2: float) -> str:
    largest = max(changes.rims, default=0)
    return (
        f"Holes were closed: {len(changes.rims):,}, the largest of {largest:,} edges. Triangles added: {changes.added:,}, with"
        f" {_number(changes.added_mm2)} mm², {changes.added_mm2 / area_mm2:.1%} of the surface."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- the pieces of a mesh --------------------------------------------------------------------------------------------
def _pieces_closed(base: Attempt, found: Edges, allowed: _Allowed, pieces_most: int) -> Repaired:
    mesh, changes = base
    _, label = topology.shells(mesh)
    loose = np.zeros(len(mesh.points), np.bool_)
    loose[found.loose_points] = True
    broken = np.unique(label[loose[mesh.faces].any(axis=1)])
    open_facets = np.isin(label, broken)
    if len(broken) > pieces_most or np.count_nonzero(open_facets) > _FACETS_MOST:
        return Repaired(
            *base, _NONE, f"It is too large to be repaired here: {open_facets.sum():,} triangles in {len(broken):,} open pieces."
        )
    parts, left, volumes = [topology.kept(mesh, ~open_facets)], [], [_NONE]
    for number in broken.tolist():
        piece = Original(topology.kept(mesh, label == number))
        closed = _closed(piece, changes, allowed, walls=found.most_facets > 2)
        if isinstance(closed, Changed):
            left.append((piece, closed))
        else:
            parts.append(closed[0].mesh)
            changes = changes.plus(closed[0].changes)
            volumes.append(closed[1])
    rest = _joined(parts)
    stays = [(piece, why) for piece, why in left if not (len(rest.faces) and piece.is_sheet_within(rest))]
    inner = sum(len(piece.mesh.faces) for piece, _ in left) - sum(len(piece.mesh.faces) for piece, _ in stays)
    whole = _joined([rest, *(piece.mesh for piece, _ in stays)])
    return Repaired(whole, changes.plus(Changes(walls=inner)), _summed(volumes), stays[0][1].why if stays else "")


def _summed(volumes: Sequence[Volumes]) -> Volumes:
    return Volumes(*(sum(each) for each in zip(*volumes, strict=True)))


def _joined(meshes: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    faces = [mesh.faces + np.int32(offset) for mesh, offset in zip(meshes, offsets, strict=False)]
    return Mesh(np.concatenate([mesh.points for mesh in meshes]), np.concatenate(faces))


# --- one piece -------------------------------------------------------------------------------------------------------
def _closed(piece: Original, so_far: Changes, allowed: _Allowed, *, walls: bool) -> _Piece | Changed:
    """The first candidate that is the same part, of those that invent least; or why the first is not. `walls`: there may be some."""
    refused: list[Changed] = []
    inventing: list[Attempt] = []
    for start in _starts(piece.mesh):
        candidate = _worked(start, walls=walls)
        if isinstance(candidate, Changed):
            refused.append(candidate)
        elif candidate.changes.added:
            inventing.append(candidate)
        elif isinstance(volumes := _verified(piece, candidate, so_far.plus(candidate.changes), allowed), Volumes):
            return candidate, volumes
        else:
            refused.append(volumes)
    for candidate in sorted(inventing, key=lambda each: each.changes.added_mm2):
        volumes = _verified(piece, candidate, so_far.plus(candidate.changes), allowed)
        if isinstance(volumes, Volumes):
            return candidate, volumes
        refused.append(volumes)
    return refused[0]


def _starts(mesh: Mesh) -> Iterator[Attempt]:
    """As it is; and where facets are there more than once, with one of each, and without those that face each other."""
    yield Attempt(mesh, Changes())
    for keep in sheets.without_copies(mesh.faces):
        yield Attempt(topology.kept(mesh, keep), Changes(copies=int(np.count_nonzero(~keep))))


def _worked(start: Attempt, *, walls: bool) -> Attempt | Changed:
    """Facets wound one way, walls within left out, holes closed: only as many of these steps as it needs."""
    mesh, changes = start
    if _is_balanced(mesh):
        return start
    wound = sheets.one_way_wound(mesh.faces)
    if wound is None:
        return Changed("Its surface has only one side.")
    changes = replace(changes, turned=int(np.count_nonzero(wound[:, 0] != mesh.faces[:, 0])))
    mesh = Mesh(mesh.points, wound)
    if _is_balanced(mesh):
        return Attempt(mesh, changes)
    if walls:
        keep = sheets.without_walls(mesh)
        mesh, changes = topology.kept(mesh, keep), replace(changes, walls=int(np.count_nonzero(~keep)))
    return Attempt(mesh, changes) if _is_balanced(mesh) else _filled(Attempt(mesh, changes))


def _filled(base: Attempt) -> Attempt | Changed:
    mesh, changes = base
    found = holes.patches(mesh)
    if isinstance(found, str):
        return Changed(found)
    added_mm2 = geometry.shape(Mesh(mesh.points, found.faces)).area_mm2
    filled = Mesh(mesh.points, np.concatenate((mesh.faces, found.faces)))
    return Attempt(filled, replace(changes, rims=tuple(found.rims), added=len(found.faces), added_mm2=added_mm2))


def _verified(piece: Original, candidate: Attempt, in_all: Changes, allowed: _Allowed) -> Volumes | Changed:
    shape = geometry.shape(candidate.mesh)
    if encloses_nothing(shape):
        return Changed("A part of it encloses nothing.")
    if in_all.added > allowed.facets or in_all.added_mm2 > allowed.area_mm2:
        share = in_all.added_mm2 / (allowed.area_mm2 / _INVENTED_AREA_MOST)
        return Changed(f"Closing it would invent {in_all.added:,} triangles, {share:.0%} of the surface.")
    if candidate.changes.added_mm2 > _TELLING_AREA * piece.shape.area_mm2 and shape.volume_mm3 < 0:
        return Changed("It is so open that inside and outside cannot be told.")
    return piece.compared(candidate.mesh)


def _is_balanced(mesh: Mesh) -> bool:
    return topology.balanced(mesh.faces)
