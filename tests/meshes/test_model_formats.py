"""One door for STL, 3MF and OBJ: the name says which is meant, the content must be it, and no file takes more than it may."""

import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.mesh import MeshReport, Verdict
from agent.ledger.files import DiskStore
from agent.meshes.inspector import ChildInspector
from agent.sandbox import models
from tests.meshes.packages import archive, components, items, mesh, model, package, placed, relations, thing
from tests.meshes.reads import Read, refusal

CUBE = models.cube(20)
BOX = thing(1, mesh(CUBE))
CONTENTS = {
    "STL": models.binary_stl(CUBE),
    "ASCII STL": models.ascii_stl(CUBE),
    "3MF": package(model(BOX)),
    "OBJ": "".join([*(f"v {x} {y} {z}\n" for facet in CUBE for x, y, z in facet), "f -3 -2 -1\n"]).encode(),
    "ZIP": archive({"readme.txt": "hello"}),
    "cut ZIP": package(model(BOX))[:-100],
    "gzip": b"\x1f\x8b\x08\0",
    "web page": b"<!DOCTYPE html><p>404</p>",
    "STEP": b"ISO-10303-21;\nHEADER;\n",
    "JSON": b'{"error": "expired"}',
}


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    opened = DiskStore(tmp_path / "files")
    opened.open()
    return opened


@pytest.fixture
async def inspector(store: DiskStore) -> AsyncIterator[ChildInspector]:
    async with ChildInspector(store) as entered:
        yield entered


def told(report: MeshReport) -> tuple[Verdict, list[str]]:
    return report.verdict, [reason.code for reason in report.reasons]


# --- what it is called, and what it is ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("part.stl", ("STL", "ASCII STL")),
        ("PART.STL", ("STL", "ASCII STL")),
        ("part", ("STL", "ASCII STL")),
        ("part.3mf.bak", ("STL", "ASCII STL")),
        ("part.3mf", ("3MF",)),
        ("a.stl.3Mf", ("3MF",)),
        ("part.obj", ("OBJ",)),
        (".OBJ", ("OBJ",)),
    ],
)
def test_the_last_ending_says_what_is_meant_and_the_content_must_be_it(read: Read, name: str, reads: tuple[str, ...]) -> None:
    for kind, content in CONTENTS.items():
        if kind in reads:
            assert len(read(content, name).corners)
        else:
            expected = {"3MF": ("NOT_3MF", "TRUNCATED"), "OBJ": ("NOT_OBJ",)}.get(reads[0], ("NOT_STL",))
            assert refusal(read, content, name)[0] in expected, kind


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        ("3MF", "part.stl", "This is a 3MF file, not an STL file. Called .3mf, it is read."),
        ("OBJ", "part.stl", "This is an OBJ file, not an STL file. Called .obj, it is read."),
        ("STL", "part.3mf", "This is an STL file, not a 3MF file. Called .stl, it is read."),
        ("ASCII STL", "part.obj", "This is an STL file, not an OBJ file. Called .stl, it is read."),
        ("3MF", "part.obj", "This is a 3MF file, not an OBJ file. Called .3mf, it is read."),
        ("ZIP", "part.stl", "This is a ZIP archive, not an STL file."),
        ("cut ZIP", "part.3mf", "The file was cut off: it is a ZIP archive without its end."),
        ("gzip", "part.3mf", "This is a gzip archive, not a 3MF file."),
        ("STEP", "part.obj", "This is a STEP file, not an OBJ file."),
        ("JSON", "part.3mf", "This is something else, not a 3MF file."),
        ("JSON", "part.obj", "This is a text file, but not an OBJ file."),
    ],
)
def test_what_it_is_not_is_told_by_what_it_is(read: Read, content: str, name: str, sentence: str) -> None:
    assert refusal(read, CONTENTS[content], name)[1] == sentence


NAMES = ["../../x.{}", "/etc/passwd.{}", "..\\x.{}", "a\0b.{}", "-o.{}", "$(id).{}", "a\nb.{}", "x" * 300 + ".{}"]
NAMES += ["\u202elts.{}", "x\ud800.{}", " .{}", ".{}"]
ODD_ENDINGS = ["x.{}.exe", "x.{}.", "x.{}/", "x.{}?y=1", "x.{} ", "{}", "x{}"]


async def test_no_name_does_anything_but_end(store: DiskStore, inspector: ChildInspector) -> None:
    part = store.put(CONTENTS["3MF"])
    for name in NAMES:
        assert told(await inspector.inspect(part, name.format("3mf"))) == (Verdict.PRINT, []), name
    for name in ODD_ENDINGS:
        assert told(await inspector.inspect(part, name.format("3mf"))) == (Verdict.REJECT, ["NOT_STL"]), name
    assert sorted(path.name for path in (store.path(part).parents[1]).iterdir() if path.is_file()) == []


# --- through the child process -----------------------------------------------------------------------------------------
async def test_every_format_of_one_model_becomes_the_same_canonical_file(store: DiskStore, inspector: ChildInspector) -> None:
    part = models.moved(models.demo_part(), 3, 4, 5)
    obj = "".join([*(f"v {x!r} {y!r} {z!r}\n" for facet in part for x, y, z in facet), "".join("f -3 -2 -1\n" for _ in ())])
    obj += "".join(f"f {3 * n + 1} {3 * n + 2} {3 * n + 3}\n" for n in range(len(part)))
    reports = [
        await inspector.inspect(store.put(content), name)
        for content, name in (
            (models.binary_stl(part), "part.stl"),
            (package(model(thing(1, mesh(part)))), "part.3mf"),
            (obj.encode(), "part.obj"),
        )
    ]
    assert [told(report) for report in reports] == [(Verdict.PRINT, [])] * 3
    assert len({report.canonical_sha256 for report in reports}) == 1


async def test_what_the_reader_saw_stands_beside_what_the_checks_say(store: DiskStore, inspector: ChildInspector) -> None:
    tiny = model(thing(1, mesh(models.cube(0.1))), items(placed(1), placed(1, "1 0 0 0 1 0 0 0 1 0 0 9")), 'unit="inch"')
    report = await inspector.inspect(store.put(package(tiny)), "part.3mf")
    assert report.verdict is Verdict.HOLD and report.canonical_sha256
    assert {"UNIT_CONVERTED", "SEVERAL_PARTS", "FLOATING"} <= set(told(report)[1])
    assert report.bounding_box_mm == pytest.approx((2.54, 2.54, 9 * 25.4 + 2.54))


TREE = BOX + "".join(thing(n, components(*[placed(n - 1)] * 10)) for n in range(2, 12))


def bomb(told: int) -> bytes:
    """A part of four hundred megabytes of blanks, one packed megabyte again and again; `told`: how many bytes it says it has."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    blanks = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = blanks * 400 + packer.flush()
    small = package(b"", compression=0)
    sizes = len(packed).to_bytes(4, "little") + told.to_bytes(4, "little")
    directory, last, end = small.find(b"PK\1\2"), small.rfind(b"PK\1\2"), small.find(b"PK\5\6")
    local = directory - 30 - len("3D/3dmodel.model")
    deflated = (8).to_bytes(2, "little")
    return b"".join(
        (
            *(small[: local + 8], deflated, small[local + 10 : local + 18], sizes, small[local + 26 : directory], packed),
            *(small[directory : last + 10], deflated, small[last + 12 : last + 20], sizes, small[last + 28 : end]),
            *(small[end : end + 16], (directory + len(packed)).to_bytes(4, "little"), small[end + 20 :]),
        )
    )


HOSTILE = {
    "a bomb of blanks.3mf": ("TOO_LARGE", lambda: bomb(400 * 2**20)),
    "a bomb that lies.3mf": ("BAD_3MF", lambda: bomb(1000)),
    "ten thousand million copies.3mf": ("TOO_COMPLEX", lambda: package(model(TREE, items(placed(11))))),
    "rows that begin in a comment.3mf": ("BAD_3MF", lambda: package(model(f"<!--{'<vertices>' * 1_000_000}-->"), compression=0)),
    "rows of nothing.3mf": ("BAD_3MF", lambda: package(model(f'<object id="1"><mesh>{"<vertices></vertices>" * 500_000}'), compression=0)),
    "an endless attribute.3mf": ("BAD_3MF", lambda: package(model(f'<p:x a="{"z" * 50_000_000}"/>'), compression=0)),
    "an endless number.3mf": (
        "BAD_3MF",
        lambda: package(model(f'<object id="1"><mesh><vertices><vertex x="{"1" * 50_000_000}'), compression=0),
    ),
    "a table of contents and nothing else.3mf": ("BAD_3MF", lambda: archive({f"{n:0>4000}": "" for n in range(300)})),
    "an endless line.obj": ("BAD_OBJ", lambda: b"v 0 0 0\nf " + b"1 1 1 " * 5_000_000),
    "blanks.obj": ("NO_FACETS", lambda: b"v 0 0 0\n" + b"\n " * 10_000_000),
}


@pytest.mark.slow
async def test_no_hostile_file_takes_more_than_it_may(store: DiskStore, inspector: ChildInspector) -> None:
    """Processor time, not a clock's: others work on this machine. Memory was enough, too: else the file would be held, not refused."""
    await inspector.inspect(store.put(CONTENTS["STL"]), "part.stl")
    worker = inspector.worker_pid
    for name, (code, made) in HOSTILE.items():
        sha256 = store.put(made())
        before = _cpu_s(worker)
        report = await inspector.inspect(sha256, name)
        assert told(report) == (Verdict.REJECT, [code]), name
        assert _cpu_s(worker) - before < 10, name
    assert inspector.worker_pid == worker


def _cpu_s(worker: int | None) -> float:
    """Of the processes it forked, as far as they have ended: user and system."""
    spent = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[13:15]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


# --- nothing but the file ----------------------------------------------------------------------------------------------
WATCHED = """
import os, sys
from pathlib import Path
from agent.meshes.formats import read_model
from agent.meshes.limits import Limits
from agent.meshes.reading import UnreadableModel
read_model(Path(sys.argv[1]), "warm.3mf", Limits())
read_model(Path(sys.argv[2]), "warm.obj", Limits())
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args[0]))))
for path in map(Path, sys.argv[3:]):
    try:
        read_model(path, path.name, Limits())
    except UnreadableModel:
        pass
touched = {what for event, what in seen if event == "open"}
others = sorted({event for event, _ in seen if event.split(".")[0] in ("socket", "subprocess", "os", "ctypes", "urllib", "shutil")})
print(sorted(touched - set(sys.argv[3:])), others)
"""


def test_nothing_else_is_opened_whatever_a_file_names(tmp_path: Path) -> None:
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd secret.png\n")
    (tmp_path / "secret.model").write_text(model(BOX))
    outside = f'<!DOCTYPE model [<!ENTITY x SYSTEM "file://{tmp_path}/secret.model">]>' + model("&x;")[39:]
    files = {
        "entity.3mf": package(outside),
        "start.3mf": package(model(BOX), {"_rels/.rels": relations("../secret.model")}),
        "part.3mf": package(model(BOX, f'<item objectid="1" p:path="{tmp_path}/secret.model"/>')),
        "climbs.3mf": package(model(BOX), {f"../../{tmp_path}/evil": "x"}),
        "good.3mf": CONTENTS["3MF"],
        "materials.obj": b"mtllib secret.mtl\nusemap secret.png\n" + CONTENTS["OBJ"].replace(b"f -3", b"usemtl a\nf -3"),
        "call.obj": CONTENTS["OBJ"] + b"call secret.mtl\ncsh touch evil\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "warm.obj").write_bytes(CONTENTS["OBJ"])
    command = [sys.executable, "-c", WATCHED, "good.3mf", "warm.obj", *files]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    told = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert told.stdout == "[] []\n", told.stderr
    assert not (tmp_path / "evil").exists()
