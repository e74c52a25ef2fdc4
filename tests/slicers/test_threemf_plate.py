"""The 3MF that tells the slicer where copies stand."""

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox import models
from agent.sandbox.models import Mesh
from agent.slicers.placed import Placed, object_name, with_item_ids
from agent.slicers.placing import place
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from agent.slicers.threemf_plate import write_3mf
from tests.slicers.test_placing import box, part

MK3S = ProfileLibrary(default_profiles_dir()).profile("prusa-mk3s")
CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"


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


def test_a_corner_at_minus_0_is_the_one_at_0(tmp_path: Path) -> None:
    """Floats that are equal are one place, whatever their bytes: else the body would be open there."""
    mesh = [tuple((-0.0 if n % 2 and x == 0 else x, y, z) for x, y, z in triangle) for n, triangle in enumerate(models.cube(10))]
    assert any(str(x) == "-0.0" for triangle in mesh for x, _, _ in triangle)
    model, _ = written(tmp_path, [Placed("a", "s", 0, 0, 0)], {"s": mesh})
    assert len(model.findall(f".//{CORE}vertex")) == 8


def test_the_same_plate_is_the_same_model(tmp_path: Path) -> None:
    trees = [written(tmp_path, [Placed("a", "s", 5, 5, 0)], {"s": models.demo_part()})[0] for _ in range(2)]
    assert ElementTree.tostring(trees[0]) == ElementTree.tostring(trees[1])


def test_a_large_mesh_is_written_by_a_process_of_its_own(tmp_path: Path) -> None:
    stl = models.write_binary_stl(tmp_path / "big.stl", models.rippled_sphere(20_000))
    facets = (stl.stat().st_size - 84) // 50
    wanted = {"placed": [vars(Placed("a", "s", 5, 5, 0))], "meshes": {"s": str(stl)}}
    (tmp_path / "wanted.json").write_text(json.dumps(wanted))
    subprocess.run([sys.executable, "-m", "agent.slicers.threemf_plate", "wanted.json", "x.3mf"], cwd=tmp_path, check=True, env=ROOT)
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
