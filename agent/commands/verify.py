"""`verify`: whether a dossier is what it was."""

import sys
from pathlib import Path

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, shown_path
from agent.dossiers.verify import Verified
from agent.dossiers.verify import verify as verify_dossier
from agent.ledger.sql_ledger import SqlLedger

_ALONE = (
    "It was not held against a ledger: a file that somebody wrote anew as a whole looks the same. "
    "Give --config of the agent it came from, or --seal as `export` told it."
)


@click.command()
@click.argument("dossier", type=click.Path(path_type=Path))
@click.option("--seal", default="", metavar="SHA256", help="What `export` said when the file was made.")
@config_option
@json_option
def verify(dossier: Path, seal: str, config: ConfigSource, as_json: bool) -> None:
    """Find any changed byte of a dossier. Exit status 1 where there is one.

    With --config, it is also held against the ledger of the agent it came from. Without, no configuration is looked for.
    """
    if config.path is None:
        found = verify_dossier(dossier, seal=seal)
    else:
        # Late: a dossier is verified by people who have no agent, and wiring brings every adapter.
        from agent.wiring import ledger_url  # noqa: PLC0415

        with SqlLedger(ledger_url(config.settings(needs_secrets=False))) as ledger:
            found = verify_dossier(dossier, ledger, seal)
    if as_json:
        say_json(found.model_dump(mode="json"))
    else:
        _tell(dossier, found, sealed=bool(seal))
    sys.exit(0 if found.ok else 1)


def _tell(dossier: Path, found: Verified, *, sealed: bool) -> None:
    if not found.ok:
        click.secho(f"{shown_path(dossier)}: NOT as it was", fg="red", bold=True)
        for finding in found.findings:
            click.echo(f"    {finding.member}: {finding.text}" if finding.member else f"    {finding.text}")
        return
    click.secho(f"{shown_path(dossier)}: unchanged", fg="green", bold=True)
    click.echo(f"    order {found.order_id}, {found.members} members, {found.events} events in one chain")
    click.echo(f"    seal {found.seal}")
    if found.compared_with_ledger:
        more = "; the order has gone on since, so the facts beside it were not compared" if found.ledger_goes_on else " and the same facts"
        click.echo(f"    the ledger tells the same history up to there{more}")
    elif not sealed:
        click.echo(f"    {_ALONE}")
