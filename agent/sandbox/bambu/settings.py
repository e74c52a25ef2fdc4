"""How one sandbox printer is to be."""

from dataclasses import dataclass, replace
from pathlib import Path

from agent.sandbox.ports import free_ports


@dataclass(frozen=True)
class Settings:
    """`speed`: how many times faster than predicted it prints; the other times are seconds of the wall clock.

    A port 0 is any free one. `ftps`: `pyftpdlib`, or `none` when somebody else serves the card. `session_reuse`: enforced on the data
    channel. `hang_unwrap`: the end of TLS on the data channel is not answered, as clients tell of P1 and A1.
    """

    folder: Path
    serial: str = "01P00A000000001"
    access_code: str = "12345678"
    host: str = "127.0.0.1"
    mqtt_port: int = 0
    ftps_port: int = 0
    camera_port: int = 0
    model: str = "P1S"
    firmware: str = "01.08.02.00"
    speed: float = 1.0
    default_s: float = 60.0
    stale_s: float = 0.2
    prepare_s: float = 0.3
    heartbeat_s: float = 2.0
    ftps: str = "pyftpdlib"
    session_reuse: bool = True
    hang_unwrap: bool = False
    remember: bool = False

    @property
    def card(self) -> Path:
        return self.folder / "card"


def with_ports(settings: Settings) -> Settings:
    """Each port that is 0 replaced by a free one: mosquitto cannot choose for itself."""
    mqtt, ftps, camera = free_ports(settings.host, 3)
    return replace(
        settings,
        mqtt_port=settings.mqtt_port or mqtt,
        ftps_port=settings.ftps_port or ftps,
        camera_port=settings.camera_port or camera,
    )
