"""`setup` as it is called: by a person at a terminal, by a script, and interrupted. What it writes is what `check` takes."""

import asyncio
import contextlib
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.commands.setup import setup as setup_command
from agent.commands.setup_draft import Draft, draft_of
from agent.commands.setup_files import changes, put_in_place, tried_out
from agent.config.load import load
from agent.config.mistakes import BadConfiguration
from agent.config.printer import OctoPrintSettings
from agent.config.writing import config_text, printer_text
from agent.discovery.servers import Server, which
from agent.domain.errors import Refused
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.config.test_example import CONFIG, EXAMPLES, NOT_SET
from tests.rigs.agent_process import ROOT
from tests.rigs.nursery import ran
from tests.rigs.octoprint_server import PROGRAM, running_octoprint

_VIRTUAL = """\
[[printers]]
name = "mk3s"
kind = "virtual"
speed = 100000
profile = "prusa-mk3s"
materials = [{ material = "PLA", color = { name = "black", hex = "#1a1a1a" } }]
"""
_AGENT = '[agent]\nname = "garage"\ndata_dir = "data"\n\n[web]\nlisten = ""\n\n'


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where the tests are run in a shell's background, which has all that it starts ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def setup(folder: Path, answers: str, *more: str) -> subprocess.CompletedProcess[str]:
    file = folder / "answers.toml"
    file.write_text(answers)
    return ran("agent", "setup", "--answers", str(file), "--config", str(folder / "home" / "config.toml"), *more, cwd=ROOT)


def files(folder: Path) -> dict[str, str]:
    """By name; data_dir left out."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "data" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- for scripts -------------------------------------------------------------------------------------------------
def test_answers_become_files_that_check_takes_and_secrets_are_for_the_agent_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with SandboxMarketplace() as market:
        shop = f'[[marketplaces]]\nkind = "operator_api"\nname = "shop"\nurl = "{market.url}"\ntoken = "{market.token}"\n'
        done = setup(tmp_path, _AGENT + shop + _VIRTUAL, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        told = json.loads(done.stdout)
        again = ran("agent", "check", "--config", str(home / "config.toml"), "--json", cwd=ROOT)
        assert again.returncode == 0, again.stdout
    assert told["ok"] is True
    assert [Path(path).name for path in told["written"]] == ["shop.token", "mk3s.toml", "config.toml"]
    assert (mode(home / "secrets" / "shop.token"), mode(home / "secrets")) == (0o600, 0o700)
    assert market.token not in done.stdout + done.stderr
    assert [name for name, text in files(home).items() if market.token in text] == ["secrets/shop.token"]
    text = (home / "printers" / "mk3s.toml").read_text()
    assert "# The printer's model: a folder of slicer_profiles/" in text
    assert not list(home.glob(".setup-*"))


def test_nothing_that_is_there_is_replaced_unless_told_so_and_then_it_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert setup(tmp_path, _AGENT).returncode == 0
    config = home / "config.toml"
    config.write_text(config.read_text() + "\n# my own remark\n")
    mine = files(home)
    refused = setup(tmp_path, _AGENT.replace("garage", "cellar"))
    assert refused.returncode == 1
    assert ("-# my own remark" in refused.stdout, '+name = "cellar"' in refused.stdout, "--force" in refused.stderr) == (True, True, True)
    assert files(home) == mine
    forced = setup(tmp_path, _AGENT.replace("garage", "cellar"), "--force")
    assert forced.returncode == 0
    assert (home / "config.toml.bak").read_text() == mine["config.toml"]
    assert load(config).agent.name == "cellar"
    same = setup(tmp_path, _AGENT.replace("garage", "cellar"))
    assert (same.returncode, "Nothing had to be written" in same.stdout) == (0, True)


def test_another_secret_is_never_shown_in_the_difference(tmp_path: Path) -> None:
    broker = '[mqtt]\nhost = "127.0.0.1"\nport = 1\nusername = "u"\npassword = "{}"\n'
    setup(tmp_path, _AGENT + broker.format("first-secret-1"))
    told = setup(tmp_path, _AGENT + broker.format("second-secret-2"))
    assert told.returncode == 1
    assert "another secret" in told.stdout
    assert not [secret for secret in ("first-secret", "second-secret") if secret in told.stdout + told.stderr]


def test_all_mistakes_in_answers_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = setup(tmp_path, '[agent]\nnam = "x"\n[web]\nlisten = "everywhere"\n' + _VIRTUAL.replace("prusa-mk3s", "prusa-mk3"))
    assert wrong.returncode == 78
    assert all(part in wrong.stderr for part in ("did you mean name", "listen", "did you mean prusa-mk3s"))
    assert str(tmp_path / "home" / "printers" / "mk3s.toml") in wrong.stderr
    assert files(tmp_path / "home") == {}


@pytest.mark.parametrize("answers", ["not = [toml", "\x00", '[setup]\ntest_prnt = "x"\n', "setup = 5", "printers = 5", "printers = [1]"])
def test_answers_that_are_none_are_wrong_usage(tmp_path: Path, answers: str) -> None:
    assert setup(tmp_path, answers).returncode == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "answers", ["[[printers]]\n", "marketplaces = [1, 2]", 'agent = "x"', "[[agent]]\n", '"a b" = { "c d" = "e\\nf" }']
)
def test_answers_of_another_shape_are_told_as_mistakes(tmp_path: Path, answers: str) -> None:
    with pytest.raises(BadConfiguration), tried_out(tmp_path, draft_of(tomllib.loads(answers))):
        pass


def test_nobody_there_and_no_answers_is_wrong_usage(tmp_path: Path) -> None:
    done = ran("agent", "setup", cwd=tmp_path)
    assert (done.returncode, "no terminal" in done.stderr) == (2, True)
    assert ran("agent", "setup", "--yes", "--answers", str(ROOT / "pyproject.toml"), cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_every_default_is_a_configuration_that_starts(tmp_path: Path) -> None:
    done = ran("agent", "setup", "--yes", "--seconds", "0", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    settings = load(tmp_path / "config.toml")
    assert settings.acceptance.mode.value == "ask"
    assert [market.kind for market in settings.marketplaces] == ["hot_folder"]


def test_for_the_service_systemd_hands_over_the_secrets_and_no_file_of_its_own_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.commands.setup.SYSTEM", tmp_path / "etc")
    answers = tmp_path / "answers.toml"
    printer = _VIRTUAL.replace("virtual", "octoprint").replace("speed = 100000", 'url = "http://127.0.0.1:1"\napi_key = "secret-key-1"')
    answers.write_text(
        _AGENT.replace('"data"', f'"{tmp_path / "state"}"') + printer + '[mqtt]\nhost = "b"\nusername = "u"\npassword = "p-1"\n'
    )
    done = CliRunner().invoke(setup_command, ["--config", str(tmp_path / "etc" / "config.toml"), "--answers", str(answers)])
    assert (done.exit_code, "systemctl restart intagly-agent" in done.output) == (0, True), done.output
    assert not (tmp_path / "state").exists()
    handed = tmp_path / "credentials"
    handed.mkdir()
    for secret in (tmp_path / "etc" / "secrets").iterdir():
        (handed / f"secret_{secret.name}").write_text(secret.read_text())  # as systemd does
    loaded = load(tmp_path / "etc" / "config.toml", environ={"CREDENTIALS_DIRECTORY": str(handed)})
    assert isinstance(loaded.printers[0], OctoPrintSettings)
    assert loaded.printers[0].api_key.reveal() == "secret-key-1"
    assert loaded.mqtt is not None
    assert loaded.mqtt.password is not None
    assert loaded.mqtt.password.reveal() == "p-1"
    again = CliRunner().invoke(setup_command, ["--config", str(tmp_path / "etc" / "config.toml"), "--answers", str(answers)])
    assert again.exit_code == 0
    assert "wrote" not in again.output


# --- a folder that cannot be written -----------------------------------------------------------------------------
def test_a_write_that_fails_half_way_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = draft_of(tomllib.loads(_AGENT + _VIRTUAL + '[mqtt]\nhost = "b"\nusername = "u"\npassword = "secret-1"\n'))
    put_in_place(tmp_path, changes(tmp_path, draft))
    before = files(tmp_path)
    other = draft_of(
        tomllib.loads(
            (_AGENT + _VIRTUAL).replace("garage", "x").replace("100000", "5") + '[mqtt]\nhost = "c"\nusername = "u"\npassword = "2"\n'
        )
    )
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "config.toml":
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Refused, match="No space left"):
        put_in_place(tmp_path, changes(tmp_path, other))
    assert files(tmp_path) == before
    assert mode(tmp_path / "secrets" / "mqtt.password") == 0o600


def test_ctrl_c_in_the_middle_of_the_renames_waits_for_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put_in_place(tmp_path, changes(tmp_path, draft_of(tomllib.loads(_AGENT + _VIRTUAL))))
    assert set(files(tmp_path)) == {"config.toml", "printers/mk3s.toml"}


def test_two_of_one_name_are_a_mistake_and_no_loss(tmp_path: Path) -> None:
    draft = draft_of(tomllib.loads(_AGENT + _VIRTUAL + _VIRTUAL))
    assert set(draft.printers) == {"mk3s", "mk3s-2"}
    with pytest.raises(BadConfiguration, match="another name than in mk3s"), tried_out(tmp_path, draft):
        pass


def test_what_is_there_counts_while_new_files_are_tried_out(tmp_path: Path) -> None:
    """A printer of before keeps its name: a second one of that name is a mistake, and a file that is named may be an old one."""
    put_in_place(tmp_path, changes(tmp_path, draft_of(tomllib.loads(_AGENT + _VIRTUAL))))
    (tmp_path / "printers" / "mk3s.toml").rename(tmp_path / "printers" / "old.toml")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mine").write_text("x1")
    draft = draft_of(tomllib.loads(_AGENT + '[mqtt]\nhost = "b"\nusername = "u"\npassword_file = "secrets/mine"\n'))
    with tried_out(tmp_path, draft) as settings:
        assert [printer.name for printer in settings.printers] == ["mk3s"]
        assert settings.mqtt is not None
        assert settings.mqtt.password is not None
    with pytest.raises(Exception, match="another name than in"), tried_out(tmp_path, draft_of(tomllib.loads(_AGENT + _VIRTUAL))):
        pass


def test_printers_are_added_to_a_configuration_that_is_there(tmp_path: Path) -> None:
    put_in_place(tmp_path, changes(tmp_path, draft_of(tomllib.loads(_AGENT + _VIRTUAL))))
    before = files(tmp_path)
    more = Draft(None)
    more.add_printer({**tomllib.loads(_VIRTUAL)["printers"][0], "name": "ender"})
    with tried_out(tmp_path, more) as settings:
        assert [printer.name for printer in settings.printers] == ["ender", "mk3s"]
    assert [path.name for path in put_in_place(tmp_path, changes(tmp_path, more))] == ["ender.toml"]
    assert {name: text for name, text in files(tmp_path).items() if name != "printers/ender.toml"} == before


# --- the files' text ---------------------------------------------------------------------------------------------
def test_what_is_written_is_what_was_meant() -> None:
    """Every option of the examples, written and read again; and what one may well want is there as a comment."""
    for name, text in EXAMPLES.items():
        values = tomllib.loads(NOT_SET.sub(r"\1", text))
        written = config_text(values) if name == CONFIG else printer_text(values)
        assert tomllib.loads(written) == values, name
    spool = tomllib.loads(_VIRTUAL)["printers"][0]
    assert "#remaining_g = 800" in printer_text(spool)
    assert "#api_key_file = " not in printer_text({"name": "x", "kind": "octoprint", "api_key_env": "KEY"})


# --- at a terminal -----------------------------------------------------------------------------------------------
class Terminal:
    """A person at a pseudo-terminal: waits for a question, and answers it."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self._fd, theirs = pty.openpty()
        environ = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, start_new_session=True, env=environ)
        os.close(theirs)
        self.seen = ""
        self._read_to = 0

    def expect(self, words: str, within_s: float = 60) -> None:
        until = time.monotonic() + within_s
        while words not in self.seen[self._read_to :]:
            assert time.monotonic() < until, f"no {words!r} in {self.seen[self._read_to :]!r}"
            assert self._more(), f"it ended before {words!r}: {self.seen[self._read_to :]!r}"
        self._read_to = self.seen.index(words, self._read_to) + len(words)

    def answer(self, question: str, given: str = "") -> None:
        self.expect(question)
        os.write(self._fd, given.encode() + b"\n")

    def ended(self) -> int:
        while self._more():
            pass
        return self.process.wait(60)

    def interrupts(self) -> int:
        """Ctrl-C, and once more where nothing came of it: readline does not see one that comes just before it begins to wait."""
        for _ in range(5):
            os.killpg(self.process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(8)
        raise AssertionError(f"it did not end: {self.seen[-500:]!r}")

    def _more(self) -> bool:
        if not select.select([self._fd], [], [], 60)[0]:
            return False
        try:
            self.seen += os.read(self._fd, 65536).decode(errors="replace")
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._fd)


@contextmanager
def at_terminal(folder: Path) -> Iterator[Terminal]:
    terminal = Terminal(sys.executable, "-m", "agent", "setup", "--seconds", "0", cwd=folder)
    try:
        yield terminal
    finally:
        terminal.close()


def _the_agent(person: Terminal, market: SandboxMarketplace) -> None:
    person.answer("What shall this agent be called", "not a name!")
    person.expect("expected a name of up to 64 letters")
    person.answer("What shall this agent be called", "garage")
    person.answer("Where shall orders")
    person.answer("Where do orders come from", "operator_api")
    person.answer("What shall it be called", "shop")
    person.answer("The address of its API", market.url)
    person.answer("The access token", "a-wrong-token")
    person.answer("That did not work", "again")
    person.answer("What shall it be called", "shop")
    person.answer("The address of its API", market.url)
    person.answer("The access token", market.token)
    person.expect("answers; 0 offers wait")
    person.answer("How are offers answered")
    person.answer("Is there to be a dashboard", "n")
    person.answer("Where are you called")


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="needs OctoPrint")
def test_a_person_sets_up_a_real_octoprint_and_a_marketplace(tmp_path: Path) -> None:
    """A wrong key is told at once and given again; what is written then is what `check` takes, and a test print begins there."""
    octoprint_folder, home = tmp_path / "octoprint", tmp_path / "home"
    octoprint_folder.mkdir()
    home.mkdir()
    with running_octoprint(octoprint_folder) as server, SandboxMarketplace() as market, at_terminal(home) as person:
        assert asyncio.run(which(server.url)) == Server("octoprint", wants_key=True)
        _the_agent(person, market)
        person.answer("Set up a printer by hand", "y")
        person.answer("What does it listen to", "octoprint")
        for key, said in (("wrong-key-0123456789", "That did not work"), (server.api_key, "idle")):
            person.answer("What shall it be called", "mk3s")
            person.answer("The address of OctoPrint", server.url)
            person.answer("An application key", key)
            person.answer("Which profile is it", "prusa-mk3s")
            person.answer("Which material is loaded")
            person.answer("Its colour, as orders")
            person.answer("Its colour as #rrggbb")
            person.answer("Grams on the spool", "800")
            person.answer("Is another spool loaded")
            if key != server.api_key:
                person.answer(said, "again")
            else:
                person.expect(said)
        person.answer("Is there another printer")
        assert list(home.glob("*.toml")) == []  # nothing before it was agreed to
        person.answer("Write ", "y")
        person.expect("wrote ")
        person.answer("Print a small hook", "y")
        person.answer("On which printer")
        person.answer("Is the bed of mk3s clear", "y")
        person.expect("mk3s prints test_print", within_s=90)
        assert person.ended() == 0, person.seen
        assert len(server.starts()) == 1
        assert server.starts()[0].startswith("test_print")
        told = ran("agent", "check", "--config", str(home / "config.toml"), "--json", cwd=ROOT)
    assert told.returncode == 0, told.stdout
    assert not [secret for secret in (market.token, server.api_key) if secret in person.seen]
    assert {path.name: mode(path) for path in (home / "secrets").iterdir()} == {"shop.token": 0o600, "mk3s.api-key": 0o600}
    assert load(home / "config.toml").acceptance.mode.value == "ask"
    assert isinstance(load(home / "config.toml").printers[0], OctoPrintSettings)


def test_ctrl_c_at_the_last_question_leaves_nothing(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as person:
        person.answer("What shall this agent be called", "garage")
        person.answer("Where shall orders")
        person.answer("Where do orders come from", "none")
        person.answer("How are offers answered")
        person.answer("Is there to be a dashboard", "n")
        person.answer("Where are you called", "ntfys://ntfy.example/my-very-secret-topic")
        person.answer("Set up a printer by hand", "n")
        person.expect("Write ")
        assert person.interrupts() == 130
    assert list(tmp_path.iterdir()) == []
