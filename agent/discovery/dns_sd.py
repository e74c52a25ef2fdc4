"""Who announces itself by DNS-SD over multicast DNS (RFC 6763, RFC 6762), as OctoPrint, Moonraker and brokers do."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from zeroconf import Error, InterfaceChoice, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from agent.discovery.found import is_host, is_ours, shown

OCTOPRINT, MOONRAKER, HTTP, MQTT = (f"_{name}._tcp.local." for name in ("octoprint", "moonraker", "http", "mqtt"))
_TYPES = (OCTOPRINT, MOONRAKER, HTTP, MQTT)
_DETAILS_MS = 2000
_MOST = 200


@dataclass(frozen=True)
class Service:
    """`host`: the machine's own name (octopi.local), empty where it is none; `address`: a private IPv4 address. `path` begins with `/`."""

    type: str
    says: str
    host: str
    address: str
    port: int
    path: str = ""


async def browse(seconds: float, interfaces: Sequence[str] | None = None) -> list[Service]:
    """Those that answered within this time. OSError where this machine has no network for it. `interfaces`: None for all."""
    # What strangers send wrong is no news to the operator.
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
    names: dict[str, str] = {}
    async with AsyncZeroconf(interfaces=list(interfaces or ()) or InterfaceChoice.All, ip_version=IPVersion.V4Only) as network:

        def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:  # noqa: ARG001 (its call)
            if state_change is ServiceStateChange.Added and len(names) < _MOST:
                names[name] = service_type

        browser = AsyncServiceBrowser(network.zeroconf, list(_TYPES), handlers=[heard])
        try:
            await asyncio.sleep(seconds)  # they answer when they want to
        finally:
            await browser.async_cancel()
        found = await asyncio.gather(*(_service(network, kind, name) for name, kind in names.items()))
    return [service for service in found if service is not None]


async def _service(network: AsyncZeroconf, kind: str, name: str) -> Service | None:
    """None where it does not say where it is, or says nonsense."""
    with contextlib.suppress(Error):  # a name that is none
        info = AsyncServiceInfo(kind, name)
        if await info.async_request(network.zeroconf, _DETAILS_MS):
            return _read(info, kind, name)
    return None


def _read(info: AsyncServiceInfo, kind: str, name: str) -> Service | None:
    address = next((address for address in info.parsed_addresses(IPVersion.V4Only) if is_ours(address)), None)
    if address is None or not info.port:
        return None
    host = (info.server or "").rstrip(".")
    return Service(
        kind, shown(name.removesuffix(f".{kind}")), host if is_host(host) else "", address, info.port, _path(info.decoded_properties)
    )


def _path(told: dict[str, str | None]) -> str:
    """OctoPrint says `path`, Moonraker `route_prefix`; nothing is taken that does not look like one."""
    path = (told.get("path") or told.get("route_prefix") or "").strip("/")
    return f"/{path}" if path and len(path) < 100 and path.replace("/", "").replace("-", "").replace("_", "").isalnum() else ""
