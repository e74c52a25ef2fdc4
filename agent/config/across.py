"""Mistakes that no option makes alone: two of something that must be one, a profile that is not there."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.config.layers import Layer, first, origin
from agent.config.mistakes import Finding, Mistake, meant_by, shown
from agent.config.places import Loc
from agent.config.values import is_folder, located
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir

_Table = Mapping[str, Any]


# --- printers ----------------------------------------------------------------------------------------------------
def double_printers(files: Sequence[Layer]) -> list[Mistake]:
    """Two printers under one name cannot be told apart; two for one machine would both start prints on it."""
    return [*_doubles_in(files, "name", _name), *_doubles_in(files, "url", _machine), *_doubles_in(files, "serial", _name)]


def _doubles_in(files: Sequence[Layer], option: str, same: Callable[[str], Hashable]) -> list[Mistake]:
    mistakes: list[Mistake] = []
    seen: dict[Hashable, Layer] = {}
    for file in files:
        value = file.values.get(option)
        if not isinstance(value, str):
            continue
        other = seen.setdefault(same(value), file)
        if other is not file:
            expected = f"another {option} than in {Path(other.source).name}"
            mistakes.append(file.mistake(Finding((option,), expected, shown((option,), value))))
    return mistakes


def unknown_profiles(files: Sequence[Layer], layers: Sequence[Layer]) -> list[Mistake]:
    """Told with all other mistakes, and with the profiles there are."""
    named = first(layers, "slicing", "profiles_dir")
    folder = _located(named) if isinstance(named, str) else default_profiles_dir()
    if folder is None or not is_folder(folder):
        return []  # told as a mistake of [slicing] profiles_dir
    known = ProfileLibrary(folder).names()
    expected = f"one of {', '.join(known)}" if known else f"a profile, of which there are none in {folder}"
    return [
        file.mistake(Finding(("profile",), expected, shown(("profile",), name), meant_by(name, known)))
        for file in files
        if isinstance(name := file.values.get("profile"), str) and name not in known
    ]


# --- marketplaces ------------------------------------------------------------------------------------------------
def double_marketplaces(layers: Sequence[Layer]) -> list[Mistake]:
    """The ledger knows an offer by its marketplace's name. What comes in under two names would be printed twice."""
    found = first(layers, "marketplaces")
    tables = [table if isinstance(table, dict) else {} for table in found] if isinstance(found, list) else []
    return [
        *_doubles_of(tables, layers, "name", "a name of its own", lambda table: _name(table["name"])),
        *_doubles_of(tables, layers, "url", "another address, or another token than no. {other}", _account),
        *_doubles_of(tables, layers, "path", "another folder than no. {other}", lambda table: _located(table["path"])),
    ]


def _doubles_of(
    tables: Sequence[_Table], layers: Sequence[Layer], option: str, expected: str, same: Callable[[_Table], Hashable]
) -> list[Mistake]:
    mistakes: list[Mistake] = []
    seen: dict[Hashable, int] = {}
    for n, table in enumerate(tables):
        if not isinstance(table.get(option), str):
            continue
        other = seen.setdefault(same(table), n)
        if other != n:
            loc: Loc = ("marketplaces", n, option)
            mistakes.append(origin(loc, layers).mistake(Finding(loc, expected.format(other=other + 1), shown(loc, table[option]))))
    return mistakes


def _account(table: _Table) -> Hashable:
    """One address with two tokens is two accounts."""
    return _machine(table["url"]), f"{table.get('token_file')}", f"{table.get('token_env')}"


# --- when two values mean the same -------------------------------------------------------------------------------
def _name(text: str) -> str:
    return text.casefold()


def _machine(url: str) -> Hashable:
    """What two addresses of one machine have in common, also where one says https or the port that is meant anyway."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return (parts.hostname or "").rstrip("."), None if port == usual else port, parts.path.rstrip("/")


def _located(text: str) -> Path | None:
    try:
        return located(text)
    except ValueError:
        return None
