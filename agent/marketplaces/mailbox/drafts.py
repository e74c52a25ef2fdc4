"""What a person is told of a mail that was not understood, and the order file they can make of it.

The draft is a hot folder's order file. For each thing that was not understood it has a `?`, which is no TOML: a hot folder takes it only
when a person has put something in the place of every one.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.domain.offer import Supports
from agent.domain.values import Color, Money, one_line
from agent.marketplaces.mailbox.opening import Closed
from agent.marketplaces.mailbox.reading import Field, Reading

_OPEN = "?"
_ITEM_OPTIONS = {
    "quantity": "quantity",
    "material": "material",
    "color": "color",
    "infill": "infill_percent",
    "supports": "supports",
}
"""A field of a mail, and what the hot folder's order file calls it."""


def draft(sender: str, subject: str, reading: Reading) -> str:
    """An order file with what was understood."""
    said = reading.said
    lines = [
        f"# From the mail “{one_line(subject)}” of {one_line(sender)}. WHY.txt tells what was not understood.",
        "# Put what is right in the place of every ?, look at all the rest, then move this file and its models into a hot folder.",
        f"payout = {_toml(said.get('payout'))}",
        f"ship_by = {_toml(said['ship_by'])}" if "ship_by" in said else "# ship_by = 2026-12-24",
        f"special_instructions = {_toml(said.get('instructions', ''))}",
    ]
    for item in reading.said_items or [{}]:
        lines += ["", "[[items]]", f"file = {_toml(item.get('file'))}"]
        lines += [f"{option} = {_toml(item.get(field))}" for field, option in _ITEM_OPTIONS.items()]
        if "layer_height" in item:
            lines.append(f"layer_height_mm = {_toml(item['layer_height'])}")
    for title in said.get("add_ons", []):
        lines += ["", "[[add_ons]]", f"title = {_toml(title[:200])}"]
    return "\n".join(lines) + "\n"


def why_text(sender: str, subject: str, reading: Reading, closed: Sequence[Closed]) -> str:
    """What is open, then what was understood and from which line."""
    parts = [
        f"The mail “{one_line(subject)}” of {one_line(sender)} was not taken as an order:",
        *(f"  - {question}" for question in reading.questions),
        "",
        "What to do: answer the marketplace as you see fit. To print it, complete order.toml beside this text, and move it with its",
        "models into a hot folder. The mail itself is mail.eml. When you are done, delete this folder.",
    ]
    parts += _section(f"Understood, by the template {reading.template}:", [_read(field) for field in reading.fields])
    parts += _section("Lines that no pattern of the template knows:", reading.unknown)
    parts += _section("Files that were not opened:", [f"{one_line(each.name)}: {each.why}" for each in closed])
    return "\n".join(parts) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _read(field: Field) -> str:
    where = f" (item {field.item})" if field.item else ""
    return f"{field.name}{where}: {one_line(field.text)}    from the line: {one_line(field.line)}"


def _toml(value: Any) -> str:
    match value:
        case None:
            return _OPEN
        case Money() | Supports():
            return _text(str(value))
        case Color(hex=None):
            return _text(value.name)
        case Color(hex=str() as hexed):
            return f"{{ name = {_text(value.name)}, hex = {_text(hexed)} }}"
        case datetime():
            return value.isoformat()
        case str():
            return _text(value)
        case _:
            return str(value)


def _text(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
