"""What stands on the broker: announcements, states, availability. Sent where something has changed, whole after each new connection."""

from collections.abc import Sequence
from dataclasses import replace

from agent.dashboards.commands import OFFERS, bed_of, job_of
from agent.dashboards.discovery import Announced, AnnouncedPrinter, agent_payload, printer_payload
from agent.dashboards.outbox import Outbox
from agent.dashboards.pictures import Pictures
from agent.dashboards.rounds import Accounts, Warmth
from agent.dashboards.shown import Shown
from agent.dashboards.sources import UNSEEN, Figures, Sources
from agent.dashboards.states import PrinterLook, State, agent_state, encoded, printer_state
from agent.dashboards.topics import OFFLINE, ONLINE
from agent.domain.job import JobState
from agent.domain.printer import PrinterObservation, PrinterState
from agent.ports.printer import Heats, Printer

_AT_WORK = (JobState.STARTING, JobState.PRINTING)


class Screen:
    """Of one agent and its printers. `shown` is told what the broker has taken."""

    def __init__(
        self, sources: Sources, about: Announced, outbox: Outbox, shown: Shown, warmth: Warmth, accounts: Accounts, pictures: Pictures
    ) -> None:
        self._sources, self._about, self._topics = sources, about, about.topics
        self._outbox, self._shown = outbox, shown
        self._warmth, self._accounts, self._pictures = warmth, accounts, pictures
        self._seen: dict[str, PrinterObservation] = {}
        self._announced: object = None
        self._from: list[object] = []
        """What all that is shown was made from; empty: not all of it was sent."""
        self._anew = False
        self._states: dict[str, State] = {}
        self._made_from: dict[str, tuple[object, ...]] = {}
        self._previews: dict[str, str] = {}
        self._layered: set[str] = set()
        """Printers that have told their layer."""
        self._to_forget: set[str] = set()
        """Topics on which something lies that is not ours any more, or never was."""

    def begin_anew(self) -> None:
        """Whatever the broker had, or whoever read it, may have forgotten it."""
        self._outbox.begin_anew()
        self._announced = None
        self._anew = True
        self._previews.clear()

    def forget(self, *topics: str) -> None:
        self._to_forget.update(topics)
        self._anew = True

    def found(self, topic: str) -> None:
        """One of our own kind of topics was kept by the broker. Of a printer that the configuration no longer has, all goes."""
        name = self._topics.printer_in(topic)
        if name is not None and name not in self._sources.printers:
            self.forget(*self._topics.printer(name).kept)
        ours = {self._topics.discovery, *(self._topics.printer(known).discovery for known in self._sources.printers)}
        if name is None and topic not in ours:
            self.forget(topic)

    async def show(self, figures: Figures) -> None:
        """Raises as the link does; then it is made whole the next time."""
        source = self._source(figures)
        if not self._anew and _the_same(source, self._from):
            return
        self._anew, self._from = False, []
        await self._forget_what_is_gone()
        await self._announce()
        looks = [self._looked(name, figures) for name in self._sources.printers]
        for look in looks:
            await self._show_printer(look)
        account = replace(self._accounts.known, auto_accept=self._sources.switches.auto_accept)
        await self._outbox.keep(self._topics.state, encoded(agent_state(figures.overview, looks, account)))
        await self._outbox.keep(self._topics.update, encoded(self._accounts.version))
        self._shown.note(OFFERS, tuple(offer.order_id for offer in figures.overview.offers))
        await self._outbox.keep(self._topics.availability, ONLINE.encode())
        self._from = source

    def _source(self, figures: Figures) -> list[object]:
        """The very objects that all is made from: each is another one when it has changed."""
        printers, sources = self._sources.printers, self._sources
        return [
            figures,
            self._accounts.known,
            sources.switches.auto_accept,
            len(self._pictures.cameras),
            *printers.values(),
            *(self._last_seen(name) for name in printers),
            *(self._warmth.known.get(name) for name in printers),
        ]

    def _last_seen(self, name: str) -> PrinterObservation:
        """The same object as before where the printer looks the same: it is looked at every few seconds."""
        seen = self._sources.last_seen.get(name, UNSEEN)
        if seen != self._seen.get(name):
            self._seen[name] = seen
        return self._seen[name]

    async def _forget_what_is_gone(self) -> None:
        for name in self._states.keys() - set(self._sources.printers):
            self._to_forget.update(self._topics.printer(name).kept)
            del self._states[name]
            self._made_from.pop(name)
        first = f"{self._topics.discovery_prefix}/"
        for topic in sorted(self._to_forget, key=lambda topic: not topic.startswith(first)):
            await self._outbox.forget(topic)
            self._to_forget.discard(topic)

    async def _announce(self) -> None:
        """The agent first: printers name it."""
        about = replace(
            self._about,
            switchable=bool(self._accounts.switchable),
            accepts_by_itself=self._sources.switches.auto_accept is not None,
            currencies=sorted(self._accounts.known.earned),
        )
        self._layered |= {name for name in self._sources.printers if self._last_seen(name).layer is not None}
        printers = [self._announced_printer(name, printer) for name, printer in self._sources.printers.items()]
        if (about, printers) == self._announced:
            return
        await self._outbox.keep(self._topics.discovery, encoded(agent_payload(about)))
        for known in printers:
            await self._outbox.keep(self._topics.printer(known.name).discovery, encoded(printer_payload(about, known)))
        self._announced = (about, printers)

    def _announced_printer(self, name: str, printer: Printer) -> AnnouncedPrinter:
        return AnnouncedPrinter(
            name,
            f"{printer.facts.kind} ({printer.facts.profile})",
            warm=isinstance(printer, Heats),
            camera=name in self._pictures.cameras,
            layers=name in self._layered,
        )

    def _looked(self, name: str, figures: Figures) -> PrinterLook:
        return PrinterLook(
            facts=figures.facts.get(name, self._sources.printers[name].facts),
            seen=self._last_seen(name),
            job=figures.jobs.get(name),
            bed=figures.beds.get(name),
            warmth=self._warmth.known.get(name),
            before=self._states.get(name, {}),
        )

    async def _show_printer(self, look: PrinterLook) -> None:
        name, topics = look.facts.name, self._topics.printer(look.facts.name)
        await self._outbox.keep(topics.state, encoded(self._state(look)))
        await self._outbox.keep(topics.availability, (OFFLINE if look.seen.state is PrinterState.OFFLINE else ONLINE).encode())
        self._shown.note(job_of(name), look.job.remote_name if look.job is not None and look.job.state in _AT_WORK else "")
        self._shown.note(bed_of(name), self._sources.acts.bed_mark(look.bed))
        if look.job is not None and self._previews.get(name) != look.job.order_id:
            await self._pictures.preview(name, look.job.order_id, self._sources.ledger, self._sources.store)
            self._previews[name] = look.job.order_id

    def _state(self, look: PrinterLook) -> State:
        """Made when something of this printer changed: an estimate is one from when it was looked at."""
        name, source = look.facts.name, (look.facts, look.seen, look.job, look.bed, look.warmth)
        if not _the_same(source, self._made_from.get(name, ())):
            self._states[name], self._made_from[name] = printer_state(look, self._sources.now()), source
        return self._states[name]


def _the_same(new: Sequence[object], old: Sequence[object]) -> bool:
    """Every one is the very object it was."""
    return len(new) == len(old) and all(one is other for one, other in zip(new, old, strict=True))
