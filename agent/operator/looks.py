"""How the printers stand, for whoever watches: looked at when somebody asks, and never by two at once."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.domain.errors import AgentError
from agent.domain.printer import PrinterObservation, PrinterState, away
from agent.ports.printer import Printer

_FRESH_S = 3.0
_PATIENCE_S = 1.5
"""A page does not wait longer for a printer that is slow: it shows the last look."""
_NOT_YET = PrinterObservation(state=PrinterState.OFFLINE, reason="It has not been looked at yet.")


@dataclass
class _Look:
    seen: PrinterObservation = _NOT_YET
    at: float = field(default=float("-inf"))
    under_way: asyncio.Task[None] | None = None


class PrinterLooks:
    """The last look at each printer."""

    def __init__(self, printers: Mapping[str, Printer]) -> None:
        self._printers = printers
        self._looks = {name: _Look() for name in printers}

    async def now(self) -> Mapping[str, PrinterObservation]:
        """Each printer as it was seen in the last few seconds; one that does not answer so fast as it was before."""
        tasks = [task for name in self._looks if (task := self._look(name)) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE_S)
        return {name: look.seen for name, look in self._looks.items()}

    def forget(self, name: str) -> None:
        """Something was just done to it: the next one who asks looks anew."""
        self._looks[name].at = float("-inf")

    def mark(self) -> str:
        """Another one when something is to be seen that was not; without looking."""
        return "/".join(f"{look.seen.state}{look.seen.progress:.2f}{look.seen.reason}" for look in self._looks.values())

    async def aclose(self) -> None:
        under_way = [look.under_way for look in self._looks.values() if look.under_way is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _look(self, name: str) -> asyncio.Task[None] | None:
        look = self._looks[name]
        if look.under_way is None and time.monotonic() - look.at > _FRESH_S:
            look.under_way = asyncio.create_task(self._observe(name), name=f"look at {name}")
        return look.under_way

    async def _observe(self, name: str) -> None:
        look = self._looks[name]
        try:
            look.seen = await self._printers[name].observe()
        except AgentError as error:
            look.seen = away(error)
        finally:
            look.at, look.under_way = time.monotonic(), None
