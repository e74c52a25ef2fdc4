"""What a verdict on a model costs, beside loading it with trimesh and asking the usual questions.

Side by side in one run, in turn: A is the product's own way from a file in the store to the report and the canonical STL there, in the
child process that judges customers' files; B is `bench/trimesh_checks.py` in a process of its own. Processor seconds, for the wall
clock tells what else the machine does; imports count on neither side. `make bench`, or `python -m bench.meshes [PAIRS]`.
"""

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from agent.domain.mesh import MeshReport
from agent.ledger.files import DiskStore
from agent.meshes.inspector import ChildInspector
from agent.meshes.stl import write_canonical
from agent.sandbox import models
from bench import mesh_files
from bench.figures import Figure, keep
from bench.trimesh_checks import peak_mib

FASTER_LEAST = 6.0
MEMORY_SHARE_MOST = 0.5
SMALL_MOST_S = 0.15
LARGE_MOST_MIB = 2048.0
SPARSE_MOST_MS = 50.0
HOSTILE_MOST_S = 10.0
HOSTILE_MOST_MIB = 1536.0
_LOOK_S = 0.002
_SMALL_TIMES = 10


class Cost(NamedTuple):
    cpu_s: float
    peak_mib: float


class _Judge:
    """An inspector with a warm child process, and what its forks cost."""

    def __init__(self, inspector: ChildInspector, store: DiskStore) -> None:
        self._inspector = inspector
        self._store = store

    async def start(self) -> None:
        await self._inspector.inspect(self._store.put(models.binary_stl(models.cube(20))), "cube.stl")

    def put(self, write: Callable[[Path], object]) -> str:
        """A name by which the store has the file from now on. It is not the hash: that of 5 GB of nothing takes its time."""
        sha256 = secrets.token_hex(32)
        path = self.path(sha256)
        path.parent.mkdir(exist_ok=True)
        write(path)
        return sha256

    def path(self, sha256: str) -> Path:
        return self._store.path(sha256)

    def drop(self, sha256: str) -> None:
        self._store.path(sha256).unlink()

    async def judged(self, sha256: str) -> tuple[MeshReport, Cost]:
        """The worker's account of its dead forks gives the time; the peak is looked for while the fork lives."""
        worker = psutil.Process(self._inspector.worker_pid)
        before, peak = _children_cpu_s(worker), 0.0
        judging = asyncio.create_task(self._inspector.inspect(sha256, "model.stl"))
        while not (await asyncio.wait([judging], timeout=_LOOK_S))[0]:
            peak = max([peak, *(peak_mib(pid) for pid in _forks(worker.pid))])
        report = judging.result()
        if report.canonical_sha256 not in ("", sha256):
            self.drop(report.canonical_sha256)
        return report, Cost(_children_cpu_s(worker) - before, peak)


def _children_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.children_user + times.children_system


def _forks(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _trimesh(path: Path) -> Cost:
    """trimesh tells the format by the name, so the file gets one."""
    link = path.with_suffix(".stl")
    link.symlink_to(path)
    try:
        command = [sys.executable, "-m", "bench.trimesh_checks", str(link)]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, env=env).stdout)
    finally:
        link.unlink()
    assert answer["sound"], "the model is sound, and trimesh must say so: else it did other work"
    return Cost(answer["cpu_s"], answer["peak_mib"])


# --- what is measured ----------------------------------------------------------------------------------------------
async def main(pairs: int = 5) -> int:
    promises: list[Figure] = []
    with tempfile.TemporaryDirectory() as temporary:
        store = DiskStore(Path(temporary))
        store.open()
        async with ChildInspector(store) as inspector:
            judge = _Judge(inspector, store)
            await judge.start()
            async for promise in _promises(judge, pairs):
                print(promise, flush=True)
                promises.append(promise)
    keep("meshes", promises)
    return 0 if all(promise.met for promise in promises) else 1


async def _promises(judge: _Judge, pairs: int) -> AsyncIterator[Figure]:
    for name, corners in (
        ("rippled sphere", mesh_files.rippled_sphere(1_000_000)),
        ("subdivided part", mesh_files.subdivided_part(1_000_000)),
    ):
        async for promise in _beside_trimesh(judge, f"{name}, {len(corners) / 1e6:.1f} M", corners, pairs):
            yield promise
    sha256 = judge.put(lambda path: write_canonical(path, mesh_files.rippled_sphere(100_000)))
    costs = [(await judge.judged(sha256))[1].cpu_s for _ in range(_SMALL_TIMES)]
    yield Figure(f"100,000 triangles, mean of {_SMALL_TIMES}", statistics.mean(costs), "CPU-s", SMALL_MOST_S)
    sha256 = judge.put(lambda path: write_canonical(path, mesh_files.rippled_sphere(4_990_000)))
    report, cost = await judge.judged(sha256)
    judge.drop(sha256)
    yield Figure(f"5 M triangles: {report.verdict}, {cost.cpu_s:.1f} CPU-s", cost.peak_mib, "MiB", LARGE_MOST_MIB)
    yield await _sparse(judge)
    for promise in await _hostile(judge):
        yield promise


async def _beside_trimesh(judge: _Judge, name: str, corners: mesh_files.Corners, pairs: int) -> AsyncIterator[Figure]:
    sha256 = judge.put(lambda path: write_canonical(path, corners))
    ours, theirs = [], []
    for _ in range(pairs):
        report, cost = await judge.judged(sha256)
        assert report.verdict == "print" and report.triangles == len(corners), report
        ours.append(cost)
        theirs.append(_trimesh(judge.path(sha256)))
    judge.drop(sha256)
    for who, costs in (("agent", ours), ("trimesh", theirs)):
        times, peaks = ([cost[n] for cost in costs] for n in range(2))
        print(
            f"  {name}, {who:8} median {statistics.median(times):6.2f} CPU-s ({min(times):.2f} to {max(times):.2f}), {max(peaks):5.0f} MiB"
        )
    faster = statistics.median(b.cpu_s for b in theirs) / statistics.median(a.cpu_s for a in ours)
    yield Figure(f"{name}: times faster than trimesh", faster, "", FASTER_LEAST, at_least=True)
    share = max(a.peak_mib for a in ours) / statistics.median(b.peak_mib for b in theirs)
    yield Figure(f"{name}: share of trimesh's memory", share, "", MEMORY_SHARE_MOST)


async def _sparse(judge: _Judge) -> Figure:
    sha256 = judge.put(mesh_files.five_gigabytes)
    began = time.perf_counter()
    report, _ = await judge.judged(sha256)
    took_ms = 1000 * (time.perf_counter() - began)
    assert report.verdict == "reject", report
    judge.drop(sha256)
    return Figure("5 GB of nothing: refused", took_ms, "ms", SPARSE_MOST_MS)


async def _hostile(judge: _Judge) -> list[Figure]:
    """The dearest of all files that are made to be dear."""
    costs: dict[str, Cost] = {}
    for name, write in mesh_files.hostile():
        sha256 = judge.put(write)
        report, costs[name] = await judge.judged(sha256)
        judge.drop(sha256)
        told = f"{report.verdict} {', '.join(reason.code for reason in report.reasons)}"
        print(f"  {name:40} {costs[name].cpu_s:6.2f} CPU-s {costs[name].peak_mib:6.0f} MiB  {told}", flush=True)
    slowest, largest = max(costs, key=lambda name: costs[name].cpu_s), max(costs, key=lambda name: costs[name].peak_mib)
    return [
        Figure(f"dearest of {len(costs)} hostile files: {slowest}", costs[slowest].cpu_s, "CPU-s", HOSTILE_MOST_S),
        Figure(f"largest of them: {largest}", costs[largest].peak_mib, "MiB", HOSTILE_MOST_MIB),
    ]


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*(int(argument) for argument in sys.argv[1:]))))
