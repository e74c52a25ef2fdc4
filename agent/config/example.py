"""config.example.toml and printers.example/, written from the descriptions of the options: `python -m agent.config.example`.

A test compares the files with the code, loads them, and loads them once more with every option set.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from agent.config.model import Settings
from agent.config.printer import BambuSettings, MoonrakerSettings, OctoPrintSettings, VirtualSettings
from agent.config.values import ColorOption, Section

_WIDTH = 98
_WHERE_TO_CHANGE = "Made from the code by `make example`."
_CONFIG = f"""\
The configuration of intagly-agent. Copy it to config.toml, and for each of your printers a file
of printers.example/ into printers/ beside it. Then change what is not true of your shop:
`intagly-agent check --config config.toml` tells all mistakes at once.

    #option = value

is an option that is not set. The value is its default, or an example where the comment says what
"Not set" means. Take the # away to set it, and the # of its [table] as well.

- Lengths of time are in the unit the name ends in: _s seconds, _h hours.
- Relative paths are relative to this file.
- Secrets never stand here: an option names the file, or the environment variable, with one.
- The environment wins over this file: INTAGLY_AGENT__SLICING__WORKERS=2 is [slicing] workers.
- The command line wins over both: --set slicing.workers=2.

{_WHERE_TO_CHANGE}"""
_PRINTER = f"""\
{{title}}
Each printer has a file of its own in printers/, with any name that ends in .toml.

    #option = value

is an option that is not set. The value is its default, or an example where the comment says what
"Not set" means. Take the # away to set it. Relative paths are relative to this file.

{_WHERE_TO_CHANGE}"""


def rendered() -> dict[str, str]:
    """Each example file's text, by its path in the repository."""
    return {
        "config.example.toml": _text([*comment_lines(_CONFIG), *_sections()]),
        "printers.example/octoprint.toml": _text(_printer(OctoPrintSettings)),
        "printers.example/klipper.toml": _text(_printer(MoonrakerSettings)),
        "printers.example/bambu.toml": _text(_printer(BambuSettings)),
        "printers.example/virtual.toml": _text(_printer(VirtualSettings)),
    }


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    for name, text in rendered().items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


# --- tables ------------------------------------------------------------------------------------------------------
def _sections() -> Iterator[str]:
    """Every table of config.toml. One that is left out by default, and each kind of a list but the first, is no live table."""
    for name, field in Settings.model_fields.items():
        for n, table in enumerate(tables_of(field.annotation)):
            head = f"[[{name}]]" if is_list(field) else f"[{name}]"
            yield from _table(table, head, live=n == 0 and field.default is not None)


def _table(table: type[Section], head: str, *, live: bool) -> Iterator[str]:
    yield from ("", "", *comment_lines(doc_of(table)), option_line(head, live=live))
    inner = {name: tables[0] for name, field in table.model_fields.items() if is_list(field) and (tables := tables_of(field.annotation))}
    for name, field in table.model_fields.items():
        if name not in inner:
            yield from _option(name, field, live=live and is_shown(field))
    for name, list_of in inner.items():
        yield from _table(list_of, f"[[{head.strip('[]')}.{name}]]", live=False)


def _printer(table: type[Section]) -> Iterator[str]:
    """Tables come last, as TOML wants them."""
    yield from comment_lines(_PRINTER.format(title=doc_of(table)))
    names = printer_options(table)
    inner = {name: tables[0] for name in names if (tables := tables_of(table.model_fields[name].annotation))}
    for name in names:
        if name not in inner:
            yield from _option(name, table.model_fields[name], live=is_shown(table.model_fields[name]))
    for name, spool in inner.items():
        yield from _table(spool, f"[[{name}]]", live=True)


def printer_options(table: type[Section]) -> list[str]:
    """What tells it apart first, then what is its kind's own."""
    own = [name for name in table.model_fields if name in table.__annotations__ and name != "kind"]
    return list(dict.fromkeys(["name", "kind", *own, *table.model_fields]))


def tables_of(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [] if issubclass(annotation, ColorOption) else [annotation]
    return [table for part in get_args(annotation) for table in tables_of(part)]


def is_list(field: FieldInfo) -> bool:
    return isinstance(field.default, list)


def doc_of(table: type[BaseModel]) -> str:
    return " ".join((table.__doc__ or "").split())


# --- options -----------------------------------------------------------------------------------------------------
def _option(name: str, field: FieldInfo, *, live: bool) -> Iterator[str]:
    yield from ("", *comment_lines(field.description or ""))
    yield option_line(f"{name} = {toml_value(example_of(name, field))}", live=live)


def is_shown(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return field.is_required() or (isinstance(extra, Mapping) and bool(extra.get("shown")))


def example_of(name: str, field: FieldInfo) -> Any:
    """A kind is its own example. An option that is shown has one that is better than its default; others have one where they have none."""
    if name == "kind":
        return get_args(field.annotation)[0]
    if field.examples and (is_shown(field) or not field.default):
        return field.examples[0]
    return field.default


def option_line(text: str, *, live: bool) -> str:
    return text if live else f"#{text}"


def comment_lines(text: str) -> Iterator[str]:
    """Short lines stay as they are, with what they are indented by; a long one is wrapped, with addresses in one piece."""
    for line in text.split("\n"):
        wrapped = [line] if len(line) <= _WIDTH else textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield from (f"# {part}".rstrip() for part in wrapped)


def toml_value(value: Any) -> str:
    match value:
        case SecretStr():
            return toml_value(value.get_secret_value())
        case ColorOption():
            return toml_value(value.name)
        case Enum():
            return toml_value(value.value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case list():
            return f"[{', '.join(toml_value(part) for part in value)}]"
        case dict():
            return f"{{ {', '.join(f'{key_of(name)} = {toml_value(part)}' for name, part in value.items())} }}"
        case float():
            return f"{value:g}"
        case _:
            return str(value).lower()


def key_of(name: str) -> str:
    """In quotes where it could not stand without."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


if __name__ == "__main__":
    main()
