"""What was found. All of it was said by others in the network: names are made harmless here, and nothing is believed but by a person."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal

from agent.domain.values import one_line

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_SHOWN = 80


@dataclass(frozen=True)
class FoundPrinter:
    """`says`: what it calls itself, for people. `name`: of that, what may be a printer's name in the configuration.

    `url` of OctoPrint and Moonraker; `serial` and `model` of a Bambu printer; `instance`: what Moonraker's machine is called; each empty
    where it is not known. `wants_key`: it lets nobody look without a key.
    """

    kind: Literal["octoprint", "moonraker", "bambu"]
    name: str
    says: str
    host: str
    url: str = ""
    serial: str = ""
    model: str = ""
    instance: str = ""
    wants_key: bool = False


@dataclass(frozen=True)
class FoundBroker:
    """An MQTT broker. `says` as of a printer."""

    host: str
    port: int
    says: str


@dataclass(frozen=True)
class Found:
    """`troubles`: why something may be missing, in words for a person."""

    printers: list[FoundPrinter] = field(default_factory=list)
    brokers: list[FoundBroker] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def shown(text: str) -> str:
    """On one line and short, whatever it was."""
    return one_line(text[: _SHOWN * 2])[:_SHOWN]


def name_of(text: str, otherwise: str) -> str:
    """A name that the configuration takes."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text[:200]).strip("._-")[:40].strip("._-")
    return name.lower() or otherwise


def is_host(text: str) -> bool:
    """A name or an IPv4 address that may stand in an address, and in the configuration."""
    return _HOST.fullmatch(text) is not None


def is_ours(address: str) -> bool:
    """In a private network, or this machine: nobody can send us to ask somebody on the Internet."""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False
