"""All metrics, read when somebody asks."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.errors import AgentError
from agent.domain.figures import History
from agent.domain.measures import Measures
from agent.domain.printer import PrinterObservation, PrinterState, Temperatures
from agent.operator.metrics.exposition import text
from agent.operator.metrics.process import Disk, process_families
from agent.operator.metrics.shop import PrinterFigures, measure_families, order_families, print_families, printer_families
from agent.ports.figures import Figures
from agent.ports.ledger import Ledger
from agent.ports.printer import Heats, Printer

_AT_ONCE = 2000
"""Events counted before something else may happen: a few milliseconds."""
_WARMTH_S = 10.0
_PATIENCE_S = 1.0
"""Nobody who collects metrics waits longer for a printer that is slow: how warm it is is left out."""


@dataclass(frozen=True)
class MetricSources:
    """`last_seen`: the workflow's last look at each printer. `open_here`: programs on this machine need no token."""

    ledger: Ledger
    figures: Figures
    measures: Measures
    printers: Mapping[str, Printer]
    last_seen: Mapping[str, PrinterObservation]
    data_dir: Path
    version: str
    open_here: bool = False


@dataclass
class _Warmth:
    known: dict[str, Temperatures] = field(default_factory=dict)
    at: float = float("-inf")


class Metrics:
    """One text at a time: who asks while it is made waits for it, and counts nothing twice."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources
        self._history = History()
        self._warmth = _Warmth()
        self._disk = Disk(sources.data_dir)
        self._one = asyncio.Lock()

    @property
    def open_here(self) -> bool:
        return self._sources.open_here

    async def text(self) -> str:
        """AgentError where the ledger does not answer."""
        async with self._one:
            await self._count()
            await self._feel()
            disk = await asyncio.to_thread(self._disk.families)
            sources, now = self._sources, self._sources.figures.standing()
            beds = sources.ledger.beds()
            printers = {
                name: PrinterFigures(sources.last_seen.get(name), beds.get(name), self._warmth.known.get(name, Temperatures()))
                for name in sources.printers
            }
            return text(
                [
                    *order_families(self._history, now),
                    *print_families(self._history, now),
                    *printer_families(printers),
                    *measure_families(sources.measures, sources.figures.writes),
                    *disk,
                    *process_families(sources.version),
                ]
            )

    async def _count(self) -> None:
        """What has happened since it was counted last; after a start all of it, with room for others in between."""
        more = True
        while more:
            more = self._sources.figures.add_history(self._history, _AT_ONCE)
            await asyncio.sleep(0)

    async def _feel(self) -> None:
        """How warm the printers are that can be reached, asked at most every ten seconds."""
        if time.monotonic() - self._warmth.at < _WARMTH_S:
            return
        last_seen = self._sources.last_seen
        there = {
            name: printer
            for name, printer in self._sources.printers.items()
            if isinstance(printer, Heats) and name in last_seen and last_seen[name].state is not PrinterState.OFFLINE
        }
        asked = await asyncio.gather(*(_temperatures(printer) for printer in there.values()))
        self._warmth.known = {name: told for name, told in zip(there, asked, strict=True) if told is not None}
        self._warmth.at = time.monotonic()


async def _temperatures(printer: Heats) -> Temperatures | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await printer.temperatures()
    except (AgentError, TimeoutError):
        return None
