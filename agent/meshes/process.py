"""The parent's side of the worker: starting it, asking it, and ending it when it takes too long."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

_log = structlog.get_logger()
_START_S = 60.0
_ROOT = Path(__file__).parents[2]
_ENV = {
    # Where we look ourselves: told, it need not be found out anew (-S), which takes as long as a third of numpy.
    "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)]),
    "LC_ALL": "C.UTF-8",
    # A stack for every core counts against the limit on memory, and a fork must have a single thread.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class WorkerLost(Exception):
    """The worker went away without an answer."""


class Worker:
    """At most one process, started when it is needed, one request at a time."""

    def __init__(self, idle_s: float = 60.0) -> None:
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._spawned: asyncio.subprocess.Process | None = None
        """One that is there and did not say yet that it is ready."""
        self._starting = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._warming: asyncio.Task[object] | None = None

    @property
    def pid(self) -> int | None:
        """The process that would be asked, if one is running."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def spawn(self) -> None:
        """Once this returns, the process gets ready by itself, also while its caller keeps the event loop busy. WorkerLost: it cannot."""
        async with self._starting:
            if self.pid is None and self._spawned is None:
                self._spawned = await self._start()

    def warm(self) -> None:
        if self.pid is None and (self._warming is None or self._warming.done()):
            self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        try:
            await self._running()
        except WorkerLost as lost:
            # Whoever asks next starts it again, and is told.
            _log.warning("mesh_worker_not_started", error=str(lost))

    async def ask(self, request: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
        """The worker's answer. WorkerLost: it went away (asking again starts another). TimeoutError: it was ended."""
        async with self._asking:
            process = await self._running()
            answered = False
            try:
                async with asyncio.timeout(wall_s):
                    answer = await _exchange(process, request)
                answered = True
            finally:
                # Half an answer would be the next file's: also when the caller was cancelled.
                if not answered:
                    await self._end(process)
        return answer

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        for process in (self._process, self._spawned):
            if process is not None:
                await self._end(process)

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                spawned, self._spawned = self._spawned or await self._start(), None
                await self._ready(spawned)
                self._process = spawned
            return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-s", "-P", "-m", "agent.meshes.worker", str(self._idle_s)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_ENV,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerLost(f"it cannot be started: {error.strerror}") from error

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        ready: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(_START_S):
                ready = await _line(process)
        except TimeoutError as error:
            raise WorkerLost("it does not start") from error
        finally:
            if ready is None:
                await self._end(process)
        _log.debug("mesh_worker_started", pid=process.pid, network=ready["network"])

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """The worker and its forks are one process group."""
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it may go by itself between the look and the kill
                os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _exchange(process: asyncio.subprocess.Process, request: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError) as error:
        raise WorkerLost("it left before it was asked") from error
    return await _line(process)


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise WorkerLost("it left without an answer")
    return dict(json.loads(line))
