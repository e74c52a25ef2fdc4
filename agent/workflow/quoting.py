"""What making an offer takes: learned before the answer, by slicing it for every printer that may make it, as far as there is time.

Whatever is learned stays learned: slices are kept by their content, so that nothing is sliced again after yes. What was not done in
time is estimated, and marked so.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.domain.decision import Quote
from agent.domain.errors import NeedsOperator, Refused
from agent.domain.mesh import Verdict
from agent.domain.offer import Item, Offer
from agent.domain.order import Dossier, Order
from agent.domain.plate import PrintSettings, SlicedPlate
from agent.domain.print_time import Correction
from agent.domain.printer import PrinterFacts
from agent.domain.schedule import Alternative, Batch, PlateNeed
from agent.workflow import making
from agent.workflow.estimating import estimated, with_safety
from agent.workflow.making import Way, way_of
from agent.workflow.printer_rules import who_can_make
from agent.workflow.shop import Shop
from agent.workflow.times import correction_on

_NOT_HAD = "estimated from its size: the files are not to be had before acceptance"
_NO_TIME = "estimated from its size: there was no time left to slice it"
_NOT_SLICED = "estimated from its size: a person has to look at it before it is sliced"


class Group(NamedTuple):
    """The items of an order that share all their settings, so that they can share plates. Counted from 1."""

    number: int
    settings: PrintSettings
    items: list[Item]


def groups(offer: Offer) -> list[Group]:
    found: dict[PrintSettings, list[Item]] = {}
    for item in offer.items:
        found.setdefault(PrintSettings.of(item), []).append(item)
    return [Group(number, settings, items) for number, (settings, items) in enumerate(found.items(), start=1)]


@dataclass
class Learned:
    """What is known of an offer so far. `slices` and `refused` are by group and way."""

    dossier: Dossier
    slices: dict[tuple[int, Way], Sequence[SlicedPlate]] = field(default_factory=dict)
    refused: dict[tuple[int, Way], str] = field(default_factory=dict)
    no_files: str = ""
    """Why the files cannot be had at all."""
    why_estimated: str = _NOT_HAD
    troubles: list[str] = field(default_factory=list)
    """What kept us from learning more, and only a person can mend."""


async def learn(order: Order, shop: Shop) -> Learned:
    """Fetch, check and slice until `[acceptance] quote_budget_s` is used up, or only the margin to answer in is left. For an offer whose
    files are to be had."""
    known = Learned(order.dossier, why_estimated=_NO_TIME)
    policy = shop.policy
    until = min(order.accept_by - timedelta(seconds=policy.answer_margin_s), order.created_at + timedelta(seconds=policy.quote_budget_s))
    left_s = (until - shop.now()).total_seconds()
    if left_s <= 0:
        return known
    try:
        async with asyncio.timeout(left_s):
            await _learn(order, known, shop)
    except TimeoutError:
        return known
    except NeedsOperator as error:
        known.troubles.append(error.told())
    except Refused as refused:
        if refused.code == "not_before_accept":
            known.why_estimated = _NOT_HAD
        else:
            known.no_files = refused.told()
    return known


async def _learn(order: Order, known: Learned, shop: Shop) -> None:
    known.dossier = await making.fetched(order, shop)
    known.dossier = await making.inspected(known.dossier, shop)
    if any(report.verdict in (Verdict.REJECT, Verdict.HOLD) for report in known.dossier.meshes.values()):
        known.why_estimated = _NOT_SLICED
        return
    slicing = [asyncio.create_task(_slice(known, *work, order.accept_by, shop)) for work in _works(known.dossier, shop)]
    try:
        await asyncio.gather(*slicing)
    finally:
        # Only when all of them have ended, their processes too, is the answer given: nothing of a quote outlives it.
        for task in slicing:
            task.cancel()
        if slicing:
            await asyncio.wait(slicing)


def _works(dossier: Dossier, shop: Shop) -> Iterator[tuple[Group, Way]]:
    """Each group for each way that some printer could make it by; nothing where some item can be made by none."""
    able = who_can_make(dossier.offer.items, shop.facts(), dossier.meshes)
    if able.complete:
        for group in groups(dossier.offer):
            yield from ((group, way) for way in _ways(group, able.by_item, shop))


def _ways(group: Group, by_item: Mapping[str, Sequence[str]], shop: Shop) -> dict[Way, list[str]]:
    """With the printers that can make all of the group, each by its way."""
    found: dict[Way, list[str]] = {}
    able = set.intersection(*(set(by_item[item.item_id]) for item in group.items))
    for facts in shop.facts():
        if facts.name in able:
            found.setdefault(way_of(facts), []).append(facts.name)
    return found


async def _slice(known: Learned, group: Group, way: Way, before: datetime, shop: Shop) -> None:
    """A slicer that is not there, or a full disk, is no reason to say no: it is estimated, and a person is asked."""
    parts = making.parts_of(group.items, known.dossier)
    try:
        plates = await making.sliced_for(way, group.settings, parts, shop, before)
    except Refused as refused:
        known.refused[group.number, way] = refused.told()
        return
    except NeedsOperator as error:
        known.troubles.append(error.told())
        return
    unproved = [reason for plate in plates for reason in plate.unproved()]
    if unproved:
        known.refused[group.number, way] = "; ".join(unproved)
    else:
        known.slices[group.number, way] = plates


# --- what it takes, for each printer ----------------------------------------------------------------------------------
class Corrections:
    """Corrections from the ledger, each read once."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._known: dict[tuple[str, str, str], Correction | None] = {}

    def of(self, printer: str, plate: SlicedPlate) -> Correction | None:
        key = printer, plate.profile, plate.slicer
        if key not in self._known:
            self._known[key] = correction_on(printer, plate, self._shop.ledger)
        return self._known[key]


def quotes(known: Learned, by_item: Mapping[str, Sequence[str]], shop: Shop, corrections: Corrections) -> list[Quote]:
    """One for each printer that may make something of it; a single one without a printer where the files cannot be had.

    `by_item`: who can make what, by what the printers are."""
    if known.no_files:
        return [Quote(printer="", ok=False, reasons=[known.no_files])]
    offer = known.dossier.offer
    by_printer: dict[str, list[Group]] = {}
    for group in groups(offer):
        for names in _ways(group, by_item, shop).values():
            for name in names:
                by_printer.setdefault(name, []).append(group)
    made = (_quote(facts, by_printer.get(facts.name, []), known, corrections) for facts in shop.facts())
    return [quote for quote in made if quote is not None]


def _quote(facts: PrinterFacts, its: Sequence[Group], known: Learned, corrections: Corrections) -> Quote | None:
    """None where it makes nothing of it, or nothing is known of what it takes."""
    way, reasons = way_of(facts), list[str]()
    plates: list[SlicedPlate] = []
    needs: list[PlateNeed] = []
    items: list[str] = []
    for group in its:
        if (why := known.refused.get((group.number, way))) is not None:
            reasons.append(why)
            continue
        found = known.slices.get((group.number, way))
        guessed = None if found is not None else estimated(group.items, known.dossier.meshes, facts)
        if found is None and guessed is None:
            return None
        plates += found or []
        needs += guessed or []
        items += [item.item_id for item in group.items]
    if not items:
        return Quote(printer=facts.name, ok=False, reasons=list(dict.fromkeys(reasons))) if reasons else None
    quote = making.quote(plates, lambda plate: corrections.of(facts.name, plate))
    return quote.model_copy(
        update={
            "printer": facts.name,
            "reasons": list(dict.fromkeys(reasons)),
            "print_seconds": quote.print_seconds + sum(need.print_seconds for need in needs),
            "filament_g": round(quote.filament_g + sum(need.filament_g for need in needs), 2),
            "plates": len(plates) + len(needs),
            "estimated": bool(needs),
            "time_told": known.why_estimated if needs else quote.time_told,
            "items": [] if len(items) == len(known.dossier.offer.items) else items,
        }
    )


def batches(
    order: Order, known: Learned, by_item: Mapping[str, Sequence[str]], finish_by: datetime | None, shop: Shop, corrections: Corrections
) -> list[Batch]:
    """What the printers would have to do; empty where that is not known, or some item can be made by none of them."""
    found = []
    for group in groups(known.dossier.offer):
        alternatives = list(_alternatives(group, known, _ways(group, by_item, shop), shop, corrections))
        if not alternatives:
            return []
        settings = group.settings
        found.append(
            Batch(
                order_id=order.id,
                number=group.number,
                material=settings.material,
                color=settings.color,
                alternatives=alternatives,
                finish_by=finish_by,
            )
        )
    return found


def _alternatives(
    group: Group, known: Learned, ways: Mapping[Way, Sequence[str]], shop: Shop, corrections: Corrections
) -> Iterator[Alternative]:
    """One a way, and one more for printers that are known to take another time for the same G-code."""
    facts = {one.name: one for one in shop.facts()}
    for way, names in ways.items():
        plates = known.slices.get((group.number, way))
        if plates is None:
            guessed = estimated(group.items, known.dossier.meshes, facts[names[0]])
            if guessed is not None and (group.number, way) not in known.refused:
                safe = with_safety(guessed)
                yield Alternative(profile=way.profile, slicer=way.slicer, printers=list(names), plates=safe, estimated=True)
            continue
        paces: dict[tuple[float, ...], list[str]] = {}
        for name in names:
            found = [corrections.of(name, plate) for plate in plates]
            paces.setdefault(tuple(pace.factor if pace else 1.0 for pace in found), []).append(name)
        for factors, alike in paces.items():
            needs = [
                PlateNeed(print_seconds=round(plate.print_seconds * factor), filament_g=plate.filament_g)
                for plate, factor in zip(plates, factors, strict=True)
            ]
            yield Alternative(profile=way.profile, slicer=way.slicer, printers=alike, plates=needs)
