"""Servers of a test run: ports that stay free, and an end that comes with the run's, however that ends."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def _own_ports() -> Iterator[int]:
    """Below the range the kernel takes for outgoing connections: those would seize a port that waits for its server to start. Each
    worker of a run has its own, and takes one again only after all the others: two servers that are starting never get the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(range(20_000 + worker % 12 * 1000, 21_000 + worker % 12 * 1000))
    random.SystemRandom().shuffle(ports)  # tests with hypothesis seed the other one
    return itertools.cycle(ports)


_ports = _own_ports()


def free_port() -> int:
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def guard(group: int) -> subprocess.Popen[bytes]:
    """Outlives a test run that is killed, and takes the server down with it: the pipe ends when nobody holds its other end."""
    command = ["sh", "-c", f"cat; kill -KILL -{group}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


class Server:
    """A program that listens on 127.0.0.1, in a process group of its own, with all that it prints in the file `output`."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=env
            )
        self._guard = guard(self._process.pid)

    def wait_for(self, host: str, port: int, greeting: bytes = b"", within_s: float = 20) -> None:
        """Until it takes connections, and says its greeting: some take them before they serve them."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, self._output.read_text(errors="replace")
            with contextlib.suppress(OSError), socket.create_connection((host, port), 1) as probe:
                if not greeting or probe.recv(100).startswith(greeting):
                    return
            time.sleep(0.02)  # it has no other way to say that it is up
        raise AssertionError(f"nothing listens at {port}: {self._output.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
