"""The real daemon as a process of its own, over a configuration as a user writes it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.config.load import load
from agent.config.model import Settings
from agent.ledger.sql_ledger import SqlLedger
from agent.sandbox.person import Person
from agent.wiring import file_store, ledger_url
from tests.rigs.bambu_server import BambuServer
from tests.rigs.klipper_server import KlipperServer
from tests.rigs.nursery import Forked, forked

ROOT = Path(__file__).parents[2]
_BLACK = '[[materials]]\nmaterial = "PLA"\ncolor = { name = "black", hex = "#1a1a1a" }\n'


class AgentHome:
    """A folder with config.toml, printers/ and secrets/, and the daemons that lived in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.log = folder / "agent.log"
        (folder / "printers").mkdir(parents=True)
        (folder / "secrets").mkdir()
        self._text = '[agent]\nname = "test"\ndata_dir = "data"\n\n[files]\nkeep_free_mb = 10\n\n[web]\nlisten = ""\n'
        self.config.write_text(self._text)

    def add(self, text: str) -> None:
        """More of config.toml."""
        self._text += "\n" + text
        self.config.write_text(self._text)

    def add_marketplace(self, url: str, token: str, poll_interval_s: float = 1.0) -> None:
        self._secret("token", token)
        self.add(
            f'[[marketplaces]]\nkind = "operator_api"\nname = "sandbox"\nurl = "{url}"\n'
            f'token_file = "secrets/token"\npoll_interval_s = {poll_interval_s}\n'
        )

    def add_octoprint(self, name: str, url: str, api_key: str, profile: str = "prusa-mk3s") -> None:
        self._secret(f"{name}.key", api_key)
        self._printer(name, f'kind = "octoprint"\nurl = "{url}"\napi_key_file = "../secrets/{name}.key"\nprofile = "{profile}"\n')

    def add_moonraker(self, name: str, server: KlipperServer, profile: str = "voron-v0") -> None:
        self._secret(f"{name}.mqtt", server.broker_password)
        self._secret(f"{name}.key", server.api_key or "none is asked for")
        self._printer(
            name,
            f'kind = "moonraker"\nurl = "{server.url}"\ninstance_name = "{server.instance}"\napi_key_file = "../secrets/{name}.key"\n'
            f'mqtt_host = "{server.broker_host}"\nmqtt_port = {server.broker_port}\nmqtt_username = "{server.broker_user}"\n'
            f'mqtt_password_file = "../secrets/{name}.mqtt"\nprofile = "{profile}"\n',
        )

    def add_bambu(self, name: str, server: BambuServer, profile: str = "bambu-p1s") -> None:
        self._secret(f"{name}.code", server.access_code)
        self._printer(
            name,
            f'kind = "bambu"\nhost = "{server.host}"\nserial = "{server.serial}"\naccess_code_file = "../secrets/{name}.code"\n'
            f'ca_file = "{server.ca_file}"\nmodel = "P1S"\nmqtt_port = {server.mqtt_port}\nftps_port = {server.ftps_port}\n'
            f'camera_port = {server.camera_port}\nprofile = "{profile}"\n',
        )

    def recolor(self, name: str, color: str, hex: str) -> None:
        """Another spool on that printer."""
        path = self.folder / "printers" / f"{name}.toml"
        path.write_text(path.read_text().replace('name = "black", hex = "#1a1a1a"', f'name = "{color}", hex = "{hex}"'))

    def give_camera(self, name: str, snapshot_url: str) -> None:
        path = self.folder / "printers" / f"{name}.toml"
        path.write_text(f'snapshot_url = "{snapshot_url}"\n' + path.read_text())

    def add_virtual(self, name: str, speed: float = 100_000, profile: str = "prusa-mk3s") -> None:
        self._printer(name, f'kind = "virtual"\nspeed = {speed}\nprofile = "{profile}"\n')

    def add_broker(self, port: int, username: str, password: str) -> None:
        """A dashboard over MQTT."""
        self._secret("broker", password)
        self.add(f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nusername = "{username}"\npassword_file = "secrets/broker"\n')

    def _printer(self, name: str, text: str) -> None:
        (self.folder / "printers" / f"{name}.toml").write_text(f'name = "{name}"\nbed_cool_c = 0\n{text}{_BLACK}')

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(text)

    def settings(self) -> Settings:
        return load(self.config)

    @contextmanager
    def desk(self) -> Iterator["Desk"]:
        """The ledger as the commands see it, and a person who answers."""
        with SqlLedger(ledger_url(self.settings())) as ledger:
            yield Desk(ledger, Person(ledger, file_store(self.settings()), self.folder))

    @contextmanager
    def running(self, *arguments: str, fresh: bool = False) -> Iterator["AgentProcess"]:
        agent = self.start(*arguments, fresh=fresh)
        try:
            yield agent
        finally:
            agent.stop()

    def start(self, *arguments: str, module: str = "agent", fresh: bool = False) -> "AgentProcess":
        """`fresh`: an interpreter of its own that imports all it needs, as a user's does; else it is forked off one that has done so."""
        told = ("run", "--config", str(self.config), *arguments)
        if not fresh:
            return AgentProcess(forked(module, *told, out=self.log, cwd=ROOT), self)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", module, *told]
            return AgentProcess(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT), self)

    def log_lines(self) -> list[dict[str, Any]]:
        """What the daemons logged, as JSON; lines that are not (a warning of the interpreter) are left out."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line["event"] == event]


class AgentProcess:
    """One life of the daemon."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, home: AgentHome) -> None:
        self.process = process
        self._home = home

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """As systemd does. The exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def wait(self, within_s: float = 30) -> int:
        return self.process.wait(within_s)


class Desk:
    """Where a test stands: beside the daemon, over the same ledger."""

    def __init__(self, ledger: SqlLedger, person: Person) -> None:
        self.ledger = ledger
        self.person = person

    def states(self) -> list[str]:
        return [order.state.value for order in self.ledger.orders()]

    def kinds(self, order_id: str) -> list[str]:
        return [event.kind for event in self.ledger.events(order_id)]


def wait_until(condition: Callable[[], Any], what: str, within_s: float = 60) -> Any:
    """Poll another process's world until it is so; what the condition gave. AssertionError when the time is up.

    A question that costs something is asked less often: it would take the time of those it asks about.
    """
    until = time.monotonic() + within_s
    while (asked := time.monotonic()) < until:
        if found := condition():
            return found
        time.sleep(min(0.2, max(0.02, 5 * (time.monotonic() - asked))))
    raise AssertionError(f"not within {within_s:.0f} s: {what}")
