"""A documented command of the agent as it is called in a scene: the documentation's names become those that are there."""

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta

import click

from agent.cli import cli
from agent.domain.person import Role, hashed
from agent.domain.question import Step
from agent.ledger.database import utc_now
from agent.ledger.places import sqlite_file
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.upgrading import upgrades
from agent.wiring import ledger_url
from tests.commands.test_profiles_import import BUNDLE
from tests.docs.pages import ROOT, Command, Place
from tests.docs.scene import PERSON, Outdoors, Scene
from tests.ledger.test_upgrading import downgraded
from tests.rigs.processes import free_port

TOKEN = "button"
"""A token for scripts that is there."""
_ORDER = re.compile(r"^(o2ab3cd4e|ID|ORDER)$")
_NAMES = {"profiles": "prusa-mk3s", "role": PERSON, "sign-out": PERSON, "remove": PERSON, "revoke": TOKEN, "token": "another"}
"""What NAME is, by the word before it."""
_BUNDLE_NAMES = {"Mine 0.4": "MK3S", "0.2 mm": "0.20mm QUALITY", "Some PLA": "Prusament PLA", "Some PETG": "Prusament PETG"}
NOT_COMMANDS = {("COMMAND", "…"), ("NAME:",), ("NAME:", "…")}
"""What begins like one in the text: the usage line, and what the agent writes as the reason of an offline."""


def spoken(command: Command, scene: Scene, outdoors: Outdoors) -> list[str]:
    """The words, for the folder of that scene."""
    asked = command.asked
    words = [_there(word, asked[: place + 1], scene, outdoors) for place, word in enumerate(asked)]
    # How long is listened is the test's to say; what other tests announce meanwhile is not to be configured here.
    if asked[0] == "setup" and "--yes" in asked:
        words += ["--seconds", "0"]
    elif asked[0] == "setup" and "--find" in asked:
        words += ["--seconds", "0.2"]
    return words


def _there(word: str, up_to: Sequence[str], scene: Scene, outdoors: Outdoors) -> str:
    if _ORDER.match(word):
        return scene.orders[_step(up_to)]
    known = {
        "/etc/intagly-agent/config.toml": "config.toml",
        "/mnt/usb/": "usb/",
        "/var/lib/intagly-agent": "restored",
        "garage-….backup.tar": "garage.backup.tar",
        "https://market.example/operator/v1": outdoors.market_url,
        "Zebra": outdoors.other_queue,
        "M": "PLA",
        "NAME": _NAMES.get(up_to[-2] if len(up_to) > 1 else "", "NAME"),
        "8420": str(free_port()),
    }
    return known.get(word, word).replace("/tmp/", "").replace("~", str(scene.folder))


def _step(up_to: Sequence[str]) -> str:
    if up_to[0] == "confirm":
        return Step(up_to[1])
    return {"label": Step.LABEL, "offers": Step.OFFER}.get(up_to[0], "closed")


def named(command: Command) -> tuple[click.Command, tuple[str, ...]]:
    """The command of click's that is called, and what it is given. KeyError where there is none of that name."""
    if command.asked[0].startswith("-"):
        return cli, command.asked
    with click.Context(cli) as context:
        found, rest = cli.get_command(context, command.asked[0]), command.asked[1:]
        while isinstance(found, click.Group) and rest and found.get_command(context, rest[0]):
            found, rest = found.get_command(context, rest[0]), rest[1:]
    if found is None:
        raise KeyError(command.asked[0])
    return found, rest


def only_named(command: Command) -> bool:
    """The text speaks of a command without what it needs."""
    found, rest = named(command)
    needs = any(param.required for param in found.params) or found.name == "restore"
    return command.inline and not rest and (needs or (isinstance(found, click.Group) and not found.invoke_without_command))


# --- how the scene has to be before -------------------------------------------------------------------------------
def _without_configuration(scene: Scene) -> None:
    for name in ("config.toml", "printers", "secrets", "data"):
        path = scene.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _upgraded(scene: Scene) -> None:
    """Its ledger was of an older version until now."""
    data = scene.folder / "data"
    downgraded(data)
    assert scene.called("orders").exit_code == 0
    assert upgrades(sqlite_file(data))


def _someone_signed_in(scene: Scene) -> None:
    with SqlLedger(ledger_url(scene.settings())) as ledger:
        ledger.add_pairing(hashed("code"), Role.OPERATOR, PERSON, utc_now() + timedelta(minutes=5))
        ledger.pair(hashed("code"), PERSON, hashed("session"), "a phone")


def _exported(scene: Scene) -> None:
    done = scene.called("export", scene.orders["closed"], "-o", "o2ab3cd4e-dossier.zip")
    assert done.exit_code == 0, done.output


def _backed_up(scene: Scene) -> None:
    done = scene.called("backup", "-o", "garage.backup.tar")
    assert done.exit_code == 0, done.output


def _restored(scene: Scene) -> None:
    _backed_up(scene)
    done = scene.called("restore", "garage.backup.tar", "--into", "restored")
    assert done.exit_code == 0, done.output


def _with_a_bundle(scene: Scene) -> None:
    text = BUNDLE
    for old, new in _BUNDLE_NAMES.items():
        text = text.replace(old, new)
    (scene.folder / "PrusaSlicer_config_bundle.ini").write_text(text)
    (scene.folder / "profiles").mkdir()
    (scene.folder / "profiles" / "prusa-mk3s").symlink_to(ROOT / "slicer_profiles" / "prusa-mk3s")
    config = scene.folder / "config.toml"
    config.write_text(config.read_text() + '\n[slicing]\nprofiles_dir = "profiles"\n')


BEFORE: dict[tuple[str, ...], Callable[[Scene], None]] = {
    ("setup",): _without_configuration,
    ("rollback",): _upgraded,
    ("verify",): _exported,
    ("restore", "--old-agent-is-off"): _restored,
    ("restore",): _backed_up,
    ("profiles", "import"): _with_a_bundle,
    ("people", "role"): _someone_signed_in,
    ("people", "sign-out"): _someone_signed_in,
    ("people", "remove"): _someone_signed_in,
    ("pair", "--name"): _someone_signed_in,
}
EXITS: dict[tuple[str, ...], int] = {("rollback",): 1, ("setup",): 2, ("setup", "--config", "/etc/intagly-agent/config.toml"): 2}
"""Where it is not 0: `rollback` alone only tells, and `setup` wants a terminal, which a test has not (tests/commands/test_setup.py has)."""
TYPED: dict[tuple[str, ...], str] = {("confirm", "photos", "o2ab3cd4e", "--reject"): "y\n"}
"""What is asked once more, and answered."""


def prepared(command: Command, scene: Scene) -> None:
    asked = command.asked
    for length in (2, 1):
        if (before := BEFORE.get(asked[:length])) is not None:
            before(scene)
            return


def typed(command: Command) -> str:
    return next((answer for begins, answer in TYPED.items() if command.asked[: len(begins)] == begins), "")


def places(commands: Sequence[Command]) -> dict[tuple[str, ...], tuple[Command, list[Place]]]:
    """Each command once, with everywhere it stands; one of a block before the same in the text."""
    found: dict[tuple[str, ...], tuple[Command, list[Place]]] = {}
    for command in sorted(commands, key=lambda command: command.inline):
        found.setdefault(command.asked, (command, []))[1].append(command.place)
    return found
