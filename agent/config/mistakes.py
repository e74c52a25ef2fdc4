"""Mistakes in the configuration, told to a person: where, what was expected, what was found, what was probably meant."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agent.config.places import Loc
from agent.config.secrets import looks_secret
from agent.domain.errors import ConfigError

_EXPECTED = {
    "missing": "this option",
    "extra_forbidden": "an option of this table",
    "union_tag_invalid": "{expected_tags}",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text in quotes",
    "string_unicode": "text in quotes",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "list_type": "a list in square brackets",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
    "model_type": "a table",
    "dict_type": "a table",
    "model_attributes_type": "a table",
    "greater_than": "more than {gt:.12g}",
    "greater_than_equal": "at least {ge:.12g}",
    "less_than": "less than {lt:.12g}",
    "less_than_equal": "at most {le:.12g}",
    "value_error": "{error}",
}
_TABLES_AND_LISTS = frozenset({"list_type", "dict_type", "model_type", "model_attributes_type"})
_MAY_BE_SECRET = frozenset({"urls", "token", "api_key", "password", "username"})


@dataclass(frozen=True)
class Mistake:
    """One mistake. `file` is a path, "environment" or "command line"; `line` counts from 1 where it is known."""

    file: str
    place: str
    expected: str
    found: str
    line: int | None = None
    meant: str = ""

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        meant = f" — did you mean {self.meant}?" if self.meant else ""
        return _printable(f"{where}: {self.place}: expected {self.expected}; found {self.found}{meant}")


class BadConfiguration(ConfigError):
    """All mistakes at once. Its text is the list for a person; the daemon does not start (exit 78)."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        lines = [f"{count} in the configuration:", *(f"  {mistake}" for mistake in self.mistakes)]
        super().__init__("\n".join(lines), hint="config.example.toml and printers.example/ show every option", code="bad_configuration")

    def told(self) -> str:
        return f"{self}\n{self.hint}"


@dataclass(frozen=True)
class Finding:
    """A mistake before it is known where its value came from. `loc` holds no kinds."""

    loc: Loc
    expected: str
    found: str
    meant: str = ""


def findings(error: ValidationError, model: type[BaseModel] | Any) -> Iterator[Finding]:
    """What pydantic found, in our words. `model` is what was validated."""
    for detail in error.errors(include_url=False):
        loc, tables = _walk(detail["loc"], model)
        yield _finding(detail, loc, tables)


def _finding(detail: Any, loc: Loc, tables: Sequence[type[BaseModel]]) -> Finding:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        options = list(tables[0].model_fields) if tables else []
        return Finding(loc, f"one of {', '.join(options)}", "an unknown option", meant_by(str(loc[-1]), options))
    if kind == "union_tag_not_found":
        expected = " or ".join(f'kind = "{tag}"' for tag in _tags(tables))
        return Finding((*loc, "kind"), expected, "nothing")
    if kind == "union_tag_invalid":
        loc, given = (*loc, "kind"), context["tag"]
    choices = [part.strip(" '") for part in _choices(context).replace(" or ", ",").split(",")]
    text = _EXPECTED[kind].format(**context) if kind in _EXPECTED else detail["msg"]
    expected = " or ".join(f'"{choice}"' for choice in choices) if kind in ("union_tag_invalid", "enum", "literal_error") else text
    return Finding(loc, expected, _found(kind, loc, given), meant_by(given, choices) if isinstance(given, str) else "")


def _found(kind: str, loc: Loc, given: object) -> str:
    if kind == "missing":
        return "nothing"
    if kind in _TABLES_AND_LISTS and isinstance(given, str):
        return "text"  # of what, is not known: `mqtt = "…"` may hold anything
    return shown(loc, given)


def _choices(context: dict[str, Any]) -> str:
    return str(context.get("expected_tags", context.get("expected", "")))


def meant_by(given: str, options: Sequence[str]) -> str:
    """The option that was probably meant; empty where none is near."""
    if f"{given}_file" in options:
        return f"{given}_file"  # a secret that was to stand in the file itself
    return next(iter(difflib.get_close_matches(given[:100].lower(), [option for option in options if option], n=1)), "")


def shown(loc: Loc, value: object) -> str:
    """What was found, short, on one line, and never a secret."""
    if any(part in _MAY_BE_SECRET for part in loc) or loc == ("ledger", "url"):
        return "(not shown)"
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return _shown_text(value, names_secret=f"{loc[-1] if loc else ''}".endswith(("_file", "_env")))
        case int() | float():
            return "a very big number" if abs(value) >= 1e15 else f"{value}"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return type(value).__name__


def _shown_text(text: str, *, names_secret: bool) -> str:
    """An address may hold a password or, behind `?` and `#`, a token. What should name a secret may be the secret."""
    if "@" in text or "://" in text[8:] or ("://" in text and re.search("[?#]", text)):
        return "(not shown)"
    if names_secret and looks_secret(text):
        return "(not shown: it looks like the secret itself)"
    return f'"{_printable(text[:60])}…"' if len(text) > 60 else f'"{_printable(text)}"'


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _walk(loc: Loc, model: Any) -> tuple[Loc, list[type[BaseModel]]]:
    """The location without the kinds that pydantic puts into it, and the tables that may stand around its last part."""
    tables, clean = _tables(model), []
    around, in_dict = tables, False
    for part in loc:
        chosen = [table for table in tables if len(tables) > 1 and part == _tag(table)]
        if chosen:
            tables = around = chosen
            continue
        clean.append(part)
        around = tables
        if isinstance(part, str):
            fields = [table.model_fields[part] for table in tables if part in table.model_fields]
            named = not fields and in_dict  # a name of the operator's own, of one of several tables that are alike
            tables = tables if named else [inner for field in fields for inner in _tables(field.annotation)]
            in_dict = any(get_origin(field.annotation) is dict for field in fields)
    is_union = bool(loc) and len(tables) > 1
    return tuple(clean), tables if is_union or not loc else around


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """All tables that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]


def _tag(table: type[BaseModel]) -> str:
    field = table.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field else ""


def _tags(tables: Iterable[type[BaseModel]]) -> list[str]:
    return [tag for table in tables if (tag := _tag(table))]
