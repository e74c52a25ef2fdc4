"""Deciding: rules as data, a record as the answer. Pure: nothing is asked of anybody here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from agent.domain.decision import Answer, Decision, Quote, RuleResult
from agent.domain.fit import Packaging, Sides, fits_on_another_side, lie, room_told, sides
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import DeclineReason, Item, Offer, Supports
from agent.domain.printer import PrinterFacts
from agent.domain.values import Money
from agent.workflow.advice import advice

_Size = Sides | None


class Mode(StrEnum):
    """AUTO answers by itself · ASK gives advice and lets a person answer · OFF answers nothing."""

    AUTO = "auto"
    ASK = "ask"
    OFF = "off"


@dataclass(frozen=True)
class Policy:
    """The operator's rules. None and empty mean: no such rule."""

    mode: Mode = Mode.AUTO
    answer_margin_s: float = 60.0
    min_payout: Money | None = None
    longest_print_s: int | None = None
    hours: Sequence[tuple[time, time]] = ()
    max_open_orders: int | None = None
    blocked_words: Sequence[str] = ()
    infill_percent: tuple[int, int] = (0, 100)
    supports: frozenset[Supports] = field(default_factory=lambda: frozenset(Supports))
    ask_about_instructions: bool = True
    packagings: Sequence[Packaging] = ()


@dataclass(frozen=True)
class Situation:
    """What was known when the decision was made. `quotes` may be empty: then nothing was sliced or estimated."""

    offer: Offer
    printers: Sequence[PrinterFacts]
    open_orders: int
    local_now: datetime
    meshes: Mapping[str, MeshReport] = field(default_factory=dict)
    """By file id, where the files could be had before acceptance."""
    quotes: Sequence[Quote] = ()


def decide(situation: Situation, policy: Policy) -> Decision:
    """Every rule over every printer, then the answer. In mode ask the answer is the person's, with this as advice."""
    rules = [
        *_offer_rules(situation, policy),
        *_mesh_rules(situation),
        *_quote_rules(situation, policy),
        *_packaging_rules(situation, policy),
    ]
    makers, printer_rules = _who_can_make(situation)
    printer_rules += _filament_rules(situation, makers)
    rules += printer_rules
    failed = _failed(rules, makers)
    text = "; ".join(f"{rule.rule}: {rule.value} (limit: {rule.limit})" for rule in failed)
    return Decision(
        answer=_answer(failed, _doubts(situation, policy), policy),
        rules=rules,
        printers=makers,
        quotes=list(situation.quotes),
        reason=failed[0].reason if failed else None,
        text=text or "; ".join(_doubts(situation, policy)),
        advice=advice(situation.offer, situation.meshes, situation.printers, policy.packagings),
    )


def _answer(failed: Sequence[RuleResult], doubts: Sequence[str], policy: Policy) -> Answer:
    if policy.mode is Mode.ASK:
        return Answer.ASK
    if failed:
        return Answer.DECLINE
    return Answer.ASK if doubts else Answer.ACCEPT


def _failed(rules: Sequence[RuleResult], makers: Mapping[str, Sequence[str]]) -> list[RuleResult]:
    """What speaks against the offer: a rule about the whole, or every rule that kept the last printer from an item."""
    whole = [rule for rule in rules if not rule.printer and not rule.ok]
    unmade = [rule for rule in rules if rule.printer and not rule.ok and not all(makers.values())]
    return unmade + whole


def _doubts(situation: Situation, policy: Policy) -> list[str]:
    """What no rule can judge, so that a person is asked."""
    doubts = [
        f"{situation.offer.file(file_id).name}: {report.reasons[0].text if report.reasons else 'the model needs a look'}"
        for file_id, report in situation.meshes.items()
        if report.verdict is Verdict.HOLD
    ]
    if policy.ask_about_instructions and situation.offer.special_instructions.strip():
        doubts.append("the customer wrote special instructions, which only a person can judge")
    return doubts


def _offer_rules(situation: Situation, policy: Policy) -> list[RuleResult]:
    offer = situation.offer
    infills = [item.infill_percent for item in offer.items]
    low, high = policy.infill_percent
    supports = sorted({item.supports.value for item in offer.items})
    rules = [
        RuleResult(rule="infill", value=_span(infills, "%"), limit=f"{low}…{high} %", ok=low <= min(infills) and max(infills) <= high),
        RuleResult(
            rule="supports",
            value=", ".join(supports),
            limit=", ".join(sorted(policy.supports)),
            ok={item.supports for item in offer.items} <= policy.supports,
        ),
        _words_rule(offer, policy),
    ]
    where_set = (_payout_rule(offer, policy), _hours_rule(situation, policy), _open_orders_rule(situation, policy))
    return rules + [rule for rule in where_set if rule is not None]


def _span(values: Sequence[int], unit: str) -> str:
    return f"{min(values)} {unit}" if min(values) == max(values) else f"{min(values)}…{max(values)} {unit}"


def _words_rule(offer: Offer, policy: Policy) -> RuleResult:
    said = " ".join([offer.special_instructions, *(file.name for file in offer.files)]).casefold()
    found = [word for word in policy.blocked_words if word.casefold() in said]
    return RuleResult(
        rule="blocked words",
        value=", ".join(found) or "none",
        limit=f"{len(policy.blocked_words)} words",
        ok=not found,
        reason=DeclineReason.OTHER,
    )


def _payout_rule(offer: Offer, policy: Policy) -> RuleResult | None:
    floor = policy.min_payout
    if floor is None:
        return None
    ok = offer.payout.currency == floor.currency and offer.payout.amount >= floor.amount
    return RuleResult(rule="payout", value=str(offer.payout), limit=f"at least {floor}", ok=ok, reason=DeclineReason.PRICE)


def _hours_rule(situation: Situation, policy: Policy) -> RuleResult | None:
    if not policy.hours:
        return None
    now = situation.local_now.time()
    within = any(start <= now < end if start <= end else now >= start or now < end for start, end in policy.hours)
    limit = ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in policy.hours)
    return RuleResult(rule="hours", value=f"{now:%H:%M}", limit=limit, ok=within, reason=DeclineReason.NO_CAPACITY)


def _open_orders_rule(situation: Situation, policy: Policy) -> RuleResult | None:
    if policy.max_open_orders is None:
        return None
    return RuleResult(
        rule="open orders",
        value=str(situation.open_orders),
        limit=f"fewer than {policy.max_open_orders}",
        ok=situation.open_orders < policy.max_open_orders,
        reason=DeclineReason.NO_CAPACITY,
    )


def _mesh_rules(situation: Situation) -> list[RuleResult]:
    return [
        RuleResult(
            rule=f"model {situation.offer.file(file_id).name}",
            value=report.verdict.value + "".join(f", {reason.text}" for reason in report.reasons[:1]),
            limit="can be printed",
            ok=report.verdict is not Verdict.REJECT,
            reason=DeclineReason.FILE_BAD,
        )
        for file_id, report in situation.meshes.items()
    ]


def _quote_rules(situation: Situation, policy: Policy) -> list[RuleResult]:
    """A quote is about the whole order: every printer that might have made it was tried."""
    rules = [
        RuleResult(rule="slicing", value="; ".join(quote.reasons) or "sliced and proved", limit="can be sliced", ok=quote.ok)
        for quote in situation.quotes
    ]
    longest = policy.longest_print_s
    if longest is not None:
        rules += [
            RuleResult(
                rule="print time",
                value=_time_told(quote),
                limit=f"at most {longest / 3600:.1f} h",
                ok=quote.print_seconds <= longest,
                reason=DeclineReason.NO_CAPACITY,
            )
            for quote in situation.quotes
            if quote.ok
        ]
    return rules


def _time_told(quote: Quote) -> str:
    why = "estimated" if quote.estimated else quote.time_told
    return f"{quote.print_seconds / 3600:.1f} h{f' ({why})' if why else ''}"


def _packaging_rules(situation: Situation, policy: Policy) -> list[RuleResult]:
    """Each item alone, where packagings were named."""
    items = situation.offer.items if policy.packagings else []
    return [_packaging_rule(item, size_of(item, situation.meshes), policy.packagings) for item in items]


def _packaging_rule(item: Item, size: _Size, packagings: Sequence[Packaging]) -> RuleResult:
    holding = [packaging.name for packaging in packagings if size is None or packaging.holds(size)]
    limit = ", ".join(f"{packaging.name} {sides(packaging.inner_mm)}" for packaging in packagings)
    return RuleResult(
        rule=f"packaging for {item.item_id}", value=_told(size), limit=limit, ok=bool(holding), reason=DeclineReason.DOES_NOT_FIT_PACKAGE
    )


def _who_can_make(situation: Situation) -> tuple[dict[str, list[str]], list[RuleResult]]:
    """For each item the printers that can make it, and every rule of every printer."""
    makers: dict[str, list[str]] = {}
    rules: list[RuleResult] = []
    for item in situation.offer.items:
        size = size_of(item, situation.meshes)
        makers[item.item_id] = []
        for printer in situation.printers:
            found = printer_rules(item, printer, size)
            rules += found
            if all(rule.ok for rule in found):
                makers[item.item_id].append(printer.name)
        able = makers[item.item_id]
        rules.append(RuleResult(rule=f"a printer for {item.item_id}", value=", ".join(able) or "none", limit="at least one", ok=bool(able)))
    return makers, rules


def _filament_rules(situation: Situation, makers: dict[str, list[str]]) -> list[RuleResult]:
    """Where a spool is tracked, the order's grams must be left on it. Takes printers that have too little out of `makers`.

    Only for an order of one material and colour: a quote has one sum of grams.
    """
    wanted = {(item.material.casefold(), item.color.name.casefold()) for item in situation.offer.items}
    quote = next((quote for quote in situation.quotes if quote.ok), None)
    if quote is None or len(wanted) != 1:
        return []
    first = situation.offer.items[0]
    rules = []
    for printer in situation.printers:
        spool = printer.loaded(first.material, first.color)
        if spool is None or spool.remaining_g is None:
            continue
        ok = quote.filament_g <= spool.remaining_g
        needed, left = f"{quote.filament_g:.0f} g needed", f"{spool.remaining_g:.0f} g on the spool"
        rules.append(
            RuleResult(rule="filament left", printer=printer.name, value=needed, limit=left, ok=ok, reason=DeclineReason.NO_MATERIAL)
        )
        for able in makers.values():
            if not ok and printer.name in able:
                able.remove(printer.name)
    return rules


def printer_rules(item: Item, printer: PrinterFacts, size: _Size) -> list[RuleResult]:
    """Whether this printer can make this item of that size (mm, None: not known), rule by rule."""
    return [rule(item, printer, size) for rule in _PRINTER_RULES]


def size_of(item: Item, meshes: Mapping[str, MeshReport]) -> Sides | None:
    """The item's box in mm as it is printed: measured where the file was read, else as the marketplace says, else unknown."""
    report = meshes.get(item.file_id)
    if report is not None and report.triangles:
        return report.as_printed(item.supports).bounding_box_mm
    if item.bounding_box_mm is not None:
        x, y, z = item.bounding_box_mm
        return x, y, z
    return None


def _material(item: Item, printer: PrinterFacts, _size: _Size) -> RuleResult:
    spools = ", ".join(f"{spool.material} {spool.color.name}" for spool in printer.materials) or "nothing"
    return RuleResult(
        rule="material loaded",
        printer=printer.name,
        value=f"{item.material} {item.color.name}",
        limit=spools,
        ok=printer.loaded(item.material, item.color) is not None,
        reason=DeclineReason.NO_MATERIAL,
    )


def _profile(item: Item, printer: PrinterFacts, _size: _Size) -> RuleResult:
    known = {material.casefold() for material in printer.profile_materials}
    limit = ", ".join(printer.profile_materials) or "none"
    ok = item.material.casefold() in known
    return RuleResult(
        rule="material in profile", printer=printer.name, value=item.material, limit=limit, ok=ok, reason=DeclineReason.NO_MATERIAL
    )


def _fits(item: Item, printer: PrinterFacts, size: _Size) -> RuleResult:
    return fits_bed(printer, size, supports=item.supports is not Supports.NO)


def fits_bed(printer: PrinterFacts, size: _Size, *, supports: bool = False) -> RuleResult:
    """As it stands or turned about z. Placing (slicers/placing.py) turns it the same way."""
    value, ok = _told(size), True
    bed, free = printer.room(supports=supports)
    if size is not None:
        lies = lie(size, bed, free)
        ok = lies is not None
        if lies is not None and lies.turned_deg:
            value += f" turned by {lies.turned_deg:.0f}°"
        elif not ok and fits_on_another_side(size, bed, free):
            value += ", fits only on another side"
    return RuleResult(
        rule="fits the bed", printer=printer.name, value=value, limit=room_told(bed, free), ok=ok, reason=DeclineReason.TOO_BIG
    )


def _told(size: _Size) -> str:
    return "size not known before acceptance" if size is None else sides(size)


def _layer(item: Item, printer: PrinterFacts, _size: _Size) -> RuleResult:
    height, most = item.layer_height_mm, 0.8 * printer.nozzle_mm
    value = "the profile's" if height is None else f"{height} mm"
    ok = height is None or 0.05 <= height <= most
    return RuleResult(rule="layer height", printer=printer.name, value=value, limit=f"0.05…{most:.2f} mm", ok=ok)


_PRINTER_RULES: tuple[Callable[[Item, PrinterFacts, _Size], RuleResult], ...] = (_material, _profile, _fits, _layer)
