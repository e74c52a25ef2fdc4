"""The verdict on a mesh that could be read, cheap checks first. Runs in the child process."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agent.meshes import columns, geometry, repair, topology
from agent.meshes.findings import Finding, Level
from agent.meshes.geometry import Box, Shape
from agent.meshes.stl import Corners
from agent.meshes.topology import Mesh, Rows

_ORDER: tuple[Level, ...] = ("print", "repaired", "hold", "reject")

_TINY_MM = 6.0
_TINY_MM3 = 9.0
_HUGE_MM = 2000.0
_FOIL_MM = 0.05
_ONE_LAYER_MM = 0.15
_THIN_MM = 0.5
_FLAT = 1e-6
"""A box flatter, or a volume smaller, than this part of what it could be is none."""
_FACETS_AT_EDGE_MOST = 32


_NOTHING_LEFT = "Every triangle of the model is only a line or a point."


class Judgement(NamedTuple):
    """`corners`: the canonical triangles, for everything but a reject. The other facts as in MeshReport."""

    findings: list[Finding]
    triangles: int
    box_mm: Box = (0.0, 0.0, 0.0)
    volume_mm3: float = 0.0
    shells: int = 0
    corners: Corners | None = None

    @property
    def verdict(self) -> Level:
        return max((finding.level for finding in self.findings), key=_ORDER.index, default="print")


class _Rejected(Exception):
    """It cannot be printed, and no later check changes that."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.finding = Finding("reject", code, text)


def judge(corners: Corners, shells_most: int) -> Judgement:
    """Everything that is known of the triangles without a printer. They are finite and at least one."""
    mesh = topology.without_degenerate(topology.merged(corners, geometry.to_bed(corners)))
    if not len(mesh.faces):
        return Judgement([Finding("reject", "DEGENERATE", _NOTHING_LEFT)], len(corners))
    work = _Work(mesh)
    try:
        _look_for_thickness(work, corners)
        _close(work, shells_most)
        _turn(work, shells_most)
        work.findings += _size_findings(work.shape, closed=work.closed)
    except _Rejected as rejected:
        work.findings.append(rejected.finding)
    known = Judgement(work.findings, len(corners), work.shape.box_mm, work.volume_mm3, work.shells)
    return known if known.verdict == "reject" else known._replace(corners=geometry.on_bed(work.mesh.points.take(work.mesh.faces, axis=0)))


class _Work:
    """The mesh as it stands after the steps so far, measured once for each state, and what was found."""

    def __init__(self, mesh: Mesh) -> None:
        self.findings: list[Finding] = []
        self.shells = 0
        self.closed = self.pieces_known = True
        self.change(mesh)

    def change(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.shape = geometry.shape(mesh)
        self.volume_mm3 = abs(self.shape.volume_mm3)


def _look_for_thickness(work: _Work, corners: Corners) -> None:
    """Refused where no solid is left once facets that are lines or points are gone; told where the file had any of them."""
    size = max(work.shape.box_mm)
    if work.shape.area_mm2 <= _FLAT * size * size:
        raise _Rejected("DEGENERATE", _NOTHING_LEFT)
    if min(work.shape.box_mm) <= _FLAT * size:
        _refuse_many_at_one_edge(topology.edges(work.mesh.faces))
        raise _Rejected("NO_VOLUME", "The model is flat: it has no thickness.")
    # Moving to the bed rounds away slivers thinner than a float's step there: nothing anybody drew, and nothing to tell.
    if len(work.mesh.faces) < len(corners) and (dropped := _degenerate(corners)):
        text = f"Triangles that were only lines or points were dropped: {dropped:,}."
        work.findings.append(Finding("repaired", "DEGENERATE", text))


def _degenerate(corners: Corners) -> int:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return int(np.count_nonzero((a == b).all(axis=1) | (b == c).all(axis=1) | (c == a).all(axis=1)))


# --- closed? -------------------------------------------------------------------------------------------------------
def _close(work: _Work, shells_most: int) -> None:
    """Balanced meshes are never repaired. What stays open after repair is held, or refused where it is no solid at all."""
    if topology.balanced(work.mesh.faces):
        _keep_one_of_each(work)
        return
    edges = topology.edges(work.mesh.faces)
    _refuse_many_at_one_edge(edges)
    repaired = repair.repaired(work.mesh, work.shape, edges, shells_most)
    if repaired is None:
        raise _Rejected("NOT_REPAIRABLE", "The model is no solid: it is made of loose triangles or open sheets.")
    if repaired.mesh is not work.mesh:
        work.change(repaired.mesh)
        edges = topology.edges(work.mesh.faces) if repaired.why else edges
    work.findings += [Finding("repaired", code, text) for code, text in repair.told(repaired, work.shape.area_mm2)]
    work.closed, work.pieces_known = not repaired.why, repaired.tried
    if repaired.why:
        left = edges.unbalanced
        text = f"The surface is not closed: {left:,} edges do not fit together. {repaired.why} It may print with holes or missing parts."
        work.findings.append(Finding("hold", "NOT_CLOSED", text))


def _refuse_many_at_one_edge(edges: topology.Edges) -> None:
    if edges.most_facets > _FACETS_AT_EDGE_MOST:
        raise _Rejected("NONMANIFOLD", f"{edges.most_facets:,} triangles meet at one edge; no solid has such a surface.")


def _keep_one_of_each(work: _Work) -> None:
    """A balanced mesh in which every facet is there equally often keeps one of each: the same solid, and its true volume."""
    faces = work.mesh.faces
    like_the_first = np.isin(faces, faces[0]).all(axis=1)
    if np.count_nonzero(like_the_first) == 1:
        return
    first, group = topology.facet_groups(faces, oriented=True)
    often = np.bincount(group)
    if often[0] == 1 or (often != often[0]).any():
        return
    one = np.zeros(len(faces), np.bool_)
    one[first] = True
    work.change(topology.kept(work.mesh, one))
    work.findings.append(Finding("repaired", "COPIES", f"Every triangle was in the file {often[0]} times; one of each was kept."))


# --- pieces and the way they face ----------------------------------------------------------------------------------
def _turn(work: _Work, shells_most: int) -> None:
    """Pieces that are inside out are turned; a piece inside another may be: it is a hollow. An open surface has neither side."""
    work.shells, label = topology.shells(work.mesh)
    if work.shells > shells_most and work.pieces_known:
        raise _Rejected("TOO_MANY_SHELLS", f"The model falls into {work.shells:,} separate pieces; up to {shells_most} are taken.")
    if not work.closed:
        return
    volumes = np.bincount(label, work.shape.volumes).astype(np.float64)
    whole = volumes.sum() < 0
    stray = _stray_hollows(work.mesh, label, -volumes if whole else volumes)
    turn = np.isin(label, stray) != whole
    if turn.any():
        work.change(Mesh(work.mesh.points, np.where(turn[:, None], work.mesh.faces[:, ::-1], work.mesh.faces)))
        what = "The model" if turn.all() else "A part of the model"
        work.findings.append(Finding("repaired", "INSIDE_OUT", f"{what} was inside out and was turned."))
    if work.shells > 1:
        _unite(work, label)


def _unite(work: _Work, label: Rows) -> None:
    """Slicers fill once where pieces overlap; the sum of their volumes counts it twice."""
    low, high = geometry.boxes(work.mesh, label)
    apart = (low[:, None] >= high).any(axis=2) | np.eye(work.shells, dtype=np.bool_)
    found = None if (apart | apart.T).all() else columns.along(work.mesh, axis=2)
    if found is not None:
        lines, met = found
        work.volume_mm3 -= float(met.again.sum()) * lines.cell_mm2


def _stray_hollows(mesh: Mesh, label: Rows, volumes: geometry.Numbers) -> Rows:
    """Pieces with a negative volume whose box lies in no other piece's box."""
    negative = np.flatnonzero(volumes < 0)
    if not len(negative):
        return negative
    low, high = geometry.boxes(mesh, label)
    return np.array([n for n in negative.tolist() if not _inside_another(n, low, high)], np.intp)


def _inside_another(piece: int, low: Corners, high: Corners) -> bool:
    around = (low <= low[piece]).all(axis=1) & (high >= high[piece]).all(axis=1)
    around[piece] = False
    return bool(around.any())


# --- size ----------------------------------------------------------------------------------------------------------
def _size_findings(shape: Shape, *, closed: bool) -> Iterator[Finding]:
    """What an open surface encloses is not known, so nothing is said of it."""
    largest, smallest, volume = max(shape.box_mm), min(shape.box_mm), abs(shape.volume_mm3) if closed else math.inf
    if volume <= _FLAT * shape.box_mm3:
        yield Finding("reject", "NO_VOLUME", "The surface of the model encloses nothing.")
    elif largest < _TINY_MM or volume < _TINY_MM3:
        yield Finding("hold", "UNITS", _units_text(shape.box_mm))
    elif smallest < _FOIL_MM:
        yield Finding("reject", "TOO_THIN", f"The model is only {smallest:.3f} mm thick; no printer makes that.")
    elif smallest < _ONE_LAYER_MM:
        yield Finding("hold", "TOO_THIN", f"The model is only {smallest:.2f} mm thick, thinner than most layers. Is that meant?")
    elif smallest < _THIN_MM:
        yield Finding("print", "THIN", f"The model is only {smallest:.2f} mm thick; it will be delicate.")
    elif (wall := 2 * volume / shape.area_mm2) < _THIN_MM:
        yield Finding("print", "THIN", f"The walls of the model are only {wall:.2f} mm thick on average; it will be delicate.")
    if largest > _HUGE_MM:
        yield Finding("reject", "TOO_BIG", f"The model is {largest / 1000:,.1f} m long; no printer here makes that.")


def _units_text(box: Box) -> str:
    """An STL has no unit, and a 3MF's is often not what was drawn. Asked, never scaled: a guess that is wrong is a wrong print."""
    told = " x ".join(f"{side:.3g}" for side in box)
    inches = " x ".join(f"{side * 25.4:.3g}" for side in box)
    text = f"The model is only {told} mm. Files often have no unit, or a wrong one: was it drawn in inches ({inches} mm)"
    if 1000 * max(box) <= _HUGE_MM:
        text += f", or in metres ({' x '.join(f'{side * 1000:.4g}' for side in box)} mm)"
    return text + "? Or is it meant to be that small?"
