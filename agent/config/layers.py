"""What stands above the file: the environment and the command line, read into the same trees of raw values.

`INTAGLY_AGENT__MQTT__HOST=broker` is `[mqtt] host`; the command line says `mqtt.host`. A value is text as it stands, except where it is a
TOML list or table: a list replaces the file's list, a table goes over the file's table, option by option.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from agent.config.mistakes import Finding, Mistake
from agent.config.places import Loc, line_of, place

PREFIX = "INTAGLY_AGENT__"


@dataclass
class Layer:
    """One source of raw values. `names`: what each of its options is called there; empty for a file."""

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Loc, str] = field(default_factory=dict)
    lines: Mapping[Loc, int] = field(default_factory=dict)

    def has(self, loc: Loc) -> bool:
        """True where this layer says something there."""
        return any(True for _ in _at(self.values, loc))

    def mistake(self, finding: Finding) -> Mistake:
        """That finding, said of this layer."""
        line = line_of(self.lines, finding.loc)
        return Mistake(self.source, self._place(finding.loc), finding.expected, finding.found, line, finding.meant)

    def _place(self, loc: Loc) -> str:
        """What set this option here, or the list around it, or an option in it; its place where nothing did."""
        if loc in self.names:
            return self.names[loc]
        for end in range(len(loc) - 1, 0, -1):
            if loc[:end] in self.names:
                return f"{self.names[loc[:end]]}, {place(loc)}"
        return next((name for named, name in self.names.items() if named[: len(loc)] == loc), place(loc))


def origin(loc: Loc, layers: Sequence[Layer]) -> Layer:
    """The layer a value came from, of layers whose tables are merged and whose lists replace one another.

    For one that is missing it is the lowest layer with that section.
    """
    named = tuple(takewhile(lambda part: isinstance(part, str), loc))
    saying = [layer for layer in layers if layer.has(named)]
    around = [layer for layer in layers if layer.has(loc[:1])]
    return saying[0] if saying else (around or layers)[-1]


def from_environment(environ: Mapping[str, str], mistakes: list[Mistake]) -> Layer:
    named = {name: tuple(name.removeprefix(PREFIX).lower().split("__")) for name in sorted(environ) if name.startswith(PREFIX)}
    return _layer("environment", {name: (loc, environ[name]) for name, loc in named.items()}, mistakes)


def from_command_line(overrides: Mapping[str, str], mistakes: list[Mistake]) -> Layer:
    return _layer("command line", {name: (tuple(name.split(".")), text) for name, text in overrides.items()}, mistakes)


def _layer(source: str, options: Mapping[str, tuple[tuple[str, ...], str]], mistakes: list[Mistake]) -> Layer:
    layer = Layer(source)
    for name, (loc, text) in options.items():
        try:
            _put(layer.values, loc, _value(text))
        except _NotSoError as error:
            mistakes.append(Mistake(source, name, str(error), "something else"))
        else:
            layer.names[loc] = name
    return layer


class _NotSoError(ValueError):
    """What was expected of a variable."""


def _value(text: str) -> Any:
    """A list or table where it is one. `[::1]:8410` is none, and a list with a mistake is told as text where a list was expected."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text.strip()}\n")["value"]
    except (ValueError, RecursionError):
        return text


def _put(tree: dict[str, Any], loc: tuple[str, ...], value: Any) -> None:
    for part in loc[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise _NotSoError(f"either the whole of {part} or its options, not both")
    if isinstance(tree.get(loc[-1]), dict):
        raise _NotSoError(f"either the whole of {loc[-1]} or its options, not both")
    tree[loc[-1]] = value


def first(layers: Sequence[Layer], *loc: str) -> Any:
    """The raw value of an option in the first layer that has it; None where none has."""
    return next((value for layer in layers for value in _at(layer.values, loc)), None)


def _at(tree: Any, loc: Loc) -> Iterator[Any]:
    for part in loc:
        inside = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
        if part not in inside:
            return
        tree = tree[part]
    yield tree
