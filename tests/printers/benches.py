"""Every adapter on a bench: the same words for what happens to the machine behind it, so one suite can prove them all."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol

import requests

from agent.domain.printer import LoadedMaterial, PrinterFacts, PrinterObservation
from agent.domain.values import Color
from agent.ports.printer import Printer
from agent.printers.octoprint import OctoPrintPrinter
from agent.printers.virtual import VirtualPrinter
from tests.rigs.octoprint_server import OctoPrintServer

LOOK_S = 0.02
PersonsAct = Literal["pause", "resume", "cancel"]
_DWELL = "G4 P50\n"
_numbers = itertools.count(1)


def facts(name: str, kind: str) -> PrinterFacts:
    return PrinterFacts(
        name=name,
        kind=kind,
        profile="test",
        slicer="prusaslicer",
        bed_mm=(250, 210, 210),
        nozzle_mm=0.4,
        materials=[LoadedMaterial(material="PLA", color=Color(name="black"))],
        profile_materials=["PLA"],
    )


def new_name() -> str:
    """No two jobs have the same name: on OctoPrint it is the only key."""
    return f"order_{next(_numbers)}-1-1-0123abcd.gcode"


def gcode_of(folder: Path, seconds: float) -> Path:
    """Dwells of 50 ms: the virtual printers' moves cost nothing, and what waits in OctoPrint's queue must not outlast a cancel."""
    path = folder / f"{seconds}s.gcode"
    path.write_text(_DWELL * round(seconds * 20))
    return path


def octoprint_at(url: str, key: str) -> OctoPrintPrinter:
    return OctoPrintPrinter(facts("mk3s", "octoprint"), url, key)


class Bench(Protocol):
    """One machine that outlives its adapters. `brief` ends by itself in about a second, `lasting` when somebody ends it."""

    printer: Printer
    brief: Path
    lasting: Path

    def another_adapter(self) -> Printer:
        """As after a restart of the agent."""
        ...

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        """At the machine itself, without the agent."""
        ...

    async def a_person_does(self, act: PersonsAct, name: str) -> None:
        """At the machine itself, to the print it is at."""
        ...

    async def it_fails(self, name: str) -> None:
        """What goes wrong there is the machine's own fault."""
        ...

    def starts(self) -> list[str]:
        """By the machine's own record."""
        ...

    async def pass_time(self) -> None:
        """A moment, in the machine's time."""
        ...


class VirtualBench:
    def __init__(self, folder: Path) -> None:
        self.now = 1_790_000_000.0
        self._folder = folder
        self.brief, self.lasting = gcode_of(folder, 1), gcode_of(folder, 60)
        self.printer: Printer = self.another_adapter()

    def another_adapter(self) -> VirtualPrinter:
        return VirtualPrinter(facts("virtual", "virtual"), self._folder / "state", now=lambda: self.now)

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        person = self.another_adapter()
        await person.upload(gcode, name)
        await person.start(name)

    async def a_person_does(self, act: PersonsAct, name: str) -> None:
        await getattr(self.another_adapter(), act)(name)

    async def it_fails(self, name: str) -> None:
        await self.another_adapter().fail(name)

    def starts(self) -> list[str]:
        return self.another_adapter().starts()

    async def pass_time(self) -> None:
        self.now += LOOK_S


class OctoPrintBench:
    def __init__(self, server: OctoPrintServer, folder: Path) -> None:
        self.server = server
        self._before = len(server.starts())
        self.brief, self.lasting = gcode_of(folder, 1), gcode_of(folder, 60)
        self.printer: Printer = self.another_adapter()

    def another_adapter(self) -> OctoPrintPrinter:
        return octoprint_at(self.server.url, self.server.api_key)

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        upload = {"file": (name, gcode.read_bytes())}
        await asyncio.to_thread(self.server.api, "POST", "files/local", files=upload, data={"print": "true"})

    async def a_person_does(self, act: PersonsAct, name: str) -> None:  # noqa: ARG002 (there is one print)
        command = {"command": "cancel"} if act == "cancel" else {"command": "pause", "action": act}
        await self.do("POST", "job", json=command)

    async def it_fails(self, name: str) -> None:  # noqa: ARG002 (there is one print)
        await self.command("!!DEBUG:trigger_fatal_error_marlin")

    def starts(self) -> list[str]:
        return self.server.starts()[self._before :]

    async def pass_time(self) -> None:
        await asyncio.sleep(LOOK_S)  # OctoPrint has no event to wait for

    async def do(self, method: str, path: str, **kwargs: object) -> None:
        """What a person does on OctoPrint's page."""
        await asyncio.to_thread(self.server.api, method, path, **kwargs)

    async def command(self, line: str) -> None:
        await asyncio.to_thread(self.server.command, line)

    async def reconnect(self) -> None:
        await asyncio.to_thread(self.server.connect)

    def history(self, name: str) -> dict[str, int]:
        """OctoPrint's own record of a file's prints."""
        answer = requests.get(f"{self.server.url}/api/files/local/{name}", headers={"X-Api-Key": self.server.api_key}, timeout=10)
        return dict(answer.json().get("prints") or {})


@asynccontextmanager
async def octoprint_bench(server: OctoPrintServer, folder: Path) -> AsyncIterator[OctoPrintBench]:
    """On a server that is as new, except for its files and its log."""
    await asyncio.to_thread(server.reset)
    bench = OctoPrintBench(server, folder)
    async with bench.printer:
        yield bench


async def until(bench: Bench, holds: Callable[[PrinterObservation], bool], within_s: float = 30) -> PrinterObservation:
    """The first observation of which that holds."""
    seen = await bench.printer.observe()
    async with asyncio.timeout(within_s):
        while not holds(seen):
            await bench.pass_time()
            seen = await bench.printer.observe()
    return seen


async def print_begins(bench: Bench, gcode: Path, name: str) -> PrinterObservation:
    """Upload, start, and look until the printer names the job."""
    await bench.printer.upload(gcode, name)
    await bench.printer.start(name)
    return await until(bench, lambda seen: seen.busy and seen.remote_name == name)
