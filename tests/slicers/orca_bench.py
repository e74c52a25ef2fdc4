"""A profile with presets for OrcaSlicer and Bambu Studio, and a program that behaves as their sources say."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from agent.slicers.orca.engine import OrcaEngine
from agent.slicers.orca.settings import BAMBU, ORCA
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from tests.slicers.bench import Bench, script, settings

FAKE = Path(__file__).parent / "fake_orca.py"
BRANDS = {"orca": ORCA, "orca-bbl": ORCA, "bambu": BAMBU}
VERSIONS = {"orca": "OrcaSlicer-01.10.01.50:", "orca-bbl": "OrcaSlicer-01.10.01.50:", "bambu": "BambuStudio-02.08.02.61:"}

MACHINE: dict[str, Any] = {
    "type": "machine",
    "name": "My printer 0.4 nozzle",
    "from": "User",
    "inherits": "",
    "version": "2.3.0.0",
    "printable_area": ["0x0", "250x0", "250x210", "0x210"],
    "printable_height": "210",
    "nozzle_diameter": ["0.4"],
    "retraction_length": ["0.8"],
    "z_hop": ["0.2"],
    "z_hop_types": ["Auto Lift"],
    "default_filament_profile": ["Generic PLA"],
    "machine_max_acceleration_x": ["1000", "1000"],
    "machine_start_gcode": 'G28 ; "home"\nM400\n',
}
PROCESS: dict[str, Any] = {
    "type": "process",
    "name": "0.20mm Standard",
    "from": "User",
    "version": "2.3.0.0",
    "layer_height": "0.28",
    "initial_layer_print_height": "0.25",
    "wall_loops": "2",
    "sparse_infill_density": "15%",
    "sparse_infill_pattern": "gyroid",
    "enable_support": "0",
    "support_type": "tree(auto)",
    "enable_arc_fitting": "1",
    "print_sequence": "by layer",
    "initial_layer_speed": "50%",
    "post_process": "",
}
FILAMENT: dict[str, Any] = {
    "type": "filament",
    "name": "Generic PLA",
    "from": "User",
    "filament_id": "GFL99",
    "filament_type": ["PLA"],
    "filament_diameter": ["1.75"],
    "filament_colour": ["#00AE42"],
    "filament_vendor": ["Some Vendor"],
    "nozzle_temperature": ["199"],
    "hot_plate_temp": ["55"],
    "filament_z_hop_types": ["Spiral Lift"],
    "filament_retraction_length": ["nil"],
    "filament_start_gcode": ["; filament start\nM400"],
}


def presets(folder: Path, **changed: dict[str, Any]) -> None:
    """The three files; `changed` lays some settings over one of them, and None takes one out."""
    (folder / "orca").mkdir(exist_ok=True)
    for name, values in (("machine", MACHINE), ("process", PROCESS), ("filament-PLA", FILAMENT)):
        laid = {**values, **changed.get(name.partition("-")[0], {})}
        (folder / "orca" / f"{name}.json").write_text(json.dumps({key: value for key, value in laid.items() if value is not None}))


def with_presets(bench: Bench, **changed: dict[str, Any]) -> Path:
    """The bench gets one profile, `mine`: the MK3S's with presets for these programs."""
    folder = bench.folder / "profiles" / "mine"
    shutil.copytree(default_profiles_dir() / "prusa-mk3s", folder)
    about = folder / "profile.toml"
    named = 'slicers = ["prusaslicer", "orcaslicer", "bambustudio"]'
    about.write_text("\n".join([named, *(line for line in about.read_text().splitlines() if not line.startswith("slicers"))]))
    presets(folder, **changed)
    bench.profiles = ProfileLibrary(folder.parent)
    return folder


def fake(bench: Bench, kept: Path, writes: str = "orca", **plan: Any) -> OrcaEngine:
    """`plan`: what goes wrong, see fake_orca.py. `kept`: where G-code of the real PrusaSlicer is kept for all tests."""
    ini = bench.profiles.profile("mine").flat(settings())
    told = {"writes": writes, "ini": ini, "kept": str(kept), "folder": str(bench.folder), **plan}
    path = bench.folder / "plan.json"
    path.write_text(json.dumps(told))
    body = f'echo "[2026-11-27 12:00:00] [0x01] [warning] cli mode"\nexec {sys.executable} {FAKE} {path} "$@"'
    return OrcaEngine(BRANDS[writes], script(bench.folder / "fake", body, VERSIONS[writes]))


def failing(bench: Bench, body: str, writes: str = "orca") -> OrcaEngine:
    """One that does what `body` says, with its folder of results in $results."""
    return OrcaEngine(BRANDS[writes], script(bench.folder / "failing", f"results=out\n{body}", VERSIONS[writes]))
