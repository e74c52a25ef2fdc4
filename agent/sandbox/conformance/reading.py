"""Cases that only read: token, problems, times, pages, status, supplies, earnings, and that a GET changes nothing."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from agent.sandbox.conformance.bench import Bench
from agent.sandbox.conformance.contract import moment
from agent.sandbox.conformance.verdicts import Case, Failed, Skipped, expect

TOKEN = "Bearer token"
PROBLEMS = "Errors are"
TIMES = "Times are"
READING = "A GET never"
PAGES = "Lists are paged"
NOT_NOW = "429 and 503"
_LISTS = ("getStatus", "listOffers", "listOrders", "getSupplies", "listEarnings", "listEvents")
_NOBODY = "conformance-no-such-thing"
_FAR = "2999-01-01"
_SLACK_S = 3.0
"""What rounding and the way of an answer may take."""
_TRIES = 3


# --- token, problems ----------------------------------------------------------------------------------------------


def no_token(bench: Bench) -> None:
    for operation in _LISTS:
        bench.call(operation, 401, token="")


def unknown_token(bench: Bench) -> None:
    for operation in _LISTS:
        bench.call(operation, 401, token=_NOBODY)


def unknown_things(bench: Bench) -> None:
    bench.call("getOffer", 404, offer_id=_NOBODY)
    bench.call("getOrder", 404, order_id=_NOBODY)
    bench.call("previewOfferFile", 404, offer_id=_NOBODY, file_id=_NOBODY)
    bench.call("getOrderFile", 404, order_id=_NOBODY, file_id=_NOBODY)
    bench.call("getLabel", 404, order_id=_NOBODY)


def wrong_queries(bench: Bench) -> None:
    """What the schema does not allow is told, and is no answer to another question."""
    bench.call("listOrders", (400, 422), query={"state": _NOBODY})
    bench.call("listOrders", (400, 422), query={"updated_since": "yesterday"})
    bench.call("listEvents", (400, 422), query={"after": -1})
    bench.call("listEarnings", (400, 422), query={"from": "yesterday"})


# --- times --------------------------------------------------------------------------------------------------------


def times_in_utc(bench: Bench) -> None:
    """Every answer is held against the contract's schema; here also its times against UTC."""
    seen = [
        *(("Offer", row) for row in bench.rows("listOffers", "offers")),
        *(("Order", row) for row in bench.rows("listOrders", "orders")),
        *(("Event", row) for row in bench.events()),
    ]
    for schema, row in seen or _none("no offer, no order and no event, so no time was told"):
        bench.contract.check_as(schema, row, TIMES, in_utc=True)


def seconds_left(bench: Bench) -> None:
    """accept_by minus now, by the server's own clock, is accept_within_s."""
    answer = bench.call("listOffers")
    now = _server_now(answer.headers.get("date", ""))
    for offer in answer.body["offers"] or _none("no open offer"):
        left = (moment(offer["accept_by"]) - now).total_seconds()
        told = float(offer["accept_within_s"])
        expect(told > 0, "accept_within_s > 0 for an open offer", told)
        expect(abs(left - told) <= _SLACK_S, f"accept_within_s of about {left:.0f} (accept_by less the answer's own Date)", told)
        expect(moment(offer["created_at"]) < moment(offer["accept_by"]), "created_at before accept_by", offer["created_at"])


def seconds_run(bench: Bench) -> None:
    """Seconds left when *this* answer was made: later there are fewer."""
    offer_id = bench.open_offers()[0]["offer_id"]
    first, began = bench.call("getOffer", offer_id=offer_id).body, time.monotonic()
    time.sleep(1.2)
    second, passed = bench.call("getOffer", offer_id=offer_id).body, time.monotonic() - began
    if second["state"] != "open":
        raise Skipped(f"the offer was {second['state']} meanwhile")
    gone = float(first["accept_within_s"]) - float(second["accept_within_s"])
    expect(0.5 <= gone <= passed + _SLACK_S, f"accept_within_s lower by about {passed:.1f} after that many seconds", f"lower by {gone:g}")


def _server_now(date: str) -> datetime:
    try:
        return parsedate_to_datetime(date)
    except ValueError:
        raise Skipped("the server tells no Date, so its clock is not known") from None


# --- pages --------------------------------------------------------------------------------------------------------


def pages_end(bench: Bench) -> None:
    """Followed to the end: next_cursor becomes null, nothing comes twice."""
    for operation, field, name in (("listOffers", "offers", "offer_id"), ("listOrders", "orders", "order_id")):
        ids = [row[name] for row in bench.rows(operation, field)]
        twice = {one for one in ids if ids.count(one) > 1}
        expect(not twice, f"{operation}: each {name} once over all pages", f"{sorted(twice)[:3]} twice")


def next_pages(bench: Bench) -> None:
    """A second page goes on where the first ended."""
    for operation, field, name in (("listOffers", "offers", "offer_id"), ("listOrders", "orders", "order_id")):
        first = bench.call(operation).body
        if first["next_cursor"] is not None:
            second = bench.call(operation, query={"cursor": first["next_cursor"]}).body
            expect(bool(second[field]), f"{operation}: rows on the page that next_cursor names", "none")
            again = {row[name] for row in first[field]} & {row[name] for row in second[field]}
            expect(not again, f"{operation}: other rows on the second page", f"{sorted(again)[:3]} again")
            return
    raise Skipped("all offers and all orders fit on one page")


# --- reading changes nothing --------------------------------------------------------------------------------------


def reading_changes_nothing(bench: Bench) -> None:
    """The marketplace may change something at the same time, so three tries are made; but it never answers an offer itself."""
    changed = ""
    for _ in range(_TRIES):
        before = _seen(bench)
        _read_everything(bench, before)
        after = _seen(bench)
        for offer_id in [name.removeprefix("offer ") for name in before if name.startswith("offer ") and name not in after]:
            state = bench.call("getOffer", offer_id=offer_id).body["state"]
            expect(state not in ("accepted", "declined"), f"offer {offer_id} open after it was read", state)
        changed = next((name for name in before if before[name] != after.get(name)), "")
        if not changed:
            return
    raise Failed("everything as before, after everything was read", f"{changed} changed, {_TRIES} times")


def _seen(bench: Bench) -> dict[str, Any]:
    events = bench.events()
    offers = {f"offer {row['offer_id']}": row["state"] for row in bench.rows("listOffers", "offers")}
    orders = {f"order {row['order_id']}": (row["state"], row["revision"]) for row in bench.rows("listOrders", "orders")}
    return {
        "the status": bench.call("getStatus").body,
        "the supplies": bench.call("getSupplies").body,
        "the earnings": bench.call("listEarnings").body,
        "the list of events": events[-1]["seq"] if events else 0,
        "the list of offers": sorted(offers),
        **offers,
        **orders,
    }


def _read_everything(bench: Bench, seen: dict[str, Any]) -> None:
    """At most some offers and orders of each kind: what changes something by a GET does so by any."""
    for offer_id in _ids(seen, "offer "):
        offer = bench.call("getOffer", offer_id=offer_id).body
        bench.caller.file("previewOfferFile", offer_id=offer_id, file_id=offer["files"][0]["file_id"])
    for order_id in _ids(seen, "order "):
        order = bench.call("getOrder", order_id=order_id).body
        for file in order["files"][:1]:
            bench.caller.file("getOrderFile", order_id=order_id, file_id=file["file_id"])
        bench.caller.file("getLabel", order_id=order_id)


def _ids(seen: dict[str, Any], kind: str) -> Iterator[str]:
    found = [name.removeprefix(kind) for name in seen if name.startswith(kind)]
    yield from (*found[:5], *found[-5:])


# --- status, supplies, earnings -----------------------------------------------------------------------------------


def status(bench: Bench) -> None:
    bench.call("getStatus")


def supplies(bench: Bench) -> None:
    kinds = [kind["kind"] for kind in bench.call("getSupplies").body["kinds"]]
    expect(len(set(kinds)) == len(kinds), "each kind of supply once", kinds)


def earnings(bench: Bench) -> None:
    lines = bench.call("listEarnings").body["lines"]
    orders = [line["order_id"] for line in lines]
    expect(len(set(orders)) == len(orders), "one line an order", sorted(orders)[:10])
    later = bench.call("listEarnings", query={"from": _FAR}).body["lines"]
    expect(not later, f"no line from {_FAR} on", f"{len(later)} lines")


def money(bench: Bench) -> None:
    """`amount` is a decimal, e.g. 12.50."""
    seen = [
        *(row["payout"] for row in bench.rows("listOffers", "offers")),
        *(row["payout"] for row in bench.rows("listOrders", "orders")),
        *(line["amount"] for line in bench.call("listEarnings").body["lines"]),
    ]
    for amount in seen or _none("no offer, no order and no earnings, so no money was told"):
        expect(re.fullmatch(r"\d{1,12}(\.\d{1,4})?", amount["amount"], re.ASCII) is not None, "an amount such as 12.50", amount["amount"])


def retry_after(bench: Bench) -> None:
    """Nothing can be made to answer so; what was answered so during this run is looked at."""
    if not bench.caller.not_now:
        raise Skipped("nothing was answered 429 or 503 in this run")
    without = bench.caller.not_now_without_retry_after
    expect(not without, "Retry-After with 429 and 503", without[0] if without else "")


def _none(why: str) -> Any:
    raise Skipped(why)


CASES = (
    Case("auth.no_token", TOKEN, no_token),
    Case("auth.unknown_token", TOKEN, unknown_token),
    Case("problems.unknown_things", PROBLEMS, unknown_things),
    Case("problems.wrong_queries", PROBLEMS, wrong_queries),
    Case("times.utc", TIMES, times_in_utc),
    Case("times.seconds_left", TIMES, seconds_left),
    Case("times.seconds_run", TIMES, seconds_run),
    Case("pages.end", PAGES, pages_end),
    Case("pages.next", PAGES, next_pages),
    Case("reading.changes_nothing", READING, reading_changes_nothing),
    Case("status.get", "getStatus", status),
    Case("supplies.get", "getSupplies", supplies),
    Case("earnings.list", "listEarnings", earnings),
    Case("money.decimal", "listEarnings", money),
)
LAST = (Case("retry_after", NOT_NOW, retry_after),)
