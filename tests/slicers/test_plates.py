"""Where copies stand, and the 3MF that says so."""

import json
import math
import struct
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import Refused
from agent.domain.plate import Part
from agent.sandbox import models
from agent.sandbox.models import Mesh
from agent.slicers.plates import EDGE_MM, GAP_MM, Placed, object_name, place, with_item_ids, write_3mf
from agent.slicers.profiles import Profile, ProfileLibrary, default_profiles_dir

MK3S = ProfileLibrary(default_profiles_dir()).profile("prusa-mk3s")
CENTRED = replace(MK3S, machine=MK3S.machine | {"bed_shape": "-110x-90,110x-90,110x90,-110x90"})
CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
TINY = 1e-6


def part(item_id: str, width: float, depth: float, quantity: int = 1, height: float = 10) -> Part:
    return Part(item_id=item_id, mesh_sha256="0" * 64, quantity=quantity, size_mm=(width, depth, height), volume_mm3=1)


sides = st.floats(0.5, 198)
orders = st.lists(st.tuples(sides, sides, st.integers(1, 12)), min_size=1, max_size=6).map(
    lambda sizes: [part(f"item-{n}", *size) for n, size in enumerate(sizes)]
)


def box(copy: Placed, parts: Sequence[Part]) -> tuple[float, float, float, float]:
    x, y, _ = next(part.size_mm for part in parts if part.item_id == copy.item_id)
    cos, sin = abs(math.cos(math.radians(copy.turned_deg))), abs(math.sin(math.radians(copy.turned_deg)))
    width, depth = x * cos + y * sin, x * sin + y * cos
    return copy.x_mm - width / 2, copy.y_mm - depth / 2, copy.x_mm + width / 2, copy.y_mm + depth / 2


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


# --- placing -----------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(parts=orders, profile=st.sampled_from([MK3S, CENTRED]))
def test_copies_keep_their_distance_and_stay_on_the_bed(parts: list[Part], profile: Profile) -> None:
    if profile is CENTRED:
        parts = [part for part in parts if max(part.size_mm[:2]) <= 168]
    for plate in place(parts, profile):
        boxes = [box(copy, parts) for copy in plate]
        assert plate
        assert all(apart(a, b) >= GAP_MM - TINY for a, b in combinations(boxes, 2))
        assert min(low for low, _, _, _ in boxes) >= profile.bed_x_mm[0] + EDGE_MM - TINY
        assert max(high for _, _, high, _ in boxes) <= profile.bed_x_mm[1] - EDGE_MM + TINY
        assert min(low for _, low, _, _ in boxes) >= profile.bed_y_mm[0] + EDGE_MM - TINY
        assert max(high for _, _, _, high in boxes) <= profile.bed_y_mm[1] - EDGE_MM + TINY


@settings(max_examples=100, deadline=None)
@given(parts=orders, order=st.randoms())
def test_every_copy_has_one_place_that_does_not_depend_on_the_order_of_items(parts: list[Part], order: object) -> None:
    plates = place(parts, MK3S)
    assert Counter(copy.item_id for plate in plates for copy in plate) == {part.item_id: part.quantity for part in parts}
    order.shuffle(parts)  # type: ignore[attr-defined]
    assert place(parts, MK3S) == plates


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        ([part("a", 238, 198)], [1]),
        ([part("a", 238, 198, 3)], [1, 1, 1]),
        ([part("a", 198, 238)], [1]),
        ([part("a", 290, 10, 2)], [1, 1]),
        ([part("a", 116.5, 96.5, 4)], [4]),
        ([part("a", 116.6, 96.5, 4)], [2, 2]),
        ([part("a", 20, 20, 72)], [9 * 8]),
        ([part("a", 20, 20, 73)], [9 * 8, 1]),
        # The wide one finds no room beside the deep one; the small ones do.
        ([part("deep", 150, 150), part("wide", 200, 100), part("small", 40, 40, 2)], [3, 1]),
    ],
)
def test_as_few_plates_as_rows_allow(parts: list[Part], counts: list[int]) -> None:
    assert [len(plate) for plate in place(parts, MK3S)] == counts


def test_one_part_stands_in_the_middle() -> None:
    ((copy,),) = place([part("a", 30, 10)], CENTRED)
    assert (copy.x_mm, copy.y_mm, copy.turned_deg) == (0, 0, 0)


@pytest.mark.parametrize("size", [(238.1, 100, 10), (300, 10, 10), (200, 200, 10), (10, 10, 210.1), (400, 400, 400)])
def test_what_does_not_fit_is_refused(size: tuple[float, float, float]) -> None:
    with pytest.raises(Refused, match="238×198×210 mm") as refused:
        place([part("fits", 5, 5), part("a", size[0], size[1], height=size[2])], MK3S)
    assert refused.value.code == "does_not_fit"


def test_ten_thousand_copies_are_placed_in_a_moment() -> None:
    began = time.process_time()
    plates = place([part("a", 150, 150, 10_000)], MK3S)
    assert len(plates) == 10_000 and time.process_time() - began < 2


# --- 3MF ---------------------------------------------------------------------------------------------------------------
def written(folder: Path, placed: Sequence[Placed], meshes: dict[str, Mesh]) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Its model, and the slicer's own file of names."""
    files = {sha256: models.write_binary_stl(folder / f"{sha256}.stl", mesh) for sha256, mesh in meshes.items()}
    write_3mf(folder / "x.3mf", placed, files)
    return read(folder / "x.3mf")


def read(path: Path) -> tuple[ElementTree.Element, ElementTree.Element]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in ("[Content_Types].xml", "_rels/.rels"):
            ElementTree.fromstring(archive.read(name))
        model = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
        return model, ElementTree.fromstring(archive.read("Metadata/Slic3r_PE_model.config"))


def test_each_part_is_one_object_and_each_copy_one_item(tmp_path: Path) -> None:
    placed = [Placed("a", "s1", 10, 20, 0), Placed("a", "s1", 40, 20.12347, 90), Placed('b&<">', "s2", 70, 20, 0)]
    model, config = written(tmp_path, placed, {"s1": models.cube(10), "s2": models.demo_part()})
    objects, items = model.findall(f".//{CORE}object"), model.findall(f".//{CORE}item")
    assert [found.get("name") for found in objects] == [object_name("a"), object_name('b&<">')]
    assert [len(found.findall(f".//{CORE}triangle")) for found in objects] == [12, len(models.demo_part())]
    assert [len(found.findall(f".//{CORE}vertex")) for found in objects] == [8, len(models.demo_part()) // 2]
    assert [item.get("objectid") for item in items] == ["1", "1", "2"]
    assert items[0].get("transform") == "1 0 0 0 1 0 0 0 1 10.0000 20.0000 0"
    assert items[1].get("transform") == "0 1 0 -1 0 0 0 0 1 40.0000 20.1235 0"
    names = [found.get("value") for found in config.findall(".//metadata[@key='name']")]
    assert names == [object_name("a")] * 2 + [object_name('b&<">')] * 2
    assert [found.get("lastid") for found in config.findall(".//volume")] == ["11", str(len(models.demo_part()) - 1)]


def test_a_copy_turned_aslant_covers_the_room_it_was_given(tmp_path: Path) -> None:
    """The transform's rows are those of 3MF: a point is a row before it."""
    aslant = part("a", 290, 10)
    ((copy,),) = place([aslant], MK3S)
    model, _ = written(tmp_path, [copy], {aslant.mesh_sha256: models.moved(models.box(290, 10, 10), -145, -5, 0)})
    (item,), corners = model.findall(f".//{CORE}item"), model.findall(f".//{CORE}vertex")
    m = [float(value) for value in item.get("transform", "").split()]
    points = [(float(found.get("x", "")), float(found.get("y", ""))) for found in corners]
    xs, ys = [x * m[0] + y * m[3] + m[9] for x, y in points], [x * m[1] + y * m[4] + m[10] for x, y in points]
    assert 0 < copy.turned_deg < 90
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx(box(copy, [aslant]), abs=1e-3)
    right_end = max(zip(xs, ys, strict=True))
    assert right_end[1] > copy.y_mm + 50, "turned anticlockwise, its right end goes to the back"


def test_corners_keep_every_bit(tmp_path: Path) -> None:
    mesh = models.mapped(models.cube(10), lambda p: (p[0] / 3, p[1] * 1.0000001, p[2] - 1e-7))
    model, _ = written(tmp_path, [Placed("a", "s", 0, 0, 0)], {"s": mesh})
    told = {tuple(float(found.get(axis, "")) for axis in "xyz") for found in model.findall(f".//{CORE}vertex")}
    as_floats = {tuple(struct.unpack("<3f", struct.pack("<3f", *corner))) for triangle in mesh for corner in triangle}
    assert {struct.pack("<3f", *corner) for corner in told} == {struct.pack("<3f", *corner) for corner in as_floats}


def test_the_same_plate_is_the_same_model(tmp_path: Path) -> None:
    trees = [written(tmp_path, [Placed("a", "s", 5, 5, 0)], {"s": models.demo_part()})[0] for _ in range(2)]
    assert ElementTree.tostring(trees[0]) == ElementTree.tostring(trees[1])


def test_a_large_mesh_is_written_by_a_process_of_its_own(tmp_path: Path) -> None:
    stl = models.write_binary_stl(tmp_path / "big.stl", models.rippled_sphere(20_000))
    facets = (stl.stat().st_size - 84) // 50
    wanted = {"placed": [vars(Placed("a", "s", 5, 5, 0))], "meshes": {"s": str(stl)}}
    (tmp_path / "wanted.json").write_text(json.dumps(wanted))
    subprocess.run([sys.executable, "-m", "agent.slicers.plates", "wanted.json", "x.3mf"], cwd=tmp_path, check=True, env=ROOT)
    model, _ = read(tmp_path / "x.3mf")
    assert len(model.findall(f".//{CORE}triangle")) == facets
    assert len(model.findall(f".//{CORE}vertex")) == facets // 2 + 2  # as Euler says of one closed body


ROOT = {"PYTHONPATH": str(Path(__file__).parents[2])}


# --- names -------------------------------------------------------------------------------------------------------------
@given(item_id=st.text(min_size=1, max_size=60))
def test_object_names_are_safe_and_come_back(item_id: str) -> None:
    if item_id.encode(errors="replace").decode() == item_id:
        name = object_name(item_id)
        assert name.isascii() and name.replace("-", "").isalnum()
        assert with_item_ids(f"Object name: {name}") == f"Object name: {item_id}"


def test_what_is_none_of_our_names_stays() -> None:
    assert with_item_ids("item-7 item-ff item-xyz items") == "item-7 item-ff item-xyz items"


def test_slicing_brings_nothing_heavy_into_the_daemon() -> None:
    code = "import sys, agent.slicers.prusaslicer; print([name for name in ('numpy', 'trimesh', 'scipy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ROOT).stdout == "[]\n"
