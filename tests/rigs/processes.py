"""Servers of a test run: ports that stay free, and an end that comes with the run's, however that ends."""

import contextlib
import itertools
import os
import random
import socket
import subprocess
from collections.abc import Iterator


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
