"""The STL reader against files nobody thought of: triangles or a refusal, and never other triangles than the file's.

Valid files are drawn with all the freedom exporters take, and read by another reader as well; then they are damaged. `tests/fuzz`
holds the fuzzer that runs for hours.
"""

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trimesh.exchange.stl import load_stl_ascii, load_stl_binary

from agent.meshes.limits import Limits
from agent.meshes.stl import FAR_MM, Corners, UnreadableStl, read_stl, write_canonical
from agent.sandbox import models
from tests.meshes.stl_rules import announced

Read = Callable[[bytes], Corners]
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("stl") / "model.stl"

    def read_bytes(content: bytes) -> Corners:
        path.write_bytes(content)
        return read_stl(path, Limits())

    return read_bytes


# --- valid files ---------------------------------------------------------------------------------------------------
coordinate = st.floats(-FAR_MM, FAR_MM, width=32) | st.integers(-3, 3).map(float) | st.just(-0.0)


@st.composite
def meshes(draw: st.DrawFn, odd: st.SearchStrategy[float] = coordinate) -> Corners:
    """A few odd coordinates among many that are not: drawing each by itself takes a tenth of a second."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    corners = random.normal(0, 50, (draw(st.integers(1, 12)), 3, 3)).astype(np.float32)
    for value in draw(st.lists(odd, max_size=4)):
        corners.ravel()[random.integers(corners.size)] = value
    return corners


near = st.integers(-300, 300).map(float)
"""Other readers drop what they find odd."""


@st.composite
def binary(draw: st.DrawFn, triangles: Corners) -> bytes:
    """Any header, any normals, any attributes: exporters write anything there."""
    header, noise = draw(st.binary(min_size=80, max_size=80)), draw(st.binary(min_size=14, max_size=14))
    facets = (noise[:12] + facet.astype("<f4").tobytes() + noise[12:] for facet in triangles)
    return header + struct.pack("<I", len(triangles)) + b"".join(facets)


@st.composite
def text(draw: st.DrawFn, triangles: Corners) -> bytes:
    """Any case, any space, any line end, any way to write a number, names, and several solids, of which some hold nothing."""
    space, line_end = (
        draw(st.sampled_from(["\n", " ", "\t", "  \n ", "\r\n\t", "\r", "\x0b "])),
        draw(st.sampled_from(["\n", "\r", "\r\n"])),
    )
    number = draw(st.sampled_from(["{!r}", "{:.9g}", "{:+.10e}", "{:.9G}", "{:020.9e}"]))
    name, after = (
        draw(st.sampled_from(["", " cube", " facet normal", " Würfel endfacet 1 2 3", " solid"])),
        draw(st.sampled_from(["", " x 1", "\tvertex"])),
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(triangles)), max_size=3)))
    out = [draw(st.sampled_from(["", "\ufeff", " \n", "\t"]))]
    for start, end in zip([0, *cuts], [*cuts, len(triangles)], strict=True):
        out.append(f"solid{name}{line_end}")
        for corners in triangles[start:end].tolist():
            words = ["facet", "normal", "0", "nan", "-1e99", "outer", "loop"]
            for corner in corners:
                words += ["vertex", *(number.format(coordinate) for coordinate in corner)]
            out += [space.join(words), space, "endloop", after, line_end, "endfacet", after, line_end]
        out.append(f"endsolid{name}{line_end}")
    change = draw(st.sampled_from([str, str.lower, str.upper, str.title]))
    return change("".join(out)).encode()


@fuzz
@given(meshes().flatmap(lambda triangles: st.tuples(st.just(triangles), binary(triangles) | text(triangles))))
def test_a_valid_file_is_read_to_the_last_bit(read: Read, drawn: tuple[Corners, bytes]) -> None:
    triangles, content = drawn
    assert read(content).tobytes() == triangles.tobytes()


@fuzz
@given(meshes(near).flatmap(binary))
def test_another_reader_finds_the_same_in_binary(read: Read, content: bytes) -> None:
    theirs = load_stl_binary(io.BytesIO(content))
    assert np.array_equal(read(content), theirs["vertices"].reshape(-1, 3, 3))


@fuzz
@given(meshes(near), st.sampled_from([b"\n", b"\r\n"]))
def test_another_reader_finds_the_same_in_text(read: Read, triangles: Corners, line_end: bytes) -> None:
    content = models.ascii_stl(triangles.tolist()).replace(b"\n", line_end)
    theirs = load_stl_ascii(io.BytesIO(content))
    assert np.array_equal(read(content), np.asarray(theirs["vertices"], np.float32).reshape(-1, 3, 3))


@fuzz
@given(meshes())
def test_what_is_written_is_read_again_bit_for_bit(tmp_path: Path, triangles: Corners) -> None:
    write_canonical(tmp_path / "canonical.stl", triangles)
    assert read_stl(tmp_path / "canonical.stl", Limits()).tobytes() == triangles.tobytes()


def test_files_of_many_blocks_and_files_that_end_at_a_blocks_end(tmp_path: Path) -> None:
    corners = np.random.default_rng(1).random((2 * 16_384 + 1, 3, 3), np.float32)
    for facets in (16_383, 16_384, 16_385, 2 * 16_384, 2 * 16_384 + 1):
        write_canonical(tmp_path / "canonical.stl", corners[:facets])
        assert (tmp_path / "canonical.stl").stat().st_size == 84 + 50 * facets
        assert np.array_equal(read_stl(tmp_path / "canonical.stl", Limits()), corners[:facets])


# --- damaged files -------------------------------------------------------------------------------------------------
CUBE, TEXT = models.binary_stl(models.cube()), models.ascii_stl(models.cube())


def read_or_refused(read: Read, content: bytes) -> Corners | None:
    """The triangles, as many as the file announces by its own rules, all of them near and finite; None for a refusal with a sentence."""
    try:
        corners = read(content)
    except UnreadableStl as refused:
        assert refused.code.replace("_", "").isupper() and str(refused).endswith(".")
        return None
    assert corners.dtype == np.float32 and corners.shape == (announced(content), 3, 3) and len(corners)
    assert np.isfinite(corners).all() and np.abs(corners).max() <= FAR_MM
    return corners


@fuzz
@given(st.binary(max_size=500) | st.binary(max_size=300).map(lambda rest: b"solid x\nfacet" + rest))
def test_any_bytes_are_read_or_refused(read: Read, content: bytes) -> None:
    read_or_refused(read, content)


@fuzz
@given(
    st.sampled_from([CUBE, TEXT, TEXT.upper(), models.ascii_stl(models.demo_part()[:40])]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=6),
)
def test_any_damage_to_a_good_file_is_read_or_refused(read: Read, good: bytes, damage: list[tuple[float, int, bytes]]) -> None:
    for place, cut, put in damage:
        at = int(place * len(good))
        good = good[:at] + put + good[at + cut :]
    read_or_refused(read, good)


WORDS = [
    "facet",
    "normal",
    "outer",
    "loop",
    "vertex",
    "endloop",
    "endfacet",
    "endsolid x\n",
    "solid x\n",
    "\n",
    "0",
    "nan",
    "1e39",
    "1_0",
    "1,5",
    "x",
]


@fuzz
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.lists(st.sampled_from(WORDS), max_size=2)), min_size=1, max_size=4))
def test_words_that_are_missing_or_doubled_or_others_are_read_or_refused(read: Read, damage: list[tuple[float, int, list[str]]]) -> None:
    words = re.findall(r"\S+\s*", models.ascii_stl(models.cube()[:3]).decode())
    for place, cut, put in damage:
        at = int(place * len(words))
        words[at : at + cut] = [word + " " for word in put]
    read_or_refused(read, "".join(words).encode())


@fuzz
@given(st.integers(0, 40), st.integers(-60, 60), st.data())
def test_any_binary_of_nearly_the_right_length_is_read_or_refused(read: Read, facets: int, more: int, data: st.DataObject) -> None:
    length = max(0, 50 * facets + more)
    body = data.draw(st.binary(min_size=length, max_size=length))
    read_or_refused(read, b"x".ljust(80, b"\0") + struct.pack("<I", facets) + body)


@fuzz
@given(st.integers(0, 11), st.integers(0, 8), st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e30, -100_001.0]))
def test_one_corner_that_is_nowhere_or_too_far_is_enough(read: Read, facet: int, column: int, wrong: float) -> None:
    content = bytearray(CUBE)
    struct.pack_into("<f", content, 84 + 50 * facet + 12 + 4 * column, wrong)
    with pytest.raises(UnreadableStl) as refused:
        read(bytes(content))
    assert refused.value.code == ("RANGE" if np.isfinite(wrong) else "NONFINITE")
