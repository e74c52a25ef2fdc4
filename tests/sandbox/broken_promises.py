"""The promises of the contract, and for each at least one server that breaks it: (the case that catches it, what is wrong, how)."""

import base64
import hashlib
import json
import re
from itertools import count
from typing import Any

import httpx

from tests.sandbox.broken_servers import Break, Send, answer, answers, fresh_key, hears, instead, is_for, request_with, says, streams
from tests.sandbox.conftest import READER

known: list[str] = []
asked: list[str | None] = []
seen: list[str] = []
stay: dict[str, Any] = {}
"""What a broken server remembers; `forget` between tests."""
_orders = count(1)


def forget() -> None:
    for remembered in (known, asked, seen, stay):
        remembered.clear()


def _newest_first(page: Any) -> None:
    for number, row in enumerate(page["offers"]):
        row["created_at"] = f"2026-01-01T00:00:{number:02}Z"
    page["offers"].reverse()


def _shift(page: Any) -> Any:
    """The same instants, two hours east."""
    return json.loads(re.sub(r'T(\d\d):(\S+?)Z"', lambda m: f'T{(int(m[1]) + 2) % 24:02}:{m[2]}+02:00"', json.dumps(page)))


def _each(field: str, **changes: Any) -> Any:
    return lambda page: [row.update(changes) for row in page[field]]


def _takes_any_token(request: httpx.Request, send: Send, *, missing: bool) -> httpx.Response:
    given = request.headers.get("authorization", "")
    known[:] = [given] if given and "no-such" not in given and given != f"Bearer {READER}" else known
    wrong = not given if missing else "no-such" in given
    return send(request_with(request, authorization=known[-1])) if wrong and known else send(request)


def _reader_may_act(request: httpx.Request, send: Send) -> httpx.Response:
    if request.headers.get("authorization") == f"Bearer {READER}":
        return send(request_with(request, authorization=known[-1]))
    known[:] = [request.headers.get("authorization", "")] if "no-such" not in request.headers.get("authorization", "no-such") else known
    return send(request)


def _get_declines(request: httpx.Request, send: Send) -> httpx.Response:
    """Looking at an offer declines it."""
    given = send(request)
    if is_for(request, "GET", "/offers/*"):
        path = httpx.URL(request.url, path=f"{request.url.path}/decline")
        headers = {"authorization": request.headers["authorization"], "idempotency-key": fresh_key()}
        send(httpx.Request("POST", path, headers=headers, json={"reason": "other"})).read()
    return given


def _forgetful(request: httpx.Request, send: Send) -> httpx.Response:
    """The first event can be had once."""
    given = send(request)
    if not is_for(request, "GET", "/events") or "event-stream" in given.headers["content-type"]:
        return given
    given.read()
    asked.append(request.url.params.get("after"))
    return answer(given, body={"events": given.json()["events"][1:]}) if asked.count("0") > 1 and asked[-1] == "0" else given


def _other_order_id(request: httpx.Request, send: Send) -> httpx.Response:
    given = send(request)
    if not is_for(request, "POST", "/offers/*/accept") or given.status_code != 200:
        return given
    given.read()
    return answer(given, body={**given.json(), "order_id": f"or-{next(_orders)}"})


def _second_decline_refused(request: httpx.Request, send: Send) -> httpx.Response:
    given = send(request)
    if not is_for(request, "POST", "/offers/*/decline") or given.status_code != 204:
        return given
    seen.append(request.url.path)
    problem = {"type": "x", "title": "Conflict", "status": 409, "code": "declined"}
    return answer(given, status=409, body=problem, content_type="application/problem+json") if seen.count(seen[-1]) > 1 else given


def _digest_of_what_came(request: httpx.Request) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(request.read()).digest()).decode()}:"


def _good_status(request: httpx.Request) -> bytes:
    try:
        good = json.loads(request.read()).get("state") in ("online", "offline")
    except ValueError:
        good = False
    return request.read() if good else b'{"state": "online"}'


def _new_key(_request: httpx.Request) -> str:
    return fresh_key()


def _no_such_code(request: httpx.Request) -> bytes:
    return request.read().replace(b"no such code", b"delay")


_PROBLEM = {"content_type": "application/problem+json"}


def _problem(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "body": {"type": "x", "title": "x", "status": status, "code": code}, **_PROBLEM}


_LATE = _each("offers", accept_by="2099-01-01T00:00:00Z")


def _of_no_file(page: Any) -> None:
    page["offers"][0]["items"][0]["file_id"] = "?"


def _few_are_none(page: Any) -> None:
    if len(page["orders"]) < 4:
        page["orders"].clear()


def _other_labels(page: Any) -> None:
    for row in page["orders"]:
        row["shipping"] = row["shipping"] and {**row["shipping"], "label_sha256": "0" * 64}


def _backwards(page: Any) -> None:
    """All but the last, which says where to go on."""
    page["events"] = [*page["events"][-2::-1], *page["events"][-1:]]


def _answered_ones_stay(page: Any) -> None:
    """Whatever was once on the list is there again."""
    for offer in [*stay.values(), *page["offers"]]:
        stay[offer["offer_id"]] = offer
    page["offers"] = list(stay.values())


def _not_now_once() -> Break:
    return instead("GET", "/supplies", 503, {"type": "x", "title": "x", "status": 503, "code": "x"}, calls=1)


BROKEN: list[tuple[str, str, Break]] = [
    ("auth.no_token", "a token is not asked for", lambda r, s: _takes_any_token(r, s, missing=True)),
    ("auth.no_token", "an error is a page", answers("GET", "/status", when=401, content=b"<h1>No</h1>", content_type="text/html")),
    ("auth.unknown_token", "any token serves", lambda r, s: _takes_any_token(r, s, missing=False)),
    ("auth.scope", "a token that reads may act", _reader_may_act),
    ("problems.unknown_things", "a problem without a code", says("GET", "/offers/*", lambda body: body.pop("code"), only=404)),
    ("problems.unknown_things", "a problem of another status", says("GET", "/orders/*", lambda body: body.update(status=400), only=404)),
    ("problems.unknown_things", "a server error for what is not there", answers("GET", "/orders/*", when=404, **_problem(500, "oops"))),
    ("problems.wrong_queries", "a state that does not exist is not looked at", hears("GET", "/orders", query={"state": None})),
    ("times.utc", "times in another zone", says("GET", "/offers", _shift)),
    ("times.seconds_left", "the seconds of another offer", says("GET", "/offers", _each("offers", accept_within_s=5000.0))),
    ("times.seconds_left", "a clock that is ten minutes off in accept_by only", says("GET", "/offers", _LATE)),
    ("times.seconds_run", "seconds that do not run", says("GET", "/offers/*", lambda body: body.update(accept_within_s=600.0))),
    ("pages.end", "no last page", says("GET", "/offers", lambda page: page.update(next_cursor="again"))),
    ("pages.end", "no next_cursor at all", says("GET", "/orders", lambda page: page.pop("next_cursor"))),
    ("pages.end", "an offer twice", says("GET", "/offers", lambda page: page["offers"].append(page["offers"][0]))),
    ("reading.changes_nothing", "a GET that declines", _get_declines),
    ("status.get", "a state nobody knows", says("GET", "/status", lambda body: body.update(state="busy"))),
    ("status.get", "JSON that is none", answers("GET", "/status", content=b'{"state": ')),
    ("supplies.get", "a kind twice", says("GET", "/supplies", lambda body: body["kinds"].append(body["kinds"][0]))),
    ("earnings.list", "a line twice", says("GET", "/earnings", lambda body: body["lines"].extend(body["lines"]))),
    ("earnings.list", "days that are not looked at", hears("GET", "/earnings", query={"from": None})),
    ("money.decimal", "money with a comma", says("GET", "/orders", _each("orders", payout={"amount": "12,50", "currency": "EUR"}))),
    ("offers.list", "the newest first", says("GET", "/offers", _newest_first)),
    ("offers.list", "answered offers too", says("GET", "/offers", _each("offers", state="declined"))),
    ("offers.get", "another payout", says("GET", "/offers/*", lambda body: body.update(payout={"amount": "1.00", "currency": "EUR"}))),
    ("offers.items_name_files", "an item of no file", says("GET", "/offers", _of_no_file)),
    ("offers.preview", "no ETag", answers("GET", "/offers/*/files/*", etag="")),
    ("offers.preview", "an ETag of its own", answers("GET", "/offers/*/files/*", etag='"v1"')),
    ("offers.preview", "half a file", answers("GET", "/offers/*/files/*", content=b"half")),
    ("offers.no_preview", "files before they may be had", answers("GET", "/offers/*/files/*", when=403, status=200, content=b"solid")),
    ("offers.no_preview", "another code", answers("GET", "/offers/*/files/*", when=403, **_problem(403, "forbidden"))),
    ("orders.by_state", "a filter that filters nothing", hears("GET", "/orders", query={"state": None})),
    ("orders.since", "a filter that filters nothing", hears("GET", "/orders", query={"updated_since": None})),
    ("orders.since", "what changed then is left out", says("GET", "/orders", _few_are_none)),
    ("orders.get", "no ETag", answers("GET", "/orders/*", etag="")),
    ("orders.get", "a required field is missing", says("GET", "/orders/*", lambda body: body.pop("attestations_required"))),
    ("files.whole", "other bytes", answers("GET", "/orders/*/files/*", content=b"something else")),
    ("files.whole", "a redirect to nowhere", answers("GET", "/orders/*/files/*", status=307, content=b"")),
    ("files.ranges", "no ranges", hears("GET", "/orders/*/files/*", range="")),
    ("files.ranges", "a range that is said wrong", answers("GET", "/orders/*/files/*", when=206, content_range="bytes 0-1/2")),
    ("label.get", "a label that is a page", answers("GET", "/orders/*/label.pdf", content=b"<h1>label</h1>")),
    ("label.get", "another label than told", says("GET", "/orders", _other_labels)),
    ("label.not_ready", "a label that is not found", answers("GET", "/orders/*/label.pdf", when=409, **_problem(404, "not_found"))),
    ("events.in_order", "events backwards", says("GET", "/events", _backwards)),
    ("events.after", "after leaves out one too many", says("GET", "/events", lambda page: page["events"][1:] and page["events"].pop(0))),
    ("events.after", "after is not looked at", hears("GET", "/events", query={"after": "0"})),
    ("events.again", "what was told once is forgotten", _forgetful),
    ("events.stream", "events without id", streams(lambda line: None if line.startswith("id:") else line)),
    ("events.stream", "events that are no JSON", streams(lambda line: "data: hello" if line.startswith("data:") else line)),
    ("events.stream", "a kind nobody knows", streams(lambda line: re.sub(r'"kind": "[^"]*"', '"kind": "news"', line))),
    ("events.stream", "no stream at all", hears("GET", "/events", accept="application/json")),
    ("events.resume", "from the beginning again", hears("GET", "/events", last_event_id="")),
    ("keys.required", "no key is needed", hears("PUT", "/status", idempotency_key=_new_key)),
    ("keys.mismatch", "keys are not looked at", hears("PUT", "/status", idempotency_key=_new_key)),
    ("keys.mismatch", "another code", answers("PUT", "/status", when=409, **_problem(409, "conflict"))),
    ("status.set", "nothing is set", instead("PUT", "/status", 200, {"state": "offline"})),
    ("status.wrong_bodies", "any body is taken", hears("PUT", "/status", content=_good_status)),
    ("offers.accept", "an order of another offer", says("POST", "/offers/*/accept", lambda body: body.update(offer_id="of-other"))),
    ("offers.accept", "it stays on the list", says("GET", "/offers", _answered_ones_stay)),
    ("offers.accept", "fewer items than were offered", says("POST", "/offers/*/accept", lambda body: body["items"].clear())),
    ("offers.accept_again", "two orders of one offer", _other_order_id),
    ("offers.decline_accepted", "what was accepted is declined", instead("POST", "/offers/*/decline", 204)),
    ("offers.accept_withdrawn", "another code", answers("POST", "/offers/*/accept", when=409, **_problem(409, "gone"))),
    ("offers.accept_expired", "another status", answers("POST", "/offers/*/accept", when=410, **_problem(409, "deadline_passed"))),
    ("offers.decline", "a second no is an error", _second_decline_refused),
    ("offers.decline", "nothing is done", instead("POST", "/offers/*/decline", 204)),
    ("supplies.request", "two parcels", hears("POST", "/supplies/requests", idempotency_key=_new_key)),
    ("orders.too_early", "delivered before it is packed", instead("POST", "/orders/*/delivered", 204)),
    ("orders.problem", "any code is taken", hears("POST", "/orders/*/problem", content=_no_such_code)),
    ("events.live", "a stream that tells only what was", streams(lambda line: None if line.startswith(("id", "data")) else line)),
    ("orders.start", "always the same revision", says("GET", "/orders/*", lambda body: body.update(revision=1))),
    ("orders.start", "always the same ETag", answers("GET", "/orders/*", etag='"one"')),
    ("orders.start", "nothing starts", says("GET", "/orders/*", lambda body: body.update(state="accepted"))),
    ("photos.digest", "a digest is not looked at", hears("PUT", "/orders/*/photos/*", content_digest=_digest_of_what_came)),
    ("photos.twice", "always new", answers("PUT", "/orders/*/photos/*", status=201)),
    ("photos.twice", "the other photo is taken", answers("PUT", "/orders/*/photos/*", when=409, status=200, content=b"", content_type="")),
    ("submission.attestations", "nobody needs to agree", instead("POST", "/orders/*/submission", 200, {})),
    ("submission.person", "another code", answers("POST", "/orders/*/submission", when=422, **_problem(422, "wrong"))),
    ("submission.unknown_photo", "another status", answers("POST", "/orders/*/submission", when=422, **_problem(404, "unknown_photo"))),
    ("submission.submit", "nothing is submitted", says("POST", "/orders/*/submission", lambda body: body.update(state="started"))),
    ("label.after_submission", "a label that is none", answers("GET", "/orders/*/label.pdf", content=b"%PDF-1.4 another")),
    ("orders.delivered", "nothing is earned", says("GET", "/earnings", lambda body: body["lines"].clear())),
    ("retry_after", "not now, and not when", _not_now_once()),
]  # fmt: skip
