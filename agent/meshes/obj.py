"""The strict reader of OBJ files nobody trusts: points (`v`) and polygons (`f`), as triangles.

The format is that of Wavefront's Advanced Visualizer, appendix B1.

Everything that is no shape is passed over: normals, textures, groups, materials. The files that `mtllib` and `usemap` name are never
opened. Shapes of other kinds (curves, surfaces) are refused, and so is a line that no OBJ file has.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.meshes import polygons
from agent.meshes.findings import Finding
from agent.meshes.limits import MB, Limits, count_problem
from agent.meshes.reading import Model, UnreadableModel, numbers_in, position_problem

_CHUNK = MB
_LONGEST_LINE = MB
_CONTROL = bytes(set(range(32)) - set(b"\n"))
_NO_SHAPE = frozenset(b"g o s mg vt vn vp usemtl mtllib usemap maplib l p lod bevel c_interp d_interp shadow_obj trace_obj".split())
_OTHER_SHAPES = frozenset(b"curv curv2 surf cstype deg bmat step parm trim hole scrv sp end con ctech stech bsp bzp cdc cdp res".split())
_COMMANDS = frozenset(b"call csh".split())
_RUNS = re.compile(
    rb"(?P<points>(?:v [^\n]*\n)+)|(?P<polygons>(?:f [^\n]*\n)+)|(?P<passed_over>(?:(?:vn |vt |#)[^\n]*\n|\n)+)|(?P<rare>[^\n]+\n)"
)
_TEXTURE_AND_NORMAL = re.compile(rb"/[^ \n]*")
_INDENT = re.compile(rb"\n[ \n]+")
_COMMENT = re.compile(rb" #[^\n]*")
_FIRST_LINE = re.compile(rb"(?:#[^\n]*\n|\n)*(?P<word>[^\n ]+) ")


def is_obj(head: bytes) -> bool:
    """Whether a file that begins like this means to be OBJ: a text with a line of points in it, whose first line is one of OBJ's."""
    text = _without_trimmings(_normalized(head))
    first = _FIRST_LINE.match(text)
    known = first is not None and first["word"] in _NO_SHAPE | {b"v"}
    return known and b"\nv " in b"\n" + text and not _has_control(text)


def read_obj(path: Path, limits: Limits) -> Model:
    """Raises UnreadableModel, OSError, MemoryError."""
    size = path.stat().st_size
    if size > limits.max_ascii_bytes:
        most = f"up to {limits.max_ascii_bytes // MB} MB are taken. Binary STL is smaller."
        raise UnreadableModel("TOO_LARGE", f"The file is text of {size / MB:,.0f} MB; {most}")
    lines = _Lines(limits)
    for text in _chunks(_normalized(path.read_bytes())):
        lines.add(text)
    return lines.model()


def _bad(what: str) -> UnreadableModel:
    return UnreadableModel("BAD_OBJ", f"The text in the file does not keep the OBJ format: {what}.")


def _normalized(data: bytes) -> bytes:
    """One kind of line end and of blank, no byte order mark, lines that go on (\\) in one."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\t", b" ")
    return text.replace(b"\\\n", b" ") if b"\\\n" in text else text


def _chunks(text: bytes) -> Iterator[bytes]:
    """Whole lines, a megabyte at a time: words are objects, and cost ten times their text."""
    at = 0
    while at < len(text):
        end = text.find(b"\n", at + _CHUNK)
        end = len(text) if end < 0 else end
        if end - at > _CHUNK + _LONGEST_LINE:
            raise _bad("a line is too long")
        yield text[at:end] + b"\n"
        at = end + 1


class _Lines:
    """What the lines so far have said."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._points = [np.empty((0, 3))]
        self._point_count = 0
        self._corners = [np.empty(0, np.int64)]
        self._counts = [np.empty(0, np.int64)]
        self._facets = 0
        self._materials: set[bytes] = set()
        self._colored = False

    def add(self, text: bytes) -> None:
        """Whole lines, each with its end."""
        if _has_control(text):
            raise UnreadableModel("NOT_OBJ", "This is not an OBJ file: there is something else than text in it.")
        points, polygons_here, before, lengths = [], [], [], []
        count = self._point_count
        for run in _RUNS.finditer(_without_trimmings(text)):
            match run.lastgroup:
                case "points":
                    points.append(run[0])
                    count += run[0].count(b"\n")
                case "polygons":
                    polygons_here.append(run[0])
                    before.append(count)
                    lengths.append(run[0].count(b"\n"))
                case "rare":
                    self._look_at(run[0], begun=count > 0)
        self._add_points(b"".join(points))
        self._add_polygons(b"".join(polygons_here), np.repeat(np.array(before, np.int64), lengths))

    def _look_at(self, line: bytes, *, begun: bool) -> None:
        """Neither a point nor a polygon, nor about them."""
        word = line.split()[0]
        if word in _OTHER_SHAPES:
            raise _bad("it holds curved surfaces; export it as triangles")
        if word in _COMMANDS:
            raise _bad("it asks for other files to be read, or programs to be run")
        if word not in _NO_SHAPE:
            if not begun:
                raise UnreadableModel("NOT_OBJ", "This is a text file, but not an OBJ file.")
            raise _bad(f"a line begins with “{word[:20].decode(errors='replace')}”")
        if word == b"usemtl" and len(self._materials) < 2:
            self._materials.add(line)

    def _add_points(self, lines: bytes) -> None:
        """Three coordinates a line; a weight or a colour may follow."""
        numbers = numbers_in((b"\n" + lines).replace(b"\nv ", b" nan "), float)
        if numbers is None:
            raise _bad("a coordinate is not a number")
        starts = np.flatnonzero(np.isnan(numbers))
        widths = np.diff(starts, append=len(numbers)) - 1
        if len(starts) != lines.count(b"\n"):
            raise _no_position()
        if not np.isin(widths, (3, 4, 6, 7)).all():
            raise _bad("a point has not three coordinates")
        self._colored = self._colored or bool((widths > 4).any())
        self._point_count += len(starts)
        if self._point_count > self._limits.max_facets:
            raise UnreadableModel("TOO_COMPLEX", f"The model has more than {self._limits.max_facets:,} corners.")
        self._points.append(numbers[starts[:, None] + (1, 2, 3)])
        if not np.isfinite(self._points[-1]).all():
            raise _no_position()

    def _add_polygons(self, lines: bytes, before: npt.NDArray[np.int64]) -> None:
        """A corner is the number of a point, from 1, or from the last one before the line: -1. `before`: how many there are, by line."""
        numbers = numbers_in((b"\n" + _TEXTURE_AND_NORMAL.sub(b"", lines)).replace(b"\nf ", b" 0 "), int)
        if numbers is None:
            raise _bad("a polygon names a corner that is not a number")
        starts = np.flatnonzero(numbers == 0)
        counts = np.diff(starts, append=len(numbers)) - 1
        if len(starts) != len(before):
            raise _bad("a polygon names corner 0; the first is 1")
        if (counts < 3).any():
            raise _bad("a polygon has fewer than three corners; the file may have been cut off")
        self._facets += int(counts.sum()) - 2 * len(counts)
        if self._facets > self._limits.max_facets:
            raise UnreadableModel(*count_problem(self._facets, self._limits))
        corners = numbers[numbers != 0]
        corners = np.where(corners < 0, np.repeat(before, counts) + 1 + corners, corners)
        if (corners < 1).any():
            raise _bad("a polygon has a corner that is not there")
        self._corners.append(corners)
        self._counts.append(counts)

    def model(self) -> Model:
        points, corners, counts = np.concatenate(self._points), np.concatenate(self._corners), np.concatenate(self._counts)
        if not len(corners):
            raise UnreadableModel("NO_FACETS", "The file holds no triangles.")
        if corners.max() > len(points):
            raise _bad(f"a polygon has a corner that is not there; there are {len(points):,}")
        corners -= 1
        used = np.zeros(len(points), np.bool_)
        used[corners] = True
        points[~used] = 0  # they may be too far out for float32, and nobody asks for them
        problem = position_problem(points)
        if problem is not None:
            raise UnreadableModel(*problem)
        return Model(points.astype(np.float32)[polygons.triangulated(points, corners, counts)], self._findings())

    def _findings(self) -> list[Finding]:
        if len(self._materials) < 2 and not self._colored:
            return []
        return [Finding("print", "COLORS", "The file has several colours or materials; the part is printed in the one that was ordered.")]


def _without_trimmings(text: bytes) -> bytes:
    """No blanks before a line, no comment after it."""
    text = _INDENT.sub(b"\n", b"\n" + text)[1:] if text.startswith(b" ") or b"\n " in text else text
    return _COMMENT.sub(b"", text) if b" #" in text else text


def _has_control(text: bytes) -> bool:
    return len(text.translate(None, _CONTROL)) != len(text)


def _no_position() -> UnreadableModel:
    return UnreadableModel("NONFINITE", "A corner of the model has no position (not a number, or infinite).")
