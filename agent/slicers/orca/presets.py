"""The JSON files of a profile, for OrcaSlicer and Bambu Studio: flat presets in these programs' own keys.

orca/machine.json         the printer
orca/process.json         walls, layers, speeds
orca/filament-PLA.json    one a material

Each holds `type`, `name`, `from` and settings; every value is text, or a list of texts where there is one for each tool. The command line
takes no other form (Config.cpp load_from_json skips numbers and true/false without a word), follows neither `inherits` nor `include`
(CLI::run load_config_file), and passes over keys that it does not know.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.domain.errors import ConfigError, Refused
from agent.slicers.profiles import Flat, Profile

Values = dict[str, str | list[str]]

FOLDER = "orca"
_LARGEST_FILE = 2_000_000
_FROM = ("system", "User", "user")
"""What the command line takes (CLI::run load_config_file); others are CLI_CONFIG_FILE_ERROR."""
_PARENTS = ("inherits", "include", "includes")
_FLATTEN = "`intagly-agent profiles import` makes such files from what OrcaSlicer exports."


@dataclass(frozen=True)
class Presets:
    """As the files say, checked."""

    machine: Values
    process: Values
    filaments: Mapping[str, Values]
    """By the profile's own spelling of the material."""

    def filament(self, material: str, profile: Profile) -> Values:
        """Refused (code no_profile) where there is none of this material."""
        if material not in self.filaments:
            raise Refused(
                f"The profile {profile.name} has no {FOLDER}/filament-{material}.json.",
                hint=f"Add it to {profile.folder}. {_FLATTEN}",
                code="no_profile",
            )
        return self.filaments[material]


def read_presets(profile: Profile) -> Presets:
    """ConfigError where a file is missing, is none of these programs', or contradicts the profile's plain files."""
    folder = profile.folder / FOLDER
    machine = _preset(folder / "machine.json", "machine")
    _require_same(folder / "machine.json", machine, "nozzle_diameter", profile.machine)
    filaments: dict[str, Values] = {}
    for material, flat in profile.filaments.items():
        path = folder / f"filament-{material}.json"
        if path.is_file():
            filaments[material] = _preset(path, "filament")
            _require_same(path, filaments[material], "filament_diameter", flat)
    return Presets(machine, _preset(folder / "process.json", "process"), filaments)


def _preset(path: Path, kind: str) -> Values:
    values = _values(path)
    if values.get("type") != kind:
        raise ConfigError(f'{path}: "type" is {_shown(values, "type")}, and not "{kind}".', hint=_FLATTEN)
    if values.get("from") not in _FROM:
        raise ConfigError(f'{path}: "from" is {_shown(values, "from")}, and none of {", ".join(_FROM)}.', hint='Write "from": "User".')
    if not isinstance(name := values.get("name"), str) or not name.strip():
        raise ConfigError(f'{path}: "name" is missing.', hint="Give the preset the name it has in the program.")
    for key in _PARENTS:
        if values.get(key):
            raise ConfigError(
                f"{path}: {key} = {_shown(values, key)}, which the command line does not follow.",
                hint=f"Write every setting into the file itself and leave {key} out. {_FLATTEN}",
            )
    if any(script.strip() for script in _texts(values.get("post_process", ""))):
        raise ConfigError(f"{path}: post_process names a program to run on the G-code.", hint="Take it out: nothing runs after the proof.")
    return values


def _values(path: Path) -> Values:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(found, ensure_ascii=False).encode()  # half a character (\ud800) could be written nowhere
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing.", hint=_FLATTEN) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error)[:200]}.", hint=_FLATTEN) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no preset.", hint=_FLATTEN)
    for key, value in found.items():
        if not (isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(one, str) for one in value))):
            raise ConfigError(
                f"{path}: {key[:60]} = {json.dumps(value)[:60]} is neither text nor a list of texts, and would be passed over.",
                hint='Put it in quotes, such as "0.2" or ["0.2"].',
            )
    return found


def _require_same(path: Path, values: Values, key: str, flat: Flat) -> None:
    """One tool, and the same as in the plain file: placing and proof go by that."""
    said = _texts(values.get(key, ""))
    if len(said) != 1 or not _equal(said[0], flat[key]):
        raise ConfigError(
            f"{path}: {key} = {_shown(values, key)}, and the profile's own files say {flat[key]}.",
            hint="Both have to say the same, for one nozzle.",
        )


def _equal(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other.split(",")[0]), abs_tol=1e-6)
    except ValueError:
        return False


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _shown(values: Values, key: str) -> str:
    return json.dumps(values.get(key), ensure_ascii=False)[:80]
