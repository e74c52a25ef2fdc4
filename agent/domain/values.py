"""The frozen, validated value every domain type builds on, and the small values many of them share."""

import unicodedata
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agent.domain.color_difference import LIMIT, difference


class Value(BaseModel):
    """A value: immutable, compared by content, to and from JSON without loss. Unknown fields are dropped."""

    # Built when first used: a command that ends in a second uses few of them.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


LONGEST_TEXT = 5000
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
"""Scripts and emoji need them; every other invisible character is replaced."""


def printable(text: str) -> str:
    """Untrusted text without control characters: they forge log lines and confuse terminals. Line ends become \\n."""
    if text.isprintable():  # as nearly all is; to look at each character takes twenty times as long
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if _is_shown(c) else "\N{REPLACEMENT CHARACTER}" for c in lines)


def one_line(text: str) -> str:
    """As `printable`, for names and messages: a line break in one would look like another."""
    return " ".join(printable(text).split("\n")).replace("\t", " ").strip()


def _is_shown(c: str) -> bool:
    """Spaces of every width are, which `isprintable` denies."""
    return c.isprintable() or c in "\n\t" or c in _JOINERS or unicodedata.category(c) == "Zs"


def _made_printable(text: object) -> object:
    """Text that is too long stays as it is: it is refused for that, whatever is in it."""
    return printable(text) if isinstance(text, str) and len(text) <= LONGEST_TEXT else text


Text = Annotated[str, BeforeValidator(_made_printable), Field(max_length=LONGEST_TEXT)]
"""Untrusted text for people's eyes."""


def as_sentence(text: str) -> str:
    """With its full stop, where it has no end of its own."""
    return text if text.endswith((".", "?", "!", ":")) else f"{text}."


def _made_one_line(text: object) -> object:
    return one_line(text) if isinstance(text, str) and len(text) <= LONGEST_TEXT else text


Name = Annotated[str, BeforeValidator(_made_one_line), Field(min_length=1, max_length=200)]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,128}$")]
"""An identifier given by another system, safe in a URL path and in a file name (never used as a path of its own)."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Money(Value):
    """An amount of one currency."""

    amount: Decimal = Field(ge=0, max_digits=15)
    currency: str = Field(pattern=r"^[A-Z]{3}$")

    def __str__(self) -> str:
        return f"{self.amount:.2f} {self.currency}"


class Color(Value):
    """A filament colour as people name it; `hex` where it is known."""

    name: Name
    hex: str | None = Field(default=None, pattern=r"^#[0-9A-Fa-f]{6}$")

    def distance(self, other: "Color") -> float | None:
        """How different the two look (CIEDE2000); None where the hex value of either is not known."""
        return None if self.hex is None or other.hex is None else difference(self.hex.lower(), other.hex.lower())

    def same_as(self, other: "Color", limit: float = LIMIT) -> bool:
        """Where both hex values are known they alone decide: "red" is many colours. Else the names, in any case."""
        apart = self.distance(other)
        return self.name.casefold() == other.name.casefold() if apart is None else apart <= limit
