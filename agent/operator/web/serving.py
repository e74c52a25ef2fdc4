"""uvicorn inside the daemon's loop: no signal handlers of its own, and an end that closes what streams."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.pictures import PrinterPictures
from agent.operator.web.access import Access
from agent.operator.web.app import build
from agent.operator.web.feed import Feed

_GRACE_S = 2
_AT_ONCE = 100
"""Connections and requests; more are told 503. A phone holds three or four."""
_LONGEST_HEAD = 16 * 1024


class _Uvicorn(uvicorn.Server):
    """Signals are the daemon's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """The application and its server. One life: what `run` ends does not begin again."""

    def __init__(self, access: Access, desk: Desk) -> None:
        self._access = access
        self._looks = PrinterLooks(desk.printers)
        self._pictures = PrinterPictures(desk.printers, desk.store, desk.now)
        self._feed = Feed(desk.ledger, self._looks, self._pictures)
        self._app = build(access, desk, self._looks, self._pictures, self._feed)

    async def run(self, listening: socket.socket) -> None:
        """Until cancelled; answers under way have a moment to end."""
        server = _Uvicorn(self._config())
        task = asyncio.create_task(server.serve(sockets=[listening]), name="web server")
        try:
            await asyncio.shield(task)
        finally:
            self._feed.close()
            server.should_exit = True
            await task
            await self._looks.aclose()
            await self._pictures.aclose()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(self._access.trusted_proxies),
            forwarded_allow_ips=self._access.trusted_proxies,
            limit_concurrency=_AT_ONCE,
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
            ssl_certfile=self._access.certificate,
            ssl_keyfile=self._access.key,
        )
