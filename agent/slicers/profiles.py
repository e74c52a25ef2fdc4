"""Slicer profiles: plain files in slicer_profiles/<printer model>/, flattened by us.

profile.toml        what and which slicers it is for, and the temperatures each material may be printed at
machine.ini         bed, nozzle, start and end code
process.ini         walls, layers, speeds
filament-PLA.ini    one a material
cura.ini            where CuraEngine needs other words than what is translated for it; may be left out
orca/*.json         what OrcaSlicer and Bambu Studio need; may be left out (slicers/orca/presets.py)
"""

import hashlib
import math
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from agent.domain.errors import ConfigError, Refused
from agent.domain.offer import Supports
from agent.domain.plate import PrintSettings
from agent.slicers.bed import Area, Bed, bed_of

Flat = dict[str, str]
"""Slicer keys to values, as the slicer writes them."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_HINT = "Compare it with a shipped one."
ORDER_KEYS = (
    *("fill_density", "support_material", "support_material_auto", "filament_type", "gcode_label_objects"),
    *("fill_pattern", "filament_colour", "layer_height"),
)
"""What an order decides over every file; those of the second line where it says something about them."""
_SLICERS = ("prusaslicer",)
"""Those a profile is for that does not say."""
_MOST_ZONES = 50
_MAY_BE_0 = ("min_layer_height", "max_layer_height", "brim_width", "skirts", "skirt_distance", "raft_first_layer_expansion")
"""Numbers that a file may leave out."""
_NUMBERS = {
    "machine": ("max_print_height", "nozzle_diameter"),
    "process": ("layer_height", "first_layer_height"),
    "filament": ("filament_diameter", "temperature", "first_layer_temperature"),
}
"""What each file must say: the proof holds the G-code against these. Bed temperatures too, but those may be 0."""


def default_profiles_dir() -> Path:
    """The folder of a checkout, or the one an installation put under its prefix."""
    checkout = Path(__file__).parents[2] / "slicer_profiles"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "intagly-agent" / "slicer_profiles"


@dataclass(frozen=True)
class Limits:
    """Lowest and highest temperature in °C the material is printed at on this machine."""

    nozzle_c: tuple[int, int]
    bed_c: tuple[int, int]
    needs: str = ""
    """What the operator has to see to with this material; for people."""


@dataclass(frozen=True)
class Origin:
    """Where a value of a flat profile comes from: its file, and what an earlier file said."""

    key: str
    value: str
    file: str
    instead_of: str | None = None


@dataclass(frozen=True)
class Profile:
    """One printer model's settings."""

    name: str
    folder: Path
    machine: Flat
    process: Flat
    filaments: dict[str, Flat]
    limits: dict[str, Limits]
    clears_bed: str = ""
    """How the machine takes a finished part off by itself; empty where it cannot."""
    cura: Flat = field(default_factory=dict)
    """CuraEngine's own keys, over what is translated from the others."""
    slicers: tuple[str, ...] = _SLICERS
    """The programs it is for, as a printer's file names them."""
    title: str = ""
    proven: str = ""
    """How far it was tried; for people."""
    excluded: tuple[Area, ...] = ()
    """Of the bed, in its own coordinates: nothing is laid there."""

    @cached_property
    def bed(self) -> Bed:
        return bed_of(self.machine["bed_shape"], self.excluded)

    @cached_property
    def bed_mm(self) -> tuple[float, float, float]:
        """Width, depth and height that can be printed."""
        return self.bed.around.width, self.bed.around.depth, _first(self.machine["max_print_height"])

    @property
    def bed_x_mm(self) -> tuple[float, float]:
        return self.bed.around.x0, self.bed.around.x1

    @property
    def bed_y_mm(self) -> tuple[float, float]:
        return self.bed.around.y0, self.bed.around.y1

    @property
    def nozzle_mm(self) -> float:
        return _first(self.machine["nozzle_diameter"])

    @property
    def layer_heights_mm(self) -> tuple[float, float]:
        """The lowest and the highest; an order that names none gets the one of process.ini."""
        most = _first(self.machine.get("max_layer_height", "0")) or self.nozzle_mm
        return _first(self.machine.get("min_layer_height", "0")), most

    def grams_a_mm(self, material: str) -> float:
        """What a millimetre of the filament weighs."""
        filament = self.filaments[self.material(material)]
        return math.pi / 4 * _first(filament["filament_diameter"]) ** 2 * _first(filament.get("filament_density", "0")) / 1000

    @property
    def materials(self) -> list[str]:
        return sorted(self.filaments)

    def material(self, asked: str) -> str:
        """The profile's own spelling of a material. Refused (code no_profile) where it has none."""
        for name in self.filaments:
            if name.casefold() == asked.casefold():
                return name
        raise Refused(
            f"The profile {self.name} has no settings for {asked} (it has {', '.join(self.materials)}).",
            hint=f"Add filament-{asked}.ini to {self.folder} and its temperatures to profile.toml.",
            code="no_profile",
        )

    def flat(self, settings: PrintSettings) -> Flat:
        """Every key the slicer is given: printer ← process ← filament ← order. Refused where the order asks what the machine cannot."""
        material = self.material(settings.material)
        if settings.layer_height_mm is not None:
            self._require_layer_height(settings.layer_height_mm)
        return self.machine | self.process | self.filaments[material] | _order_keys(settings, material)

    def origins(self, material: str) -> list[Origin]:
        """Every key of the three layers below the order, and the file it comes from. Refused as `material`."""
        name = self.material(material)
        found: dict[str, Origin] = {}
        for file, values in (("machine.ini", self.machine), ("process.ini", self.process), (f"filament-{name}.ini", self.filaments[name])):
            for key, value in values.items():
                found[key] = Origin(key, value, file, found[key].value if key in found else None)
        return list(found.values())

    def _require_layer_height(self, asked: float) -> None:
        least, most = self.layer_heights_mm
        if not least <= asked <= most:
            raise Refused(
                f"Layers of {asked:g} mm were asked for; {self.name} makes {least:g}…{most:g} mm.",
                hint="Ask the customer for another layer height, or print it with another nozzle.",
                code="layer_height",
            )


def _order_keys(settings: PrintSettings, material: str) -> Flat:
    keys = {
        "fill_density": f"{settings.infill_percent}%",
        "support_material": "0" if settings.supports is Supports.NO else "1",
        "support_material_auto": "1",
        "filament_type": material,
        "gcode_label_objects": "1",  # the proof counts copies by the labels
    }
    if settings.infill_percent == 100:
        keys["fill_pattern"] = "rectilinear"  # the slicer refuses 100 % with most other patterns
    if settings.color.hex is not None:
        keys["filament_colour"] = settings.color.hex.upper()
    if settings.layer_height_mm is not None:
        keys["layer_height"] = f"{settings.layer_height_mm:g}"
    return keys


def as_ini(flat: Flat) -> str:
    return "".join(f"{key} = {value}\n" for key, value in sorted(flat.items()))


def fingerprint(flat: Flat) -> str:
    return hashlib.sha256(as_ini(flat).encode()).hexdigest()


class ProfileLibrary:
    """The profiles of one folder, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, Profile] = {}

    def names(self) -> list[str]:
        return sorted(folder.name for folder in self._root.iterdir() if (folder / "profile.toml").is_file()) if self._root.is_dir() else []

    def profile(self, name: str) -> Profile:
        """ConfigError where there is none, or its files cannot be used."""
        if name not in self._read:
            if name not in self.names():
                raise ConfigError(
                    f"There is no slicer profile '{name}' in {self._root}.", hint=f"Profiles: {', '.join(self.names()) or 'none'}."
                )
            self._read[name] = _profile(self._root / name)
        return self._read[name]


# --- reading ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _File:
    """One ini file and the line each key stands in."""

    path: Path
    values: Flat
    lines: dict[str, int]

    def number(self, key: str, *, above: float = 0.0, or_equal: bool = False) -> float:
        """The first of its numbers; one for each tool may be given."""
        text = self.text(key)
        try:
            value = _first(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and (value > above or (or_equal and value == above))):
            raise self.wrong(key, f"is no number {'of at least' if or_equal else 'above'} {above:g}")
        return value

    def text(self, key: str) -> str:
        if key not in self.values:
            raise ConfigError(f"{self.path}: {key} is missing.", hint=_HINT)
        return self.values[key]

    def wrong(self, key: str, why: str) -> ConfigError:
        return ConfigError(f"{self.path}:{self.lines[key]}: {key} = {self.values[key][:60]} {why}.", hint=_HINT)


def _profile(folder: Path) -> Profile:
    machine, process = _ini(folder / "machine.ini"), _ini(folder / "process.ini")
    filaments = {path.stem.removeprefix("filament-"): _ini(path) for path in sorted(folder.glob("filament-*.ini"))}
    about = _about(folder / "profile.toml")
    limits = _limits(folder / "profile.toml", about)
    if set(filaments) != set(limits):
        raise ConfigError(
            f"{folder}: the filament files ({', '.join(filaments)}) and [materials] of profile.toml ({', '.join(limits)}) differ.",
            hint="Each material needs both: filament-<MATERIAL>.ini and its temperatures.",
        )
    for kind, file in (("machine", machine), ("process", process), *(("filament", file) for file in filaments.values())):
        for key in _NUMBERS[kind]:
            file.number(key)
        for key in _MAY_BE_0:
            if key in file.values:
                file.number(key, or_equal=True)
    _require_bed(machine)
    for material, file in filaments.items():
        _require_within(file, limits[material])
    return Profile(
        name=folder.name,
        folder=folder,
        machine=machine.values,
        process=process.values,
        filaments={material: file.values for material, file in filaments.items()},
        limits=limits,
        clears_bed=str(about.get("clears_bed", "")),
        cura=_ini(folder / "cura.ini").values if (folder / "cura.ini").is_file() else {},
        slicers=_slicers(folder / "profile.toml", about),
        title=str(about.get("title", "")),
        proven=str(about.get("proven", "")),
        excluded=_excluded(folder / "profile.toml", about),
    )


def _require_bed(machine: _File) -> None:
    machine.text("bed_shape")
    try:
        bed_of(machine.values["bed_shape"])
    except ValueError as error:
        raise machine.wrong("bed_shape", str(error)) from error


def _require_within(filament: _File, limits: Limits) -> None:
    for part, (low, high) in (("", limits.nozzle_c), ("bed_", limits.bed_c)):
        for key in (f"{part}temperature", f"first_layer_{part}temperature"):
            if not low <= filament.number(key, or_equal=True) <= high:
                raise filament.wrong(key, f"is outside {low}…{high} °C of profile.toml")


def _ini(path: Path) -> _File:
    file = _File(path, {}, {})
    for number, line in enumerate(_read(path).splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        key, sign, value = (part.strip() for part in stripped.partition("="))
        if not sign or not _KEY.fullmatch(key):
            raise ConfigError(f"{path}:{number}: '{stripped[:60]}' is no 'key = value' line.", hint=_HINT)
        if key in file.values:
            raise ConfigError(f"{path}:{number}: {key} is set twice, first in line {file.lines[key]}.", hint="Keep one of them.")
        file.values[key], file.lines[key] = value, number
    return file


def _about(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}.", hint=_HINT) from error


def _slicers(path: Path, about: Mapping[str, object]) -> tuple[str, ...]:
    named = about.get("slicers", list(_SLICERS))
    if not isinstance(named, list) or not named or not all(isinstance(name, str) and name for name in named):
        raise ConfigError(f"{path}: slicers = {named} is no list of slicers.", hint='Such as slicers = ["prusaslicer", "curaengine"].')
    return tuple(named)


def _excluded(path: Path, about: Mapping[str, object]) -> tuple[Area, ...]:
    zones = about.get("excluded", [])
    if not isinstance(zones, list) or len(zones) > _MOST_ZONES or not all(map(_is_zone, zones)):
        raise ConfigError(
            f"{path}: excluded = {str(zones)[:80]} is no list of zones [x0, y0, x1, y1] in mm of the bed, x0 < x1 and y0 < y1.",
            hint="Such as excluded = [[0, 0, 18, 28]], above the first [materials.<MATERIAL>].",
        )
    return tuple(Area(*map(float, zone)) for zone in zones)


def _is_zone(told: object) -> bool:
    if not (isinstance(told, list) and len(told) == 4 and all(type(at) in (int, float) and math.isfinite(at) for at in told)):
        return False
    return bool(told[0] < told[2] and told[1] < told[3])


def _limits(path: Path, about: Mapping[str, object]) -> dict[str, Limits]:
    materials = about.get("materials")
    if not isinstance(materials, dict) or not materials:
        raise ConfigError(f"{path}: [materials.<MATERIAL>] with nozzle_c and bed_c is missing.", hint=_HINT)
    return {name: _limits_of(path, name, told) for name, told in materials.items()}


def _limits_of(path: Path, material: str, told: object) -> Limits:
    needs = told.get("needs", "") if isinstance(told, Mapping) else ""
    return Limits(_range(path, material, told, "nozzle_c"), _range(path, material, told, "bed_c"), str(needs))


def _range(path: Path, material: str, ranges: object, key: str) -> tuple[int, int]:
    found = ranges.get(key) if isinstance(ranges, Mapping) else None
    if isinstance(found, list) and len(found) == 2:
        low, high = found
        if isinstance(low, int) and isinstance(high, int) and 0 <= low <= high:
            return low, high
    raise ConfigError(f"{path}: [materials.{material}] {key} = {found} is not [lowest, highest] in °C.", hint=_HINT)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing.", hint=_HINT) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint="The agent's user needs to read it.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text.", hint="Save it as UTF-8.") from error


def _first(value: str) -> float:
    """PrusaSlicer writes one number a tool; there is one tool."""
    return float(value.split(",")[0])
