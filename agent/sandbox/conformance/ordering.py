"""Cases that lead the accepted order from its start to its delivery, as the guide's steps 6 to 12 do."""

import base64
import hashlib
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from agent.sandbox.conformance.bench import Bench, Started
from agent.sandbox.conformance.caller import Answer
from agent.sandbox.conformance.happenings import messages, read
from agent.sandbox.conformance.things import is_label
from agent.sandbox.conformance.verdicts import Case, Failed, Skipped, expect

_PHOTO_ID = "conformance-front"
_NOTE = "Sent by the conformance kit."
_LOOK_AGAIN_S = 0.5
PHOTO = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg==")
"""A PNG of one pixel."""
_OTHER_PHOTO = PHOTO + b"\n"


def too_early(bench: Bench) -> None:
    """Neither label nor delivery before the submission."""
    order_id = bench.in_state("accepted", "started")["order_id"]
    bench.call("getLabel", 409, "label_not_ready", order_id=order_id)
    bench.call("markDelivered", 409, body=_dropped_off(), order_id=order_id)


def problem_told(bench: Bench) -> None:
    """`delay` only tells; a code that the contract does not have is refused."""
    order = bench.my_order()
    bench.call("reportProblem", (400, 422), body={"code": "no such code"}, order_id=order["order_id"])
    told = bench.call("reportProblem", body={"code": "delay", "text": _NOTE}, order_id=order["order_id"]).body
    bench.order = bench.call("getOrder", order_id=order["order_id"]).body
    expect(told["order_id"] == order["order_id"], "the order", told["order_id"])


def heard_at_once(bench: Bench) -> None:
    """A stream that is open when something happens tells it."""
    bench.in_state("accepted")
    events = bench.events()
    last = events[-1]["seq"] if events else 0
    with bench.caller.stream({}, {"after": last}) as lines:
        _start(bench)
        event = next((read(bench, message) for message in messages(lines)), None)
    expect(event is not None and event["seq"] > last, "an event in the open stream when the order was started", event or "none")


def start(bench: Bench) -> None:
    """A new revision with a new ETag; under the same key the same answer."""
    started = bench.started or _start(bench)
    again = bench.call("startOrder", key=started.key, order_id=bench.order["order_id"]).body
    expect(started.answer.body == again, "the same answer under the same key", "another", "Every POST and PUT")
    after = bench.call("getOrder", order_id=bench.order["order_id"])
    bench.order = after.body
    expect(after.body["state"] == "started", "state started", after.body["state"])
    expect(after.body["revision"] > started.before.body["revision"], "a higher revision", after.body["revision"], "getOrder")
    tag = after.headers.get("etag")
    expect(tag != started.before.headers.get("etag"), "another ETag for another revision", tag, "getOrder")


def _start(bench: Bench) -> Started:
    order_id, key = bench.in_state("accepted")["order_id"], str(uuid4())
    before = bench.call("getOrder", order_id=order_id)
    bench.started = Started(before, key, bench.call("startOrder", key=key, order_id=order_id))
    return bench.started


def photo_with_another_digest(bench: Bench) -> None:
    """It is refused, and not stored: the right one is new afterwards (see photos.twice)."""
    order_id = bench.in_state("started")["order_id"]
    _put(bench, order_id, PHOTO, _client_error(), digest=_OTHER_PHOTO)
    _put(bench, order_id, PHOTO, _client_error(), digest=None)


def photo_twice(bench: Bench) -> None:
    """Stored, then stored before; and the id is this photo's from now on."""
    order_id = bench.in_state("started")["order_id"]
    _put(bench, order_id, PHOTO, {201})
    _put(bench, order_id, PHOTO, {200})
    _put(bench, order_id, _OTHER_PHOTO, {409})


def submission_without_agreement(bench: Bench) -> None:
    order = bench.in_state("started")
    if not order["attestations_required"]:
        raise Skipped("the order asks for no attestation")
    bench.call("submitOrder", 422, body=_submission([]), order_id=order["order_id"])
    _still_started(bench, order)


def submission_by_a_program(bench: Bench) -> None:
    order = bench.in_state("started")
    if not order["attestations_required"]:
        raise Skipped("the order asks for no attestation")
    for nobody in ("", "intagly-agent"):
        said = _submission(_agreements(order, nobody))
        bench.call("submitOrder", 422, "person_required", body=said, order_id=order["order_id"])
    _still_started(bench, order)


def submission_of_unknown_photo(bench: Bench) -> None:
    order = bench.in_state("started")
    said = {"photo_ids": ["conformance-never-sent"], "attestations": _agreements(order, _person(bench))}
    bench.call("submitOrder", 422, body=said, order_id=order["order_id"])
    _still_started(bench, order)


def submit(bench: Bench) -> None:
    order, key = bench.in_state("started"), str(uuid4())
    said = _submission(_agreements(order, _person(bench)))
    first = bench.call("submitOrder", key=key, body=said, order_id=order["order_id"]).body
    expect(first["state"] in ("submitted", "label_ready"), "state submitted or label_ready", first["state"])
    second = bench.call("submitOrder", key=key, body=said, order_id=order["order_id"]).body
    expect(first == second, "the same answer under the same key", "another", "Every POST and PUT")
    bench.order = bench.call("getOrder", order_id=order["order_id"]).body


def label(bench: Bench) -> None:
    order, until = bench.in_state("submitted", "label_ready"), time.monotonic() + bench.patience.label
    while order["state"] == "submitted":
        if time.monotonic() > until:
            raise Skipped(f"the label did not come within {bench.patience.label:g} s of the submission")
        time.sleep(_LOOK_AGAIN_S)
        order = bench.call("getOrder", order_id=order["order_id"]).body
    bench.order = order
    expect(order["state"] == "label_ready", "state label_ready", order["state"])
    is_label(bench.caller.file("getLabel", order_id=order["order_id"]), order)


def delivered(bench: Bench) -> None:
    """Earnings count from here."""
    order, key = bench.in_state("label_ready"), str(uuid4())
    for _ in range(2):
        told = bench.call("markDelivered", key=key, body=_dropped_off(), order_id=order["order_id"]).body
        expect(told["state"] in ("delivered", "closed"), "state delivered", told["state"])
    bench.order = told
    lines = [line for line in bench.call("listEarnings").body["lines"] if line["order_id"] == order["order_id"]]
    expect(len(lines) == 1, f"one line of earnings for order {order['order_id']}", len(lines), "listEarnings")


# --- small parts --------------------------------------------------------------------------------------------------


def _person(bench: Bench) -> str:
    if not bench.person:
        raise Skipped("needs --person: the name of the person who agrees to what the order asks for")
    return bench.person


def _put(bench: Bench, order_id: str, photo: bytes, status: set[int], *, digest: bytes | None = b"") -> Answer:
    """`digest`: what the Content-Digest is of; the photo itself where nothing is said, no such header for None."""
    headers = {"Content-Type": "image/png"}
    if digest is not None:
        headers["Content-Digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(digest or photo).digest()).decode()}:"
    return bench.call("putPhoto", status, headers=headers, content=photo, order_id=order_id, photo_id=_PHOTO_ID)


def _client_error() -> set[int]:
    return set(range(400, 500))


def _submission(agreements: list[dict[str, str]]) -> dict[str, Any]:
    return {"photo_ids": [_PHOTO_ID], "attestations": agreements, "internal_note": _NOTE}


def _agreements(order: dict[str, Any], by: str) -> list[dict[str, str]]:
    return [
        {
            "code": asked["code"],
            "text_sha256": hashlib.sha256(asked["text"].encode()).hexdigest(),
            "agreed_by": by,
            "agreed_at": _now(),
        }
        for asked in order["attestations_required"]
    ]


def _still_started(bench: Bench, order: dict[str, Any]) -> None:
    state = bench.call("getOrder", order_id=order["order_id"]).body["state"]
    if state != "started":
        raise Failed("the order in state started, as the submission was refused", str(state))


def _dropped_off() -> dict[str, str]:
    return {"dropped_off_at": _now(), "place": "conformance"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


CASES = (
    Case("orders.too_early", "getLabel", too_early, acts=True),
    Case("orders.problem", "reportProblem", problem_told, acts=True),
    Case("events.live", "listEvents", heard_at_once, acts=True),
    Case("orders.start", "startOrder", start, acts=True),
    Case("photos.digest", "putPhoto", photo_with_another_digest, acts=True),
    Case("photos.twice", "putPhoto", photo_twice, acts=True),
    Case("submission.attestations", "submitOrder", submission_without_agreement, acts=True),
    Case("submission.person", "submitOrder", submission_by_a_program, acts=True),
    Case("submission.unknown_photo", "submitOrder", submission_of_unknown_photo, acts=True),
    Case("submission.submit", "submitOrder", submit, acts=True),
    Case("label.after_submission", "getLabel", label, acts=True),
    Case("orders.delivered", "markDelivered", delivered, acts=True),
)
