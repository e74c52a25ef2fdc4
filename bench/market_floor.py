"""The workshop of the market simulation: fifty machines that only keep time, a slicer that only reckons, a clock that can jump.

All else of the agent is the real one: ledger, store, intake, loop, planner, the marketplace's adapter, the process that judges meshes.
"""

import asyncio
import contextlib
import gc
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from agent.domain.errors import Refused
from agent.domain.offer import Item, Offer
from agent.domain.plate import Part, PrintSettings, ProofLine, SlicedPlate
from agent.domain.printer import BedState, LoadedMaterial, PrinterFacts, PrinterObservation, PrinterState
from agent.domain.question import Step
from agent.domain.values import Color
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.operator_api import OperatorApi
from agent.meshes.inspector import ChildInspector
from agent.operator.answers import Answers
from agent.ports.ledger import Stale
from agent.ports.notifier import Notice
from agent.ports.slicer import Progress, SliceWork
from agent.workflow.acceptance import Policy
from agent.workflow.estimating import estimated
from agent.workflow.intake import Intake
from agent.workflow.promise_watch import PromiseWatch
from agent.workflow.reconcile import Reconciler
from agent.workflow.scheduling import Schedule
from agent.workflow.shop import Pace, Shop
from agent.workflow.turns import Turns
from agent.workflow.watch import PrinterWatch

COLORS = (
    Color(name="black", hex="#1a1a1a"),
    Color(name="white", hex="#f5f5f5"),
    Color(name="red", hex="#c1121f"),
    Color(name="blue", hex="#1d4ed8"),
)
_MODELS = (("small", (180, 180, 180)), ("middle", (250, 210, 210)), ("large", (350, 350, 400)))
_OFF = (0.46, 1.27)
"""So many times what is estimated does slicing say, at the least and at the most."""
_SLICING_S = (0.02, 0.1)
CLEAR_BED_S = 1800.0
_A_LITTLE_S = 1.0
"""A print has ended for certain then."""


class Clock:
    """The machine's own time and whatever it was put on by. Nights pass in no time; deadlines run while it is left alone."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def local_now(self) -> datetime:
        return self.now().astimezone()

    def jump(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


class TimedPrinter:
    """Prints by keeping time: what it was given says how long it takes."""

    def __init__(self, facts: PrinterFacts, clock: Clock) -> None:
        self._facts, self._clock = facts, clock
        self._files: dict[str, float] = {}
        self._ends: dict[str, datetime] = {}
        self._current = ""

    @property
    def facts(self) -> PrinterFacts:
        return self._facts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    @property
    def ends(self) -> datetime | None:
        """When what was started last ends, or has ended."""
        return self._ends.get(self._current)

    async def observe(self) -> PrinterObservation:
        if not self._current:
            return PrinterObservation(state=PrinterState.IDLE)
        over = self._clock.now() >= self._ends[self._current]
        return PrinterObservation(state=PrinterState.FINISHED if over else PrinterState.PRINTING, remote_name=self._current)

    async def upload(self, gcode: Path, remote_name: str) -> None:
        self._files[remote_name] = float(json.loads(gcode.read_bytes())["seconds"])

    async def start(self, remote_name: str) -> None:
        if self._current and self._clock.now() < self._ends[self._current]:
            raise Refused("busy", code="busy")
        if remote_name in self._ends:
            raise AssertionError(f"{remote_name} was started twice")
        self._ends[remote_name] = self._clock.now() + timedelta(seconds=self._files[remote_name])
        self._current = remote_name

    async def never_started(self, remote_name: str) -> bool:
        return remote_name not in self._ends

    async def outcome(self, remote_name: str) -> PrinterObservation | None:
        ends = self._ends.get(remote_name)
        if ends is None or self._clock.now() < ends:
            return None
        return PrinterObservation(state=PrinterState.FINISHED, remote_name=remote_name)

    async def pause(self, remote_name: str) -> None: ...

    async def resume(self, remote_name: str) -> None: ...

    async def cancel(self, remote_name: str) -> None: ...


class ReckoningSlicer:
    """Instead of a slicer: takes a moment, and reckons time and filament as far from the agent's estimate as PrusaSlicer's were (decision
    16). Its G-code says how long it takes."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self.slices = 0

    async def warm(self) -> None: ...

    def key(self, work: SliceWork) -> str:
        said = work.model_dump_json(exclude={"printer"})
        return hashlib.sha256(f"{said} {work.printer.profile}".encode()).hexdigest()

    async def slice(self, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:  # noqa: ARG002 (the port's)
        self.slices += 1
        luck = int(self.key(work)[:8], 16) / 0xFFFFFFFF
        await asyncio.sleep(_SLICING_S[0] + luck * (_SLICING_S[1] - _SLICING_S[0]))
        bed = work.printer.bed_mm
        return [self._plate(work, number, parts, luck) for number, parts in enumerate(_plates(work.parts, bed[0] * bed[1] * 0.7), start=1)]

    def _plate(self, work: SliceWork, number: int, copies: dict[str, int], luck: float) -> SlicedPlate:
        items = [_item(part, copies[part.item_id], work.settings) for part in work.parts if part.item_id in copies]
        needs = estimated(items, {}, work.printer)
        assert needs, "all sizes are known here"
        off = _OFF[0] + luck * (_OFF[1] - _OFF[0])
        seconds = max(300, round(off * sum(need.print_seconds for need in needs)))
        grams = off * sum(need.filament_g for need in needs)
        gcode = self._store.put(json.dumps({"seconds": seconds, "of": self.key(work), "plate": number}).encode())
        return SlicedPlate(
            number=number,
            gcode_sha256=gcode,
            copies=copies,
            settings=work.settings,
            profile=work.printer.profile,
            slicer="reckoned",
            print_seconds=seconds,
            filament_g=round(grams, 2),
            filament_mm=round(grams * 335, 1),
            layers=100,
            height_mm=max(part.size_mm[2] for part in work.parts),
            proof=[ProofLine(check="reckoned", expected="yes", found="yes", ok=True)],
        )


def _item(part: Part, copies: int, settings: PrintSettings) -> Item:
    return Item(
        item_id=part.item_id,
        file_id=part.mesh_sha256,
        quantity=copies,
        material=settings.material,
        color=settings.color,
        infill_percent=settings.infill_percent,
        supports=settings.supports,
        bounding_box_mm=list(part.size_mm),
        volume_mm3=part.volume_mm3,
    )


def _plates(parts: Sequence[Part], room_mm2: float) -> list[dict[str, int]]:
    """Copies by item, plate after plate, by the ground they cover."""
    plates: list[dict[str, int]] = [{}]
    covered = 0.0
    for part in parts:
        ground = (part.size_mm[0] + 10) * (part.size_mm[1] + 10)
        for _ in range(part.quantity):
            if plates[-1] and covered + ground > room_mm2:
                plates.append({})
                covered = 0.0
            plates[-1][part.item_id] = plates[-1].get(part.item_id, 0) + 1
            covered += ground
    return plates


class PlainMeshes(ChildInspector):
    """The real process that judges; pictures of models are not drawn."""

    async def pictures(self, mesh_sha256: str) -> dict[str, str]:  # noqa: ARG002 (the port's)
        return {}


class WatchedApi(OperatorApi):
    """The real adapter; remembers for each offer when the first list with it was asked for, and when it had been read."""

    clock: Clock

    def __init__(self, url: str, token: str, clock: Clock) -> None:
        super().__init__("market", url, lambda: token, 5.0)
        self.clock = clock
        self.asked: dict[str, datetime] = {}
        self.visible: dict[str, datetime] = {}

    async def offers(self) -> Sequence[Offer]:
        asked = self.clock.now()
        found = await super().offers()
        for offer in found:
            self.asked.setdefault(offer.offer_id, asked)
            self.visible.setdefault(offer.offer_id, self.clock.now())
        return found


class Silent:
    """Nobody is called."""

    async def notify(self, notice: Notice) -> None: ...

    async def aclose(self) -> None: ...


def printers(count: int, clock: Clock) -> dict[str, TimedPrinter]:
    """Of three sizes, each with one or two spools of PLA or PETG; every third clears its own bed."""
    made = {}
    for number in range(count):
        model, bed = _MODELS[number % 3]
        spools = [LoadedMaterial(material="PLA" if number % 5 else "PETG", color=COLORS[number % 4])]
        if number % 4 == 0:
            spools.append(LoadedMaterial(material="PLA", color=COLORS[(number + 1) % 4]))
        facts = PrinterFacts(
            name=f"{model}-{number:02}",
            kind="timed",
            profile=model,
            slicer="reckoned",
            bed_mm=bed,
            nozzle_mm=0.4,
            materials=spools,
            profile_materials=["PLA", "PETG"],
            clears_its_own_bed=number % 3 == 0,
        )
        made[facts.name] = TimedPrinter(facts, clock)
    return made


@dataclass
class Floor:
    """The agent at work. A person clears beds, by `tidy`, and says no to what they are asked; orders end at their photos.

    `asked`: the offers that a person was asked about.
    """

    shop: Shop
    clock: Clock
    api: WatchedApi
    reconciler: Reconciler
    slicer: ReckoningSlicer
    printers: dict[str, TimedPrinter]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def answer(self) -> None:
        """A person who says no to whatever they are asked about, after a second or so. Runs until cancelled."""
        person = Answers(self.shop.ledger, self.shop.store, "the simulation")
        while True:
            await asyncio.sleep(1.0)
            for question in self.shop.ledger.open_questions():
                if question.step is Step.OFFER:
                    self.asked.append(question.order_id)
                    with contextlib.suppress(Stale):  # it was withdrawn meanwhile
                        person.choose(Step.OFFER, question.order_id, "decline")
                    self.reconciler.wake()

    def tidy(self) -> None:
        """A person clears every bed on which a print has ended."""
        beds = self.shop.ledger.beds()
        for job in self.shop.ledger.active_jobs():
            if job.state == "finished" and beds[job.printer].state is not BedState.FREE:
                self.shop.ledger.set_bed(job.printer, BedState.FREE, "the simulation")
        self.reconciler.wake()

    async def until_quiet(self, longest_s: float = 120.0) -> None:
        """Until no order is due, or that long: what is seen of the prints must not hang on how fast this machine is. One that is at work
        is still due; those that a print's end woke a moment ago are as well."""
        until = time.monotonic() + longest_s
        while time.monotonic() < until:
            await asyncio.sleep(0.05)
            if not self.shop.ledger.due(self.clock.now(), 1):
                return

    async def night(self, seconds: float) -> None:
        """Time passes while no offer waits: prints end, beds are cleared in the time that the plan reckons with, the next ones begin."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while (now := self.clock.now()) < until:
            self.tidy()
            await self.until_quiet()
            self.clock.jump((min(until, self._next_event(now)) - now).total_seconds() + _A_LITTLE_S)
            self.reconciler.wake()
            await self.until_quiet()
        self.tidy()
        await self.until_quiet()

    def _next_event(self, now: datetime) -> datetime:
        """When a printer that clears its own bed comes free, or a bed has been waiting for as long as the plan lets it."""
        waits = timedelta(seconds=CLEAR_BED_S)
        at_work = (self.printers[job.printer] for job in self.shop.ledger.active_jobs())
        ends = (printer.ends + (timedelta() if printer.facts.clears_its_own_bed else waits) for printer in at_work if printer.ends)
        return min((end for end in ends if end > now), default=now + waits)


@contextlib.asynccontextmanager
async def open_floor(folder: Path, url: str, token: str, count: int, margin_s: float) -> AsyncIterator[Floor]:
    gc.freeze()  # as the daemon does
    clock = Clock()
    store = DiskStore(folder / "files")
    store.open()
    machines = printers(count, clock)
    slicer = ReckoningSlicer(store)
    async with contextlib.AsyncExitStack() as stack:
        ledger = stack.enter_context(SqlLedger(sqlite_url(folder), clock.now))
        api = WatchedApi(url, token, clock)
        shop = Shop(
            ledger=ledger,
            store=store,
            marketplaces={"market": await stack.enter_async_context(api)},
            printers=dict(machines),
            slicers={"reckoned": slicer},
            meshes=await stack.enter_async_context(PlainMeshes(store)),
            notifier=Silent(),
            policy=Policy(answer_margin_s=margin_s, quote_budget_s=margin_s * 4, ask_about_instructions=False),
            now=clock.now,
            local_now=clock.local_now,
            largest_file_bytes=50_000_000,
            slicing=Turns(2),
            schedule=Schedule(clear_bed_s=CLEAR_BED_S),
            # The day is jumped through; a look at every order each minute of it would be all that is done then.
            pace=Pace(remote_s=1e6),
        )
        for name in machines:
            ledger.set_bed(name, BedState.FREE, "the simulation")
        floor = Floor(shop, clock, api, Reconciler(shop), slicer, machines)
        works = [floor.reconciler.run, Intake(api, shop, floor.reconciler.wake).run, PromiseWatch(shop).run, floor.answer]
        works += [PrinterWatch(machine, shop).run for machine in machines.values()]
        floor.tasks = [asyncio.create_task(work()) for work in works]
        try:
            yield floor
        finally:
            for task in floor.tasks:
                task.cancel()
            await asyncio.gather(*floor.tasks, return_exceptions=True)
            await floor.reconciler.drain(20.0)
