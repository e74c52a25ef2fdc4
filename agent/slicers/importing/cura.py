"""A Cura definition (.def.json), resolved over those it inherits from.

CuraEngine reads leaves only, and our engine resolves Cura's root definition over what a profile gives. So what the machine's own
definition makes different from that goes into `cura.ini`; what follows by a formula from something the order decides cannot be frozen
there, and is left to Cura's own formulas. Materials and qualities are other files of Cura's, and are not read.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.domain.errors import ConfigError, Refused
from agent.domain.values import one_line
from agent.slicers.cura.definitions import Definitions, resolved
from agent.slicers.cura.definitions import Setting as CuraSetting
from agent.slicers.cura.formulas import Value
from agent.slicers.cura.settings import cura_settings
from agent.slicers.importing import taken
from agent.slicers.importing.cura_code import code_of, heats
from agent.slicers.importing.draft import Draft, Left, Setting
from agent.slicers.importing.finish import add_filament, fill, material
from agent.slicers.importing.presets import Choice
from agent.slicers.importing.sources import Source

_ENDING = ".def.json"
_DEEPEST = 12
_HINT = "Give a printer's file of Cura's resources/definitions."
_FLAVORS = ("RepRap (Marlin/Sprinter)", "RepRap (RepRap)", "Repetier")
_PATTERNS = {
    "lines": "rectilinear",
    "zigzag": "rectilinear",
    "trihexagon": "stars",
    "cubicsubdiv": "adaptivecubic",
    **{name: name for name in ("grid", "triangles", "cubic", "concentric", "gyroid", "lightning")},
}
_OF_THE_ORDER = ("infill_sparse_density", "infill_pattern", "layer_height", "support_enable")
_OF_THE_FILAMENT = (
    *("material_print_temperature", "material_print_temperature_layer_0", "material_bed_temperature", "material_bed_temperature_layer_0"),
    *("default_material_print_temperature", "default_material_bed_temperature", "material_diameter"),
)
_OF_THE_MACHINE = (
    *("machine_width", "machine_depth", "machine_height", "machine_center_is_zero", "machine_nozzle_size", "machine_extruder_count"),
    *("machine_start_gcode", "machine_end_gcode", "relative_extrusion", "machine_firmware_retract", "layer_height_0", "machine_name"),
)
_WORD = re.compile(r"[a-z][a-z0-9_]+")
_NAME = re.compile(r"[\w .+()-]{1,100}")
"""Of a definition; it becomes the name of a file."""
_CIRCLE_CORNERS = 72


def from_cura(sources: Sequence[Source], choice: Choice, folder: Path) -> Draft:
    """Refused in our words where it cannot be used. `folder` holds Cura's definitions/ and extruders/."""
    source = sources[0]
    if len(sources) > 1 or choice != Choice():
        raise Refused(
            "A Cura definition is imported by itself.", hint="--printer, --print and --filament choose among presets; it has none."
        )
    document = source.json()
    _require_shape(document, source.name)
    try:
        settings = Definitions(folder, source.path).settings(source.path.name[: -len(_ENDING)])
        return _draft(source, document, settings, resolved(settings, {}), Definitions(folder).settings())
    except ConfigError as error:  # of an engine at work it would be one; here it is the file that is no good
        raise Refused(str(error), hint=error.hint) from error


def _draft(
    source: Source,
    document: Mapping[str, Any],
    settings: Mapping[str, CuraSetting],
    values: Mapping[str, Value],
    root: Mapping[str, CuraSetting],
) -> Draft:
    name = document.get("name")
    draft = Draft(name if isinstance(name, str) else source.path.stem, source.name, ("curaengine",))
    _require_usable(values, source)
    label = f"{source.name} and what it inherits from"
    draft.machine = {key: Setting(value, label) for key, value in _machine(values, source).items()}
    draft.process = {key: Setting(value, label) for key, value in _process(values).items()}
    add_filament(draft, _material(document, draft), {key: Setting(value, label) for key, value in _filament(values).items()})
    fill(draft, "grid")
    _fill_layers(draft, values)
    _own_words(draft, label, settings, values, root)
    taken.look_at_commands(draft, draft.machine)
    draft.check.append("Cura keeps temperatures in its material files, which were not read: these are the definition's own.")
    draft.excluded = _excluded(values, source)
    return draft


# --- what is refused --------------------------------------------------------------------------------------------------
def _require_shape(document: Mapping[str, Any], name: str) -> None:
    """A person's own file; those of Cura's that it inherits from are as Cura wants them."""
    if not _is_name(document.get("inherits")):
        raise Refused(f"{name} inherits from nothing, so it is no printer's definition.", hint=_HINT)
    metadata = document.get("metadata", {})
    trains = metadata.get("machine_extruder_trains", {}) if isinstance(metadata, dict) else None
    if not isinstance(trains, dict) or not all(map(_is_name, trains.values())):
        raise Refused(f"{name}: metadata or its machine_extruder_trains is no object.", hint=_HINT)
    for part in ("settings", "overrides"):
        _require_tree(document.get(part, {}), f"{name}: {part}", 0)


def _is_name(said: object) -> bool:
    return isinstance(said, str) and _NAME.fullmatch(said) is not None


def _require_tree(tree: object, where: str, depth: int) -> None:
    if not isinstance(tree, dict) or not all(isinstance(one, dict) for one in tree.values()) or depth > _DEEPEST:
        raise Refused(f"{where} is no object of objects.", hint=_HINT)
    for key, properties in tree.items():
        if not isinstance(properties.get("type", ""), str):
            raise Refused(f"{where}.{one_line(key)[:60]}: its type is no text.", hint=_HINT)
        _require_tree(properties.get("children", {}), f"{where}.{one_line(key)[:60]}", depth + 1)


def _require_usable(values: Mapping[str, Value], source: Source) -> None:
    flavor, extruders = values["machine_gcode_flavor"], values["machine_extruder_count"]
    if flavor not in _FLAVORS:
        raise Refused(
            f"{source.name} is for printers that speak {one_line(str(flavor))[:40]}.", hint=f"Those of {', '.join(_FLAVORS)} can be used."
        )
    if extruders != 1:
        raise Refused(f"{source.name} has {extruders} extruders, and the agent prints with one.", hint=_HINT, code="several_extruders")


# --- in our words -----------------------------------------------------------------------------------------------------
def _machine(values: Mapping[str, Value], source: Source) -> dict[str, str]:
    return {
        "bed_shape": _bed_shape(values),
        "max_print_height": _said(values["machine_height"]),
        "nozzle_diameter": _said(values["machine_nozzle_size"]),
        "use_relative_e_distances": _said(bool(values["relative_extrusion"])),
        "use_firmware_retraction": _said(bool(values["machine_firmware_retract"])),
        "retract_length": _said(values["retraction_amount"]),
        "start_gcode": code_of(str(values["machine_start_gcode"]), values, f"{source.name}: machine_start_gcode"),
        "end_gcode": code_of(str(values["machine_end_gcode"]), values, f"{source.name}: machine_end_gcode"),
    }


def _bed_shape(values: Mapping[str, Value]) -> str:
    """PrusaSlicer's list of corners."""
    width, depth = float(str(values["machine_width"])), float(str(values["machine_depth"]))
    x, y = (-width / 2, -depth / 2) if values["machine_center_is_zero"] else (0.0, 0.0)
    if values["machine_shape"] == "elliptic":
        turns = [2 * math.pi * corner / _CIRCLE_CORNERS for corner in range(_CIRCLE_CORNERS)]
        corners = [(x + width / 2 * (1 + math.cos(turn)), y + depth / 2 * (1 + math.sin(turn))) for turn in turns]
        return ",".join(f"{one:.6g}x{other:.6g}" for one, other in corners)
    return ",".join(f"{one:g}x{other:g}" for one, other in ((x, y), (x + width, y), (x + width, y + depth), (x, y + depth)))


def _excluded(values: Mapping[str, Value], source: Source) -> list[tuple[float, float, float, float]]:
    """Boxes around Cura's areas, which are told from the middle of the bed, with y towards the front."""
    width, depth = float(str(values["machine_width"])), float(str(values["machine_depth"]))
    x, y = (0.0, 0.0) if values["machine_center_is_zero"] else (width / 2, depth / 2)
    try:
        areas = json.loads(str(values.get("machine_disallowed_areas", "[]")))
        corners = [[(float(one) + x, y - float(other)) for one, other in area] for area in areas]
        return [(min(xs), min(ys), max(xs), max(ys)) for xs, ys in (tuple(zip(*area, strict=True)) for area in corners)]
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{source.name}: machine_disallowed_areas is no list of areas.", hint="Each is a list of corners [x, y].") from error


def _process(values: Mapping[str, Value]) -> dict[str, str]:
    """What the order may change, or what follows from that by Cura's formulas."""
    pattern = _PATTERNS.get(str(values["infill_pattern"]))
    return {
        "layer_height": _said(values["layer_height"]),
        "first_layer_height": _said(values["layer_height_0"]),
        "top_solid_layers": _said(values["top_layers"]),
        "top_solid_min_thickness": _said(values["top_thickness"]),
        "bottom_solid_layers": _said(values["bottom_layers"]),
        "bottom_solid_min_thickness": _said(values["bottom_thickness"]),
        "perimeters": _said(values["wall_line_count"]),
        "extrusion_width": _said(values["line_width"]),
        "infill_overlap": f"{_said(values['infill_overlap'])}%",
        "support_material_contact_distance": _said(values["support_z_distance"]),
        "support_material_threshold": _said(90 - float(str(values["support_angle"]))),
        "support_material_interface_layers": _said(_interface_layers(values)),
        **({"fill_pattern": pattern} if pattern else {}),
    }


def _interface_layers(values: Mapping[str, Value]) -> int:
    height, layer = (float(str(values[key])) for key in ("support_interface_height", "layer_height"))
    return round(height / layer) if values["support_interface_enable"] and layer else 0


def _filament(values: Mapping[str, Value]) -> dict[str, str]:
    return {
        "disable_fan_first_layers": _said(int(str(values["cool_fan_full_layer"])) - 1),
        "temperature": _said(values["material_print_temperature"]),
        "first_layer_temperature": _said(values["material_print_temperature_layer_0"]),
        "bed_temperature": _said(values["material_bed_temperature"]),
        "first_layer_bed_temperature": _said(values["material_bed_temperature_layer_0"]),
        "filament_diameter": _said(values["material_diameter"]),
    }


def _material(document: Mapping[str, Any], draft: Draft) -> str:
    """Cura's own name for the material it would load first."""
    preferred = document.get("metadata", {}).get("preferred_material")
    if isinstance(preferred, str) and preferred.startswith("generic_"):
        return material(Setting(preferred.removeprefix("generic_").split("_")[0], "preferred_material"), draft)
    draft.check.append("The definition names no material: it is taken for PLA.")
    return "PLA"


def _fill_layers(draft: Draft, values: Mapping[str, Value]) -> None:
    nozzle = float(str(values["machine_nozzle_size"]))
    for key, share in (("min_layer_height", 0.2), ("max_layer_height", 0.8)):
        draft.fill("machine.ini", key, f"{nozzle * share:g}", f"{share:.0%} of the nozzle: the definition does not say it")


# --- in Cura's own ----------------------------------------------------------------------------------------------------
def _own_words(
    draft: Draft, label: str, settings: Mapping[str, CuraSetting], values: Mapping[str, Value], root: Mapping[str, CuraSetting]
) -> None:
    """What the engine would not come to by itself, from the rest of the profile."""
    flat = {key: one.text for file in draft.files().values() for key, one in file.items()}
    by_itself = resolved(root, cura_settings({**flat, "fill_density": "20%", "support_material": "0"}, {}, 10, Path(label)))
    following = _following({*_OF_THE_ORDER, *_OF_THE_FILAMENT}, settings, root)
    for key, value in values.items():
        if key in (*_OF_THE_ORDER, *_OF_THE_FILAMENT, *_OF_THE_MACHINE) or by_itself.get(key) == value:
            continue
        setting = Setting(_said(value, flags=("false", "true")), label)
        if why := _why_left(key, setting, root, following):
            draft.left.append(Left(key, setting, why))
        else:
            draft.cura[key] = setting
    for key, code in (("material_bed_temp_prepend", "bed"), ("material_print_temp_prepend", "print")):
        draft.cura[key] = Setting(
            "false" if heats(str(values["machine_start_gcode"]), code) else "true", "as Cura does it: by the start code"
        )


def _why_left(key: str, setting: Setting, root: Mapping[str, CuraSetting], following: set[str]) -> str:
    if key not in root:
        return "only this definition knows it, and CuraEngine is told those of fdmprinter"
    if key in following:
        return "it follows from what the order or the filament decides: left to Cura's formulas and process.ini"
    return "it cannot be told to CuraEngine in one line" if '"' in setting.text or "\\n" in setting.text else ""


def _following(first: set[str], *several: Mapping[str, CuraSetting]) -> set[str]:
    """Every setting whose formula, in any of the definitions, leads back to one of the first."""
    needs: dict[str, set[str]] = {}
    for settings in several:
        for key, one in settings.items():
            needs[key] = needs.get(key, set()) | set(_WORD.findall(one.formula or ""))
    found = set(first)
    while more := {key for key, words in needs.items() if key not in found and words & found}:
        found |= more
    return found


def _said(value: Value, flags: tuple[str, str] = ("0", "1")) -> str:
    if isinstance(value, bool):
        return flags[value]
    if isinstance(value, float):
        return f"{value:.10g}"
    return json.dumps(value) if isinstance(value, list) else str(value)
