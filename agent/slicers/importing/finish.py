"""What a profile needs and a source may not say: filled in, or refused by name."""

import re

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.importing.draft import Draft, Range, Setting, Settings

NOZZLE_MARGIN_C = 15
BED_MARGIN_C = 10
"""How far around the filament's own temperatures the guessed ranges reach; a person checks them."""
_OTHER_NAMES = {"PET": "PETG", "FLEX": "TPU"}
"""PrusaSlicer's older words."""
_MATERIAL = re.compile(r"[A-Z0-9][A-Z0-9+_-]{0,19}")
_DENSITIES = {"PLA": "1.24", "PETG": "1.27", "ABS": "1.04", "ASA": "1.07", "TPU": "1.21", "PA": "1.12", "PC": "1.2"}
"""g/cm³, of the plain material."""
_ORDINARY_DENSITY = "1.24"
_HINT = "Choose a preset that says it, or export the configuration as a whole."


def material(said: Setting | None, draft: Draft) -> str:
    """The word that orders use. Refused where it cannot be one."""
    if said is None:
        draft.check.append("The filament does not say its material; PrusaSlicer takes it for PLA, and so does the profile.")
        return "PLA"
    word = said.text.split(",")[0].split(";")[0].strip(' "').upper()
    if word in _OTHER_NAMES:
        draft.check.append(f"The material {word} is called {_OTHER_NAMES[word]} here.")
        word = _OTHER_NAMES[word]
    if not _MATERIAL.fullmatch(word):
        raise Refused(
            f"The material {one_line(said.text)[:40]} ({said.place}) cannot be the name of a file.", hint="Such as PLA, PETG or PA-CF."
        )
    return word


def add_filament(draft: Draft, name: str, settings: Settings) -> None:
    """Refused where another filament of that material was chosen: a profile has one each."""
    if name in draft.filaments:
        raise Refused(f"Two filaments of {name} were chosen, and a profile has one of each material.", hint="Choose one of them.")
    draft.filaments[name] = settings


def require(settings: Settings, keys: tuple[str, ...], whose: str) -> None:
    """What describes a machine or a material is never guessed."""
    for key in keys:
        if key not in settings or not settings[key].text.strip(","):
            raise Refused(f"{whose} does not say {key}.", hint=_HINT, code="not_said")


def fill(draft: Draft, default_pattern: str) -> None:
    """The slicer's own defaults for what is not said and can do no harm."""
    require(draft.machine, ("bed_shape", "max_print_height"), "The printer")
    default = "the slicer's own default"
    if "nozzle_diameter" not in draft.machine:
        draft.fill("machine.ini", "nozzle_diameter", "0.4", default)
    for key, value in (("layer_height", "0.3"), ("first_layer_height", "0.35"), ("fill_pattern", default_pattern)):
        if key not in draft.process:
            draft.fill("process.ini", key, value, default)
    for name, settings in draft.filaments.items():
        require(settings, ("temperature",), f"The filament for {name}")
        _fill_filament(draft, name, settings)


def _fill_filament(draft: Draft, name: str, settings: Settings) -> None:
    file = f"filament-{name}.ini"
    if "bed_temperature" not in settings:
        draft.fill(file, "bed_temperature", "0", "the slicer's own default: not heated")
    for part in ("temperature", "bed_temperature"):
        if f"first_layer_{part}" not in settings:
            draft.fill(file, f"first_layer_{part}", settings[part].text, "as for the other layers")
    if "filament_diameter" not in settings:
        draft.fill(file, "filament_diameter", "1.75", "the slicer's own default")
    density = settings.get("filament_density")
    if density is None or density.text.split(",")[0] in ("", "0"):
        draft.fill(file, "filament_density", _DENSITIES.get(name, _ORDINARY_DENSITY), "grams could not be told without it")


def ranges(draft: Draft, name: str) -> tuple[Range, Range]:
    """Nozzle and bed, lowest and highest, in °C. Refused where a temperature is no number."""
    settings = draft.filaments[name]
    nozzle = draft.nozzle_c.get(name) or _around(settings, "temperature", NOZZLE_MARGIN_C)
    return nozzle, _around(settings, "bed_temperature", BED_MARGIN_C)


def degrees(setting: Setting, key: str) -> float:
    try:
        found = float(setting.text.split(",")[0])
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1000:
        raise Refused(f"{key} = {one_line(setting.text)[:40]} ({setting.place}) is no temperature.", hint=_HINT)
    return found


def _around(settings: Settings, key: str, margin: int) -> Range:
    told = [degrees(settings[one], one) for one in (key, f"first_layer_{key}")]
    return max(0, int(min(told)) - margin), int(max(told)) + margin + (max(told) % 1 > 0)
