"""Every command that stands in the documentation does what it is written for: it is run, or its program has one way of being looked at."""

import contextlib
import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from agent.domain.errors import AgentError, ConfigError
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.docs.pages import AGENT, Command, commands
from tests.docs.scene import SECRET, Outdoors, Scene, laid
from tests.docs.spoken import EXITS, NOT_COMMANDS, named, only_named, places, prepared, spoken, typed
from tests.rigs import cups as rig
from tests.rigs.agent_process import wait_until
from tests.rigs.cups import Cups
from tests.rigs.ntfy_server import running_ntfy
from tests.rigs.nursery import Forked, forked

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]
ALL = commands()
OURS = places([command for command in ALL if command.program == AGENT and command.asked not in NOT_COMMANDS])
LIVING = {("run",), ("reload",), ("sandbox", "marketplace"), ("sandbox", "bambu"), ("sandbox", "klipper")}
"""What stays until it is told to end, or wants somebody who does: each has a test of its own below."""


def lives(asked: tuple[str, ...]) -> bool:
    return asked[:1] in LIVING or asked[:2] in LIVING


ENDING = [command for asked, (command, _) in OURS.items() if not lives(asked)]


def names(command: Command) -> str:
    return f"{command.place} {' '.join(command.asked)}"


@pytest.fixture(scope="module")
def cups() -> Iterator[Cups | None]:
    if not rig.can_run():
        yield None
        return
    cups = Cups()
    try:
        cups.start("Labels", "Zebra")
        yield cups
    finally:
        cups.remove()


@pytest.fixture(scope="module")
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture(scope="module")
def outdoors(market: SandboxMarketplace, cups: Cups | None) -> Iterator[Outdoors]:
    with running_ntfy() as ntfy:
        queues = (cups.address("Labels"), cups.address("Zebra")) if cups else ("", "")
        yield Outdoors(market.url, market.token, ntfy.stub.url.replace("http", "ntfy") + "/shop", *queues)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, outdoors: Outdoors) -> Scene:
    return laid(tmp_path_factory.mktemp("docs") / "home", outdoors)


@pytest.fixture
def scene(master: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    copy = master.copy(tmp_path / "home")
    monkeypatch.chdir(copy.folder)
    monkeypatch.delenv("INTAGLY_AGENT_CONFIG", raising=False)
    return copy


def status(done: Result) -> int:
    """As the program ends with it: what is an error to click's runner has a number there."""
    if isinstance(done.exception, AgentError):
        return 78 if isinstance(done.exception, ConfigError) else 1
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code


def said(done: Result) -> str:
    return done.output + (done.exception.told() if isinstance(done.exception, AgentError) else "")


def where(command: Command) -> str:
    return "\n".join(f"{place}: {shlex.join(command.words)}" for place in OURS[command.asked][1])


@pytest.mark.parametrize("command", ENDING, ids=names)
def test_a_command_of_the_agent(command: Command, scene: Scene, outdoors: Outdoors) -> None:
    if "--print" in command.asked and command.asked[0] == "label" and not outdoors.label_queue:
        pytest.skip("cupsd runs for root only")
    if only_named(command) or "…" in command.words:
        assert all(option in _options(command) for option in command.asked if option.startswith("-")), where(command)
        return
    prepared(command, scene)
    done = scene.called(*spoken(command, scene, outdoors), typed=typed(command))
    assert status(done) == EXITS.get(command.asked, 0), f"{where(command)}\n{said(done)}"


def _options(command: Command) -> set[str]:
    return {option for param in named(command)[0].params for option in param.opts}


# --- what stays until it is told to end -----------------------------------------------------------------------------
@contextlib.contextmanager
def begun(scene: Scene, *words: str) -> Iterator[Forked]:
    """A process of its own, standing in the scene; what it says is in `out`, what it warns of in `agent.log`."""
    (scene.folder / "out").touch()
    process = forked("agent", *words, out=scene.folder / "out", err=scene.folder / "agent.log", cwd=scene.folder)
    try:
        yield process
    finally:
        process.kill()


def first_line(scene: Scene, process: Forked) -> dict[str, Any]:
    """What a server of the sandbox says when it listens."""

    def line() -> str:
        assert process.poll() is None, (scene.folder / "agent.log").read_text()[-2000:]
        return (scene.folder / "out").read_text().partition("\n")[0]

    told: dict[str, Any] = json.loads(wait_until(line, "it says where it is"))
    return told


def ended(process: Forked) -> int:
    process.terminate()
    return process.wait(30)


def of(*begins: str) -> list[Command]:
    found = [command for asked, (command, _) in OURS.items() if asked[: len(begins)] == begins]
    assert found, begins
    return found


def curled(command: Command, replaced: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """With `--fail`, so that an answer that is an error is one here too."""
    words = list(command.words)
    for old, new in replaced.items():
        words = [word.replace(old, new) for word in words]
    return subprocess.run([*words, "--fail", "--show-error"], capture_output=True, text=True, timeout=30, check=False)


def curls(page: str) -> list[Command]:
    found = [command for command in ALL if command.program == "curl" and command.place.page == page]
    assert found, page
    return found


@pytest.mark.parametrize("command", [command for command in of("run") if not command.inline], ids=names)
def test_the_daemon_runs_reloads_answers_scripts_and_stops(command: Command, scene: Scene, outdoors: Outdoors) -> None:
    log = scene.folder / "agent.log"
    with begun(scene, *spoken(command, scene, outdoors)) as agent:
        wait_until(lambda: '"ready"' in log.read_text() and '"page"' in log.read_text(), f"ready: {where(command)}")
        for curl in curls("docs/web.md"):
            answered = curled(curl, {"127.0.0.1:8410": scene.settings().web.listen, "Bearer …": f"Bearer {SECRET}"})
            assert answered.returncode == 0 and json.loads(answered.stdout), f"{curl}\n{answered.stderr}"
        for reload in of("reload"):
            done = scene.called(*spoken(reload, scene, outdoors))
            assert status(done) == 0, f"{where(reload)}\n{said(done)}"
        assert ended(agent) == 0, log.read_text()[-2000:]


@pytest.mark.parametrize("command", of("sandbox", "marketplace"), ids=names)
def test_the_sandbox_marketplace_is_told_what_happens(command: Command, scene: Scene, outdoors: Outdoors) -> None:
    with begun(scene, *spoken(command, scene, outdoors)) as marketplace:
        told = first_line(scene, marketplace)
        assert told["token"] == "secret"
        replaced = {"$control": told["control"], "/home/me/hook.stl": str(scene.folder / "part.stl")}
        for curl in curls("docs/sandbox.md"):
            if any("/ID/" in word for word in curl.words):
                replaced["/ID/"] = f"/{accepted(told)}/"
            done = curled(curl, replaced)
            assert done.returncode == 0, f"{curl}\n{done.stdout}{done.stderr}"
        assert ended(marketplace) == 0


def accepted(told: dict[str, Any]) -> str:
    """The order that the offer became, the first that is open there."""
    headers = {"Authorization": f"Bearer {told['token']}"}
    with httpx.Client(base_url=told["url"], headers=headers) as http:
        (offer,) = http.get("/offers").json()["offers"]
        taken = http.post(f"/offers/{offer['offer_id']}/accept", headers={"Idempotency-Key": "a-key-of-the-documentation"})
        assert taken.is_success, taken.text
        return str(taken.json()["order_id"])


@pytest.mark.parametrize("command", of("sandbox", "bambu"), ids=names)
def test_the_sandbox_bambu_printer_takes_what_is_printed_to_its_control_port(command: Command, scene: Scene, outdoors: Outdoors) -> None:
    (line,) = [one.words[2] for one in ALL if one.program == "printf" and one.words[1] == "%s\\n"]
    with begun(scene, *spoken(command, scene, outdoors)) as printer:
        told = first_line(scene, printer)
        with socket.create_connection((told["host"], told["control_port"]), 10) as control, control.makefile("rb") as answers:
            control.sendall(line.encode() + b"\n")
            answer = json.loads(answers.readline())
            assert answer["ok"] or "not in a state for that" in answer["error"], f"{line} {answer}"  # it is understood, and nothing prints
        assert ended(printer) == 0


@pytest.mark.parametrize("command", of("sandbox", "klipper"), ids=names)
def test_the_sandbox_klipper_machine_takes_these_options(command: Command) -> None:
    """It is run by tests/sandbox/test_klipper_command.py, with the documentation's file of a printer."""
    found, rest = named(command)
    found.make_context("klipper", list(rest))
