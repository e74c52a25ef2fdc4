"""Presets as PrusaSlicer and OrcaSlicer keep them: of a kind, with a name, and with parents that say the rest."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.importing.draft import Settings, listed

PRINTER, PROCESS, FILAMENT = "printer", "process", "filament"
OPTIONS = {PRINTER: "--printer", PROCESS: "--print", FILAMENT: "--filament"}
UNDECIDED = "undecided"
"""The code of a refusal where a person has to say which."""
_DEEPEST = 40


@dataclass(frozen=True)
class Choice:
    """What a person asked for: names of presets, or parts of them."""

    printer: str | None = None
    process: str | None = None
    filaments: Sequence[str] = ()


@dataclass(frozen=True)
class Preset:
    """`offered`: it can be chosen; the others are parents only. `where`: for messages."""

    kind: str
    name: str
    settings: Settings
    parents: tuple[str, ...]
    where: str
    offered: bool = True


@dataclass(frozen=True)
class _Flat:
    settings: Settings
    absent: tuple[str, ...]


class Presets:
    """All presets of the files that were given. `needed`: what each kind has to say to stand without a parent that is not here."""

    def __init__(self, found: Iterable[Preset], source: str, needed: Mapping[str, Sequence[str]]) -> None:
        self._source, self._needed = source, needed
        self._known: dict[tuple[str, str], Preset] = {}
        self._flat: dict[tuple[str, str], _Flat] = {}
        self.orphans: dict[str, str] = {}
        """Presets that were taken without a parent which is not here, and that parent."""
        self._twice: dict[tuple[str, str], str] = {}
        for preset in found:
            if (before := self._known.setdefault((preset.kind, preset.name), preset)) is not preset:
                self._twice[preset.kind, preset.name] = f"{before.where} and {preset.where}"

    def names(self, kind: str) -> list[str]:
        return [preset.name for preset in self._known.values() if preset.kind == kind and preset.offered]

    def chosen(self, kind: str, asked: str | None, own: str = "", suits: Callable[[Settings], bool] | None = None) -> str:
        """The name of the one that was asked for, or the only one. Refused: there is none, or (code undecided) more than one.

        `own`: the one that the printer itself would take; it is told, not taken. Of several, those that do not suit the printer are
        passed over, but not where a person names them.
        """
        names = self.names(kind)
        if not names:
            raise Refused(f"{self._source} has no {kind} to choose.", hint=f"Export a bundle or files with a {kind} in them.")
        found = names if asked is None else self._renamed(kind, asked) or _matching(names, asked)
        if not found:
            near = difflib.get_close_matches(asked or "", names, n=5, cutoff=0.4)
            raise Refused(
                f"{self._source} has no {kind} {one_line(asked or '')}.",
                hint=f"Did you mean {' or '.join(map(one_line, near))}?" if near else f"Leave {OPTIONS[kind]} out for a list.",
                code="no_such_preset",
            )
        if len(found) > 1 and suits is not None:
            found = [name for name in found if self._suits(kind, name, suits)] or found
        if len(found) > 1:
            default = f" The printer's own is {one_line(own)}." if own in found else ""
            raise Refused(
                f"{self._source} has {len(found)} to choose for the {kind}. Say which with {OPTIONS[kind]}.{default}\n"
                f"{listed(map(one_line, found))}",
                code=UNDECIDED,
            )
        return found[0]

    def _renamed(self, kind: str, asked: str) -> list[str]:
        """Those that had this very name in an earlier version of the file."""
        before = {name: self._known[kind, name].settings.get("renamed_from") for name in self.names(kind)}
        return [name for name, setting in before.items() if setting is not None and asked in re.findall(r'"([^"]*)"', setting.text)]

    def _suits(self, kind: str, name: str, suits: Callable[[Settings], bool]) -> bool:
        try:
            return suits(self._resolved(kind, name, ()).settings)
        except Refused:  # why is told if it is chosen
            return True

    def flat(self, kind: str, name: str) -> Settings:
        """Its settings over those of its parents, from left to right. Refused: a parent that is not here, or a circle."""
        flat = self._resolved(kind, name, ())
        if flat.absent:
            missing = [key for key in self._needed[kind] if key not in flat.settings]
            if missing:
                raise Refused(
                    f"{self._known[kind, name].where}: the {kind} {one_line(name)} takes the rest from {one_line(flat.absent[0])}, "
                    f"which is not in {self._source}.",
                    hint="Give the file or the folder that has it too, or export the preset as a whole.",
                    code="no_parent",
                )
            self.orphans[name] = flat.absent[0]
        return flat.settings

    def _resolved(self, kind: str, name: str, path: tuple[str, ...]) -> _Flat:
        if (kind, name) in self._flat:
            return self._flat[kind, name]
        if name in path or len(path) > _DEEPEST:
            circle = " → ".join(one_line(one) for one in [*path[-5:], name])
            raise Refused(
                f"The {kind} {one_line(name)} inherits from itself, or too deeply: {circle}.", hint="Export the preset as a whole."
            )
        if (kind, name) in self._twice:
            raise Refused(f"The {kind} {one_line(name)} is there twice: {self._twice[kind, name]}.", hint="Keep one of them.")
        preset = self._known[kind, name]
        settings: Settings = {}
        absent: tuple[str, ...] = ()
        for parent in preset.parents:
            if (kind, parent) not in self._known:
                absent += (parent,)
                continue
            above = self._resolved(kind, parent, (*path, name))
            settings |= above.settings
            absent += above.absent
        flat = _Flat(settings | preset.settings, tuple(dict.fromkeys(absent)))
        self._flat[kind, name] = flat
        return flat


def _matching(names: Sequence[str], asked: str) -> list[str]:
    """The very name, else the same in other letters, else those that contain it."""
    wanted = asked.casefold().strip()
    for fits in (lambda name: name == asked, lambda name: name.casefold() == wanted, lambda name: wanted in name.casefold()):
        if found := [name for name in names if fits(name)]:
            return found
    return []
