"""Past offers decided again under other rules, from what was recorded of them. Pure: nothing is asked of anybody, nothing is sliced.

The plan is the one that was made then: an order that would have been accepted does not fill a printer for the offers after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent.domain.decision import Answer, Decision, Quote
from agent.domain.offer import Item
from agent.domain.order import Order, State
from agent.domain.printer import PrinterFacts
from agent.domain.schedule import Alternative
from agent.domain.values import Money
from agent.workflow.acceptance import Mode, Policy, Situation, decide
from agent.workflow.estimating import estimated
from agent.workflow.printer_rules import who_can_make
from agent.workflow.scheduling import Schedule

_NOT_MADE = frozenset({State.CANCELLED, State.FAILED})


class Went(StrEnum):
    """What became of an offer. GONE: another took it, or it was withdrawn; no answer of ours would have changed that."""

    ACCEPTED = "accepted"
    NOT_MADE = "accepted, not made"
    DECLINED = "declined"
    EXPIRED = "expired"
    GONE = "gone"
    WAITS = "waits"


@dataclass(frozen=True)
class Replayed:
    """One offer then and now. `now` None: under these rules the agent answers nothing. `gaps`: what was not known, and how it was taken."""

    order_id: str
    offer_id: str
    payout: Money
    went: Went
    then: Decision | None
    now: Decision | None
    gaps: Sequence[str] = ()

    @property
    def changes(self) -> bool:
        return (self.then.answer if self.then else None) != (self.now.answer if self.now else None)


@dataclass(frozen=True)
class Shopfloor:
    """The printers and the hours that are decided by now."""

    printers: Sequence[PrinterFacts]
    schedule: Schedule
    answered_by_person: frozenset[str] = frozenset()
    """Marketplaces that take no answer from a program."""


def replayed(order: Order, policy: Policy, floor: Shopfloor) -> Replayed:
    """That offer under these rules."""
    gaps = _Gaps()
    rules = replace(policy, mode=Mode.ASK) if order.marketplace in floor.answered_by_person else policy
    now = None if rules.mode is Mode.OFF else decide(_situation(order, rules, floor, gaps), rules)
    return Replayed(
        order_id=order.id,
        offer_id=order.dossier.offer.offer_id,
        payout=order.dossier.offer.payout,
        went=_went(order),
        then=order.dossier.decision,
        now=now,
        gaps=gaps.told,
    )


@dataclass
class _Gaps:
    told: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.told:
            self.told.append(text)


def _went(order: Order) -> Went:
    ended = {State.DECLINED: Went.DECLINED, State.EXPIRED: Went.EXPIRED, State.LOST: Went.GONE}
    if order.state in ended:
        return ended[order.state]
    if order.dossier.remote is None:
        return Went.NOT_MADE if order.state in _NOT_MADE else Went.WAITS
    return Went.NOT_MADE if order.state in _NOT_MADE else Went.ACCEPTED


def _situation(order: Order, policy: Policy, floor: Shopfloor, gaps: _Gaps) -> Situation:
    dossier, decision = order.dossier, order.dossier.decision
    if decision is None:
        gaps.note("it was never decided: what nobody looked at is estimated")
    if policy.max_open_orders is not None and (decision is None or decision.open_orders is None):
        gaps.note("how many orders were open is not recorded: taken as none")
    at = decision.decided_at if decision and decision.decided_at else order.created_at
    forecast = decision.forecast if decision else None
    if forecast is None:
        gaps.note("no plan was made for it then: taken as one that is kept")
    elif not {facts.name for facts in floor.printers}.issuperset(forecast.printers):
        gaps.note(f"it was planned on {', '.join(forecast.printers)}, not all of which are there: the plan is taken as it was")
    return Situation(
        offer=dossier.offer,
        printers=floor.printers,
        open_orders=(decision.open_orders or 0) if decision else 0,
        local_now=at.astimezone(),
        meshes=dossier.meshes,
        quotes=list(_quotes(order, floor.printers, gaps)),
        forecast=forecast,
        finish_by=floor.schedule.finish_by(dossier.offer.ship_by) if forecast else None,
    )


def _quotes(order: Order, printers: Sequence[PrinterFacts], gaps: _Gaps) -> Iterable[Quote]:
    """As recorded; for a printer that has none, from another one's slices of the same profile and slicer; else estimated."""
    dossier = order.dossier
    recorded = {quote.printer: quote for quote in (dossier.decision.quotes if dossier.decision else [])}
    if "" in recorded and not recorded[""].ok:
        yield recorded[""]
        return
    able = who_can_make(dossier.offer.items, printers, dossier.meshes).by_item
    for facts in printers:
        its = [item for item in dossier.offer.items if facts.name in able[item.item_id]]
        if not its:
            continue
        known = recorded.get(facts.name) or recorded.get(facts.profile) or _by_slices(order, facts) or _estimate(order, its, facts, gaps)
        if known is not None:
            yield known.model_copy(update={"printer": facts.name})


def _by_slices(order: Order, facts: PrinterFacts) -> Quote | None:
    """Where all of it was sliced for that printer's profile and slicer."""
    ways = [_way(batch.alternatives, facts) for batch in order.dossier.batches]
    if not ways or None in ways:
        return None
    plates = [plate for way in ways if way is not None for plate in way.plates]
    seconds, grams = sum(plate.print_seconds for plate in plates), sum(plate.filament_g for plate in plates)
    return Quote(printer=facts.name, ok=True, print_seconds=seconds, filament_g=round(grams, 2), plates=len(plates))


def _way(alternatives: Sequence[Alternative], facts: PrinterFacts) -> Alternative | None:
    same = (one for one in alternatives if (one.profile, one.slicer) == (facts.profile, facts.slicer) and not one.estimated)
    return next(same, None)


def _estimate(order: Order, items: Sequence[Item], facts: PrinterFacts, gaps: _Gaps) -> Quote | None:
    needs = estimated(items, order.dossier.meshes, facts)
    if needs is None:
        gaps.note(f"neither slices nor a size are known for {facts.name}: no print time, no grams")
        return None
    gaps.note(f"it was not sliced for {facts.name}: estimated from its size")
    return Quote(
        printer=facts.name,
        ok=True,
        print_seconds=sum(need.print_seconds for need in needs),
        filament_g=round(sum(need.filament_g for need in needs), 2),
        plates=len(needs),
        estimated=True,
        time_told="estimated from its size",
        items=[item.item_id for item in items] if len(items) < len(order.dossier.offer.items) else [],
    )


# --- what it comes to -------------------------------------------------------------------------------------------------
@dataclass
class Sums:
    """Of one currency. `then`: as it went; `now`: as it would have gone. An offer that was gone anyway is in neither."""

    earned_then: Money
    missed_then: Money
    earned_now: Money
    missed_now: Money
    asked_now: Money


def sums(offers: Iterable[Replayed]) -> Mapping[str, Sums]:
    """By currency. What waits still is neither earned nor missed then; what a person would be asked about now is told apart."""
    found: dict[str, Sums] = {}
    for offer in offers:
        if offer.went is Went.GONE:
            continue
        nothing = Money(amount=offer.payout.amount * 0, currency=offer.payout.currency)
        of = found.setdefault(offer.payout.currency, Sums(nothing, nothing, nothing, nothing, nothing))
        if offer.went is Went.ACCEPTED:
            of.earned_then = _more(of.earned_then, offer.payout)
        elif offer.went is not Went.WAITS:
            of.missed_then = _more(of.missed_then, offer.payout)
        answer = offer.now.answer if offer.now else Answer.DECLINE
        if answer is Answer.ACCEPT:
            of.earned_now = _more(of.earned_now, offer.payout)
        elif answer is Answer.ASK:
            of.asked_now = _more(of.asked_now, offer.payout)
        else:
            of.missed_now = _more(of.missed_now, offer.payout)
    return found


def _more(money: Money, other: Money) -> Money:
    return Money(amount=money.amount + other.amount, currency=money.currency)
