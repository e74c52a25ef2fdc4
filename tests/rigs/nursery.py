"""The agent's processes, forked off one that has imported the agent already: most of a short life would be its imports.

Each is a process of its own with its own environment, folder and output, and runs `python -m MODULE ARGUMENT…` from its first line on.
What a start loads, and that it needs nothing but that command, is for fresh ones (tests/commands/test_start.py, AgentHome's `fresh`).
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

from agent.wire.tls import public_trust

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(
    [
        __name__,
        "tests.rigs.dying_agent",
        "agent.daemon",
        *(f"agent.commands.{name}" for name in ("run", "check", "look", "offers", "confirm", "workbench")),
        *("httpcore", "anyio._backends._asyncio"),  # which httpx loads with its first client
    ]
)
public_trust()  # kept from here on: to read the authorities takes longer than many a life's own work
_one_asks = threading.Lock()
"""An exit code can be read once, and whoever starts a process asks for those of all others."""


class Forked:
    """As much of subprocess.Popen as is needed, over what multiprocessing makes; from any thread."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._process = _FORKED.Process(target=target, args=arguments, daemon=True)  # daemon: it ends with the test run
        with _one_asks:
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, as subprocess has it; None while it lives."""
        with _one_asks:
            return self._process.exitcode

    def wait(self, within_s: float) -> int:
        connection.wait([self._process.sentinel], within_s)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", within_s)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def forked(module: str, *arguments: str, out: Path, err: Path | None = None, cwd: Path, environ: Mapping[str, str] | None = None) -> Forked:
    """`python -m module arguments…`. What it says is appended to `out` and `err`; without `err`, both to `out`."""
    return Forked(_lives, module, arguments, (out, err or out), cwd, {**os.environ, **(environ or {})})


def ran(
    module: str, *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, within_s: float = 100
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with what it says as text."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = forked(module, *arguments, out=out, err=err, cwd=cwd, environ=environ)
        try:
            code = process.wait(within_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess([module, *arguments], code, out.read_text(), err.read_text())


def says_into(out: Path, err: Path) -> None:
    """From here on this process has no input, and its output goes there."""
    with Path(os.devnull).open("rb") as nothing, out.open("ab") as said, err.open("ab") as warned:
        for stream, file in enumerate((nothing, said, warned)):
            os.dup2(file.fileno(), stream)


def _lives(module: str, arguments: tuple[str, ...], said: tuple[Path, Path], cwd: Path, environ: dict[str, str]) -> None:
    says_into(*said)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
