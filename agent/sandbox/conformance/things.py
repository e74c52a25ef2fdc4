"""Cases that read offers, orders, their files and labels."""

import hashlib
from collections.abc import Sequence
from typing import Any

from agent.sandbox.conformance.bench import Bench
from agent.sandbox.conformance.caller import LARGEST_FILE, Answer
from agent.sandbox.conformance.contract import moment
from agent.sandbox.conformance.verdicts import Case, Skipped, expect

_MOST = 5
"""Of each kind are looked at."""
_LASTING = ("payout", "ship_by", "items", "files", "add_ons", "special_instructions", "created_at", "accept_by")
_FIRST_BYTES = 64


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _some(rows: Sequence[dict[str, Any]], otherwise: str) -> Sequence[dict[str, Any]]:
    if not rows:
        raise Skipped(otherwise)
    return rows[:_MOST]


# --- offers -------------------------------------------------------------------------------------------------------


def offers_list(bench: Bench) -> None:
    """Still waiting for an answer, oldest first."""
    offers = bench.open_offers()
    other = [offer["offer_id"] for offer in offers if offer["state"] != "open"]
    expect(not other, "open offers only", f"{other[:3]} in another state")
    made = [moment(offer["created_at"]) for offer in offers]
    expect(made == sorted(made), "the oldest offer first", "another order")


def offers_get(bench: Bench) -> None:
    """An offer alone is the offer in the list."""
    for listed in bench.open_offers()[:_MOST]:
        got = bench.call("getOffer", offer_id=listed["offer_id"]).body
        for field in ("offer_id", *_LASTING):
            expect(got.get(field) == listed.get(field), f"{field} as in the list", got.get(field))


def items_name_files(bench: Bench) -> None:
    for offer in bench.open_offers():
        files = [file["file_id"] for file in offer["files"]]
        expect(len(set(files)) == len(files), f"offer {offer['offer_id']}: each file_id once", files)
        for item in offer["items"]:
            expect(item["file_id"] in files, f"offer {offer['offer_id']}: an item of one of its files", item["file_id"])


def preview(bench: Bench) -> None:
    allowed = [offer for offer in bench.open_offers() if offer["files_before_accept"]]
    for offer in _some(allowed, "no open offer gives its files before it is accepted"):
        for file in _fetchable(offer)[:2]:
            answer = bench.caller.file("previewOfferFile", offer_id=offer["offer_id"], file_id=file["file_id"])
            expect(answer.status == 200, f"200 with file {file['file_id']}", answer.told())
            _is_file(answer, file)
            told = answer.headers.get("etag", "none")
            expect(told.removeprefix("W/").strip('"') == file["sha256"], f'ETag "{file["sha256"]}"', told)


def no_preview(bench: Bench) -> None:
    refused = [offer for offer in bench.open_offers() if not offer["files_before_accept"]]
    for offer in _some(refused, "every open offer gives its files before it is accepted"):
        file_id = offer["files"][0]["file_id"]
        bench.call("previewOfferFile", 403, "not_before_accept", offer_id=offer["offer_id"], file_id=file_id)


# --- orders -------------------------------------------------------------------------------------------------------


def orders_by_state(bench: Bench) -> None:
    states = {order["state"] for order in bench.orders()}
    for state in sorted(states):
        found = bench.rows("listOrders", "orders", state=state)
        other = [order["state"] for order in found if order["state"] != state]
        expect(bool(found) and not other, f"orders in state {state} only, and those there are", other[:3] or "none")


def orders_since(bench: Bench) -> None:
    newest = max(bench.orders(), key=lambda order: moment(order["updated_at"]))
    since = newest["updated_at"]
    found = bench.rows("listOrders", "orders", updated_since=since)
    expect(newest["order_id"] in {order["order_id"] for order in found}, f"the order that changed at {since}", "it is missing")
    earlier = [order["updated_at"] for order in found if moment(order["updated_at"]) < moment(since)]
    expect(not earlier, f"no order that changed before {since}", earlier[:1])
    far = bench.rows("listOrders", "orders", updated_since="2999-01-01T00:00:00Z")
    expect(not far, "no order that changed after 2999", f"{len(far)} orders")


def orders_get(bench: Bench) -> None:
    """An order alone is the order in the list; its ETag names its revision: the same revision, the same ETag."""
    for listed in bench.orders()[:_MOST]:
        first = bench.call("getOrder", order_id=listed["order_id"])
        second = bench.call("getOrder", order_id=listed["order_id"])
        expect(first.body["order_id"] == listed["order_id"], "the order that was asked for", first.body["order_id"])
        tags = [answer.headers.get("etag", "") for answer in (first, second)]
        expect(bool(tags[0]), "an ETag", "none")
        if first.body["revision"] == second.body["revision"]:
            expect(tags[0] == tags[1], "the same ETag for the same revision", tags)
        for field in ("payout", "items", "files", "offer_id", "attestations_required"):
            expect(first.body.get(field) == listed.get(field), f"{field} as in the list", first.body.get(field))


def order_files(bench: Bench) -> None:
    """Whole, and once more: a signed address that ran out is asked for anew."""
    for order in _with_files(bench):
        file = _fetchable(order)[0]
        for _ in range(2):
            answer = bench.caller.file("getOrderFile", order_id=order["order_id"], file_id=file["file_id"])
            expect(answer.status == 200, f"200 with file {file['file_id']}", answer.told())
            _is_file(answer, file)


def order_file_ranges(bench: Bench) -> None:
    for order in _with_files(bench):
        file = _fetchable(order)[0]
        whole = bench.caller.file("getOrderFile", order_id=order["order_id"], file_id=file["file_id"]).content
        last = min(_FIRST_BYTES, len(whole)) - 1
        for first in (0, last // 2):
            asked = f"bytes={first}-{last}"
            part = bench.caller.file("getOrderFile", byte_range=asked, order_id=order["order_id"], file_id=file["file_id"])
            expect(part.status == 206, f"206 for {asked}", part.told())
            expect(part.content == whole[first : last + 1], f"the bytes {first} to {last}", f"{len(part.content)} bytes that are not these")
            told, wanted = part.headers.get("content-range", "none"), f"bytes {first}-{last}/{len(whole)}"
            expect(told == wanted, f"Content-Range: {wanted}", told)


def labels(bench: Bench) -> None:
    ready = [order for order in bench.orders() if order["state"] in ("label_ready", "delivered", "closed")]
    for order in _some(ready, "no order has its label yet"):
        answer = bench.caller.file("getLabel", order_id=order["order_id"])
        expect(answer.status == 200, "200 with the label", answer.told())
        is_label(answer, order)


def no_labels(bench: Bench) -> None:
    early = [order for order in bench.orders() if order["state"] in ("accepted", "started")]
    for order in _some(early, "no order waits for its label"):
        bench.call("getLabel", 409, "label_not_ready", order_id=order["order_id"])


def is_label(answer: Answer, order: dict[str, Any]) -> None:
    """Failed where it is no PDF, or not the one the order tells of."""
    kind = answer.headers.get("content-type", "none").partition(";")[0]
    expect(kind == "application/pdf" and answer.content.startswith(b"%PDF-"), "a PDF", f"{kind}, {len(answer.content)} bytes", "getLabel")
    told = (order.get("shipping") or {}).get("label_sha256")
    expect(not told or told == sha256(answer.content), f"the label with shipping.label_sha256 {told}", sha256(answer.content), "getLabel")


# --- small parts --------------------------------------------------------------------------------------------------


def _with_files(bench: Bench) -> Sequence[dict[str, Any]]:
    usable = [order for order in bench.orders() if order["state"] in ("accepted", "started") and _fetchable(order)]
    return _some(usable, "no order in state accepted or started, with a file of a size to fetch")


def _fetchable(work: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for file in work["files"] if 0 < file["bytes"] <= LARGEST_FILE]


def _is_file(answer: Answer, file: dict[str, Any]) -> None:
    expect(len(answer.content) == file["bytes"], f"the {file['bytes']} bytes that are announced", f"{len(answer.content)} bytes")
    expect(sha256(answer.content) == file["sha256"], f"the bytes with sha256 {file['sha256']}", sha256(answer.content))


CASES = (
    Case("offers.list", "listOffers", offers_list),
    Case("offers.get", "getOffer", offers_get),
    Case("offers.items_name_files", "getOffer", items_name_files),
    Case("offers.preview", "previewOfferFile", preview),
    Case("offers.no_preview", "previewOfferFile", no_preview),
    Case("orders.by_state", "listOrders", orders_by_state),
    Case("orders.since", "listOrders", orders_since),
    Case("orders.get", "getOrder", orders_get),
    Case("files.whole", "getOrderFile", order_files),
    Case("files.ranges", "getOrderFile", order_file_ranges),
    Case("label.get", "getLabel", labels),
    Case("label.not_ready", "getLabel", no_labels),
)
