"""A real OctoPrint with its virtual printer, on a free port, stopped by its own process."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import yaml

from tests.rigs.processes import free_port, guard

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venvs" / "octoprint" / "bin" / "octoprint"
API_KEY = "tests-only-key-0123456789abcdefghijklmnopqr"
_STARTED = re.compile(r"Print job started - origin: local, path: (\S+?),")
_DISABLED = [
    "announcements", "softwareupdate", "tracking", "discovery", "backup", "pi_support", "errortracking", "health_check", "firmware_check",
    "file_check", "achievements", "classicwebcam", "gcodeviewer", "pluginmanager", "eventmanager", "customcontrolmanager", "uploadmanager",
    "action_command_notification", "action_command_prompt",
]  # fmt: skip


def _config(port: int) -> dict[str, Any]:
    """No wizard, no calls home, no waiting for heat."""
    return {
        "accessControl": {"salt": "0123456789abcdef0123456789abcdef", "autologinLocal": False},
        "devel": {
            "cache": {"enabled": False, "preemptive": False},
            "webassets": {"bundle": False, "clean_on_startup": False, "minify": False},
            "enableRateLimiter": False,
        },
        "plugins": {
            "_disabled": _DISABLED,
            "virtual_printer": {"_config_version": 1, "enabled": True, "sendWait": False, "simulateReset": False, "simulated_errors": []},
        },
        "serial": {
            "port": "VIRTUAL",
            "baudrate": 115200,
            "autoconnect": True,
            "blockedCommands": ["M0", "M1", "M109", "M190"],
            "timeout": {
                "detectionFirst": 2.0,
                "connection": 3.0,
                "communication": 5.0,
                "temperature": 1.0,
                "temperatureTargetSet": 1.0,
                "temperatureAutoreport": 1.0,
            },
            "logPositionOnPause": False,  # with the virtual printer it waits for a whole communication time-out
        },
        "server": {
            "host": "127.0.0.1",
            "port": port,
            "firstRun": False,
            "onlineCheck": {"enabled": False},
            "pluginBlacklist": {"enabled": False},
            "seenWizards": {"corewizard": 4, "tracking": None, "backup": None, "softwareupdate": 1, "classicwebcam": 1},
            "startOnceInSafeMode": False,
        },
        "feature": {"modelSizeDetection": False},
        "gcodeAnalysis": {"runAt": "never"},
        "webcam": {"timelapseEnabled": False, "ffmpeg": None},
    }


_USERS = {
    "_version": 2,
    "admin": {
        "active": True,
        "apikey": API_KEY,
        "groups": ["admins"],
        "password": "",
        "permissions": [],
        "roles": ["user", "admin"],
        "settings": {},
    },
}


class OctoPrintServer:
    """One OctoPrint with a folder of its own; it keeps its port over restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = API_KEY
        self.uploads = folder / "uploads"

    def prepare(self, least_print_s: float = 0.0) -> None:
        (self._folder / "scripts" / "gcode").mkdir(parents=True, exist_ok=True)
        (self._folder / "config.yaml").write_text(yaml.safe_dump(_config(self.port)))
        (self._folder / "users.yaml").write_text(yaml.safe_dump(_USERS))
        # The virtual printer moves at a tenth of real time; this makes moves cost nothing.
        script = f"M220 S1000000\nM221 S1000000\nG4 P{least_print_s * 1000:.0f}\n"
        (self._folder / "scripts" / "gcode" / "beforePrintStarted").write_text(script)

    def start(self) -> None:
        command = [str(PROGRAM), "-b", str(self._folder), "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        if os.geteuid() == 0:
            command.append("--iknowwhatimdoing")
        with (self._folder / "stdout.txt").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)
        self._guard = guard(self._process.pid)
        self._wait_until(lambda: self.api("GET", "connection")["current"]["state"] == "Operational", "ready")

    def stop(self) -> None:
        """As when the power goes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=20)
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """OctoPrint's own API, as its page uses it: this is how a test is the person at the printer."""
        answer = requests.request(method, f"{self.url}/api/{path}", headers={"X-Api-Key": API_KEY}, timeout=10, **kwargs)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def command(self, *lines: str) -> None:
        """Send lines to the virtual printer; `!!DEBUG:…` are its faults."""
        self.api("POST", "printer/command", json={"commands": list(lines)})

    def state(self) -> str:
        return str(self.api("GET", "job")["state"])

    def wait_for(self, *states: str, within_s: float = 30) -> None:
        self._wait_until(lambda: self.state() in states, " or ".join(states), within_s)

    def connect(self) -> None:
        """A person presses Connect."""
        self.api("POST", "connection", json={"command": "connect"})
        self.wait_for("Operational")

    def disconnect(self) -> None:
        """A person presses Disconnect, whatever the printer does."""
        self.api("POST", "connection", json={"command": "disconnect"})
        self.wait_for("Offline")

    def reset(self) -> None:
        """A printer that was just connected: no job, nothing selected, no fault left. Files and their history stay."""
        if not self.state().startswith("Offline"):
            self.disconnect()
        self.connect()

    def starts(self) -> list[str]:
        """Every print that began, by OctoPrint's own log over all its runs: the truth a test counts."""
        self._log_is_written()
        return self.logged_starts()

    def logged_starts(self) -> list[str]:
        """Those that its log has already. OctoPrint writes the log in a thread of its own, a moment after it answered."""
        logs = sorted((self._folder / "logs").glob("octoprint.log*"), key=lambda log: log.stat().st_mtime)
        return [name for log in logs for name in _STARTED.findall(log.read_text(errors="replace"))]

    def _log_is_written(self) -> None:
        """What was logged until now is in the file: one thread writes it in order, and it has written of a page that was never there."""
        if self._process is not None:
            mark = f"/log-is-written-{uuid4().hex}"
            assert requests.get(self.url + mark, timeout=10).status_code == requests.codes.not_found
            log = self._folder / "logs" / "octoprint.log"
            self._wait_until(lambda: mark in log.read_text(errors="replace"), "done with its log")

    def _wait_until(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
        """Polls: OctoPrint has no other way to say it is up."""
        until = time.monotonic() + within_s
        last: object = None
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"OctoPrint ended: {(self._folder / 'stdout.txt').read_text(errors='replace')[-2000:]}")
            try:
                if condition():
                    return
            except requests.RequestException as error:
                last = error
            time.sleep(0.05)
        raise AssertionError(f"OctoPrint was not {what} within {within_s} s ({last})")


@contextlib.contextmanager
def running_octoprint(folder: Path, *, least_print_s: float = 0.0) -> Iterator[OctoPrintServer]:
    """`least_print_s`: each print waits that long before its first move, however small it is."""
    server = OctoPrintServer(folder)
    server.prepare(least_print_s)
    try:
        server.start()
        yield server
    finally:
        server.stop()
