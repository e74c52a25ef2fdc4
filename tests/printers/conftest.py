"""One OctoPrint for all tests of this folder (they carry `xdist_group("octoprint")`), as new before each of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.printers.benches import OctoPrintBench, octoprint_bench
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint


@pytest.fixture(scope="session")
def octoprint_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    with running_octoprint(tmp_path_factory.mktemp("octoprint")) as server:
        yield server


@pytest.fixture
async def octoprint(octoprint_server: OctoPrintServer, tmp_path: Path) -> AsyncIterator[OctoPrintBench]:
    async with octoprint_bench(octoprint_server, tmp_path) as bench:
        yield bench


@pytest.fixture
def gcode(tmp_path: Path) -> Path:
    file = tmp_path / "plate.gcode"
    file.write_bytes(b"G28\n" * 1000)
    return file
