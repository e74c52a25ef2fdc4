"""OrcaSlicer and Bambu Studio as their public sources say that they behave. Neither was at hand: this is no recording of either.

`python fake_orca.py PLAN …` is called as they are. What it slices is sliced by the real PrusaSlicer and put into their words, so the
moves are real ones. PLAN is a JSON file: which of the two it is and how it writes, and what goes wrong.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

Values = dict[str, Any]

FEATURES = {
    "Perimeter": "Inner wall",
    "External perimeter": "Outer wall",
    "Overhang perimeter": "Overhang wall",
    "Internal infill": "Sparse infill",
    "Solid infill": "Internal solid infill",
    "Top solid infill": "Top surface",
    "Bridge infill": "Bridge",
    "Gap fill": "Gap infill",
    "Skirt/Brim": "Skirt",
    "Support material": "Support",
    "Support material interface": "Support interface",
}
"""role_to_string of src/libslic3r/ExtrusionEntity.cpp."""
TO_PRUSA = {
    "layer_height": "layer_height",
    "initial_layer_print_height": "first_layer_height",
    "sparse_infill_density": "fill_density",
    "sparse_infill_pattern": "fill_pattern",
    "enable_support": "support_material",
    "nozzle_temperature": "temperature",
    "nozzle_temperature_initial_layer": "first_layer_temperature",
    "hot_plate_temp": "bed_temperature",
    "hot_plate_temp_initial_layer": "first_layer_bed_temperature",
    "wall_loops": "perimeters",
    "xy_contour_compensation": "xy_size_compensation",
}
ABOUT = ("type", "name", "from", "inherits", "version", "setting_id", "filament_id", "instantiation", "compatible_printers")
OWN = tuple(f"setting_of_its_own_{n}" for n in range(120))
"""They write some 500 settings, most of which no preset names."""
UNKNOWN = ("made_up_setting",)
TEXTS = ("filament_type", "filament_colour", "filament_vendor", "filament_start_gcode", "filament_end_gcode", "default_filament_profile")
"""Vectors of text; all others are numbers or words that are joined by commas."""


def main() -> int:
    plan, argv = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:]
    (Path(plan["folder"]) / "argv.json").write_text(json.dumps(argv))
    options = dict(pairwise(argv))
    out = Path(options["--outputdir"])
    machine, process = (json.loads(Path(name).read_text()) for name in options["--load-settings"].split(";"))
    filament = json.loads(Path(options["--load-filaments"]).read_text())
    name = machine["name"] if machine["from"] == "system" else machine.get("inherits", "")
    if name not in process.get("compatible_printers", []):
        return ended(out, -17, "The selected printer is not compatible with the process preset in the 3mf.")
    if options["--arrange"] != "0" or options["--orient"] != "0" or options["--slice"] != "0":
        return ended(out, -2, "Invalid parameters to the slicer.")
    told = together(machine, process, filament)
    used = {key: value for key, value in (told | plan.get("changed", {})).items() if key not in (*UNKNOWN, *plan.get("dropped", []))}
    raw = sliced(Path(argv[-1]), used, plan)
    said = told if plan.get("lies") else used
    (out / "plate_1.gcode").write_text("".join(f"{line}\n" for line in written(raw, said, plan["writes"])))
    return ended(out, 0, "Success.", plan.get("warning", ""))


def together(machine: Values, process: Values, filament: Values) -> Values:
    """Single texts of a filament are skipped (OrcaSlicer.cpp: `skip scalar option`)."""
    lists = {key: value for key, value in filament.items() if isinstance(value, list)}
    return {key: value for key, value in (machine | process | lists).items() if key not in ABOUT}


def ended(out: Path, code: int, says: str, warning: str = "") -> int:
    """record_exit_reson; the exit status is the lowest byte."""
    plates = (
        [{"id": 1, "sliced_time": 1, "sliced_time_with_cache": 0, "triangle_count": 12, "warning_message": warning}] if code == 0 else []
    )
    result = {"error_string": says, "export_time": 0, "plate_index": 0, "prepare_time": 0, "return_code": code}
    (out / "result.json").write_text(json.dumps(result | ({"sliced_plates": plates} if plates else {}), indent=4))
    return code & 0xFF


# --- slicing ----------------------------------------------------------------------------------------------------------
def sliced(package: Path, used: Values, plan: Values) -> list[str]:
    """The same is sliced once in a session."""
    with zipfile.ZipFile(package) as members:
        model = members.read("3D/3dmodel.model").decode()
    ini = {**plan["ini"], **{ours: first(used[key]) for key, ours in TO_PRUSA.items() if key in used}}
    ini["start_gcode"] += plan.get("start_gcode", "")
    if "copies" in plan:
        items = re.findall("<item .*?/>", model)
        model = model.replace("".join(items), "".join(items[: plan["copies"]]))
    model = with_own_meshes(model)
    text = "".join(f"{key} = {value}\n" for key, value in sorted(ini.items()))
    kept = Path(plan["kept"]) / hashlib.sha256((model + text).encode()).hexdigest()
    if not kept.is_file():
        work = kept.with_suffix(".work")
        work.mkdir()
        (work / "flat.ini").write_text(text)
        with zipfile.ZipFile(package) as members, zipfile.ZipFile(work / "plate.3mf", "w") as copy:
            for member in members.namelist():
                if "Slic3r_PE" not in member:  # they do not read that
                    copy.writestr(member, model if member.endswith(".model") else members.read(member))
        command = ["prusa-slicer", "--datadir", str(work), "--load", str(work / "flat.ini"), "--dont-arrange"]
        subprocess.run([*command, "-g", str(work / "plate.3mf"), "-o", str(work / "x.gcode")], check=True, stdout=subprocess.DEVNULL)
        (work / "x.gcode").replace(kept)
    return kept.read_text().splitlines()


def with_own_meshes(model: str) -> str:
    """What is built takes its components for its volumes (bbs_3mf.cpp _generate_current_object_list); PrusaSlicer looks through them."""
    meshes = dict(re.findall(r'<object id="(\d+)"[^>]*>(<mesh>.*?</mesh>)</object>', model, re.DOTALL))
    model = re.sub(r'<components><component objectid="(\d+)"/></components>', lambda found: meshes[found[1]], model)
    built = set(re.findall(r'<item objectid="(\d+)"', model))
    return re.sub(r'<object id="(\d+)".*?</object>', lambda found: found[0] if found[1] in built else "", model, flags=re.DOTALL)


def first(value: Any) -> str:
    return str(value if isinstance(value, str) else value[0])


# --- in their words ---------------------------------------------------------------------------------------------------
def written(raw: list[str], said: Values, writes: str) -> Iterator[str]:
    """`writes`: "orca" for most printers, "orca-bbl" and "bambu" for Bambu Lab's own."""
    totals = {found[1]: found[2] for line in raw if (found := re.match(r"; (.+?) = (.+)", line))}
    time = totals["estimated printing time (normal mode)"]
    own = writes != "orca"
    yield "; HEADER_BLOCK_START"
    yield "; BambuStudio 02.08.02.61" if writes == "bambu" else "; generated by OrcaSlicer 2.3.0 on 2026-11-27 at 12:00:00"
    if own:
        yield f"; model printing time: 1m 1s; total estimated time: {time}"
    yield f"; total layer number: {raw.count(';LAYER_CHANGE')}"
    if writes == "bambu":
        yield f"; total filament length [mm] : {totals['filament used [mm]']}"
        yield "; total filament volume [cm^3] : 773.64"
        yield f"; total filament weight [g] : {totals['filament used [g]']}"
    yield from ("; filament_diameter: 1.75", "; max_z_height: 10.00", "; HEADER_BLOCK_END", "")
    if own:
        yield from config(said)
    yield from ("; external perimeters extrusion width = 0.45mm", "", "; EXECUTABLE_BLOCK_START")
    yield from body(raw, writes)
    yield from ("; EXECUTABLE_BLOCK_END", "")
    if writes != "bambu":
        yield from (f"; filament used [{unit}] = {totals[f'filament used [{unit}]']}" for unit in ("mm", "cm3", "g"))
    if not own:
        yield from (f"; total filament used [g] = {totals['filament used [g]']}", "; total filament cost = 0.00")
        yield from (f"; estimated printing time (normal mode) = {time}", "")
        yield from config(said)
        yield ""
    yield ""


def body(raw: list[str], writes: str) -> Iterator[str]:
    numbers: dict[str, int] = {}
    late = ""
    for line in raw[1 : next(n for n, line in enumerate(raw) if line.startswith("; filament used"))]:
        if line == ";LAYER_CHANGE":
            yield from [line] if writes == "orca" else ["; CHANGE_LAYER", "; LAYER_HEIGHT: 0.2"]
        elif line.startswith(";TYPE:"):
            feature = FEATURES.get(line[6:], line[6:])
            yield f";TYPE:{feature}" if writes == "orca" else f"; FEATURE: {feature}"
        elif line.startswith("; printing object "):
            number = numbers.setdefault(line, 81 + 40 * len(numbers))
            yield from begins(line, number, late, writes)
        elif line.startswith("; stop printing object "):
            number = numbers[line.replace("stop ", "", 1)]
            late = f"; stop printing object, unique label id: {number}"
            yield from {"orca": [line, "EXCLUDE_OBJECT_END"], "orca-bbl": [line], "bambu": [late, "M625"]}[writes]
        elif not re.match(r"; (external perimeters|perimeters|infill|solid infill|top infill|first layer) extrusion width", line):
            yield line


def begins(line: str, number: int, late: str, writes: str) -> Iterator[str]:
    """GCode.cpp process_layer; the end of one is written with the beginning of the next (GCodeWriter add_object_change_labels).

    Of several copies of an object all but the first have lost their name (bbs_3mf.cpp, "split as instance").
    """
    line = re.sub(r"object \S+( id:\d+ copy [1-9])", r"object \1", line)
    mask = base64.b64encode((1 << (number - 81) // 40).to_bytes(8, "little")).decode()
    if writes != "bambu":
        yield line
    if writes == "orca":
        yield f"EXCLUDE_OBJECT_START NAME=OBJECT_ID_{number}_COPY_0"
        return
    if writes == "orca-bbl" and late:
        yield from (late, "M625")
    if writes == "bambu":
        yield f"; OBJECT_ID: {number}"
    yield from (f"; start printing object, unique label id: {number}", f"M624 {mask}")


def config(said: Values) -> Iterator[str]:
    """append_full_config: sorted, without what is not set."""
    yield "; CONFIG_BLOCK_START"
    for key, value in sorted((said | dict.fromkeys(OWN, "0")).items()):
        text = serialized(key, value)
        if text != "nil":
            yield f"; {key} = {text}"
    yield "; CONFIG_BLOCK_END"
    yield ""


def serialized(key: str, value: Any) -> str:
    if isinstance(value, str):
        return escaped(value)
    if key not in TEXTS:
        return ",".join(value)
    return ";".join(f'"{escaped(one)}"' if re.search(r"[\s\"\\;]|^$", one) else one for one in value)


def escaped(text: str) -> str:
    return re.sub(r'[\\"\n\r]', lambda found: {"\n": "\\n", "\r": "\\r"}.get(found[0], "\\" + found[0]), text)


if __name__ == "__main__":
    sys.exit(main())
