"""Where an option stands in a TOML file. tomllib does not say, so the text is read once more, roughly: a line number is a help, no fact."""

import re
from collections.abc import Mapping, Sequence

Loc = tuple[str | int, ...]
"""The way to an option: `("marketplaces", 0, "url")`."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'-]+)\s*=""")


def lines_of(text: str) -> Mapping[Loc, int]:
    """The line, from 1, of every table and option that stands on a line of its own."""
    lines: dict[Loc, int] = {}
    counts: dict[Loc, int] = {}
    table: Loc = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = _table(_keys(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_keys(key[1])), number)
    return lines


def _table(keys: Loc, is_list: bool, counts: dict[Loc, int]) -> Loc:
    """The location of a table; inside a list of tables it belongs to the last one so far."""
    loc: Loc = ()
    for key in keys[:-1]:
        loc = (*loc, key)
        if loc in counts:
            loc = (*loc, counts[loc])
    loc = (*loc, *keys[-1:])
    if is_list:
        counts[loc] = counts.get(loc, -1) + 1
    return (*loc, counts[loc]) if loc in counts else loc


def _keys(dotted: str) -> Loc:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def line_of(lines: Mapping[Loc, int], loc: Loc) -> int | None:
    """The line of that option, or of the nearest table around it that has one."""
    for end in range(len(loc), 0, -1):
        if loc[:end] in lines:
            return lines[loc[:end]]
    return None


def place(loc: Loc) -> str:
    """The location as a person writes it: `[acceptance] mode`, `[[marketplaces]] no. 2, url`, `[acceptance] hours no. 1`."""
    if len(loc) == 1:
        return _word(loc[0])
    if len(loc) > 1 and isinstance(loc[1], int):
        return f"[[{_word(loc[0])}]] no. {loc[1] + 1}" + (f", {_dotted(loc[2:])}" if loc[2:] else "")
    return f"[{_word(loc[0])}] {_dotted(loc[1:])}" if loc else "the file"


def _dotted(loc: Sequence[str | int]) -> str:
    return "".join(f" no. {part + 1}" if isinstance(part, int) else f".{_word(part)}" for part in loc).removeprefix(".")


def _word(part: str | int) -> str:
    """A name in a file may be empty, or as long as the file."""
    return f"{part}"[:60] or '""'
