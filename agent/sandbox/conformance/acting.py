"""Cases that act, up to an accepted order: keys, status, accepting, declining, supplies. On a real server they have consequences."""

from typing import Any
from uuid import uuid4

from agent.sandbox.conformance.bench import Bench
from agent.sandbox.conformance.verdicts import Case, Skipped, expect

KEYS = "Every POST and PUT"
TOKEN = "Bearer token"
_WORK = ("payout", "items", "files")
_CANNOT = {"reason": "no_capacity", "text": "Declined by the conformance kit."}


# --- keys, status -------------------------------------------------------------------------------------------------


def key_required(bench: Bench) -> None:
    status = bench.call("getStatus").body
    bench.call("setStatus", (400, 422), key="", body=status)
    bench.call("setStatus", (400, 422), key="short", body=status)


def same_key_other_body(bench: Bench) -> None:
    status, key = bench.call("getStatus").body, str(uuid4())
    bench.call("setStatus", key=key, body=status)
    bench.call("setStatus", 409, "idempotency_mismatch", key=key, body={**status, "reason": "conformance: another body"})
    now = bench.call("getStatus").body
    expect(now == status, "the status as before the refused request", now)


def scope(bench: Bench) -> None:
    if not bench.reader:
        raise Skipped("needs --read-only-token-file: a token that may only read")
    status = bench.call("getStatus", token=bench.reader).body
    bench.call("setStatus", 403, token=bench.reader, body=status)


def set_status(bench: Bench) -> None:
    """Off and on again. Whatever happens in between, it ends as it was."""
    before = bench.call("getStatus").body
    try:
        for state in ("offline", "online"):
            told = bench.call("setStatus", body={"state": state, "reason": "conformance"}).body
            expect(told["state"] == state, f"state {state} as set", told["state"])
            read_back = bench.call("getStatus").body["state"]
            expect(read_back == state, f"state {state} when it is read back", read_back)
    finally:
        bench.call("setStatus", body=before)


def wrong_bodies(bench: Bench) -> None:
    bench.call("setStatus", (400, 422), body={"state": "asleep"})
    bench.call("setStatus", (400, 422), body={})
    bench.call("setStatus", (400, 422), headers={"Content-Type": "application/json"}, content=b"{")


# --- accepting ----------------------------------------------------------------------------------------------------


def accept(bench: Bench) -> None:
    """The order is the offer's, which is not offered any more."""
    offer, key = bench.open_offers()[0], str(uuid4())
    order = bench.call("acceptOffer", key=key, offer_id=offer["offer_id"]).body
    bench.order, bench.accepted_under = order, key
    expect(order["offer_id"] == offer["offer_id"], f"an order of offer {offer['offer_id']}", order["offer_id"])
    expect(order["state"] == "accepted", "state accepted", order["state"])
    for field in _WORK:
        expect(order[field] == offer[field], f"{field} as offered", order[field])
    _not_open(bench, offer["offer_id"], "accepted")


def accept_again(bench: Bench) -> None:
    """Under the same key the same answer; under another the same order. Nothing is done twice."""
    order = bench.my_order()
    for key in (bench.accepted_under, str(uuid4())):
        again = bench.call("acceptOffer", key=key, offer_id=order["offer_id"]).body
        expect(again["order_id"] == order["order_id"], f"order {order['order_id']} again", again["order_id"])
    made = [row["order_id"] for row in bench.rows("listOrders", "orders") if row["offer_id"] == order["offer_id"]]
    expect(made == [order["order_id"]], f"one order of offer {order['offer_id']}", made)


def decline_accepted(bench: Bench) -> None:
    bench.call("declineOffer", 409, body=_CANNOT, offer_id=bench.my_order()["offer_id"])
    still = bench.call("getOrder", order_id=bench.my_order()["order_id"]).body["state"]
    expect(still == bench.my_order()["state"], "the order as before", still)


def accept_withdrawn(bench: Bench) -> None:
    offer_id = _gone(bench, "offer.withdrawn", "withdrawn")
    bench.call("acceptOffer", 409, "withdrawn", offer_id=offer_id)


def accept_expired(bench: Bench) -> None:
    offer_id = _gone(bench, "offer.expired", "expired")
    bench.call("acceptOffer", 410, "deadline_passed", offer_id=offer_id)


def _gone(bench: Bench, kind: str, state: str) -> str:
    """An offer that went so, as the events tell."""
    for event in bench.events():
        if event["kind"] == kind and "offer_id" in event:
            found = bench.call("getOffer", (200, 404), offer_id=event["offer_id"]).body
            if found.get("state") == state:
                return str(event["offer_id"])
    raise Skipped(f"no {state} offer among the events")


# --- declining ----------------------------------------------------------------------------------------------------


def decline(bench: Bench) -> None:
    """Passed on to the next operator, and answered the same a second time, under the same key and under another."""
    offer_id = bench.open_offers()[-1]["offer_id"]
    bench.call("declineOffer", (400, 422), body={"reason": "no such reason"}, offer_id=offer_id)
    key = str(uuid4())
    for used in (key, key, str(uuid4())):
        bench.call("declineOffer", 204, key=used, body=_CANNOT, offer_id=offer_id)
    _not_open(bench, offer_id, "declined", "taken")
    bench.call("acceptOffer", 409, offer_id=offer_id)


def _not_open(bench: Bench, offer_id: str, *states: str) -> None:
    listed = {offer["offer_id"] for offer in bench.rows("listOffers", "offers")}
    expect(offer_id not in listed, f"offer {offer_id} in the list of open offers no more", "it is there", "listOffers")
    told = bench.call("getOffer", offer_id=offer_id).body["state"]
    expect(told in states, f"offer {offer_id} in state {' or '.join(states)}", told, "getOffer")


# --- supplies -----------------------------------------------------------------------------------------------------


def request_supplies(bench: Bench) -> None:
    """Under one key one parcel, however often it is sent."""
    kinds = bench.call("getSupplies").body["kinds"]
    if not kinds:
        raise Skipped("no supplies can be asked for")
    kind, key = kinds[0]["kind"], str(uuid4())
    bench.call("requestSupplies", (400, 422), body={"kind": kind, "quantity": 0})
    before = _open_requests(bench)
    first, second = (bench.call("requestSupplies", 201, key=key, body={"kind": kind, "quantity": 1}).body for _ in range(2))
    expect(first["request_id"] == second["request_id"], f"request {first['request_id']} again under the same key", second["request_id"])
    expect((first["kind"], first["quantity"]) == (kind, 1), f"1 {kind}", first)
    new = _open_requests(bench) - before
    expect(new == {first["request_id"]}, f"{first['request_id']} among the open requests, once", sorted(new))


def _open_requests(bench: Bench) -> set[str]:
    requests: list[dict[str, Any]] = bench.call("getSupplies").body.get("open_requests", [])
    return {str(request["request_id"]) for request in requests}


CASES = (
    Case("keys.required", KEYS, key_required, acts=True),
    Case("keys.mismatch", KEYS, same_key_other_body, acts=True),
    Case("auth.scope", TOKEN, scope, acts=True),
    Case("status.set", "setStatus", set_status, acts=True),
    Case("status.wrong_bodies", "setStatus", wrong_bodies, acts=True),
    Case("offers.accept", "acceptOffer", accept, acts=True),
    Case("offers.accept_again", "acceptOffer", accept_again, acts=True),
    Case("offers.decline_accepted", "declineOffer", decline_accepted, acts=True),
    Case("offers.accept_withdrawn", "acceptOffer", accept_withdrawn, acts=True),
    Case("offers.accept_expired", "acceptOffer", accept_expired, acts=True),
    Case("offers.decline", "declineOffer", decline, acts=True),
    Case("supplies.request", "requestSupplies", request_supplies, acts=True),
)
