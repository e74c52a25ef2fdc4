"""`export`: everything that is known of one order, as one file."""

import asyncio
from pathlib import Path

import click

from agent import __version__
from agent.commands.options import ConfigSource, config_option, json_option, say_json, shown_path
from agent.dossiers.export import export as export_dossier
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import file_store, ledger_url


@click.command()
@click.argument("order_id")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to. Default: ORDER-dossier.zip, here.")
@click.option("--all-files", "everything", is_flag=True, help="Also the customer's models and the G-code; without, only their hashes.")
@config_option
@json_option
def export(order_id: str, output: Path | None, everything: bool, config: ConfigSource, as_json: bool) -> None:
    """Write an order's dossier: one ZIP with a readable PDF and all the facts, photos and hashes.

    It holds what the customer and the carrier's label say, names included: keep it as carefully as these.
    """
    settings = config.settings(needs_secrets=False)
    with SqlLedger(ledger_url(settings)) as ledger:
        into = output or Path(f"{order_id}-dossier.zip")
        done = asyncio.run(export_dossier(order_id, ledger, file_store(settings), into, __version__, everything=everything))
    if as_json:
        say_json(done._asdict())
        return
    click.echo(f"{shown_path(done.path)}: {done.bytes / 1e6:.1f} MB")
    click.echo(f"seal {done.seal}")
    for name in done.missing:
        click.echo(f"{name} is missing: it is not in the file store as it was put there.", err=True)
