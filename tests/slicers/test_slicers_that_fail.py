"""A slicer that crashes, hangs, lies or finds the disk full: a named reason with its last words, and nothing left behind."""

import asyncio
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Refused
from agent.domain.offer import Supports
from agent.ports.slicer import SliceWork
from agent.sandbox import models
from agent.slicers.placing import place
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.proof import prove
from agent.slicers.prusaslicer import PrusaSlicer
from tests.slicers.bench import Bench, script, told, unproved, work


@pytest.fixture
def cube(bench: Bench) -> SliceWork:
    return work(bench.part(models.cube(10)))


def gone(pid: int) -> bool:
    """The process has ended, or does so within a moment; also one that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


async def error_of(slicer: PlateSlicer, work: SliceWork) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await slicer.slice(work)
    assert caught.value.hint
    return caught.value


# --- it ends badly -----------------------------------------------------------------------------------------------------
FULL = 'echo "G-code export to $out failed"; echo "Is the disk full?"; exit 1'
AGAIN = "exec yes 'a long line that comes again and again and again'"
NO = """echo "[2026-11-25 02:22:20] [0x7f] [trace] starting"
echo "[2026-11-25 02:22:21] [0x7f] [error] The file is damaged"
echo "10 => Processing triangulated mesh"
echo "plate.3mf: Loading of a model file failed." >&2
exit 1"""
ENDINGS = {
    "crashes": ('echo "30 => Preparing infill"; kill -SEGV $$', "slicer_crashed", r"exit -11\)\. 30 => Preparing infill"),
    "aborts": ('echo "objects could not fit" >&2; kill -ABRT $$', "slicer_crashed", r"exit -6\)\. objects could not fit"),
    "crashes in a shell": ("exit 139", "slicer_crashed", r"exit 139"),
    "is killed from outside": ("kill -KILL $$", "slicer_out_of_memory", r"killed from outside.*exit -9"),
    "finds no memory": ('echo "std::bad_alloc" >&2; exit 1', "slicer_out_of_memory", r"std::bad_alloc"),
    "writes nothing": ('echo "All objects are outside of the print volume." >&2', "slicer_wrote_nothing", r"outside of the print volume"),
    "writes an empty file": (': > "$out"', "slicer_wrote_nothing", r"ended well but wrote nothing"),
    "writes without end": ('exec cat /dev/zero > "$out"', "slicer_wrote_too_much", r"wrote without end"),
    "talks without end": (AGAIN, "slicer_wrote_too_much", r"again and again"),
    "finds the disk full": (FULL, "disk_full", r"disk is full"),
    "finds no space": ('echo "write: No space left on device" >&2; exit 1', "disk_full", r"No space left"),
    "says no": (NO, "slicer_refused", r"refused \(exit 1\)\. The file is damaged / plate\.3mf: Loading of a model file failed\.$"),
    "names the object": ('echo "Object name: item-6a6f62" >&2; exit 1', "slicer_refused", r"Object name: job"),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_bad_end_has_a_name_and_its_last_words(bench: Bench, cube: SliceWork, tmp_path: Path, how: str) -> None:
    body, code, words = ENDINGS[how]
    error = await error_of(bench.slicer(binary=script(tmp_path / "bad", body), file_bytes=1_000_000), cube)
    assert type(error) is (NeedsOperator if code == "disk_full" else Refused) and error.code == code
    assert re.search(words, str(error))
    assert list(bench.work_dir.iterdir()) == []


async def test_one_that_hangs_is_ended_with_all_it_started(bench: Bench, cube: SliceWork, tmp_path: Path) -> None:
    body = f'sleep 600 & echo $! > {tmp_path}/child\necho $$ > {tmp_path}/itself\necho "20 => Generating perimeters"\nsleep 600'
    error = await error_of(bench.slicer(binary=script(tmp_path / "hangs", body), timeout_s=1), cube)
    assert isinstance(error, Refused) and error.code == "slicer_timeout"
    assert re.search(r"ended after 1 s\. 20 => Generating perimeters", str(error)) and "timeout_s" in error.hint
    assert gone(int((tmp_path / "itself").read_text())) and gone(int((tmp_path / "child").read_text()))
    assert list(bench.work_dir.iterdir()) == []


async def test_a_cancelled_slice_leaves_nothing(bench: Bench, cube: SliceWork, tmp_path: Path) -> None:
    started = asyncio.Event()
    slicer = bench.slicer(binary=script(tmp_path / "slow", f'echo $$ > {tmp_path}/itself\necho "10 => Begun"\nsleep 600'))
    task = asyncio.create_task(slicer.slice(cube, lambda *_: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(int((tmp_path / "itself").read_text()))
    assert list(bench.work_dir.iterdir()) == []


async def test_one_that_eats_memory_gets_no_more_than_its_share(bench: Bench, cube: SliceWork, tmp_path: Path) -> None:
    eats = script(tmp_path / "eats", f"exec {sys.executable} -c 'eaten = bytes(1_000_000_000)'")
    error = await error_of(bench.slicer(binary=eats, memory_bytes=300_000_000), cube)
    assert isinstance(error, Refused) and error.code == "slicer_out_of_memory" and "MemoryError" in str(error)


async def test_the_real_one_with_too_little_memory(bench: Bench, cube: SliceWork) -> None:
    error = await error_of(bench.slicer(memory_bytes=200_000_000), cube)
    assert error.code == "slicer_out_of_memory" and "memory_mb" in error.hint


# --- it ends well and lies ---------------------------------------------------------------------------------------------
async def lied(bench: Bench, work: SliceWork, gcode: bytes) -> set[str]:
    """What the proof finds wrong when this is all the slicer writes."""
    prepared = bench.folder / "prepared"
    prepared.write_bytes(gcode)
    plate = await bench.one(work, binary=script(bench.folder / "lies", f'cp {prepared} "$out"'))
    assert not plate.proved and bench.gcode(plate) == gcode
    return unproved(plate)


async def test_gcode_of_nothing_but_start_and_end(bench: Bench, cube: SliceWork) -> None:
    gcode = bench.gcode(await bench.one(cube))
    begin, end = gcode.index(b";LAYER_CHANGE"), gcode.index(b"; filament used [mm]")
    assert await lied(bench, cube, gcode[:begin] + gcode[end:]) >= {"layers", "copies of a", "place and size of a", "filament in moves"}


async def test_a_missing_copy(bench: Bench) -> None:
    two = work(bench.part(models.cube(10), quantity=2))
    gcode = bench.gcode(await bench.one(two))
    without = re.sub(rb"; printing object \S+ id:0 copy 1\n.*?; stop printing object", b"; stop printing object", gcode, flags=re.DOTALL)
    assert await lied(bench, two, without) >= {"copies of a", "place and size of a", "filament in moves"}


async def test_a_copy_that_is_only_named(bench: Bench) -> None:
    two = work(bench.part(models.cube(10), quantity=2))
    gcode = bench.gcode(await bench.one(two))
    named = re.sub(rb"(; printing object \S+ id:0 copy 1\n).*?; stop printing object", rb"\1; stop printing object", gcode, flags=re.DOTALL)
    assert "copies of a" in await lied(bench, two, named)


async def test_half_the_height(bench: Bench, cube: SliceWork) -> None:
    gcode = bench.gcode(await bench.one(cube))
    layers = [found.start() for found in re.finditer(b";LAYER_CHANGE", gcode)]
    half = gcode[: layers[len(layers) // 2]] + gcode[gcode.index(b"; filament used [mm]") :]
    assert await lied(bench, cube, half) >= {"height", "place and size of a", "filament in moves"}


async def test_half_the_height_of_the_smaller_part_only(bench: Bench) -> None:
    """The plate is as tall as it should be: only the part's own box tells."""
    both = work(bench.part(models.cube(10), "tall"), bench.part(models.box(10, 10, 4), "low"), infill_percent=0)
    gcode = bench.gcode(await bench.one(both))
    label = re.search(rb"printing object item-6c6f77 id:\d+ copy 0", gcode)
    assert label is not None
    layers = re.split(rb"(?=;LAYER_CHANGE)", gcode)
    cut = [re.sub(rb"; " + label[0] + rb".*?; stop " + label[0], b"", layer, flags=re.DOTALL) for layer in layers[11:]]
    assert "place and size of low" in await lied(bench, both, b"".join([*layers[:11], *cut]))


async def test_a_layer_that_is_missing_in_the_middle(bench: Bench) -> None:
    cube = work(bench.part(models.cube(20)))
    layers = re.split(rb"(?=;LAYER_CHANGE)", bench.gcode(await bench.one(cube)))
    assert "filament in moves" in await lied(bench, cube, b"".join([*layers[:40], *layers[41:]]))


# --- it is not there ---------------------------------------------------------------------------------------------------
async def test_a_slicer_that_is_not_installed(bench: Bench, cube: SliceWork) -> None:
    slicer = bench.slicer(binary="no-such-slicer")
    for call in (slicer.engine.version, lambda: slicer.key(cube)):
        with pytest.raises(NeedsOperator, match="no-such-slicer is not installed") as error:
            call()
        assert error.value.code == "not_installed" and "apt-get" in error.value.hint
    with pytest.raises(NeedsOperator):
        await slicer.warm()
    assert (await error_of(slicer, cube)).code == "not_installed"
    assert list(bench.work_dir.iterdir()) == []


@pytest.mark.parametrize("body", ["echo hello", "printf '\\377\\376'", "exit 3", "exec nothing-like-this"])
def test_a_program_that_is_no_prusaslicer(bench: Bench, tmp_path: Path, body: str) -> None:
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\n{body}\n")
    other.chmod(0o755)
    with pytest.raises(NeedsOperator, match="is not PrusaSlicer") as error:
        bench.slicer(binary=str(other)).engine.version()
    assert error.value.code == "not_installed"


def test_a_program_of_another_machine(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF for something else")
    other.chmod(0o755)
    with pytest.raises(NeedsOperator, match=r"does not start: .*Exec format error"):
        bench.slicer(binary=str(other)).engine.version()


# --- the disk is full --------------------------------------------------------------------------------------------------
@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB; tests that need it are skipped where it may not be mounted."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


async def test_the_slicers_disk_is_full(bench: Bench, tiny_disk: Path) -> None:
    slicer = PlateSlicer(PrusaSlicer(), bench.profiles, bench.store, tiny_disk / "slicing")
    error = await error_of(slicer, work(bench.part(models.cube(20))))
    assert isinstance(error, NeedsOperator) and error.code == "disk_full" and "goes on by itself" in error.hint
    assert list((tiny_disk / "slicing").iterdir()) == []


async def test_the_stores_disk_is_full(bench: Bench, tiny_disk: Path) -> None:
    full = Bench.in_folder(tiny_disk)
    cube = work(full.part(models.cube(20)))
    error = await error_of(PlateSlicer(PrusaSlicer(), bench.profiles, full.store, bench.work_dir), cube)
    assert isinstance(error, NeedsOperator) and error.code == "disk_full"
    assert [path for path in (tiny_disk / "files").rglob("*.gcode")] == [] and list(bench.work_dir.iterdir()) == []


async def test_no_room_even_for_the_3mf(bench: Bench, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = bench.part(models.rippled_sphere(2_000, 10))
    (tiny_disk / "filler").write_bytes(bytes(590_000))
    slicer = PlateSlicer(PrusaSlicer(), bench.profiles, bench.store, tiny_disk / "slicing")
    assert (await error_of(slicer, work(part))).code == "disk_full"
    monkeypatch.setattr("agent.slicers.apart.IN_PROCESS_BYTES", 0)  # written by a process of its own
    assert (await error_of(slicer, work(part))).code == "disk_full"


async def test_a_work_folder_that_cannot_be_made(bench: Bench, cube: SliceWork) -> None:
    bench.work_dir.write_text("in the way")
    error = await error_of(bench.slicer(), cube)
    assert isinstance(error, NeedsOperator) and error.code == "file_trouble" and "File exists" in str(error)


# --- large files -------------------------------------------------------------------------------------------------------
async def test_large_files_are_read_and_written_by_processes_of_their_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.slicers.apart.IN_PROCESS_BYTES", 0)
    two = work(bench.part(models.t_shape(), "t"), bench.part(models.cube(10), "c", 2), supports=Supports.YES)
    plate = await bench.one(two)
    assert plate.failed_proof() == []
    profile = bench.profiles.profile("prusa-mk3s")
    assert plate.proof == prove(
        bench.facts(plate), told(profile, two.settings), *place(two.parts, profile, supports=True), two.parts, two.settings, profile
    )
