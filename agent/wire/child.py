"""Running another program with hard limits on memory, time and disk, so that nothing it does can take the daemon along.

The limits are set by util-linux's `prlimit` and `setpriv` (on every Debian) between fork and the program: about 2 ms in all,
and nothing of Python runs in the forked child. `--pdeathsig` makes the program die with the daemon, also when that is SIGKILLed.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from agent.domain.errors import NeedsOperator

_KEPT_LINES = 60
_TO_CATCH_CPU_S = 2
"""Between the signal that tells the program its CPU time is up and the one it cannot catch."""
_PIPES_S = 1.0
"""How long the pipes of a dead program may stay open: somebody who left its process group may hold them."""


@dataclass(frozen=True)
class Limits:
    """`wall_s` and `cpu_s` in seconds; `memory_bytes` is address space; `file_bytes` the largest file it may write,
    `output_bytes` the most it may say on both streams together, `line_bytes` where a line of that is cut."""

    wall_s: float
    cpu_s: int
    memory_bytes: int
    file_bytes: int
    output_bytes: int = 1_000_000
    line_bytes: int = 4096
    niceness: int = 5


class Stop(StrEnum):
    """The limit that ended it. Too much memory is no such end: the program is told no, and does what it will."""

    WALL_TIME = "wall time"
    CPU_TIME = "CPU time"
    FILE_SIZE = "file size"
    OUTPUT = "output"


@dataclass(frozen=True)
class Ended:
    """How it ended. `code` is negative for a signal. The last lines of both streams, oldest first."""

    code: int
    stopped_by: Stop | None
    seconds: float
    stdout: Sequence[str]
    stderr: Sequence[str]

    @property
    def crashed(self) -> bool:
        """It died of a signal that no limit of ours sent; a shell tells such an end as 128 + signal."""
        return self.stopped_by is None and (self.code < 0 or 128 < self.code < 160)


async def run(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], limits: Limits, on_line: Callable[[str], None] | None = None
) -> Ended:
    """Run to its end, or kill its whole process group when a limit is reached or the caller is cancelled.

    `on_line` is given each line of stdout. NeedsOperator (code not_installed) where the program is not there.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise NeedsOperator(f"{argv[0]} is not installed.", hint=f"Install it (Debian: apt-get install {argv[0]}).", code="not_installed")
    began, heard, timed_out = time.monotonic(), _Heard(limits, on_line), False
    transport, mailbox = await asyncio.get_running_loop().subprocess_exec(
        _Mailbox, *_limited(limits), program, *argv[1:], cwd=cwd, env=dict(env), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        try:
            async with asyncio.timeout(limits.wall_s):
                await mailbox.read(heard)
        except TimeoutError:
            timed_out = True
        _kill_group(transport)  # also when the program itself has ended: what it started must not stay behind
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PIPES_S):
                await mailbox.read(heard)
    finally:
        _kill_group(transport)
        await mailbox.exited.wait()
        transport.close()
    code = cast(int, transport.get_returncode())
    return Ended(code, _stop(code, timed_out, heard.too_much), time.monotonic() - began, heard.last(1), heard.last(2))


def _limited(limits: Limits) -> list[str]:
    cpu = f"--cpu={limits.cpu_s}:{limits.cpu_s + _TO_CATCH_CPU_S}"
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("nice", "-n", str(limits.niceness)),
        *("prlimit", f"--as={limits.memory_bytes}", cpu, f"--fsize={limits.file_bytes}", "--core=0", "--"),
    ]


def _stop(code: int, timed_out: bool, too_much: bool) -> Stop | None:
    if timed_out:
        return Stop.WALL_TIME
    if too_much:
        return Stop.OUTPUT
    by_signal: dict[int, Stop] = {signal.SIGXCPU: Stop.CPU_TIME, signal.SIGXFSZ: Stop.FILE_SIZE}
    return by_signal.get(code - 128 if code > 128 else -code)


def _kill_group(transport: asyncio.SubprocessTransport) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), signal.SIGKILL)


class _Mailbox(asyncio.SubprocessProtocol):
    """What the program says, until it ends; then the rest, until its pipes are closed.

    asyncio's own streams tell of the end only when the pipes are closed, and those may be held by somebody it started.
    """

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self._mail: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._mail.put_nowait((fd, data))

    def process_exited(self) -> None:
        self.exited.set()
        self._mail.put_nowait(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._mail.put_nowait(None)

    async def read(self, heard: "_Heard") -> None:
        """To the next of the two ends, or until it was too much."""
        while (mail := await self._mail.get()) is not None:
            if not heard.take(*mail):
                return


class _Heard:
    """The last lines of both streams, in flat memory whatever the program writes: a line is cut."""

    def __init__(self, limits: Limits, on_line: Callable[[str], None] | None) -> None:
        self._left, self._line_bytes = limits.output_bytes, limits.line_bytes
        self._on_line = on_line
        self._rest = {1: b"", 2: b""}
        self._kept: dict[int, deque[str]] = {1: deque(maxlen=_KEPT_LINES), 2: deque(maxlen=_KEPT_LINES)}

    @property
    def too_much(self) -> bool:
        return self._left < 0

    def take(self, fd: int, data: bytes) -> bool:
        """False where it was too much."""
        self._left -= len(data)
        if self.too_much:
            return False
        *lines, rest = (self._rest[fd] + data).split(b"\n")
        self._rest[fd] = rest[: self._line_bytes]
        for line in lines:
            self._keep(fd, line)
        return True

    def last(self, fd: int) -> list[str]:
        """Call it once, at the end: a line without an end counts as well."""
        if self._rest[fd]:
            self._keep(fd, self._rest[fd])
        return list(self._kept[fd])

    def _keep(self, fd: int, raw: bytes) -> None:
        line = raw[: self._line_bytes].decode(errors="replace").rstrip()
        self._kept[fd].append(line)
        if fd == 1 and self._on_line is not None:
            self._on_line(line)
