"""Bambu printers, which tell of themselves every few seconds by datagrams like those of SSDP.

By public third-party sources, not seen on hardware: NOTIFY to 255.255.255.255 port 2021, and to the group 239.255.255.250 port 1990, with
NT urn:bambulab-com:device:3dprinter:1, Location the address, USN the serial number, and headers Dev….bambu.com. They answer no search.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Sequence
from typing import Any

from agent.discovery.found import FoundPrinter, is_ours, name_of, shown

PORTS = (2021, 1990)
_GROUP = "239.255.255.250"
_TYPE = "urn:bambulab-com:device:3dprinter:1"
_SERIAL = re.compile(r"[0-9A-Z]{8,32}")
_LARGEST = 4096
_MOST_PRINTERS = 200
_MODELS = {
    "BL-P001": "X1C",
    "3DPrinter-X1-Carbon": "X1C",
    "C11": "P1P",
    "C12": "P1S",
    "C13": "X1E",
    "N1": "A1 mini",
    "N2S": "A1",
    "N7": "P2S",
    "O1D": "H2D",
}
"""DevModel.bambu.com, and what the printer is called. Only a proposal: a person says which it is."""


async def listen(seconds: float, ports: Sequence[int] = PORTS) -> tuple[list[FoundPrinter], list[str]]:
    """The printers that were heard, and why a port could not be listened to."""
    loop, heard, troubles, transports = asyncio.get_running_loop(), _Ear(), [], []
    for port in ports:
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: heard, sock=_socket(port))
        except OSError as error:
            troubles.append(f"UDP port {port} cannot be listened to, so that Bambu printers may be missing: {error.strerror}")
            continue
        transports.append(transport)
    try:
        await asyncio.sleep(seconds)  # they speak when they want to
    finally:
        for transport in transports:
            transport.close()
    return list(heard.printers.values()), troubles


def _socket(port: int) -> socket.socket:
    """Beside a slicer that listens there too."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("", port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    with contextlib.suppress(OSError):  # no network for groups: what is broadcast is heard all the same
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4s", socket.inet_aton(_GROUP), bytes(4)))
    return made


class _Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.printers: dict[str, FoundPrinter] = {}

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        found = read(data, str(addr[0]))
        if found is not None and len(self.printers) < _MOST_PRINTERS:
            self.printers[found.serial] = found


def read(datagram: bytes, sender: str) -> FoundPrinter | None:
    """None where it is no Bambu printer's, or makes no sense. `sender`: the address it came from."""
    if len(datagram) > _LARGEST:
        return None
    first, *lines = datagram.decode("utf-8", "replace").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
    if not first.startswith("NOTIFY ") or headers.get("nt") != _TYPE:
        return None
    serial, host = headers.get("usn", ""), headers.get("location", "")
    host = host if is_ours(host) else sender
    if not _SERIAL.fullmatch(serial) or not is_ours(host):
        return None
    model = _MODELS.get(headers.get("devmodel.bambu.com", ""), "")
    says = shown(headers.get("devname.bambu.com", "")) or model or "Bambu printer"
    name = name_of(says, f"bambu-{serial[-6:].lower()}")
    return FoundPrinter("bambu", name, says, host, serial=serial, model=model, wants_key=True)
