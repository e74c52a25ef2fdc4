"""Ports for servers that cannot choose one for themselves."""

import contextlib
import socket


def free_ports(host: str, count: int) -> list[int]:
    """So many free ones; all are looked for at once, so that none is chosen twice."""
    with contextlib.ExitStack() as probes:
        return [int(probes.enter_context(socket.create_server((host, 0))).getsockname()[1]) for _ in range(count)]
