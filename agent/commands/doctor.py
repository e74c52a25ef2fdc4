"""`doctor`: one file that can be sent to whoever is to help, without anything that is nobody's business."""

import io
import os
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from agent.commands import doctor_bundle as bundle
from agent.commands.check import checked
from agent.commands.doctor_bundle import Member
from agent.commands.doctor_masking import Sweep, secrets_of
from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.domain.errors import Refused

_LINES = 1000


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file. Default: one with the time in its name, here."
)
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="The daemon's log. Default: the journal's."
)
@click.option("--lines", default=_LINES, show_default=True, type=click.IntRange(0, 100_000), help="The newest lines of the log.")
@config_option
@json_option
def doctor(output: Path | None, log_file: Path | None, lines: int, config: ConfigSource, as_json: bool) -> None:
    """Write a support bundle: versions, configuration, check, history and log, with secrets, addresses and people left out.

    It is a zip file that only you can read. Look into it before you send it: `unzip -p FILE`.
    """
    settings, bad = _settings(config)
    members = [*_members(config, settings, bad), bundle.log(lines, log_file), bundle.environment(os.environ)]
    sweep = Sweep(secrets_of(settings), os.environ)
    cleaned = [Member(member.name, member.what, sweep.clean(member.content)) for member in members]
    path = (output or Path(f"intagly-agent-doctor-{datetime.now():%Y%m%d-%H%M%S}.zip")).absolute()
    _write(path, cleaned)
    if as_json:
        say_json({"file": str(path), "members": [{"name": each.name, "what": each.what, "bytes": len(each.content)} for each in cleaned]})
        return
    click.echo(f"{path}, readable only for you. Inside:")
    for member in cleaned:
        click.echo(f"    {member.name}, {len(member.content.encode()):,} bytes: {member.what}")
    click.echo(
        "Left out: secrets, e-mail addresses, topics, serial numbers, people and what they ordered. Look into it before you send it."
    )


def _settings(config: ConfigSource) -> tuple[Settings | None, BadConfiguration | None]:
    try:
        return config.settings(needs_secrets=False), None
    except BadConfiguration as bad:
        return None, bad


def _members(config: ConfigSource, settings: Settings | None, bad: BadConfiguration | None) -> Iterator[Member]:
    yield bundle.about(settings)
    if bad is not None:
        yield bundle.mistakes(bad)
    if settings is not None:
        yield bundle.configuration(settings)
        yield bundle.checks(checked(config)[1], settings)
        yield bundle.ledger(settings)


def _write(path: Path, members: list[Member]) -> None:
    """Whole or not at all; never over a file that is there."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member.name, member.content)
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(packed.getvalue())
        part.chmod(0o600)
        os.link(part, path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.", hint="Name another file with -o.", code="not_writable") from error
    finally:
        part.unlink(missing_ok=True)
