"""What one model part of a 3MF file says, built up element by element.

Elements and attributes are those of the 3MF Core Specification 1.4 and its Production Extension 1.2. What other programs need to keep
parts of a project apart from what is only an instruction to a slicer (Cura's metadata) is looked for as well.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.limits import Limits, count_problem
from agent.meshes.reading import UnreadableModel, numbers_in

Matrix = tuple[float, ...]
"""The twelve numbers of a transform, four rows of three: (x, y, z, 1) times this is where a corner goes."""

SPACE = "http://schemas.microsoft.com/3dmanufacturing"
UNDERSTOOD = frozenset(f"{SPACE}/{name}" for name in ("core/2015/02", "production/2015/06", "material/2015/02", "trianglesets/2021/07"))
"""Core, and extensions that change nothing about a shape or only say in which part it is."""

_PATH = f"{SPACE}/production/2015/06 path"
_TYPES = ("model", "solidsupport", "support", "surface", "other")
_PAINT = ("mmu_segmentation", "paint_color")
_INSTRUCTIONS = frozenset(f"cura:{name}" for name in ("infill_mesh", "cutting_mesh", "support_mesh", "anti_overhang_mesh"))
_MOST_PLACED = 20_000
"""Objects, and times they are placed."""
_BATCH = 100_000
_ONE_WORD_A_LINE = re.compile(r"(?: *[^ \n]+ *\n)*")
_ID = re.compile(r"\s*[0-9]{1,10}\s*")


class Placed(NamedTuple):
    """An object put somewhere. `path`: the part it is defined in, "" for this one. `matrix` None: it stays where it is."""

    object_id: int
    path: str
    matrix: Matrix | None


@dataclass
class Object:
    """A mesh, or other objects put together. `why_not`: why its mesh is not the shape that is meant; "" where it is.

    `vertices`: (v, 3) in the unit of the part. `triangles`: (n, 3), rows of `vertices`.
    """

    object_id: int
    kind: str
    pid: str = ""
    vertices: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    triangles: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 3), np.int32))
    components: list[Placed] = field(default_factory=list)
    why_not: str = ""


@dataclass
class Part:
    """`skipped`: items of its build that are marked as not to be printed. `colors`: some of the different ones in use, two at most.
    `instructs`: some of its objects are instructions to a slicer."""

    unit: str = "millimeter"
    recommended: list[str] = field(default_factory=list)
    objects: dict[int, Object] = field(default_factory=dict)
    items: list[Placed] = field(default_factory=list)
    skipped: int = 0
    colors: set[tuple[str, str]] = field(default_factory=set)
    instructs: bool = False


def bad(what: str) -> UnreadableModel:
    return UnreadableModel("BAD_3MF", f"The 3MF file does not keep its format: {what}.")


class Row:
    """The numbers of one <vertices> (`of` float) or <triangles> (`of` int), three to an element."""

    def __init__(self, of: type[float] | type[int]) -> None:
        self._of = of
        self._words: list[str] = []
        self._parts: list[npt.NDArray[Any]] = [np.empty(0, np.float64 if of is float else np.int64)]

    def add(self, words: tuple[str, str, str]) -> None:
        self._words += words
        if len(self._words) >= _BATCH:
            self._flush()

    def add_plain(self, numbers: npt.NDArray[Any]) -> None:
        self._flush()
        self._parts.append(numbers)

    def _flush(self) -> None:
        text = "\n".join([*self._words, ""])
        numbers = numbers_in(text.encode(), self._of) if _ONE_WORD_A_LINE.fullmatch(text) else None
        if numbers is None or len(numbers) != len(self._words):
            raise bad("a coordinate, or the number of a corner, is not a number")
        self._parts.append(numbers)
        self._words = []

    def array(self) -> npt.NDArray[Any]:
        self._flush()
        numbers = np.concatenate(self._parts)
        if not np.isfinite(numbers).all():
            raise UnreadableModel("NONFINITE", "A corner of the model has no position (not a number, or infinite).")
        return numbers.reshape(-1, 3)


class PartBuilder:
    """`begin` and `end` are told of every element of the core, in its place; rows of plain elements come by `add_plain` instead."""

    def __init__(self, limits: Limits) -> None:
        self.part = Part()
        self._limits = limits
        self._begins = {
            "metadata": self._metadata,
            "object": self._begin_object,
            "vertices": self._begin_vertices,
            "vertex": self._vertex,
            "triangles": self._begin_triangles,
            "triangle": self._triangle,
            "component": self._component,
            "item": self._item,
        }
        self._placed_count = 0
        self._vertices_left = limits.max_facets
        self._triangles_left = limits.max_facets
        self._object = Object(0, "")
        self._rows: set[str] = set()
        self._row = Row(float)

    def begin(self, element: str, values: dict[str, str]) -> None:
        begins = self._begins.get(element)
        if begins is not None:
            try:
                begins(values)
            except KeyError as error:
                raise bad(f"<{element}> has no {error.args[0]}") from error

    def add_plain(self, numbers: npt.NDArray[Any], *, of: type[float] | type[int]) -> None:
        self._row.add_plain(numbers)
        self._took(len(numbers) // 3, of=of)

    def end(self, element: str) -> None:
        match element:
            case "vertices":
                self._object.vertices = self._row.array()
            case "triangles":
                self._end_triangles()
            case "object":
                self._end_object()

    def doubt(self, why_not: str) -> None:
        """The object that is being read is not the shape that is meant."""
        self._object.why_not = why_not

    # --- objects -------------------------------------------------------------------------------------------------------
    def _metadata(self, values: dict[str, str]) -> None:
        if values["name"] in _INSTRUCTIONS:
            self.part.instructs = True

    def _begin_object(self, values: dict[str, str]) -> None:
        self._count_placed()
        self._object = Object(_id(values["id"]), values.get("type", "model").strip(), values.get("pid", ""))
        self._rows = set()
        if self._object.kind not in _TYPES:
            raise bad("an object is of no known type")
        if self._object.object_id in self.part.objects:
            raise bad("two objects have the same id")
        if any(key.endswith(" slicestackid") or (key.endswith("resolution") and value != "fullres") for key, value in values.items()):
            self.doubt("its shape is given in layers, or only as a coarse stand-in")
        if "pindex" in values:
            self._color(self._object.pid, values["pindex"])

    def _end_object(self) -> None:
        if self._object.components and self._rows:
            raise bad("an object has both a mesh and components")
        self.part.objects[self._object.object_id] = self._object

    def _end_triangles(self) -> None:
        rows, corners = self._row.array(), len(self._object.vertices)
        if len(rows) and (rows.min() < 0 or rows.max() >= corners):
            raise bad(f"a triangle has a corner that is not there; there are {corners:,}")
        self._object.triangles = rows.astype(np.int32)

    def _begin_vertices(self, _: dict[str, str]) -> None:
        self._begin_row("vertices", float)

    def _vertex(self, values: dict[str, str]) -> None:
        self._row.add((values["x"], values["y"], values["z"]))
        self._took(1, of=float)

    def _begin_triangles(self, _: dict[str, str]) -> None:
        self._begin_row("triangles", int)

    def _begin_row(self, element: str, of: type[float] | type[int]) -> None:
        if element in self._rows:
            raise bad(f"an object has <{element}> twice")
        self._rows.add(element)
        self._row = Row(of)

    def _triangle(self, values: dict[str, str]) -> None:
        self._row.add((values["v1"], values["v2"], values["v3"]))
        self._took(1, of=int)
        if len(values) > 3 and len(self.part.colors) < 2:
            self._colors_of(values)

    def _colors_of(self, triangle: dict[str, str]) -> None:
        for corner in ("p1", "p2", "p3"):
            if corner in triangle:
                self._color(triangle.get("pid", self._object.pid), triangle[corner])
        for key, value in triangle.items():
            if key.endswith(_PAINT) and value:
                self._color("paint", value)
                self._color("", "")

    def _color(self, group: str, place: str) -> None:
        if len(self.part.colors) < 2:
            self.part.colors.add((group, place))

    def _took(self, count: int, *, of: type[float] | type[int]) -> None:
        if of is int:
            self._triangles_left -= count
            if self._triangles_left < 0:
                raise UnreadableModel(*count_problem(self._limits.max_facets - self._triangles_left, self._limits))
        else:
            self._vertices_left -= count
            if self._vertices_left < 0:
                raise UnreadableModel("TOO_COMPLEX", f"The model has more than {self._limits.max_facets:,} corners.")

    # --- where they stand ----------------------------------------------------------------------------------------------
    def _component(self, values: dict[str, str]) -> None:
        self._object.components.append(self._placed(values))

    def _item(self, values: dict[str, str]) -> None:
        if values.get("printable", "1").strip() in ("0", "false"):  # of PrusaSlicer, and of those that came from it
            self.part.skipped += 1
        else:
            self.part.items.append(self._placed(values))

    def _placed(self, values: dict[str, str]) -> Placed:
        self._count_placed()
        return Placed(_id(values["objectid"]), values.get(_PATH, ""), _matrix(values.get("transform")))

    def _count_placed(self) -> None:
        self._placed_count += 1
        if self._placed_count > _MOST_PLACED:
            raise UnreadableModel("TOO_COMPLEX", f"The file holds more than {_MOST_PLACED:,} objects and components.")


def _id(text: str) -> int:
    if not _ID.fullmatch(text):
        raise bad("an object's id is not a number")
    return int(text)


def _matrix(text: str | None) -> Matrix | None:
    if text is None:
        return None
    numbers = numbers_in(text.encode(), float)
    if numbers is None or len(numbers) != 12 or not np.isfinite(numbers).all():
        raise bad("a transform is not twelve numbers")
    return tuple(numbers.tolist())
