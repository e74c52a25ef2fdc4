"""Judging, slicing and quoting models outside of any order: what `quote` and `slice` do, in a folder of their own."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model import Settings
from agent.domain.decision import Quote
from agent.domain.errors import AgentError, Refused
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import Item, Supports
from agent.domain.plate import Part, SlicedPlate
from agent.domain.print_time import Correction
from agent.domain.printer import PrinterFacts
from agent.domain.values import Color
from agent.ledger.files import DiskStore
from agent.ledger.places import sqlite_file
from agent.meshes.inspector import ChildInspector
from agent.ports.slicer import Progress, Slicer, SliceWork
from agent.shopfloor import build_slicers, facts_of, mesh_limits, profile_library
from agent.workflow.acceptance import printer_rules
from agent.workflow.making import quote as quote_of
from agent.workflow.making import settings_of
from agent.workflow.poses import Orient, laid
from agent.workflow.times import correction_on


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
    correction: Callable[[str, SlicedPlate], Correction | None]
    """What is known of the time a printer, by its name, takes for a plate."""
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

    async def quote(self, printer: PrinterFacts, wish: Wish, progress: Progress | None = None) -> Quote:
        """What this printer would need for all the models, or why it cannot."""
        reasons = self.unprintable() or self._cannot(printer, wish)
        if reasons:
            return Quote(printer=printer.name, ok=False, reasons=reasons)
        try:
            plates = await self.plates(printer, wish, progress)
            return quote_of(plates, lambda plate: self.correction(printer.name, plate)).model_copy(update={"printer": printer.name})
        except AgentError as error:
            return Quote(printer=printer.name, ok=False, reasons=[error.told()])

    async def plates(self, printer: PrinterFacts, wish: Wish, progress: Progress | None = None) -> list[SlicedPlate]:
        """All models on one printer's plates, sliced and proved. Refused with the reason where it cannot be done."""
        if reasons := self.unprintable() or self._cannot(printer, wish):
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
        work = SliceWork(parts=parts, settings=settings_of(wish.item(1, printer)), printer=printer)
        slicer = self.slicers[printer.slicer]
        key = await asyncio.to_thread(slicer.key, work)
        if key not in self._sliced:
            self._sliced[key] = asyncio.ensure_future(self._in_turn(slicer, work, progress))
        return await self._sliced[key]

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

    def _cannot(self, printer: PrinterFacts, wish: Wish) -> list[str]:
        return list(dict.fromkeys(self._broken_rules(printer, wish)))

    def _broken_rules(self, printer: PrinterFacts, wish: Wish) -> Iterator[str]:
        for number, report in enumerate(self._as_printed(wish), start=1):
            for rule in printer_rules(wish.item(number, printer), printer, report.bounding_box_mm):
                if not rule.ok:
                    yield f"{rule.rule}: {rule.value} (limit: {rule.limit})"


@contextlib.asynccontextmanager
async def workbench(settings: Settings, models: Sequence[Path]) -> AsyncIterator[Workbench]:
    """A bench with these models judged. Everything on it is gone when it is left: copy out what is to stay."""
    with tempfile.TemporaryDirectory(prefix="intagly-agent-") as folder:
        store = DiskStore(Path(folder) / "files")
        store.open()
        profiles = profile_library(settings)
        printers = [facts_of(printer, profiles) for printer in settings.printers]
        slicers = build_slicers(settings, profiles, store, work_dir=Path(folder) / "slicing")
        async with ChildInspector(store, limits=mesh_limits(settings)) as inspector:
            bench = Workbench(store, slicers, printers, _correction_of(settings))
            for model in models:
                report = await inspector.inspect(store.put(_content(model)), model.name, alone=True)
                apply = settings.slicing.orient is Orient.APPLY
                bench.reports[model] = await laid(report, inspector, printers) if apply else report
            try:
                yield bench
            finally:
                await bench.stop()


def _correction_of(settings: Settings) -> Callable[[str, SlicedPlate], Correction | None]:
    """From the agent's ledger, where there is one that this user may use. A quote needs none, and makes none."""
    usable = os.access(sqlite_file(settings.agent.data_dir), os.R_OK | os.W_OK)
    if not usable and not settings.ledger.address.get_secret_value():
        return lambda _printer, _plate: None
    # Late: a third of a second that a quote without a ledger does not need.
    from agent.ledger.sql_ledger import SqlLedger  # noqa: PLC0415
    from agent.wiring import ledger_url  # noqa: PLC0415

    def of(printer: str, plate: SlicedPlate) -> Correction | None:
        with SqlLedger(ledger_url(settings)) as ledger:
            return correction_on(printer, plate, ledger)

    return of


def _content(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        hint = "Give the path of a model: STL, 3MF or OBJ."
        raise Refused(f"{model} cannot be read: {error.strerror}.", hint=hint, code="unreadable") from error
