"""A real mosquitto on a free port, with a password; stopped by its own process."""

import contextlib
import getpass
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.rigs.processes import free_port

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or "mosquitto"


class Mosquitto:
    """One broker; it keeps its port over restarts. `extra`: lines of its configuration."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.username, self.password = "agent", "broker-password"
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), self.username, self.password], check=True)
        lines = [
            f"user {getpass.getuser()}",  # started as root it would become another user, who may not read this folder
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {passwords}",
            "persistence false",
            "log_dest stdout",
            extra,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        with (self._folder / "mosquitto.log").open("ab") as log:
            command = [PROGRAM, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert self._process.poll() is None, self.log()[-2000:]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)  # it has no other way to say that it is up
        raise AssertionError("mosquitto did not come up")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def add_user(self, name: str, password: str) -> None:
        """One more, or another password for one there is. It starts anew with it."""
        command = ["mosquitto_passwd", "-b", str(self._folder / "passwords"), name, password]
        subprocess.run(command, check=True, capture_output=True)
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It no longer answers; its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")


@contextlib.contextmanager
def running_mosquitto(folder: Path, extra: str = "") -> Iterator[Mosquitto]:
    broker = Mosquitto(folder, extra)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
