"""A peer that answers JSON-RPC on a real broker as a test tells it, well or badly. Its HTTP side is a Wire."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.printers.moonraker.access import MoonrakerAccess
from agent.printers.moonraker.printer import MoonrakerPrinter
from agent.wire.mqtt import Broker
from tests.printers.benches import facts
from tests.printers.wire import Answer, Request, canned
from tests.rigs.mosquitto import Mosquitto

INSTANCE = "voron/1"
NAME = "order_1-1-1-0123abcd.gcode"
INFO = {"klippy_state": "ready", "components": ["mqtt"], "failed_components": [], "moonraker_version": "v0.11.0"}
CONFIG = {"config": {"mqtt": {"instance_name": INSTANCE, "address": "127.0.0.1", "port": 1883, "password": "the-broker-password"}}}


class No(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


def stats(state: str = "standby", filename: str = "", **more: Any) -> dict[str, Any]:
    """As printer.objects.query answers; `more`: other fields of print_stats."""
    card = {"progress": more.pop("progress", 0.0), "is_active": state == "printing", "file_position": 0}
    webhooks = {"state": more.pop("webhooks", "ready"), "state_message": more.pop("told", "Printer is ready")}
    job = {"filename": filename, "state": state, "message": "", "print_duration": 0.0, **more}
    return {"eventtime": 1.0, "status": {"print_stats": job, "webhooks": webhooks, "virtual_sdcard": card}}


class Peer:
    """`answers`: by method, a result, a No, raw bytes for the topic of the answers, None for silence, or a function of the params."""

    def __init__(self, broker: Mosquitto, instance: str = INSTANCE) -> None:
        self.broker, self.instance = broker, instance
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "printer.objects.query": stats(),
            "printer.objects.list": {"objects": []},
            "server.info": INFO,
            "server.history.list": {"count": 0, "jobs": []},
            "server.files.metadata": No(404, "Metadata not available"),
        }
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(broker.username, broker.password)
        self._client.on_message = self._on_message
        self._ready = threading.Event()
        self._client.on_subscribe = lambda *_: self._ready.set()

    def start(self) -> None:
        self._client.connect("127.0.0.1", self.broker.port)
        self._client.subscribe(f"{self.instance}/moonraker/api/request", 1)
        self._client.loop_start()
        assert self._ready.wait(10)
        self.say_status({"server": "online"})

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, payload: bytes | str) -> None:
        """On the topic of the answers, to all who listen there."""
        self._client.publish(f"{self.instance}/moonraker/api/response", payload, 1).wait_for_publish(10)

    def say_status(self, what: object) -> None:
        self._client.publish(f"{self.instance}/moonraker/status", json.dumps(what), 1, retain=True).wait_for_publish(10)

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.asked)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        request = json.loads(message.payload)
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        answer = self.answers.get(method, No(-32601, "Method not found"))
        if callable(answer):
            answer = answer(params)
        if answer is None:
            return
        if not isinstance(answer, bytes):
            what = {"error": answer.error} if isinstance(answer, No) else {"result": answer}
            answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], **what}).encode()
        self._client.publish(f"{self.instance}/moonraker/api/response", answer, 1)


@contextlib.contextmanager
def running_peer(broker: Mosquitto, instance: str = INSTANCE) -> Iterator[Peer]:
    peer = Peer(broker, instance)
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def web_of(info: object = INFO, config: object = CONFIG, otherwise: Callable[[Request], None] | None = None) -> Answer:
    """Moonraker's HTTP side: who it is; `otherwise` answers everything else."""

    def answer(request: Request) -> None:
        path = request.line.split()[1]
        known = {"/server/info": info, "/server/config": config}
        if path in known:
            canned({"result": known[path]})(request)
        else:
            (otherwise or canned({"error": {"code": 404, "message": "Not Found"}}, 404))(request)

    return answer


def printer_at(peer: Peer, url: str = "http://127.0.0.1:9", api_key: str = "") -> MoonrakerPrinter:
    broker = Broker("127.0.0.1", peer.broker.port, peer.broker.username, peer.broker.password)
    return MoonrakerPrinter(facts("voron", "moonraker"), MoonrakerAccess(url, broker, INSTANCE, api_key))
