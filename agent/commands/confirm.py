"""`confirm`: what a person answers, for those without the web page."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, login_name, shown_path
from agent.commands.rejecting import Said, reject
from agent.config.model import Settings
from agent.domain.errors import Refused
from agent.domain.question import Step
from agent.domain.rejection import REASONS
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import Answers
from agent.operator.photos import check_photos
from agent.ports.files import FileStore
from agent.wiring import file_store, ledger_url

_STEPS = [step.value for step in Step]


@click.command()
@click.argument("step", type=click.Choice(_STEPS))
@click.argument("what")
@click.argument("choice", default="")
@config_option
@click.option("--by", default="", help="Who you are. Default: the name you are logged in with.")
@click.option("--photo", "photos", multiple=True, type=click.Path(path_type=Path), help="photos: a JPEG, PNG or WebP. Repeatable.")
@click.option("--agree", "agreed", multiple=True, metavar="CODE", help="photos: a sentence you were shown and agree to. Repeatable.")
@click.option("--note", default="", help="photos: a note to the customer.")
@click.option("--used", default="", metavar="NAME", help="packed: the packaging it went into, or `other`. Default: the planned one.")
@click.option("--reject", "bad", multiple=True, metavar="ITEM=N", help="photos: N pieces are printed again. With one item: N.")
@click.option("--reason", type=click.Choice([reason.value for reason in REASONS]), default=None, help="photos: why they are rejected.")
@click.option("--why", default="", help="photos: the same in your words.")
@click.option("--tell-delay", is_flag=True, help="photos: the marketplace is told that it will be late.")
@click.option("--yes", is_flag=True, help="photos: do not ask once more before pieces are printed again.")
@click.option("--internal-note", default="", help="photos: a note to the marketplace.")
def confirm(
    step: str,
    what: str,
    choice: str,
    config: ConfigSource,
    by: str,
    photos: tuple[Path, ...],
    agreed: tuple[str, ...],
    note: str,
    internal_note: str,
    used: str,
    **rejecting: Any,
) -> None:
    """Answer what the agent asks. WHAT is an order (or, for `bed`, a printer); CHOICE is one of the answers the question offers.

    \b
    intagly-agent confirm bed mk3s
    intagly-agent confirm offer o2ab3cd4e accept
    intagly-agent confirm hold o2ab3cd4e reprint
    intagly-agent confirm photos o2ab3cd4e --photo front.jpg --agree no_flaws
    intagly-agent confirm photos o2ab3cd4e --reject i1=2 --reason warped
    intagly-agent confirm packed o2ab3cd4e
    """
    said = Said(**rejecting)
    _require_fitting(Step(step), choice, used, said, handed_in=bool(photos or agreed))
    settings = config.settings(needs_secrets=False)
    with SqlLedger(ledger_url(settings)) as ledger:
        answers = Answers(ledger, file_store(settings), by or login_name())
        match Step(step):
            case Step.BED:
                _require_printer(what, settings)
                answers.bed_is_clear(what)
            case Step.PHOTOS if said.anything:
                reject(what, said, answers, ledger, settings)
            case Step.PHOTOS:
                answers.photographed(what, _cleaned(photos, file_store(settings)), agreed, note, internal_note)
            case Step.PACKED if choice in ("", "packed"):
                answers.packed(what, used)
            case other:
                answers.choose(other, what, choice)
    click.echo(f"Noted: {step} {what} {choice}".rstrip(), err=True)


def _require_fitting(step: Step, choice: str, used: str, said: Said, *, handed_in: bool) -> None:
    """UsageError where an option belongs to another step."""
    if choice and step in (Step.BED, Step.PHOTOS):
        raise click.UsageError(f"{step} takes no CHOICE; '{choice}' was given.")
    if used and step is not Step.PACKED:
        raise click.UsageError("--used is said with `packed`.")
    if said.anything and step is not Step.PHOTOS:
        raise click.UsageError("--reject, and what belongs to it, is said with `photos`.")
    if said.anything and handed_in:
        raise click.UsageError("Photos are handed in, or pieces are rejected: not both at once.")


def _require_printer(name: str, settings: Settings) -> None:
    if name not in {printer.name for printer in settings.printers}:
        names = ", ".join(printer.name for printer in settings.printers)
        raise Refused(f"There is no printer {name}.", hint=f"Printers: {names}.", code="no_such_printer")


def _cleaned(photos: Sequence[Path], store: FileStore) -> list[Path]:
    """The photos as they go to the customer. Refused with every one that cannot be used; what could be better is told, no more."""
    checked = list(zip(photos, asyncio.run(check_photos(photos, store)), strict=True))
    unusable = [f"{shown_path(path)}: {photo.refused.text}" for path, photo in checked if photo.refused is not None]
    if unusable:
        raise Refused(" ".join(unusable), hint="Nothing was taken. Give other photos.", code="no_photo")
    for path, photo in checked:
        for hint in photo.hints:
            click.echo(f"{shown_path(path)}: {hint.text}", err=True)
    return [store.path(photo.sha256) for _, photo in checked]
