"""What the demo stands on: a folder with a configuration a user could have written, and the daemon as a process of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.domain.errors import Refused
from agent.sandbox.models import demo_part, write_binary_stl

_MARK = ".intagly-agent-demo"
_STOP_S = 30
_CONFIG = """\
[agent]
name = "demo"
data_dir = "data"

[[marketplaces]]
kind = "operator_api"
name = "sandbox"
url = "{url}"
token_file = "token"
poll_interval_s = 1

[acceptance]
packagings = {{ box-s = [150, 100, 80], box-m = {{ inner_mm = [250, 200, 150], padding_mm = 10, stock = 5 }} }}

[schedule]
handling_h = 1

[files]
keep_free_mb = 50
"""
_PRINTER = """\
name = "virtual-mk3s"
kind = "virtual"
speed = {speed}
profile = "prusa-mk3s"

[[materials]]
material = "PLA"
color = {{ name = "black", hex = "#1a1a1a" }}
remaining_g = 800
"""


class Scene:
    """The demo's folder. What an earlier demo left there is thrown away; a folder of anybody else's is not touched."""

    def __init__(self, folder: Path, url: str, token: str, speed: float) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.model = folder / "hook.stl"
        self.log = folder / "agent.log"
        self._url, self._token, self._speed = url, token, speed

    def set_up(self) -> None:
        if self.folder.exists() and not (self.folder / _MARK).is_file() and any(self.folder.iterdir()):
            raise Refused(f"{self.folder} is not empty and not of an earlier demo.", hint="Name another folder: demo --folder DIR.")
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "printers").mkdir(parents=True)
        (self.folder / _MARK).touch()
        self.config.write_text(_CONFIG.format(url=self._url))
        (self.folder / "printers" / "virtual-mk3s.toml").write_text(_PRINTER.format(speed=self._speed))
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(self._token)
        write_binary_stl(self.model, demo_part())

    @contextmanager
    def daemon(self) -> Iterator["Daemon"]:
        """The daemon, stopped as systemd would when it is left."""
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "agent", "run", "--config", str(self.config)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        daemon = Daemon(process, self.log)
        try:
            yield daemon
        finally:
            daemon.stop()


class Daemon:
    """The running agent."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def must_be_up(self) -> None:
        """Refused, with its last words, where it has ended."""
        code = self._process.poll()
        if code is not None:
            last = self._log.read_text(errors="replace").strip().splitlines()[-5:]
            raise Refused(f"The daemon ended with status {code}: " + " / ".join(last), hint=f"Its whole log: {self._log}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
