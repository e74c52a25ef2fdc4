"""The marketplace itself: offers, orders, supplies, earnings. In memory, changed by one thread, and by acts only."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.sandbox.marketplace.bodies import AgreementBody, DeclineBody, OfferBody, SubmissionBody, is_person
from agent.sandbox.marketplace.faults import Faults
from agent.sandbox.marketplace.feed import Feed
from agent.sandbox.marketplace.journal import Journal
from agent.sandbox.marketplace.label import label_pdf
from agent.sandbox.marketplace.problems import Problem, not_found, wrong_state
from agent.sandbox.marketplace.records import Offer, Order, Photo, rfc3339, stored_files, unanswered

SUPPLIES: tuple[dict[str, Any], ...] = (
    {"kind": "box_s", "title": "Box, small", "inner_mm": [150, 100, 80]},
    {"kind": "box_m", "title": "Box, medium", "inner_mm": [250, 200, 150]},
    {"kind": "filler", "title": "Paper filler, 10 m", "inner_mm": None},
)
_PASSING = ("delay", "printer_down", "other")
"""Problems that are only told; the others put the order into state `problem`."""
_UNDER_WAY = ("accepted", "started", "submitted", "label_ready", "problem")
_NEVER = 366 * 24 * 3600.0


class Market:
    """All that the marketplace knows. Every method runs in the server's own thread.

    `clock_offset_s` makes its wall clock wrong; deadlines run on the monotonic clock and do not follow it.
    `call_later` is where a running server hangs in its timer; without one, time is looked at with every request.
    """

    def __init__(self, operations: frozenset[str], *, clock_offset_s: float = 0.0) -> None:
        self.journal = Journal()
        self.feed = Feed()
        self.faults = Faults(operations)
        self.status: dict[str, Any] = {"state": "online"}
        self.offers: dict[str, Offer] = {}
        self.orders: dict[str, Order] = {}
        self.supply_requests: dict[str, dict[str, Any]] = {}
        self.call_later: Callable[[float], None] = lambda _seconds: None
        self._offset = timedelta(seconds=clock_offset_s)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def emit(self, kind: str, **about: str) -> None:
        self.feed.emit(rfc3339(self.now()), kind, **about)

    def tick(self) -> None:
        """Let happen what only time decides: offers run out, labels come."""
        monotonic = time.monotonic()
        for offer in self.offers.values():
            if offer.state == "open" and monotonic >= offer.deadline:
                self.expire(offer)
        for order in self.orders.values():
            if order.label_due is not None and monotonic >= order.label_due:
                self.make_label(order)

    # --- offers --------------------------------------------------------------------------------------------------
    def offer(self, offer_id: str) -> Offer:
        if offer_id not in self.offers:
            raise not_found("offer", offer_id)
        return self.offers[offer_id]

    def add_offer(self, asked: OfferBody) -> Offer:
        """Problem 409 while the operator is offline, or where the id is in use."""
        if self.status["state"] != "online":
            raise Problem(409, "operator_offline", "The operator is offline: no offers come.")
        offer_id = asked.offer_id or f"of-{secrets.token_hex(5)}"
        if offer_id in self.offers:
            raise Problem(409, "offer_exists", f"There is an offer {offer_id!r}.")
        now, within = self.now(), min(asked.accept_within_s, _NEVER)
        files = stored_files(asked.files)
        offer = Offer(offer_id, len(self.offers) + 1, asked, files, now, now + timedelta(seconds=within), time.monotonic() + within)
        self.offers[offer_id] = offer
        self.emit("offer.created", offer_id=offer_id)
        self.call_later(max(0.0, within))
        return offer

    def expire(self, offer: Offer) -> None:
        offer.state = "expired"
        self.emit("offer.expired", offer_id=offer.offer_id)

    def withdraw(self, offer: Offer) -> None:
        self.must_be_open(offer)
        offer.state = "withdrawn"
        self.emit("offer.withdrawn", offer_id=offer.offer_id)

    def take_away(self, offer: Offer) -> None:
        """Another operator was faster. The contract has no event for it: it is read from the offer's state."""
        self.must_be_open(offer)
        offer.state = "taken"

    def must_be_open(self, offer: Offer) -> None:
        """Problem 409 `accepted`, `taken`, `withdrawn` or 410 `deadline_passed`. What was declined went on to the next: `taken`."""
        if offer.state == "expired":
            raise Problem(410, "deadline_passed", f"Offer {offer.offer_id} could be answered until {rfc3339(offer.accept_by)}.")
        if offer.state != "open":
            code = "taken" if offer.state == "declined" else offer.state
            raise Problem(409, code, f"Offer {offer.offer_id} is {offer.state}.")

    def accept(self, offer: Offer) -> Order:
        if offer.state == "accepted":
            return self.orders[offer.order_id]
        self.must_be_open(offer)
        order = Order(f"or-{secrets.token_hex(5)}", len(self.orders) + 1, offer, self.now())
        offer.state, offer.order_id = "accepted", order.order_id
        self.orders[order.order_id] = order
        self.journal.done(self.now(), "acceptOffer", offer.offer_id, order_id=order.order_id)
        self._tell(order)
        return order

    def decline(self, offer: Offer, said: DeclineBody) -> None:
        if offer.state == "declined":
            return
        self.must_be_open(offer)
        offer.state = "declined"
        self.journal.done(self.now(), "declineOffer", offer.offer_id, reason=said.reason, text=said.text)

    # --- orders --------------------------------------------------------------------------------------------------
    def order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise not_found("order", order_id)
        return self.orders[order_id]

    def start(self, order: Order) -> None:
        self._must_be(order, "accepted")
        self._move(order, "started", "startOrder")

    def put_photo(self, order: Order, photo: Photo) -> bool:
        """True where it is new. Problem 409: the id is another photo's, or the order takes no photos now."""
        known = order.photos.get(photo.photo_id)
        if known is not None and known.sha256 == photo.sha256:
            return False
        if known is not None:
            raise Problem(409, "photo_differs", f"Photo {photo.photo_id} was stored with other content.")
        self._must_be(order, "started")
        order.photos[photo.photo_id] = photo
        self.journal.done(self.now(), "putPhoto", f"{order.order_id}/{photo.photo_id}", sha256=photo.sha256)
        return True

    def submit(self, order: Order, said: SubmissionBody) -> None:
        """Problem 422 where a photo is unknown, an attestation is missing, of another text, or not made by a person."""
        self._must_be(order, "started")
        for photo_id in said.photo_ids:
            if photo_id not in order.photos:
                raise Problem(422, "unknown_photo", f"Photo {photo_id!r} was not uploaded for this order.")
        for agreement in said.attestations:
            self._check_agreement(order, agreement)
        missing = unanswered(order.attestations, said.attestations)
        if missing:
            raise Problem(422, "attestation_missing", f"Nobody agreed to {', '.join(missing)}.")
        order.submission = said
        self._move(order, "submitted", "submitOrder", photos=len(said.photo_ids))
        after_s = order.offer.asked.label_after_s
        if after_s == 0:
            self.make_label(order)
        elif after_s is not None:
            order.label_due = time.monotonic() + after_s
            self.call_later(after_s)

    def make_label(self, order: Order) -> None:
        self._must_be(order, "submitted")
        order.label_due = None
        order.tracking_number = f"SBX{order.seq:06d}{secrets.randbelow(10**6):06d}"
        lines = ["Sandbox Post", f"Order {order.order_id}", order.tracking_number, "To: a customer of the sandbox", "Not a real label"]
        order.label = label_pdf(lines, order.tracking_number)
        self._move(order, "label_ready")
        self.emit("label.ready", order_id=order.order_id)

    def delivered(self, order: Order, dropped_off_at: str, place: str) -> None:
        self._must_be(order, "label_ready")
        order.delivered_at = self.now()
        self._move(order, "delivered", "markDelivered", dropped_off_at=dropped_off_at, place=place)

    def set_earnings(self, order: Order, state: str) -> None:
        """Paid closes the order: nothing more is to come."""
        self._must_be(order, "delivered")
        order.earnings = state
        if state == "paid":
            self._move(order, "closed")

    def report_problem(self, order: Order, code: str, text: str) -> None:
        self._must_be(order, *_UNDER_WAY)
        order.problems.append({"code": code, "text": text})
        self._move(order, order.state if code in _PASSING else "problem", "reportProblem", code=code, text=text)

    def cancel(self, order: Order) -> None:
        self._must_be(order, *_UNDER_WAY)
        order.label_due = None
        self._move(order, "cancelled")
        self.emit("order.cancelled", order_id=order.order_id, offer_id=order.offer.offer_id)

    def request_supplies(self, kind: str, quantity: int) -> dict[str, Any]:
        """A second request is a second parcel, unless it carries the first one's key."""
        if kind not in {known["kind"] for known in SUPPLIES}:
            raise Problem(422, "unknown_kind", f"There is no supply {kind!r}.")
        request = {"request_id": f"su-{secrets.token_hex(4)}", "kind": kind, "quantity": quantity, "state": "open"}
        self.supply_requests[str(request["request_id"])] = request
        self.journal.done(self.now(), "requestSupplies", "", **request)
        return request

    # --- inside --------------------------------------------------------------------------------------------------
    def _must_be(self, order: Order, *states: str) -> None:
        if order.state not in states:
            raise wrong_state(f"Order {order.order_id}", order.state, " or ".join(states))

    def _check_agreement(self, order: Order, agreement: AgreementBody) -> None:
        texts = {attestation.code: attestation.text_sha256() for attestation in order.offer.asked.attestations}
        if agreement.code not in texts:
            raise Problem(422, "unknown_attestation", f"Attestation {agreement.code!r} was not asked for.")
        if not is_person(agreement.agreed_by):
            raise Problem(422, "person_required", f"Attestation {agreement.code}: a person agrees, not {agreement.agreed_by!r}.")
        if agreement.text_sha256 != texts[agreement.code]:
            raise Problem(422, "text_differs", f"Attestation {agreement.code}: the person was shown another text than this order's.")

    def _move(self, order: Order, state: str, operation: str = "", **facts: Any) -> None:
        order.state = state
        order.revision += 1
        order.updated_at = self.now()
        if operation:
            self.journal.done(self.now(), operation, order.order_id, state=state, **facts)
        self._tell(order)

    def _tell(self, order: Order) -> None:
        self.emit("order.updated", order_id=order.order_id, offer_id=order.offer.offer_id)
