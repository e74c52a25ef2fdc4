"""Servers of a test run: ports that stay free, and an end that comes with the run's, however that ends."""

import contextlib
import random
import socket
import subprocess


def free_port() -> int:
    """Below the range the kernel takes for outgoing connections: those would seize a port that waits for its server to start."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def guard(group: int) -> subprocess.Popen[bytes]:
    """Outlives a test run that is killed, and takes the server down with it: the pipe ends when nobody holds its other end."""
    command = ["sh", "-c", f"cat; kill -KILL -{group}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
