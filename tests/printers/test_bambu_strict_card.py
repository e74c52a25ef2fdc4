"""Uploads to a real vsftpd, as an X1 has: it insists on the same TLS session, and cuts files that end without a goodbye."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Transient
from agent.domain.printer import PrinterState
from agent.printers.bambu import ftps
from agent.printers.bambu.ftps import PrinterFiles
from agent.printers.bambu.trust import context_for
from tests.printers.bambu_bench import BambuBench, access_to, bambu_at, bambu_bench
from tests.printers.benches import new_name, print_begins, until
from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.rigs.vsftpd import can_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("bambu strict"),
    pytest.mark.skipif(not can_run(), reason="vsftpd is not here, or may not be given users of its own"),
]


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BambuServer]:
    with running_bambu(tmp_path_factory.mktemp("strict"), ftps="vsftpd", stale_s=0.1, prepare_s=0.1, heartbeat_s=0.2) as server:
        yield server


@pytest.fixture
async def strict(strict_server: BambuServer, tmp_path: Path) -> AsyncIterator[BambuBench]:
    async with bambu_bench(strict_server, tmp_path) as bench:
        yield bench


def vsftpd_log(bench: BambuBench) -> str:
    assert bench.server.vsftpd is not None
    return bench.server.vsftpd.log()


async def test_a_print_from_upload_to_its_end(strict: BambuBench) -> None:
    name = new_name()
    await print_begins(strict, strict.brief, name)
    assert (await until(strict, lambda seen: not seen.busy)).state is PrinterState.FINISHED
    assert strict.starts() == [name]


async def test_a_new_agent_reads_the_head_of_a_file(strict: BambuBench) -> None:
    """And leaves the connection in the middle of it."""
    name = new_name()
    await strict.printer.upload(strict.brief, name)
    async with strict.another_adapter() as later:
        await later.start(name)
        assert (await later.observe()).remote_name == name
    assert strict.starts() == [name]


async def test_50_mb_arrive_whole_and_are_replaced(strict: BambuBench) -> None:
    access = access_to(strict.server)
    files = PrinterFiles(access, context_for(access.ca_file, access.serial))
    stored = strict.server.card / "big.3mf"
    for content in (os.urandom(50 * 2**20), os.urandom(1_000_003)):
        path = strict.brief.parent / "big"
        path.write_bytes(content)
        with path.open("rb") as file:
            await asyncio.to_thread(files.store, file, len(content), "big.3mf")
        assert stored.read_bytes() == content
    assert '"522 ' not in vsftpd_log(strict)


async def test_without_the_goodbye_it_would_be_short(strict: BambuBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the size is looked at for: the file is deleted, and the upload says so."""
    monkeypatch.setattr(ftps, "_goodbye", lambda _data: None)
    access = access_to(strict.server)
    files = PrinterFiles(access, context_for(access.ca_file, access.serial))
    path = strict.brief.parent / "big"
    path.write_bytes(os.urandom(5 * 2**20))
    with path.open("rb") as file, pytest.raises(Transient):
        await asyncio.to_thread(files.store, file, 5 * 2**20, "short.3mf")
    assert not (strict.server.card / "short.3mf").exists()


async def test_an_upload_that_is_cancelled_leaves_no_half_file(strict: BambuBench, tmp_path: Path) -> None:
    name, big = new_name(), tmp_path / "big.gcode"
    with big.open("wb") as file:
        file.write(strict.brief.read_bytes())
        for _ in range(30):
            file.write(b"; " + os.urandom(500_000).hex().encode() + b"\n")
    stored = strict.server.card / f"{name}.3mf"
    upload = asyncio.create_task(strict.printer.upload(big, name))
    async with asyncio.timeout(30):
        while not stored.exists() or not stored.stat().st_size:
            await strict.pass_time()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    async with asyncio.timeout(10):
        while stored.exists():
            await strict.pass_time()


async def test_a_wrong_access_code(strict: BambuBench) -> None:
    access = access_to(strict.server, access_code="87654321")
    files = PrinterFiles(access, context_for(access.ca_file, access.serial))
    with pytest.raises(NeedsOperator) as wrong:
        await asyncio.to_thread(files.size, "x")
    assert wrong.value.code == "wrong_password"
    async with bambu_at(strict.server, access_code="87654321") as stranger:
        assert (await stranger.observe()).state is PrinterState.OFFLINE
