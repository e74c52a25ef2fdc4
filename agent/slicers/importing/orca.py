"""OrcaSlicer's and Bambu Studio's presets: a JSON file each, of type machine, process or filament, with one parent in `inherits`.

Their command line follows no parents, so they are flattened here. What the proof needs is told in our words as well. The form is that
of OrcaSlicer's own `resources/profiles`; files that a user exported have no `type`, and are known by the id that each kind has.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.importing import taken
from agent.slicers.importing.draft import Draft, Left, Setting, Settings
from agent.slicers.importing.finish import add_filament, degrees, fill, material
from agent.slicers.importing.presets import FILAMENT, PRINTER, PROCESS, Choice, Preset, Presets
from agent.slicers.importing.sources import Source

_KINDS = {"machine": PRINTER, "process": PROCESS, "filament": FILAMENT}
_IDS = {"printer_settings_id": "machine", "print_settings_id": "process", "filament_settings_id": "filament"}
_NEEDED = {
    PRINTER: ("printable_area", "printable_height", "nozzle_diameter"),
    PROCESS: ("layer_height", "initial_layer_print_height"),
    FILAMENT: ("nozzle_temperature", "filament_diameter", "filament_type"),
}
_ABOUT = (
    *("type", "name", "from", "inherits", "include", "instantiation", "version", "setting_id", "filament_id", "is_custom_defined"),
    *("description", "renamed_from", "base_id", "updated_time", "user_id"),
)
"""What says something about a preset and is none of its settings."""
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_NAME = 200
_PATTERN = "crosshatch"
"""OrcaSlicer's default."""
_MACHINE = {
    "printable_area": "bed_shape",
    "printable_height": "max_print_height",
    "nozzle_diameter": "nozzle_diameter",
    "min_layer_height": "min_layer_height",
    "max_layer_height": "max_layer_height",
    "retraction_length": "retract_length",
    "z_offset": "z_offset",
    "gcode_flavor": "gcode_flavor",
    "use_relative_e_distances": "use_relative_e_distances",
    "printer_model": "printer_model",
    "machine_end_gcode": "end_gcode",
}
"""What the proof reads, in its words."""
_PROCESS = {"layer_height": "layer_height", "initial_layer_print_height": "first_layer_height", "sparse_infill_pattern": "fill_pattern"}
_FILAMENT = {
    "filament_diameter": "filament_diameter",
    "filament_density": "filament_density",
    "nozzle_temperature": "temperature",
    "nozzle_temperature_initial_layer": "first_layer_temperature",
}
_PLATES = {
    "Cool Plate": "cool_plate_temp",
    "Engineering Plate": "eng_plate_temp",
    "High Temp Plate": "hot_plate_temp",
    "Textured PEI Plate": "textured_plate_temp",
}
_ORDINARY_PLATE = "High Temp Plate"
_SCRIPTS = ("post_process",)
_ORDER = ("sparse_infill_density", "enable_support", "exclude_object", "gcode_label_objects", "default_filament_colour")
_NETWORK = ("print_host", "print_host_webui", "host_type", "bbl_use_printhost")
_NAMES = ("default_print_profile", "default_filament_profile", "bed_custom_model", "bed_custom_texture", "filename_format", "thumbnails")
_DECIDED_BY_US = {
    "print_sequence": ("by layer", "parts are printed together: one after another, the head would need room that is not kept free"),
    "spiral_mode": ("0", "a vase has no infill, and an order has"),
    "raft_layers": ("0", "a raft lifts the part, and the proof looks for it on the bed"),
    "enforce_support_layers": ("0", "it would lay supports where none were ordered"),
    "enable_prime_tower": ("0", "there is one material"),
}
"""The value that is taken, and why another is not."""


def from_orca(sources: Sequence[Source], choice: Choice) -> Draft:
    """Refused in our words where they cannot be used."""
    presets = Presets(_presets(sources), sources[0].name if len(sources) == 1 else "what was given", _NEEDED)
    printer = presets.chosen(PRINTER, choice.printer)
    machine = presets.flat(PRINTER, printer)
    _require_one_nozzle(machine, printer)

    def suits(settings: Settings) -> bool:
        printers = settings["compatible_printers"].value if "compatible_printers" in settings else ()
        return not printers or printer in printers

    process = presets.chosen(PROCESS, choice.process, _own(machine, "default_print_profile"), suits)
    asked: Sequence[str | None] = choice.filaments or [None]
    filaments = [presets.chosen(FILAMENT, name, _own(machine, "default_filament_profile"), suits) for name in asked]
    draft = Draft(printer, f"{printer}, {process}, {', '.join(filaments)}", ("orcaslicer", "bambustudio"))
    plate = _own(machine, "default_bed_type") or _ORDINARY_PLATE
    draft.machine = _translated(machine, _MACHINE)
    draft.excluded = _excluded(machine)
    draft.orca["machine"] = _json("machine", printer, machine, draft)
    settings = presets.flat(PROCESS, process)
    draft.process = _translated(settings, _PROCESS)
    draft.orca["process"] = _json("process", process, settings, draft)
    for name in dict.fromkeys(filaments):
        _add_filament(draft, name, presets.flat(FILAMENT, name), plate)
    for kind, name in ((PROCESS, process), *((FILAMENT, name) for name in filaments)):
        if not suits(presets.flat(kind, name)):
            draft.check.append(f"The {kind} {one_line(name)} is not made for this printer, by its own list of printers.")
    for name, parent in presets.orphans.items():
        draft.check.append(f"{one_line(name)} says that it comes from {one_line(parent)}, which was not given; it was taken as it is.")
    fill(draft, _PATTERN)
    for word, filament in draft.filaments.items():
        draft.orca[f"filament-{word}"] = {"filament_diameter": [filament["filament_diameter"].text]} | dict(draft.orca[f"filament-{word}"])
    taken.look_at_commands(draft, {**machine, **settings})
    return draft


# --- reading ----------------------------------------------------------------------------------------------------------
def _presets(sources: Sequence[Source]) -> list[Preset]:
    """Of a folder, what is no preset (a vendor's list, a model) is passed over. Given by name, a file has to be one, and only those
    of its kind that were given by name can be chosen."""
    read = [(source, document, _kind(document)) for source, document in ((source, source.json()) for source in sources)]
    named = {kind for source, _, kind in read if source.named}
    found = []
    for source, document, kind in read:
        if kind is not None:
            found.append(_preset(source, document, kind, offered=source.named or kind not in named))
        elif source.named:
            kinds = ", ".join(_KINDS)
            raise Refused(f"{source.name} is no preset: its type is {_short(document.get('type'))}.", hint=f"It has to be one of {kinds}.")
    return found


def _kind(document: Mapping[str, Any]) -> str | None:
    said = document.get("type")
    if said is None:
        said = next((kind for key, kind in _IDS.items() if key in document), None)
    return _KINDS.get(said) if isinstance(said, str) else None


def _preset(source: Source, document: Mapping[str, Any], kind: str, *, offered: bool) -> Preset:
    name, parent = (document.get(key, "") for key in ("name", "inherits"))
    if not isinstance(name, str) or not isinstance(parent, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise Refused(f"{source.name}: name or inherits is no text: {_short(name)}, {_short(parent)}.", hint="Export it anew.")
    if document.get("include"):
        raise Refused(f"{source.name} takes settings from others by include.", hint="Export the preset from OrcaSlicer's window.")
    settings = {key: _setting(source, key, value, name) for key, value in document.items() if key not in _ABOUT}
    is_base = document.get("instantiation", "true") != "true"
    return Preset(kind, name, settings, (parent,) if parent else (), source.name, offered=offered and not is_base)


def _setting(source: Source, key: str, value: object, preset: str) -> Setting:
    """A text, or a list of texts; numbers are what some files have in their place."""
    items = value if isinstance(value, list) else [value]
    if not _KEY.fullmatch(key) or not all(isinstance(one, str | int | float) for one in items):
        raise Refused(
            f"{source.name}: {one_line(key)[:60]} = {_short(value)} is neither a text nor a list of texts.", hint="Export it anew."
        )
    texts = tuple(str(int(one)) if isinstance(one, bool) else str(one) for one in items)
    return Setting(texts if isinstance(value, list) else texts[0], one_line(preset))


def _short(value: object) -> str:
    return one_line(repr(value))[:60]


def _own(machine: Settings, key: str) -> str:
    setting = machine.get(key)
    if setting is None:
        return ""
    return setting.value if isinstance(setting.value, str) else next(iter(setting.value), "")


def _require_one_nozzle(machine: Settings, printer: str) -> None:
    nozzles = machine["nozzle_diameter"].text.split(",") if "nozzle_diameter" in machine else []
    if len(nozzles) > 1:
        raise Refused(
            f"{one_line(printer)} has {len(nozzles)} nozzles ({machine['nozzle_diameter'].place}), and the agent prints with one.",
            hint="Choose another printer.",
            code="several_extruders",
        )


def _excluded(machine: Settings) -> list[tuple[float, float, float, float]]:
    """The box around bed_exclude_area: corners `18x28` of one area, or `0x0` alone for none."""
    setting = machine.get("bed_exclude_area")
    if setting is None:
        return []
    try:
        corners = [(float(x), float(y)) for x, _, y in (corner.partition("x") for corner in setting.text.split(",") if corner)]
    except ValueError as error:
        raise Refused(
            f"bed_exclude_area = {one_line(setting.text)[:60]} ({setting.place}) is no list of corners.", hint="Such as 0x0,18x0."
        ) from error
    if len({corner[0] for corner in corners}) < 2 or len({corner[1] for corner in corners}) < 2:
        return []
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return [(min(xs), min(ys), max(xs), max(ys))]


# --- what is written --------------------------------------------------------------------------------------------------
def _translated(settings: Settings, words: Mapping[str, str]) -> Settings:
    return {ours: settings[theirs] for theirs, ours in words.items() if theirs in settings and settings[theirs].text}


def _json(kind: str, name: str, settings: Settings, draft: Draft) -> dict[str, object]:
    """As the command line loads it: whole, of a user, and without a parent."""
    kept: dict[str, object] = {}
    for key, setting in settings.items():
        if why := _why_left(key, setting.text):
            draft.left.append(Left(key, setting, why, loud=why == taken.SCRIPT))
        elif setting.value != ():  # an empty list is nothing that the command line takes
            kept[key] = setting.value if isinstance(setting.value, str) else list(setting.value)
    return {"type": kind, "name": name, "from": "User"} | kept


def _why_left(key: str, value: str) -> str:
    if key in _SCRIPTS:
        return taken.SCRIPT if value else "it is empty"
    if key in _ORDER:
        return "the order decides it"
    if key in _NETWORK or key.startswith("printhost_"):
        return "how a printer is reached stands in the printer's own file"
    if key in _NAMES or key.startswith("compatible_") or key.endswith("_settings_id"):
        return "it names or links presets, or is for the window only"
    taken_value, why = _DECIDED_BY_US.get(key, (value, ""))
    return why if value != taken_value else ""


def _add_filament(draft: Draft, name: str, settings: Settings, plate: str) -> None:
    word = material(settings.get("filament_type"), draft)
    bed = _PLATES.get(plate, _PLATES[_ORDINARY_PLATE])
    if bed not in settings:
        raise Refused(f"The filament {one_line(name)} says no {bed}, the temperature of the plate.", hint="Choose another filament.")
    draft.check.append(f"{word}: the bed's temperature is that of {bed} ({settings[bed].text} °C). Is that the plate you print on?")
    translation = {**_FILAMENT, bed: "bed_temperature", f"{bed}_initial_layer": "first_layer_bed_temperature"}
    add_filament(draft, word, {key: _first(one) for key, one in _translated(settings, translation).items()})
    draft.orca[f"filament-{word}"] = _json("filament", name, settings, draft)
    low, high = (settings.get(f"nozzle_temperature_range_{end}") for end in ("low", "high"))
    own = [degrees(one, key) for key, one in draft.filaments[word].items() if key in ("temperature", "first_layer_temperature")]
    if low is not None and high is not None:
        least, most = degrees(low, "nozzle_temperature_range_low"), degrees(high, "nozzle_temperature_range_high")
        if least <= min(own, default=least) and max(own, default=most) <= most:
            draft.nozzle_c[word] = int(least), int(most)


def _first(setting: Setting) -> Setting:
    """Of one value for each kind of nozzle, the first."""
    value = setting.value if isinstance(setting.value, str) else next(iter(setting.value), "")
    return Setting(value, setting.source, setting.line)
