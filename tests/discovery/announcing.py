"""Announcements as the real machines make them, on loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

LOOPBACK = ["127.0.0.1"]


def service(kind: str, name: str, port: int, *, server: str = "octopi.local.", told: dict[str, str] | None = None) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        f"_{kind}._tcp.local.",
        f"{name}._{kind}._tcp.local.",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=port,
        properties=told or {},
        server=server,
    )


@contextlib.asynccontextmanager
async def announced(*services: AsyncServiceInfo) -> AsyncIterator[None]:
    """By python-zeroconf's own responder."""
    responder = AsyncZeroconf(interfaces=LOOPBACK)
    try:
        async with asyncio.TaskGroup() as together:
            for each in services:
                together.create_task(_registered(responder, each))
        yield
    finally:
        await responder.async_close()


async def _registered(responder: AsyncZeroconf, each: AsyncServiceInfo) -> None:
    await (await responder.async_register_service(each, allow_name_change=True))


def notify(serial: str = "01P00A000000001", model: str = "C12", name: str = "Garage", location: str = "192.168.1.50") -> bytes:
    """A Bambu printer's datagram, with the headers that third-party clients read."""
    return (
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1990\r\nServer: UPnP/1.0\r\n"
        f"Location: {location}\r\nNT: urn:bambulab-com:device:3dprinter:1\r\nUSN: {serial}\r\nCache-Control: max-age=1800\r\n"
        f"DevModel.bambu.com: {model}\r\nDevName.bambu.com: {name}\r\nDevSignal.bambu.com: -44\r\nDevConnect.bambu.com: lan\r\n"
        "DevBind.bambu.com: free\r\nDevseclink.bambu.com: secure\r\nDevVersion.bambu.com: 01.07.00.00\r\n\r\n"
    ).encode()


async def said_to(port: int, *datagrams: bytes) -> None:
    """Over and over, as printers do, until cancelled or ten seconds are over: whoever listens begins when it wants."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for _ in range(100):
            for datagram in datagrams:
                mouth.sendto(datagram, ("127.0.0.1", port))
            await asyncio.sleep(0.1)
