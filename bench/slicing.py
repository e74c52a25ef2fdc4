"""What `intagly-agent slice` adds to the slicer it runs, and how fast G-code is read.

Side by side in one run, in turn, wall clock of whole processes: A is prusa-slicer on the plate's own 3MF with the agent's own flat
profile; B is `intagly-agent slice` from the model's file to proved G-code. The 3MF of A is made beforehand, so B's judging, placing,
writing, reading and proving are all counted as added. Processor seconds are told beside, children included: B works on two cores at once
where it can. B's modules are compiled beforehand, as those of an installed package are. `make bench`, or `python -m bench.slicing [PAIRS]`.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.domain.offer import Supports
from agent.domain.plate import PrintSettings
from agent.domain.values import Color
from agent.meshes.stl import write_canonical
from agent.sandbox.models import cube
from agent.slicers.placed import Placed
from agent.slicers.profiles import Profile, ProfileLibrary, as_ini, default_profiles_dir
from agent.slicers.threemf_plate import write_3mf
from bench import mesh_files
from bench.figures import Figure, keep
from tests.rigs.agent_process import AgentHome

RATIO_MOST = 1.10
CUBE_ADDS_MOST_S = 0.4
LINES_LEAST = 1_000_000
FLAT_MOST = 1.2
"""Peak memory of reading a file ten times as long, over that of reading the file."""
_AGENT = [sys.executable, "-m", "agent"]


def main(pairs: int = 5) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        large, small = folder / "large.stl", folder / "small.stl"
        for path, corners in ((large, mesh_files.rippled_sphere(300_000)), (small, np.array(cube(20), np.float32))):
            low, high = corners.min((0, 1)), corners.max((0, 1))
            write_canonical(path, corners - np.array([*(low + high)[:2] / 2, low[2]], np.float32))
        met = [_overhead(folder, small, pairs, large=False), _overhead(folder, large, pairs, large=True), *_reading(folder)]
    keep("slicing", met)
    return 0 if all(figure.met for figure in met) else 1


# --- slicing ---------------------------------------------------------------------------------------------------------
def _overhead(folder: Path, model: Path, pairs: int, *, large: bool) -> Figure:
    profile = ProfileLibrary(default_profiles_dir()).profile("prusa-mk3s")
    bare, agents = _bare(folder, model, profile), _agents(folder, model)
    bare(), agents()  # the first warms both up
    rows = [(_took(bare), _took(agents)) for _ in range(pairs)]
    for name, some in (("A bare slicer", [a for a, _ in rows]), ("B intagly-agent slice", [b for _, b in rows])):
        wall, cpu = [took.wall_s for took in some], statistics.median(took.cpu_s for took in some)
        spread = f"min {min(wall):6.2f}   median {statistics.median(wall):6.2f}   max {max(wall):6.2f} s"
        print(f"  {model.stem}  {name:24} {spread}   {cpu:6.2f} CPU-s")
    if large:
        return _told("B / A, 300 k triangles", statistics.median(b.wall_s / a.wall_s for a, b in rows), RATIO_MOST, "")
    return _told("B - A, cube of 20 mm", statistics.median(b.wall_s - a.wall_s for a, b in rows), CUBE_ADDS_MOST_S, "s")


def _bare(folder: Path, model: Path, profile: Profile) -> Callable[[], None]:
    settings = PrintSettings(material="PLA", color=Color(name="black", hex="#1a1a1a"), infill_percent=15, supports=Supports.NO)
    work = folder / f"bare-{model.stem}"
    work.mkdir()
    (work / "flat.ini").write_text(as_ini(profile.flat(settings)))
    (x0, x1), (y0, y1) = profile.bed_x_mm, profile.bed_y_mm
    write_3mf(work / "plate.3mf", [Placed("item-1", "mesh", (x0 + x1) / 2, (y0 + y1) / 2, 0.0)], {"mesh": model})
    options = ["--datadir", str(work), "--loglevel", "1", "--load", "flat.ini", "--dont-arrange"]
    command = ["prusa-slicer", *options, "-g", "plate.3mf", "-o", "plate.gcode"]
    return lambda: _run(command, work, os.environ)


def _agents(folder: Path, model: Path) -> Callable[[], None]:
    home = AgentHome(folder / f"home-{model.stem}")
    home.add_virtual("mk3s")
    out = folder / f"out-{model.stem}"
    options = ["--config", str(home.config), "--infill", "15", "--supports", "no", "-o", str(out)]
    command = [*_AGENT, "slice", str(model), *options]
    # Its own, so that a setting which keeps Python from compiling for good (as containers have it) changes nothing.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")

    def slice_anew() -> None:
        shutil.rmtree(out, ignore_errors=True)
        _run(command, Path.cwd(), compiled)
        assert list(out.glob("*.gcode")), "nothing proved: it did other work"

    return slice_anew


def _run(command: list[str], cwd: Path, env: Mapping[str, str]) -> None:
    subprocess.run(command, check=True, cwd=cwd, env=env, stdout=subprocess.DEVNULL)


class _Took(NamedTuple):
    wall_s: float
    cpu_s: float


def _took(act: Callable[[], None]) -> _Took:
    began, before = time.monotonic(), _children_s()
    act()
    return _Took(time.monotonic() - began, _children_s() - before)


def _children_s() -> float:
    """Processor seconds of all processes that ended since this one began."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- reading G-code ----------------------------------------------------------------------------------------------------
def _reading(folder: Path) -> list[Figure]:
    """The G-code of the large model, and the same with its layers laid ten times."""
    (gcode,) = (folder / "out-large").glob("*.gcode")
    text = gcode.read_bytes()
    begin, end = text.index(b";LAYER_CHANGE"), text.index(b"; filament used [mm]")
    longer = folder / "longer.gcode"
    with longer.open("wb") as file:
        file.write(text[:begin] + text[begin:end] * 10 + text[end:])
    once, many = _read(gcode), _read(longer)
    lines = text.count(b"\n")
    fast = _told(f"lines of G-code read a CPU-second ({lines:,} lines)", lines / once[0], LINES_LEAST, "", at_least=True)
    return [fast, _told(f"peak memory of ten times the layers, {many[1]:.0f} over {once[1]:.0f} MiB", many[1] / once[1], FLAT_MOST, "")]


def _read(gcode: Path) -> tuple[float, float]:
    """Processor seconds and peak MiB of a process that reads it."""
    before = _children_s()
    code = (
        "import sys\nfrom pathlib import Path\nfrom agent.slicers.gcode import read_facts\nread_facts(Path(sys.argv[1]))\n"
        "print(next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')).split()[1])"
    )
    peak = float(subprocess.run([sys.executable, "-c", code, str(gcode)], check=True, capture_output=True).stdout) / 1024
    return _children_s() - before, peak


def _told(what: str, found: float, bound: float, unit: str, *, at_least: bool = False) -> Figure:
    figure = Figure(what, found, unit, bound, at_least)
    print(figure, flush=True)
    return figure


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
