"""Pieces that a person rejected at the photos are printed again: sliced alone, beside the plates that were printed, and never twice.

What was said is the answer to the question for photos, so the ledger takes it once, whoever presses it how often. The order goes back to
printing in one transaction with its new plates and the event that keeps what the rejected pieces had cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from agent.domain.errors import Refused
from agent.domain.offer import ProblemCode
from agent.domain.order import Dossier, Order, State
from agent.domain.plate import SlicedPlate
from agent.domain.question import Question
from agent.domain.rejection import REASONS, Rejection, Reprint, Share, costs, shares, told
from agent.domain.schedule import Alternative, Batch, PlateNeed
from agent.workflow import making, planned, submission, times
from agent.workflow.able import able_printers
from agent.workflow.promises import Scene, ship_by
from agent.workflow.shop import Shop
from agent.workflow.steps import CANCEL, RETRY, Go, Hold, Outcome


def rejection_in(answered: Question) -> Rejection | None:
    """What a person said of the pieces instead of handing in photos; None where they did not."""
    said = answered.answer.get("rejected")
    return None if said is None else Rejection.model_validate(said)


async def again(order: Order, rejection: Rejection, answered: Question, shop: Shop) -> Outcome:
    """Back to printing, with plates of just these pieces. G-code that does not prove to be the order is never sent."""
    plates = await _plates_of(order.dossier, rejection.pieces, shop)
    quote = making.quote(plates, times.slowest(shop))
    if not quote.ok:
        text = f"The G-code of what is printed again does not prove to be the order: {'; '.join(quote.reasons)}"
        return Hold("not_proved", text, {**RETRY, **CANCEL}, {"reasons": quote.reasons})
    if rejection.tell_delay:
        await _tell_delay(order, rejection, shop)
    dossier = order.dossier.model_copy(update={"plates": [*order.dossier.plates, *plates]})
    return Go(State.PRINTING, "rejected", _event(order.dossier, rejection, plates, answered), dossier, answered)


async def _plates_of(dossier: Dossier, pieces: Mapping[str, int], shop: Shop) -> list[SlicedPlate]:
    """Numbered on from the order's others."""
    items = [item.model_copy(update={"quantity": pieces[item.item_id]}) for item in dossier.offer.items if pieces.get(item.item_id)]
    alone = dossier.model_copy(update={"offer": dossier.offer.model_copy(update={"items": items})})
    last = max((plate.number for plate in dossier.plates), default=0)
    found = await making.sliced(alone, {}, shop)
    return [plate.model_copy(update={"number": last + plate.number}) for plate in found]


def _event(dossier: Dossier, rejection: Rejection, plates: Sequence[SlicedPlate], answered: Question) -> dict[str, Any]:
    """`grams`, `seconds`: what the rejected pieces had taken, which is the order's cost."""
    return {
        "what": told(dossier, rejection.pieces),
        "reason": rejection.reason,
        "why": rejection.why,
        "by": answered.answered_by,
        "pieces": rejection.pieces,
        **costs(dossier, rejection.pieces).model_dump(),
        "plates": [plate.number for plate in plates],
    }


async def _tell_delay(order: Order, rejection: Rejection, shop: Shop) -> None:
    """The person asked for it. Once an order; a marketplace that does not take it stops no print."""
    what, why = told(order.dossier, rejection.pieces), REASONS[rejection.reason]
    text = f"{what} did not come out well ({why}) and is printed again: it will be late."
    try:
        await submission.report_problem(order, ProblemCode.DELAY, text, shop)
    except Refused as refused:
        shop.ledger.record(order.id, "problem_not_taken", {"why": str(refused)})


def printed_again(order: Order, shop: Shop) -> str:
    """Which pieces were printed again last, for people; empty where none were."""
    whats = [str(event.data["what"]) for event in shop.ledger.events(order.id) if event.kind == "rejected"]
    return whats[-1] if whats else ""


# --- before it is said ------------------------------------------------------------------------------------------
def foreseen(order: Order, pieces: Mapping[str, int], here: Scene) -> Reprint:
    """What printing these pieces again would do to the plan, by what they took before."""
    dossier, due = order.dossier, ship_by(order.dossier)
    batches = list(_batches(order, shares(dossier, pieces), here))
    forecast = planned.forecast_in(here, batches)
    reasons = forecast.reasons
    if not all(batch.alternatives[0].printers for batch in batches):
        reasons = ["No printer has the material loaded now.", *reasons]
    return Reprint(
        costs=costs(dossier, pieces),
        ready_at=forecast.ready_at,
        ship_by=due,
        in_time=forecast.ok and bool(batches),
        reasons=reasons,
    )


def _batches(order: Order, found: Sequence[Share], here: Scene) -> Iterator[Batch]:
    """What would share a plate is one batch, of one plate."""

    def settings(share: Share) -> str:
        return share.plate.settings.model_dump_json()

    for number, (_, group) in enumerate(groupby(sorted(found, key=settings), key=settings), start=1):
        together = list(group)
        plate = together[0].plate
        able = able_printers(plate, here.facts)
        known = [correction.factor for facts in able if (correction := times.correction_on(facts.name, plate, here.ledger))]
        seconds = sum(share.costs.seconds for share in together) * max(known, default=1.0)
        need = PlateNeed(print_seconds=round(seconds), filament_g=sum(share.costs.grams for share in together))
        yield Batch(
            order_id=order.id,
            number=number,
            material=plate.settings.material,
            color=plate.settings.color,
            alternatives=[
                Alternative(
                    profile=plate.profile, slicer=plate.slicer, printers=[facts.name for facts in able], plates=[need], estimated=True
                )
            ],
            finish_by=here.schedule.finish_by(ship_by(order.dossier)),
        )
