"""What ports.printer promises of files on their way to every machine: whole or not at all, replaced, and in flat memory."""

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.domain.errors import Transient
from agent.domain.printer import PrinterState
from tests.conftest import FIGURES
from tests.printers.benches import Bench, RemoteBench, enlarged, gcode_in, new_name, until

FLAT_KIB = 20 * 1024
_AN_AGENT_OF_ITS_OWN = """
import asyncio, pickle, sys
from pathlib import Path

def peak_kib():
    # not getrusage: a child starts with its parent's peak there
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))

async def main():
    adapter, uploads = pickle.load(sys.stdin.buffer)
    async with adapter() as printer:
        for gcode, name in uploads:
            await printer.upload(gcode, name)
            print(peak_kib(), flush=True)

asyncio.run(main())
"""


async def test_an_upload_can_be_repeated(bench: Bench) -> None:
    name = new_name()
    for gcode in (bench.lasting, bench.brief, bench.brief):
        await bench.printer.upload(gcode, name)
        assert gcode_in(bench.file_of(name)) == gcode.read_bytes()
    assert await bench.printer.never_started(name)
    await bench.printer.start(name)
    await until(bench, lambda seen: seen.state is PrinterState.FINISHED, within_s=10)
    assert bench.starts() == [name]


@contextmanager
def large_upload(bench: Bench, gcode: Path, megabytes: int) -> Iterator[tuple[Path, str]]:
    """A file, and the name it is to have. Neither the disk here nor the machine's is left full of it."""
    large, name = enlarged(gcode, megabytes), new_name()
    try:
        yield large, name
    finally:
        large.unlink()
        bench.file_of(name).unlink(missing_ok=True)


async def test_100_mb_in_flat_memory(bench: Bench, record_property: Callable[[str, object], None]) -> None:
    with large_upload(bench, bench.brief, 100) as (large, name):
        small_kib, large_kib = await asyncio.to_thread(_peaks, bench, [(bench.brief, new_name()), (large, name)])
        assert large.stat().st_size > 100_000_000
        assert gcode_in(bench.file_of(name)) == large.read_bytes()
    assert large_kib - small_kib < FLAT_KIB, f"{large_kib - small_kib} KiB for 100 MB"
    record_property(FIGURES, f"{bench.printer.facts.kind}: {large_kib - small_kib} KiB more for an upload of 100 MB")
    assert bench.starts() == []


def _peaks(bench: Bench, uploads: list[tuple[Path, str]]) -> list[int]:
    """How much memory an agent has had at most, in KiB, after each upload."""
    command, environment = [sys.executable, "-c", _AN_AGENT_OF_ITS_OWN], {**os.environ, "PYTHONPATH": "."}
    asked = pickle.dumps((bench.another_adapter, uploads))
    done = subprocess.run(command, input=asked, capture_output=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("interrupted_by", ["the agent's end", "the machine"])
async def test_an_upload_that_is_interrupted(remote: RemoteBench, interrupted_by: str) -> None:
    with large_upload(remote, remote.lasting, 25) as (large, name):
        async with remote.another_adapter() as sender:
            upload = asyncio.create_task(sender.upload(large, name))
            await remote.half_sent(name)
            assert not upload.done()
            if interrupted_by == "the machine":
                remote.goes_away()
                with pytest.raises(Transient):
                    await upload
                await remote.comes_back()
            else:
                upload.cancel()
        await asyncio.wait([upload])
        assert gcode_in(remote.file_of(name)) is None
        await until(remote, lambda seen: seen.state is PrinterState.IDLE)
        await remote.printer.upload(large, name)
        assert gcode_in(remote.file_of(name)) == large.read_bytes()
        await remote.printer.start(name)
        await until(remote, lambda seen: seen.busy and seen.remote_name == name)
        assert remote.starts() == [name]
