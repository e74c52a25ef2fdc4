"""Which printer can make which item, rule by rule. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.domain.decision import Quote, RuleResult
from agent.domain.fit import Sides, fits_on_another_side, lie, room_told
from agent.domain.mesh import MeshReport
from agent.domain.offer import DeclineReason, Item, Supports
from agent.domain.printer import PrinterFacts
from agent.workflow.sizes import size_of, size_told

_Size = Sides | None
_NAMED = 3
"""So many values are told of many items that a rule finds the same of."""


@dataclass(frozen=True)
class Makers:
    """`by_item`: item id -> the printers that can make it, in the shop's order. `by_printer`: the rules of printers, word for word."""

    by_item: dict[str, list[str]]
    by_printer: list[RuleResult]

    @property
    def complete(self) -> bool:
        return all(self.by_item.values())

    @property
    def rules(self) -> list[RuleResult]:
        """For the record: what is found of several printers is told once."""
        whole = [
            RuleResult(rule=f"a printer for {item_id}", value=_some(names) or "none", limit="at least one", ok=bool(names))
            for item_id, names in self.by_item.items()
        ]
        return [*_together(self.by_printer), *_compact(whole)]


def who_can_make(items: Sequence[Item], printers: Sequence[PrinterFacts], meshes: Mapping[str, MeshReport]) -> Makers:
    """By what the printers are."""
    return Makers(*_by_their_facts(items, printers, meshes))


def as_quoted(
    able: Makers, items: Sequence[Item], printers: Sequence[PrinterFacts], quotes: Sequence[Quote], longest_s: int | None = None
) -> Makers:
    """And by what was quoted for each of them. `longest_s`: the longest print time allowed."""
    by_item, rules = dict(able.by_item), list(able.by_printer)
    facts = {one.name: one for one in printers}
    for quote in quotes:
        if quote.printer in facts:
            cannot, found = _by_its_quote(items, facts[quote.printer], quote, longest_s)
            rules += found
            for item_id in cannot:
                by_item[item_id] = [name for name in by_item[item_id] if name != quote.printer]
    return Makers(by_item, rules)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _compact(whole: Sequence[RuleResult]) -> list[RuleResult]:
    """Hundreds of items that can all be made need no line each."""
    bad = [rule for rule in whole if not rule.ok]
    return list(whole) if len(whole) <= 10 else bad[:10] + [rule for rule in whole if rule.ok][:_NAMED]


# --- by what they are -------------------------------------------------------------------------------------------------
def _by_their_facts(
    items: Sequence[Item], printers: Sequence[PrinterFacts], meshes: Mapping[str, MeshReport]
) -> tuple[dict[str, list[str]], list[RuleResult]]:
    """Printers that are alike are judged once, and so are items."""
    kinds: dict[object, list[tuple[Item, _Size]]] = {}
    for item in items:
        size = size_of(item, meshes)
        kinds.setdefault((item.material, item.color, item.supports, item.layer_height_mm, size), []).append((item, size))
    can: dict[str, set[str]] = {item.item_id: set() for item in items}
    rules: list[RuleResult] = []
    for alike in _alike(printers):
        found: list[RuleResult] = []
        for same in kinds.values():
            item, size = same[0]
            judged = printer_rules(item, alike[0], size)
            found += judged
            if all(rule.ok for rule in judged):
                for each, _ in same:
                    can[each.item_id].update(facts.name for facts in alike)
        rules += [_for(facts.name, rule) for rule in _summed(found) for facts in alike]
    return {item_id: [facts.name for facts in printers if facts.name in names] for item_id, names in can.items()}, rules


def _for(printer: str, rule: RuleResult) -> RuleResult:
    """Made anew, in a third of the time that a copy takes: fifty printers have hundreds."""
    return rule if rule.printer == printer else RuleResult(**{**rule.__dict__, "printer": printer})


def _alike(printers: Iterable[PrinterFacts]) -> list[list[PrinterFacts]]:
    found: dict[str, list[PrinterFacts]] = {}
    for facts in printers:
        key = facts.model_dump_json(exclude={"name": True, "kind": True, "materials": {"__all__": {"remaining_g"}}})
        found.setdefault(key, []).append(facts)
    return list(found.values())


def _summed(rules: Iterable[RuleResult]) -> list[RuleResult]:
    """What one rule finds of several items, in one line for those it lets through and one for those it does not."""
    values: dict[object, tuple[RuleResult, dict[str, None]]] = {}
    for rule in rules:
        values.setdefault((rule.rule, rule.limit, rule.ok, rule.reason), (rule, {}))[1][rule.value] = None
    return [rule if len(found) == 1 else rule.model_copy(update={"value": _values(list(found))}) for rule, found in values.values()]


def _values(found: Sequence[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def _together(rules: Iterable[RuleResult]) -> list[RuleResult]:
    """One line for all printers that the same is found of."""
    found: dict[object, list[RuleResult]] = {}
    for rule in rules:
        found.setdefault((rule.rule, rule.value, rule.limit, rule.ok, rule.reason), []).append(rule)
    names = (
        (same[0], tuple(name for name in dict.fromkeys(rule.printer for rule in same) if name != same[0].printer))
        for same in found.values()
    )
    return [first.model_copy(update={"also": others}) if others else first for first, others in names]


def printer_rules(item: Item, printer: PrinterFacts, size: _Size) -> list[RuleResult]:
    """Whether this printer can make this item of that size (mm, None: not known), rule by rule."""
    return [rule(item, printer, size) for rule in _PRINTER_RULES]


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
    value, ok = size_told(size), True
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


def _layer(item: Item, printer: PrinterFacts, _size: _Size) -> RuleResult:
    height, most = item.layer_height_mm, 0.8 * printer.nozzle_mm
    value = "the profile's" if height is None else f"{height} mm"
    ok = height is None or 0.05 <= height <= most
    return RuleResult(rule="layer height", printer=printer.name, value=value, limit=f"0.05…{most:.2f} mm", ok=ok)


_PRINTER_RULES: tuple[Callable[[Item, PrinterFacts, _Size], RuleResult], ...] = (_material, _profile, _fits, _layer)


# --- by what was quoted for them --------------------------------------------------------------------------------------
def _by_its_quote(items: Sequence[Item], printer: PrinterFacts, quote: Quote, longest_s: int | None) -> tuple[list[str], list[RuleResult]]:
    """The items it cannot make after all, and why."""
    rules = [_slicing(quote)]
    if quote.ok:
        rules += [rule for rule in (_print_time(quote, longest_s), _filament(items, printer, quote)) if rule is not None]
    if not quote.ok or not all(rule.ok for rule in rules[1:]):
        return [item.item_id for item in items], rules
    return [item.item_id for item in items if quote.items and item.item_id not in quote.items], rules


def _slicing(quote: Quote) -> RuleResult:
    good = quote.time_told if quote.estimated else "sliced and proved"
    return RuleResult(
        rule="slicing", printer=quote.printer, value="; ".join(quote.reasons) or good, limit="can be sliced", ok=not quote.reasons
    )


def _print_time(quote: Quote, longest_s: int | None) -> RuleResult | None:
    if longest_s is None:
        return None
    why = f" ({quote.time_told or 'estimated'})" if quote.estimated or quote.time_told else ""
    return RuleResult(
        rule="print time",
        printer=quote.printer,
        value=f"{quote.print_seconds / 3600:.1f} h{why}",
        limit=f"at most {longest_s / 3600:.1f} h",
        ok=quote.print_seconds <= longest_s,
        reason=DeclineReason.NO_CAPACITY,
    )


def _filament(items: Sequence[Item], printer: PrinterFacts, quote: Quote) -> RuleResult | None:
    """Where a spool is tracked, a plate's grams must be left on it; whether all plates find enough, on whichever printers, is the plan's
    to say. Only for an order of one material and colour: a quote has one sum of grams."""
    wanted = {(item.material.casefold(), item.color.name.casefold()) for item in items}
    spool = printer.loaded(items[0].material, items[0].color)
    if len(wanted) != 1 or spool is None or spool.remaining_g is None:
        return None
    plates = max(1, quote.plates)
    needed = quote.filament_g / plates
    return RuleResult(
        rule="filament left",
        printer=printer.name,
        value=f"{needed:.0f} g needed" + (f" for each of {plates} plates" if plates > 1 else ""),
        limit=f"{spool.remaining_g:.0f} g on the spool",
        ok=needed <= spool.remaining_g,
        reason=DeclineReason.NO_MATERIAL,
    )
