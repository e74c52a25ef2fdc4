"""One function for each operation of the contract, in the contract's order."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

from starlette.responses import Response, StreamingResponse

from agent.sandbox.marketplace import bodies, files
from agent.sandbox.marketplace.call import Call, media_type
from agent.sandbox.marketplace.problems import Problem
from agent.sandbox.marketplace.records import Order, Photo
from agent.sandbox.marketplace.state import SUPPLIES

PAGE = 20
_SMALL = 1024 * 1024
_PHOTO_LIMIT = 20 * 1024 * 1024
_PHOTO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_IMAGES = ("image/jpeg", "image/png", "image/webp")
_ORDER_STATES = ("accepted", "started", "submitted", "label_ready", "delivered", "closed", "cancelled", "problem")
_LEAD_TIME_DAYS = 5

T = TypeVar("T")


def _json(told: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(told), status, headers, "application/json")


# --- the operator's status ---------------------------------------------------------------------------------------
def get_status(call: Call) -> Response:
    return _json(call.market.status)


def set_status(call: Call) -> Response:
    body = call.body(bodies.StatusBody)
    call.market.status = body.model_dump(exclude_unset=True)
    call.market.journal.done(call.market.now(), call.operation, "", state=body.state)
    return _json(call.market.status)


# --- offers ------------------------------------------------------------------------------------------------------
def list_offers(call: Call) -> Response:
    waiting = [(offer.seq, offer) for offer in call.market.offers.values() if offer.state == "open"]
    page, following = _page(waiting, call.query("cursor"))
    monotonic, off = call.monotonic(), _clock_off(call)
    told = [offer.told(monotonic, off) for offer in page]
    if call.market.faults.take("offer_twice", call.operation):
        told += told
    return _json({"offers": told, "next_cursor": following}, headers=_dated(call, off))


def get_offer(call: Call) -> Response:
    off = _clock_off(call)
    return _json(call.offer().told(call.monotonic(), off), headers=_dated(call, off))


def _clock_off(call: Call) -> timedelta:
    fault = call.market.faults.take("clock_off", call.operation)
    if fault is None:
        return timedelta()
    seconds = float(fault.params["seconds"])
    return timedelta(seconds=-seconds if fault.params["behind"] else seconds)


def _dated(call: Call, off: timedelta) -> dict[str, str]:
    """Nothing where the clock is right: the server dates its answers itself."""
    return {"Date": format_datetime(call.market.now() + off, usegmt=True)} if off else {}


def accept_offer(call: Call) -> Response:
    offer, faults = call.offer(), call.market.faults
    if offer.state == "open":
        if faults.take("deadline_expired", call.operation):
            call.market.expire(offer)
        elif faults.take("offer_withdrawn", call.operation):
            call.market.withdraw(offer)
        elif faults.take("offer_taken", call.operation):
            call.market.take_away(offer)
    return _order(call.market.accept(offer))


def decline_offer(call: Call) -> Response:
    call.market.decline(call.offer(), call.body(bodies.DeclineBody))
    return Response(status_code=204)


# --- orders ------------------------------------------------------------------------------------------------------
def list_orders(call: Call) -> Response:
    state, since = call.query("state"), _instant(call.query("updated_since"))
    if state is not None and state not in _ORDER_STATES:
        raise Problem(400, "bad_parameter", f"state is one of {', '.join(_ORDER_STATES)}.")
    fitting = [
        (order.seq, order)
        for order in call.market.orders.values()
        if (state is None or order.state == state) and (since is None or order.updated_at >= since)
    ]
    page, following = _page(fitting, call.query("cursor"))
    return _json({"orders": [order.told() for order in page], "next_cursor": following})


def get_order(call: Call) -> Response:
    return _order(call.order())


def start_order(call: Call) -> Response:
    order = call.order()
    call.market.start(order)
    return _order(order)


def put_photo(call: Call) -> Response:
    order, photo_id, kind = call.order(), call.path("photo_id"), media_type(call.request)
    if not _PHOTO_ID.fullmatch(photo_id):
        raise Problem(400, "bad_photo_id", "A photo_id has 1 to 64 letters, digits, - and _.")
    if kind not in _IMAGES:
        raise Problem(415, "unsupported_media_type", f"A photo is one of {', '.join(_IMAGES)}.")
    digest = hashlib.sha256(call.content).digest()
    if announced_digest(call) != digest:
        raise Problem(400, "content_digest_mismatch", "The body is not the one its Content-Digest announces; send it again.")
    is_new = call.market.put_photo(order, Photo(photo_id, digest.hex(), len(call.content), kind))
    return Response(status_code=201 if is_new else 200)


def submit_order(call: Call) -> Response:
    order = call.order()
    call.market.submit(order, call.body(bodies.SubmissionBody))
    return _order(order)


def mark_delivered(call: Call) -> Response:
    order, body = call.order(), call.body(bodies.DeliveredBody)
    call.market.delivered(order, body.dropped_off_at, body.place)
    return _order(order)


def report_problem(call: Call) -> Response:
    order, body = call.order(), call.body(bodies.ProblemBody)
    call.market.report_problem(order, body.code, body.text)
    return _order(order)


# --- supplies, earnings, events ----------------------------------------------------------------------------------
def get_supplies(call: Call) -> Response:
    still_open = [request for request in call.market.supply_requests.values() if request["state"] != "arrived"]
    return _json({"lead_time_days": _LEAD_TIME_DAYS, "kinds": list(SUPPLIES), "open_requests": still_open})


def request_supplies(call: Call) -> Response:
    body = call.body(bodies.SupplyBody)
    return _json(call.market.request_supplies(body.kind, body.quantity), 201)


def list_earnings(call: Call) -> Response:
    first, last = _day(call.query("from")), _day(call.query("to"))
    lines = [
        {"order_id": order.order_id, "amount": order.offer.asked.payout.model_dump(), "state": order.earnings}
        for order in call.market.orders.values()
        if order.delivered_at is not None
        and (first is None or order.delivered_at.date() >= first)
        and (last is None or order.delivered_at.date() <= last)
    ]
    return _json({"lines": lines})


def list_events(call: Call) -> Response:
    after = _count("after", call.query("after") or "0")
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return _json({"events": call.market.feed.after(after)})
    resumed = call.request.headers.get("last-event-id")
    start = _count("Last-Event-ID", resumed) if resumed else after
    return StreamingResponse(call.market.feed.stream(start), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


# --- small parts -------------------------------------------------------------------------------------------------
def _order(order: Order) -> Response:
    return _json(order.told(), headers={"ETag": f'"rev-{order.revision}"'})


def _page(rows: Sequence[tuple[int, T]], cursor: str | None) -> tuple[list[T], str | None]:
    """The rows after the cursor. It names the last row that was seen, so a row that goes away meanwhile shifts nothing."""
    seen = 0 if cursor is None else _from_cursor(cursor)
    left = [(seq, row) for seq, row in rows if seq > seen]
    page = left[:PAGE]
    following = _to_cursor(page[-1][0]) if len(left) > PAGE else None
    return [row for _, row in page], following


def _to_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(b"after:%d" % seq).decode().rstrip("=")


def _from_cursor(cursor: str) -> int:
    try:
        said = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        said = ""
    found = re.fullmatch(r"after:(\d{1,15})", said, re.ASCII)
    if not found:
        raise Problem(400, "bad_cursor", "This cursor was not given by this list.")
    return int(found[1])


def _instant(text: str | None) -> datetime | None:
    try:
        return bodies.instant(text) if text is not None else None
    except ValueError as error:
        raise Problem(400, "bad_parameter", f"updated_since: {error}") from None


def _day(text: str | None) -> date | None:
    try:
        return bodies.day(text) if text is not None else None
    except ValueError as error:
        raise Problem(400, "bad_parameter", f"from, to: {error}") from None


def _count(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise Problem(400, "bad_parameter", f"{name} is the seq of an event: a whole number, not negative.")
    return int(text)


def announced_digest(call: Call) -> bytes:
    """The sha-256 of the Content-Digest field (RFC 9530: a dictionary of `algorithm=:base64:`)."""
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):", call.request.headers.get("content-digest", ""), re.ASCII)
    if not found:
        raise Problem(400, "content_digest_required", "Content-Digest must name a sha-256, as sha-256=:<base64>:.")
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error:
        raise Problem(400, "bad_content_digest", "The sha-256 of Content-Digest is not base64.") from None


@dataclass(frozen=True)
class Operation:
    """One operation of the contract. `limit`: the largest body it takes, in bytes; `checked`: what is looked at before all else."""

    operation_id: str
    method: str
    path: str
    handler: Callable[[Call], Response]
    limit: int = _SMALL
    checked: Callable[[Call], object] | None = None


OPERATIONS = (
    Operation("getStatus", "GET", "/status", get_status),
    Operation("setStatus", "PUT", "/status", set_status),
    Operation("listOffers", "GET", "/offers", list_offers),
    Operation("getOffer", "GET", "/offers/{offer_id}", get_offer),
    Operation("previewOfferFile", "GET", "/offers/{offer_id}/files/{file_id}", files.preview_file),
    Operation("acceptOffer", "POST", "/offers/{offer_id}/accept", accept_offer),
    Operation("declineOffer", "POST", "/offers/{offer_id}/decline", decline_offer),
    Operation("listOrders", "GET", "/orders", list_orders),
    Operation("getOrder", "GET", "/orders/{order_id}", get_order),
    Operation("getOrderFile", "GET", "/orders/{order_id}/files/{file_id}", files.order_file),
    Operation("startOrder", "POST", "/orders/{order_id}/start", start_order),
    Operation("putPhoto", "PUT", "/orders/{order_id}/photos/{photo_id}", put_photo, _PHOTO_LIMIT, announced_digest),
    Operation("submitOrder", "POST", "/orders/{order_id}/submission", submit_order),
    Operation("getLabel", "GET", "/orders/{order_id}/label.pdf", files.label),
    Operation("markDelivered", "POST", "/orders/{order_id}/delivered", mark_delivered),
    Operation("reportProblem", "POST", "/orders/{order_id}/problem", report_problem),
    Operation("getSupplies", "GET", "/supplies", get_supplies),
    Operation("requestSupplies", "POST", "/supplies/requests", request_supplies),
    Operation("listEarnings", "GET", "/earnings", list_earnings),
    Operation("listEvents", "GET", "/events", list_events),
)
