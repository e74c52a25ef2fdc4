"""The child process: a verdict in a blink, the canonical file in the store, and a daemon that no file can break."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from agent.domain.errors import NeedsOperator
from agent.domain.mesh import MeshReport, Verdict
from agent.ledger.files import DiskStore
from agent.meshes.inspector import ChildInspector, inspect_files
from agent.meshes.limits import Limits
from agent.meshes.process import Worker
from agent.meshes.stl import read_stl
from agent.ports.meshes import MeshInspector
from agent.sandbox import models


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    opened = DiskStore(tmp_path / "files")
    opened.open()
    return opened


@pytest.fixture
async def inspector(store: DiskStore) -> AsyncIterator[ChildInspector]:
    async with ChildInspector(store) as entered:
        yield entered


@pytest.fixture
def cube(store: DiskStore) -> str:
    return store.put(models.binary_stl(models.moved(models.cube(20), 100, 100, 100)))


def told(report: MeshReport) -> tuple[Verdict, list[str]]:
    return report.verdict, [reason.code for reason in report.reasons]


async def gone(pid: int) -> None:
    """Return when that process has ended; also for one that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await asyncio.to_thread(select.select, [handle], [], [], 30)
        assert select.select([handle], [], [], 0)[0], f"process {pid} is still there"
    finally:
        os.close(handle)


async def running_worker(inspector: ChildInspector, sha256: str) -> int:
    """Its pid, after it has judged a file."""
    await inspector.inspect(sha256, "model.stl")
    assert inspector.worker_pid is not None
    return inspector.worker_pid


# --- verdicts ----------------------------------------------------------------------------------------------------------
async def test_a_good_file_is_printed_from_the_canonical_file_in_the_store(store: DiskStore, inspector: MeshInspector, cube: str) -> None:
    report = await inspector.inspect(cube, "model.stl")
    assert told(report) == (Verdict.PRINT, [])
    assert report.sha256 == cube
    assert (report.triangles, report.bounding_box_mm, report.shells) == (12, (20, 20, 20), 1)
    assert report.volume_mm3 == pytest.approx(8000)
    canonical = read_stl(store.path(report.canonical_sha256), Limits())
    assert np.array_equal(canonical, np.array(models.moved(models.cube(20), -10, -10, 0), np.float32))


async def test_a_canonical_file_is_its_own_canonical_file(store: DiskStore, inspector: ChildInspector) -> None:
    first = await inspector.inspect(store.put(models.ascii_stl(models.moved(models.demo_part(), 0.1, 77.7, -3))), "model.stl")
    again = await inspector.inspect(first.canonical_sha256, "model.stl")
    assert again.canonical_sha256 == first.canonical_sha256
    assert told(again) == (Verdict.PRINT, [])


async def test_a_held_file_has_a_canonical_file_a_rejected_one_has_none(store: DiskStore, inspector: ChildInspector) -> None:
    held = await inspector.inspect(store.put(models.binary_stl(models.inch_cube())), "model.stl")
    assert told(held) == (Verdict.HOLD, ["UNITS"]) and store.has(held.canonical_sha256)
    rejected = await inspector.inspect(store.put(b"PK\x03\x04"), "model.stl")
    assert told(rejected) == (Verdict.REJECT, ["NOT_STL"]) and rejected.canonical_sha256 == ""


async def test_files_asked_about_at_once_each_get_their_own_verdict(store: DiskStore, inspector: ChildInspector) -> None:
    sizes = (7, 8, 9, 10, 11)
    asked = [store.put(models.binary_stl(models.cube(mm))) for mm in sizes]
    reports = await asyncio.gather(*(inspector.inspect(sha256, "model.stl") for sha256 in asked))
    assert [report.bounding_box_mm[0] for report in reports] == list(sizes)
    assert [report.sha256 for report in reports] == asked


async def test_nothing_is_left_over_in_the_store(store: DiskStore, inspector: ChildInspector, cube: str, tmp_path: Path) -> None:
    await inspector.inspect(cube, "model.stl")
    await inspector.inspect(store.put(b"no model"), "model.stl")
    assert list((tmp_path / "files" / "incoming").iterdir()) == []


# --- limits ------------------------------------------------------------------------------------------------------------
async def test_a_file_too_large_is_refused_without_starting_a_process(store: DiskStore, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(5_000_000_084)
    sha256 = "0" * 64
    store.path(sha256).parent.mkdir()
    sparse.rename(store.path(sha256))
    async with ChildInspector(store) as inspector:
        assert told(await inspector.inspect(sha256, "model.stl")) == (Verdict.REJECT, ["TOO_LARGE"])
        assert inspector.worker_pid is None


async def test_a_file_that_needs_more_memory_than_allowed_is_held_and_the_next_is_judged(store: DiskStore, cube: str) -> None:
    greedy = store.put(models.binary_stl(models.rippled_sphere(200_000)))
    async with ChildInspector(store) as inspector:
        pages = int(Path(f"/proc/{await running_worker(inspector, cube)}/statm").read_text().split()[0])
    barely = Limits(memory_bytes=pages * os.sysconf("SC_PAGESIZE") + 12 * 2**20)
    async with ChildInspector(store, limits=barely) as inspector:
        pid = await running_worker(inspector, cube)
        assert told(await inspector.inspect(greedy, "model.stl")) == (Verdict.HOLD, ["TOO_COSTLY"])
        assert told(await inspector.inspect(cube, "model.stl")) == (Verdict.PRINT, [])
        assert inspector.worker_pid == pid, "only the fork died"


async def test_a_file_that_takes_too_long_is_held_and_the_next_is_judged(store: DiskStore, cube: str) -> None:
    async with ChildInspector(store, limits=Limits(wall_s=2)) as inspector:
        stuck = await running_worker(inspector, cube)
        os.kill(stuck, signal.SIGSTOP)
        report = await inspector.inspect(cube, "model.stl")
        assert told(report) == (Verdict.HOLD, ["TOO_COSTLY"]) and report.canonical_sha256 == ""
        await gone(stuck)
        assert told(await inspector.inspect(cube, "model.stl")) == (Verdict.PRINT, [])


async def test_a_full_disk_is_the_operators_matter_not_the_files(tmp_path: Path, cube: str) -> None:
    class Full(DiskStore):
        def new_temporary(self, suffix: str = "") -> Path:
            link = super().new_temporary(suffix)
            link.symlink_to("/dev/full")
            return link

    async with ChildInspector(Full(tmp_path / "files")) as inspector:
        with pytest.raises(NeedsOperator) as full:
            await inspector.inspect(cube, "model.stl")
    assert full.value.code == "disk_full" and full.value.hint


# --- the process -------------------------------------------------------------------------------------------------------
async def test_a_worker_killed_in_the_middle_of_a_file_is_replaced(inspector: ChildInspector, cube: str) -> None:
    pid = await running_worker(inspector, cube)
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.create_task(inspector.inspect(cube, "model.stl"))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    assert told(await asked) == (Verdict.PRINT, [])
    assert inspector.worker_pid not in (None, pid)


async def test_a_question_given_up_does_not_answer_the_next(store: DiskStore, inspector: ChildInspector, cube: str) -> None:
    other = store.put(models.binary_stl(models.cube(30)))
    os.kill(await running_worker(inspector, cube), signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inspector.inspect(cube, "model.stl"), 0.2)
    assert (await inspector.inspect(other, "model.stl")).bounding_box_mm == (30, 30, 30)


async def test_an_idle_worker_leaves_and_comes_back_when_there_is_work(store: DiskStore, cube: str) -> None:
    async with ChildInspector(store, worker=Worker(idle_s=0.05)) as inspector:
        first = await running_worker(inspector, cube)
        await gone(first)
        assert told(await inspector.inspect(cube, "model.stl")) == (Verdict.PRINT, [])


async def test_warming_up_never_waits_and_saves_the_start(inspector: ChildInspector, cube: str) -> None:
    inspector.warm()
    inspector.warm()
    assert inspector.worker_pid is None, "it returned before anything was started"
    assert told(await inspector.inspect(cube, "model.stl")) == (Verdict.PRINT, [])


async def spawned(worker: Worker) -> int:
    """The pid of the process that this starts."""
    before = set(psutil.Process().children())
    await worker.spawn()
    (child,) = set(psutil.Process().children()) - before
    return int(child.pid)


async def test_a_process_that_was_spawned_before_is_the_one_that_is_asked(store: DiskStore, cube: str) -> None:
    worker = Worker()
    pid = await spawned(worker)
    await worker.spawn()
    async with ChildInspector(store, worker=worker) as inspector:
        assert await running_worker(inspector, cube) == pid
        await worker.spawn()
        assert await running_worker(inspector, cube) == pid


async def test_a_process_that_was_spawned_and_never_asked_is_taken_along() -> None:
    worker = Worker()
    pid = await spawned(worker)
    await worker.close()
    await gone(pid)


async def test_leaving_takes_the_worker_along(store: DiskStore, cube: str) -> None:
    async with ChildInspector(store) as inspector:
        pid = await running_worker(inspector, cube)
    await gone(pid)


DAEMON = """
import asyncio, sys, structlog
from pathlib import Path
from agent.meshes.inspector import inspect_files
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
async def main():
    async for path, report in inspect_files([Path(sys.argv[1])]):
        heavy = sorted({"numpy", "trimesh"} & set(sys.modules))
        children = Path("/proc/self/task").glob("*/children")
        print(report.verdict, heavy, *[pid for file in children for pid in file.read_text().split()], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_the_worker_dies_with_its_parent_and_the_parent_carries_no_numpy(tmp_path: Path) -> None:
    model = models.write_binary_stl(tmp_path / "cube.stl", models.cube(20))
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", DAEMON, str(model), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    verdict, heavy, worker = (await parent.stdout.readline()).decode().split()
    parent.kill()
    await parent.wait()
    assert (verdict, heavy) == ("print", "[]")
    await gone(int(worker))


def can_leave_the_network() -> bool:
    tried = "import ctypes, sys; l = ctypes.CDLL(None); sys.exit(l.unshare(0x40000000) != 0 and l.unshare(0x50000000) != 0)"
    return subprocess.run([sys.executable, "-c", tried], check=False).returncode == 0


@pytest.mark.skipif(not can_leave_the_network(), reason="this system lets no process leave the network")
async def test_the_worker_has_no_network(inspector: ChildInspector, cube: str) -> None:
    worker = await running_worker(inspector, cube)
    assert Path(f"/proc/{worker}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


# --- files on the command line -----------------------------------------------------------------------------------------
async def test_plain_files_are_judged_in_order_with_hash_and_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.stl")
    good = models.write_ascii_stl(tmp_path / "-o \n$(id)\udcff.stl", models.cube(20))
    paths = [good, tmp_path / "missing.stl", tmp_path, tmp_path / "pipe.stl"]
    found = [(path, told(report), report) async for path, report in inspect_files(paths)]
    assert [(path, verdict) for path, verdict, _ in found] == [
        (good, (Verdict.PRINT, [])),
        (paths[1], (Verdict.HOLD, ["UNREADABLE"])),
        (paths[2], (Verdict.REJECT, ["NOT_STL"])),
        (paths[3], (Verdict.REJECT, ["NOT_STL"])),
    ]
    assert len(found[0][2].sha256) == 64 and found[0][2].seconds > 0
