"""Fetch, check, slice: the same work whether it is done for a quote or for an order, and never done twice."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agent.domain.decision import Quote
from agent.domain.errors import Refused
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import Item
from agent.domain.order import Dossier, Order
from agent.domain.plate import Part, PrintSettings, SlicedPlate
from agent.domain.print_time import Correction, hours
from agent.domain.printer import PrinterFacts
from agent.ports.slicer import SliceWork
from agent.workflow.poses import Orient, laid, without_supports
from agent.workflow.shop import Shop
from agent.workflow.turns import LAST


async def fetched(order: Order, shop: Shop) -> Dossier:
    """The dossier with every model in the store, each by the sha256 that was announced."""
    dossier = order.dossier
    market = shop.marketplace(order.marketplace)
    remote_id = dossier.remote.order_id if dossier.remote else None
    files = dict(dossier.files)
    for file in dossier.offer.files:
        if file.file_id in files:
            continue
        if file.bytes > shop.largest_file_bytes:
            raise Refused(
                f"{file.name} is {file.bytes / 1e6:.0f} MB; at most {shop.largest_file_bytes / 1e6:.0f} MB are taken.",
                hint="Raise [files] max_file_mb if the machine can bear it.",
                code="file_too_large",
            )
        if not shop.store.has(file.sha256):
            shop.store.require_room()
            temporary = shop.store.new_temporary(".model")
            try:
                await market.fetch(dossier.offer.offer_id, remote_id, file.file_id, temporary, shop.largest_file_bytes)
                shop.store.adopt(temporary, file.sha256)
            finally:
                temporary.unlink(missing_ok=True)
        files[file.file_id] = file.sha256
    return dossier.model_copy(update={"files": files})


async def inspected(dossier: Dossier, shop: Shop) -> Dossier:
    """The dossier with a verdict on every model; where the operator wants that, on the side it is best printed on."""
    meshes = dict(dossier.meshes)
    for file_id, sha256 in dossier.files.items():
        if file_id not in meshes:
            alone = without_supports(dossier.offer, file_id)
            report = await shop.meshes.inspect(sha256, dossier.offer.file(file_id).name, alone)
            apply = alone and shop.orient is Orient.APPLY
            meshes[file_id] = await laid(report, shop.meshes, shop.facts(), shop.policy.packagings) if apply else report
    return dossier.model_copy(update={"meshes": meshes})


def undrawn(dossier: Dossier) -> str | None:
    """The file of a model that has a mesh, and that nobody tried to draw yet."""
    return next((file_id for file_id, report in dossier.meshes.items() if is_undrawn(report)), None)


def is_undrawn(report: MeshReport) -> bool:
    return bool(report.canonical_sha256) and not report.drawn and not report.pictures


async def pictured(dossier: Dossier, file_id: str, shop: Shop) -> Dossier:
    """The dossier with pictures of this model, as far as it can be drawn. That is tried once."""
    report = dossier.meshes[file_id]
    pictures = await shop.meshes.pictures(report.turned.mesh_sha256 if report.turned else report.canonical_sha256)
    drawn = report.model_copy(update={"pictures": pictures, "drawn": True})
    return dossier.model_copy(update={"meshes": {**dossier.meshes, file_id: drawn}})


Preferred = Mapping[PrintSettings, Sequence[str]]
"""For what is printed together the printers that the plan chose, the first one first."""


def _part(item: Item, report: MeshReport) -> Part:
    return Part(
        item_id=item.item_id,
        mesh_sha256=report.canonical_sha256,
        quantity=item.quantity,
        size_mm=report.bounding_box_mm,
        volume_mm3=report.volume_mm3,
    )


def groups(dossier: Dossier) -> list[tuple[PrintSettings, list[Part]]]:
    """Items that share all their settings can share a plate."""
    found: dict[PrintSettings, list[Part]] = {}
    for item in dossier.offer.items:
        report = dossier.meshes[item.file_id].as_printed(item.supports)
        if report.verdict in (Verdict.PRINT, Verdict.REPAIRED) or report.canonical_sha256:
            found.setdefault(PrintSettings.of(item), []).append(_part(item, report))
    return list(found.items())


def candidates(settings: PrintSettings, parts: Sequence[Part], dossier: Dossier, prefer: Sequence[str], shop: Shop) -> list[PrinterFacts]:
    """Printers that can make every one of these parts: those the plan chose come first, then those that could begin at once."""
    makers = dossier.decision.printers if dossier.decision else {}
    idle = shop.ledger.idle_printers()
    able = [
        facts
        for facts in shop.facts()
        if facts.loaded(settings.material, settings.color) and all(facts.name in makers.get(part.item_id, [facts.name]) for part in parts)
    ]

    def rank(facts: PrinterFacts) -> tuple[int, bool]:
        return prefer.index(facts.name) if facts.name in prefer else len(prefer), facts.name not in idle

    return sorted(able, key=rank)


async def sliced(dossier: Dossier, prefer: Preferred, shop: Shop) -> list[SlicedPlate]:
    """Every plate of the order with its G-code in the store. Refused where no printer can make some part."""
    plates: list[SlicedPlate] = []
    for settings, parts in groups(dossier):
        able = candidates(settings, parts, dossier, prefer.get(settings, ()), shop)
        if not able:
            raise Refused(
                f"No printer has {settings.material} {settings.color.name} loaded on a bed that takes these parts.",
                hint="Load the material, write it into the printer's file, and try again.",
                code="no_printer",
            )
        found = await _sliced_by_first_able(settings, parts, able, shop)
        plates += [plate.model_copy(update={"number": number}) for number, plate in enumerate(found, start=len(plates) + 1)]
    return plates


async def _sliced_by_first_able(settings: PrintSettings, parts: list[Part], able: list[PrinterFacts], shop: Shop) -> Sequence[SlicedPlate]:
    """Each profile is tried once with each slicer: the same two make the same G-code. Where all refuse, the first one's words are told."""
    refusals: list[Refused] = []
    for way in dict.fromkeys(way_of(facts) for facts in able):
        try:
            return await sliced_for(way, settings, parts, shop)
        except Refused as refused:
            refusals.append(refused)
    raise refusals[0]


class Way(NamedTuple):
    """How G-code is made: printers that share both take the same."""

    slicer: str
    profile: str


def way_of(facts: PrinterFacts) -> Way:
    return Way(facts.slicer, facts.profile)


async def sliced_for(way: Way, settings: PrintSettings, parts: list[Part], shop: Shop, before: datetime = LAST) -> Sequence[SlicedPlate]:
    """These parts' plates, numbered from 1. What was sliced once, for whichever order, is not sliced again.

    `before`: when the slices are needed; whoever needs them soonest gets a slicer first."""
    facts = next(facts for facts in shop.facts() if way_of(facts) == way)
    slicer, work = shop.slicers[way.slicer], SliceWork(parts=parts, settings=settings, printer=facts)
    key = await asyncio.to_thread(slicer.key, work)
    if (known := _known_slices(key, shop)) is not None:
        return known
    async with shop.slicing.turn(key, before):
        if (known := _known_slices(key, shop)) is not None:  # made while a turn was waited for
            return known
        shop.store.require_room()
        began = time.monotonic()
        plates = await slicer.slice(work)
        shop.measures.sliced(way.slicer, time.monotonic() - began)
        shop.ledger.remember_slice(key, plates)
    return plates


def _known_slices(key: str, shop: Shop) -> Sequence[SlicedPlate] | None:
    known = shop.ledger.sliced(key)
    if known is None or not all(shop.store.has(plate.gcode_sha256) for plate in known):
        return None
    return [plate.model_copy(update={"number": number}) for number, plate in enumerate(known, start=1)]


def parts_of(items: Sequence[Item], dossier: Dossier) -> list[Part]:
    """Of items whose models were checked."""
    return [_part(item, dossier.meshes[item.file_id].as_printed(item.supports)) for item in items]


def quote(plates: Sequence[SlicedPlate], correction: Callable[[SlicedPlate], Correction | None] = lambda _plate: None) -> Quote:
    """What slicing in full says, in the time that the printers are known to take for it."""
    reasons = [reason for plate in plates for reason in plate.unproved()]
    return Quote(
        printer=", ".join(sorted({plate.profile for plate in plates})),
        ok=not reasons,
        reasons=reasons,
        filament_g=round(sum(plate.filament_g for plate in plates), 2),
        plates=len(plates),
        **_times(plates, [correction(plate) for plate in plates]),
    )


def _times(plates: Sequence[SlicedPlate], corrections: Sequence[Correction | None]) -> dict[str, Any]:
    planned = sum(plate.print_seconds for plate in plates)
    known = [found for found in corrections if found is not None]
    if not known:
        return {"print_seconds": planned}
    pairs = zip(plates, corrections, strict=True)
    took = round(sum(plate.print_seconds * (found.factor if found else 1.0) for plate, found in pairs))
    why = ", ".join(dict.fromkeys(found.told for found in known))
    told = f"{hours(planned)} by the slicer, {hours(took)} corrected {why}"
    return {"print_seconds": took, "slicer_seconds": planned, "time_told": told}
