"""A profile's flat keys (PrusaSlicer's words, in which all our profiles are written) as CuraEngine's settings.

One profile serves both slicers. What Cura has no word for is left to Cura's own defaults; a profile's `cura.ini` has the last word.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from agent.domain.errors import ConfigError
from agent.slicers.cura.formulas import Value

Flat = Mapping[str, str]

_PATTERNS = {
    "rectilinear": "lines",
    "alignedrectilinear": "lines",
    "monotonic": "lines",
    "line": "lines",
    "grid": "grid",
    "triangles": "triangles",
    "stars": "trihexagon",
    "cubic": "cubic",
    "adaptivecubic": "cubicsubdiv",
    "concentric": "concentric",
    "gyroid": "gyroid",
    "lightning": "lightning",
}
_SEAMS = {"nearest": "shortest", "aligned": "sharpest_corner", "rear": "back", "random": "random"}
_PLACEHOLDER = re.compile(r"\[([a-z_]+)\]|\{([a-z_]+)\}")
_LIFT_MM = 30.0
_STEEPEST = 90.0


def cura_settings(flat: Flat, own: Flat, height_mm: float, where: Path) -> dict[str, Value]:
    """What the engine is given. `own`: the profile's cura.ini; `height_mm`: the tallest part of the plate; `where`: for messages."""
    found: dict[str, Value] = {
        **_machine(flat),
        **_layers(flat),
        **_speeds(flat),
        **_filament(flat),
        **_supports(flat),
        **_bed_adhesion(flat),
        "machine_start_gcode": flat.get("start_gcode", ""),
        "machine_end_gcode": flat.get("end_gcode", ""),
    }
    found |= own
    for key in ("machine_start_gcode", "machine_end_gcode"):
        code = _code(str(found[key]), flat, height_mm, f"{where}: {key}")
        # The engine says M82 before each of them, and a pull back of 2 mm would then be one to 2 mm before the beginning.
        found[key] = f"M83\n{code}" if found["relative_extrusion"] else code
    return found


def _number(flat: Flat, key: str, otherwise: float = 0.0) -> float:
    """The first, where there is one for each tool."""
    return float(flat.get(key, str(otherwise)).split(",")[0].rstrip("%"))


def _on(flat: Flat, key: str) -> bool:
    return flat.get(key, "0").split(",")[0] == "1"


def _machine(flat: Flat) -> dict[str, Value]:
    """The bed from 0 to its farthest corner: what lies before its nearest one is kept free by us, who place the parts."""
    corners = [tuple(map(float, corner.split("x"))) for corner in flat["bed_shape"].split(",")]
    most = {f"machine_max_{cura}": _number(flat, f"machine_max_{ours}") for ours, cura in _LIMITS.items() if f"machine_max_{ours}" in flat}
    return {
        "machine_width": max(x for x, _ in corners),
        "machine_depth": max(y for _, y in corners),
        "machine_height": _number(flat, "max_print_height"),
        "machine_center_is_zero": False,
        "machine_heated_bed": True,
        "machine_gcode_flavor": "RepRap (Marlin/Sprinter)",
        "machine_nozzle_size": _number(flat, "nozzle_diameter"),
        # Our start code heats, in the order that the machine wants.
        "material_print_temp_prepend": False,
        "material_bed_temp_prepend": False,
        "relative_extrusion": _on(flat, "use_relative_e_distances"),
        "machine_firmware_retract": _on(flat, "use_firmware_retraction"),
        "retraction_enable": True,
        "retraction_amount": _number(flat, "retract_length"),
        "retraction_speed": _number(flat, "retract_speed", 40),
        "retraction_min_travel": _number(flat, "retract_before_travel", 2),
        "retraction_hop_enabled": _number(flat, "retract_lift") > 0,
        "retraction_hop": _number(flat, "retract_lift"),
        "retract_at_layer_change": _on(flat, "retract_layer_change"),
        "acceleration_enabled": False,
        "jerk_enabled": False,
        **most,
    }


_LIMITS = {
    **{f"acceleration_{axis}": f"acceleration_{axis}" for axis in "xyze"},
    **{f"feedrate_{axis}": f"feedrate_{axis}" for axis in "xyze"},
}


def _layers(flat: Flat) -> dict[str, Value]:
    width, first_width = _number(flat, "extrusion_width"), _number(flat, "first_layer_extrusion_width")
    pattern = flat.get("fill_pattern", "gyroid")
    if pattern not in _PATTERNS:
        raise ConfigError(f"CuraEngine has no infill pattern {pattern}.", hint=f"It has those for {', '.join(_PATTERNS)}.")
    return {
        "layer_height": _number(flat, "layer_height"),
        "layer_height_0": _number(flat, "first_layer_height"),
        "line_width": width,
        "initial_layer_line_width_factor": first_width / width * 100 if width and first_width else 100,
        "wall_line_count": int(_number(flat, "perimeters")),
        "wall_thickness": _number(flat, "perimeters") * width,
        "top_layers": _solid_layers(flat, "top"),
        "bottom_layers": _solid_layers(flat, "bottom"),
        "initial_bottom_layers": _solid_layers(flat, "bottom"),
        "infill_sparse_density": _number(flat, "fill_density"),
        "infill_pattern": _PATTERNS[pattern],
        "infill_overlap": _number(flat, "infill_overlap", 15),
        "fill_outline_gaps": _on(flat, "thin_walls"),
        "z_seam_type": _SEAMS.get(flat.get("seam_position", "aligned"), "sharpest_corner"),
        "xy_offset_layer_0": -_number(flat, "elefant_foot_compensation"),
    }


def _solid_layers(flat: Flat, side: str) -> int:
    """As many as are asked for, or more where the thickness that is asked for takes more of this height. 0 is none at all."""
    asked, thickness = int(_number(flat, f"{side}_solid_layers")), _number(flat, f"{side}_solid_min_thickness")
    return max(asked, math.ceil(round(thickness / _number(flat, "layer_height"), 6))) if asked else 0


def _speeds(flat: Flat) -> dict[str, Value]:
    """mm/s; none pushes more filament through the nozzle than the filament's own limit, which Cura does not know."""
    cross_section = _number(flat, "extrusion_width") * _number(flat, "layer_height")
    flow = _number(flat, "filament_max_volumetric_speed")
    most = flow / cross_section if flow and cross_section else math.inf
    laying = {
        "speed_infill": "infill_speed",
        "speed_wall_0": "external_perimeter_speed",
        "speed_wall_x": "perimeter_speed",
        "speed_topbottom": "solid_infill_speed",
        "speed_support": "support_material_speed",
        "speed_layer_0": "first_layer_speed",
    }
    speeds: dict[str, Value] = {cura: min(_number(flat, ours), most) for cura, ours in laying.items() if ours in flat}
    return {
        **speeds,
        "speed_print": min(_number(flat, "infill_speed", 60), most),
        "speed_travel": _number(flat, "travel_speed", 120),
        "speed_travel_layer_0": min(_number(flat, "travel_speed", 120), 120.0),
    }


def _filament(flat: Flat) -> dict[str, Value]:
    temperature, first = _number(flat, "temperature"), _number(flat, "first_layer_temperature")
    bed, first_bed = _number(flat, "bed_temperature"), _number(flat, "first_layer_bed_temperature")
    fan_least, fan_most = _number(flat, "min_fan_speed"), _number(flat, "max_fan_speed")
    return {
        "material_diameter": _number(flat, "filament_diameter"),
        "material_flow": _number(flat, "extrusion_multiplier", 1) * 100,
        "material_print_temperature": temperature,
        "material_print_temperature_layer_0": first,
        "material_initial_print_temperature": temperature,
        "material_final_print_temperature": temperature,
        "material_bed_temperature": bed,
        "material_bed_temperature_layer_0": first_bed,
        "cool_fan_enabled": _on(flat, "cooling"),
        "cool_fan_speed": fan_least if _on(flat, "fan_always_on") else 0,
        "cool_fan_speed_min": fan_least if _on(flat, "fan_always_on") else 0,
        "cool_fan_speed_max": fan_most,
        "cool_fan_full_layer": int(_number(flat, "disable_fan_first_layers")) + 1,
        "cool_min_layer_time_fan_speed_max": _number(flat, "fan_below_layer_time", 60),
        "cool_min_layer_time": _number(flat, "slowdown_below_layer_time", 5),
        "cool_min_speed": _number(flat, "min_print_speed", 10),
    }


def _supports(flat: Flat) -> dict[str, Value]:
    """PrusaSlicer's threshold is counted from the bed, Cura's angle from the upright."""
    interface = int(_number(flat, "support_material_interface_layers"))
    return {
        "support_enable": _on(flat, "support_material"),
        "support_type": "everywhere",
        "support_angle": _STEEPEST - _number(flat, "support_material_threshold", 45),
        "support_z_distance": _number(flat, "support_material_contact_distance", 0.2),
        "support_interface_enable": interface > 0,
        "support_interface_height": interface * _number(flat, "layer_height"),
    }


def _bed_adhesion(flat: Flat) -> dict[str, Value]:
    brim, skirts = _number(flat, "brim_width"), int(_number(flat, "skirts"))
    return {
        "adhesion_type": "brim" if brim else "skirt" if skirts else "none",
        "brim_width": brim,
        "skirt_line_count": skirts,
        "skirt_gap": _number(flat, "skirt_distance", 2),
    }


def _code(code: str, flat: Flat, height_mm: float, where: str) -> str:
    """Start and end code with its placeholders filled in. ConfigError for what only PrusaSlicer could compute."""
    top = _number(flat, "max_print_height")
    known = {**flat, "park_z": f"{min(height_mm + _LIFT_MM, top):g}"}

    def filled(found: re.Match[str]) -> str:
        key = found[1] or found[2]
        if key not in known:
            raise ConfigError(f"{where} asks for {key}, which is not known here.", hint="Write it for CuraEngine into cura.ini.")
        return known[key].split(",")[0]

    text = _PLACEHOLDER.sub(filled, code)
    if left := re.search(r"[{\[].{0,40}", re.sub(r";.*", "", text.replace("\\n", "\n"))):
        hint = "Write that code once more, without it, into cura.ini."
        raise ConfigError(f"{where} has an expression that only PrusaSlicer knows: {left[0]}", hint=hint)
    return text.replace("\\n", "\n")
