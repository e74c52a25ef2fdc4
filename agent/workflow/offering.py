"""Step 1: an offer is quoted, planned, decided and answered, always with time left to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agent.domain.decision import Answer, Decision, Quote
from agent.domain.errors import Refused
from agent.domain.intent import Act, Intent
from agent.domain.offer import DeclineReason, OfferState
from agent.domain.order import Dossier, Order, State
from agent.domain.print_time import hours
from agent.domain.question import NewQuestion, Step
from agent.domain.values import as_sentence
from agent.ports.notifier import Notice, Urgency
from agent.workflow import planned, quoting
from agent.workflow.acceptance import Mode, Policy, Situation, decide, is_hopeless, makers
from agent.workflow.shop import Shop
from agent.workflow.steps import Go, Outcome, Wait

_GONE = {
    "taken": State.LOST,
    "withdrawn": State.LOST,
    "deadline_passed": State.EXPIRED,
}
_TELL_US_LATER = timedelta(days=1)
"""Where a person answers at the marketplace, a yes that was given there in time may be told to us so much later."""


async def offered(order: Order, shop: Shop) -> Outcome:
    """Leaves when it was decided and answered in time."""
    decision = order.dossier.decision
    if decision is not None and shop.ledger.open_intent(order.id, Act.ACCEPT) is not None:
        return await _read_back_accept(order, shop)
    left_s = (_answerable_until(order, shop) - shop.now()).total_seconds()
    if left_s <= 0:
        return Go(State.EXPIRED, "expired")
    if shop.policy.mode is Mode.OFF:
        return Wait(left_s)
    if decision is None:
        return await _decide(order, shop)
    match decision.answer:
        case Answer.ACCEPT if not _left_to_a_person(order, shop):
            return await _accept(order, shop)
        case Answer.DECLINE:
            return await _decline(order, decision, shop)
        case _:
            return await _ask(order, decision, shop, left_s)


def _left_to_a_person(order: Order, shop: Shop) -> bool:
    """They want to be asked about every offer for now; and an offer they were asked about stays theirs, whatever they want later."""
    return shop.ask_first() or shop.ledger.question(order.id, Step.OFFER) is not None


def _answerable_until(order: Order, shop: Shop) -> datetime:
    asked_there = order.dossier.decision is not None and shop.marketplace(order.marketplace).answered_by_person
    return order.accept_by + _TELL_US_LATER if asked_there else order.accept_by


# --- deciding ---------------------------------------------------------------------------------------------------------
async def _decide(order: Order, shop: Shop) -> Outcome:
    """Learn what can be learned in time, then decide by all that is known."""
    policy = _policy(order, shop)
    known = quoting.Learned(order.dossier)
    if order.dossier.offer.files_before_accept and not is_hopeless(_situation(order.dossier, shop), policy):
        known = await quoting.learn(order, shop)
    # From here to the commit of the decision nothing is awaited: no other offer may be promised the same printer meanwhile.
    corrections = quoting.Corrections(shop)
    situation = _situation(known.dossier, shop)
    by_facts = makers(situation, policy)
    quotes = quoting.quotes(known, by_facts.by_item, shop, corrections)
    situation = replace(situation, quotes=quotes, doubts=list(dict.fromkeys(known.troubles)), spoken_for=_spoken_for(shop))
    able = makers(situation, policy, by_facts)
    batches = quoting.batches(order, known, able.by_item, situation.finish_by, shop, corrections) if able.complete else []
    if batches:
        situation = replace(situation, forecast=planned.forecast(shop, batches))
    decision = decide(situation, policy, able)
    dossier = known.dossier.model_copy(update={"decision": decision, "batches": batches})
    return Go(State.OFFERED, "decided", decision.model_dump(mode="json"), dossier)


def _policy(order: Order, shop: Shop) -> Policy:
    """Where a person answers, the decision is their advice."""
    by_person = shop.marketplace(order.marketplace).answered_by_person or shop.ask_first()
    policy = replace(shop.policy, packagings=shop.packagings())
    return replace(policy, mode=Mode.ASK) if by_person else policy


def _situation(dossier: Dossier, shop: Shop) -> Situation:
    return Situation(
        offer=dossier.offer,
        printers=shop.facts(),
        open_orders=shop.ledger.count_open(),
        local_now=shop.local_now(),
        meshes=dossier.meshes,
        finish_by=planned.finish_by(shop, dossier.offer.ship_by),
    )


def _spoken_for(shop: Shop) -> Mapping[str, int]:
    """Packagings that are kept for accepted orders until those are packed. Read only where they are counted."""
    counted = any(packaging.stock is not None for packaging in shop.policy.packagings)
    return shop.ledger.packagings_promised() if counted else {}


# --- answering --------------------------------------------------------------------------------------------------------
async def _accept(order: Order, shop: Shop) -> Outcome:
    """The intent is on disk before the answer goes out; one that is found open was perhaps answered already."""
    intent, fresh = shop.ledger.intent(order.id, Act.ACCEPT)
    if not fresh and intent.outcome is None:
        return await _read_back_accept(order, shop)
    return await _send_accept(order, intent, shop)


async def _read_back_accept(order: Order, shop: Shop) -> Outcome:
    """A lost answer is read back; only an offer that is still open, or ours, is answered again, under the same key."""
    market, (intent, _) = shop.marketplace(order.marketplace), shop.ledger.intent(order.id, Act.ACCEPT)
    remote = await market.order_of(order.dossier.offer.offer_id)
    if remote is not None:
        return _accepted(order, intent, order.dossier.model_copy(update={"remote": remote}), shop)
    now = await market.offer(order.dossier.offer.offer_id)
    if now.state in (OfferState.OPEN, OfferState.ACCEPTED):  # accepted, and its order not found: the same key is answered the same
        return await _send_accept(order, intent, shop)
    gone = State.EXPIRED if now.state is OfferState.EXPIRED else State.LOST
    return Go(gone, gone.value, {"offer": now.state})


async def _send_accept(order: Order, intent: Intent, shop: Shop) -> Outcome:
    try:
        remote = await shop.marketplace(order.marketplace).accept(order.dossier.offer.offer_id, intent.key)
    except Refused as refused:
        shop.ledger.settle(intent, {"refused": refused.code})
        if refused.code in _GONE:
            return Go(_GONE[refused.code], _GONE[refused.code].value, {"why": str(refused)})
        return Go(State.FAILED, "accept_refused", {"why": refused.told()})
    return _accepted(order, intent, order.dossier.model_copy(update={"remote": remote}), shop)


def _accepted(order: Order, intent: Intent, dossier: Dossier, shop: Shop) -> Outcome:
    assert dossier.remote is not None
    question = shop.ledger.question(order.id, Step.OFFER)
    said = {"order_id": dossier.remote.order_id, "payout": str(dossier.remote.payout)}
    if question is not None and question.answered_by:
        said["by"] = question.answered_by
    return Go(State.ACCEPTED, "accepted", said, dossier, question, closes=intent)


async def _decline(order: Order, decision: Decision, shop: Shop) -> Outcome:
    """A decline may be sent again: the same key is the same answer."""
    intent, _ = shop.ledger.intent(order.id, Act.DECLINE)
    reason = decision.reason or DeclineReason.OTHER
    try:
        await shop.marketplace(order.marketplace).decline(order.dossier.offer.offer_id, reason, _told_there(decision), intent.key)
    except Refused as refused:
        shop.ledger.settle(intent, {"refused": refused.code})
        return Go(_GONE.get(refused.code, State.DECLINED), "decline_not_needed", {"why": str(refused)})
    shop.ledger.settle(intent, {"declined": True})
    return Go(State.DECLINED, "declined", {"reason": reason, "text": decision.text}, settles=shop.ledger.question(order.id, Step.OFFER))


def _told_there(decision: Decision) -> str:
    """What is wrong with a file. Limits, plans and what is loaded are the operator's own business."""
    files = [rule.value for rule in decision.rules if not rule.ok and rule.reason is DeclineReason.FILE_BAD]
    return "; ".join(files)[:500]


# --- asking -----------------------------------------------------------------------------------------------------------
_HERE = {"accept": "make it", "decline": "leave it to another"}
_THERE = {"accept": "I have accepted it there", "decline": "I have declined it there, or leave it to another"}


async def _ask(order: Order, decision: Decision, shop: Shop, left_s: float) -> Outcome:
    """Silence is no yes: without an answer the offer is left to expire."""
    question = shop.ledger.question(order.id, Step.OFFER)
    if question is None:
        await _put_question(order, decision, shop)
        return Wait(left_s)
    if question.answered_at is None:
        return Wait(left_s)
    if question.answer.get("choice") == "accept":
        return await _accept(order, shop)
    said = Decision(answer=Answer.DECLINE, rules=[], reason=decision.reason or DeclineReason.OTHER, text="declined by the operator")
    return await _decline(order, said, shop)


async def _put_question(order: Order, decision: Decision, shop: Shop) -> None:
    offer, market = order.dossier.offer, order.marketplace
    there = shop.marketplace(market).answered_by_person
    minutes = max(0.0, (order.accept_by - shop.now()).total_seconds()) / 60
    text = f"Offer {order.id} ({offer.offer_id} from {market}), {offer.payout}, {minutes:.0f} minutes left. {_advised(decision)}"
    if there:
        text += f" {market} takes your answer only, not the agent's: answer there, then say here what you answered."
    shop.ledger.ask(order, NewQuestion(step=Step.OFFER, text=text, choices=_THERE if there else _HERE))
    title = f"An offer waits for your answer at {market}" if there else "An offer waits for you"
    await shop.notifier.notify(
        Notice(
            event="offer_asks", title=title, text=text, urgency=Urgency.ACT, order_id=order.id, step=Step.OFFER, deadline=order.accept_by
        )
    )


def _advised(decision: Decision) -> str:
    """For the person who answers."""
    answer = "decline" if decision.reason else "accept"
    why = f" ({decision.text})" if decision.text else ""
    told = [f"Advice: {answer}{why}", *decision.advice, *_takes(decision), *_ready(decision)]
    return " ".join(as_sentence(sentence) for sentence in told)


def _takes(decision: Decision) -> list[str]:
    """By the quote of the printer that it is planned on, else by the first that is one."""
    quote = planned_quote(decision)
    if quote is None:
        return []
    return [f"Print time: {quote.time_told}." if quote.time_told and not quote.estimated else f"Print time: {_estimate_told(quote)}."]


def _estimate_told(quote: Quote) -> str:
    return hours(quote.print_seconds) + (f" ({quote.time_told})" if quote.estimated else "")


def planned_quote(decision: Decision) -> Quote | None:
    """What is told of it where there is room for one line."""
    good = [quote for quote in decision.quotes if quote.ok]
    planned_on: Sequence[str] = decision.forecast.printers if decision.forecast else ()
    return next((quote for quote in good if quote.printer in planned_on), good[0] if good else None)


def _ready(decision: Decision) -> list[str]:
    forecast = decision.forecast
    if forecast is None or forecast.ready_at is None:
        return []
    where = f" on {', '.join(forecast.printers)}" if forecast.printers else ""
    return [f"It would be ready {forecast.ready_at.astimezone():%a %d %b %H:%M}{where}."]
