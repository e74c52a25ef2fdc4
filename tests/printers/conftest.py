"""One server of each kind for all tests of this folder (they carry its `xdist_group`), as new before each of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.printers.bambu_bench import BambuBench, bambu_bench
from tests.printers.bambu_script import ScriptedBench, scripted_bench
from tests.printers.benches import Bench, BrokeredBench, OctoPrintBench, RemoteBench, VirtualBench, octoprint_bench
from tests.printers.moonraker_bench import MoonrakerBench, moonraker_bench
from tests.printers.moonraker_peer import Peer, running_peer
from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.rigs.klipper_server import KlipperServer, running_klipper
from tests.rigs.mosquitto import Mosquitto, running_mosquitto
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint

VIRTUAL, OCTOPRINT, MOONRAKER, BAMBU = (
    "virtual",
    pytest.param("octoprint", marks=[pytest.mark.slow, pytest.mark.xdist_group("octoprint")]),
    pytest.param("moonraker", marks=[pytest.mark.slow, pytest.mark.xdist_group("klipper")]),
    pytest.param("bambu", marks=[pytest.mark.slow, pytest.mark.xdist_group("bambu")]),
)
"""For the tests of the contract, which run over every family that they apply to."""


@asynccontextmanager
async def _virtual_bench(folder: Path) -> AsyncIterator[VirtualBench]:
    bench = VirtualBench(folder)
    async with bench.printer:
        yield bench


def _bench_of(request: pytest.FixtureRequest, folder: Path) -> AbstractAsyncContextManager[Bench]:
    match request.param:
        case "octoprint":
            return octoprint_bench(request.getfixturevalue("octoprint_server"), folder)
        case "moonraker":
            return moonraker_bench(request.getfixturevalue("klipper_server"), folder)
        case "bambu":
            return bambu_bench(request.getfixturevalue("bambu_server"), folder)
    return _virtual_bench(folder)


@pytest.fixture(params=[VIRTUAL, OCTOPRINT, MOONRAKER, BAMBU])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench_of(request, tmp_path) as made:
        yield made


@pytest.fixture(params=[OCTOPRINT, MOONRAKER, BAMBU])
async def remote(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RemoteBench]:
    """One with a network, and a secret, between it and the agent: there is none to a virtual printer."""
    async with _bench_of(request, tmp_path) as made:
        yield made


@pytest.fixture(params=[MOONRAKER, BAMBU])
async def brokered(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokeredBench]:
    """One with a broker: OctoPrint is talked to over HTTP alone."""
    async with _bench_of(request, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def octoprint_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    with running_octoprint(tmp_path_factory.mktemp("octoprint")) as server:
        yield server


@pytest.fixture
async def octoprint(octoprint_server: OctoPrintServer, tmp_path: Path) -> AsyncIterator[OctoPrintBench]:
    async with octoprint_bench(octoprint_server, tmp_path) as bench:
        yield bench


@pytest.fixture(scope="session")
def klipper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KlipperServer]:
    with running_klipper(tmp_path_factory.mktemp("klipper")) as server:
        yield server


@pytest.fixture
async def klipper(klipper_server: KlipperServer, tmp_path: Path) -> AsyncIterator[MoonrakerBench]:
    async with moonraker_bench(klipper_server, tmp_path) as bench:
        yield bench


@pytest.fixture(scope="session")
def bambu_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BambuServer]:
    with running_bambu(tmp_path_factory.mktemp("bambu"), stale_s=0.2, prepare_s=0.2, heartbeat_s=0.2) as server:
        yield server


@pytest.fixture
async def bambu(bambu_server: BambuServer, tmp_path: Path) -> AsyncIterator[BambuBench]:
    async with bambu_bench(bambu_server, tmp_path) as bench:
        yield bench


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[ScriptedBench]:
    """A Bambu printer that does what a test tells it; the adapter is not entered yet."""
    async with scripted_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
async def entered(scripted: ScriptedBench) -> AsyncIterator[ScriptedBench]:
    """And a file lies on it."""
    async with scripted.printer:
        await scripted.printer.upload(scripted.gcode, "order_1-1-1-0123abcd.gcode")
        yield scripted


@pytest.fixture(scope="session")
def peer_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture
def peer(peer_broker: Mosquitto) -> Iterator[Peer]:
    """Answers as Moonraker does, or as a test tells it."""
    with running_peer(peer_broker) as peer:
        yield peer


@pytest.fixture
def gcode(tmp_path: Path) -> Path:
    file = tmp_path / "plate.gcode"
    file.write_bytes(b"G28\n" * 1000)
    return file
