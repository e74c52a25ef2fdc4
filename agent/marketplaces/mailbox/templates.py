"""Templates: how the mails of one sender are read. Data, in TOML; docs/marketplaces.md tells what may stand in one.

No mail format of any marketplace is known to us. The two templates in examples/ are made up, and for a sender that cannot exist.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agent.domain.errors import ConfigError
from agent.domain.offer import Supports
from agent.marketplaces.mailbox.lines import Pattern, pattern

EXAMPLES = Path(__file__).parent / "examples"
LARGEST_BYTES = 64_000
ORDER_FIELDS = frozenset(["number", "payout", "ship_by", "answer_by", "answer_minutes", "add_on", "instructions"])
ITEM_FIELDS = frozenset(["file", "link", "quantity", "material", "color", "infill", "supports", "layer_height"])
ANY = "any"
"""A field whose value means nothing."""
_EVERY_ITEM = ("quantity", "material", "color", "infill", "supports")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError('a time zone such as "Europe/Berlin"') from None
    return name


def _sender(text: str) -> str:
    local, at, domain = text.lower().partition("@")
    if not at or "." not in domain or "@" in domain or " " in text:
        raise ValueError('an address, or a whole domain as "@shop.example"')
    return f"{local}@{domain}"


Sender = Annotated[str, AfterValidator(_sender)]
Line = Annotated[Pattern, BeforeValidator(lambda value: pattern(value) if isinstance(value, str) else value)]
Words = dict[str, list[Annotated[str, Field(min_length=1, max_length=80)]]]


class WordTables(_Table):
    """What is said in the mails, for each of our words. A colour that is not listed is called as the mail calls it."""

    material: Words = {}
    color: Words = {}
    supports: dict[Supports, list[str]] = {}


class MoneyWords(_Table):
    decimal: Annotated[str, Field(pattern=r"^[.,]$")] = "."
    currencies: dict[str, Annotated[str, Field(pattern=r"^[A-Z]{3}$")]] = {}


class TimeWords(_Table):
    """`formats` as strptime has them. A moment without an offset is of `zone`; a day alone means its end."""

    formats: list[str] = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"


class Template(_Table):
    """How one kind of mail is read. Every field that its lines have is needed, unless `optional` names it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    version: int = Field(ge=1)
    senders: list[Sender] = Field(min_length=1)
    subject: Line | None = None
    lines: list[Line] = []
    item_lines: list[Line] = []
    ignore: list[Line] = []
    ends: list[str] = []
    optional: list[str] = []
    defaults: dict[str, str] = {}
    words: WordTables = WordTables()
    money: MoneyWords = MoneyWords()
    times: TimeWords = TimeWords()

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def order_lines(self) -> list[Pattern]:
        return [*self.lines, *([self.subject] if self.subject else [])]

    @property
    def order_fields(self) -> set[str]:
        return {name for line in self.order_lines for name in line.fields} - {ANY}

    @property
    def item_fields(self) -> set[str]:
        return {name for line in self.item_lines for name in line.fields} - {ANY}

    @model_validator(mode="after")
    def _makes_orders(self) -> "Template":
        if odd := (self.order_fields - ORDER_FIELDS) | (self.item_fields - ITEM_FIELDS):
            raise ValueError(f"fields that are known; {', '.join(sorted(odd))} is none here")
        if any(name != ANY for line in self.ignore for name in line.fields):
            raise ValueError("only {any} in lines that are ignored")
        if odd := set(self.optional) - self.order_fields - self.item_fields:
            raise ValueError(f"optional fields that its lines have; {', '.join(sorted(odd))} is none")
        if odd := set(self.defaults) - set(_EVERY_ITEM):
            raise ValueError(f"defaults of items only; {', '.join(sorted(odd))} has none")
        self._must_be_whole()
        return self

    def _must_be_whole(self) -> None:
        if "payout" not in self.order_fields or "payout" in self.optional:
            raise ValueError("a line with {payout}")
        if not self.item_fields & {"file", "link"}:
            raise ValueError("an item line with {file} or {link}")
        for name in _EVERY_ITEM:
            said = name in self.item_fields and name not in self.optional
            if not said and name not in self.defaults:
                raise ValueError(f"an item line with {{{name}}}, or a default for it")


def load_templates(own: Path | None) -> list[Template]:
    """The examples, and those in the operator's folder. ConfigError with every mistake."""
    mistakes: list[str] = []
    found: dict[tuple[str, int], Template] = {}
    for path in [*sorted(EXAMPLES.glob("*.toml")), *(sorted(own.glob("*.toml")) if own else [])]:
        try:
            template = read_template(path)
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        if (template.name, template.version) in found:
            mistakes.append(f"{path}: there is another template {template.title}.")
        found[template.name, template.version] = template
    if mistakes:
        raise ConfigError("; ".join(mistakes), hint="docs/marketplaces.md tells what may stand in a template.")
    return list(found.values())


def read_template(path: Path) -> Template:
    """ConfigError where it is none."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ConfigError(f"{path}: larger than any template.")
        return Template.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(error)}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no TOML: {error}.") from error


def _in_words(error: ValidationError) -> str:
    told = []
    for detail in error.errors(include_url=False)[:10]:
        place = ".".join(str(part) for part in detail["loc"]) or "the template"
        message = detail["msg"].removeprefix("Value error, ")
        told.append(f"{place}: expected {message}" if detail["type"] == "value_error" else f"{place}: {message}")
    return "; ".join(told) + "."


def for_mail(templates: Sequence[Template], sender: str, subject: str) -> list[Template]:
    """Those for this sender and subject, the newest version of each name first."""
    line = " ".join(subject.split())
    fits = [
        template
        for template in templates
        if (sender in template.senders or f"@{sender.rpartition('@')[2]}" in template.senders)
        and (template.subject is None or template.subject.read(line) is not None)
    ]
    return sorted(fits, key=lambda template: (template.name, -template.version))
