"""The order's path: one handler a state, in the order of the operator's guide. Read it top to bottom.

A handler may be called at any instant, any number of times, by a process that was just started: it looks before it acts.
It answers Go (the order moves on), Wait (nothing to do yet) or Hold (a person must decide), or raises an AgentError.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from agent.domain.errors import Refused
from agent.domain.job import JobState
from agent.domain.mesh import Verdict
from agent.domain.offer import ProblemCode
from agent.domain.order import Dossier, Order, State
from agent.domain.plate import SlicedPlate
from agent.domain.question import NewQuestion, Step
from agent.ports.notifier import Notice, Urgency
from agent.workflow import labelling, making, planned, plates, promises, quoting, reprint, stock, submission, times
from agent.workflow.advice import advice, unpackable
from agent.workflow.hold import answered_hold
from agent.workflow.offering import offered
from agent.workflow.packaging import packaging_of, packaging_told
from agent.workflow.reminding import remind
from agent.workflow.shop import Shop
from agent.workflow.steps import CANCEL, RETRY, Go, Hold, Outcome, Wait

_MOVED_AT_MOST = 5
"""So often an order is sliced for other printers because the plan moved it while it was sliced; each way is sliced once."""

# --- 1 accepting: offered, in offering.py ---------------------------------------------------------------------


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
        return _ask_about_meshes(await _with_pictures(dossier, shop))
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


async def _with_pictures(dossier: Dossier, shop: Shop) -> Dossier:
    """Of the models that a person has to look at before anything else can be done."""
    for file_id, report in dossier.meshes.items():
        if report.verdict is Verdict.HOLD and making.is_undrawn(report):
            dossier = await making.pictured(dossier, file_id, shop)
    return dossier


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
        dossier = dossier.model_copy(update={"plates": await _sliced_as_planned(order, shop)})
    quote = making.quote(dossier.plates, times.slowest(shop))
    if not quote.ok:
        text = f"The G-code does not prove to be the order, so nothing was sent to a printer: {'; '.join(quote.reasons)}"
        text = " ".join([text, *_advice(dossier, shop)])
        return Hold("not_proved", text, {**RETRY, **CANCEL}, {"reasons": quote.reasons})
    return Go(State.SLICED, "sliced", quote.model_dump(mode="json"), dossier)


async def _sliced_as_planned(order: Order, shop: Shop) -> list[SlicedPlate]:
    """Slicing takes minutes, and an offer that came meanwhile may have been taken because this order was to go elsewhere."""
    prefer = _as_planned(order, shop)
    for _ in range(_MOVED_AT_MOST):
        found = await making.sliced(order.dossier, prefer, shop)
        before, prefer = prefer, _as_planned(order, shop)
        if prefer == before:
            break
    return found


def _as_planned(order: Order, shop: Shop) -> making.Preferred:
    """Each part of an order may be planned on other printers: by another one's G-code the plan would not be kept."""
    places = [place for place in planned.current(shop).assignments if place.order_id == order.id]
    return {
        group.settings: [place.printer for place in places if place.batch == group.number] for group in quoting.groups(order.dossier.offer)
    }


# --- 4 print ------------------------------------------------------------------------------------------------


async def sliced(order: Order, shop: Shop) -> Outcome:
    """Leaves when a printer with a free bed is ours."""
    if plates.claim_next(order, shop):
        return Go(State.PRINTING, "print_begun")
    return plates.turn(order, shop)


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
    if again := reprint.printed_again(order, shop):
        text = f"{text} Of what was printed again: {again}."
    question = NewQuestion(step=Step.POST_PROCESSING, text=text, choices={"done": "all of it is done"})
    return await _hands(order, question, "Post-processing", State.PHOTOS, "post_processed", shop)


async def _hands(order: Order, question: NewQuestion, title: str, then: State, event: str, shop: Shop) -> Outcome:
    """Ask for the hands' next step once, wait at no cost, go on with the answer."""
    found = shop.ledger.question(order.id, question.step)
    if found is None:
        found = shop.ledger.ask(order, question)
        notice = Notice(event=f"waits_for_{question.step}", title=title, text=question.text, urgency=Urgency.ACT, order_id=order.id)
        deadline = promises.ship_by(order.dossier)
        await shop.notifier.notify(notice.model_copy(update={"step": question.step, "deadline": deadline}))
    if found.answered_at is None:
        return Wait(await remind(order, found, shop))
    return Go(then, event, {"by": found.answered_by, **found.answer}, settles=found)


# --- 6 submit -----------------------------------------------------------------------------------------------


async def photos(order: Order, shop: Shop) -> Outcome:
    """Leaves when a person took photos and agreed to what the marketplace demands. The agent never agrees.

    Back to printing with the pieces that a person would not agree to.
    """
    question = submission.photo_question(order)
    found = shop.ledger.question(order.id, Step.PHOTOS)
    if found is not None and (rejection := reprint.rejection_in(found)) is not None:
        return await reprint.again(order, rejection, found, shop)
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
            dossier = await labelling.fetched(order, shop)
        except Refused as refused:
            if refused.code == "label_not_ready":
                return Wait(shop.pace.label_s)
            if refused.code == "no_label":
                return Go(State.PACKING, "no_label_needed")
            raise
        return Go(State.LABEL, "label_fetched", {"sha256": dossier.label_sha256}, dossier)
    found = shop.ledger.question(order.id, Step.LABEL)
    text = found.text if found else await labelling.told(order, shop)
    return await _hands(
        order, NewQuestion(step=Step.LABEL, text=text, choices={"printed": "it is printed"}), "Label", State.PACKING, "label_printed", shop
    )


# --- 8-10 packaging -----------------------------------------------------------------------------------------


async def packing(order: Order, shop: Shop) -> Outcome:
    """Leaves when a person packed the parcel. What it went into, as they say, is taken from the stock with the move, so once."""
    what = ", ".join(f"{item.quantity} × {order.dossier.offer.file(item.file_id).name}" for item in order.dossier.offer.items)
    packagings = shop.packagings()
    packaging = packaging_of(order.dossier, packagings)
    question = NewQuestion(
        step=Step.PACKED,
        text=f"Pack {what}{packaging_told(packaging, packagings)}.",
        choices={"packed": "the parcel is closed and labelled"},
        data={"packaging": packaging, "packagings": [each.name for each in packagings]},
    )
    outcome = await _hands(order, question, "Pack the parcel", State.DROP_OFF, "packed", shop)
    if isinstance(outcome, Go) and outcome.settles is not None:
        meant = outcome.settles.data.get("packaging", packaging)
        used = str(outcome.settles.answer.get("packaging", meant))
        return replace(outcome, data={**outcome.data, "packaging": used}, takes=stock.packed_in(used))
    return outcome


# --- 11 drop-off --------------------------------------------------------------------------------------------


async def drop_off(order: Order, shop: Shop) -> Outcome:
    """Leaves when the parcel was handed to the carrier."""
    question = NewQuestion(
        step=Step.DROPPED_OFF, text=f"Hand the parcel of {order.id} to the carrier.", choices={"dropped": "the carrier has it"}
    )
    return await _hands(order, question, "Drop the parcel off", State.DELIVERED, "dropped_off", shop)


# --- 12 mark delivered --------------------------------------------------------------------------------------


async def delivered(order: Order, shop: Shop) -> Outcome:
    """Leaves when the marketplace knows. What the order brought is booked with the move, so once."""
    remote = await submission.mark_delivered(order, shop)
    booking = stock.brought(order, remote, shop.prices, shop.ledger)
    return Go(
        State.CLOSED,
        "delivered",
        {"remote": remote.state, "payout": str(remote.payout), "booked": booking.model_dump(mode="json")},
        order.dossier.model_copy(update={"remote": remote}),
        books=booking,
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
