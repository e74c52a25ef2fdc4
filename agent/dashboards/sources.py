"""What a dashboard shows, and what is done through it; and the ledger's figures, counted when something has happened."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.domain.job import Job
from agent.domain.overview import Overview
from agent.domain.printer import PrinterFacts, PrinterObservation, PrinterState
from agent.ports.files import FileStore
from agent.ports.ledger import Bed, Ledger
from agent.ports.marketplace import Marketplace
from agent.ports.printer import Printer
from agent.ports.remote import Acts, Switches

_REFRESH_S = 60.0
"""The figures are counted anew so often though nothing happened."""
_SPARING = 20
"""Counting takes at most one part in so many of the time, however many orders there are."""
UNSEEN = PrinterObservation(state=PrinterState.OFFLINE, reason="It has not been looked at yet.")


@dataclass(frozen=True)
class Sources:
    """`facts`: with what is left on the spools. `last_seen`: the workflow's last look at each printer."""

    ledger: Ledger
    store: FileStore
    printers: Mapping[str, Printer]
    facts: Callable[[], Sequence[PrinterFacts]]
    last_seen: Mapping[str, PrinterObservation]
    marketplaces: Mapping[str, Marketplace]
    acts: Acts
    switches: Switches
    now: Callable[[], datetime]
    local_now: Callable[[], datetime]


@dataclass(frozen=True)
class Figures:
    """What was counted at one mark of the ledger. Jobs and beds by printer."""

    mark: str
    at: float
    took_s: float
    overview: Overview
    jobs: Mapping[str, Job]
    beds: Mapping[str, Bed]
    facts: Mapping[str, PrinterFacts]


class Counter:
    """The figures. The same object as before where nothing has happened."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.known: Figures | None = None
        self.mark = ""
        """Of the ledger at the last look, which may be newer than the figures."""

    def look(self) -> Figures:
        """AgentError where the ledger does not answer."""
        before, ledger, now = self.known, self._sources.ledger, time.monotonic()
        self.mark = ledger.mark()
        if before is not None:
            rests = now - before.at < before.took_s * _SPARING
            if rests or (self.mark == before.mark and now - before.at < _REFRESH_S):
                return before
        overview, jobs, beds = ledger.overview(), {job.printer: job for job in ledger.active_jobs()}, ledger.beds()
        facts = {each.name: each for each in self._sources.facts()}
        self.known = Figures(self.mark, now, time.monotonic() - now, overview, jobs, beds, facts)
        return self.known

    def at_work(self) -> Mapping[str, PrinterObservation]:
        """Printers that print for us now."""
        jobs = self.known.jobs if self.known is not None else {}
        seen = {name: self._sources.last_seen.get(name, UNSEEN) for name in jobs}
        return {name: look for name, look in seen.items() if look.busy and look.remote_name == jobs[name].remote_name}
