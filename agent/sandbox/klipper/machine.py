"""A Klipper machine: real Moonraker, real Klippy, a real broker, and the simulated controller, each a process that can go alone."""

import contextlib
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from agent.domain.errors import Refused
from agent.sandbox.klipper import files
from agent.sandbox.klipper.part import Part
from agent.sandbox.klipper.settings import HOST, Settings
from agent.sandbox.mosquitto import program, write_passwords

MQTT_USER = "agent"
_MOONRAKER_USER = "moonraker"
# The nozzle is at 215 °C in three seconds; the bed goes from 60 to 30 °C in five. Quicker, and Klippy's control swings so far that
# its own check takes it for a broken heater.
_HEAT = ("--heater", str(files.NOZZLE_HEATER), "80", "0.06", "--heater", str(files.BED_HEATER), "60", "0.4")
LINK_UP = "MQTT Client Connected"
# The last of what Moonraker does after it says "ready". A print that starts before this is missed: by its history for ever, and its
# state by MQTT until it changes again (seen).
KLIPPY_UP = "Configuring available sensors"
_LOOK_S = 0.05
_ANSWER_S = 60.0


class SandboxMachine:
    """One machine with a folder of its own. Its ports, names and passwords stay over restarts of its parts; its files over its own.

    `settings` as settings.usable makes them: the folder absolute, the ports chosen. What it cannot do is Refused.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = folder = settings.folder
        self._broker_files = folder / "broker"
        self.broker = Part("broker", [program("mosquitto"), "-c", str(self._broker_files / "mosquitto.conf")], folder)
        self._short = Path(tempfile.mkdtemp(prefix="klipper-"))  # names of unix sockets have 107 bytes
        self.serial = Path(f"/tmp/klipper_host_{self._short.name.rpartition('-')[2]}")
        self.faults = self._short / "faults"
        self.gcodes, self.logs, self._config = (folder / "pd" / name for name in ("gcodes", "logs", "config"))
        self.record = self.logs / "klippy.log"
        self.broker_host, self.broker_port, self.broker_user = HOST, settings.mqtt_port, MQTT_USER
        self.instance, self.port, self.url = settings.instance_name, settings.port, f"http://{HOST}:{settings.port}"
        self.api_key = ""
        """For a Moonraker that asks for one."""
        self.password_file = folder / "mqtt-password"
        self._klippy_socket = self._short / "klippy.sock"
        klippy = [str(settings.klippy), str(self._config / "printer.cfg"), "-I", str(self._short / "tty"), "-l", str(self.record)]
        mcu = [sys.executable, "-m", "agent.sandbox.klipper.mcu", str(self.serial), str(self.faults), *_HEAT]
        self.moonraker = Part(
            "moonraker", [str(settings.moonraker), "-d", str(folder / "pd"), "-u", str(self._short / "moonraker.sock")], folder
        )
        self.klippy = Part("klippy", [*klippy, "-a", str(self._klippy_socket)], folder)
        self.mcu = Part("mcu", mcu, folder, leftovers=(self._short, self.serial))
        self.parts = (self.broker, self.mcu, self.klippy, self.moonraker)

    @property
    def broker_password(self) -> str:
        """The agent's at the broker."""
        return self.password_file.read_text()

    def prepare(self) -> None:
        """Everything that is read at the start, anew; only the agent's password is kept."""
        settings, own = self._settings, secrets.token_hex(16)
        for folder in (self._config, self.gcodes, self.logs, self._broker_files):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_hex(16))
        write_passwords(self._broker_files / "passwords", {MQTT_USER: self.broker_password, _MOONRAKER_USER: own})
        (self._broker_files / "mosquitto.conf").write_text(
            files.mosquitto_conf(self._broker_files / "passwords", settings.mqtt_port, settings.broker_extra)
        )
        (self._config / "printer.cfg").write_text(files.printer_cfg(settings, serial=self.serial, gcodes=self.gcodes))
        conf = self._config / "moonraker.conf"
        conf.touch(mode=0o600)
        conf.write_text(files.moonraker_conf(settings, klippy_socket=self._klippy_socket, mqtt_user=_MOONRAKER_USER, mqtt_password=own))

    # Its parts.

    def start(self) -> None:
        """All parts at once; ready for a print, over HTTP and over MQTT."""
        with self._comes(LINK_UP), self._comes(KLIPPY_UP):
            for part in self.parts:
                part.start()
            self._wait_until(self._lets_us_in, "open")
            self.wait_klippy("ready", "error")
            if self.klippy_state() != "ready":
                raise Refused(f"Klippy does not start: {self.api('GET', 'printer/info')['state_message']}", hint=f"Its log: {self.record}")
        if failed := self.server_info()["failed_components"]:
            raise Refused(f"Moonraker started without {', '.join(failed)}.", hint=f"Its log: {self.logs / 'moonraker.log'}")

    def _lets_us_in(self) -> bool:
        return bool(self.server_info())

    def stop(self) -> None:
        for part in self.parts:
            part.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._short)
        self.serial.unlink(missing_ok=True)

    # How it stands.

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """The result. HTTPError where Moonraker says no; a G-code call answers when the G-code is done."""
        headers = {"X-Api-Key": self.api_key} if self.api_key else {}
        answer = requests.request(method, f"{self.url}/{path}", headers=headers, timeout=_ANSWER_S, **kwargs)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code}: {answer.text[:2000]}", response=answer)
        told = answer.json()
        return told.get("result", told)

    def server_info(self) -> dict[str, Any]:
        return dict(self.api("GET", "server/info"))

    def klippy_state(self) -> str:
        return str(self.server_info()["klippy_state"])

    def wait_klippy(self, *states: str, within_s: float = 60) -> None:
        self._wait_until(lambda: self.klippy_state() in states, " or ".join(states), within_s)

    def logged(self, name: str) -> str:
        """All of it, also what was rotated away."""
        logs = sorted(self.logs.glob(f"{name}*"), key=lambda log: log.stat().st_mtime)
        return "".join(log.read_text(errors="replace") for log in logs)

    @contextlib.contextmanager
    def _comes(self, words: str) -> Iterator[None]:
        """Waits at its end until Moonraker has logged these words once more than before."""
        before = self.logged("moonraker.log").count(words)
        yield
        self._wait_until(lambda: self.logged("moonraker.log").count(words) > before, words)

    def _wait_until(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
        """Polls: none of the parts says it all."""
        until = time.monotonic() + within_s
        while not self._holds(condition):
            if time.monotonic() > until:
                raise Refused(f"Not within {within_s:.0f} s: the Klipper machine is {what}.", hint=f"Its logs: {self.logs}")
            time.sleep(_LOOK_S)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        for part in self.parts:
            part.require_alive()
        try:
            return condition()
        except requests.RequestException:  # Moonraker is not up, or is asked for what Klippy has not told it yet
            return False
