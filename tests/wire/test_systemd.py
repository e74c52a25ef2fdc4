"""What the service manager hears, on a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.wire import systemd


class Manager:
    """systemd's end of $NOTIFY_SOCKET. `name` begins with @ for the abstract namespace."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.environ = {"NOTIFY_SOCKET": name}

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(str(tmp_path / "notify") if request.param == "path" else f"@intagly-test-{os.getpid()}")
    yield listening
    listening.socket.close()


def test_ready_status_alive_stopping(manager: Manager) -> None:
    assert systemd.ready("1 printers, 1 marketplaces", manager.environ)
    assert manager.heard() == "READY=1\nSTATUS=1 printers, 1 marketplaces"
    assert systemd.status("printing", manager.environ)
    assert manager.heard() == "STATUS=printing"
    assert systemd.alive(manager.environ)
    assert manager.heard() == "WATCHDOG=1"
    assert systemd.stopping(manager.environ)
    assert manager.heard() == "STOPPING=1"


@settings(deadline=None)
@given(text=st.text())
def test_a_status_is_one_line_and_never_another_assignment(text: str) -> None:
    name = f"@intagly-property-{os.getpid()}"
    listening = Manager(name)
    try:
        assert systemd.status(text, listening.environ)
        heard = listening.heard()
    finally:
        listening.socket.close()
    assert heard.startswith("STATUS=")
    assert heard.splitlines() == [heard]


def test_half_a_surrogate_pair_is_sent_as_something_else(manager: Manager) -> None:
    assert systemd.status("caf\udce9.stl", manager.environ)
    assert manager.heard() == "STATUS=caf?.stl"


def test_the_environment_of_the_process_is_used(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environ["NOTIFY_SOCKET"])
    assert systemd.alive()
    assert manager.heard() == "WATCHDOG=1"


def test_nobody_listens_without_the_variable() -> None:
    with capture_logs() as logs:
        assert not systemd.ready("x", {})
        assert not systemd.alive({"NOTIFY_SOCKET": ""})
    assert logs == []


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens-here", "x" * 200, "/dev/null"])
def test_a_socket_that_is_gone_stops_nothing(address: str) -> None:
    with capture_logs() as logs:
        assert not systemd.alive({"NOTIFY_SOCKET": address})
    assert [line["event"] for line in logs] == ["sd_notify_failed"]


def test_a_manager_that_does_not_read_holds_up_nothing(manager: Manager) -> None:
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    begun = time.monotonic()
    with capture_logs():
        assert not all(systemd.status("x" * 200, manager.environ) for _ in range(5000))
    assert time.monotonic() - begun < 5


def test_no_socket_is_left_open(manager: Manager) -> None:
    systemd.alive(manager.environ)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        systemd.alive(manager.environ)
        manager.heard()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "1000000"}, 0.5),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(environ: dict[str, str], interval_s: float | None) -> None:
    assert systemd.watchdog_interval_s(environ) == interval_s
