"""`restore`: a backup becomes an agent's data folder, on this machine or another one."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from agent.commands.at_work import pid_at_work
from agent.commands.options import json_option, say_json, shown_path
from agent.domain.errors import Refused
from agent.ledger.archive import Manifest
from agent.ledger.places import sqlite_url
from agent.ledger.restoring import CONFIG_FOLDER, put_in_place, say_old_agent_off, unpacked
from agent.ledger.sql_ledger import SqlLedger
from agent.workflow.restored import distrust


@click.command()
@click.argument("backup", type=click.Path(path_type=Path), required=False)
@click.option(
    "--into", "data_dir", type=click.Path(path_type=Path, file_okay=False), required=True, help="The data_dir of the agent to be."
)
@click.option("--replace", is_flag=True, help="Move aside what is in that folder. Without, it has to be empty.")
@click.option("--old-agent-is-off", "old_is_off", is_flag=True, help="Say that the agent it came from is off, and stays off.")
@json_option
def restore(backup: Path | None, data_dir: Path, replace: bool, old_is_off: bool, as_json: bool) -> None:
    """Check BACKUP as a whole, then put it into the folder --into. No daemon may be at work there.

    What was done since the backup is not known any more: orders that may have been printed meanwhile ask you before they go on, and so do
    all beds. No agent starts on it before you said that the old one is off.
    """
    data_dir = data_dir.absolute()
    if (pid := pid_at_work(data_dir)) is not None:
        raise Refused(f"An agent (process {pid}) is at work in {data_dir}.", hint="Stop it first.", code="at_work")
    if backup is None and not old_is_off:
        raise click.UsageError("Give the BACKUP, or --old-agent-is-off for one that is restored already.")
    done = _restored(backup, data_dir, replace) if backup is not None else {}
    if old_is_off:
        asked = say_old_agent_off(data_dir)
        if not asked:
            raise Refused(f"Nobody asked: {data_dir} holds no restored backup.", hint="Is it the right folder?", code="not_restored")
    if as_json:
        say_json({**done, "into": data_dir, "old_agent_is_off": old_is_off})
    else:
        _tell(done, data_dir, old_is_off)


def _restored(backup: Path, data_dir: Path, replace: bool) -> dict[str, Any]:
    with unpacked(backup, data_dir, replace=replace) as (staging, manifest):
        with SqlLedger(sqlite_url(staging)) as ledger:  # one of a newer version says so here, before anything is moved
            distrusted = distrust(ledger, datetime.fromisoformat(manifest.made_at))
        aside = put_in_place(staging, data_dir, manifest)
    return {**_facts(manifest), **distrusted._asdict(), "replaced": aside}


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "agent": manifest.agent,
        "backup_of": manifest.made_at,
        "orders": manifest.ledger.orders,
        "head": manifest.ledger.head,
        "with_files": manifest.with_files,
        "with_secrets": manifest.with_secrets,
        "left_out": [left.model_dump() for left in manifest.left_out],
    }


def _tell(done: dict[str, Any], data_dir: Path, old_is_off: bool) -> None:
    if done:
        click.echo(f"{shown_path(data_dir)}: the agent {done['agent']} as it was at {done['backup_of']}, {done['orders']} orders")
        for line in _to_do(done):
            click.echo(f"    {line}")
    if old_is_off:
        click.echo("The old agent is off, as you say; this one may be started.")
    else:
        click.secho("No agent starts here until you say that the old one is off:", bold=True)
        click.echo(f"    intagly-agent restore --old-agent-is-off --into {shown_path(data_dir)}")


def _to_do(done: dict[str, Any]) -> Iterator[str]:
    if done["replaced"]:
        yield f"what was there lies in {shown_path(done['replaced'])}"
    if done["held"]:
        yield f"{len(done['held'])} orders ask you before they go on: {', '.join(done['held'][:10])}"
    if done["offers"]:
        yield f"{len(done['offers'])} offers that were open are answered no more: see at the marketplace what became of them"
    yield f"its configuration lies in {CONFIG_FOLDER}/: put it where it belongs"
    if not done["with_secrets"]:
        yield "it came without secrets: put the files with tokens and keys back"
    if not done["with_files"]:
        yield "it came without files: put data_dir/files back as well before you start the agent"
    for left in done["left_out"]:
        yield f"{left['name']} was not in the backup: {left['why']}"
