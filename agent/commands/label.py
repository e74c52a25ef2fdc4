"""`label`: look at an order's label, print it once, or have it as a file."""

import asyncio
import sys
from pathlib import Path

import click

from agent.commands.options import ConfigSource, config_option, json_option, make_folder, say_json, shown_path
from agent.config.labels import LabelSettings
from agent.domain.errors import Refused
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict, PrintEnd
from agent.domain.order import Order
from agent.labels.checks import check_label
from agent.labels.printing import LabelDesk
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.files import FileStore
from agent.wiring import file_store, label_desk, ledger_url

_COLORS = {LabelVerdict.GOOD: "green", LabelVerdict.LOOK: "yellow", LabelVerdict.REFUSED: "red"}


@click.command()
@click.argument("order_id")
@click.option(
    "--print", "queue", is_flag=False, flag_value="", default=None, metavar="[QUEUE]", help="Print it; QUEUE instead of [labels] printer."
)
@click.option(
    "--open", "folder", type=click.Path(path_type=Path, file_okay=False), help="Put it into this folder, to be opened from there."
)
@click.option("--again", is_flag=True, help="Print it though it was, or perhaps was, printed before.")
@click.option("--anyway", is_flag=True, help="Print it though it could not be made sure that it is this parcel's: you have looked.")
@config_option
@json_option
def label(order_id: str, queue: str | None, folder: Path | None, again: bool, anyway: bool, config: ConfigSource, as_json: bool) -> None:
    """Check an order's label, and print it once.

    \b
    intagly-agent label o2ab3cd4e                    # what it is, and whether it is this parcel's
    intagly-agent label o2ab3cd4e --print            # on [labels] printer
    intagly-agent label o2ab3cd4e --print Zebra      # on another one
    intagly-agent label o2ab3cd4e --open ~/Desktop   # as a file
    """
    settings = config.settings(needs_secrets=False)
    store = file_store(settings)
    with SqlLedger(ledger_url(settings)) as ledger:
        order = _known(ledger, order_id)
        path = _label_of(order, store)
        check = asyncio.run(check_label(path, order.dossier.remote.shipping if order.dossier.remote else None))
        copy = _put_into(folder, path, order_id) if folder else None
        if not as_json:
            _tell(check, path, copy)
        printed = None
        if queue is not None:
            desk = _desk(queue, settings.labels, ledger)
            printed = asyncio.run(desk.print(order.id, path, order.dossier.label_sha256, check, again=again, anyway=anyway))
    if as_json:
        say_json(
            {**check.model_dump(mode="json"), "file": str(copy or path), "printed": printed.model_dump(mode="json") if printed else None}
        )
    elif printed:
        _tell_print(printed)
    sys.exit(0 if (printed.end is PrintEnd.COMPLETED if printed else check.verdict is not LabelVerdict.REFUSED) else 1)


def _known(ledger: SqlLedger, order_id: str) -> Order:
    try:
        return ledger.order(order_id)
    except KeyError as error:
        hint = "`intagly-agent orders --all` lists them."
        raise Refused(f"There is no order {order_id}.", hint=hint, code="no_such_order") from error


def _label_of(order: Order, store: FileStore) -> Path:
    sha256 = order.dossier.label_sha256
    if not sha256:
        raise Refused(f"There is no label of {order.id} yet; it is {order.state}.", hint="It comes after the photos.", code="no_label")
    if not store.has(sha256):
        raise Refused(
            f"The label of {order.id} is not in the file store any more.", hint="Fetch it in the marketplace's app.", code="no_label"
        )
    return store.path(sha256)


def _put_into(folder: Path, path: Path, order_id: str) -> Path:
    make_folder(folder, "--open")
    copy = folder / f"{order_id}-label.pdf"
    try:
        copy.write_bytes(path.read_bytes())
    except OSError as error:
        raise Refused(f"{shown_path(copy)} cannot be written: {error.strerror}.", hint="Give another folder with --open.") from error
    return copy


def _desk(queue: str, labels: LabelSettings, ledger: SqlLedger) -> LabelDesk:
    desk = label_desk(labels, ledger, queue)
    if desk is None:
        raise Refused("No label printer is configured.", hint="Set [labels] printer, or say --print QUEUE.", code="no_label_printer")
    return desk


def _tell(check: LabelCheck, path: Path, copy: Path | None) -> None:
    click.secho(f"{check.verdict}: ", fg=_COLORS[check.verdict], bold=True, nl=False)
    click.echo(check.told)
    click.echo(shown_path(copy or path))


def _tell_print(printed: LabelPrint) -> None:
    before = "It was printed before, and is not printed again; --again does. " if printed.again else ""
    match printed.end:
        case PrintEnd.COMPLETED:
            click.echo(f"{before}{printed.queue} has printed it (job {printed.job}).")
        case PrintEnd.WAITING:
            click.echo(
                f"It waits in {printed.queue} as job {printed.job}: {printed.why}. Printed from there it is not sent again.", err=True
            )
        case PrintEnd.FAILED:
            click.echo(f"{printed.queue} did not print it (job {printed.job}): {printed.why}.", err=True)
