"""Events of orders as they happen, each once."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from agent.dashboards.happenings import happening
from agent.domain.errors import AgentError
from agent.ports.ledger import Ledger

_MOST = 50
_STALE_S = 300.0
"""What is older when it can be told at last is no news."""


class News:
    """Those from before this daemon are nobody's news. `tell` sends one."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime], tell: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        self._ledger, self._now, self._tell = ledger, now, tell
        self._last: int | None = None
        self._told_mark = ""

    def begin(self) -> None:
        """From here on."""
        if self._last is None:
            self._last = self._ledger.newest_event()

    async def tell(self, mark: str) -> None:
        """What happened up to that mark of the ledger. Raises as the link does; what may have arrived is not sent again."""
        if mark == self._told_mark or self._last is None:
            return
        found = self._ledger.events_after(self._last, _MOST)
        for number, event in found:
            told = happening(event)
            try:
                if told is not None and (self._now() - event.at).total_seconds() < _STALE_S:
                    await self._tell(told)
            except AgentError as error:
                if error.code == "undelivered":
                    self._last = number
                raise
            self._last = number
        if len(found) < _MOST:
            self._told_mark = mark
