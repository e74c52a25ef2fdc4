"""3MF files that do not keep the format, or want to do harm: refused by what is wrong, and never anything else."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import model_xml
from agent.meshes.limits import Limits
from agent.sandbox import models
from tests.meshes.packages import CORE, archive, components, items, mesh, model, package, placed, relations, thing
from tests.meshes.reads import Read, may_refuse, refusal

CUBE = models.cube(20)
BOX = thing(1, mesh(CUBE))
BEAMS = '<b:beamlattice xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"/></mesh>'
SLICES = 'xmlns:s="http://schemas.microsoft.com/3dmanufacturing/slice/2015/07" s:slicestackid="9"'
LOWRES = 'xmlns:a="http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04" a:modelresolution="lowres"'
RING = thing(1, components(placed(2))) + thing(2, components(placed(1)))
TREE = BOX + "".join(thing(n, components(*[placed(n - 1)] * 10)) for n in range(2, 12))
LAUGHS = "".join(f'<!ENTITY l{n} "{laugh * 10}">' for n, laugh in enumerate([f"&l{n};" for n in range(11)], start=1))


def written(vertex: str = '<vertex x="{}" y="{}" z="{}"/>', triangle: str = '<triangle v1="{}" v2="{}" v3="{}"/>') -> str:
    return model(thing(1, mesh(CUBE, vertex, triangle)))


def item(transform: str) -> str:
    return model(BOX, items(placed(1, transform)))


@pytest.mark.parametrize(
    ("start", "code"),
    [
        pytest.param("", "BAD_3MF", id="nothing"),
        pytest.param("<html/>", "BAD_3MF", id="web page"),
        pytest.param(model(BOX)[:-30], "BAD_3MF", id="cut off"),
        pytest.param(model(BOX).replace(CORE, "urn:x"), "BAD_3MF", id="another namespace"),
        pytest.param(f'<!DOCTYPE model [<!ENTITY l0 "ha">{LAUGHS}]>{model("&l11;")[39:]}', "BAD_3MF", id="a thousand million laughs"),
        pytest.param('<!DOCTYPE model SYSTEM "file:///etc/passwd">' + model(BOX)[39:], "BAD_3MF", id="a type definition elsewhere"),
        pytest.param(model(BOX, attributes='unit="parsec"'), "BAD_3MF", id="unknown unit"),
        pytest.param(model(BOX, attributes='xmlns:b="urn:b" requiredextensions="b"'), "UNSUPPORTED_3MF", id="unknown extension"),
        pytest.param(model(thing(1, mesh(CUBE).replace("</mesh>", BEAMS))), "UNSUPPORTED_3MF", id="beams"),
        pytest.param(model(thing(1, mesh(CUBE), SLICES)), "UNSUPPORTED_3MF", id="given in layers"),
        pytest.param(model(thing(1, mesh(CUBE), LOWRES)), "UNSUPPORTED_3MF", id="a coarse stand-in"),
        pytest.param(model(thing(1, "")), "NO_FACETS", id="an object of nothing"),
        pytest.param(model(BOX, ""), "NO_FACETS", id="nothing is to be built"),
        pytest.param(model(BOX, items(placed(2))), "BAD_3MF", id="an object that is not there"),
        pytest.param(model(BOX, '<item objectid="x"/>'), "BAD_3MF", id="an object of no number"),
        pytest.param(model(BOX, "<item/>"), "BAD_3MF", id="no object"),
        pytest.param(model(BOX + BOX), "BAD_3MF", id="the same id twice"),
        pytest.param(model(thing(1, mesh(CUBE), 'type="gift"')), "BAD_3MF", id="unknown type"),
        pytest.param(model(thing(1, mesh(CUBE) + mesh(CUBE))), "BAD_3MF", id="two meshes in one object"),
        pytest.param(model(BOX + thing(2, mesh(CUBE) + components(placed(1))), items(placed(2))), "BAD_3MF", id="mesh and components"),
        pytest.param(model(BOX + "<vertices/>"), "BAD_3MF", id="out of place"),
        pytest.param(item("1 0 0 0 1 0 0 0 1 0 0"), "BAD_3MF", id="eleven numbers"),
        pytest.param(item("1 0 0 0 1 0 0 0 1 0 0 nan"), "BAD_3MF", id="a transform to nowhere"),
        pytest.param(item("1 0 0 0 1 0 1 1 0 0 0 0"), "BAD_3MF", id="pressed flat"),
        pytest.param(item("1 0 0 0 1 0 0 0 1 1e6 0 0"), "RANGE", id="a kilometre away"),
        pytest.param(item("1e300 0 0 0 1e300 0 0 0 1e300 0 0 0"), "RANGE", id="beyond the universe"),
        pytest.param(item("1e308 0 0 0 1e308 0 0 0 1e308 0 0 0"), "NONFINITE", id="beyond all numbers"),
        pytest.param(written('<vertex x="{}" y="nan" z="{}"/>'), "NONFINITE", id="NaN"),
        pytest.param(written("<vertex x='{}' y='-INF' z='{}'/>"), "NONFINITE", id="infinite, the slow way"),
        pytest.param(written('<vertex x="{}" y="1e999" z="{}"/>'), "NONFINITE", id="too large for a number"),
        pytest.param(written('<vertex x="{}" y="1,5" z="{}"/>'), "BAD_3MF", id="decimal comma"),
        pytest.param(written('<vertex x="{}" y="1_0" z="{}"/>'), "BAD_3MF", id="a number only Python takes"),
        pytest.param(written('<vertex x="{} {}" y="" z="{}"/>'), "BAD_3MF", id="two numbers in one"),
        pytest.param(written('<vertex x="{}" y="{}"/>'), "BAD_3MF", id="two coordinates"),
        pytest.param(written('<vertex x="{}" y="1\x01" z="{}"/>'), "BAD_3MF", id="a control character"),
        pytest.param(written('<vertex x="{}\x02{}\x03{}"/>'), "BAD_3MF", id="control characters for attributes"),
        pytest.param(written(triangle='<triangle v1="{}" v2="{}" v3="8"/>'), "BAD_3MF", id="a corner too many"),
        pytest.param(written(triangle='<triangle v1="{}" v2="{}" v3="-1"/>'), "BAD_3MF", id="a corner before the first"),
        pytest.param(written(triangle='<triangle v1="{}" v2="{}" v3="99999999999999999999"/>'), "BAD_3MF", id="a corner without end"),
        pytest.param(written(triangle='<triangle v1="{}" v2="{}" v3="1.5"/>'), "BAD_3MF", id="a corner and a half"),
        pytest.param(model(RING), "TOO_COMPLEX", id="a ring of components"),
        pytest.param(model(TREE, items(placed(11))), "TOO_COMPLEX", id="ten thousand million copies"),
        pytest.param(model("".join(thing(n, "") for n in range(1, 30_000))), "TOO_COMPLEX", id="very many objects"),
        pytest.param(model("<p:x>" * 100 + BOX + "</p:x>" * 100), "BAD_3MF", id="nested deep"),
    ],
)
def test_what_does_not_keep_the_format_is_refused(read: Read, start: str | bytes, code: str) -> None:
    assert refusal(read, package(start))[0] == code


GOOD = package(model(BOX))


def with_bytes(at: int, value: bytes) -> bytes:
    return GOOD[:at] + value + GOOD[at + len(value) :]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "EMPTY", id="nothing"),
        pytest.param(GOOD[:-40], "TRUNCATED", id="cut off"),
        pytest.param(with_bytes(GOOD.rfind(b"PK\1\2") + 8, b"\1"), "BAD_3MF", id="password"),
        pytest.param(with_bytes(GOOD.rfind(b"PK\1\2") + 10, b"\x0c"), "BAD_3MF", id="another packing"),
        pytest.param(with_bytes(GOOD.rfind(b"PK\1\2") + 16, b"\0\0\0\0"), "BAD_3MF", id="wrong checksum"),
        pytest.param(with_bytes(GOOD.rfind(b"PK\1\2") + 42, b"\xff\xff\xff\x7f"), "BAD_3MF", id="a part that lies elsewhere"),
        pytest.param(with_bytes(GOOD.rfind(b"PK\5\6") + 12, b"\xff\xff\xff\x7f"), "BAD_3MF", id="an endless table of contents"),
        pytest.param(package(model(BOX), {f"{n:0>4000}": "" for n in range(300)}), "BAD_3MF", id="a long table of contents"),
        pytest.param(archive({"a.txt": "x"}), "NOT_3MF", id="another ZIP"),
        pytest.param(package(model(BOX), {"3D/3DMODEL.model": model(BOX)}), "BAD_3MF", id="two parts of one name"),
        pytest.param(package(model(BOX), {"_rels/.rels": relations()}), "BAD_3MF", id="no beginning"),
        pytest.param(package(model(BOX), {"_rels/.rels": relations("/3D/3dmodel.model", "/x.model")}), "BAD_3MF", id="two beginnings"),
        pytest.param(package(model(BOX), {"_rels/.rels": "<!DOCTYPE x><x/>"}), "BAD_3MF", id="relations with a type definition"),
        pytest.param(package(model("", ""), {"Metadata/plate_1.gcode": "G28"}), "NO_FACETS", id="sliced already"),
    ],
)
def test_an_archive_that_is_not_sound_is_refused(read: Read, content: bytes, code: str) -> None:
    assert refusal(read, content)[0] == code


def test_more_triangles_than_allowed_are_refused_in_one_object_and_in_copies(read: Read) -> None:
    limits = Limits(max_facets=100)
    flat = [((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))]
    for content in (package(model(thing(1, mesh(flat * 101)))), package(model(BOX, items(*[placed(1)] * 9)))):
        assert refusal(read, content, limits=limits)[0] == "TOO_MANY_FACETS"
    assert refusal(read, package(model(thing(1, mesh(models.rippled_sphere(300))))), limits=limits)[0] == "TOO_COMPLEX"


def test_what_only_expat_can_read_is_bounded(read: Read) -> None:
    other_order = written('<vertex z="{2}" y="{1}" x="{0}"/>')
    with mock.patch.object(model_xml, "_MOST_ELEMENTS", 14):
        assert refusal(read, package(other_order))[0] == "TOO_COMPLEX"
        assert len(read(package(written())).corners) == 12, "plain rows do not count"


# --- anything at all ---------------------------------------------------------------------------------------------------
TOKENS = [*"<>/&\"' \n\0\1", "<vertices>", "</vertices>", "<vertex ", "<triangles>", "<!--", "-->", "<![CDATA[", "]]>", "&#1;"]
TOKENS += ["1e9", "-1", "nan", "<item ", "<object id='1'>", "</object>", "<components>", "\u00e9", "</model>"]
TEXT = model(TREE + thing(12, "<mesh><vertices/><triangles/></mesh>"), items(placed(2), placed(12), placed(1)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), st.sampled_from(TOKENS)), max_size=4))
def test_no_xml_crashes_the_reader(read: Read, changes: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, cut, token in changes:
        text = text[:at] + token + text[at + cut :]
    may_refuse(read, package(text, compression=0))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_no_archive_crashes_the_reader(read: Read, changes: list[tuple[int, bytes]]) -> None:
    content = GOOD
    for at, value in changes:
        content = content[:at] + value + content[at + len(value) :]
    may_refuse(read, content)
