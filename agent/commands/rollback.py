"""`rollback`: the ledger as it was before the last upgrade, for the program that was there before it."""

from pathlib import Path
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, shown_path
from agent.daemon import only_one
from agent.domain.errors import Refused
from agent.ledger.backup import facts_of, require_sound, sqlite_path
from agent.ledger.upgrading import FOLDER, Lost, lost_by, rolled_back, upgrades
from agent.shopfloor import data_dir
from agent.wiring import ledger_url


@click.command()
@click.option("--backup", type=click.Path(path_type=Path, dir_okay=False), help="This copy. Default: the one made before the last upgrade.")
@click.option("--yes", is_flag=True, help="Do it. Without, it is only told what would be lost.")
@click.option("--force", is_flag=True, help="Also where the ledger cannot be read any more, so that nobody can tell what is lost.")
@config_option
@json_option
def rollback(config: ConfigSource, backup: Path | None, yes: bool, force: bool, as_json: bool) -> None:
    """Put the ledger back that was copied before the last upgrade, and tell what happened since. The daemon has to be stopped.

    The ledger that is replaced is kept. Orders that may have gone on since ask you before anything is printed for them, and so does every
    bed. Then install the version that was there before, and start it.
    """
    settings = config.settings(needs_secrets=False)
    with only_one(data_dir(settings)):
        ledger = sqlite_path(ledger_url(settings))
        copy = backup or _newest(ledger)
        require_sound(copy)
        lost = None if force else lost_by(ledger, copy)
        aside = rolled_back(ledger, copy) if yes else None
    told = {"backup": copy, "schema": facts_of(copy).schema, "done": yes, "replaced": aside, "lost": _shown(lost)}
    if as_json:
        say_json(told)
    else:
        _tell(told, lost)
    raise click.exceptions.Exit(0 if yes else 1)


def _newest(ledger: Path) -> Path:
    past = upgrades(ledger)
    if not past:
        hint = "Nothing was upgraded here, or the copies are gone. A whole backup is put back by `intagly-agent restore`."
        raise Refused(f"There is no copy in {ledger.parent / FOLDER}.", hint=hint, code="no_backup")
    return ledger.parent / FOLDER / past[-1].backup


def _shown(lost: Lost | None) -> dict[str, Any] | None:
    if lost is None:
        return None
    moved = [{"order": order, "then": then, "now": now} for order, (then, now) in lost.moved.items()]
    return {"new_orders": lost.new, "moved_orders": moved, "events": lost.events}


def _tell(told: dict[str, Any], lost: Lost | None) -> None:
    done, verb = told["done"], "is" if told["done"] else "would be"
    click.echo(f"{shown_path(told['backup'])}, of schema {told['schema']}, {verb} the ledger again.")
    if lost is None:
        click.echo("What is lost by that is not known.")
    elif lost.events:
        click.echo(f"What happened since {verb} unknown to the agent: {lost.events} events.")
        click.echo("".join(f"    {order}: came since; your marketplace counts on it all the same\n" for order in lost.new), nl=False)
        click.echo("".join(f"    {order}: was {then}, is {now}\n" for order, (then, now) in lost.moved.items()), nl=False)
    else:
        click.echo("Nothing has happened since.")
    if done:
        click.echo(f"The ledger that was there lies in {shown_path(told['replaced'])}." if told["replaced"] else "There was no ledger.")
        click.echo(
            "Install the version that was there before, and start it. Orders that may have gone on ask you first, and so do all beds."
        )
    else:
        click.echo("Nothing was done: give --yes to do it.")
