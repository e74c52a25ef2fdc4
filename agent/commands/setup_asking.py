"""Who answers the questions of `setup`: a person at a terminal, or nobody, where every default is taken."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import click
from pydantic import TypeAdapter, ValidationError

from agent.config.mistakes import findings
from agent.config.values import Section
from agent.domain.values import one_line


class Unanswered(Exception):
    """A question without a default, where nobody is there to answer it."""


class Asked(Protocol):
    """`default` None: there is none. What an option takes is checked at once, by the option itself."""

    is_there: bool
    """Somebody could answer otherwise another time."""

    def say(self, text: str, color: str | None = None) -> None: ...

    def option(self, table: type[Section], name: str, question: str, default: Any = None) -> Any: ...

    def text(self, question: str, default: str | None = None) -> str: ...

    def secret(self, question: str, *, may_be_empty: bool = False) -> str: ...

    def choice(self, question: str, choices: Sequence[str], default: str | None = None) -> str: ...

    def yes(self, question: str, default: bool) -> bool: ...


class Person:
    """At a terminal. Ctrl-C ends everything, and nothing was written."""

    is_there = True

    def say(self, text: str, color: str | None = None) -> None:
        click.secho(text, fg=color)

    def option(self, table: type[Section], name: str, question: str, default: Any = None) -> Any:
        while True:
            given = self.text(question, None if default is None else str(default))
            try:
                return option_value(table, name, given)
            except ValueError as error:
                click.secho(f"    expected {error}", fg="yellow")

    def text(self, question: str, default: str | None = None) -> str:
        given: str = click.prompt(question, default=default, show_default=bool(default), type=str)
        return one_line(given)

    def secret(self, question: str, *, may_be_empty: bool = False) -> str:
        while True:
            given: str = click.prompt(question, default="" if may_be_empty else None, hide_input=True, show_default=False).strip()
            if given.isascii() and given.isprintable():
                return given
            click.secho("    expected one line of plain ASCII", fg="yellow")

    def choice(self, question: str, choices: Sequence[str], default: str | None = None) -> str:
        answer: str = click.prompt(question, type=click.Choice(list(choices)), default=default)
        return answer

    def yes(self, question: str, default: bool) -> bool:
        return click.confirm(question, default=default)


class Defaults:
    """Nobody is there."""

    is_there = False

    def say(self, text: str, color: str | None = None) -> None:
        """Nobody listens: what is wrong is told by the check at the end."""

    def option(self, table: type[Section], name: str, question: str, default: Any = None) -> Any:
        return option_value(table, name, self.text(question, None if default is None else str(default)))

    def text(self, question: str, default: str | None = None) -> str:
        if default is None:
            raise Unanswered(question)
        return default

    def secret(self, question: str, *, may_be_empty: bool = False) -> str:
        return self.text(question, "" if may_be_empty else None)

    def choice(self, question: str, choices: Sequence[str], default: str | None = None) -> str:  # noqa: ARG002 - as Asked has it
        return self.text(question, default)

    def yes(self, question: str, default: bool) -> bool:  # noqa: ARG002 - as Asked has it
        return default


def option_value(table: type[Section], name: str, given: str) -> Any:
    """As a file may have it: the text, or the number that it is. ValueError, whose text is what was expected."""
    field = table.model_fields[name]
    try:
        value = TypeAdapter(field.rebuild_annotation()).validate_python(given)
    except ValidationError as error:
        raise ValueError(next(findings(error, table)).expected) from None
    return value if isinstance(value, bool | int | float) else given


def somebody_is_there() -> bool:
    return sys.stdin.isatty()
