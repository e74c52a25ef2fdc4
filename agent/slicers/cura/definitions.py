"""Cura's definition files (`*.def.json`), resolved into the one value each setting has.

The engine reads leaf values only: told `infill_sparse_density = 80` it fills as with 20 %, because the distance of the lines is another
setting, which only Cura's formulas know (CuraEngine issues 273, 1095, 1515). So the formulas are evaluated here. The files are those
of Cura 4.13 (Debian's package `cura`); one extruder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.errors import ConfigError
from agent.slicers.cura.formulas import BadFormula, Value, evaluate

ROOT = "fdmprinter"
_ROOT_EXTRUDER = "fdmextruder"
_FOLDERS = ("definitions", "extruders")
_DEEPEST = 20
_LARGEST_FILE = 5_000_000
_HINT = "Run scripts/cura-definitions.sh, or set [slicing] cura_definitions to the folder of Cura's resources."


@dataclass(frozen=True)
class Setting:
    """`formula` wins over `default`; both are as the files say."""

    kind: str
    default: Any
    formula: str | None


class Definitions:
    """The files of one folder that holds `definitions/` and `extruders/`. `own`: one more that may lie elsewhere, and goes before them."""

    def __init__(self, folder: Path, own: Path | None = None) -> None:
        self._folder, self._own = folder, own

    def settings(self, name: str = ROOT) -> dict[str, Setting]:
        """All settings of a machine, those inherited and its first extruder's included. ConfigError: no such file, or none of Cura's."""
        chain = self._chain(name)
        settings = _collected(chain[0]["settings"])
        train = chain[-1].get("metadata", {}).get("machine_extruder_trains", {}).get("0", _ROOT_EXTRUDER)
        for definition in [*chain, *self._chain(str(train))]:
            settings |= {key: setting for key, setting in _collected(definition.get("settings", {})).items() if key not in settings}
            for key, properties in definition.get("overrides", {}).items():
                if key in settings:
                    settings[key] = _overridden(settings[key], properties)
        return settings

    def _chain(self, name: str) -> list[dict[str, Any]]:
        """The root first."""
        chain: list[dict[str, Any]] = []
        wanted: object = name
        while isinstance(wanted, str):
            if len(chain) > _DEEPEST:
                raise ConfigError(f"The Cura definition {name} inherits from itself.", hint=_HINT)
            chain.insert(0, self._read(wanted))
            wanted = chain[0].get("inherits")
        return chain

    def _read(self, name: str) -> dict[str, Any]:
        if self._own is not None and self._own.name == f"{name}.def.json":
            return _parsed(self._own)
        for folder in _FOLDERS:
            path = self._folder / folder / f"{name}.def.json"
            if "/" not in name and path.is_file():
                return _parsed(path)
        raise ConfigError(f"There is no Cura definition {name} in {self._folder}.", hint=_HINT)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint=_HINT) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no Cura definition.", hint=_HINT)
    return found


def _collected(tree: Mapping[str, Any]) -> dict[str, Setting]:
    """The leaves and branches of a tree of settings; categories hold no value."""
    found: dict[str, Setting] = {}
    for key, properties in tree.items():
        kind = properties.get("type", "category")
        if kind != "category":
            found[key] = Setting(kind, properties.get("default_value"), _formula(properties))
        found |= _collected(properties.get("children", {}))
    return found


def _overridden(setting: Setting, properties: Mapping[str, Any]) -> Setting:
    """A new default keeps the formula, as in Cura itself: only `value` replaces it."""
    default = properties.get("default_value", setting.default)
    return Setting(setting.kind, default, _formula(properties) or setting.formula)


def _formula(properties: Mapping[str, Any]) -> str | None:
    value = properties.get("value")
    return None if value is None else str(value)


def resolved(settings: Mapping[str, Setting], given: Mapping[str, Value]) -> dict[str, Value]:
    """The value of every setting, in its own type: given, else by its formula, else its default. ConfigError names what has none."""
    unknown = sorted(given.keys() - settings.keys())
    if unknown:
        raise ConfigError(f"Cura knows no setting {', '.join(unknown[:5])}.", hint="Compare it with fdmprinter.def.json.")
    resolver = _Resolver(settings, given)
    try:
        return {key: resolver.value(key) for key in settings}
    except BadFormula as error:
        raise ConfigError(f"A Cura definition cannot be resolved: {error}.", hint=_HINT) from error


class _Resolver:
    def __init__(self, settings: Mapping[str, Setting], given: Mapping[str, Value]) -> None:
        self._settings, self._given = settings, given
        self._known: dict[str, Value] = {}
        self._under_way: list[str] = []

    def value(self, key: str) -> Value:
        if key not in self._known:
            if key not in self._settings:
                raise BadFormula(f"there is no setting {key[:60]}")
            if key in self._under_way:
                raise BadFormula(f"{key} needs itself: {' → '.join(self._under_way)}")
            self._under_way.append(key)
            self._known[key] = self._found(key, self._settings[key])
            self._under_way.pop()
        return self._known[key]

    def _found(self, key: str, setting: Setting) -> Value:
        if key in self._given:
            return _typed(key, setting.kind, self._given[key])
        if setting.formula is not None:
            try:
                return _typed(key, setting.kind, evaluate(setting.formula, self.value))
            except BadFormula as error:
                raise BadFormula(f"{key}: {error}") from error
        return _typed(key, setting.kind, setting.default)


def _typed(key: str, kind: str, value: Any) -> Value:
    try:
        match kind:
            case "int" | "extruder" | "optional_extruder":
                return int(float(value))
            case "float":
                return float(value)
            case "bool":
                return value.strip().lower() in ("true", "1") if isinstance(value, str) else bool(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadFormula(f"{key} = {value!r} is no {kind}") from error
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def as_json(settings: Mapping[str, Setting], values: Mapping[str, Value]) -> str:
    """A definition of leaves only, as `CuraEngine slice -j` reads it."""
    leaves = {key: {"label": key, "type": settings[key].kind, "default_value": value} for key, value in values.items()}
    tree = {"agent": {"label": "agent", "type": "category", "children": leaves}}
    return json.dumps({"name": "agent", "version": 2, "settings": tree})
