"""Serves the page from the daemon's own loop.

Nothing of FastAPI, Jinja and uvicorn is loaded before somebody comes: until then the page costs a socket. An agent that nobody looks at
stays as small as it was.
"""

import asyncio
import contextlib
import socket
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import structlog
from pydantic import BaseModel

from agent.domain.person import shown_code
from agent.operator.desk import Desk
from agent.operator.web.access import Access
from agent.operator.web.pairing import FIRST_MINUTES, new_pairing
from agent.ports.notifier import Notice, Urgency

if TYPE_CHECKING:
    from agent.operator.web.serving import Serving

log = structlog.get_logger()

_AGAIN_S = 10.0


class WebPage:
    """The page on one socket. Runs until cancelled."""

    def __init__(self, access: Access, desk: Desk) -> None:
        self._access = access
        self._desk = desk
        self._told = False
        self.listening = asyncio.Event()
        self.port = 0
        """The one it listens on, from when `listening` is set."""

    async def run(self) -> None:
        """A taken port stops no print and no parcel: it is told once, and tried again."""
        while True:
            try:
                listening = self._access.listening()
            except OSError as error:
                await self._tell(f"{self._access.host}:{self._access.port}: {error.strerror or error}")
                await asyncio.sleep(_AGAIN_S)
                continue
            with contextlib.closing(listening):
                await self._serve(listening)

    async def _serve(self, listening: socket.socket) -> None:
        port = listening.getsockname()[1]
        self._tell_where(port)
        await _first_visitor(listening)
        serving = await self._loaded()
        await serving.run(listening)

    async def _loaded(self) -> "Serving":
        # Late: FastAPI, Jinja and uvicorn are 10 MiB and the better part of a second, for pages that may never be opened. In a thread:
        # on a Raspberry Pi it takes seconds, in which printers are to be looked at.
        module = await asyncio.to_thread(_serving_module)
        serving: Serving = module.Serving(self._access, self._desk)
        return serving

    def _tell_where(self, port: int) -> None:
        self.port = port
        self.listening.set()
        url = self._access.opened_at(port)
        log.info("page", open=url)
        if not self._desk.people.people():
            code = new_pairing(self._desk.people, self._desk.now(), minutes=FIRST_MINUTES)
            log.warning("nobody_has_signed_in_yet", open=f"{url}/sign-in", pairing_code=shown_code(code), good_for_h=FIRST_MINUTES // 60)

    async def _tell(self, why: str) -> None:
        if self._told:
            return
        self._told = True
        hint = "Give it another port with [web] listen, or stop what has this one. It is tried again every few seconds; orders go on."
        log.error("page_not_served", why=why, hint=hint)
        text = f"{why}. {hint}"
        await self._desk.notifier.notify(
            Notice(event="page_not_served", title="The web page cannot be served", text=text, urgency=Urgency.ALARM)
        )


def _serving_module() -> ModuleType:
    """With as little of it as can be.

    FastAPI asks of every model whether it is one of pydantic's first version, and loads that for it: 1.5 MiB. There is none here, and it
    takes "not installed" for an answer. Its own models, of OpenAPI, are built when somebody asks for that: 1.3 MiB and a fifth of a second.
    """
    sys.modules.setdefault("pydantic.v1", cast(Any, None))
    BaseModel.model_config["defer_build"] = True
    try:
        import_module("fastapi")
    finally:
        del BaseModel.model_config["defer_build"]
    return import_module("agent.operator.web.serving")


async def _first_visitor(listening: socket.socket) -> None:
    """Somebody wants to connect. The connection stays in the socket's queue."""
    came, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(listening, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(listening)
