"""The unit, judged by systemd's own tools. They are there wherever the tests run: scripts/install.sh --dev brings them."""

import re
import subprocess
from pathlib import Path

import pytest

from agent.daemon import DRAIN_S, REST_S

UNIT = Path(__file__).parents[2] / "systemd" / "intagly-agent.service"
_MOST = 20
"""Tenths: an exposure level of 2.0."""


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60)


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    return analyzed("security", "--offline=true", f"--threshold={_MOST}", str(unit))


def startable(folder: Path, text: str) -> Path:
    """A copy that starts a program that is there."""
    copy = folder / UNIT.name
    copy.write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/usr/bin/true", text))
    return copy


def test_it_is_exposed_as_little_as_promised() -> None:
    done = exposure(UNIT)
    assert done.returncode == 0, done.stdout[-500:]


def test_the_gate_closes(tmp_path: Path) -> None:
    opened = startable(tmp_path, UNIT.read_text().replace("CapabilityBoundingSet=\n", "").replace("ProtectSystem=strict\n", ""))
    assert exposure(opened).returncode != 0


def test_systemd_has_nothing_to_say_about_it(tmp_path: Path) -> None:
    done = analyzed("verify", "--recursive-errors=no", str(startable(tmp_path, UNIT.read_text())))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "RestartPreventExitStatus=78",
        "Restart=on-failure",
        "KillMode=mixed",
        "StateDirectory=intagly-agent",
        "LoadCredential=secret:%E/intagly-agent/secrets",
    ],
)
def test_it_says_what_the_daemon_and_the_documents_count_on(line: str) -> None:
    assert line in UNIT.read_text().splitlines()


def test_it_waits_longer_for_the_end_than_the_daemon_drains() -> None:
    found = re.search(r"(?m)^TimeoutStopSec=(\d+)$", UNIT.read_text())
    assert found is not None
    assert int(found[1]) > DRAIN_S + REST_S
