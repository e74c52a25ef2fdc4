"""The other programs that the documentation calls: each has one way of being looked at, and one that has none fails here."""

import itertools
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import AGENT, ROOT, Command, commands
from tests.rigs.mosquitto import running_mosquitto

OTHERS = {command.words: command for command in commands() if command.program != AGENT}
_UNIT = ROOT / "systemd" / f"{AGENT}.service"
_SCRIPTS = "".join(path.read_text() for path in sorted((ROOT / "scripts").glob("*.sh")))


def ran(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def make(words: tuple[str, ...], _folder: Path) -> None:
    """There is such a target, and what it would do can be told."""
    done = ran("make", "--dry-run", *words[1:])
    assert done.returncode == 0, done.stderr


def in_a_checkout(words: tuple[str, ...], folder: Path) -> None:
    """Done in a folder that has what the repository has, and nothing an operator has made yet but for the folders of the line before."""
    for name in ("config.example.toml", "printers.example"):
        (folder / name).symlink_to(ROOT / name)
    if words[0] == "cp":
        (folder / "printers").mkdir()
    done = ran(*words, cwd=folder)
    assert done.returncode == 0, done.stderr


def git(words: tuple[str, ...], _folder: Path) -> None:
    """From where is not known yet; into a folder that the next command goes to."""
    assert words[1:] == ("clone", "…", AGENT)


def cd(words: tuple[str, ...], _folder: Path) -> None:
    assert words[1:] == (AGENT,)


def apt(words: tuple[str, ...], _folder: Path) -> None:
    """Debian's packages are those that the scripts install or that apt knows; ours is what `make deb` builds."""
    assert words[1:] == ("update",) or words[1] == "install"
    for package in (word for word in words[2:] if not word.startswith("-")):
        if package.startswith("./"):
            assert re.fullmatch(rf"\./(dist/)?{AGENT}_(\*|NEW|OLD)\.deb", package), package
        else:
            assert re.search(rf"\b{re.escape(package)}\b", _SCRIPTS) or ran("apt-cache", "show", package).returncode == 0, package


def systemctl(words: tuple[str, ...], _folder: Path) -> None:
    verbs = re.findall(r"^  ([a-z-]+) ", ran("systemctl", "--help").stdout, re.MULTILINE)
    assert words[1] in verbs, words
    assert not [word for word in words[2:] if not word.startswith("-") and word != AGENT]
    assert _UNIT.is_file()
    assert words[1] != "reload" or "ExecReload=" in _UNIT.read_text()


def journalctl(words: tuple[str, ...], _folder: Path) -> None:
    assert words[1:3] == ("-u", AGENT)
    assert ran("journalctl", "--no-pager", "-n", "0", *(word for word in words[3:] if word != "-f")).returncode == 0


def jq(words: tuple[str, ...], _folder: Path) -> None:
    """What is picked is an event that the log has."""
    (event,) = re.findall(r'\.event == "(\w+)"', words[1])
    assert f"| `{event}` |" in (ROOT / "docs" / "events.md").read_text()


def pip(words: tuple[str, ...], _folder: Path) -> None:
    assert words[1] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in words[2:]:
        name, extra = re.fullmatch(r"([\w-]+)\[(\w+)\]", wanted).groups()  # type: ignore[union-attr]
        assert name == project["name"] and extra in project["optional-dependencies"], wanted


def script(words: tuple[str, ...], _folder: Path) -> None:
    assert (ROOT / words[0]).stat().st_mode & 0o111, words


def mosquitto(words: tuple[str, ...], folder: Path) -> None:
    """Against a real broker, which has that user; what is listened for is there."""
    with running_mosquitto(folder) as broker:
        option = dict(itertools.pairwise(words))
        broker.add_user(option["-u"], option["-P"])
        there = ["127.0.0.1" if word == "homeassistant.local" else word for word in words[1:]]
        whose = ["-p", str(broker.port), "-u", option["-u"], "-P", option["-P"]]
        assert ran("mosquitto_pub", *whose, "-r", "-t", "intagly/garage/availability", "-m", "online").returncode == 0
        done = ran(words[0], *there, "-p", str(broker.port), *(["-C", "1", "-W", "10"] if words[0] == "mosquitto_sub" else []))
        assert done.returncode == 0, done.stderr
        assert words[0] != "mosquitto_sub" or "intagly/garage/availability online" in done.stdout


def elsewhere(words: tuple[str, ...], _folder: Path) -> None:
    """Run against the servers that tests/docs/test_commands.py starts, and the Klipper machine of tests/sandbox/."""
    assert words[0] in ("curl", "printf", "nc")


CHECKS: dict[str, Callable[[tuple[str, ...], Path], None]] = {
    "make": make,
    "cp": in_a_checkout,
    "mkdir": in_a_checkout,
    "git": git,
    "cd": cd,
    "apt": apt,
    "apt-get": apt,
    "systemctl": systemctl,
    "journalctl": journalctl,
    "jq": jq,
    "pip": pip,
    "scripts/klipper-venvs.sh": script,
    "mosquitto_sub": mosquitto,
    "mosquitto_pub": mosquitto,
    "curl": elsewhere,
    "printf": elsewhere,
    "nc": elsewhere,
}


def names(command: Command) -> str:
    return f"{command.place} {' '.join(command.words)[:60]}"


@pytest.mark.parametrize("command", OTHERS.values(), ids=names)
def test_a_command_of_another_program(command: Command, tmp_path: Path) -> None:
    if re.fullmatch(r"\w+=\S+", command.words[0]):
        return  # a name for the lines below it
    assert command.program in CHECKS, f"{command.place}: {command.program} is not known here: say how it is looked at"
    check = CHECKS[command.program]
    if check in (systemctl, journalctl, mosquitto) and shutil.which(command.program) is None:
        pytest.skip(f"{command.program} is not installed")
    check(command.words, tmp_path)
