"""Deciding: rules as data, a record as the answer. Pure: nothing is asked of anybody here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from agent.domain.decision import Answer, Decision, Quote, RuleResult
from agent.domain.fit import Packaging
from agent.domain.mesh import MeshReport, Verdict
from agent.domain.offer import DeclineReason, Offer, Supports
from agent.domain.printer import PrinterFacts
from agent.domain.schedule import Forecast
from agent.domain.values import Money
from agent.workflow.advice import advice
from agent.workflow.packaging import PackagingFound, find_packaging
from agent.workflow.printer_rules import Makers, as_quoted, who_can_make


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
    quote_budget_s: float = 300.0
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
    """What was known when the decision was made."""

    offer: Offer
    printers: Sequence[PrinterFacts]
    open_orders: int
    local_now: datetime
    meshes: Mapping[str, MeshReport] = field(default_factory=dict)
    """By file id, where the files could be had before acceptance."""
    quotes: Sequence[Quote] = ()
    """One a printer, and one without a printer where nothing can be quoted for any. Empty: not even a size is known."""
    forecast: Forecast | None = None
    """None: no plan could be made, because it is not known how long it takes."""
    finish_by: datetime | None = None
    """When the last plate has to be off its printer. None: no promise is asked for."""
    spoken_for: Mapping[str, int] = field(default_factory=dict)
    """Packaging -> how many of it are kept for orders that were accepted."""
    doubts: Sequence[str] = ()
    """What went wrong on the way to a quote, and only a person can mend."""


def makers(situation: Situation, policy: Policy, by_facts: Makers | None = None) -> Makers:
    """Which printer can make what, by everything that is known. `by_facts`: what was said before there were quotes, where it was asked."""
    by_facts = by_facts or who_can_make(situation.offer.items, situation.printers, situation.meshes)
    if not situation.quotes:
        return by_facts
    return as_quoted(by_facts, situation.offer.items, situation.printers, situation.quotes, policy.longest_print_s)


def is_hopeless(situation: Situation, policy: Policy) -> bool:
    """The answer is no whatever its models are: nothing need be fetched or sliced for it."""
    rules = _offer_rules(situation, policy)
    return policy.mode is Mode.AUTO and not all(rule.ok for rule in rules)


def decide(situation: Situation, policy: Policy, able: Makers | None = None) -> Decision:
    """Every rule over every printer, then the answer. In mode ask the answer is the person's, with this as advice.

    `able`: what `makers` said of the same situation, where it was asked before.
    """
    able = able or makers(situation, policy)
    packaging = find_packaging(situation.offer.items, situation.meshes, policy.packagings, situation.spoken_for)
    rules = [
        *_offer_rules(situation, policy),
        *_mesh_rules(situation),
        *_quote_rules(situation),
        *packaging.rules,
        *able.rules,
        *_schedule_rules(situation),
    ]
    failed = _failed(rules, able)
    doubts = _doubts(situation, policy, packaging)
    text = "; ".join(f"{rule.rule}: {rule.value} (limit: {rule.limit})" for rule in failed)
    return Decision(
        answer=_answer(failed, doubts, policy),
        rules=rules,
        printers=able.by_item,
        quotes=list(situation.quotes),
        reason=failed[0].reason if failed else None,
        text=text or "; ".join(doubts),
        advice=advice(situation.offer, situation.meshes, situation.printers, policy.packagings),
        forecast=situation.forecast,
        packaging=packaging.name,
        decided_at=situation.local_now.astimezone(),
        open_orders=situation.open_orders,
    )


def _answer(failed: Sequence[RuleResult], doubts: Sequence[str], policy: Policy) -> Answer:
    if policy.mode is Mode.ASK:
        return Answer.ASK
    if failed:
        return Answer.DECLINE
    return Answer.ASK if doubts else Answer.ACCEPT


def _failed(rules: Sequence[RuleResult], able: Makers) -> list[RuleResult]:
    """What speaks against the offer: a rule about the whole, or every rule that kept the last printer from an item."""
    whole = [rule for rule in rules if not rule.printer and not rule.ok]
    unmade = [rule for rule in rules if rule.printer and not rule.ok and not able.complete]
    return unmade + whole


def _doubts(situation: Situation, policy: Policy, packaging: PackagingFound) -> list[str]:
    """What no rule can judge, so that a person is asked."""
    doubts = [
        f"{situation.offer.file(file_id).name}: {report.reasons[0].text if report.reasons else 'the model needs a look'}"
        for file_id, report in situation.meshes.items()
        if report.verdict is Verdict.HOLD
    ]
    if policy.ask_about_instructions and situation.offer.special_instructions.strip():
        doubts.append("the customer wrote special instructions, which only a person can judge")
    if situation.forecast is None and situation.finish_by is not None:
        doubts.append("how long it takes is not known, so nor is whether it would be ready in time")
    if packaging.doubt:
        doubts.append(packaging.doubt)
    return [*doubts, *situation.doubts]


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


def _quote_rules(situation: Situation) -> list[RuleResult]:
    """What keeps every printer from it alike: its files cannot be had."""
    return [
        RuleResult(rule="files", value="; ".join(quote.reasons), limit="can be had", ok=False, reason=DeclineReason.FILE_BAD)
        for quote in situation.quotes
        if not quote.printer and not quote.ok
    ]


def _schedule_rules(situation: Situation) -> list[RuleResult]:
    """Ready in time, and every promise that was made is still kept."""
    forecast, finish_by = situation.forecast, situation.finish_by
    if forecast is None:
        return []
    ready = f"ready {_when(forecast.ready_at)}" if forecast.ready_at else "not ready at all"
    limit = f"ready by {_when(finish_by)}, and no promise that was made is broken" if finish_by else "no promise that was made is broken"
    value = "; ".join([ready, *forecast.reasons])
    return [RuleResult(rule="schedule", value=value, limit=limit, ok=forecast.ok, reason=DeclineReason.NO_CAPACITY)]


def _when(at: datetime) -> str:
    """On the operator's clock."""
    return f"{at.astimezone():%a %d %b %H:%M}"
