"""Options and output that several commands share."""

import functools
import getpass
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.domain.errors import Refused

if TYPE_CHECKING:
    from rich.table import Table

    from agent.config.model import Settings

_PLACES = (Path("config.toml"), Path("/etc/intagly-agent/config.toml"))

Command = Callable[..., Any]


@dataclass(frozen=True)
class ConfigSource:
    """What was said on the command line about the configuration."""

    path: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def file(self) -> Path | None:
        """The one that was named, or the first of the usual ones that is there."""
        return self.path or next((place for place in _PLACES if place.is_file()), None)

    def settings(self, *, needs_secrets: bool = True) -> "Settings":
        """The configuration, or ConfigError with all its mistakes. What only looks into the ledger needs no tokens and keys."""
        # Late: it takes half a second, and `inspect` needs none.
        from agent.config.load import load  # noqa: PLC0415

        path = self.file()
        if path is None:
            raise click.UsageError(f"No configuration: give --config FILE (looked for {' and '.join(str(place) for place in _PLACES)}).")
        return load(path, self.overrides, needs_secrets=needs_secrets)


def config_option(command: Command) -> Command:
    """Adds --config and --set, and hands both over as `config`."""

    @click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="INTAGLY_AGENT_CONFIG",
        help="The agent's file. Default: ./config.toml, then /etc/intagly-agent/config.toml.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.OPTION=VALUE",
        callback=_pairs,
        help="Wins over file and environment. Repeatable.",
    )
    @functools.wraps(command)
    def with_config(*args: Any, path: Path | None, overrides: Mapping[str, str], **kwargs: Any) -> Any:
        return command(*args, config=ConfigSource(path, overrides), **kwargs)

    return with_config


def _pairs(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or "." not in name:
            raise click.BadParameter(f"'{text}' is not SECTION.OPTION=VALUE, such as acceptance.mode=ask")
        pairs[name] = value
    return pairs


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else there.")(command)


def say_json(document: object) -> None:
    """A file's name may hold bytes that are no UTF-8; they come as JSON's own escapes."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"))


def table(*columns: str) -> "Table":
    # Late, as is all of rich: a twentieth of a second, and many answers are no table.
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def say_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], none: str) -> None:
    """A table for a person, or one sentence where there is nothing. Text from outside is text: it colours nothing."""
    if not rows:
        click.echo(none)
        return
    made = table(*columns)
    for row in rows:
        made.add_row(*(plain(str(row[column])) for column in columns))
    from rich.console import Console  # noqa: PLC0415 - late: see `table`

    Console().print(made)


def plain(text: str) -> str:
    """The text with rich's own marks taken for text, as `rich.markup.escape` does."""
    return text.replace("[", r"\[")


def make_folder(folder: Path, option: str) -> None:
    """Where `option` says that something is to be written. Refused where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{shown_path(folder)} cannot be made: {error.strerror}.", hint=f"Give another folder with {option}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"{shown_path(folder)} cannot be written.", hint=f"Give another folder with {option}.")


def shown_path(path: Path) -> str:
    """A name may hold anything."""
    # Late: it takes pydantic along, and most calls name no path.
    from agent.domain.values import one_line  # noqa: PLC0415

    return one_line(str(path))


def login_name() -> str:
    """Of the account this runs under. Empty in a container without a user database: where a name is needed, that is told."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
