"""The parent's side of judging a customer's file. Nothing heavy is imported here: the daemon's memory must not grow by numpy."""

import asyncio
import hashlib
import stat
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import structlog
from pydantic import ValidationError

from agent.domain.errors import NeedsOperator
from agent.domain.mesh import MeshReport, Pose, Reason, Verdict
from agent.meshes.limits import Limits, size_problem
from agent.meshes.process import Worker, WorkerLost
from agent.meshes.views import VIEWS, View
from agent.ports.files import FileStore

_log = structlog.get_logger()

_PICTURES_CPU_S, _PICTURES_WALL_S = 15, 30.0
_AHEAD = 64
"""Files of a list that are taken on while an earlier one is judged."""


class ChildInspector:
    """`MeshInspector` over a child process that forks for every file and leaves after a while without work.

    A file that breaks the limits is held, not rejected: the limits say what this machine can check, not that the model is bad.
    There is no canonical STL for it then, so it cannot be printed either.
    """

    def __init__(self, store: FileStore, *, limits: Limits | None = None, worker: Worker | None = None) -> None:
        """`worker`: one that was spawned before; it is closed with the inspector."""
        self._store = store
        self._limits = limits or Limits()
        self._worker = worker or Worker()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._worker.close()

    @property
    def worker_pid(self) -> int | None:
        """The child process, while there is one."""
        return self._worker.pid

    def warm(self) -> None:
        self._worker.warm()

    async def inspect(self, sha256: str, name: str, alone: bool = False) -> MeshReport:
        """The verdict; for everything but a reject the canonical STL is in the store, dropped to the bed and centred on it."""
        output = self._store.new_temporary(".stl")
        try:
            report, written = await _judged(self._worker, self._store.path(sha256), name, output, self._limits, alone=alone)
            canonical = await asyncio.to_thread(self._store.adopt, output) if written else ""
        finally:
            output.unlink(missing_ok=True)
        return report.model_copy(update={"sha256": sha256, "canonical_sha256": canonical})

    async def turned(self, mesh_sha256: str, pose: Pose) -> Pose | None:
        output = self._store.new_temporary(".stl")
        try:
            request = {"turn": str(self._store.path(mesh_sha256).absolute()), "by": pose.turn, "output": str(output.absolute())}
            answer = await _asked(self._worker, {**request, "limits": list(self._limits)}, self._limits.wall_s)
            _refuse_full_disk(answer)
            if not answer.get("written"):
                _log.error("mesh_not_turned", mesh=mesh_sha256, why=answer)
                return None
            return pose.model_copy(update={"mesh_sha256": await asyncio.to_thread(self._store.adopt, output)})
        finally:
            output.unlink(missing_ok=True)

    async def pictures(self, mesh_sha256: str) -> dict[str, str]:
        """By view the sha256 of a PNG in the store, of a canonical STL there. A picture is a help: what cannot be drawn, or finds no
        room on the disk, is logged and left out."""
        files = {view: self._store.new_temporary(".png") for view in VIEWS}
        try:
            drawn = await _drawn(self._worker, self._store.path(mesh_sha256), files, self._limits)
            return {view: await asyncio.to_thread(self._store.adopt, files[view]) for view in drawn}
        except NeedsOperator as error:
            _log.warning("no_mesh_pictures", mesh=mesh_sha256, why=error.told())
            return {}
        finally:
            for file in files.values():
                file.unlink(missing_ok=True)


async def inspect_files(
    paths: Iterable[Path], *, limits: Limits | None = None, workers: int = 1, pictures: Mapping[Path, Path] | None = None
) -> AsyncGenerator[tuple[Path, MeshReport], None]:
    """The verdict on each file, in their order, as they come; without a store, so no canonical STL is kept.

    `workers`: how many are judged at once, each in a process of its own. `pictures`: by file, what its pictures are called up to the
    view (`picture_file`); the report has those that were drawn. `sha256` is empty for what cannot be read or is too large to be.
    """
    free: asyncio.Queue[Worker] = asyncio.Queue()
    for worker in [Worker() for _ in range(workers)]:
        worker.warm()
        free.put_nowait(worker)

    async def report(path: Path) -> MeshReport:
        worker = await free.get()
        try:
            return await _report_of_file(worker, path, (pictures or {}).get(path), limits or Limits())
        finally:
            free.put_nowait(worker)

    begun: deque[tuple[Path, asyncio.Task[MeshReport]]] = deque()
    try:
        for path in paths:
            begun.append((path, asyncio.create_task(report(path))))
            if len(begun) > _AHEAD:
                first, task = begun.popleft()
                yield first, await task
        while begun:
            first, task = begun.popleft()
            yield first, await task
    finally:
        for _, task in begun:
            task.cancel()
        await asyncio.gather(*(task for _, task in begun), return_exceptions=True)
        for _ in range(workers):
            await (await free.get()).close()


def picture_file(stem: Path, view: str) -> Path:
    return stem.with_name(f"{stem.name}-{view}.png")


async def _report_of_file(worker: Worker, path: Path, stem: Path | None, limits: Limits) -> MeshReport:
    if stem is None:
        report, _ = await _judged(worker, path, path.name, None, limits, alone=True)
    else:
        report = await _judged_and_drawn(worker, path, stem, limits)
    digest = "" if _refused_by_size(path, limits) else await asyncio.to_thread(_sha256, path)
    return report.model_copy(update={"sha256": digest})


async def _judged_and_drawn(worker: Worker, path: Path, stem: Path, limits: Limits) -> MeshReport:
    """The canonical STL lies beside the pictures for as long as they are drawn. Pictures that are not of this file do not stay."""
    mesh, files = stem.with_name(f".{stem.name}.stl"), {view: picture_file(stem, view) for view in VIEWS}
    try:
        report, written = await _judged(worker, path, path.name, mesh, limits, alone=True)
        drawn = await _drawn(worker, mesh, files, limits) if written else []
    finally:
        mesh.unlink(missing_ok=True)
    for view in files.keys() - set(drawn):
        files[view].unlink(missing_ok=True)
    return report.model_copy(update={"pictures": {view: await asyncio.to_thread(_sha256, files[view]) for view in drawn}})


async def _judged(worker: Worker, path: Path, name: str, output: Path | None, limits: Limits, *, alone: bool) -> tuple[MeshReport, bool]:
    """The report without its hashes, and whether `output` was written."""
    started = time.perf_counter()
    report, written = _refused_by_size(path, limits), False
    if report is None:
        written_to = "" if output is None else str(output.absolute())  # the process stands in a folder of its own
        request = {"path": str(path.absolute()), "name": name, "output": written_to, "alone": alone, "limits": list(limits)}
        answer = await _asked(worker, request, limits.wall_s)
        report, written = _read(answer, path), bool(answer.get("written"))
    return report.model_copy(update={"seconds": round(time.perf_counter() - started, 4)}), written


def _report(verdict: Verdict, code: str, text: str) -> MeshReport:
    return MeshReport(sha256="", verdict=verdict, reasons=[Reason(code=code, text=text)])


def _refused_by_size(path: Path, limits: Limits) -> MeshReport | None:
    """What stat alone can tell, before a process is asked: opening a pipe or a device would wait for ever."""
    try:
        status = path.stat()
    except OSError as error:
        return _report(Verdict.HOLD, "UNREADABLE", f"The file cannot be read: {error.strerror}.")
    if not stat.S_ISREG(status.st_mode):
        return _report(Verdict.REJECT, "NOT_STL", "This is not a file.")
    problem = size_problem(status.st_size, limits)
    return None if problem is None else _report(Verdict.REJECT, *problem)


async def _drawn(worker: Worker, mesh: Path, into: Mapping[View, Path], limits: Limits) -> list[View]:
    """The views of a canonical STL that were drawn: all, or none where it took too much or the disk is full."""
    frugal = limits._replace(cpu_s=min(limits.cpu_s, _PICTURES_CPU_S))
    request = {"draw": str(mesh.absolute()), "into": {view: str(path.absolute()) for view, path in into.items()}, "limits": list(frugal)}
    answer = await _asked(worker, request, _PICTURES_WALL_S)
    if "drawn" not in answer:
        _log.warning("no_mesh_pictures", mesh=str(mesh), why=answer)
    return list(answer.get("drawn", []))


async def _asked(worker: Worker, request: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
    try:
        try:
            return await worker.ask(request, wall_s)
        except WorkerLost as lost:
            # It was idle and left as it was asked, or the system ended it to get memory: the file is not to blame yet.
            _log.info("mesh_worker_lost", error=str(lost))
            return await worker.ask(request, wall_s)
    except TimeoutError:
        return {"died": f"after {wall_s:.0f} s"}
    except WorkerLost as lost:
        return {"lost": str(lost)}


def _refuse_full_disk(answer: dict[str, Any]) -> None:
    if "disk_full" in answer:
        raise NeedsOperator(
            f"The disk is full: the checked model cannot be written ({answer['disk_full']}).",
            hint="Free some space; the agent goes on by itself.",
            code="disk_full",
        )


def _read(answer: dict[str, Any], path: Path) -> MeshReport:
    _refuse_full_disk(answer)
    if "unreadable" in answer:
        return _report(Verdict.HOLD, "UNREADABLE", f"The file cannot be read: {answer['unreadable']}.")
    if "died" in answer:
        _log.warning("mesh_check_died", path=str(path), code=answer["died"])
        return _report(Verdict.HOLD, "TOO_COSTLY", "Checking the model took more time or memory than allowed; a person has to look at it.")
    if "lost" in answer:
        _log.error("mesh_check_failed", path=str(path), error=answer["lost"])
        return _report(Verdict.HOLD, "CHECK_FAILED", "The model could not be checked; a person has to look at it.")
    try:
        return MeshReport.model_validate({**answer, "sha256": ""})
    except ValidationError as error:
        _log.error("mesh_check_failed", path=str(path), error=str(error))
        return _report(Verdict.HOLD, "CHECK_FAILED", "The model could not be checked; a person has to look at it.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
