"""`backup`: everything that makes the agent what it is, in one file, while it runs."""

from datetime import UTC, datetime
from pathlib import Path

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, shown_path
from agent.ledger.taking import Taken, name_for, take
from agent.upkeep import backup_sources


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file, or a folder for it. Default: here.")
@click.option("--no-files", is_flag=True, help="Only ledger and configuration: without models, G-code, photos and labels.")
@click.option("--with-secrets", is_flag=True, help="Also the files with tokens, keys and passwords that the configuration names.")
@config_option
@json_option
def backup(output: Path | None, no_files: bool, with_secrets: bool, config: ConfigSource, as_json: bool) -> None:
    """Back up ledger, files of orders and configuration into one file, verified after it was written. The daemon may run.

    It holds customers' models and addresses: keep it as carefully as the agent itself.
    """
    settings = config.settings(needs_secrets=with_secrets)
    into = output or Path()
    if into.is_dir():
        into = into / name_for(settings.agent.name, datetime.now(UTC))
    taken = take(backup_sources(settings, with_files=not no_files, with_secrets=with_secrets), into.absolute())
    if as_json:
        say_json(taken.model_dump(mode="json"))
        return
    _tell(taken)


def _tell(taken: Taken) -> None:
    click.echo(f"{shown_path(taken.path)}: {taken.bytes / 1e6:.1f} MB, read back and whole")
    files = f"{taken.files} files" if taken.with_files else "no files (--no-files)"
    click.echo(f"    {taken.orders} orders with {taken.events} events, {files}")
    click.echo(f"    head of the ledger {taken.head}")
    if taken.with_secrets:
        click.secho("    It holds your secrets: whoever has it can act as you.", fg="yellow")
    else:
        click.echo("    Without the secrets; what is written into config.toml itself is in it.")
    for left in taken.left_out:
        click.echo(f"{left.name} was left out: {left.why}.", err=True)
    if taken.broken:
        click.echo(f"The history of {', '.join(taken.broken[:10])} was changed; it is in the backup as it is.", err=True)
