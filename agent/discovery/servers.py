"""Which printer server answers at an address: asked without a key, and without following it anywhere.

Seen with OctoPrint 1.11.8 and Moonraker 0.11.0; a Moonraker that lets nobody look without a key was not seen. Moonraker is asked first: it
can play a part of OctoPrint's API as well.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from agent.wire.tls import public_trust

LIMIT_S = 4.0
_LARGEST = 64 * 1024


@dataclass(frozen=True)
class Server:
    """`instance`: what Moonraker's machine is called, where it says so. `wants_key`: it lets nobody look without one."""

    kind: Literal["octoprint", "moonraker"]
    instance: str = ""
    wants_key: bool = False


async def which(url: str, key: str = "") -> Server | None:
    """None where neither of the two answers there. `key`: with it Moonraker tells its instance, where it asks for one."""
    headers = {"X-Api-Key": key} if key else {}
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S, trust_env=False, verify=public_trust(), headers=headers) as client:
        try:
            async with asyncio.timeout(LIMIT_S * 2):
                return await _moonraker(client) or await _octoprint(client)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            return None


async def _moonraker(client: httpx.AsyncClient) -> Server | None:
    status, told = await _asked(client, "/server/info")
    if status == 200 and isinstance(_in(told, "result", "moonraker_version"), str):
        _, info = await _asked(client, "/printer/info")
        instance = _in(info, "result", "hostname")
        return Server("moonraker", instance[:64] if isinstance(instance, str) else "")
    if status == 401 and _in(told, "error", "code") == 401:
        return Server("moonraker", wants_key=True)
    return None


async def _octoprint(client: httpx.AsyncClient) -> Server | None:
    """By the question OctoPrint documents for this: can one ask for a key here?"""
    status, _ = await _asked(client, "/plugin/appkeys/probe")
    if status == 204:
        return Server("octoprint", wants_key=True)
    status, told = await _asked(client, "/api/version")
    text = _in(told, "text")
    return Server("octoprint") if status == 200 and isinstance(text, str) and text.startswith("OctoPrint ") else None


async def _asked(client: httpx.AsyncClient, path: str) -> tuple[int, Any]:
    """Status, and what JSON it was; None where it was none, or too long."""
    async with client.stream("GET", path) as response:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > _LARGEST:
                return response.status_code, None
    try:
        return response.status_code, json.loads(content)
    except (ValueError, RecursionError):
        return response.status_code, None


def _in(told: Any, *path: str) -> Any:
    for part in path:
        told = told.get(part) if isinstance(told, Mapping) else None
    return told
