"""An order laid over a profile's presets, and the same settings as these programs write them into the G-code.

The keys are those of src/libslic3r/PrintConfig.cpp. What the plain files of the profile say of layers and temperatures is laid over as
well: the proof holds the G-code against those.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.domain.plate import PrintSettings
from agent.slicers.orca.presets import Presets, Values
from agent.slicers.profiles import Flat, Profile

NAMED = {
    "sparse_infill_density": "infill",
    "sparse_infill_pattern": "infill pattern",
    "layer_height": "layer height",
    "enable_support": "supports",
    "support_type": "automatic supports",
    "filament_type": "material",
    "filament_colour": "colour",
    "nozzle_diameter": "nozzle",
    "nozzle_temperature": "nozzle temperature",
    "nozzle_temperature_initial_layer": "first layer temperature",
    "hot_plate_temp": "bed temperature",
    "hot_plate_temp_initial_layer": "first layer bed temperature",
}
_PLATES = ("cool_plate_temp", "eng_plate_temp", "hot_plate_temp", "textured_plate_temp")
"""One for each kind of build plate; `curr_bed_type` chooses. All are told the same."""
_OTHER_PLATES = ("textured_cool_plate_temp", "supertack_plate_temp")
"""Only where the preset has them: not every version knows them."""
_AUTOMATIC = ("normal(auto)", "tree(auto)")
_SOLID_PATTERN = "alignedrectilinear"
"""For 100 %: most patterns are none of a solid layer. (`zig-zag` was renamed `rectilinear` in OrcaSlicer; this one has one name.)"""
_PROCESS = {
    # The reader follows straight moves only.
    "enable_arc_fitting": "0",
    # Each copy is looked for on every layer; nothing but the copies is printed; nothing is cut or scanned on the way.
    "print_sequence": "by layer",
    "spiral_mode": "0",
    "timelapse_type": "0",
    "enable_prime_tower": "0",
}
_LIFT = "Normal Lift"
"""The other kinds of `z_hop_types` move in arcs or aslant (Auto Lift, Slope Lift, Spiral Lift)."""
_ABOUT = frozenset(
    (
        *("type", "name", "from", "version", "url", "description", "instantiation", "setting_id", "filament_id", "base_id", "user_id"),
        *("inherits", "include", "includes", "is_custom_defined", "renamed_from", "updated_time", "created_time", "model_id", "family"),
        *("dev_model_name", "compatible_printers", "compatible_printers_condition", "compatible_prints", "compatible_prints_condition"),
        *("upward_compatible_machine", "printer_settings_id", "print_settings_id", "filament_settings_id", "default_materials"),
    )
)
"""What says something about a preset and is no setting (Config.cpp load_from_json, OrcaSlicer.cpp update_full_config), or is set by the
program itself from the presets' names."""
_LEFT_OUT = re.compile(r"print_?host.*|machine_max_.*")
"""Not held against the account: GCode.cpp append_full_config leaves out the first, and the command line lowers the others to what its
own cli_config.json holds safe for the printer."""
_NUMBER = re.compile(r"-?\d*\.?\d+%?(x-?\d*\.?\d+)?|nil")


@dataclass(frozen=True)
class Brand:
    """What differs between the two programs. `says` begins the first line of the help."""

    name: str
    says: str
    programs: tuple[str, ...]
    labels: Mapping[str, str]
    """Settings of a process that make the copies be labelled."""


ORCA = Brand("OrcaSlicer", "OrcaSlicer", ("orca-slicer", "OrcaSlicer"), {"exclude_object": "1", "gcode_label_objects": "1"})
BAMBU = Brand("Bambu Studio", "BambuStudio", ("bambu-studio", "BambuStudio"), {"exclude_object": "1"})


@dataclass(frozen=True)
class Handed:
    """The three presets as the program is given them."""

    machine: Values
    process: Values
    filament: Values

    def asked(self) -> Flat:
        """Every setting, as the program writes it between CONFIG_BLOCK_START and _END; unset ones (`nil`) it leaves out."""
        together: Values = {**self.machine, **self.process, **_lists(self.filament)}
        told = {key: _told(value) for key, value in together.items() if key not in _ABOUT and not _LEFT_OUT.fullmatch(key)}
        return {key: text for key, text in told.items() if set(text.split(",")) != {"nil"}}


def handed(presets: Presets, profile: Profile, settings: PrintSettings, brand: Brand) -> Handed:
    """Machine, process and filament with the order laid over. Refused as Profile.flat, or where a preset of the material is missing."""
    flat = profile.flat(settings)
    material = profile.material(settings.material)
    # From "system", for the name of a preset of a user counts as nobody's: the process has to name the machine, or it is
    # CLI_PROCESS_NOT_COMPATIBLE (OrcaSlicer.cpp: new_printer_system_name).
    machine: Values = {**presets.machine, "from": "system", "z_hop_types": [_LIFT]}
    process: Values = {**presets.process, "from": "system", "compatible_printers": [str(presets.machine["name"])]}
    filament: Values = {**presets.filament(material, profile), "from": "system"}
    process |= {**_PROCESS, **brand.labels, **_ordered(presets.process, flat, settings)}
    filament |= _filament(filament, flat, material)
    return Handed(machine, process, filament)


def _ordered(process: Values, flat: Flat, settings: PrintSettings) -> dict[str, str]:
    kind = process.get("support_type")
    found = {
        "layer_height": flat["layer_height"],
        "initial_layer_print_height": flat["first_layer_height"],
        "sparse_infill_density": flat["fill_density"],
        "enable_support": flat["support_material"],
        "support_type": kind if isinstance(kind, str) and kind in _AUTOMATIC else _AUTOMATIC[0],
    }
    if settings.infill_percent == 100:
        found["sparse_infill_pattern"] = _SOLID_PATTERN
    return found


def _filament(filament: Values, flat: Flat, material: str) -> Values:
    found: Values = {
        "filament_type": [material],
        "nozzle_temperature": [_first(flat["temperature"])],
        "nozzle_temperature_initial_layer": [_first(flat["first_layer_temperature"])],
    }
    for plate in (*_PLATES, *(plate for plate in _OTHER_PLATES if plate in filament)):
        found[plate] = [_first(flat["bed_temperature"])]
        found[f"{plate}_initial_layer"] = [_first(flat["first_layer_bed_temperature"])]
    if "filament_colour" in flat:
        found["filament_colour"] = [flat["filament_colour"]]
    if "filament_z_hop_types" in filament:
        found["filament_z_hop_types"] = [_LIFT]
    return found


def _first(value: str) -> str:
    return value.split(",")[0]


def _lists(filament: Values) -> Values:
    """The command line skips what is no list in a filament's preset (OrcaSlicer.cpp: `skip scalar option`)."""
    return {key: value for key, value in filament.items() if isinstance(value, list)}


def _told(value: str | list[str]) -> str:
    """As ConfigOption…::serialize does: texts by semicolon, quoted where they need it, all else by comma."""
    if isinstance(value, str):
        return _escaped(value).strip()
    if all(map(_NUMBER.fullmatch, value)):
        return ",".join(value)
    return ";".join(map(_quoted, value)).strip()


def _quoted(text: str) -> str:
    plain = text and not re.search(r'[\s;"\\]', text)
    return text if plain else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
