"""A Bambu printer on a real broker that does exactly what a test tells it: for what no well-behaved simulator does."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from agent.domain.printer import PrinterObservation
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.printer import BambuPrinter
from agent.printers.bambu.trust import context_for
from agent.wire.mqtt import Broker, MqttLink
from tests.printers.bambu_peers import CODE, HOST, SERIAL, FtpScript, authority, ftps, server_context
from tests.printers.benches import LOOK_S, facts
from tests.rigs.mosquitto import Mosquitto

ACCOUNT = "; estimated printing time (normal mode) = 1m 5s\n; filament used [g] = 1.20\n"
GCODE = f"; printer_model = P1S\n; filament_type = PLA\n{ACCOUNT}G4 P50\n"
IDLE = {"gcode_state": "IDLE", "subtask_name": "", "subtask_id": "0", "print_error": 0, "hms": [], "mc_percent": 0}
NO_DEVELOPER_MODE = {"attr": 83887360, "code": 65543}


class ScriptedPrinter:
    """`heard` are the requests, without the pushalls, which it answers with `state` as long as `answers_pushall`."""

    def __init__(self, broker: Mosquitto, access: BambuAccess) -> None:
        self.state: dict[str, Any] = dict(IDLE)
        self.answers_pushall = True
        self.pushalls = 0
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        tls = context_for(access.ca_file, SERIAL)
        self.link = MqttLink(Broker(HOST, broker.port, broker.username, broker.password, tls), [f"device/{SERIAL}/request"], self._request)
        self._tasks: set[asyncio.Task[None]] = set()

    async def says(self, **changed: Any) -> None:
        """A delta."""
        self.state |= changed
        await self.raw(json.dumps({"print": {"command": "push_status", "msg": 1, **changed}}).encode())

    async def echoes(self, request: dict[str, Any], **changed: Any) -> None:
        await self.raw(json.dumps({"print": {**request, **changed}}, indent=4).encode())

    async def raw(self, payload: bytes) -> None:
        await self.link.publish(f"device/{SERIAL}/report", payload)

    async def request(self, command: str, within_s: float = 10) -> dict[str, Any]:
        """The next one, which must be that."""
        async with asyncio.timeout(within_s):
            found = await self.heard.get()
        assert found["command"] == command, found
        return found

    def _request(self, _topic: str, payload: bytes) -> None:
        for body in json.loads(payload).values():
            if body["command"] != "pushall":
                self.heard.put_nowait(body)
                continue
            self.pushalls += 1
            if self.answers_pushall:
                full = {"print": {"command": "push_status", "msg": 0, **self.state}}
                task = asyncio.create_task(self.raw(json.dumps(full).encode()))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def tls_broker(folder: Path, serial: str = SERIAL) -> Mosquitto:
    """Not started yet."""
    server_context(folder, serial)
    chain = folder / f"{serial}-Test CA.pem"
    broker = Mosquitto(folder, f"certfile {chain}\nkeyfile {chain}\ntls_version tlsv1.2")
    subprocess.run(["mosquitto_passwd", "-b", str(folder / "passwords"), "bblp", CODE], check=True)
    return broker


class ScriptedBench:
    def __init__(self, broker: Mosquitto, script: ScriptedPrinter, files: FtpScript, access: BambuAccess, gcode: Path) -> None:
        self.broker, self.script, self.files, self.access, self.gcode = broker, script, files, access, gcode
        self.printer = self.another_adapter()

    def another_adapter(self) -> BambuPrinter:
        return BambuPrinter(facts("p1s", "bambu"), self.access)


@asynccontextmanager
async def scripted_bench(folder: Path) -> AsyncIterator[ScriptedBench]:
    """A broker, a memory card and a printer; the adapter is not entered yet."""
    files, broker = FtpScript(), tls_broker(folder)
    gcode = folder / "plate.gcode"
    gcode.write_text(GCODE)
    async with AsyncExitStack() as stack:
        port = stack.enter_context(ftps(folder, files))
        access = BambuAccess(HOST, SERIAL, CODE, authority(folder), "P1S", mqtt_port=broker.port, ftps_port=port, camera_port=1)
        stack.callback(broker.stop)
        broker.start()
        script = ScriptedPrinter(broker, access)
        await stack.enter_async_context(script.link)
        await script.link.wait_up(10)
        yield ScriptedBench(broker, script, files, access, gcode)


async def until(printer: BambuPrinter, holds: Callable[[PrinterObservation], bool], within_s: float = 20) -> PrinterObservation:
    seen = await printer.observe()
    async with asyncio.timeout(within_s):
        while not holds(seen):
            await asyncio.sleep(LOOK_S)
            seen = await printer.observe()
    return seen


async def heard(bench: ScriptedBench, **fields: Any) -> None:
    """A delta, and that it has arrived."""
    await bench.script.says(**fields)
    async with asyncio.timeout(10):
        while any(bench.printer._talk.report.said.get(key) != value for key, value in fields.items()):
            await bench.printer._talk.news(1)


def job(request: dict[str, Any]) -> dict[str, Any]:
    return {"subtask_name": request["subtask_name"], "subtask_id": request["subtask_id"]}
