"""The simulated controller under real Klippy and real Moonraker: prints, and everything that can go wrong with one."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import requests

from agent.sandbox.klipper.files import BED_HEATER, NOZZLE_HEATER
from tests.rigs.agent_process import wait_until
from tests.rigs.klipper_server import KlipperServer, running_klipper

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper machine")]

# As slicer_profiles/voron-v0 writes it.
_BEGIN = """\
G90
M83
M140 S60
M104 S150
G28
M190 S60
M109 S215
G1 Z2 F1200
G1 X5 Y4 F6000
G1 Z0.3 F1200
G1 X100 E8 F1500
G92 E0
G1 Z2 F1200
"""
_END = """\
G91
G1 E-2 F2700
G1 Z2 F1200
G90
G1 X60 Y115 F6000
M104 S0
M140 S0
M107
M84
"""
_MOVES = "".join(f"G1 X{10 + 7 * at % 100} Y{10 + at % 80} E0.05 F1200\n" for at in range(500))
WHOLE = _BEGIN + "M106 S255\n" + _MOVES + _END
# Ends when somebody ends it, and is cut short within a moment: each line takes 50 ms.
LASTING = _BEGIN + "G4 P50\n" * 6000
COLD_LASTING = "G28\n" + "G4 P50\n" * 6000
COLD = "G28\nG90\nM83\nG1 X10 F6000\nG1 X20 E1 F600\n"
OUTSIDE = "G28\nG90\nFOO_BAR X=1\nG1 X300 F6000\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KlipperServer]:
    with running_klipper(tmp_path_factory.mktemp("klipper")) as server:
        yield server


@pytest.fixture
def machine(running: KlipperServer) -> KlipperServer:
    running.reset()
    return running


Begin = Callable[[str], str]


@pytest.fixture
def begin(machine: KlipperServer, tmp_path: Path, request: pytest.FixtureRequest) -> Begin:
    """Uploads and starts; the file's name."""

    def act(text: str) -> str:
        name = f"{request.node.name}.gcode".replace("[", "-").replace("]", "")
        (tmp_path / name).write_text(text)
        machine.upload(tmp_path / name, name, start=True)
        return name

    return act


def celsius(machine: KlipperServer, pin: int) -> float:
    return float(machine.fault("state")["celsius"][str(pin)])


def last_job(machine: KlipperServer, name: str) -> str:
    return next((str(job["status"]) for job in machine.history() if job["filename"] == name), "none")


def shutdown_text(machine: KlipperServer) -> str:
    return str(machine.api("GET", "printer/info")["state_message"])


def test_a_print_as_our_slicer_writes_it_runs_to_its_end(machine: KlipperServer, begin: Begin) -> None:
    name = begin(WHOLE)
    wait_until(lambda: celsius(machine, BED_HEATER) > 50 and celsius(machine, NOZZLE_HEATER) > 200, "hot")
    told = machine.wait_print("complete", "error")
    assert (told["filename"], told["state"], told["message"]) == (name, "complete", "")
    assert machine.objects("virtual_sdcard")["virtual_sdcard"]["progress"] == 1.0
    assert machine.starts().count(name) == 1
    wait_until(lambda: last_job(machine, name) == "completed", "in the history", 10)
    wait_until(lambda: celsius(machine, BED_HEATER) < 30, "cool")


def test_paused_and_resumed_by_a_person(machine: KlipperServer, begin: Begin) -> None:
    name = begin(_BEGIN + "G4 P50\n" * 60)
    machine.wait_print("printing")
    machine.pause()
    assert machine.wait_print("paused")["filename"] == name
    machine.resume()
    machine.wait_print("printing")
    assert machine.wait_print("complete", "error")["state"] == "complete"
    assert machine.starts().count(name) == 1


def test_cancelled_by_a_person_it_cools(machine: KlipperServer, begin: Begin) -> None:
    name = begin(LASTING)
    wait_until(lambda: celsius(machine, NOZZLE_HEATER) > 200, "hot")
    machine.cancel()
    assert machine.wait_print("cancelled")["filename"] == name
    wait_until(lambda: last_job(machine, name) == "cancelled", "in the history", 10)
    wait_until(lambda: set(machine.fault("state")["duty"].values()) == {0.0}, "off")


@pytest.mark.parametrize(
    ("text", "words"), [(COLD, "Extrude below minimum temp"), (OUTSIDE, "Move out of range: 300.000")], ids=["cold", "outside"]
)
def test_a_print_klippy_cannot_do_fails_with_its_words(machine: KlipperServer, begin: Begin, text: str, words: str) -> None:
    name = begin(text)
    told = machine.wait_print("error")
    assert told["filename"] == name
    assert words in told["message"]
    assert machine.klippy_state() == "ready"


def test_out_of_filament_it_pauses_until_there_is_more(machine: KlipperServer, begin: Begin) -> None:
    begin(_BEGIN + "G4 P50\n" * 80)
    machine.wait_print("printing")
    machine.run_out()
    machine.wait_print("paused")
    assert machine.objects("filament_switch_sensor runout")["filament_switch_sensor runout"]["filament_detected"] is False
    machine.run_out(False)
    machine.resume()
    assert machine.wait_print("complete", "error")["state"] == "complete"


# Each with the job it comes over. A controller that is lost shows no temperatures: in heating, that would be a broken heater first.
_HALTS: dict[str, tuple[str, Callable[[KlipperServer], None], str]] = {
    "heater": (LASTING, KlipperServer.break_heater, "Heater extruder not heating at expected rate"),
    "sensor": (LASTING, KlipperServer.break_sensor, "ADC out of range"),
    "silent": (COLD_LASTING, KlipperServer.lose_mcu, "Lost communication with MCU 'mcu'"),
    "gone": (COLD_LASTING, KlipperServer.restart_mcu, "Lost communication with MCU 'mcu'"),
    "timer": (LASTING, lambda machine: machine.fault("shutdown Timer too close") and None, "Timer too close"),
    "person": (LASTING, KlipperServer.emergency_stop, "Shutdown due to webhooks request"),
}


@pytest.mark.parametrize("fault", _HALTS)
def test_a_halted_machine_shows_its_job_until_it_is_restarted(machine: KlipperServer, begin: Begin, fault: str) -> None:
    text, act, words = _HALTS[fault]
    name = begin(text)
    wait_until(lambda: text is COLD_LASTING or celsius(machine, NOZZLE_HEATER) > 100, "warm")
    wait_until(lambda: last_job(machine, name) == "in_progress", "in the history", 10)
    act(machine)
    machine.wait_klippy("shutdown")
    assert words in shutdown_text(machine)
    told = machine.print_stats()
    assert told["filename"] == name
    assert told["state"] in ("printing", "paused")  # Klippy's own trap: it depends on what the line that ran waited for
    wait_until(lambda: last_job(machine, name) == "klippy_shutdown", "in the history", 10)
    assert set(machine.fault("state")["duty"].values()) <= {0.0}  # the heaters are off
    machine.clear_faults()
    machine.firmware_restart()
    assert machine.print_stats()["state"] == "standby"
    assert machine.starts().count(name) == 1


def test_klippy_dies_in_a_print_and_comes_back_with_nothing_to_do(machine: KlipperServer, begin: Begin) -> None:
    name = begin(LASTING)
    wait_until(lambda: last_job(machine, name) == "in_progress", "in the history", 10)
    machine.stop_klippy()
    wait_until(lambda: last_job(machine, name) == "klippy_disconnect", "in the history", 10)
    machine.start_klippy()
    assert machine.print_stats()["state"] == "standby"
    assert machine.starts().count(name) == 1


def test_every_start_is_counted_also_what_fails_at_once_and_over_restarts(machine: KlipperServer, tmp_path: Path) -> None:
    before, bare = len(machine.starts()), machine.bare_starts()
    (tmp_path / "cold").write_text(COLD)
    (tmp_path / "lasting").write_text(LASTING)
    expected = [f"failing {at}.gcode" for at in range(4)] + ["sub/lasting.gcode"]
    for name in expected[:4]:
        machine.upload(tmp_path / "cold", name)
        machine.start_print(name)  # faster than the state is looked at: Moonraker's history misses some
    machine.wait_print("error")
    machine.restart_klippy()
    machine.upload(tmp_path / "lasting", "lasting.gcode")
    (machine.gcodes / "sub").mkdir(exist_ok=True)
    (machine.gcodes / "lasting.gcode").rename(machine.gcodes / "sub" / "lasting.gcode")
    machine.start_print("sub/lasting.gcode")
    machine.wait_print("printing")
    for refused in ("failing 0.gcode", "no such.gcode"):
        with pytest.raises(requests.HTTPError):
            machine.start_print(refused)
    machine.restart_moonraker()
    assert machine.starts()[before:] == expected
    assert machine.bare_starts() - bare == len(expected)


def test_a_reset_ends_whatever_there_is(running: KlipperServer, begin: Begin) -> None:
    name = begin(LASTING)
    running.run_out()
    running.moonraker.stop()
    running.mcu.stop()
    running.broker.stop()
    running.reset()
    assert running.print_stats()["filename"] == ""
    assert running.klippy_state() == "ready"
    assert celsius(running, NOZZLE_HEATER) < 260
    assert running.starts().count(name) == 1


class Caller:
    """Calls Moonraker once over MQTT, as anybody with paho could."""

    def __init__(self, machine: KlipperServer, *, password: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.answer: Any = None
        self.refused = ""
        self._done = threading.Event()
        self._topic = f"{machine.instance}/moonraker/api"
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(machine.broker_user, password or machine.broker_password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._client.publish(
            f"{self._topic}/request", b'{"jsonrpc":"2.0","method":"server.info","params":{},"id":"x-1"}'
        )
        self._client.on_message = self._message
        self._at = (machine.broker_host, machine.broker_tls_port if tls else machine.broker_port)

    def __enter__(self) -> "Caller":
        self._client.connect(*self._at)
        self._client.loop_start()
        assert self._done.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            self.refused = str(reason)
            self._done.set()
        else:
            self._client.subscribe(f"{self._topic}/response", 1)

    def _message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self.answer = message.payload
        self._done.set()


def test_moonraker_answers_over_the_broker_with_and_without_tls(machine: KlipperServer) -> None:
    for tls in (None, ssl.create_default_context(cafile=machine.ca_file)):
        with Caller(machine, tls=tls) as caller:
            assert b'"klippy_state":"ready"' in caller.answer.replace(b" ", b"")


def test_the_broker_knows_its_passwords_and_its_certificate_its_authority(machine: KlipperServer) -> None:
    with Caller(machine, password="wrong") as caller:
        assert "Not authorized" in caller.refused
    with socket.create_connection((machine.broker_host, machine.broker_tls_port)) as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_moonraker_comes_back_to_a_broker_that_restarted(machine: KlipperServer) -> None:
    machine.restart_broker()
    with Caller(machine) as caller:
        assert caller.answer


def test_the_webcam_is_named_and_gives_a_jpeg(machine: KlipperServer) -> None:
    (webcam,) = machine.api("GET", "server/webcams/list")["webcams"]
    picture = requests.get(webcam["snapshot_url"], timeout=5)
    assert picture.content == machine.camera.jpeg
    assert picture.content.startswith(b"\xff\xd8\xff")


def test_moonraker_may_ask_for_its_key(tmp_path: Path) -> None:
    with running_klipper(tmp_path, trusted=False) as machine:
        for headers in ({}, {"X-Api-Key": "0" * 32}):
            assert requests.get(f"{machine.url}/server/info", headers=headers, timeout=5).status_code == 401
        assert machine.klippy_state() == "ready"


_RIG = """
import pathlib, sys
from tests.rigs.klipper_server import running_klipper
with running_klipper(pathlib.Path(sys.argv[1])) as machine:
    print(*[part.pid for part in machine.parts], flush=True)
    sys.stdin.read()
"""


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_machine_dies_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RIG, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 4
        os.kill(run.pid, 9)
        wait_until(lambda: not any(map(_lives, pids)), "all gone", 10)
