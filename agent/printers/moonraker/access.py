"""How one Moonraker is reached."""

import ssl
from dataclasses import dataclass, field

from agent.domain.errors import ConfigError
from agent.wire.mqtt import Broker


@dataclass(frozen=True)
class MoonrakerAccess:
    """`url` is Moonraker's own address or that of the proxy before it (http://voron.local:7125); `instance_name` is what its [mqtt]
    section says, by default the machine's host name. `tls` is for an https address with a certificate authority of one's own."""

    url: str
    broker: Broker
    instance_name: str
    api_key: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.instance_name or set(self.instance_name) & set("+#\0"):
            raise ConfigError(
                f"{self.instance_name!r} is no instance_name.", hint="Copy it from [mqtt] in moonraker.conf.", code="bad_instance"
            )
