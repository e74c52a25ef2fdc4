"""Bambu on a bench: the sandbox printer, a process of its own with a real broker and a real FTPS server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.ports.printer import Printer
from agent.printers.bambu.access import BambuAccess
from agent.printers.bambu.printer import BambuPrinter
from tests.printers.benches import WRONG_SECRET, Cabled, PersonsAct, facts
from tests.rigs.bambu_server import BambuServer
from tests.rigs.cable import Cable

BLACK = "#1a1a1a"
_SLOW_BYTES_S = 2_000_000
TRAYS = ["FF0000FF", "1A1A1AFF", "00FF00FF", "FFFFFFFF"]


def bambu_gcode(folder: Path, seconds: float, model: str = "P1S") -> Path:
    """As a slicer would have made it for that model: the printer takes as long as the file says."""
    path = folder / f"bambu-{model}-{seconds}s.gcode"
    notes = {
        "estimated printing time (normal mode)": f"{seconds:.0f}s",
        "filament used [g]": "1.50",
        "filament_type": "PLA",
        "filament_colour": BLACK,
        "printer_model": model,
    }
    path.write_text("M620 S0A\nG28\nG1 X10 E1\n" + "".join(f"; {key} = {value}\n" for key, value in notes.items()))
    return path


def access_to(server: BambuServer, **other: Any) -> BambuAccess:
    access = BambuAccess(
        host=server.host,
        serial=server.serial,
        access_code=server.access_code,
        ca_file=server.ca_file,
        model="P1S",
        mqtt_port=server.mqtt_port,
        ftps_port=server.ftps_port,
        camera_port=server.camera_port,
    )
    return replace(access, **other)


def bambu_at(server: BambuServer, **other: Any) -> BambuPrinter:
    """`other`: fields of the access that are to be different."""
    return BambuPrinter(facts("p1s", "bambu"), access_to(server, **other))


class BambuBench(Cabled):
    """Implements benches.BrokeredBench. The cables lead to its broker and to its card; a file's own connection takes none."""

    def __init__(self, server: BambuServer, folder: Path, broker: Cable, card: Cable) -> None:
        super().__init__([broker, card])
        self.server = server
        self._before = len(server.starts())
        self.brief, self.lasting = bambu_gcode(folder, 1), bambu_gcode(folder, 60)
        self._ways = {"mqtt_port": broker.port, "ftps_port": card.port}
        self.another_adapter = partial(BambuPrinter, facts("p1s", "bambu"), access_to(server, **self._ways))
        self.adapter = self.another_adapter()
        self.printer: Printer = self.adapter

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        await asyncio.to_thread(self.server.person_prints, gcode, name)
        await asyncio.to_thread(self.server.wait_for, "RUNNING")

    async def a_person_does(self, act: PersonsAct, name: str) -> None:  # noqa: ARG002 (there is one print)
        await done({"pause": self.server.pause, "resume": self.server.resume, "cancel": self.server.cancel}[act])

    async def it_fails(self, name: str) -> None:  # noqa: ARG002 (there is one print)
        await done(self.server.fail)

    async def it_ends(self) -> None:
        await done(lambda: self.server.wait_for("FINISH", "FAILED"))

    def starts(self) -> list[str]:
        return self.server.starts()[self._before :]

    def file_of(self, name: str) -> Path:
        return self.server.card / f"{name}.3mf"

    def stranger(self) -> BambuPrinter:
        return bambu_at(self.server, **self._ways, access_code=WRONG_SECRET)

    async def power_cut(self) -> None:
        await done(lambda: self.server.restart(remember=False))

    async def broker_restarts(self) -> None:
        await done(self.server.restart_broker)

    async def half_sent(self, name: str) -> None:
        self.server.slow_card(_SLOW_BYTES_S)  # or all of it may have arrived by the next look
        while not self.file_of(name).exists():
            await self.pass_time()


@asynccontextmanager
async def bambu_bench(server: BambuServer, folder: Path) -> AsyncIterator[BambuBench]:
    """On a printer that is as new, except for its card and its journal."""
    await done(server.reset)
    await done(lambda: server.trays(TRAYS))
    async with Cable(server.mqtt_port) as broker, Cable(server.ftps_port) as card:
        bench = BambuBench(server, folder, broker, card)
        async with bench.printer:
            yield bench


async def done(act: Callable[[], object]) -> None:
    """What happens to the machine, in a thread: the rig waits."""
    await asyncio.to_thread(act)
