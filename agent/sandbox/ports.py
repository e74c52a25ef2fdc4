"""Ports for servers that cannot choose one for themselves."""

import contextlib
import errno
import random
import socket

_RANGE = range(10_000, 20_000)
"""Below what the kernel gives to outgoing connections: one of those would seize a port that waits for its server to start."""


def free_ports(host: str, count: int) -> list[int]:
    """So many free ones, each another. OSError where the host is none of this machine's."""
    with contextlib.ExitStack() as probes:
        found: list[int] = []
        for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
            try:
                probes.enter_context(socket.create_server((host, port)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(errno.EADDRINUSE, f"fewer than {count} free ports on {host}")
