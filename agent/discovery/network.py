"""Everything at once: who announces itself, who answers on this machine, and what it is."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Sequence

from agent.discovery import SECONDS, ssdp
from agent.discovery.dns_sd import MQTT, Service, browse
from agent.discovery.found import Found, FoundBroker, FoundPrinter, is_host, name_of
from agent.discovery.servers import which

_HERE = ("http://127.0.0.1:7125", "http://127.0.0.1:5000", "http://127.0.0.1")
"""Moonraker announces itself only where it is told to; OctoPi's OctoPrint stands behind a proxy."""
_MOST_ASKED = 60
_AT_ONCE = 16
_NAME_S = 1.5


async def look_around(seconds: float = SECONDS, interfaces: Sequence[str] | None = None, ports: Sequence[int] = ssdp.PORTS) -> Found:
    """No longer than `seconds` and the few it takes to ask who answers."""
    (services, trouble), (bambus, troubles), broker = await asyncio.gather(
        _announced(seconds, interfaces), ssdp.listen(seconds, ports), _broker_here()
    )
    return Found(
        _named_apart([*await _servers(services), *bambus]),
        _brokers([*broker, *[_as_broker(service) for service in services if service.type == MQTT]]),
        [*trouble, *troubles],
    )


async def _announced(seconds: float, interfaces: Sequence[str] | None) -> tuple[list[Service], list[str]]:
    try:
        return await browse(seconds, interfaces), []
    except OSError as error:
        return [], [f"multicast DNS does not work here, so that printers may be missing: {error.strerror or error}"]


async def _servers(services: Sequence[Service]) -> list[FoundPrinter]:
    """Whatever a service calls itself, it is asked what it is."""
    candidates: dict[str, Service | None] = {}
    for service in services:
        if service.type != MQTT:
            candidates.setdefault(f"http://{service.address}{_port(service.port)}{service.path}", service)
    for url in _HERE:
        candidates.setdefault(url, None)
    turns = asyncio.Semaphore(_AT_ONCE)
    asked = list(candidates.items())[:_MOST_ASKED]
    found = await asyncio.gather(*(_server(url, service, turns) for url, service in asked))
    return _one_each(printer for printer in found if printer is not None)


async def _server(url: str, service: Service | None, turns: asyncio.Semaphore) -> FoundPrinter | None:
    async with turns:
        server = await which(url)
        if server is None:
            return None
        host = service.address if service else "127.0.0.1"
        if service and await _leads_to(service.host, service.address):
            host, url = service.host, url.replace(service.address, service.host, 1)
    own = (service.host if service else socket.gethostname()).removesuffix(".local")
    instance = server.instance if is_host(server.instance) else ""
    says = service.says if service else "on this machine"
    return FoundPrinter(server.kind, name_of(own, server.kind), says, host, url, instance=instance, wants_key=server.wants_key)


async def _leads_to(name: str, address: str) -> bool:
    """A name outlives an address, where this machine can look it up."""
    if not name:
        return False
    try:
        async with asyncio.timeout(_NAME_S):
            told = await asyncio.get_running_loop().getaddrinfo(name, None, family=socket.AF_INET)
    except (OSError, UnicodeError):
        return False
    return address in {entry[4][0] for entry in told}


def _port(port: int) -> str:
    return "" if port == 80 else f":{port}"


def _one_each(printers: Iterable[FoundPrinter]) -> list[FoundPrinter]:
    """What announces itself twice, or is on this machine and announces itself as well, is one."""
    kept: dict[str, FoundPrinter] = {}
    for printer in printers:
        key = printer.url.replace(f"//{socket.gethostname()}.local", "//127.0.0.1")
        kept.setdefault(key, printer)
    return list(kept.values())


def _named_apart(printers: Sequence[FoundPrinter]) -> list[FoundPrinter]:
    taken: set[str] = set()
    named = []
    for printer in printers:
        name = next(name for n in range(1, len(printers) + 2) if (name := f"{printer.name}-{n}" if n > 1 else printer.name) not in taken)
        taken.add(name)
        named.append(FoundPrinter(**{**vars(printer), "name": name}))
    return named


# --- brokers -----------------------------------------------------------------------------------------------------
def _as_broker(service: Service) -> FoundBroker:
    return FoundBroker(service.address, service.port, service.says)


def _brokers(found: Iterable[FoundBroker]) -> list[FoundBroker]:
    return list({(broker.host, broker.port): broker for broker in found}.values())


async def _broker_here() -> list[FoundBroker]:
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_NAME_S):
            _, writer = await asyncio.open_connection("127.0.0.1", 1883)
        writer.close()
        return [FoundBroker("127.0.0.1", 1883, "on this machine")]
    return []
