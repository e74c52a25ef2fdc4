"""`profiles import`: a profile out of what PrusaSlicer, Cura or OrcaSlicer exported, and an account of what was taken from where."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, shown_path
from agent.domain.errors import Refused
from agent.domain.values import one_line
from agent.slicers.cura.engine import CuraEngine
from agent.slicers.importing.draft import Draft, Left
from agent.slicers.importing.folder import require_name, slug, write
from agent.slicers.importing.imports import draft_of
from agent.slicers.importing.known import read_by_prusaslicer
from agent.slicers.importing.presets import UNDECIDED, Choice
from agent.slicers.profiles import Profile, default_profiles_dir
from agent.slicers.prusaslicer import PrusaSlicer

_INDENT = "    "
_MOST_SOURCES = 6
_UNGUESSED = "The temperature ranges in profile.toml are guessed around the filament's own: check them for each material."


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="The folder of profiles. Default: [slicing] profiles_dir.")
@click.option("--name", help="What the profile is called. Default: made from the printer's name.")
@click.option("--printer", help="Which printer of several: its name, or a part that only it has.")
@click.option("--print", "--process", "process", help="Which print (process) of several.")
@click.option("--filament", "filaments", multiple=True, help="Which filament. Repeatable: one of each material.")
@click.option("--replace", is_flag=True, help="In place of the profile of that name.")
@click.option("--verbose", "-v", is_flag=True, help="Every setting with the place it comes from.")
@config_option
@json_option
def import_(
    files: tuple[Path, ...],
    to: Path | None,
    name: str | None,
    printer: str | None,
    process: str | None,
    filaments: tuple[str, ...],
    replace: bool,
    verbose: bool,
    config: ConfigSource,
    as_json: bool,
) -> None:
    """A profile out of another program's: flattened, shown, read back, and only then put into place.

    \b
    PrusaSlicer   an exported config (.ini), a config bundle or a vendor's bundle (.ini), or G-code it made
    Cura          a printer's definition (.def.json)
    OrcaSlicer    machine, process and filament (.json), or the folder they and their parents are in

    Scripts, hosts and passwords are never taken. Look at the account: what was guessed is for you to check.
    """
    root = _root(to, config)
    named = None if name is None else require_name(name)
    draft = _draft(files, Choice(printer, process, filaments), config)
    asked = _prusaslicer(config) if draft.slicers == ("prusaslicer",) else None
    version = None if asked is None else _read_by(asked, draft)
    profile = write(draft, root, named or slug(draft.title), replace=replace)
    if as_json:
        say_json(_document(draft, profile, version))
    else:
        _tell(draft, profile, version, verbose=verbose)


def _root(to: Path | None, config: ConfigSource) -> Path:
    """Never the shipped ones: an update would take it away."""
    if to is not None:
        return to
    configured = None if config.file() is None else config.settings(needs_secrets=False).slicing.profiles_dir
    if configured is None or configured.resolve() == default_profiles_dir().resolve():
        raise click.UsageError("Where to? Give --to FOLDER, or set [slicing] profiles_dir to a folder of your own.")
    return configured


def _draft(files: Sequence[Path], choice: Choice, config: ConfigSource) -> Draft:
    folder = None if config.file() is None else config.settings(needs_secrets=False).slicing.cura_definitions
    try:
        return draft_of(files, choice, CuraEngine(definitions=folder).definitions_folder)
    except Refused as error:
        if error.code == UNDECIDED:
            raise click.UsageError(error.told()) from error
        raise


def _prusaslicer(config: ConfigSource) -> PrusaSlicer | None:
    """The one that will slice with it; None where none is installed."""
    slicer = PrusaSlicer("" if config.file() is None else config.settings(needs_secrets=False).slicing.prusaslicer)
    return slicer if shutil.which(slicer.program) else None


def _read_by(slicer: PrusaSlicer, draft: Draft) -> str:
    """Its version; the draft is then as it reads it."""
    version = slicer.version()
    with tempfile.TemporaryDirectory(prefix="intagly-import-") as folder:
        asyncio.run(read_by_prusaslicer(draft, slicer.program, Path(folder)))
    return version


# --- the account ------------------------------------------------------------------------------------------------------
def _document(draft: Draft, profile: Profile, version: str | None) -> dict[str, Any]:
    taken = [
        {"file": file, "key": key, "value": one.text, "from": one.place}
        for file, settings in draft.files().items()
        for key, one in settings.items()
    ]
    return {
        "name": profile.name,
        "folder": str(profile.folder),
        "title": profile.title,
        "slicers": profile.slicers,
        "materials": profile.materials,
        "read_by": version,
        "settings": taken,
        "left_out": [
            {"key": left.key, "value": left.setting.text, "from": left.setting.place, "why": left.why, "loud": left.loud}
            for left in draft.left
        ],
        "filled_in": [asdict(filled) for filled in draft.filled],
        "read_otherwise": [asdict(reworded) for reworded in draft.reworded],
        "check": [*draft.check, _UNGUESSED],
    }


def _tell(draft: Draft, profile: Profile, version: str | None, *, verbose: bool) -> None:
    click.secho(f"{profile.name}: ", bold=True, nl=False)
    click.echo(f"{one_line(profile.title)}, for {' and '.join(profile.slicers)}, in {shown_path(profile.folder)}")
    for file, settings in draft.files().items():
        count = Counter(one.source for one in settings.values())
        click.echo(f"  {file}: {len(settings)} settings: {_counted(count)}")
        for key, one in sorted(settings.items()) if verbose else ():
            click.echo(f"{_INDENT}{key} = {_short(one.text)}    ({one_line(one.place)})")
    _tell_changed(draft)
    _tell_left(draft.left, verbose=verbose)
    if version is None and draft.slicers == ("prusaslicer",):
        draft.check.append("PrusaSlicer is not installed here: whether it knows every setting was not looked at.")
    click.secho("  to check before the first print:", bold=True)
    for line in [*dict.fromkeys(draft.check), _UNGUESSED]:
        click.secho(f"{_INDENT}{one_line(line)}", fg="yellow")


def _tell_changed(draft: Draft) -> None:
    for filled in draft.filled:
        click.echo(f"  filled in: {filled.key} = {_short(filled.value)} in {filled.file} ({filled.why})")
    for reworded in draft.reworded:
        click.secho(
            f"  read otherwise: {reworded.key} = {_short(reworded.given)} is {_short(reworded.read) or 'nothing'} to the slicer",
            fg="yellow",
        )


def _tell_left(left: Sequence[Left], *, verbose: bool) -> None:
    """By the reason; one by one what would have done something."""
    quiet = sorted((one for one in left if not one.loud), key=lambda one: one.why)
    for why, group in groupby(quiet, key=lambda one: one.why):
        some = list({one.key: one for one in group}.values())
        click.echo(f"  left out, {why}: {', '.join(one.key for one in some)}")
        for one in some if verbose else ():
            click.echo(f"{_INDENT}{one.key} = {_short(one.setting.text)}    ({one_line(one.setting.place)})")
    for one in left:
        if one.loud:
            click.secho(f"  NOT TAKEN: {one.key} = {_short(one.setting.text)} ({one_line(one.setting.place)}): {one.why}", fg="red")


def _counted(count: Counter[str]) -> str:
    parts = [f"{number} from {one_line(source)}" for source, number in count.most_common(_MOST_SOURCES)]
    more = len(count) - _MOST_SOURCES
    return ", ".join(parts) + (f" and {more} more places" if more > 0 else "")


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 100 else f"{text[:97]}…"
