"""Every adapter on a bench: the same words for what happens to the machine behind it, so one suite can prove them all."""

import asyncio
import base64
import itertools
import random
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import requests

from agent.domain.errors import Transient
from agent.domain.printer import ENDED, LoadedMaterial, PrinterFacts, PrinterObservation, PrinterState
from agent.domain.values import Color
from agent.ports.printer import Printer
from agent.printers.octoprint import OctoPrintPrinter
from agent.printers.virtual import VirtualPrinter
from tests.rigs.cable import Cable
from tests.rigs.octoprint_server import OctoPrintServer

LOOK_S = 0.02
MB = 1_000_000
WRONG_SECRET = "87654321"
"""No machine's: as long as a Bambu's access code, so that nothing but its being wrong is wrong with it."""
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


def enlarged(gcode: Path, megabytes: int) -> Path:
    """The same print with comments behind it, which pack as well as moves do, to about two fifths: every other line is noise, and it
    repeats itself too far apart for zip."""
    path, noise = gcode.with_name(f"{megabytes}MB-{gcode.name}"), base64.b85encode(random.Random(1).randbytes(MB * 2 // 5))
    block = b"".join(b"; %b\n; %b\n" % (noise[at : at + 100], b"-" * 100) for at in range(0, len(noise), 100))
    with path.open("wb") as file:
        file.write(gcode.read_bytes())
        file.writelines(itertools.repeat(block, megabytes))
    return path


def gcode_in(file: Path) -> bytes | None:
    """What a machine would print of a file on its own disk, which may be a Bambu package; None where there is nothing that is whole."""
    if not file.exists():
        return None
    if file.suffix != ".3mf":
        return file.read_bytes()
    try:
        with zipfile.ZipFile(file) as package:
            return package.read("Metadata/plate_1.gcode")
    except zipfile.BadZipFile:
        return None


def acts_of(printer: Printer, gcode: Path, name: str) -> dict[str, Callable[[], Awaitable[object]]]:
    """All that the port has, besides looking."""
    by_name = ("start", "never_started", "outcome", "pause", "resume", "cancel")
    return {"upload": partial(printer.upload, gcode, name), **{act: partial(getattr(printer, act), name) for act in by_name}}


def octoprint_at(url: str, key: str) -> OctoPrintPrinter:
    return OctoPrintPrinter(facts("mk3s", "octoprint"), url, key)


class Bench(Protocol):
    """One machine that outlives its adapters. `brief` ends by itself in about a second, `lasting` when somebody ends it."""

    printer: Printer
    brief: Path
    lasting: Path
    another_adapter: Callable[[], Printer]
    """As after a restart of the agent. It can be pickled, for an agent in a process of its own."""

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        """At the machine itself, without the agent."""
        ...

    async def a_person_does(self, act: PersonsAct, name: str) -> None:
        """At the machine itself, to the print it is at."""
        ...

    async def it_fails(self, name: str) -> None:
        """What goes wrong there is the machine's own fault."""
        ...

    async def it_ends(self) -> None:
        """Returns when the machine is at no print any more, by its own word."""
        ...

    def starts(self) -> list[str]:
        """By the machine's own record."""
        ...

    def file_of(self, name: str) -> Path:
        """Where the machine itself keeps what was uploaded under that name; for gcode_in."""
        ...

    async def pass_time(self) -> None:
        """A moment, in the machine's time."""
        ...


class RemoteBench(Bench, Protocol):
    """A machine that one reaches over a network, with a secret."""

    def stranger(self) -> Printer:
        """An adapter with WRONG_SECRET."""
        ...

    def goes_away(self) -> None:
        """It cannot be reached any more, and goes on with what it is at."""
        ...

    async def comes_back(self) -> None: ...

    async def power_cut(self) -> None:
        """Off and on again: what it was at is lost. Returns when it could print again."""
        ...

    async def half_sent(self, name: str) -> None:
        """Returns when a part of the upload that is at work has arrived."""
        ...


class BrokeredBench(RemoteBench, Protocol):
    """A machine that is talked to by way of a broker."""

    async def broker_restarts(self) -> None:
        """Returns when the machine is there again."""
        ...


class Cabled:
    """What the benches of remote machines have in common."""

    def __init__(self, cables: Sequence[Cable]) -> None:
        self._cables = cables

    def goes_away(self) -> None:
        for cable in self._cables:
            cable.pull()

    async def comes_back(self) -> None:
        for cable in self._cables:
            await cable.plug()

    async def pass_time(self) -> None:
        await asyncio.sleep(LOOK_S)  # what is looked at is the adapter's word, or a server's, and neither has an event


@dataclass
class _Clock:
    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class VirtualBench:
    """Implements Bench. It is not remote: there is nothing between it and the agent, and no secret."""

    def __init__(self, folder: Path) -> None:
        self._clock, self._state = _Clock(), folder / "state"
        self.brief, self.lasting = gcode_of(folder, 1), gcode_of(folder, 60)
        self.another_adapter = partial(VirtualPrinter, facts("virtual", "virtual"), self._state, now=self._clock)
        self.printer: Printer = self.another_adapter()

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        person = self.another_adapter()
        await person.upload(gcode, name)
        await person.start(name)

    async def a_person_does(self, act: PersonsAct, name: str) -> None:
        await getattr(self.another_adapter(), act)(name)

    async def it_fails(self, name: str) -> None:
        await self.another_adapter().fail(name)

    async def it_ends(self) -> None:
        self._clock.now += 120

    def starts(self) -> list[str]:
        return self.another_adapter().starts()

    def file_of(self, name: str) -> Path:
        return self._state / "files" / name

    async def pass_time(self) -> None:
        self._clock.now += LOOK_S


class OctoPrintBench(Cabled):
    """Implements RemoteBench."""

    def __init__(self, server: OctoPrintServer, folder: Path, cable: Cable) -> None:
        super().__init__([cable])
        self.server, self._cable = server, cable
        self._before = len(server.starts())
        self.brief, self.lasting = gcode_of(folder, 1), gcode_of(folder, 60)
        self._url = f"http://127.0.0.1:{cable.port}"
        self.another_adapter = partial(octoprint_at, self._url, server.api_key)
        self.printer: Printer = self.another_adapter()

    async def a_person_prints(self, gcode: Path, name: str) -> None:
        upload = {"file": (name, gcode.read_bytes())}
        await asyncio.to_thread(self.server.api, "POST", "files/local", files=upload, data={"print": "true"})

    async def a_person_does(self, act: PersonsAct, name: str) -> None:  # noqa: ARG002 (there is one print)
        command = {"command": "cancel"} if act == "cancel" else {"command": "pause", "action": act}
        await self.do("POST", "job", json=command)

    async def it_fails(self, name: str) -> None:  # noqa: ARG002 (there is one print)
        await self.command("!!DEBUG:trigger_fatal_error_marlin")

    async def it_ends(self) -> None:
        await asyncio.to_thread(self.server.wait_for, "Operational", "Offline after error")

    def starts(self) -> list[str]:
        return self.server.starts()[self._before :]

    def file_of(self, name: str) -> Path:
        return self.server.uploads / name

    def stranger(self) -> OctoPrintPrinter:
        return octoprint_at(self._url, WRONG_SECRET)

    async def power_cut(self) -> None:
        await asyncio.to_thread(self.server.restart)

    async def half_sent(self, name: str) -> None:  # noqa: ARG002 (there is one upload)
        await self._cable.carries(2 * MB)

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
    async with Cable(server.port) as cable:
        bench = OctoPrintBench(server, folder, cable)
        async with bench.printer:
            yield bench


async def until(bench: Bench, holds: Callable[[PrinterObservation], bool], within_s: float = 30) -> PrinterObservation:
    """The first observation of which that holds."""
    seen = await bench.printer.observe()
    try:
        async with asyncio.timeout(within_s):
            while not holds(seen):
                await bench.pass_time()
                seen = await bench.printer.observe()
    except TimeoutError:
        raise AssertionError(f"after {within_s} s still {seen}") from None
    return seen


async def print_begins(bench: Bench, gcode: Path, name: str) -> PrinterObservation:
    """Upload, start, and look until the printer names the job."""
    await bench.printer.upload(gcode, name)
    await bench.printer.start(name)
    return await until(bench, lambda seen: seen.busy and seen.remote_name == name)


async def brought_to(bench: Bench, state: str, name: str) -> PrinterObservation:
    """How it stands with that job: idle (only uploaded), printing, paused or finished."""
    if state == "idle":
        await bench.printer.upload(bench.lasting, name)
        return await bench.printer.observe()
    await print_begins(bench, bench.brief if state == "finished" else bench.lasting, name)
    if state == "paused":
        await bench.printer.pause(name)
    return await until(bench, lambda seen: seen.state is PrinterState(state))


async def known_end(bench: Bench, name: str, within_s: float = 30) -> PrinterObservation:
    """How the job ended, as the workflow asks for it: the printer shows it, or its history does, as soon as it can be reached."""
    async with asyncio.timeout(within_s):
        while True:
            seen = await bench.printer.observe()
            if seen.remote_name == name and seen.state in ENDED:
                return seen
            try:
                end = await bench.printer.outcome(name)
            except Transient:
                end = None  # it is away still
            if end is not None:
                return end
            await bench.pass_time()
