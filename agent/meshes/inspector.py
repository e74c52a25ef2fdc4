"""The parent's side of judging a customer's file. Nothing heavy is imported here: the daemon's memory must not grow by numpy."""

import asyncio
import hashlib
import stat
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Self

import structlog
from pydantic import ValidationError

from agent.domain.errors import NeedsOperator
from agent.domain.mesh import MeshReport, Reason, Verdict
from agent.meshes.limits import Limits, size_problem
from agent.meshes.process import Worker, WorkerLost
from agent.ports.files import FileStore

_log = structlog.get_logger()


class ChildInspector:
    """`MeshInspector` over a child process that forks for every file and leaves after `idle_s` without work.

    A file that breaks the limits is held, not rejected: the limits say what this machine can check, not that the model is bad.
    There is no canonical STL for it then, so it cannot be printed either.
    """

    def __init__(self, store: FileStore, *, limits: Limits | None = None, idle_s: float = 60.0) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._worker = Worker(idle_s)

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

    async def inspect(self, sha256: str) -> MeshReport:
        """The verdict; for everything but a reject the canonical STL is in the store, dropped to the bed and centred on it."""
        output = self._store.new_temporary(".stl")
        try:
            report, written = await _judged(self._worker, self._store.path(sha256), output, self._limits)
            canonical = await asyncio.to_thread(self._store.adopt, output) if written else ""
        finally:
            output.unlink(missing_ok=True)
        return report.model_copy(update={"sha256": sha256, "canonical_sha256": canonical})


async def inspect_files(paths: Iterable[Path], *, limits: Limits | None = None) -> AsyncIterator[tuple[Path, MeshReport]]:
    """The verdict on each file, as they come; without a store, so no canonical STL is kept.

    `sha256` is empty for what cannot be read or is too large to be.
    """
    limits = limits or Limits()
    worker = Worker(idle_s=60.0)
    worker.warm()
    try:
        for path in paths:
            report, _ = await _judged(worker, path, None, limits)
            digest = "" if _refused_by_size(path, limits) else await asyncio.to_thread(_sha256, path)
            yield path, report.model_copy(update={"sha256": digest})
    finally:
        await worker.close()


async def _judged(worker: Worker, path: Path, output: Path | None, limits: Limits) -> tuple[MeshReport, bool]:
    """The report without its hashes, and whether `output` was written."""
    started = time.perf_counter()
    report, written = _refused_by_size(path, limits), False
    if report is None:
        answer = await _asked(worker, path, output, limits)
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


async def _asked(worker: Worker, path: Path, output: Path | None, limits: Limits) -> dict[str, Any]:
    request = {"path": str(path.absolute()), "output": str(output or ""), "limits": list(limits)}
    try:
        try:
            return await worker.ask(request, limits.wall_s)
        except WorkerLost as lost:
            # It was idle and left as it was asked, or the system ended it to get memory: the file is not to blame yet.
            _log.info("mesh_worker_lost", error=str(lost))
            return await worker.ask(request, limits.wall_s)
    except TimeoutError:
        return {"died": f"after {limits.wall_s:.0f} s"}
    except WorkerLost as lost:
        return {"lost": str(lost)}


def _read(answer: dict[str, Any], path: Path) -> MeshReport:
    if "disk_full" in answer:
        raise NeedsOperator(
            f"The disk is full: the checked model cannot be written ({answer['disk_full']}).",
            hint="Free some space; the agent goes on by itself.",
            code="disk_full",
        )
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
