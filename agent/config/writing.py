"""config.toml and printers/<name>.toml from values, each option with its meaning: what `setup` writes.

Values are raw, as tomllib reads them. What no option is called is written as it is: loading it tells what was probably meant.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from agent.config.example import (
    comment_lines,
    doc_of,
    example_of,
    is_list,
    is_shown,
    key_of,
    option_line,
    printer_options,
    tables_of,
    toml_value,
)
from agent.config.model import Settings
from agent.config.printer import PrinterSettings
from agent.config.values import Section

Raw = Mapping[str, Any]

_CONFIG = """\
The configuration of intagly-agent, written by `intagly-agent setup`. Change it as you like, then
`intagly-agent check --config config.toml` tells all mistakes at once. config.example.toml and
printers.example/ show every option. Relative paths are relative to this file; secrets never stand
here, an option names the file with one."""
_PRINTER = """\
A printer of intagly-agent, written by `intagly-agent setup`. printers.example/ shows every
option. Relative paths are relative to this file."""


def config_text(values: Raw) -> str:
    """A whole config.toml."""
    known = [name for name in Settings.model_fields if name in values]
    lines = [*comment_lines(_CONFIG)]
    lines += [f"\n{key_of(name)} = {toml_value(value)}" for name, value in values.items() if not _each(value) and value not in ({}, [])]
    for name in [*known, *(name for name in values if name not in known)]:
        for raw in _each(values[name]):
            lines += _table(name, Settings.model_fields.get(name), raw, many=isinstance(values[name], list))
    return _text(lines)


def printer_text(values: Raw) -> str:
    """A whole printers/<name>.toml."""
    table = _of_kind(list(get_args(get_args(PrinterSettings)[0])), values)
    return _text([*comment_lines(_PRINTER), *_options(table, values), *_inner("", table, values)])


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _each(value: Any) -> list[Raw]:
    return [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, Mapping)]


def _table(name: str, field: FieldInfo | None, raw: Raw, *, many: bool) -> Iterator[str]:
    table = _of_kind(tables_of(field.annotation) if field else [], raw)
    yield from ("", "", *(comment_lines(doc_of(table)) if table else ()), f"[[{key_of(name)}]]" if many else f"[{key_of(name)}]")
    yield from _options(table, raw)
    yield from _inner(f"{key_of(name)}.", table, raw)


def _of_kind(tables: list[type[Section]], raw: Raw) -> type[Section] | None:
    """Of several tables the one of this kind; None where none is."""
    if len(tables) < 2:
        return tables[0] if tables else None
    return next((table for table in tables if raw.get("kind") in get_args(table.model_fields["kind"].annotation)), None)


def _options(table: type[Section] | None, raw: Raw) -> Iterator[str]:
    """Those that have a value; and those one may well want, as a comment."""
    names = () if table is None else printer_options(table) if "profile" in table.model_fields else table.model_fields
    fields = {name: table.model_fields[name] for name in names} if table else {}
    for name, field in fields.items():
        if is_list(field) and tables_of(field.annotation):
            continue
        if name in raw:
            yield from ("", *comment_lines(field.description or ""), f"{name} = {toml_value(raw[name])}")
        elif is_shown(field) and not field.is_required() and not _has_another_source(name, raw):
            yield from (
                "",
                *comment_lines(field.description or ""),
                option_line(f"{name} = {toml_value(example_of(name, field))}", live=False),
            )
    for name, value in raw.items():
        if name not in fields:
            yield from ("", f"{key_of(name)} = {toml_value(value)}")


def _has_another_source(name: str, raw: Raw) -> bool:
    return name.endswith("_file") and f"{name.removesuffix('_file')}_env" in raw


def _inner(prefix: str, table: type[Section] | None, raw: Raw) -> Iterator[str]:
    """Lists of tables, behind the options: TOML wants it so."""
    for name, field in table.model_fields.items() if table else ():
        kinds = tables_of(field.annotation) if is_list(field) else []
        for part in _each(raw.get(name, [])) if kinds else ():
            yield from ("", "", *comment_lines(doc_of(kinds[0])), f"[[{prefix}{name}]]")
            yield from _options(kinds[0], part)
