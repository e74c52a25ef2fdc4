"""Files on their way to a real Moonraker: large, cut off, mixed up, doubled."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.errors import Transient
from agent.printers.moonraker import web
from tests.printers.benches import new_name
from tests.printers.moonraker_bench import MoonrakerBench

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper")]

MB = 1_000_000
_IN_A_PROCESS_OF_ITS_OWN = """
import asyncio, sys
from pathlib import Path
from agent.printers.moonraker import MoonrakerAccess, MoonrakerPrinter
from agent.wire.mqtt import Broker
from tests.printers.benches import facts

def peak_kib():
    # not getrusage: a child starts with its parent's peak there
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))

async def main():
    url, port, user, password, instance, small, large, name = sys.argv[1:]
    access = MoonrakerAccess(url, Broker("127.0.0.1", int(port), user, password), instance)
    async with MoonrakerPrinter(facts("voron", "moonraker"), access) as printer:
        await printer.upload(Path(small), "small.gcode")
        before = peak_kib()
        await printer.upload(Path(large), name)
        print(peak_kib() - before)

asyncio.run(main())
"""


def _large(folder: Path, letter: str, size: int) -> Path:
    path = folder / f"{letter}.gcode"
    line = f"; {letter * 60}\n".encode()
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(line * (MB // len(line)))
    return path


async def test_100_mb_in_flat_memory(klipper: MoonrakerBench, tmp_path: Path) -> None:
    large, name, server = _large(tmp_path, "x", 100 * MB), new_name(), klipper.server
    where = [server.url, str(server.broker_port), server.broker_user, server.broker_password, server.instance]
    command = [sys.executable, "-c", _IN_A_PROCESS_OF_ITS_OWN, *where, str(klipper.brief), str(large), name]
    environment = {**os.environ, "PYTHONPATH": "."}
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20 * 1024, f"{done.stdout} KiB for 100 MB"
    print(f"{int(done.stdout)} KiB for 100 MB")
    assert (server.gcodes / name).read_bytes() == large.read_bytes()
    assert await klipper.printer.never_started(name)
    (server.gcodes / name).unlink()


async def test_an_upload_that_is_cut_off_leaves_nothing(klipper: MoonrakerBench, tmp_path: Path) -> None:
    large, name = _large(tmp_path, "x", 60 * MB), new_name()
    upload = asyncio.create_task(klipper.printer.upload(large, name))
    await asyncio.sleep(0.3)
    assert not upload.done()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert name not in {file.name for file in klipper.server.gcodes.iterdir()}
    await klipper.printer.upload(klipper.brief, name)
    assert (klipper.server.gcodes / name).read_bytes() == klipper.brief.read_bytes()
    assert await klipper.printer.never_started(name)


async def test_moonraker_dies_in_an_upload(klipper: MoonrakerBench, tmp_path: Path) -> None:
    large, name, server = _large(tmp_path, "x", 60 * MB), new_name(), klipper.server
    upload = asyncio.create_task(klipper.printer.upload(large, name))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.moonraker.stop)
    with pytest.raises(Transient):
        await upload
    await asyncio.to_thread(server.moonraker.start)
    assert not (server.gcodes / name).exists()


async def test_uploads_that_moonraker_mixes_up_are_found_out(klipper: MoonrakerBench, tmp_path: Path) -> None:
    """Its temporary file is named by the second. It says 201, with a right checksum, to what it stored wrongly; it is sent again."""
    files = {new_name(): _large(tmp_path, letter, 25 * MB) for letter in "ab"}
    async with klipper.another_adapter() as other:
        pairs = zip((klipper.printer, other), files.items(), strict=True)
        ends = await asyncio.gather(*(printer.upload(file, name) for printer, (name, file) in pairs), return_exceptions=True)
    assert ends == [None, None]
    for name, file in files.items():
        assert (klipper.server.gcodes / name).read_bytes() == file.read_bytes()


async def test_a_file_that_was_damaged_on_its_way_is_not_kept(klipper: MoonrakerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "APART_S", (0.0, 0.0))
    monkeypatch.setattr(web, "_sha256", lambda _path: "0" * 64)
    name = new_name()
    with pytest.raises(Transient) as damaged:
        await klipper.printer.upload(klipper.brief, name)
    assert damaged.value.code == "damaged"
    assert not (klipper.server.gcodes / name).exists()


@pytest.fixture(autouse=True)
async def _no_file_stays(klipper: MoonrakerBench) -> AsyncIterator[None]:
    yield
    for file in klipper.server.gcodes.iterdir():
        if file.is_file() and file.stat().st_size > 10 * MB:
            file.unlink()
