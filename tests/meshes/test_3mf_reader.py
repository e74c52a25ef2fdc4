"""What a 3MF file says is to be built comes out in mm, as PrusaSlicer sees it too; what cannot be told for certain is refused or asked."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from agent.meshes.limits import Limits
from agent.meshes.model_xml import read_part
from agent.sandbox import models
from tests.meshes.packages import CORE, TYPES, archive, components, items, mesh, model, package, placed, relations, thing
from tests.meshes.reads import Read, box, found, refusal, volume

PART = models.demo_part()
CUBE = models.cube(20)
BOX = thing(1, mesh(CUBE))
EXPECTED = np.array(CUBE, np.float32)


# --- ways to write it --------------------------------------------------------------------------------------------------
def written(vertex: str = '<vertex x="{}" y="{}" z="{}"/>', triangle: str = '<triangle v1="{}" v2="{}" v3="{}"/>') -> str:
    return model(thing(1, mesh(CUBE, vertex, triangle)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(package(written()), id="plain"),
        pytest.param(package(written('  <vertex x="{}" y="{}" z="{}" />\r\n', '\t<triangle v1="{}" v2="{}" v3="{}" />\r\n')), id="CRLF"),
        pytest.param(package(written("<vertex x='{}' y='{}' z='{}'/>", "<triangle v1='{}' v2='{}' v3='{}'/>")), id="single quotes"),
        pytest.param(package(written('<vertex z="{2}" y="{1}" x="{0}"/>', '<triangle v3="{2}" v1="{0}" v2="{1}"/>')), id="other order"),
        pytest.param(
            package(written('<vertex x="{}" y="{}" z="{}"></vertex>', '<triangle v1="{}" v2="{}" v3="{}"></triangle>')), id="open"
        ),
        pytest.param(package(written('<vertex x=" {}" y="{} " z="+{}"/>', '<triangle v1="{}" v2="{}" v3=" {}"/>')), id="blanks and signs"),
        pytest.param(package(written('<vertex x="{}e0" y="{:.3e}" z="{}.0"/>')), id="exponents"),
        pytest.param(package(written('<vertex x="&#48;{}" y="{}" z="{}"/>')), id="character references"),
        pytest.param(
            package(written('<!--<vertices><vertex x="9" y="9" z="9"/></vertices>--><vertex x="{}" y="{}" z="{}"/>')), id="comments"
        ),
        pytest.param(
            package(
                written()
                .replace(f'xmlns="{CORE}"', f'xmlns:c="{CORE}" xmlns="urn:other"')
                .replace("</", "</c:")
                .replace("<c:", "<")
                .replace("<", "<c:")
                .replace("<c:/c:", "</c:")
                .replace("<c:?", "<?")
            ),
            id="prefixed",
        ),
        pytest.param(package(written(), {"_rels/.rels": relations("/3D/other.model"), "3D/other.model": written()}), id="another name"),
        pytest.param(archive({"[Content_Types].xml": TYPES, "3D/3dmodel.model": written()}), id="no relations"),
        pytest.param(archive({"[content_types].xml": TYPES, "3d\\3DModel.model": written()}), id="backslash, other case"),
        pytest.param(package(written(), compression=0), id="stored"),
        pytest.param(package("\ufeff" + written()), id="byte order mark"),
        pytest.param(package(written().encode("utf-16")), id="UTF-16"),
        pytest.param(package(written(), {"../../evil.sh": "x", "/etc/passwd": "x", "C:\\x.model": "<"}), id="names that climb"),
    ],
)
def test_every_way_to_write_a_cube_is_read_the_same(read: Read, content: bytes) -> None:
    assert np.array_equal(read(content).corners, EXPECTED)


ROWS = written('<vertex x="{}" y="{}" z="{}"/>\n', '<triangle v1="{}" v2="{}" v3="{}" />').encode()
MIXED = ROWS.replace(b'<vertex x="20"', b'<!-- <vertices> --><vertex x="20"', 1).replace(
    b"</triangles>", b"<!--</triangles>--></triangles>"
)


@pytest.mark.parametrize("text", [ROWS, MIXED], ids=["plain", "with comments"])
def test_where_the_file_is_cut_into_pieces_makes_no_difference(text: bytes) -> None:
    whole = read_part([text], Limits()).objects[1]
    assert (whole.vertices.shape, whole.triangles.shape) == ((8, 3), (12, 3))
    for at in range(len(text)):
        pieces = read_part([text[:at], text[at : at + 7], text[at + 7 :]], Limits()).objects[1]
        assert np.array_equal(pieces.vertices, whole.vertices) and np.array_equal(pieces.triangles, whole.triangles)


@pytest.mark.parametrize("vertex", ['<vertex x="{:.6f}" y="{:.6f}" z="{:.6f}"/>', '<vertex y="{1:.6f}" x="{0:.6f}" z="{2:.6f}"/>'])
def test_both_ways_through_the_xml_give_the_same_numbers(read: Read, vertex: str) -> None:
    facets = models.rippled_sphere(2000)
    corners = read(package(model(thing(1, mesh(facets, vertex))))).corners
    assert np.abs(corners - np.array(facets)).max() < 1e-5


# --- units, transforms, what counts ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("unit", "mm"), [("micron", 0.001), ("millimeter", 1), ("centimeter", 10), ("inch", 25.4), ("foot", 304.8), ("meter", 1000)]
)
def test_the_unit_of_the_file_is_converted_and_told(read: Read, unit: str, mm: float) -> None:
    side = 30 / mm
    got = read(package(model(thing(1, mesh(models.cube(side))), attributes=f'unit="{unit}"')))
    assert box(got.corners)[1] == pytest.approx([30, 30, 30])
    assert found(got) == ([] if mm == 1 else [("print", "UNIT_CONVERTED")])
    assert all(unit in finding.text for finding in got.findings)


def test_without_a_unit_it_is_the_millimetre(read: Read) -> None:
    assert np.array_equal(read(package(model(BOX, attributes=""))).corners, EXPECTED)


AS_IT_IS = "1 0 0 0 1 0 0 0 1"
TURN_Z = "0 1 0 -1 0 0 0 0 1"
"""By 90°: what pointed along x points along y."""


def test_a_component_is_placed_in_its_object_and_then_with_it(read: Read) -> None:
    """A corner at (x, y, z) goes to (-y + 100, x, z) and from there, twice as large, to (-2y + 205, 2x, 2z)."""
    objects = BOX + thing(2, components(placed(1, f"{TURN_Z} 100 0 0")))
    got = read(package(model(objects, items(placed(2, "2 0 0 0 2 0 0 0 2 5 0 0"))))).corners
    x, y, z = np.array(CUBE).transpose(2, 0, 1)
    assert np.array_equal(got, np.stack((205 - 2 * y, 2 * x, 2 * z), axis=2).astype(np.float32))


@pytest.mark.parametrize("transform", ["-1 0 0 0 1 0 0 0 1 0 0 0", "0 1 0 1 0 0 0 0 1 3 4 5", "-1 0 0 0 -1 0 0 0 -1 0 0 0"])
def test_a_mirrored_part_is_not_inside_out(read: Read, transform: str) -> None:
    got = read(package(model(thing(1, mesh(PART)), items(placed(1, transform))))).corners
    assert volume(got) == pytest.approx(models.volume_mm3(PART), rel=1e-5)
    twice = thing(2, components(placed(1, transform)))
    got = read(package(model(thing(1, mesh(PART)) + twice, items(placed(2, transform))))).corners
    assert volume(got) == pytest.approx(models.volume_mm3(PART), rel=1e-5)


def test_only_what_is_to_be_built_counts_and_several_parts_stay_where_they_are(read: Read) -> None:
    objects = BOX + thing(2, mesh(models.cube(5))) + thing(3, mesh(PART))
    got = read(package(model(objects, items(placed(1), placed(2, f"{AS_IT_IS} 30 0 0")))))
    assert len(got.corners) == 24 and box(got.corners) == [[0, 0, 0], [35, 20, 20]]
    assert found(got) == [("print", "SEVERAL_PARTS")]


def test_parts_at_different_heights_are_asked_about(read: Read) -> None:
    got = read(package(model(BOX, items(placed(1), placed(1, f"{AS_IT_IS} 50 0 3")))))
    assert ("hold", "FLOATING") in found(got)


@pytest.mark.parametrize(
    ("kind", "expected"), [("support", ("print", "SUPPORTS")), ("solidsupport", ("print", "SUPPORTS")), ("surface", ("hold", "NO_SOLIDS"))]
)
def test_what_is_no_part_of_the_solid_is_left_out_and_told(read: Read, kind: str, expected: tuple[str, str]) -> None:
    objects = BOX + thing(2, mesh(models.cube(5)), f'type="{kind}"')
    objects += thing(3, components(placed(1), placed(2)))
    got = read(package(model(objects, items(placed(3)))))
    assert np.array_equal(got.corners, EXPECTED) and found(got) == [expected]
    assert refusal(read, package(model(objects, items(placed(2)))))[0] == "NO_FACETS"


def test_an_object_without_triangles_is_asked_about(read: Read) -> None:
    empty = thing(2, "<mesh><vertices/><triangles/></mesh>") + thing(3, "")
    got = read(package(model(BOX + empty, items(placed(2), placed(1), placed(3)))))
    assert np.array_equal(got.corners, EXPECTED) and found(got) == [("hold", "NO_SOLIDS")]


def test_a_part_that_is_not_to_be_printed_is_left_out(read: Read) -> None:
    got = read(package(model(BOX, items(placed(1), placed(1, f"{AS_IT_IS} 30 0 0", 'printable="0"')))))
    assert np.array_equal(got.corners, EXPECTED) and found(got) == [("print", "SKIPPED")]


def test_objects_in_other_parts_of_the_file_are_found(read: Read) -> None:
    other = model(thing(7, mesh(models.cube(10))), "")
    objects = thing(2, components(placed(7, f"{AS_IT_IS} 0 0 50", 'p:path="/3D/Objects/o.model"')))
    start = model(objects, items(placed(2)), 'unit="millimeter" requiredextensions="p"')
    assert box(read(package(start, {"3D/Objects/o.model": other})).corners) == [[0, 0, 50], [10, 10, 60]]
    assert refusal(read, package(start))[0] == "BAD_3MF"
    inches = model(thing(7, mesh(models.cube(10))), "", 'unit="inch"')
    assert "units" in refusal(read, package(start, {"3D/Objects/o.model": inches}))[1]
    further = model(thing(7, components(placed(7, attributes='p:path="/3D/3dmodel.model"'))), "")
    assert refusal(read, package(start, {"3D/Objects/o.model": further}))[0] == "BAD_3MF"


MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
COLORS = f'<m:colorgroup xmlns:m="{MATERIAL}" id="5"><m:color color="#f00"/><m:color color="#00f"/></m:colorgroup>'


@pytest.mark.parametrize(
    ("triangle", "told"),
    [
        ('<triangle v1="{}" v2="{}" v3="{}" pid="5" p1="0"/>', []),
        ('<triangle v1="{}" v2="{}" v3="{}" pid="5" p1="0" p2="1" p3="0"/>', [("print", "COLORS")]),
        ('<triangle v1="{}" v2="{}" v3="{}" paint_color="4"/>', [("print", "COLORS")]),
    ],
    ids=["one", "two", "painted"],
)
def test_several_colours_are_told(read: Read, triangle: str, told: list[tuple[str, str]]) -> None:
    got = read(package(model(COLORS + thing(1, mesh(CUBE, triangle=triangle)))))
    assert np.array_equal(got.corners, EXPECTED) and found(got) == told


PROJECTS = {
    "PrusaSlicer": ("Metadata/Slic3r_PE_model.config", '<metadata type="volume" key="volume_type" value="{}"/>'),
    "Bambu Studio": ("Metadata/model_settings.config", '<part id="2" subtype="{}"/>'),
}


@pytest.mark.parametrize(
    ("program", "kind", "held"),
    [
        ("PrusaSlicer", "ModelPart", False),
        ("PrusaSlicer", "NegativeVolume", True),
        ("PrusaSlicer", "ParameterModifier", True),
        ("Bambu Studio", "normal_part", False),
        ("Bambu Studio", "support_blocker", True),
    ],
)
def test_a_project_whose_meshes_are_not_all_parts_is_held(read: Read, program: str, kind: str, held: bool) -> None:
    name, text = PROJECTS[program]
    got = read(package(model(BOX), {name: f"<config>{text.format(kind)}</config>"}))
    assert found(got) == ([("hold", "INSTRUCTIONS")] if held else [])


def test_curas_modifiers_and_bambus_plates_are_held(read: Read) -> None:
    setting = '<metadatagroup><metadata name="cura:infill_mesh">True</metadata></metadatagroup>'
    assert found(read(package(model(thing(1, setting + mesh(CUBE)))))) == [("hold", "INSTRUCTIONS")]
    plates = {"Metadata/model_settings.config": "<config><plate></plate><plate></plate></config>"}
    assert found(read(package(model(BOX), plates))) == [("hold", "PLATES")]


def test_a_recommended_extension_that_is_not_understood_is_asked_about(read: Read) -> None:
    assert found(read(package(model(BOX, attributes='xmlns:z="urn:z" recommendedextensions="p z"')))) == [("hold", "EXTENSIONS")]


# --- a second opinion --------------------------------------------------------------------------------------------------
prusa_slicer = pytest.mark.skipif(shutil.which("prusa-slicer") is None, reason="PrusaSlicer is not installed")


TWO_MIRRORED = components(placed(1, f"{TURN_Z} 10 0 0"), placed(1, "-1 0 0 0 1 0 0 0 1 50 0 0"))


@prusa_slicer
@pytest.mark.parametrize(
    ("put_together", "place", "unit"),
    [
        pytest.param(TWO_MIRRORED, "2 0 0 0 1 0 0 0 1 5 5 5", "millimeter", id="placed and mirrored"),
        # Only the shape: PrusaSlicer 2.5 does not convert what an object is moved by.
        pytest.param(components(placed(1)), "2 0 0 0 1 0 0 0 1 0 0 0", "inch", id="inches"),
    ],
)
def test_prusaslicer_sees_the_same_box_and_volume(read: Read, tmp_path: Path, put_together: str, place: str, unit: str) -> None:
    content = package(model(thing(1, mesh(PART)) + thing(2, put_together), items(placed(2, place)), f'unit="{unit}"'))
    ours = read(content).corners
    (tmp_path / "part.3mf").write_bytes(content)
    told = subprocess.run(["prusa-slicer", "--info", "part.3mf"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    def theirs(name: str) -> list[float]:
        return [float(line.partition(" = ")[2]) for line in told.splitlines() if line.startswith(f"{name} = ")]

    low, high = box(ours)
    assert low == pytest.approx([min(theirs(f"min_{axis}")) for axis in "xyz"], abs=0.01)
    assert high == pytest.approx([max(theirs(f"max_{axis}")) for axis in "xyz"], abs=0.01)
    assert volume(ours) == pytest.approx(sum(theirs("volume")), rel=1e-4)


@prusa_slicer
def test_what_prusaslicer_writes_is_read(read: Read, tmp_path: Path) -> None:
    models.write_binary_stl(tmp_path / "part.stl", PART)
    subprocess.run(["prusa-slicer", "--export-3mf", "-o", "out.3mf", "part.stl"], cwd=tmp_path, capture_output=True, check=True)
    got = read((tmp_path / "out.3mf").read_bytes())
    assert np.allclose(got.corners, np.array(PART), atol=1e-4) and got.findings == []
