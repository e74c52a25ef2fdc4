"""What a case is, and how it can end."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.sandbox.conformance.bench import Bench


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Failed(Exception):
    """The server does not do what the contract says. `paragraph`: where it is another one than the case's own."""

    def __init__(self, expected: str, found: str, paragraph: str = "") -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected = expected
        self.found = found
        self.paragraph = paragraph


class Skipped(Exception):
    """The case could not be tried, e.g. because there is no open offer to accept. `str()` is the reason."""


@dataclass(frozen=True)
class Case:
    """One promise of the contract. `paragraph`: an operationId, or how a rule of the contract's description begins.

    `acts`: it sends more than GET.
    """

    name: str
    paragraph: str
    run: "Callable[[Bench], None]"
    acts: bool = False


@dataclass(frozen=True)
class Result:
    """How a case ended. `contract`: the paragraph in the contract's own words."""

    case: str
    outcome: Outcome
    contract: str
    expected: str = ""
    found: str = ""
    reason: str = ""


def shown(value: object, most: int = 120) -> str:
    """What a server said, short and on one line, without anything that confuses a terminal."""
    text = value if isinstance(value, str) else repr(value)
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1])
    return f"{clean[:most]}…" if len(clean) > most else clean


def expect(condition: bool, expected: str, found: object, paragraph: str = "") -> None:
    """Failed where it is not so."""
    if not condition:
        raise Failed(expected, shown(found), paragraph)
