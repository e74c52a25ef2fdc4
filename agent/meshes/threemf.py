"""The strict reader of 3MF files nobody trusts: what they say is to be built, in mm, as triangles.

After the 3MF Core Specification 1.4 (units, transforms, types of objects, what counts is the build) and the Production Extension 1.2
(objects in other parts of the file). Whatever an extension would have done to the shape is refused or held, never left out silently.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.findings import Finding
from agent.meshes.limits import Limits, count_problem
from agent.meshes.model_part import Matrix, Object, Part, Placed, bad
from agent.meshes.model_xml import attributes_of, read_part
from agent.meshes.package import Package
from agent.meshes.reading import Model, UnreadableModel, position_problem

_RELATIONS = "_rels/.rels"
_RELATION = "http://schemas.openxmlformats.org/package/2006/relationships Relationship"
_START = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_USUAL_START = "3D/3dmodel.model"
_MM = {"micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "inch": 25.4, "foot": 304.8, "meter": 1000.0}
_AS_IT_IS: Matrix = (1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
_FLAT = 1e-12
_DEEPEST = 32
_MOST_STEPS = 20_000
_SAME_HEIGHT_MM = 0.05

_PROJECTS = ("Metadata/Slic3r_PE_model.config", "Metadata/model_settings.config")
"""What PrusaSlicer, and Bambu Studio and OrcaSlicer, keep beside the meshes."""
_PROJECT_MOST = 8 * 2**20
_INSTRUCTION = re.compile(
    rb"""subtype=["'](?:negative_part|modifier_part|support_enforcer|support_blocker)["']"""
    rb"""|value=["'](?:NegativeVolume|ParameterModifier|SupportEnforcer|SupportBlocker)["']"""
    rb"""|key=["']modifier["']\s+value=["']1["']"""
)
_PLATE = re.compile(rb"<plate>")


class _Copy(NamedTuple):
    """A mesh where it is to be built. `item`: the number of the item it belongs to."""

    item: int
    mesh: Object
    matrix: npt.NDArray[np.float64]


def is_3mf(package: Package) -> bool:
    """By the names in it alone."""
    return "[Content_Types].xml" in package and any(name.endswith(".model") for name in package.names)


def read_3mf(path: Path, limits: Limits) -> Model:
    """Raises UnreadableModel, OSError, MemoryError."""
    with Package.opened(path, limits) as package:
        if not is_3mf(package):
            raise UnreadableModel("NOT_3MF", "This is a ZIP archive, but there is no 3MF model in it. Unpack it, and upload the model.")
        reader = _Reader(package, limits)
        return Model(reader.corners(), reader.findings)


class _Reader:
    def __init__(self, package: Package, limits: Limits) -> None:
        self._package = package
        self._limits = limits
        self._parts: dict[str, Part] = {}
        self._start = self._start_part()
        self._left_out: set[str] = set()
        self.findings: list[Finding] = []

    def corners(self) -> npt.NDArray[np.float32]:
        """Every triangle that is to be built, in mm; `findings` are complete then."""
        part = self._part(self._start)
        copies = list(self._copies(part))
        total = sum(len(copy.mesh.triangles) for copy in copies)
        if not total:
            raise UnreadableModel("NO_FACETS", self._why_empty())
        placed = np.empty((total, 3, 3), np.float32)
        lowest: dict[int, float] = {}
        at = 0
        for copy in copies:
            rows = placed[at : at + len(copy.mesh.triangles)]
            _place(copy, _MM[part.unit], rows)
            lowest[copy.item] = min(lowest.get(copy.item, np.inf), float(rows[:, :, 2].min()))
            at += len(rows)
        self.findings = list(self._told(part, lowest))
        return placed

    # --- parts ---------------------------------------------------------------------------------------------------------
    def _start_part(self) -> str:
        """Where the model begins. Some programs leave the relations out, and all call it the same."""
        if _RELATIONS not in self._package:
            return _USUAL_START
        relations = attributes_of(self._package.chunks(_RELATIONS), _RELATION)
        starts = [relation.get("Target", "") for relation in relations if relation.get("Type") == _START]
        if len(starts) != 1:
            raise bad(f"it names {len(starts)} models to begin with")
        return starts[0]

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            if name not in self._package:
                raise bad("a part of the model is not in it")
            self._parts[name] = part = read_part(self._package.chunks(name), self._limits)
            if part.unit not in _MM:
                raise bad("its unit is none of 3MF's")
            if part.unit != self._parts[self._start].unit:
                raise bad("its parts have different units")
        return self._parts[name]

    # --- what is to be built -------------------------------------------------------------------------------------------
    def _copies(self, start: Part) -> Iterator[_Copy]:
        """Every mesh of every item, as often as it is placed; what is no part of a solid is noted and left out."""
        left = self._limits.max_facets
        for copy in self._placements(start):
            if copy.mesh.why_not:
                raise UnreadableModel("UNSUPPORTED_3MF", f"The model is not only a mesh: {copy.mesh.why_not}.")
            kind = copy.mesh.kind if len(copy.mesh.triangles) else "other"
            if kind != "model":
                self._left_out.add(kind)
                continue
            left -= len(copy.mesh.triangles)
            if left < 0:
                raise UnreadableModel(*count_problem(self._limits.max_facets - left, self._limits))
            yield copy

    def _placements(self, start: Part) -> Iterator[_Copy]:
        """Depth first, in the order of the file, within bounds that a ring of components runs into as well."""
        steps = 0
        for number, item in enumerate(start.items):
            stack = [(item, self._start, np.eye(4), 0)]
            while stack:
                placed, here, around, depth = stack.pop()
                steps += 1
                if depth > _DEEPEST or steps > _MOST_STEPS:
                    raise UnreadableModel("TOO_COMPLEX", "The objects of the file are put together in a ring, or of too many components.")
                where = self._where(placed, here)
                made = self._part(where).objects.get(placed.object_id)
                if made is None:
                    raise bad("an object that is to be built is not in it")
                matrix = _square(placed.matrix) @ around
                if made.components:
                    stack += [(component, where, matrix, depth + 1) for component in reversed(made.components)]
                else:
                    yield _Copy(number, made, matrix)

    def _where(self, placed: Placed, here: str) -> str:
        if placed.path and here != self._start:
            raise bad("a part of the model that is not its first names a further one")
        return placed.path or here

    # --- what is told --------------------------------------------------------------------------------------------------
    def _why_empty(self) -> str:
        if any(name.endswith(".gcode") for name in self._package.names):
            return "The file holds G-code for one certain printer, but no model."
        return "The file holds no solid that is to be built."

    def _told(self, part: Part, lowest: dict[int, float]) -> Iterator[Finding]:
        if part.unit != "millimeter":
            text = f"The file is drawn in the unit {part.unit}; it was converted (1 {part.unit} is {_MM[part.unit]:g} mm)."
            yield Finding("print", "UNIT_CONVERTED", text)
        if len(lowest) > 1:
            yield Finding("print", "SEVERAL_PARTS", f"The file places {len(lowest)} parts; they are printed as they stand in it.")
        if max(lowest.values()) - min(lowest.values()) > _SAME_HEIGHT_MM:
            yield Finding(
                "hold", "FLOATING", "The parts in the file stand at different heights, so some would hang in the air. Is that meant?"
            )
        if any(len(each.colors) > 1 for each in self._parts.values()):
            yield Finding("print", "COLORS", "The file has several colours or materials; the part is printed in the one that was ordered.")
        yield from self._told_of_what_is_left_out(part)
        yield from self._told_of_project()

    def _told_of_what_is_left_out(self, part: Part) -> Iterator[Finding]:
        if part.skipped:
            yield Finding("print", "SKIPPED", f"Parts that are marked in the file as not to be printed were left out: {part.skipped}.")
        if {"support", "solidsupport"} & self._left_out:
            yield Finding("print", "SUPPORTS", "The supports drawn in the file were left out; the slicer makes its own.")
        if {"surface", "other"} & self._left_out:
            yield Finding("hold", "NO_SOLIDS", "Objects in the file that are no solid were left out. Is the rest what is meant?")
        if part.recommended:
            text = f"The file recommends extensions of 3MF that cannot be read: {', '.join(part.recommended)}. Is it right without?"
            yield Finding("hold", "EXTENSIONS", text)

    def _told_of_project(self) -> Iterator[Finding]:
        """Slicers' projects hold instructions as meshes, which anybody else takes for parts; and plates that lie side by side."""
        text = b"".join(self._project(name) for name in _PROJECTS if name in self._package)
        if _INSTRUCTION.search(text) or any(part.instructs for part in self._parts.values()):
            what = "modifiers, cut-outs or support blockers, which would be printed as if they were parts"
            yield Finding("hold", "INSTRUCTIONS", f"The file is a slicer's project with {what}. Ask for the plain model.")
        plates = len(_PLATE.findall(text))
        if plates > 1:
            yield Finding("hold", "PLATES", f"The file is a slicer's project of {plates} plates, side by side. Ask for the plain models.")

    def _project(self, name: str) -> bytes:
        text = b""
        for chunk in self._package.chunks(name):
            text += chunk
            if len(text) > _PROJECT_MOST:
                raise UnreadableModel("TOO_COMPLEX", "The slicer's project in the file is too large; ask for the plain model.")
        return text


# --- geometry ----------------------------------------------------------------------------------------------------------
def _square(matrix: Matrix | None) -> npt.NDArray[np.float64]:
    square = np.eye(4)
    square[:, :3] = np.reshape(matrix or _AS_IT_IS, (4, 3))
    return square


def _place(copy: _Copy, mm: float, into: npt.NDArray[np.float32]) -> None:
    """A mirrored copy is turned round: "the resultant shape must not change the sign of its volume" (Core 3.3)."""
    turn, move = copy.matrix[:3, :3], copy.matrix[3, :3]
    size = np.abs(turn).max()
    volume = np.linalg.det(turn / size) if size > 0 else 0.0
    if not abs(volume) > _FLAT:
        raise bad("a transform presses an object flat")
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
        points = (copy.mesh.vertices @ turn + move) * mm
    used = np.zeros(len(points), np.bool_)
    used[copy.mesh.triangles] = True
    problem = position_problem(points[used])
    if problem is not None:
        raise UnreadableModel(*problem)
    triangles = copy.mesh.triangles[:, ::-1] if volume < 0 else copy.mesh.triangles
    with np.errstate(over="ignore"):  # of corners no triangle has
        np.take(points.astype(np.float32), triangles, axis=0, out=into, mode="clip")  # in range; "raise" would copy it all
