"""`setup`: finds what is there, asks what it cannot know, writes the configuration, checks it, and offers a test print."""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import click

from agent.commands.check import look_at, tell
from agent.commands.check_there import looks_there
from agent.commands.finding import Finding, look_at_all
from agent.commands.options import json_option, say_json
from agent.commands.setup_asking import Asked, Defaults, Person, somebody_is_there
from agent.commands.setup_draft import Draft, draft_of
from agent.commands.setup_files import Change, changes, put_in_place, tried_out
from agent.commands.setup_found import Around, slicers_here, tell_found
from agent.commands.setup_print import print_demo_part
from agent.commands.setup_questions import Questions
from agent.config.load import load
from agent.config.mistakes import BadConfiguration
from agent.config.model import Settings
from agent.discovery import SECONDS
from agent.domain.errors import Refused
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir

SYSTEM = Path("/etc/intagly-agent")
_SYSTEM_DATA = "/var/lib/intagly-agent"
_LARGEST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Way:
    """How it was called."""

    config: Path
    answers: Path | None
    yes: bool
    force: bool
    as_json: bool
    seconds: float

    @property
    def folder(self) -> Path:
        return self.config.absolute().parent

    @property
    def for_service(self) -> bool:
        """Written for systemd's unit: its user is not ours, and neither are its files and secrets."""
        return self.folder == SYSTEM


@click.command()
@click.option(
    "--config", default="config.toml", show_default=True, type=click.Path(path_type=Path, dir_okay=False), help="The agent's file to write."
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Ask nothing: a TOML file as config.toml, with [[printers]] as their files, and with secrets as they are. See docs/commands.md.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: take what is found, and every default.")
@click.option("--find", "only_find", is_flag=True, help="Only tell what is found.")
@click.option(
    "--seconds", default=SECONDS, show_default=True, type=click.FloatRange(0, 120), help="How long to listen for printers. 0: not at all."
)
@click.option("--force", is_flag=True, help="With --answers or --yes: replace files that are there. The old ones stay as NAME.bak.")
@json_option
def setup(config: Path, answers: Path | None, yes: bool, only_find: bool, seconds: float, force: bool, as_json: bool) -> None:
    """Find printers, slicers and a broker, ask the rest, write config.toml and printers/*.toml, check them, and offer a test print.

    \b
    intagly-agent setup                            # at a terminal: asks
    intagly-agent setup --find --json              # only what is there
    intagly-agent setup --answers answers.toml     # for scripts: asks nothing

    Nothing is written before you have seen it; Ctrl-C leaves everything as it was. Exit 1 where `check` finds something wrong.
    """
    way = Way(config, answers, yes, force, as_json, seconds)
    if only_find:
        _only_find(way)
    elif answers and yes:
        raise click.UsageError("--answers or --yes, not both.")
    elif answers:
        _from_answers(way, answers)
    elif as_json and not yes:
        raise click.UsageError("--json with --find, --answers or --yes: a person's questions are no JSON.")
    elif yes or somebody_is_there():
        _by_questions(way, Defaults() if yes else Person())
    else:
        raise click.UsageError("Nobody is there to answer: this is no terminal. Give --answers FILE, or --yes for every default.")


# --- finding -----------------------------------------------------------------------------------------------------
def _only_find(way: Way) -> None:
    around = _look_around(way)
    if way.as_json:
        say_json(around.as_json())
    else:
        tell_found(around)


def _look_around(way: Way) -> Around:
    if not way.seconds:
        return Around(slicers=slicers_here())
    # Late: zeroconf is 5 MB, and a setup from answers looks for nothing.
    from agent.discovery.network import look_around  # noqa: PLC0415

    if not way.as_json:
        click.echo(f"Looking for printers, for {way.seconds:.0f} seconds …")
    return Around(asyncio.run(look_around(way.seconds)), slicers_here())


# --- two ways to a draft -----------------------------------------------------------------------------------------
def _from_answers(way: Way, path: Path) -> None:
    answers = _read(path)
    wishes = answers.get("setup", {})
    if not isinstance(wishes, dict) or not wishes.keys() <= {"test_print", "bed_is_clear"}:
        raise click.UsageError(f"{path}: [setup] takes test_print (a printer's name) and bed_is_clear (true).")
    printers = answers.get("printers", [])
    if not isinstance(printers, list) or not all(isinstance(printer, dict) for printer in printers):
        raise click.UsageError(f"{path}: printers are tables, each under [[printers]].")
    _write_and_check(way, draft_of(answers, for_service=way.for_service), Defaults(), wishes)


def _read(path: Path) -> dict[str, Any]:
    """UsageError where it is no TOML: nothing of it can be meant."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise click.UsageError(f"{path} has more than 1 MB.")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path} is no TOML: {str(error)[:200]}.") from error


def _by_questions(way: Way, asked: Asked) -> None:
    around = _look_around(way)
    if not way.as_json:
        tell_found(around)
    draft, taken = Draft({}, for_service=way.for_service), set[str]()
    if way.config.exists() and asked.yes(f"\n{way.config} is there already. Keep it, and only add printers", True):
        draft, taken = Draft(None, for_service=way.for_service), _set_up(load(way.config, needs_secrets=False))
    questions = Questions(asked, around, ProfileLibrary(default_profiles_dir()), lambda attempt, subject: _attempted(way, attempt, subject))
    if draft.config is not None:
        questions.agent(draft, _SYSTEM_DATA if way.for_service else "data")
    questions.printers(draft, taken)
    for why in questions.left_out:
        click.secho(f"left out: {why}", fg="yellow", err=True)
    _write_and_check(way, draft, asked, {})


def _set_up(settings: Settings) -> set[str]:
    """By what a printer that was found is known again."""
    known = ((printer.name, getattr(printer, "url", ""), getattr(printer, "serial", "")) for printer in settings.printers)
    return {word for words in known for word in words if word}


def _attempted(way: Way, attempt: Draft, subject: str) -> Sequence[Finding]:
    """What `check` would say of it."""
    try:
        with tried_out(way.folder, attempt) as settings:
            return look_at_all([look for look in looks_there(settings, Event()) if look.subject == subject])
    except BadConfiguration as bad:
        return [Finding(subject, "error", str(mistake)) for mistake in bad.mistakes]


# --- writing and after -------------------------------------------------------------------------------------------
def _write_and_check(way: Way, draft: Draft, asked: Asked, wishes: Mapping[str, Any]) -> None:
    with tried_out(way.folder, draft):
        pass  # BadConfiguration with all that is wrong, before anything is touched
    to_write = changes(way.folder, draft)
    _agreed(way, to_write, asked)
    written = put_in_place(way.folder, to_write)
    if way.for_service:
        _tell_of_the_service(way, written)
        return
    findings = look_at(load(way.folder / "config.toml"))
    ok = not any(finding.level == "error" for finding in findings)
    if way.as_json:
        say_json({"ok": ok, "written": [str(path) for path in written], "findings": [asdict(finding) for finding in findings]})
    else:
        click.echo("\n" + "\n".join([f"wrote {path}" for path in written] or ["Nothing had to be written."]))
        tell(findings)
    _test_print(way, asked, wishes)
    raise click.exceptions.Exit(0 if ok else 1)


def _tell_of_the_service(way: Way, written: Sequence[Path]) -> None:
    """Nothing is checked as root: the ledger would be root's, and the service could not write it."""
    hint = "Now: systemctl restart intagly-agent; `systemctl status intagly-agent` tells every mistake, the page and the log the rest."
    if way.as_json:
        say_json({"ok": True, "written": [str(path) for path in written], "findings": [], "next": hint})
    else:
        click.echo("\n".join([*(f"wrote {path}" for path in written), hint]))


def _agreed(way: Way, to_write: Sequence[Change], asked: Asked) -> None:
    """Nothing that is there is replaced unasked. Refused, or click's Abort, where it is not to be."""
    replaced = [change for change in to_write if change.kind == "changed"]
    for change in replaced:
        click.echo(change.difference(way.folder), nl=False, err=way.as_json)
    if replaced and not asked.is_there and not way.force:
        names = ", ".join(str(change.path) for change in replaced)
        raise Refused(f"{names} would be replaced.", hint="Give --force to do so; the old ones are kept as NAME.bak.", code="is_there")
    if asked.is_there:
        new = ", ".join(str(change.path.relative_to(way.folder)) for change in to_write if change.kind != "unchanged")
        if not asked.yes(f"\nWrite {new or 'nothing'}", True):
            raise click.exceptions.Abort


def _test_print(way: Way, asked: Asked, wishes: Mapping[str, Any]) -> None:
    """Only where a person says so, or the answers do, and that the bed is clear."""
    settings = load(way.folder / "config.toml")
    printers = [printer.name for printer in settings.printers if printer.materials]
    name = str(wishes.get("test_print", ""))
    clear = wishes.get("bed_is_clear") is True
    if asked.is_there and printers and asked.yes("\nPrint a small hook of 3.8 cm³ as a test", False):
        name = asked.choice("On which printer", printers, printers[0])
        clear = asked.yes(f"Is the bed of {name} clear, and may it heat up now", False)
    if not name:
        return
    if not clear:
        raise Refused(
            f"Nothing is printed on {name}: its bed was not said to be clear.", hint="Clear it, and say so.", code="bed_not_clear"
        )
    told = asyncio.run(print_demo_part(way.folder / "config.toml", name))
    click.echo(told, err=way.as_json)
