"""Readiness and watchdog for systemd: datagrams to the socket that `$NOTIFY_SOCKET` names.

The protocol is sd_notify(3): lines of `NAME=value`; a leading `@` in the address means the abstract namespace. Without the
variable nobody is listening and every call does nothing.
"""

import os
import socket
import time
from collections.abc import Mapping

import structlog

_log = structlog.get_logger()


def sd_notify(message: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send one message; True where the service manager's socket took it. Never blocks and never raises for a socket that is gone."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        try:
            sock.connect(address)
            sock.send(message.encode(errors="replace"))
        except OSError as error:
            _log.warning("sd_notify_failed", error=str(error))
            return False
    return True


def ready(status: str, environ: Mapping[str, str] = os.environ) -> bool:
    """The daemon serves; systemd starts what waits for it."""
    return sd_notify(f"READY=1\nSTATUS={_one_line(status)}", environ)


def reloading(environ: Mapping[str, str] = os.environ) -> bool:
    """The configuration is read anew; `ready` ends it. The time tells systemd 253 and newer which request this answers (sd_notify(3))."""
    return sd_notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", environ)


def status(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """What `systemctl status` shows."""
    return sd_notify(f"STATUS={_one_line(text)}", environ)


def alive(environ: Mapping[str, str] = os.environ) -> bool:
    """Keep the watchdog from ending the daemon; due every `watchdog_interval_s`."""
    return sd_notify("WATCHDOG=1", environ)


def stopping(environ: Mapping[str, str] = os.environ) -> bool:
    """The daemon drains and ends."""
    return sd_notify("STOPPING=1", environ)


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often to say `alive`: half of what systemd allows, as it advises. None where no watchdog watches this process."""
    allowed, watched = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (allowed.isascii() and allowed.isdigit()) or int(allowed) == 0:
        return None
    if watched and watched != str(os.getpid()):
        return None
    return int(allowed) / 2_000_000


def _one_line(text: str) -> str:
    """A line break would begin another assignment."""
    return " ".join(text.split())
