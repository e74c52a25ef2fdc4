"""OBJ files: points and polygons, and nothing else that a file may hold or ask for."""

import io
import math
from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import polygons
from agent.meshes.limits import Limits
from agent.sandbox import models
from tests.meshes.reads import Read, box, found, may_refuse, refusal, volume

CUBE = models.cube(20)
EXPECTED = np.array(CUBE, np.float32)
CORNERS = list(dict.fromkeys(corner for facet in CUBE for corner in facet))
POINTS = [f"v {x} {y} {z}" for x, y, z in CORNERS]
FACETS = [[CORNERS.index(corner) + 1 for corner in facet] for facet in CUBE]
FACES = [f"f {a} {b} {c}" for a, b, c in FACETS]


def text(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def faces(corner: str) -> list[str]:
    """Each corner written like this."""
    return [f"f {' '.join(corner.format(number) for number in facet)}" for facet in FACETS]


def counted_from_the_end() -> list[str]:
    """Every triangle after three points of its own."""
    return [line for facet in CUBE for line in (*(f"v {x} {y} {z}" for x, y, z in facet), "f -3 -2 -1")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(text(*POINTS, *FACES), id="plain"),
        pytest.param(text(*POINTS, *FACES, end="\r\n"), id="CRLF"),
        pytest.param(text(*POINTS, *FACES, end="\r"), id="CR only"),
        pytest.param(text(*POINTS, *FACES).rstrip(), id="no last line end"),
        pytest.param(b"\xef\xbb\xbf" + text("# W\u00fcrfel", *POINTS, *FACES), id="byte order mark, comment"),
        pytest.param(text("mtllib x.mtl", "o a", *POINTS, "vt 0 0", "vn 0 0 1", "usemtl m", *faces("{}/1/1")), id="as Blender does"),
        pytest.param(text(*POINTS, *faces("{}/1")), id="with textures"),
        pytest.param(text(*POINTS, *faces("{}//1")), id="with normals"),
        pytest.param(text(*POINTS, *faces("{}//1")[:4], *faces("{}/2/3")[4:8], *FACES[8:]), id="each way in one file"),
        pytest.param(text(*FACES, *POINTS), id="points after the polygons"),
        pytest.param(text(*counted_from_the_end()), id="counted from the end"),
        pytest.param(text(*(f" \t{line.replace(' ', '  ')} \t" for line in POINTS + FACES)), id="tabs and blanks"),
        pytest.param(text(*POINTS, *FACES).replace(b" ", b" \\\n"), id="lines that go on"),
        pytest.param(text("", *POINTS, "", *(f"{line} # a comment" for line in FACES), ""), id="comments after lines"),
        pytest.param(text(*(f"{line} 1.0" for line in POINTS), *FACES), id="weights"),
        pytest.param(text(*(line.replace("20", "2.00e+1") for line in POINTS), *FACES), id="exponents"),
        pytest.param(text(*POINTS, "l 1 2", "p 1", "vp 0.5", *FACES), id="lines and lone points"),
    ],
)
def test_every_way_to_write_a_cube_is_read_the_same(read: Read, content: bytes) -> None:
    got = read(content, "part.obj")
    assert np.array_equal(got.corners, EXPECTED) and got.findings == []


@pytest.mark.parametrize(
    "content",
    [
        text(*POINTS, "usemtl red", *FACES[:6], "usemtl blue", *FACES[6:]),
        text(*(f"{line} 1 0 0" for line in POINTS), *FACES),
        text(*(f"{line} 1 1 0 0" for line in POINTS), *FACES),
    ],
    ids=["two materials", "coloured points", "coloured points with weights"],
)
def test_several_colours_are_told(read: Read, content: bytes) -> None:
    got = read(content, "part.obj")
    assert np.array_equal(got.corners, EXPECTED) and found(got) == [("print", "COLORS")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "EMPTY", id="nothing"),
        pytest.param(b"To whom it may concern\nv 1 2 3\n", "NOT_OBJ", id="a letter"),
        pytest.param(text(*POINTS, *FACES).decode().encode("utf-16"), "NOT_OBJ", id="UTF-16"),
        pytest.param(b"v 1 2 3\n\0\0\0\n", "NOT_OBJ", id="zeros"),
        pytest.param(text(*POINTS), "NO_FACETS", id="points only"),
        pytest.param(text(*POINTS, "l 1 2 3"), "NO_FACETS", id="a line"),
        pytest.param(b"# nothing\n", "NO_FACETS", id="a comment"),
        pytest.param(text(*POINTS, *FACES, "f 1 2 9"), "BAD_OBJ", id="a corner too many"),
        pytest.param(text(*POINTS, *FACES, "f 0 1 2"), "BAD_OBJ", id="corner 0"),
        pytest.param(text(*POINTS, *FACES, "f 1 2 3 0 4 5 6"), "BAD_OBJ", id="corner 0 among others"),
        pytest.param(text(*POINTS, *FACES, "f 1 2 -9"), "BAD_OBJ", id="a corner before the first"),
        pytest.param(text("v 0 0 0", "v 1 0 0", "f -1 -2 -3", "v 0 1 0"), "BAD_OBJ", id="counted beyond those before it"),
        pytest.param(text(*POINTS, *FACES, "f 1 2 99999999999999999999"), "BAD_OBJ", id="a corner without end"),
        pytest.param(text(*POINTS, *FACES, "f 1 2"), "BAD_OBJ", id="two corners"),
        pytest.param(text(*POINTS, *FACES, "f"), "BAD_OBJ", id="no corner"),
        pytest.param(text(*POINTS, *FACES, "f 1 2 3.5"), "BAD_OBJ", id="half a corner"),
        pytest.param(text(*POINTS, *FACES, "f 1 /2 3"), "BAD_OBJ", id="a corner without a point"),
        pytest.param(text(*POINTS, *FACES, "f 1 2_0 3"), "BAD_OBJ", id="a number only Python takes"),
        pytest.param(text(*POINTS, *FACES, "v 1 2"), "BAD_OBJ", id="two coordinates"),
        pytest.param(text(*POINTS, *FACES, "v 1 2", "v 1 2 3 4"), "BAD_OBJ", id="two and four coordinates"),
        pytest.param(text(*POINTS, *FACES, "v 1 2 3 4 5"), "BAD_OBJ", id="five coordinates"),
        pytest.param(text(*POINTS, *FACES, "v 1,0 2,0 3,0"), "BAD_OBJ", id="decimal comma"),
        pytest.param(text(*POINTS, *FACES, "v one 2 3"), "BAD_OBJ", id="a word"),
        pytest.param(text(*POINTS, *FACES, "v nan 0 0"), "NONFINITE", id="NaN"),
        pytest.param(text(*POINTS, *FACES, "v 0 -inf 0"), "NONFINITE", id="infinite"),
        pytest.param(text(*POINTS, *FACES, "v 0 1e999 0"), "NONFINITE", id="too large for a number"),
        pytest.param(text(*POINTS, "v 1e7 0 0", *FACES, "f 1 2 9"), "RANGE", id="ten kilometres away"),
        pytest.param(text(*POINTS, *FACES, "curv 0 1 1 2 3"), "BAD_OBJ", id="a curve"),
        pytest.param(text(*POINTS, *FACES, "call other.obj"), "BAD_OBJ", id="another file"),
        pytest.param(text(*POINTS, *FACES, "csh rm -r x"), "BAD_OBJ", id="a program to run"),
        pytest.param(text(*POINTS, *FACES, "facet normal 0 0 0"), "BAD_OBJ", id="a line of something else"),
        pytest.param(text(*POINTS, f"f {'1 2 3 ' * 400_000}"), "BAD_OBJ", id="a line without end"),
    ],
)
def test_what_does_not_keep_the_format_is_refused(read: Read, content: bytes, code: str) -> None:
    assert refusal(read, content, "part.obj")[0] == code


def test_limits_hold_before_anything_large_is_made(read: Read) -> None:
    few = Limits(max_facets=11)
    assert refusal(read, text(*POINTS, *FACES), "part.obj", few)[0] == "TOO_MANY_FACETS"
    assert refusal(read, text(*POINTS, *FACES[:6], "f 1 2 3 4 5 6 7 8"), "part.obj", few)[0] == "TOO_MANY_FACETS"
    assert refusal(read, text(*POINTS * 2, *FACES[:3]), "part.obj", few)[0] == "TOO_COMPLEX"
    assert refusal(read, text(*POINTS, *FACES), "part.obj", Limits(max_ascii_bytes=100))[0] == "TOO_LARGE"


def test_points_nobody_uses_may_lie_anywhere(read: Read) -> None:
    assert np.array_equal(read(text(*POINTS, "v 1e300 0 0", *FACES), "part.obj").corners, EXPECTED)


# --- polygons ----------------------------------------------------------------------------------------------------------
def prism(outline: Sequence[tuple[float, float]], height: float = 5) -> bytes:
    """Two polygons and a quadrangle for each side."""
    count = len(outline)
    points = [f"v {x} {y} {z}" for z in (0, height) for x, y in outline]
    sides = [f"f {n + 1} {(n + 1) % count + 1} {(n + 1) % count + 1 + count} {n + 1 + count}" for n in range(count)]
    caps = [f"f {' '.join(str(n) for n in range(count, 0, -1))}", f"f {' '.join(str(n) for n in range(count + 1, 2 * count + 1))}"]
    return text(*points, *sides, *caps)


def area(outline: Sequence[tuple[float, float]]) -> float:
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(outline, [*outline[1:], outline[0]], strict=True)) / 2


def star(tips: int, depth: float) -> list[tuple[float, float]]:
    turns = [math.pi * n / tips for n in range(2 * tips)]
    return [((10 - depth * (n % 2)) * math.cos(turn), (10 - depth * (n % 2)) * math.sin(turn)) for n, turn in enumerate(turns)]


OUTLINES: dict[str, list[tuple[float, float]]] = {
    "hexagon": star(3, 0),
    "L": [(0, 0), (10, 0), (10, 3), (3, 3), (3, 10), (0, 10)],
    "L from another corner": [(3, 3), (3, 10), (0, 10), (0, 0), (10, 0), (10, 3)],
    "comb": [(0, 0), (70, 0), *((x, y) for n in range(6, -1, -1) for x, y in ((10 * n + 9, 20), (10 * n + 5, 5), (10 * n + 1, 20)))],
    "corners on a line": [(0, 0), (5, 0), (10, 0), (10, 10), (5, 10), (5, 5), (0, 5), (0, 2)],
    "star of 200": star(200, 8),
    "arrow": [(0, 0), (10, -5), (3, 0), (10, 5)],
}


@pytest.mark.parametrize("name", OUTLINES)
def test_a_polygon_becomes_triangles_that_cover_it_once(read: Read, name: str) -> None:
    outline = OUTLINES[name]
    got = read(prism(outline), "part.obj").corners
    assert len(got) == 2 * (len(outline) - 2) + 2 * len(outline)
    assert volume(got) == pytest.approx(5 * area(outline), rel=1e-5)
    for height, way in ((5, 1), (0, -1)):
        cap = got[(got[:, :, 2] == height).all(axis=1)].astype(float)
        along = way * np.cross(cap[:, 1] - cap[:, 0], cap[:, 2] - cap[:, 0])[:, 2]
        assert (along > -1e-6).all() and along.sum() / 2 == pytest.approx(area(outline), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 10), st.floats(0, 0.9)), min_size=4, max_size=40), st.tuples(*[st.floats(-3, 3)] * 3))
def test_any_simple_polygon_is_covered_once_however_it_is_turned(tips: list[tuple[float, float]], turns: tuple[float, ...]) -> None:
    """It goes round the origin in steps of less than half a turn, so it does not cross itself."""
    around = [2 * math.pi * (n + more) / len(tips) for n, (_, more) in enumerate(tips)]
    outline = [(far * math.cos(turn), far * math.sin(turn)) for turn, (far, _) in zip(around, tips, strict=True)]
    points = np.array([(x, y, 0) for x, y in outline]) @ trimesh.transformations.euler_matrix(*turns)[:3, :3]
    made = polygons.triangulated(points, np.arange(len(points)), np.array([len(points)]))
    areas = [area([outline[corner] for corner in triangle]) for triangle in made]
    assert len(areas) == len(points) - 2
    assert min(areas) > -1e-6 and sum(areas) == pytest.approx(area(outline))


def test_a_polygon_that_crosses_itself_still_closes_the_solid(read: Read) -> None:
    knot = [star(5, 0)[2 * n % 10] for n in (0, 2, 4, 1, 3)]
    got = read(prism(knot), "part.obj").corners
    made = trimesh.Trimesh(*_merged(got), process=False)
    assert len(got) == 16 and made.is_winding_consistent and made.is_watertight


def _merged(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points, rows = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    return points, rows.reshape(-1, 3)


def test_polygons_that_would_cost_too_much_are_refused(read: Read) -> None:
    with mock.patch.object(polygons, "_MOST_WORK", 2000):
        assert refusal(read, prism(OUTLINES["star of 200"]), "part.obj")[0] == "TOO_COMPLEX"
        assert len(read(prism(OUTLINES["hexagon"]), "part.obj").corners) == 20, "what is convex costs nothing"


# --- a second opinion --------------------------------------------------------------------------------------------------
def test_what_trimesh_writes_is_read_and_what_we_read_it_reads_alike(read: Read) -> None:
    part = np.array(models.demo_part(), float)
    written = trimesh.exchange.obj.export_obj(trimesh.Trimesh(*_merged(part), process=False)).encode()
    got = read(written, "part.obj").corners
    assert box(got) == box(part) and volume(got) == pytest.approx(models.volume_mm3(models.demo_part()), rel=1e-5)
    theirs = trimesh.load(io.BytesIO(prism(OUTLINES["hexagon"])), file_type="obj", force="mesh")
    ours = read(prism(OUTLINES["hexagon"]), "part.obj").corners
    assert volume(ours) == pytest.approx(theirs.volume, rel=1e-5) and np.allclose(box(ours), theirs.bounds, atol=1e-3)


# --- anything at all ---------------------------------------------------------------------------------------------------
WORDS = ["v", "f", "vn", "o", "#", "\\", "1", "-1", "2/2", "3//", "0", "9", "nan", "1e9", "1e999", "x", "/", "", "call", "f 1 2 3", "v 1 2"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from([" ", "\n", "\r", "\t", "\0", ""])), max_size=25))
def test_no_text_crashes_the_reader(read: Read, words: list[tuple[str, str]]) -> None:
    may_refuse(read, text(*POINTS, *FACES) + "".join(word + after for word, after in words).encode(), "part.obj")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(read: Read, content: bytes) -> None:
    may_refuse(read, b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n" + content, "part.obj")
