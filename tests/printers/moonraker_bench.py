"""Klipper on a bench: real Moonraker, real Klippy, a real broker, a simulated controller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.domain.printer import PrinterState
from agent.ports.printer import Printer
from agent.printers.moonraker.access import MoonrakerAccess
from agent.printers.moonraker.printer import MoonrakerPrinter
from agent.wire.mqtt import Broker
from tests.printers.benches import MB, WRONG_SECRET, Cabled, PersonsAct, facts
from tests.rigs.agent_process import wait_until
from tests.rigs.cable import Cable
from tests.rigs.klipper_server import KlipperServer

_DWELL = "G4 P20\nM400\n"
"""Waited for before the next line is read: Klipper reads two seconds ahead otherwise. About 0.3 s with what Klipper adds."""
_DWELL_S = 0.3


def klipper_gcode(folder: Path, seconds: float, before: str = "") -> Path:
    path = folder / f"klipper-{seconds}s-{len(before)}.gcode"
    path.write_text(before + _DWELL * round(seconds / _DWELL_S))
    return path


def access_to(server: KlipperServer, **other: Any) -> MoonrakerAccess:
    """`other`: fields of the access or of its broker that are to be different."""
    broker = Broker(server.broker_host, server.broker_port, server.broker_user, server.broker_password)
    broker = replace(broker, **{name: other.pop(name) for name in list(other) if hasattr(broker, name)})
    return replace(MoonrakerAccess(server.url, broker, server.instance, server.api_key), **other)


def moonraker_at(server: KlipperServer, **other: Any) -> MoonrakerPrinter:
    return MoonrakerPrinter(facts("voron", "moonraker"), access_to(server, **other))


class MoonrakerBench(Cabled):
    """Implements benches.BrokeredBench. The cables lead to the broker and to Moonraker."""

    def __init__(self, server: KlipperServer, folder: Path, broker: Cable, web: Cable) -> None:
        super().__init__([broker, web])
        self.server, self._web = server, web
        self._before = len(server.starts())
        self.brief, self.lasting = klipper_gcode(folder, 1), klipper_gcode(folder, 60)
        self._ways = {"port": broker.port, "url": f"http://127.0.0.1:{web.port}"}
        self.another_adapter = partial(MoonrakerPrinter, facts("voron", "moonraker"), access_to(server, **self._ways))
        self.adapter = self.another_adapter()
        self.printer: Printer = self.adapter

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        await asyncio.to_thread(self.server.upload, gcode, name, start=True)

    async def a_person_does(self, act: PersonsAct, name: str) -> None:  # noqa: ARG002 (there is one print)
        await asyncio.to_thread({"pause": self.server.pause, "resume": self.server.resume, "cancel": self.server.cancel}[act])

    async def it_fails(self, name: str) -> None:  # noqa: ARG002 (there is one print)
        await asyncio.to_thread(self.server.break_sensor)

    async def it_ends(self) -> None:
        await done(lambda: wait_until(self.server.prints_nothing, "the print has ended"))

    def starts(self) -> list[str]:
        return self.server.starts()[self._before :]

    def file_of(self, name: str) -> Path:
        return self.server.gcodes / name

    def stranger(self) -> MoonrakerPrinter:
        return moonraker_at(self.server, **self._ways, password=WRONG_SECRET)

    async def power_cut(self) -> None:
        await done(self.server.power_cut)

    async def broker_restarts(self) -> None:
        await done(self.server.restart_broker)

    async def half_sent(self, name: str) -> None:  # noqa: ARG002 (there is one upload)
        await self._web.carries(2 * MB)


@asynccontextmanager
async def moonraker_bench(server: KlipperServer, folder: Path) -> AsyncIterator[MoonrakerBench]:
    """On a server that is as new, except for its files, its history and its log."""
    await asyncio.to_thread(server.reset)
    async with Cable(server.broker_port) as broker, Cable(server.port) as web:
        bench = MoonrakerBench(server, folder, broker, web)
        async with bench.printer:
            yield bench


async def done(act: Callable[[], object]) -> None:
    """What happens to the machine, in a thread: the rig waits."""
    await asyncio.to_thread(act)


async def ended_as(bench: MoonrakerBench, name: str, state: PrinterState) -> None:
    """By its own record; and what has ended was started."""
    told = await bench.printer.outcome(name)
    assert told is not None
    assert (told.state, told.remote_name) == (state, name)
    assert not await bench.printer.never_started(name)
