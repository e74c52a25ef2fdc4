"""Real slicers that leave something out and exit with 0: they raise nothing, so all that stands between this and a printer is the proof."""

import sys
from pathlib import Path

import pytest

from agent.domain.plate import SlicedPlate
from agent.ports.slicer import SliceWork
from agent.sandbox import models
from agent.slicers.cura.engine import CuraEngine
from tests.slicers.bench import CURA_DEFINITIONS, Bench, found, script, unproved, work

_DROPS = """
import re, sys, zipfile
from pathlib import Path
path, wanted = Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(path) as package:
    members = {name: package.read(name).decode() for name in package.namelist()}
items = iter(range(10_000))
stays = (lambda item: next(items) < int(wanted[1:])) if wanted[0] == "<" else (lambda item: f'objectid="{wanted}"' not in item)
model = "3D/3dmodel.model"
members[model] = re.sub(r"<item [^>]*/>", lambda item: item[0] if stays(item[0]) else "", members[model])
members[model] = re.sub(rf'<object id="{wanted}".*?</object>', "", members[model])
names = "Metadata/Slic3r_PE_model.config"
members[names] = re.sub(rf'<object id="{wanted}".*?</object>', "", members[names])
with zipfile.ZipFile(path, "w") as package:
    for name, text in members.items():
        package.writestr(name, text)
"""
"""A plate's 3MF without all but the first copies (`<71`), or without the copies of an object (`2`)."""


async def dropping(bench: Bench, ordered: SliceWork, folder: Path, what: str) -> SlicedPlate:
    """What the real PrusaSlicer makes of a plate from which something has got lost on the way; it exits with 0."""
    (folder / "drops.py").write_text(_DROPS)
    body = f'for a; do case "$a" in *.3mf) {sys.executable} {folder / "drops.py"} "$a" "{what}";; esac; done; exec prusa-slicer "$@"'
    return await bench.one(ordered, binary=script(folder / "drops", body))


async def test_71_of_200_copies(bench: Bench, tmp_path: Path) -> None:
    ordered = work(bench.part(models.box(3, 3, 1), "pin", quantity=200), infill_percent=0)
    assert unproved(await bench.one(ordered)) == set()
    short = await dropping(bench, ordered, tmp_path, "<71")
    assert unproved(short) >= {"copies of pin", "place and size of pin"}
    assert found(short, "copies of pin") == "71"


async def test_an_object_that_is_silently_absent(bench: Bench, tmp_path: Path) -> None:
    ordered = work(bench.part(models.cube(6), "here"), bench.part(models.cube(5), "absent"))
    assert unproved(await bench.one(ordered)) == set()
    short = await dropping(bench, ordered, tmp_path, "2")
    assert unproved(short) >= {"copies of absent", "place and size of absent"}


async def test_2_mm_of_20_of_a_cube_that_lacks_a_facet(bench: Bench) -> None:
    """The mesh check would never hand it on; the slicer makes the bottom of it, and is content."""
    ordered = work(bench.part(models.cube(20)[:-1], "cube"))
    low = await bench.one(ordered)
    assert low.height_mm < 5
    assert unproved(low) >= {"height", "place and size of cube", "volume of the parts"}


@pytest.mark.parametrize("facets", [range(11), range(6), range(0, 12, 2)], ids=["one is missing", "half of it", "every other"])
async def test_what_curaengine_makes_of_an_open_mesh(bench: Bench, facets: range) -> None:
    """Nothing, or a part of it."""
    cube = models.cube(20)
    engine = CuraEngine("CuraEngine", CURA_DEFINITIONS)
    (made,) = await bench.slicer(engine=engine).slice(work(bench.part([cube[n] for n in facets], "cube")))
    assert "place and size of cube" in unproved(made)
