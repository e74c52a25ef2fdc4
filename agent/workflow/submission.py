"""Steps 6 to 12 on the marketplace's side: each act under its intent's key, each looked up before it is repeated."""

from agent.domain.errors import Refused
from agent.domain.intent import Act
from agent.domain.offer import Agreement, ProblemCode, RemoteOrder, RemoteState
from agent.domain.order import Dossier, Order
from agent.domain.question import NewQuestion, Question, Step
from agent.domain.values import printable
from agent.workflow.shop import Shop

_TAKEN = frozenset({RemoteState.SUBMITTED, RemoteState.LABEL_READY, RemoteState.DELIVERED, RemoteState.CLOSED})
_DELIVERED = frozenset({RemoteState.DELIVERED, RemoteState.CLOSED})


def remote_of(order: Order) -> RemoteOrder:
    """The order on the marketplace's side; every order past acceptance has one."""
    if order.dossier.remote is None:
        raise Refused(
            f"Order {order.id} was never accepted.", hint="This is a fault of the agent; please report it.", code="no_remote_order"
        )
    return order.dossier.remote


def photo_question(order: Order) -> NewQuestion:
    """What a person is to photograph and to agree to, in the marketplace's exact words."""
    remote = remote_of(order)
    items = "; ".join(
        f"{item.quantity} × {order.dossier.offer.file(item.file_id).name}, {item.material} {item.color.name}"
        for item in order.dossier.offer.items
    )
    agree = "".join(
        f"\nYou will be asked to agree ({attestation.code}): “{printable(attestation.text)}”"
        for attestation in remote.attestations_required
    )
    return NewQuestion(
        step=Step.PHOTOS,
        text=f"Order {order.id} is ready for photos: {items}.{agree}",
        data={"attestations": [attestation.model_dump() for attestation in remote.attestations_required]},
    )


def with_photos(dossier: Dossier, answered: Question) -> Dossier:
    return dossier.model_copy(update={"photos": dict(answered.answer["photos"]), "said": dict(answered.answer)})


async def submit(order: Order, shop: Shop) -> RemoteOrder:
    """Begin, put the photos, submit. Repeatable at any point."""
    market, remote = shop.marketplace(order.marketplace), remote_of(order)
    now = await market.order(remote.order_id)
    if now.state in _TAKEN:
        return now
    if now.state is RemoteState.ACCEPTED:
        begun, _ = shop.ledger.intent(order.id, Act.BEGIN_SUBMISSION)
        await market.start(remote.order_id, begun.key)
        shop.ledger.settle(begun, {"begun": True})
    intent, _ = shop.ledger.intent(order.id, Act.SUBMIT)
    for photo_id, sha256 in order.dossier.photos.items():
        await market.put_photo(remote.order_id, photo_id, shop.store.path(sha256), f"{intent.key}-{sha256[:16]}")
    said = order.dossier.said
    agreements = [Agreement.model_validate(agreement) for agreement in said.get("agreements", [])]
    notes = str(said.get("customer_note", "")), str(said.get("internal_note", ""))
    taken = await market.submit(remote.order_id, list(order.dossier.photos), agreements, *notes, intent.key)
    shop.ledger.settle(intent, {"submitted": True})
    return taken


async def fetch_label(order: Order, shop: Shop) -> str:
    """The label's sha256 in the store. Refused with code label_not_ready or no_label."""
    temporary = shop.store.new_temporary(".pdf")
    try:
        await shop.marketplace(order.marketplace).label(remote_of(order).order_id, temporary)
        with temporary.open("rb") as file:
            if file.read(5) != b"%PDF-":
                raise Refused(
                    "The label that came is not a PDF.", hint="Fetch it in the marketplace's app, and tell its support.", code="label_bad"
                )
        shipping = remote_of(order).shipping
        return shop.store.adopt(temporary, shipping.label_sha256 if shipping and shipping.label_sha256 else None)
    finally:
        temporary.unlink(missing_ok=True)


async def mark_delivered(order: Order, shop: Shop) -> RemoteOrder:
    market, remote = shop.marketplace(order.marketplace), remote_of(order)
    now = await market.order(remote.order_id)
    if now.state in _DELIVERED:
        return now
    intent, _ = shop.ledger.intent(order.id, Act.DELIVERED)
    said = order.dossier.said
    done = await market.delivered(remote.order_id, intent.opened_at, str(said.get("place", "")), intent.key)
    shop.ledger.settle(intent, {"delivered": True})
    return done


async def report_problem(order: Order, problem: ProblemCode, text: str, shop: Shop) -> None:
    """Once for each kind of problem; told again under the same key after a crash."""
    intent, _ = shop.ledger.intent(order.id, Act.PROBLEM, problem)
    if intent.outcome is not None:
        return
    await shop.marketplace(order.marketplace).report_problem(remote_of(order).order_id, problem, text[:2000], intent.key)
    shop.ledger.settle(intent, {"reported": True})
