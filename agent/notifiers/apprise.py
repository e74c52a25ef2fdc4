"""Calling the operator through any of the services apprise knows. An optional extra: it costs 2 s and 50 MB when it is loaded."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode

from agent.domain.errors import NeedsOperator, Transient
from agent.notifiers.address import check_address
from agent.notifiers.picture import Picture
from agent.ports.notifier import Notice, Urgency

_KIND = {Urgency.INFO: "info", Urgency.ACT: "warning", Urgency.ALARM: "failure"}


class AppriseChannel:
    """One address. apprise is loaded with the first message, in a thread of the channel's own: one that hangs holds up nothing else.
    A picture goes to the services that take attachments; apprise keeps it from those that do not. ConfigError where it is not installed.
    """

    takes_pictures = True

    def __init__(self, url: str, *, timeout_s: float = 60.0) -> None:
        check_address(url)
        self._url = url
        self._timeout_s = timeout_s
        self._target: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apprise")

    @property
    def name(self) -> str:
        return f"apprise {self._url.partition('://')[0].lower()}"

    async def send(self, notice: Notice, picture: Picture | None = None) -> None:
        """Transient: it did not arrive, or not in time (apprise does not say why). NeedsOperator: apprise does not know the address."""
        try:
            async with asyncio.timeout(self._timeout_s):
                arrived = await asyncio.get_running_loop().run_in_executor(self._thread, self._send, notice, picture)
        except TimeoutError as error:
            raise Transient(f"{self.name} took longer than {self._timeout_s:.0f} s") from error
        if not arrived:
            raise Transient(f"{self.name} did not take the message", hint="apprise's own words are in the log")

    def _send(self, notice: Notice, picture: Picture | None) -> bool:
        if self._target is None:
            self._target = self._load()
        attach = None if picture is None else _attachment(picture)
        sent: bool = self._target.notify(
            title=notice.title, body=notice.text or notice.title, notify_type=_KIND[notice.urgency], body_format="text", attach=attach
        )
        return bool(sent)

    def _load(self) -> Any:
        # Loaded here, late and in the thread, because it takes seconds and most installations never need it.
        target = import_module("apprise").Apprise()
        if not self._add_quietly(target):
            raise NeedsOperator(f"{self.name}: apprise does not know this address", hint="see apprise's list of services for its form")
        return target

    def _add_quietly(self, target: Any) -> bool:
        """apprise logs an address it cannot read, with the credentials in it."""
        log = logging.getLogger("apprise")
        log.disabled = True
        try:
            return bool(target.add(self._url))
        finally:
            log.disabled = False

    async def aclose(self) -> None:
        """apprise keeps nothing open between messages. A thread that hangs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _attachment(picture: Picture) -> str:
    """As apprise wants a local file: its name in the store, a hash, would tell neither what it is nor how to show it."""
    return f"file://{quote(str(picture.path))}?{urlencode({'mime': picture.media_type, 'name': picture.name})}"
