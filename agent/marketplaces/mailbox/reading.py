"""A mail read by a template: an order in which every field names the line it came from, or the questions that are left.

Nothing is guessed. A field that is needed and missing, that is said twice in two ways, or whose words are not known, is a question; with
a question there is no order. A line that no pattern knows is taken for something the customer wants: it goes to a person with the order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import AwareDatetime

from agent.domain.offer import Supports
from agent.domain.values import LONGEST_TEXT, Color, Money, Value
from agent.marketplaces.mailbox import values
from agent.marketplaces.mailbox.lines import Pattern, tidy
from agent.marketplaces.mailbox.templates import ANY, ITEM_FIELDS, Template

MOST_LINES, MOST_ITEMS = 3000, 200
_MANY = frozenset(["add_on", "instructions"])
"""Fields that may be said again: each is one more."""


class Field(Value):
    """A value, and the line of the mail it was read from. `item` counts from 1; 0 for the order's own."""

    name: str
    text: str
    line: str
    item: int = 0


class MailItem(Value):
    """A model × quantity. `file` and `link`: at least one of them."""

    file: str = ""
    link: str = ""
    quantity: int
    material: str
    color: Color
    infill: int
    supports: Supports
    layer_height: float | None = None


class MailOrder(Value):
    """What a mail orders."""

    number: str = ""
    payout: Money
    ship_by: AwareDatetime | None = None
    answer_by: AwareDatetime | None = None
    answer_minutes: int | None = None
    items: list[MailItem]
    add_ons: list[str] = []
    instructions: str = ""


class Reading(Value):
    """`order` None: there are `questions`. `unknown`: the lines that no pattern knows.

    `said` and `said_items`: what was understood all the same, field by field, for a person to go on from.
    """

    template: str
    fields: list[Field]
    unknown: list[str] = []
    questions: list[str] = []
    order: MailOrder | None = None
    said: dict[str, Any] = {}
    said_items: list[dict[str, Any]] = []

    def asking(self, *questions: str) -> "Reading":
        """The same with more questions, and so without an order."""
        return self.model_copy(update={"order": None, "questions": [*self.questions, *questions]})


def read_mail(template: Template, subject: str, text: str, received_at: datetime) -> Reading:
    """Never raises, whatever the text is."""
    found = _Found(template)
    lines = tidy(text)
    if template.subject is not None and (said := template.subject.read(" ".join(subject.split()))) is not None:
        found.take(said, f"Subject: {subject}")
    for line in lines[:MOST_LINES]:
        if any(values.same(line) == values.same(end) for end in template.ends):
            break
        found.read(line)
    if len(lines) > MOST_LINES:
        found.questions.append(f"It has more than {MOST_LINES} lines.")
    return _Meaning(template, found, received_at).reading()


def read_by(templates: Sequence[Template], subject: str, text: str, received_at: datetime) -> Reading:
    """By the newest version that reads all of it. Where none does, the reading with the fewest questions; where two kinds of template
    do, it is a question."""
    readings = [(template.name, read_mail(template, subject, text, received_at)) for template in templates]
    whole: dict[str, Reading] = {}
    for name, reading in readings:
        if reading.order is not None:
            whole.setdefault(name, reading)
    if len(whole) == 1:
        return next(iter(whole.values()))
    best = min((reading for _, reading in readings), key=lambda reading: len(reading.questions))
    if whole:
        return best.asking(f"These templates all read it: {', '.join(sorted(whole))}.")
    return best


class _Found:
    """What the lines say, before it is known what that means."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.fields: list[Field] = []
        self.unknown: list[str] = []
        self.questions: list[str] = []
        self._item = 0
        self._in_item: set[str] = set()

    def read(self, line: str) -> None:
        if any(_is(line, ignored) for ignored in self._template.ignore):
            return
        patterns = [*self._template.lines, *self._template.item_lines]
        said = [read for pattern in patterns if (read := pattern.read(line)) is not None]
        if len(said) == 1:
            self.take(said[0], line)
        elif said:
            self.questions.append(f"“{line}” fits {len(said)} lines of the template.")
        else:
            self.unknown.append(line)

    def take(self, said: dict[str, str], line: str) -> None:
        fields = {name: text for name, text in said.items() if name != ANY}
        if any(name in ITEM_FIELDS for name in fields):
            self._begin_item(fields, line)
        for name, text in fields.items():
            self.fields.append(Field(name=name, text=text, line=line, item=self._item if name in ITEM_FIELDS else 0))

    def _begin_item(self, fields: dict[str, str], line: str) -> None:
        """A file begins an item, and so does a link where the item has one; nothing of an item may stand before the first."""
        begins = "file" in fields or ("link" in fields and ("link" in self._in_item or not self._item))
        if begins:
            self._item += 1
            self._in_item = set()
        elif not self._item:
            self.questions.append(f"“{line}” stands before the first item.")
            self._item = 1
        self._in_item |= set(fields)

    @property
    def items(self) -> int:
        return self._item


def _is(line: str, pattern: Pattern) -> bool:
    if not pattern.fields:
        return values.same(line) == values.same(pattern.texts[0])
    return pattern.read(line) is not None


@dataclass
class _Meaning:
    """From what is said to what is meant."""

    template: Template
    found: _Found
    received_at: datetime

    def __post_init__(self) -> None:
        self._questions = list(self.found.questions)
        self._said: dict[str, Any] = {}
        self._said_items: list[dict[str, Any]] = []
        self._fields: dict[tuple[str, int], list[Field]] = {}
        for field in self.found.fields:
            self._fields.setdefault((field.name, field.item), []).append(field)

    def reading(self) -> Reading:
        order = self._order()
        return Reading(
            template=self.template.title,
            fields=self.found.fields,
            unknown=self.found.unknown,
            questions=self._questions,
            order=None if self._questions else order,
            said=self._said,
            said_items=self._said_items,
        )

    def _order(self) -> MailOrder | None:
        readers = self._readers()
        said = {name: self._one(name, 0, readers[name]) for name in sorted(self.template.order_fields - _MANY)}
        for name in sorted((self.template.order_fields & _MANY) - set(self.template.optional)):
            if not self._texts(name, 0):
                self._questions.append(f"It does not say its {_word(name)}.")
        items = [self._item(n, readers) for n in range(1, min(self.found.items, MOST_ITEMS) + 1)]
        if not items or self.found.items > MOST_ITEMS:
            self._questions.append(f"It has {self.found.items} items.")
        add_ons = [field.text for field in self._texts("add_on", 0)][:50]
        self._said = {**_without_none(said), "add_ons": add_ons, "instructions": self._instructions()}
        self._said_items = items
        return None if self._questions else MailOrder.model_validate({**self._said, "items": items})

    def _item(self, n: int, readers: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
        said = {name: self._one(name, n, readers[name]) for name in sorted(self.template.item_fields)}
        for name, text in sorted(self.template.defaults.items()):
            if said.get(name) is None and not self._texts(name, n):
                said[name] = self._meant(name, text, "the template's default", readers[name])
        if not self._texts("file", n) and not self._texts("link", n):
            self._questions.append(f"Item {n} has no file.")
        return _without_none(said)

    def _one(self, name: str, item: int, reader: Callable[[str], Any]) -> Any:
        """A field's value. None where it is not said: that is a question where it is needed."""
        fields = self._texts(name, item)
        where = f"Item {item}" if item else "It"
        if not fields:
            needed = name not in self.template.optional and name not in self.template.defaults
            if needed and not (name in ("file", "link") and self._texts("link" if name == "file" else "file", item)):
                self._questions.append(f"{where} does not say its {_word(name)}.")
            return None
        meant = [self._meant(name, field.text, f"“{field.line}”", reader) for field in fields]
        if any(one != meant[0] for one in meant):
            told = " and ".join(f"“{field.line}”" for field in fields[:3])
            self._questions.append(f"{where} says its {_word(name)} in two ways: {told}.")
            return None
        return meant[0]

    def _meant(self, name: str, text: str, where: str, reader: Callable[[str], Any]) -> Any:
        try:
            return reader(text)
        except ValueError as error:
            self._questions.append(f"The {_word(name)} in {where} is not understood: expected {error}.")
            return None

    def _texts(self, name: str, item: int) -> list[Field]:
        return self._fields.get((name, item), [])

    def _instructions(self) -> str:
        """The customer's own words, and all that is not known: both are for a person."""
        parts = [field.text for field in self._texts("instructions", 0)]
        if self.found.unknown:
            parts += ["Lines of the mail that the template does not know:", *self.found.unknown]
        text = "\n".join(parts)
        if len(text) > LONGEST_TEXT:
            self._questions.append("It says more than a person can be asked about.")
        return text[:LONGEST_TEXT]

    def _readers(self) -> dict[str, Callable[[str], Any]]:
        words = self.template.words
        times = partial(values.moment, words=self.template.times, received_at=self.received_at)
        return {
            "number": values.order_number,
            "payout": partial(values.money, words=self.template.money),
            "ship_by": times,
            "answer_by": times,
            "answer_minutes": values.minutes,
            "file": values.file_name,
            "link": values.link,
            "quantity": values.quantity,
            "material": partial(values.material, words=words),
            "color": partial(values.color, words=words),
            "infill": values.percent,
            "supports": partial(values.supports, words=words),
            "layer_height": values.millimetres,
        }


def _without_none(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _word(name: str) -> str:
    return name.replace("_", " ")
