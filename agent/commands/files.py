"""`files`: what takes room, and what the rules for old files would remove, or do."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, say_rows
from agent.domain.retention import Held, Removal, removals
from agent.ledger.keeping import held_files, remove
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import file_store, ledger_url


@click.command()
@click.option("--remove", "removing", is_flag=True, help="Remove it, as the daemon does once a day.")
@click.option("--dry-run", is_flag=True, help="With --remove: list what would go, file by file, and remove nothing.")
@config_option
@json_option
def files(removing: bool, dry_run: bool, config: ConfigSource, as_json: bool) -> None:
    """Which files of orders take how much room, and what goes by [retention]. Nothing of an order that has not ended ever does."""
    settings = config.settings(needs_secrets=False)
    rule, store, now = settings.retention.value(), file_store(settings), datetime.now(UTC)
    with SqlLedger(ledger_url(settings)) as ledger:
        held = held_files(ledger, store)
        planned = removals(held, rule, now)
        gone = remove(ledger, store, planned, now) if removing and not dry_run else planned
    rows, listed = _by_kind(held, planned), [_removal(each) for each in gone]
    if as_json:
        say_json({"kinds": rows, "removed": removing and not dry_run, "removals": listed})
        return
    say_rows([_shown(row) for row in rows], ("kind", "files", "MB", "may go", "MB to go"), "There are no files.")
    if dry_run:
        say_rows(listed, ("sha256", "kind", "bytes", "orders", "why"), "Nothing would be removed.")
    elif removing:
        click.echo(f"{len(gone)} files removed, {sum(each.file.bytes for each in gone) / 1e6:.1f} MB.")


def _kind(file: Held) -> str:
    if file.needed:
        return "needed: of orders that have not ended, or of jobs at work"
    return ", ".join(dict.fromkeys(claim.kind for claim in file.claims)) or "of no order"


def _by_kind(held: Sequence[Held], planned: Sequence[Removal]) -> list[dict[str, Any]]:
    going = {removal.file.sha256 for removal in planned}
    kinds: dict[str, list[Held]] = defaultdict(list)
    for file in held:
        kinds[_kind(file)].append(file)
    rows = []
    for kind, of_kind in sorted(kinds.items(), key=lambda each: -sum(file.bytes for file in each[1])):
        to_go = [file for file in of_kind if file.sha256 in going]
        size, smaller = (sum(file.bytes for file in some) for some in (of_kind, to_go))
        rows.append({"kind": kind, "files": len(of_kind), "bytes": size, "to_go": len(to_go), "bytes_to_go": smaller})
    return rows


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": row["kind"],
        "files": row["files"],
        "MB": f"{row['bytes'] / 1e6:.1f}",
        "may go": row["to_go"],
        "MB to go": f"{row['bytes_to_go'] / 1e6:.1f}",
    }


def _removal(removal: Removal) -> dict[str, Any]:
    file = removal.file
    orders = ", ".join(dict.fromkeys(claim.order_id for claim in file.claims))
    return {"sha256": file.sha256, "kind": _kind(file), "bytes": file.bytes, "orders": orders, "why": removal.why}
