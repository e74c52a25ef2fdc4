"""What a hot folder's order file says, as an order; and what is wrong with it, in words.

payout = "12.50 EUR"                      # 0.00 EUR
ship_by = 2026-10-24T18:00:00             # nothing; without an offset it is the machine's local time
special_instructions = "gift wrap"        # nothing

[[items]]                                 # at least one
file = "hook.stl"                         # a file beside this one: STL, 3MF or OBJ
quantity = 2                              # 1
material = "PETG"                         # this and all below: the hot folder's own options
color = "black"                           # or { name = "black", hex = "#1a1a1a" }
infill_percent = 40
supports = "no"
layer_height_mm = 0.2                     # the printer profile's

[[add_ons]]                               # work by hand that was ordered: ticked off after printing
title = "sand the top"
extra_pay = "2.00 EUR"                    # nothing
"""

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from agent.domain.errors import Refused
from agent.domain.offer import AddOn, Item, Supports
from agent.domain.values import Color, Money, Text, Value
from agent.marketplaces.hot_folder.stillness import is_model

LARGEST_BYTES = 256_000
"""Of an order file."""
_MOST_DOTS = 500_000
_SHOWN = 60


@dataclass(frozen=True)
class Defaults:
    """What is printed where an order says nothing."""

    material: str
    color: Color
    infill_percent: int
    supports: Supports


class Wanted(Value):
    """An order with every option filled in. `files` by name, each once; an item's `file_id` is its place there: f1, f2, …"""

    files: list[str]
    items: list[Item]
    payout: Money = Money(amount=Decimal("0.00"), currency="EUR")
    ship_by: AwareDatetime | None = None
    special_instructions: Text = ""
    add_ons: list[AddOn] = []


class BadOrder(Refused):
    """The order file cannot be used. `mistakes`: all of them, a sentence each. `text`: as of `text_of`."""

    def __init__(self, mistakes: list[str], text: str) -> None:
        super().__init__("; ".join(mistakes), code="bad_order")
        self.mistakes = mistakes
        self.text = text


# --- reading ----------------------------------------------------------------------------------------------------


def read_order(content: bytes, defaults: Defaults) -> Wanted:
    """The order that an order file's bytes mean. BadOrder with everything that is wrong."""
    tree, mistakes = _tree(content)
    if tree is None:
        raise BadOrder(mistakes, text_of(content))
    try:
        return _wanted(_OrderTable.model_validate(tree), defaults)
    except ValidationError as error:
        raise BadOrder(_in_words(error), text_of(content)) from error


def order_for(model: str, defaults: Defaults) -> Wanted:
    """The order that a model alone is."""
    return _wanted(_OrderTable(items=[_ItemTable(file=model)]), defaults)


def text_of(content: bytes) -> str:
    """All that an order file says, however broken it is, for `speaks_of`. Zeros are dropped: they stand between the letters of UTF-16."""
    tree, _ = _tree(content)
    text = content[:LARGEST_BYTES].replace(b"\0", b"").decode("utf-8", errors="replace")
    return same_name("\n".join([text, *_texts_in(tree)]))


def same_name(name: str) -> str:
    """Equal for names a person takes for the same: upper and lower case, and the two ways to write é."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def stem(name: str) -> str:
    return same_name(name.rpartition(".")[0])


def speaks_of(order_file: str, text: str, model: str) -> bool:
    """Whether an order file that cannot be used was meant for this model: by its own name, or anywhere in its text. In doubt yes."""
    return stem(order_file) == stem(model) or re.search(rf"(?<![\w.-]){re.escape(same_name(model))}", text) is not None


def _tree(content: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    if len(content) > LARGEST_BYTES:
        return None, [f"It is larger than {LARGEST_BYTES // 1000} kB; an order is never that long."]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, ["It is not UTF-8 text. In the editor, save it with the encoding UTF-8."]
    if _too_dotted(text):
        return None, ["It has very long rows of names with dots between them; no order looks like that."]
    try:
        return tomllib.loads(text), []
    except RecursionError:
        return None, ["It has very many brackets one inside the other; no order looks like that."]
    except ValueError as error:
        return None, [f"It is not valid TOML: {_one_line(str(error))}."]


def _too_dotted(text: str) -> bool:
    """tomllib keeps every prefix of a dotted key: 256 kB of "a.a.a.…" take 60 GB of memory. Found by trying it."""
    dots = [line.count(".") for line in text.split("\n")]
    return max(dots) * sum(dots) > _MOST_DOTS


def _texts_in(tree: Any) -> Iterator[str]:
    """Every text in a tree, with its escapes resolved. Not by recursion: how deep it goes is the writer's choice."""
    left = [tree]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as table:
                left += table.values()
            case list() as values:
                left += values


# --- the schema -------------------------------------------------------------------------------------------------


def _file_name(value: object) -> object:
    expected = 'the plain name of a model beside the order (STL, 3MF or OBJ), such as "hook.stl", without folders'
    if not isinstance(value, str) or not re.fullmatch(r"[^/\\\0.][^/\\\0]{0,253}", value, re.DOTALL) or not is_model(value):
        raise ValueError(expected)
    return value


def _money(value: object) -> Money:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,2})?) ([A-Z]{3})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('an amount and a currency, such as "12.50 EUR"')
    return Money(amount=Decimal(match[1]).quantize(Decimal("0.01")), currency=match[2])


def _moment(value: object) -> datetime:
    """A day alone means its end; without an offset the machine's local time is meant."""
    expected = "a day or a moment of this century without quotes, such as 2026-10-24 or 2026-10-24T18:00:00"
    if not isinstance(value, date) or not 2000 <= value.year < 2100:
        raise ValueError(expected)
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(23, 59, 59))
    return moment.astimezone(UTC)


def _line(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("text of one line")
    return value


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class _Table(BaseModel):
    """A table of an order file. An unknown option is a mistake, and so is a number in quotes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _ColorTable(_Table):
    name: Annotated[str, BeforeValidator(_line)] = Field(min_length=1, max_length=80)
    hex: str | None = Field(None, pattern=r"^#[0-9A-Fa-f]{6}$")


class _ItemTable(_Table):
    file: Annotated[str, BeforeValidator(_file_name)]
    quantity: int = Field(1, strict=True, ge=1, le=10_000)
    material: Annotated[str | None, BeforeValidator(_line)] = Field(None, min_length=1, max_length=40)
    color: Annotated[_ColorTable | None, BeforeValidator(_named)] = None
    infill_percent: int | None = Field(None, strict=True, ge=0, le=100)
    supports: Supports | None = None
    layer_height_mm: float | None = Field(None, strict=True, gt=0, le=2)


class _AddOnTable(_Table):
    title: Annotated[str, BeforeValidator(_line)] = Field(min_length=1, max_length=200)
    extra_pay: Annotated[Money | None, BeforeValidator(_money)] = None


class _OrderTable(_Table):
    payout: Annotated[Money, BeforeValidator(_money)] = Money(amount=Decimal("0.00"), currency="EUR")
    ship_by: Annotated[datetime | None, BeforeValidator(_moment)] = None
    special_instructions: Text = ""
    items: list[_ItemTable] = Field(min_length=1, max_length=500)
    add_ons: list[_AddOnTable] = Field(default=[], max_length=50)


def _wanted(order: _OrderTable, defaults: Defaults) -> Wanted:
    files: dict[str, str] = {}
    for item in order.items:
        files.setdefault(same_name(item.file), item.file)
    places = {key: f"f{n}" for n, key in enumerate(files, start=1)}
    return Wanted(
        files=list(files.values()),
        items=[_item(n, item, places[same_name(item.file)], defaults) for n, item in enumerate(order.items, start=1)],
        payout=order.payout,
        ship_by=order.ship_by,
        special_instructions=order.special_instructions,
        add_ons=[AddOn(code=f"a{n}", title=one.title, extra_pay=one.extra_pay) for n, one in enumerate(order.add_ons, start=1)],
    )


def _item(number: int, item: _ItemTable, file_id: str, defaults: Defaults) -> Item:
    return Item(
        item_id=f"i{number}",
        file_id=file_id,
        quantity=item.quantity,
        material=item.material or defaults.material,
        color=Color(name=item.color.name, hex=item.color.hex) if item.color else defaults.color,
        infill_percent=defaults.infill_percent if item.infill_percent is None else item.infill_percent,
        supports=item.supports or defaults.supports,
        layer_height_mm=item.layer_height_mm,
    )


# --- mistakes ---------------------------------------------------------------------------------------------------

_EXPECTED = {
    "missing": "this option",
    "int_type": "a whole number without quotes",
    "float_type": "a number without quotes",
    "finite_number": "a number",
    "string_type": "text in quotes",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": 'a colour such as "#1a1a1a"',
    "list_type": "a list of tables, each beginning with [[…]]",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "model_type": "a table",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "value_error": "{error}",
}
_OPTIONS = {option for table in (_OrderTable, _ItemTable, _ColorTable, _AddOnTable) for option in table.model_fields}


_ONE_OF = {"items": "item", "add_ons": "add-on"}


def _in_words(error: ValidationError) -> list[str]:
    """At most twenty: whoever makes more looks at the example first."""
    return [_mistake(detail) for detail in error.errors(include_url=False)[:20]]


def _mistake(detail: Any) -> str:
    kind, place = detail["type"], _place(detail["loc"])
    if kind == "extra_forbidden":
        meant = difflib.get_close_matches(str(detail["loc"][-1])[:_SHOWN].lower(), sorted(_OPTIONS), n=1)
        return f"{place}: there is no such option" + (f"; did you mean {meant[0]}?" if meant else ".")
    expected = _EXPECTED[kind].format(**detail.get("ctx", {})) if kind in _EXPECTED else detail["msg"]
    return f"{place}: expected {expected}; found {'nothing' if kind == 'missing' else _found(detail['input'])}."


def _place(loc: tuple[int | str, ...]) -> str:
    """Items count from 1, as people do."""
    match loc:
        case ("items" | "add_ons" as table, int(index), *within):
            return ", ".join([f"{_ONE_OF[table]} {index + 1}", *(_one_line(str(part)) for part in within)])
        case _:
            return ", ".join(_one_line(str(part)) for part in loc)


def _found(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value}" if abs(value) < 1e15 else "a very big number"
        case str():
            return f'"{_one_line(value)}"'
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case _:
            return _one_line(str(value))


def _one_line(text: str) -> str:
    """Short, and without anything that confuses a terminal or a log."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:_SHOWN])
    return f"{clean}…" if len(text) > _SHOWN else clean
