"""A client of the sandbox Bambu printer for its tests: MQTT, the card, the camera."""

import contextlib
import ftplib
import json
import queue
import socket
import ssl
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.rigs.bambu_server import BambuServer

Report = dict[str, Any]
PLATE = "Metadata/plate_1.gcode"


def tls(server: BambuServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class Client:
    """One MQTT client; `report` is what it knows by full pushes and deltas."""

    def __init__(self, server: BambuServer, serial: str = "", code: str = "") -> None:
        self.heard: queue.Queue[bytes] = queue.Queue()
        self.reasons: queue.Queue[int] = queue.Queue()
        self.report: Report = {}
        self.serial = serial or server.serial
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set("bblp", code or server.access_code)
        self._client.tls_set_context(tls(server))
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self.reasons.put(reason.value)
        self._client.on_message = lambda _c, _d, message: self.heard.put(message.payload)
        subscribed: queue.Queue[None] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(None)
        self._client.connect(server.host, server.mqtt_port)
        self._client.loop_start()
        self.reason = self.reasons.get(timeout=10)
        if self.reason == 0:
            self._client.subscribe(f"device/{self.serial}/report")
            subscribed.get(timeout=10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, kind: str, command: str, **fields: Any) -> None:
        body = {kind: {"sequence_id": "7", "command": command, **fields}}
        self._client.publish(f"device/{self.serial}/request", json.dumps(body), qos=1)

    def start(self, name: str, **fields: Any) -> Report:
        self.send(
            "print", "project_file", subtask_name=name, subtask_id="41", task_id="41", param=PLATE, url=f"ftp:///{name}.gcode.3mf", **fields
        )
        return self.answer("project_file")

    def until(self, holds: Callable[[Report], Any], within_s: float = 10) -> Report:
        """The first message of which it holds; those before it are taken in."""
        end = time.monotonic() + within_s
        while True:
            message = json.loads(self.heard.get(timeout=max(0.0, end - time.monotonic())).rstrip(b"\0"))
            told: Report = message.get("print") or message.get("info") or {}
            if told.get("command") == "push_status":
                self.report.update(told)
            if holds(told):
                return told

    def answer(self, command: str) -> Report:
        return self.until(lambda told: told.get("command") == command)

    def state(self, state: str) -> Report:
        return self.until(lambda told: told.get("gcode_state") == state)

    def pushall(self) -> Report:
        self.send("pushing", "pushall")
        return self.until(lambda told: told.get("msg") == 0)


def put(server: BambuServer, name: str, seconds: float = 0.5) -> Path:
    """On the card, without the network."""
    path = server.card / f"{name}.gcode.3mf"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(PLATE, "G4 P50\n" * round(seconds * 20))
    return path


class ImplicitFtps(ftplib.FTP_TLS):
    """ftplib knows TLS by AUTH alone; `reuse`: the data channel takes the control channel's session."""

    reuse = True

    @property
    def sock(self) -> Any:
        return self._sock

    @sock.setter
    def sock(self, value: Any) -> None:
        plain = value is not None and not isinstance(value, ssl.SSLSocket)
        self._sock = self.context.wrap_socket(value) if plain else value

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.context.wrap_socket(plain, session=self.sock.session if self.reuse else None), size


@contextlib.contextmanager
def card(server: BambuServer, code: str = "", *, reuse: bool = True) -> Iterator[ImplicitFtps]:
    with contextlib.closing(ImplicitFtps(context=tls(server), timeout=10)) as ftp:
        ftp.reuse = reuse
        ftp.connect(server.host, server.ftps_port)
        ftp.login("bblp", code or server.access_code)
        ftp.prot_p()
        yield ftp


@contextlib.contextmanager
def look(server: BambuServer, code: str) -> Iterator[ssl.SSLSocket]:
    with socket.create_connection((server.host, server.camera_port), 10) as plain, tls(server).wrap_socket(plain) as camera:
        camera.sendall(struct.pack("<IIII32s32s", 0x40, 0x3000, 0, 0, b"bblp", code.encode()))
        yield camera
