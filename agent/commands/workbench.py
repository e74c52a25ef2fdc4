"""Judging and slicing models outside of any order: what `quote` and `slice` do, in a folder of their own."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model import Settings
from agent.domain.errors import AgentError, Refused
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import Item, Supports
from agent.domain.plate import Part, PrintSettings, SlicedPlate
from agent.domain.printer import PrinterFacts
from agent.domain.values import Color
from agent.ledger.files import DiskStore
from agent.meshes.inspector import ChildInspector
from agent.meshes.process import Worker
from agent.ports.slicer import Progress, Slicer, SliceWork
from agent.shopfloor import build_slicers, facts_of, mesh_limits, profile_library
from agent.slicers.remembered import cache_dir
from agent.workflow.poses import Orient, laid
from agent.workflow.printer_rules import printer_rules


@dataclass(frozen=True)
class Wish:
    """What a customer would ask for. `color` empty: whatever is loaded."""

    infill_percent: int
    supports: Supports
    material: str
    color: str
    quantity: int

    def item(self, number: int, printer: PrinterFacts) -> Item:
        loaded = next((spool.color for spool in printer.materials if spool.material.casefold() == self.material.casefold()), None)
        color = Color(name=self.color) if self.color else loaded or Color(name="any")
        return Item(
            item_id=f"item-{number}",
            file_id=f"file-{number}",
            quantity=self.quantity,
            material=self.material,
            color=color,
            infill_percent=self.infill_percent,
            supports=self.supports,
        )


@dataclass
class Workbench:
    """Models on the bench and the printers that may make them."""

    store: DiskStore
    slicers: Mapping[str, Slicer]
    printers: Sequence[PrinterFacts]
    reports: dict[Path, MeshReport] = field(default_factory=dict)
    _sliced: dict[str, asyncio.Future[list[SlicedPlate]]] = field(default_factory=dict)
    """By the key of the work: two printers of one profile are one slicing, also where they ask at the same time."""
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    """Slicers at once. Each uses every core where it can, but not all the time."""

    def unprintable(self) -> list[str]:
        """Why some model cannot be printed as it is; empty where all can."""
        return [
            f"{path.name}: {reason.text}"
            for path, report in self.reports.items()
            if report.verdict in (Verdict.HOLD, Verdict.REJECT)
            for reason in report.reasons
        ]

    def wish(self, infill: int, supports: str, material: str, color: str, quantity: int) -> Wish:
        """From words. ValueError where `supports` is none that an order can have."""
        return Wish(infill, Supports(supports), material, color, quantity)

    def why_not(self, printer: PrinterFacts, wish: Wish) -> list[str]:
        """Why this printer cannot make the models, as far as that shows without slicing them; empty where it can."""
        return self.unprintable() or list(dict.fromkeys(self._broken_rules(printer, wish)))

    async def plates(self, printer: PrinterFacts, wish: Wish, progress: Progress | None = None) -> list[SlicedPlate]:
        """All models on one printer's plates, sliced and proved. Refused with the reason where it cannot be done."""
        if reasons := self.why_not(printer, wish):
            raise Refused("; ".join(reasons), code="cannot_make")
        parts = [
            Part(
                item_id=f"item-{number}",
                mesh_sha256=report.canonical_sha256,
                quantity=wish.quantity,
                size_mm=report.bounding_box_mm,
                volume_mm3=report.volume_mm3,
            )
            for number, report in enumerate(self._as_printed(wish), start=1)
        ]
        work = SliceWork(parts=parts, settings=PrintSettings.of(wish.item(1, printer)), printer=printer)
        slicer = self.slicers[printer.slicer]
        key = await asyncio.to_thread(slicer.key, work)
        if key not in self._sliced:
            self._sliced[key] = asyncio.ensure_future(self._in_turn(slicer, work, progress))
        return await self._sliced[key]

    async def tried(self, printer: PrinterFacts, wish: Wish) -> list[str]:
        """Why this printer cannot make the models, once it was tried; empty where it can."""
        try:
            return [reason for plate in await self.plates(printer, wish) for reason in plate.unproved()]
        except AgentError as error:
            return self.why_not(printer, wish) or [error.told()]

    async def _in_turn(self, slicer: Slicer, work: SliceWork, progress: Progress | None) -> list[SlicedPlate]:
        async with self._turns:
            return await slicer.slice(work, progress)

    async def stop(self) -> None:
        """What is still being sliced, because another printer's plates failed, is for nobody."""
        for sliced in self._sliced.values():
            sliced.cancel()
        await asyncio.gather(*self._sliced.values(), return_exceptions=True)

    def _as_printed(self, wish: Wish) -> list[MeshReport]:
        return [report.as_printed(wish.supports) for report in self.reports.values()]

    def _broken_rules(self, printer: PrinterFacts, wish: Wish) -> Iterator[str]:
        for number, report in enumerate(self._as_printed(wish), start=1):
            for rule in printer_rules(wish.item(number, printer), printer, report.bounding_box_mm):
                if not rule.ok:
                    yield f"{rule.rule}: {rule.value} (limit: {rule.limit})"


@contextlib.asynccontextmanager
async def workbench(settings: Settings, models: Sequence[Path], worker: Worker) -> AsyncIterator[Workbench]:
    """A bench with these models judged by the worker. Everything on it is gone when it is left: copy out what is to stay."""
    with tempfile.TemporaryDirectory(prefix="intagly-agent-") as folder:
        store = DiskStore(Path(folder) / "files", synced=False)
        store.open()
        profiles = profile_library(settings)
        slicers = build_slicers(settings, profiles, store, Path(folder) / "slicing", cache_dir())
        # Each says what it is while the models are judged. Where one cannot, whoever wants to slice with it is told.
        asking = asyncio.gather(*(slicer.warm() for slicer in slicers.values()), return_exceptions=True)
        await asyncio.sleep(0)  # now they run
        async with ChildInspector(store, limits=mesh_limits(settings), worker=worker) as inspector:
            printers = [facts_of(printer, profiles, settings.schedule.color_limit) for printer in settings.printers]
            bench = Workbench(store, slicers, printers)
            apply = settings.slicing.orient is Orient.APPLY  # a better side that is only named is not looked for: `inspect` names it
            for model in models:
                report = await inspector.inspect(store.put(_content(model)), model.name, alone=apply)
                bench.reports[model] = await laid(report, inspector, printers) if apply else report
            await asking
            try:
                yield bench
            finally:
                await bench.stop()


def _content(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        hint = "Give the path of a model: STL, 3MF or OBJ."
        raise Refused(f"{model} cannot be read: {error.strerror}.", hint=hint, code="unreadable") from error
