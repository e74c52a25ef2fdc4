"""SIGHUP to a real daemon: printers come and go and change while it works, and a file with mistakes changes nothing."""

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.question import Step
from agent.sandbox.models import binary_stl, box
from tests.dashboards.scene import reading
from tests.rigs.agent_process import ROOT, AgentHome, AgentProcess, Desk, wait_until
from tests.rigs.mosquitto import running_mosquitto
from tests.rigs.nursery import forked, ran
from tests.rigs.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    made = AgentHome(tmp_path / "home")
    made.add('[[marketplaces]]\nkind = "hot_folder"\nname = "walk-in"\npath = "inbox"\nstill_s = 0.2\n')
    (made.folder / "inbox").mkdir()
    return made


def drop(home: AgentHome, name: str, *, side: float = 10) -> None:
    """A black part of its own size: what was sliced before is not sliced again."""
    (home.folder / "inbox" / f"{name}.stl").write_bytes(binary_stl(box(side, 12, 2)))


def reload(home: AgentHome, agent: AgentProcess, *, event: str = "reloaded") -> dict[str, object]:
    """What the daemon said of it."""
    before = len(home.logged(event))
    agent.process.send_signal(signal.SIGHUP)
    return wait_until(lambda: home.logged(event)[before:], event, 30)[-1]  # type: ignore[no-any-return]


def ready(home: AgentHome) -> None:
    wait_until(lambda: home.logged("ready"), "ready")


def closed(desk: Desk, count: int) -> bool:
    desk.person.act()
    return desk.states().count(State.CLOSED) == count


def starts(home: AgentHome, printer: str) -> int:
    return (home.folder / "data" / "virtual" / printer / "journal.jsonl").read_text().count('"started"')


def shown_printers(home: AgentHome) -> list[str]:
    told = ran("agent", "printers", "--json", "--config", str(home.config), cwd=ROOT)
    return [printer["name"] for printer in json.loads(told.stdout)["printers"]]


def test_printers_come_change_and_go_and_mistakes_change_nothing(home: AgentHome) -> None:
    with home.running() as agent, home.desk() as desk:
        ready(home)
        home.add_virtual("mk3s")
        assert reload(home, agent)["added"] == ["mk3s"]
        drop(home, "first")
        wait_until(lambda: closed(desk, 1), "an order prints on a printer that was not there at the start", 60)

        text = home.config.read_text()
        home.config.write_text(text + '\n[acceptance]\nmode = "sometimes"\nmin_payout = "lots"\n')
        (home.folder / "printers" / "new.toml").write_text('name = "new"\nkind = "virtual"\nprofile = "no-such"\n')
        refused = reload(home, agent, event="configuration_refused")
        told = "\n".join(str(mistake) for mistake in refused["mistakes"])  # type: ignore[attr-defined]
        assert all(part in told for part in ("mode", "min_payout", "new.toml", "no-such")), told
        reload(home, agent, event="configuration_refused")
        notices = [line for line in home.logged("notice") if line["about"] == "configuration_refused"]
        assert len(notices) == 1, "people are called once for the same mistakes"
        assert "min_payout" in notices[0]["text"]
        drop(home, "second")
        wait_until(lambda: closed(desk, 2), "by what was in force before, orders go on", 60)

        home.config.write_text(text)
        (home.folder / "printers" / "new.toml").unlink()
        home.recolor("mk3s", "red", "#c01010")
        assert reload(home, agent)["changed"] == ["mk3s"]
        drop(home, "third")
        wait_until(lambda: State.DECLINED in desk.states(), "black is not loaded any more", 30)

        for _ in range(20):
            agent.process.send_signal(signal.SIGHUP)
        home.add_virtual("other")
        reload(home, agent)
        wait_until(lambda: "other" in home.logged("reloaded")[-1]["printers"], "the last of many is heard as well", 30)
        (home.folder / "printers" / "mk3s.toml").unlink()
        assert reload(home, agent)["removed"] == ["mk3s"]
        assert shown_printers(home) == ["other"]
        drop(home, "fourth")
        wait_until(lambda: closed(desk, 3), "printed where black is loaded", 60)
        assert (starts(home, "mk3s"), starts(home, "other")) == (2, 1)
        assert agent.alive()
        assert agent.stop() == 0
    assert home.logged("task_failed") == []
    assert home.logged("bug") == []


def test_a_print_goes_on_over_reloads_over_a_stop_and_after_its_printer_was_removed(home: AgentHome) -> None:
    home.add_virtual("mk3s", speed=8)
    drop(home, "part")
    with home.desk() as desk:

        def printing() -> bool:
            desk.person.act({Step.BED})
            return [job.state for job in desk.ledger.active_jobs()] == [JobState.PRINTING]

        with home.running() as agent:
            wait_until(printing, "it prints", 60)
            for _ in range(5):
                agent.process.send_signal(signal.SIGHUP)
            reload(home, agent)
            assert agent.stop() == 0, "SIGTERM lets go of the print"
        assert [job.state for job in desk.ledger.active_jobs()] == [JobState.PRINTING]
        with home.running() as agent:
            wait_until(lambda: len(home.logged("ready")) == 2, "picked up")
            (home.folder / "printers" / "mk3s.toml").rename(home.folder / "mk3s.toml")
            assert reload(home, agent)["leaving"] == ["mk3s"]
            drop(home, "late", side=14)
            wait_until(lambda: State.DECLINED in desk.states(), "nothing new is planned for it", 30)
            wait_until(lambda: "photos" in desk.states() or (desk.person.act({Step.BED}), False)[1], "the print ends as any other", 120)
            wait_until(lambda: home.logged("reloaded")[-1]["removed"] == ["mk3s"], "then it is let go", 30)
            wait_until(lambda: closed(desk, 1), "delivered", 30)
    assert starts(home, "mk3s") == 1


def page_answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=10) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def test_a_removed_printer_leaves_the_dashboard_and_the_page_is_served_on(home: AgentHome, tmp_path: Path) -> None:
    page = free_port()
    home.config.write_text(home.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{page}"'))
    home._text = home.config.read_text()
    home.add_virtual("mk3s")
    home.add_virtual("other")
    topic = "homeassistant/device/intagly_test/printer-mk3s/config"
    with running_mosquitto(tmp_path) as broker:
        home._secret("mqtt", broker.password)
        home.add(f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nusername = "{broker.username}"\npassword_file = "secrets/mqtt"\n')
        with home.running() as agent, reading(broker) as reader:
            wait_until(lambda: reader.latest.get(topic), "it is announced")
            wait_until(lambda: page_answers(page), "the page is served")
            (home.folder / "printers" / "mk3s.toml").unlink()
            reload(home, agent)
            wait_until(lambda: reader.latest.get(topic) == b"", "it is taken back", 30)
            wait_until(lambda: reader.latest.get("intagly/test/printer/mk3s/state") == b"", "with all that was kept of it", 10)
            wait_until(lambda: reader.latest.get("intagly/test/availability") == b"online", "the rest is there", 10)
            assert reader.latest[topic.replace("mk3s", "other")] != b""
            wait_until(lambda: page_answers(page), "so is the page", 10)
    assert home.logged("page_not_served") == []


class Manager:
    """systemd's end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(30)
        self.heard: list[str] = []

    def wait_for(self, pattern: str) -> str:
        """The next message that matches."""
        while True:
            message = self._socket.recv(65536).decode()
            self.heard.append(message)
            if re.search(pattern, message):
                return message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    path = Path(f"/tmp/intagly-notify-{os.getpid()}")  # a socket's path has room for a hundred bytes
    path.unlink(missing_ok=True)
    listening = Manager(path)
    yield listening
    listening.close()
    path.unlink()


def test_systemd_hears_of_every_step(home: AgentHome, manager: Manager) -> None:
    home.add_virtual("mk3s")
    environ = {"NOTIFY_SOCKET": f"/tmp/intagly-notify-{os.getpid()}", "WATCHDOG_USEC": "400000"}
    process = forked("agent", "run", "--config", str(home.config), out=home.log, cwd=ROOT, environ=environ)
    try:
        assert manager.wait_for("READY=1") == "READY=1\nSTATUS=1 printers, 1 marketplaces"
        manager.wait_for("WATCHDOG=1")
        home.add_virtual("other")
        process.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.wait_for("RELOADING"))
        assert manager.wait_for("READY=1").endswith("STATUS=2 printers, 1 marketplaces")
        home.config.write_text(home.config.read_text().replace('data_dir = "data"', 'data_dir = "elsewhere"'))
        process.send_signal(signal.SIGHUP)
        assert "needs a restart: [agent] data_dir" in manager.wait_for("READY=1")
        (home.folder / "printers" / "other.toml").write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        told = manager.wait_for("READY=1")
        assert "2 printers" in told
        assert "other.toml: the file: expected TOML" in told
        manager.wait_for("WATCHDOG=1")
        process.terminate()
        manager.wait_for("STOPPING=1")
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_mistakes_at_the_start_end_with_the_status_that_is_not_started_again(home: AgentHome) -> None:
    (home.folder / "printers" / "a.toml").write_text("nonsense")
    assert ran("agent", "run", "--config", str(home.config), cwd=ROOT).returncode == 78
    assert "RestartPreventExitStatus=78" in (ROOT / "systemd" / "intagly-agent.service").read_text()
