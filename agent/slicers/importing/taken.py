"""Which of PrusaSlicer's settings are taken into a profile, and why the others are not."""

import re

from agent.slicers.commands import refused_commands
from agent.slicers.importing.draft import Draft, Left, Settings
from agent.slicers.profiles import ORDER_KEYS

MACHINE, PROCESS, FILAMENT = "machine", "process", "filament"

SCRIPT = "a script is never taken from a file: put it there by hand if you know what it does"
_NETWORK = "how a printer is reached stands in the printer's own file"
_NAMES = "it names or links presets, or is for the window only"
_ORDER = "the order decides it"
_ORDER_KEYS = frozenset(ORDER_KEYS) - {"fill_pattern", "layer_height"}
_NAMING = (
    *("alias", "inherits", "inherits_cummulative", "renamed_from", "output_filename_format", "bed_custom_model", "bed_custom_texture"),
    *("printer_vendor", "default_print_profile", "default_filament_profile", "default_sla_print_profile", "default_sla_material_profile"),
)
_NETWORK_KEYS = ("print_host", "host_type", "serial_port", "serial_speed")
_DECIDED_BY_US = {
    "complete_objects": "parts are printed together: one after another, the head would need room that is not kept free",
    "spiral_vase": "a vase has no infill, and an order has",
    "raft_layers": "a raft lifts the part, and the proof looks for it on the bed",
    "support_material_enforce_layers": "it would lay supports where none were ordered",
    "binary_gcode": "the proof reads text",
    "wipe_tower": "there is one material",
}
"""Left out where they are on."""
_OFF = ("", "0", "0%")
_FILAMENT_KEYS = frozenset(
    (
        *("bed_temperature", "first_layer_bed_temperature", "temperature", "first_layer_temperature", "idle_temperature"),
        *("cooling", "fan_always_on", "min_fan_speed", "max_fan_speed", "bridge_fan_speed", "disable_fan_first_layers"),
        *("full_fan_speed_layer", "fan_below_layer_time", "slowdown_below_layer_time", "min_print_speed", "extrusion_multiplier"),
        *("start_filament_gcode", "end_filament_gcode", "enable_dynamic_fan_speeds", "chamber_temperature"),
    )
)
_FILAMENT_PREFIXES = ("filament_", "overhang_fan_speed_", "chamber_")
_MACHINE_KEYS = frozenset(
    (
        *("start_gcode", "end_gcode", "before_layer_gcode", "layer_gcode", "toolchange_gcode", "between_objects_gcode"),
        *("color_change_gcode", "pause_print_gcode", "template_custom_gcode", "nozzle_diameter", "min_layer_height", "max_layer_height"),
        *("max_print_height", "gcode_flavor", "extruder_offset", "extruder_colour", "use_firmware_retraction", "use_volumetric_e"),
        *("use_relative_e_distances", "z_offset", "silent_mode", "remaining_times", "variable_layer_height", "wipe", "deretract_speed"),
        *("extra_loading_move", "high_current_on_filament_swap", "bed_shape", "nozzle_high_flow"),
    )
)
_MACHINE_PREFIXES = (
    "machine_",
    "retract_",
    "printer_",
    "thumbnails",
    "cooling_tube_",
    "parking_pos_",
    "single_extruder_",
    "travel_ramping",
)
_ONLY_IF_ASKED = ("color_change_gcode", "pause_print_gcode", "template_custom_gcode", "toolchange_gcode", "between_objects_gcode")
_STRAIGHT = ("G0", "G1")
_COMMAND = re.compile(r"(?:^|\\n|[}\n])\s*([A-Z_]+[0-9]*(?:\.[0-9]+)?)\b")


def kind_of(key: str) -> str:
    """To which of the three files a key of PrusaSlicer's belongs; its flat files do not say."""
    if key in _FILAMENT_KEYS or key.startswith(_FILAMENT_PREFIXES):
        return FILAMENT
    if key in _MACHINE_KEYS or key.startswith(_MACHINE_PREFIXES):
        return MACHINE
    return PROCESS


def take(found: Settings, draft: Draft, told: set[str]) -> Settings:
    """Those that go into a profile; the others go to the draft, with the reason. `told`: keys that were left out before."""
    taken: Settings = {}
    for key, setting in found.items():
        why = _why_left(key, setting.text)
        if not why:
            taken[key] = setting
        elif key not in told:
            draft.left.append(Left(key, setting, why, loud=why == SCRIPT))
            told.add(key)
    return taken


def _why_left(key: str, value: str) -> str:
    if not key.islower():
        return "no setting is called so"
    if key == "post_process":
        return SCRIPT if value.strip('"') else "it is empty"
    if key in _ORDER_KEYS:
        return _ORDER
    if key in _NETWORK_KEYS or key.startswith(("printhost_", "octoprint_")):
        return _NETWORK
    if key in _NAMING or key.endswith("_settings_id") or key.startswith("compatible_"):
        return _NAMES
    return _DECIDED_BY_US.get(key, "") if value not in _OFF else ""


def look_at_commands(draft: Draft, settings: Settings) -> None:
    """Printer code with a command that the proof refuses: G-code with it is never sent."""
    for key, setting in settings.items():
        if not key.endswith("gcode") or key in _ONLY_IF_ASKED:
            continue
        code = re.sub(r";.*?(?=\\n|$)", "", setting.text)
        found = [one for one in dict.fromkeys(_COMMAND.findall(code)) if one not in _STRAIGHT]
        for refused in refused_commands(found):
            draft.check.append(f"{key} ({setting.place}) has {refused}: G-code with it does not prove. Take it out.")
