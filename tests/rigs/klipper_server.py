"""The Klipper machine of `sandbox klipper` in a test: its parts go alone, a person stands before it, and things go wrong with it."""

import contextlib
import hashlib
import itertools
import json
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from agent.sandbox.klipper import files
from agent.sandbox.klipper.machine import KLIPPY_UP, LINK_UP, SandboxMachine
from agent.sandbox.klipper.settings import Settings
from tests.rigs.klipper_camera import Camera
from tests.rigs.klipper_certificates import make_certificates
from tests.rigs.processes import free_port

# Klippy writes both: the second is its own, of every start and every resume; the first names the file (see files.printer_cfg).
_STARTED = re.compile(r'^Print start: FILENAME="(.+)"', re.MULTILINE)
_SD_BEGAN = re.compile(r"^Starting SD card print \(position 0\)", re.MULTILINE)
_COLD_C = 50.0
_CANCEL_S = 3.0
_ACTIVE = ("printing", "paused")
_KLIPPY_THERE = "Klippy Connection Established"
_TLS = "listener {port} 127.0.0.1\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\ntls_version tlsv1.2"


class KlipperServer(SandboxMachine):
    """With TLS at its broker too, and a camera."""

    def __init__(self, folder: Path, *, trusted: bool = True, homing_s: float = 0.0) -> None:
        self.camera = Camera()
        self.broker_tls_port = free_port()
        self._certificates = folder / "certificates"
        self.ca_file = self._certificates / "ca.pem"
        self._numbers = itertools.count(1)
        super().__init__(
            Settings(
                folder=folder,
                port=free_port(),
                mqtt_port=free_port(),
                instance_name="voron1",
                trusted=trusted,
                homing_s=homing_s,
                camera_url=self.camera.url,
                broker_extra=_TLS.format(port=self.broker_tls_port, folder=self._certificates),
            )
        )

    def prepare(self) -> None:
        super().prepare()
        self._certificates.mkdir(exist_ok=True)
        make_certificates(self._certificates)

    # Its parts.

    def _lets_us_in(self) -> bool:
        """With Moonraker's key, which it makes at its first start. Only its database tells it to one who has none."""
        path = self.folder / "pd" / "database" / "moonraker-sql.db"
        if not path.exists():
            return False
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            try:
                found = database.execute("SELECT password FROM authorized_users WHERE username = '_API_KEY_USER_'").fetchone()
            except sqlite3.OperationalError:  # it is only being made
                return False
        self.api_key = found[0] if found else ""
        return bool(found)

    def close(self) -> None:
        super().close()
        self.camera.close()

    def restart_broker(self) -> None:
        """Moonraker comes back to it after about two seconds."""
        with self._comes(LINK_UP):
            self.broker.stop()
            self.broker.start()

    def restart_moonraker(self) -> None:
        with self._comes(LINK_UP), self._comes(KLIPPY_UP):
            self.moonraker.stop()
            self.moonraker.start()

    def stop_klippy(self) -> None:
        """Returns when Moonraker knows."""
        self.klippy.stop()
        self.wait_klippy("disconnected")

    def start_klippy(self) -> None:
        """Returns when Moonraker knows that it is ready."""
        with self._comes(KLIPPY_UP):
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
        self.faults.unlink(missing_ok=True)  # one that was killed leaves its door
        self.mcu.start()
        self._wait_until(self.faults.exists, "there (controller)")  # the door opens after the device

    def power_cut(self) -> None:
        """The whole machine is off for a moment; the broker is elsewhere. Returns when it is ready for a print."""
        with self._comes(LINK_UP), self._comes(KLIPPY_UP):
            for part in (self.moonraker, self.klippy):
                part.stop()
            self.mcu.stop(kindly=True)  # it takes its device away
            self.start_mcu()
            for part in (self.klippy, self.moonraker):
                part.start()

    # What a person does at Klipper's page: Moonraker's HTTP API.

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
        ready = self.logged("moonraker.log").count(KLIPPY_UP)
        for _ in range(2):
            with self._comes(_KLIPPY_THERE):
                self.api("POST", "printer/firmware_restart")
            self.wait_klippy("ready", "error")
            if self.klippy_state() == "ready":
                break
        self._wait_until(lambda: self.logged("moonraker.log").count(KLIPPY_UP) > ready, KLIPPY_UP)

    # How it stands.

    def objects(self, *names: str) -> dict[str, Any]:
        return dict(self.api("GET", "printer/objects/query?" + "&".join(names))["status"])

    def print_stats(self) -> dict[str, Any]:
        return dict(self.objects("print_stats")["print_stats"])

    def prints_nothing(self) -> bool:
        """Also where Klipper has halted in a print: its print_stats stay at "printing" then."""
        return self.klippy_state() != "ready" or self.print_stats()["state"] not in _ACTIVE

    def temperatures(self) -> tuple[float, float]:
        """Nozzle and bed, °C, as Klippy knows them: up to a second late."""
        told = self.objects("extruder", "heater_bed")
        return told["extruder"]["temperature"], told["heater_bed"]["temperature"]

    def history(self) -> list[dict[str, Any]]:
        """Moonraker's own record, the newest first. It misses jobs that fail at once after another failure: `starts()` does not."""
        return list(self.api("GET", "server/history/list?limit=1000")["jobs"])

    def wait_print(self, *states: str, within_s: float = 60) -> dict[str, Any]:
        """print_stats in one of these states: standby, printing, paused, complete, cancelled, error."""
        self._wait_until(lambda: self.print_stats()["state"] in states, " or ".join(states), within_s)
        return self.print_stats()

    def starts(self) -> list[str]:
        """Every print that began, by Klippy's own log over all its runs: the truth a test counts."""
        return _STARTED.findall(self.logged("klippy.log"))

    def bare_starts(self) -> int:
        """The same count by a line that is in every Klippy's log, without the names. (It also counts a resume before the first line.)"""
        return len(_SD_BEGAN.findall(self.logged("klippy.log")))

    # What goes wrong.

    def fault(self, line: str) -> dict[str, Any]:
        """One line to the controller (see agent.sandbox.klipper.mcu); how it stands afterwards."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            mine = self._short / f"ask-{next(self._numbers)}"
            door.bind(str(mine))
            door.settimeout(10)
            door.sendto(line.encode(), str(self.faults))
            told: dict[str, Any] = json.loads(door.recv(65_536))
            mine.unlink()
        assert "error" not in told, told
        return told

    def break_heater(self) -> None:
        """The nozzle no longer heats. Klippy halts within seconds if it is (or comes) below its target."""
        self.fault(f"heater {files.NOZZLE_HEATER} off")

    def break_sensor(self) -> None:
        """The nozzle's sensor says 390 °C: the controller halts within two seconds."""
        self.fault(f"set_temp {files.NOZZLE_SENSOR} 390")

    def run_out(self, out: bool = True) -> None:
        """The filament ends; False: it is there again."""
        self.fault(f"runout {files.RUNOUT_SWITCH} {int(out)}")

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
        """A cancel waits for the line that runs; where that takes long, for a heater that never gets warm, all is halted."""
        if not self.prints_nothing():
            with contextlib.suppress(requests.Timeout):
                requests.post(f"{self.url}/printer/print/cancel", headers={"X-Api-Key": self.api_key}, timeout=_CANCEL_S)
        if not self.prints_nothing():
            self.emergency_stop()
        if self.klippy_state() != "ready":
            self.firmware_restart()


@contextlib.contextmanager
def running_klipper(folder: Path, *, trusted: bool = True, homing_s: float = 0.0) -> Iterator[KlipperServer]:
    server = KlipperServer(folder, trusted=trusted, homing_s=homing_s)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.close()
