"""The order's path: one handler a state, in the order of the operator's guide. Read it top to bottom.

A handler may be called at any instant, any number of times, by a process that was just started: it looks before it acts.
It answers Go (the order moves on), Wait (nothing to do yet) or Hold (a person must decide), or raises an AgentError.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from agent.domain.decision import Answer, Decision, Quote
from agent.domain.errors import Refused
from agent.domain.intent import Act
from agent.domain.job import JobState
from agent.domain.mesh import Verdict
from agent.domain.offer import DeclineReason, OfferState, ProblemCode
from agent.domain.order import Dossier, Order, State
from agent.domain.question import NewQuestion, Step
from agent.ports.notifier import Notice, Urgency
from agent.workflow import making, plates, submission, times
from agent.workflow.acceptance import Mode, Situation, decide
from agent.workflow.advice import advice, unpackable
from agent.workflow.hold import answered_hold
from agent.workflow.shop import Shop
from agent.workflow.steps import CANCEL, RETRY, Go, Hold, Outcome, Wait

_GONE = {
    "taken": State.LOST,
    "withdrawn": State.LOST,
    "deadline_passed": State.EXPIRED,
}


# --- 1 accepting --------------------------------------------------------------------------------------------


async def offered(order: Order, shop: Shop) -> Outcome:
    """Leaves when it was decided and answered in time."""
    if shop.ledger.open_intent(order.id, Act.ACCEPT) is not None:
        return await _read_back_accept(order, shop)
    left_s = (order.accept_by - shop.now()).total_seconds()
    if left_s <= 0:
        return Go(State.EXPIRED, "expired")
    if shop.policy.mode is Mode.OFF:
        return Wait(left_s)
    if order.dossier.decision is None:
        return await _decide(order, shop, left_s)
    match order.dossier.decision.answer:
        case Answer.ACCEPT:
            return await _accept(order, shop)
        case Answer.DECLINE:
            return await _decline(order, order.dossier.decision, shop)
        case Answer.ASK:
            return await _ask_about_offer(order, shop, left_s)


async def _decide(order: Order, shop: Shop, left_s: float) -> Outcome:
    """Learn what can be learned before acceptance, inside the time that leaves room to answer, and decide."""
    dossier, quote = await _quoted(order, shop, left_s - shop.policy.answer_margin_s)
    situation = Situation(
        offer=dossier.offer,
        printers=shop.facts(),
        open_orders=shop.ledger.count_open(),
        local_now=shop.local_now(),
        meshes=dossier.meshes,
        quotes=[quote] if quote else [],
    )
    decision = decide(situation, shop.policy)
    dossier = dossier.model_copy(update={"decision": decision})
    return Go(State.OFFERED, "decided", decision.model_dump(mode="json"), dossier)


async def _quoted(order: Order, shop: Shop, budget_s: float) -> tuple[Dossier, Quote | None]:
    """The dossier with what could be learned, and what making it takes; an estimate where slicing would overrun."""
    dossier = order.dossier
    if not dossier.offer.files_before_accept or budget_s <= 0:
        return dossier, making.estimate(dossier)
    try:
        async with asyncio.timeout(budget_s):
            dossier = await making.inspected(await making.fetched(order, shop), shop)
            if any(report.verdict in (Verdict.REJECT, Verdict.HOLD) for report in dossier.meshes.values()):
                return await making.pictured(dossier, shop), making.estimate(dossier)
            dossier = await making.made(dossier, shop)
            return dossier, making.quote(dossier.plates, times.slowest(shop))
    except TimeoutError:
        return dossier, making.estimate(dossier)
    except Refused as refused:
        if refused.code == "not_before_accept":
            return dossier, making.estimate(dossier)
        return dossier, Quote(printer="", ok=False, reasons=[refused.told()])


async def _accept(order: Order, shop: Shop) -> Outcome:
    """The intent is on disk before the answer goes out; one that is found open was perhaps answered already."""
    intent, fresh = shop.ledger.intent(order.id, Act.ACCEPT)
    if not fresh and intent.outcome is None:
        return await _read_back_accept(order, shop)
    return await _send_accept(order, shop)


async def _read_back_accept(order: Order, shop: Shop) -> Outcome:
    """A lost answer is read back; only an offer that is still open is answered again, under the same key."""
    market = shop.marketplace(order.marketplace)
    remote = await market.order_of(order.dossier.offer.offer_id)
    if remote is not None:
        return _accepted(order, order.dossier.model_copy(update={"remote": remote}), shop)
    now = await market.offer(order.dossier.offer.offer_id)
    if now.state is OfferState.OPEN:
        return await _send_accept(order, shop)
    gone = State.EXPIRED if now.state is OfferState.EXPIRED else State.LOST
    return Go(gone, gone.value, {"offer": now.state})


async def _send_accept(order: Order, shop: Shop) -> Outcome:
    intent, _ = shop.ledger.intent(order.id, Act.ACCEPT)
    try:
        remote = await shop.marketplace(order.marketplace).accept(order.dossier.offer.offer_id, intent.key)
    except Refused as refused:
        shop.ledger.settle(intent, {"refused": refused.code})
        if refused.code in _GONE:
            return Go(_GONE[refused.code], _GONE[refused.code].value, {"why": str(refused)})
        return Go(State.FAILED, "accept_refused", {"why": refused.told()})
    return _accepted(order, order.dossier.model_copy(update={"remote": remote}), shop)


def _accepted(order: Order, dossier: Dossier, shop: Shop) -> Outcome:
    intent, _ = shop.ledger.intent(order.id, Act.ACCEPT)
    assert dossier.remote is not None
    question = shop.ledger.question(order.id, Step.OFFER)
    said = {"order_id": dossier.remote.order_id, "payout": str(dossier.remote.payout)}
    return Go(State.ACCEPTED, "accepted", said, dossier, question, closes=intent)


async def _decline(order: Order, decision: Decision, shop: Shop) -> Outcome:
    """A decline may be sent again: the same key is the same answer."""
    intent, _ = shop.ledger.intent(order.id, Act.DECLINE)
    reason = decision.reason or DeclineReason.OTHER
    try:
        await shop.marketplace(order.marketplace).decline(order.dossier.offer.offer_id, reason, decision.text[:500], intent.key)
    except Refused as refused:
        shop.ledger.settle(intent, {"refused": refused.code})
        return Go(_GONE.get(refused.code, State.DECLINED), "decline_not_needed", {"why": str(refused)})
    shop.ledger.settle(intent, {"declined": True})
    return Go(State.DECLINED, "declined", {"reason": reason, "text": decision.text}, settles=shop.ledger.question(order.id, Step.OFFER))


async def _ask_about_offer(order: Order, shop: Shop, left_s: float) -> Outcome:
    """Silence is no yes: without an answer the offer is left to expire."""
    decision = order.dossier.decision
    question = shop.ledger.question(order.id, Step.OFFER)
    if question is None:
        offer = order.dossier.offer
        text = f"Offer {order.id} ({offer.offer_id} from {order.marketplace}), {offer.payout}, {left_s / 60:.0f} minutes left. "
        text += _advised(decision) if decision else ""
        shop.ledger.ask(order, NewQuestion(step=Step.OFFER, text=text, choices={"accept": "make it", "decline": "leave it to another"}))
        await shop.notifier.notify(
            Notice(event="offer_asks", title="An offer waits for you", text=text, urgency=Urgency.ACT, order_id=order.id)
        )
        return Wait(left_s)
    if question.answered_at is None:
        return Wait(left_s)
    if question.answer.get("choice") == "accept":
        return await _accept(order, shop)
    reason = (decision.reason if decision else None) or DeclineReason.OTHER
    said = Decision(answer=Answer.DECLINE, rules=[], reason=reason, text="declined by the operator")
    return await _decline(order, said, shop)


def _advised(decision: Decision) -> str:
    """For the person who answers."""
    answer = "decline" if decision.reason else "accept"
    times_told = [f"Print time: {quote.time_told}." for quote in decision.quotes if quote.time_told]
    return " ".join([f"Advice: {answer}.", *filter(None, [decision.text]), *decision.advice, *times_told])


# --- 2 download ---------------------------------------------------------------------------------------------


async def accepted(order: Order, shop: Shop) -> Outcome:
    """Leaves when every file is stored by its sha256."""
    dossier = await making.fetched(order, shop)
    return Go(State.FETCHED, "fetched", {"files": dossier.files}, dossier)


async def fetched(order: Order, shop: Shop) -> Outcome:
    """Leaves when every mesh has a verdict that lets it be printed."""
    dossier = await making.inspected(order.dossier, shop)
    verdicts = {file_id: report.verdict.value for file_id, report in dossier.meshes.items()}
    if Verdict.REJECT in verdicts.values():
        return await _report_bad_files(order, dossier, shop)
    if Verdict.HOLD in verdicts.values():
        return _ask_about_meshes(await making.pictured(dossier, shop))
    advised = [*_advice(dossier, shop), *unpackable(dossier.offer, dossier.meshes, shop.policy.packagings)]
    turned = {file_id: report.turned.how for file_id, report in dossier.meshes.items() if report.turned}
    return Go(State.CHECKED, "checked", {"verdicts": verdicts, "advice": advised, "turned": turned}, dossier)


def _advice(dossier: Dossier, shop: Shop) -> list[str]:
    return advice(dossier.offer, dossier.meshes, shop.facts(), shop.policy.packagings)


def _reasons(dossier: Dossier, verdict: Verdict) -> str:
    return " ".join(
        f"{dossier.offer.file(file_id).name}: {' '.join(reason.text for reason in report.reasons)}"
        for file_id, report in dossier.meshes.items()
        if report.verdict is verdict
    )


async def _report_bad_files(order: Order, dossier: Dossier, shop: Shop) -> Outcome:
    text = _reasons(dossier, Verdict.REJECT)
    await submission.report_problem(order, ProblemCode.FILE_UNPRINTABLE, text, shop)
    return Hold("mesh_rejected", f"The marketplace was told that this cannot be printed. {text}", {**CANCEL, **RETRY}, dossier=dossier)


def _ask_about_meshes(dossier: Dossier) -> Outcome:
    text = f"A model needs your eye before it is printed. {_reasons(dossier, Verdict.HOLD)}"
    held = (report.pictures.get("isometric", "") for report in dossier.meshes.values() if report.verdict is Verdict.HOLD)
    picture = next(filter(None, held), "")
    return Hold("mesh_hold", text, {"print": "print it as it is", **CANCEL}, dossier=dossier, picture=picture)


# --- 3 slice ------------------------------------------------------------------------------------------------


async def checked(order: Order, shop: Shop) -> Outcome:
    """Leaves when every plate has G-code that proves to be the order. G-code that does not is never sent."""
    dossier = order.dossier
    if not dossier.plates or not all(plate.proved and shop.store.has(plate.gcode_sha256) for plate in dossier.plates):
        dossier = await making.made(dossier, shop)
    quote = making.quote(dossier.plates, times.slowest(shop))
    if not quote.ok:
        text = f"The G-code does not prove to be the order, so nothing was sent to a printer: {'; '.join(quote.reasons)}"
        text = " ".join([text, *_advice(dossier, shop)])
        return Hold("not_proved", text, {**RETRY, **CANCEL}, {"reasons": quote.reasons})
    return Go(State.SLICED, "sliced", quote.model_dump(mode="json"), dossier)


# --- 4 print ------------------------------------------------------------------------------------------------


async def sliced(order: Order, shop: Shop) -> Outcome:
    """Leaves when a printer with a free bed is ours."""
    if plates.claim_next(order, shop):
        return Go(State.PRINTING, "print_begun")
    return Wait(None)


async def printing(order: Order, shop: Shop) -> Outcome:
    """Leaves when every plate is finished and harvested."""
    outcome = await plates.advance_all(order, shop)
    if outcome is not None:
        return outcome
    done = [job for job in shop.ledger.jobs(order.id) if job.state is JobState.HARVESTED]
    return Go(State.PRINTED, "printed", {"jobs": [job.remote_name for job in done]})


# --- 5 post-processing --------------------------------------------------------------------------------------


async def printed(order: Order, shop: Shop) -> Outcome:
    """Leaves when the add-ons' checklist is ticked; at once where none was ordered."""
    add_ons = order.dossier.offer.add_ons
    if not add_ons:
        return Go(State.PHOTOS, "nothing_to_post_process")
    text = "Post-processing that was ordered: " + ", ".join(add_on.title for add_on in add_ons) + "."
    question = NewQuestion(step=Step.POST_PROCESSING, text=text, choices={"done": "all of it is done"})
    return await _hands(order, question, "Post-processing", State.PHOTOS, "post_processed", shop)


async def _hands(order: Order, question: NewQuestion, title: str, then: State, event: str, shop: Shop) -> Outcome:
    """Ask for the hands' next step once, wait at no cost, go on with the answer."""
    found = shop.ledger.question(order.id, question.step)
    if found is None:
        shop.ledger.ask(order, question)
        await shop.notifier.notify(
            Notice(event=f"waits_for_{question.step}", title=title, text=question.text, urgency=Urgency.ACT, order_id=order.id)
        )
        return Wait(None)
    if found.answered_at is None:
        return Wait(None)
    return Go(then, event, {"by": found.answered_by, **found.answer}, settles=found)


# --- 6 submit -----------------------------------------------------------------------------------------------


async def photos(order: Order, shop: Shop) -> Outcome:
    """Leaves when a person took photos and agreed to what the marketplace demands. The agent never agrees."""
    question = submission.photo_question(order)
    found = shop.ledger.question(order.id, Step.PHOTOS)
    outcome = await _hands(order, question, "Ready for photos", State.SUBMITTED, "photos_taken", shop)
    if isinstance(outcome, Go) and found is not None:
        return Go(outcome.to, outcome.event, outcome.data, submission.with_photos(order.dossier, found), found)
    return outcome


async def submitted(order: Order, shop: Shop) -> Outcome:
    """Leaves when the marketplace took photos and agreements."""
    remote = await submission.submit(order, shop)
    return Go(State.LABEL, "submitted", {"remote": remote.state}, order.dossier.model_copy(update={"remote": remote}))


# --- 7 label ------------------------------------------------------------------------------------------------


async def label(order: Order, shop: Shop) -> Outcome:
    """Leaves when the label is in the store and a person printed or opened it; at once where there is none."""
    if not order.dossier.label_sha256:
        try:
            sha256 = await submission.fetch_label(order, shop)
        except Refused as refused:
            if refused.code == "label_not_ready":
                return Wait(shop.pace.label_s)
            if refused.code == "no_label":
                return Go(State.PACKING, "no_label_needed")
            raise
        dossier = order.dossier.model_copy(update={"label_sha256": sha256})
        return Go(State.LABEL, "label_fetched", {"sha256": sha256}, dossier)
    text = f"Print the label: {shop.store.path(order.dossier.label_sha256)}"
    return await _hands(
        order, NewQuestion(step=Step.LABEL, text=text, choices={"printed": "it is printed"}), "Label", State.PACKING, "label_printed", shop
    )


# --- 8-10 packaging -----------------------------------------------------------------------------------------


async def packing(order: Order, shop: Shop) -> Outcome:
    """Leaves when a person packed the parcel."""
    what = ", ".join(f"{item.quantity} × {order.dossier.offer.file(item.file_id).name}" for item in order.dossier.offer.items)
    question = NewQuestion(step=Step.PACKED, text=f"Pack {what}.", choices={"packed": "the parcel is closed and labelled"})
    return await _hands(order, question, "Pack the parcel", State.DROP_OFF, "packed", shop)


# --- 11 drop-off --------------------------------------------------------------------------------------------


async def drop_off(order: Order, shop: Shop) -> Outcome:
    """Leaves when the parcel was handed to the carrier."""
    question = NewQuestion(
        step=Step.DROPPED_OFF, text=f"Hand the parcel of {order.id} to the carrier.", choices={"dropped": "the carrier has it"}
    )
    return await _hands(order, question, "Drop the parcel off", State.DELIVERED, "dropped_off", shop)


# --- 12 mark delivered --------------------------------------------------------------------------------------


async def delivered(order: Order, shop: Shop) -> Outcome:
    """Leaves when the marketplace knows."""
    remote = await submission.mark_delivered(order, shop)
    return Go(
        State.CLOSED,
        "delivered",
        {"remote": remote.state, "payout": str(remote.payout)},
        order.dossier.model_copy(update={"remote": remote}),
    )


# --- beside the path ----------------------------------------------------------------------------------------


async def on_hold(order: Order, shop: Shop) -> Outcome:
    """Leaves when the question was answered."""
    return await answered_hold(order, shop)


HANDLERS: Mapping[State, Callable[[Order, Shop], Awaitable[Outcome]]] = {
    State.OFFERED: offered,
    State.ACCEPTED: accepted,
    State.FETCHED: fetched,
    State.CHECKED: checked,
    State.SLICED: sliced,
    State.PRINTING: printing,
    State.PRINTED: printed,
    State.PHOTOS: photos,
    State.SUBMITTED: submitted,
    State.LABEL: label,
    State.PACKING: packing,
    State.DROP_OFF: drop_off,
    State.DELIVERED: delivered,
    State.ON_HOLD: on_hold,
}
"""One handler for each state in which something is still to be done."""
