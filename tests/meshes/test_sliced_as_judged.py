"""PrusaSlicer makes of every mesh called print or repaired a part of its height and of its volume."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from agent.meshes.checks import Judgement, judge
from agent.meshes.limits import Limits
from agent.meshes.stl import read_stl, write_canonical
from agent.sandbox import models
from agent.sandbox.models import Mesh
from tests.meshes.broken import BROKEN, HOLLOW
from tests.meshes.test_mesh_samples import GENERATOR, MANIFEST, SAMPLES, rows

pytestmark = pytest.mark.slow

DIFFERS_MOST = 0.04
"""Lines of plastic are a little more or less than the outline they fill, and steps stand for slopes."""


class Way(NamedTuple):
    """How a model is sliced: with thick lines, which is quick, but for what they are too thick for."""

    nozzle_mm: float = 0.8
    layer_mm: float = 0.4
    times: int = 1
    options: tuple[str, ...] = ()


COARSE, FINE, VERY_COARSE = Way(), Way(0.2, 0.1), Way(1.6, 0.8)
OWN_WAY = {
    "18_3DBenchy_-_Multi-part_-_Single_-_Chimney_top_-_3DBenchy.com_.stl": FINE._replace(options=("--rotate-x", "180")),
    "21_Spider_ascii.stl": Way(0.4, 0.4, times=10),
}
"""The first stands on an edge like a knife's: turned over. The second is 6 mm long and has legs of a fifth of a millimetre: made ten
times as large."""

PROFILE = """
bed_shape = -300x-300,300x-300,300x300,-300x300
max_print_height = 400
nozzle_diameter = {nozzle}
extrusion_width = {width}
first_layer_extrusion_width = {width}
layer_height = {layer}
first_layer_height = {layer}
max_layer_height = {nozzle}
fill_density = 100%
fill_pattern = rectilinear
infill_overlap = 10%
resolution = 0.05
perimeters = 1
seam_position = rear
top_solid_layers = 0
bottom_solid_layers = 0
skirts = 0
brim_width = 0
elefant_foot_compensation = 0
retract_length = 0
support_material = 0
filament_diameter = 1.75
use_relative_e_distances = 1
layer_gcode = G92 E0
start_gcode =
end_gcode =
"""
FILAMENT_MM2 = 3.1416 * 1.75**2 / 4


def sliced_as_judged(judgement: Judgement, folder: Path, way: Way | None = None) -> str:
    """Empty, or how what is sliced differs from what was judged."""
    assert judgement.corners is not None
    box = judgement.box_mm
    way = way or (FINE if max(box) < 15 or min(box) < 2 else COARSE)
    height, volume = sliced(judgement, folder, way)
    if not -way.layer_mm <= height - box[2] * way.times <= way.layer_mm / 2:
        return f"{height:.2f} mm high, not {box[2] * way.times:.2f}"
    expected = judgement.volume_mm3 * way.times**3
    return "" if abs(volume / expected - 1) < DIFFERS_MOST else f"{volume:,.1f} mm³, not {expected:,.1f}"


def sliced(judgement: Judgement, folder: Path, way: Way) -> tuple[float, float]:
    """The top layer's height in mm, and the filament in mm³."""
    assert judgement.corners is not None
    write_canonical(folder / "part.stl", judgement.corners)
    width = round(way.nozzle_mm * 1.1, 3)
    (folder / "flat.ini").write_text(PROFILE.format(nozzle=way.nozzle_mm, layer=way.layer_mm, width=width))
    command = [
        *("prusa-slicer", "--datadir", str(folder / "data"), "--loglevel", "1", "--load", str(folder / "flat.ini")),
        *("--scale", str(way.times), *way.options, "--dont-arrange"),
        *("-g", str(folder / "part.stl"), "-o", str(folder / "part.gcode")),
    ]
    (folder / "part.gcode").unlink(missing_ok=True)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr[-500:]
    gcode = (folder / "part.gcode").read_text()
    used = re.search(r"; filament used \[mm\] = ([\d.]+)", gcode)
    assert used is not None
    return max(float(z) for z in re.findall(r"^;Z:([\d.]+)", gcode, re.MULTILINE)), float(used[1]) * FILAMENT_MM2


def judged(path: Path) -> Judgement:
    return judge(read_stl(path, Limits()), 64)


# --- models of our own -------------------------------------------------------------------------------------------------
OWN: dict[str, Mesh] = {
    "cube": models.cube(20),
    "T": models.t_shape(),
    "demo part": models.demo_part(),
    "hollow": HOLLOW,
    "touching": models.touching_cubes(),
    "overlapping": models.overlapping_cubes(),
    "one in the other": models.cube(20) + models.moved(models.cube(10), 5, 5, 5),
    "inside out": models.inverted(models.demo_part()),
    **{name: case.mesh for name, case in BROKEN.items()},
}


@pytest.mark.parametrize("name", OWN)
def test_own_models(name: str, tmp_path: Path) -> None:
    judgement = judge(np.array(OWN[name], np.float32), 64)
    assert judgement.verdict in ("print", "repaired")
    assert sliced_as_judged(judgement, tmp_path, VERY_COARSE if max(judgement.box_mm) > 50 else None) == ""


# --- models of the world -----------------------------------------------------------------------------------------------
def to_be_printed() -> list[str]:
    """Those of the real models an engineer would print, be it on a larger printer."""
    listed = rows(MANIFEST) if MANIFEST.exists() else []
    larger = "accept where the printer is larger"
    return [row["file"] for row in listed if row["expected"] in ("print", "repaired") or larger in row["reason"]]


@pytest.mark.parametrize("name", to_be_printed())
def test_real_models(name: str, tmp_path: Path) -> None:
    judgement = judged(SAMPLES / name)
    assert judgement.verdict in ("print", "repaired")
    assert sliced_as_judged(judgement, tmp_path, OWN_WAY.get(name)) == ""


@pytest.mark.skipif(not GENERATOR.exists(), reason="the generator of bad files is not beside this checkout")
def test_bad_files_that_are_to_be_printed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(GENERATOR), str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    expected = {row["file"]: row["expected"] for row in rows(tmp_path / "expected.tsv")}
    seen: set[bytes] = set()
    for name in (name for name, verdict in expected.items() if verdict in ("print", "repair")):
        judgement = judged(tmp_path / name)
        assert judgement.verdict in ("print", "repaired"), name
        assert judgement.corners is not None
        if judgement.corners.tobytes() not in seen:
            assert sliced_as_judged(judgement, tmp_path) == "", name
            seen.add(judgement.corners.tobytes())
    assert len(seen) > 10
