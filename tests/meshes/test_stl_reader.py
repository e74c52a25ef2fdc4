"""The reader takes every STL the format allows, refuses the rest by what it is, and never does anything else."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.meshes.limits import Limits
from agent.meshes.stl import Corners, UnreadableStl, read_stl, write_canonical
from agent.sandbox import models

CUBE = models.cube(20)
BINARY = models.binary_stl(CUBE)
ASCII = models.ascii_stl(CUBE)
EXPECTED = np.array(CUBE, np.float32)

Read = Callable[[bytes], Corners]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("stl") / "model.stl"

    def read_bytes(content: bytes) -> Corners:
        path.write_bytes(content)
        return read_stl(path, Limits())

    return read_bytes


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(BINARY, id="binary"),
        pytest.param(models.binary_stl(CUBE, header=b"solid from a CAD program, facet normal"), id="binary with a header that says solid"),
        pytest.param(BINARY + b"\n", id="binary with a newline after it"),
        pytest.param(ASCII, id="ascii"),
        pytest.param(ASCII.upper().replace(b"\n", b"\r").replace(b" ", b"\t"), id="upper case, CR only, tabs"),
        pytest.param(ASCII.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(b"\xef\xbb\xbf" + models.ascii_stl(CUBE, "W\u00fcrfel"), id="byte order mark and umlaut"),
        pytest.param(models.ascii_stl(CUBE, "facet endsolid 1_000 "), id="a name made of keywords"),
        pytest.param(
            ASCII.replace(b"endloop", b"endloop foo").replace(b"normal 0", b"normal -1.#IND"), id="words after endloop, no normals"
        ),
        pytest.param(models.ascii_stl(CUBE[:6], "a") + b"\n" + models.ascii_stl(CUBE[6:], "b"), id="two solids"),
    ],
)
def test_every_way_to_write_a_cube_is_read_the_same(read: Read, content: bytes) -> None:
    assert np.array_equal(read(content), EXPECTED)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "EMPTY", id="nothing"),
        pytest.param(b"PK\x03\x04 3D/3dmodel.model", "NOT_STL", id="3MF"),
        pytest.param(b"<!DOCTYPE html><p>solid facet", "NOT_STL", id="web page"),
        pytest.param(b'{"error": "link expired"}', "NOT_STL", id="JSON"),
        pytest.param(b"solid advice is rare. endsolid", "NOT_STL", id="prose"),
        pytest.param(bytes(5000), "NOT_STL", id="zeros"),
        pytest.param(b"\x01\x02", "NOT_STL", id="two bytes"),
        pytest.param(ASCII.decode().encode("utf-16"), "NOT_STL", id="UTF-16"),
        pytest.param(BINARY[:-30], "TRUNCATED", id="binary cut off"),
        pytest.param(BINARY[:80] + struct.pack("<I", 0xFFFFFFFF) + BINARY[84:], "TRUNCATED", id="four thousand million facets announced"),
        pytest.param(BINARY[:80] + struct.pack("<I", 3) + BINARY[84:], "TRAILING", id="more facets than announced"),
        pytest.param(BINARY[:80] + struct.pack("<I", 0) + BINARY[84:], "NO_FACETS", id="none announced"),
        pytest.param(b"solid x\nendsolid x\n", "NO_FACETS", id="empty solid"),
        pytest.param(ASCII[:-40], "BAD_ASCII", id="ascii cut off"),
        pytest.param(ASCII.replace(b"endloop", b"vertex 1 1 1\nendloop", 1), "BAD_ASCII", id="four corners"),
        pytest.param(ASCII.replace(b"vertex 0 0 0", b"vertex 0 0", 1), "BAD_ASCII", id="two coordinates"),
        pytest.param(
            ASCII.replace(b"normal 0 0 0", b"normal solid x\nendloop 0 0 0", 1), "BAD_ASCII", id="a normal of the format's own words"
        ),
        pytest.param(ASCII.replace(b"vertex 20", b"vertex 2,0", 1), "BAD_ASCII", id="decimal comma"),
        pytest.param(ASCII.replace(b"vertex 20", b"vertex 2_0", 1), "BAD_ASCII", id="a number only Python takes"),
        pytest.param(ASCII.replace(b"vertex 20", b"vertex 20." + b"0" * 100_000, 1), "BAD_ASCII", id="endless number"),
        pytest.param(ASCII.replace(b"endfacet", b"endfacet " + b"x" * 5_000_000, 1), "BAD_ASCII", id="endless line"),
        pytest.param(ASCII + b"and more", "BAD_ASCII", id="text after the solid"),
        pytest.param(ASCII.replace(b"\nendsolid", b"endsolid"), "BAD_ASCII", id="endfacetendsolid"),
        pytest.param(b"solid " + b"A" * 10_000, "BAD_ASCII", id="a first line without an end"),
        pytest.param(ASCII.replace(b"vertex 20", b"vertex inf", 1), "NONFINITE", id="infinite in ascii"),
        pytest.param(models.binary_stl([((0, 0, float("nan")), (1, 0, 0), (0, 1, 0)), *CUBE]), "NONFINITE", id="NaN in binary"),
        pytest.param(models.binary_stl(models.scaled(CUBE, 1e29)), "RANGE", id="larger than a galaxy"),
        pytest.param(models.binary_stl(models.moved(CUBE, 1e7, 0, 0)), "RANGE", id="ten kilometres away"),
    ],
)
def test_what_is_no_stl_is_refused_by_what_it_is(read: Read, content: bytes, code: str) -> None:
    with pytest.raises(UnreadableStl) as refused:
        read(content)
    assert refused.value.code == code
    assert str(refused.value).endswith(".")


def test_gates_refuse_before_reading(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.stl"
    with sparse.open("wb") as file:
        file.truncate(5_000_000_084)
    few = Limits(max_facets=11, max_ascii_bytes=1000)
    for path, limits, code in (
        (sparse, Limits(), "TOO_LARGE"),
        (models.write_binary_stl(tmp_path / "b.stl", CUBE), few, "TOO_MANY_FACETS"),
        (models.write_ascii_stl(tmp_path / "a.stl", CUBE), few, "TOO_LARGE"),
        (models.write_ascii_stl(tmp_path / "a.stl", CUBE), Limits(max_facets=11), "TOO_MANY_FACETS"),
    ):
        with pytest.raises(UnreadableStl) as refused:
            read_stl(path, limits)
        assert refused.value.code == code


def test_what_we_write_we_read_back_bit_for_bit(tmp_path: Path) -> None:
    corners = np.array(models.demo_part(), np.float32)
    write_canonical(tmp_path / "a.stl", corners)
    again = read_stl(tmp_path / "a.stl", Limits())
    write_canonical(tmp_path / "b.stl", again)
    assert np.array_equal(again, corners)
    assert (tmp_path / "a.stl").read_bytes() == (tmp_path / "b.stl").read_bytes()
