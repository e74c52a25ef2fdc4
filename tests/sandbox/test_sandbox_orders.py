"""An order's way from accepted to closed, and everything that is refused on it."""

import re

import httpx
import pytest

from agent.sandbox.marketplace.problems import Problem
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.stall import JPEG, MODEL, Operator, key, problem, sha256


def ready_to_submit(operator: Operator) -> None:
    assert operator.start().status_code == 200
    assert operator.photo().status_code == 201


def test_the_whole_way_is_done_once_and_told_in_order(operator: Operator, market: SandboxMarketplace) -> None:
    assert operator.start().json()["state"] == "started"
    assert operator.photo().status_code == 201
    submitted = operator.submit().json()
    assert submitted["state"] == "label_ready"
    assert submitted["shipping"]["label_sha256"] == sha256(operator.label().content)
    assert operator.delivered().json()["state"] == "delivered"
    assert operator.http.get("/earnings").json()["lines"] == [
        {"order_id": operator.order_id, "amount": {"amount": "12.50", "currency": "EUR"}, "state": "pending"}
    ]
    market.set_earnings(operator.order_id, "payable")
    market.set_earnings(operator.order_id, "paid")
    assert (operator.order()["state"], operator.http.get("/earnings").json()["lines"][0]["state"]) == ("closed", "paid")
    done = [(entry["operation"], entry["subject"]) for entry in market.journal()["done"]]
    order_id = operator.order_id
    photo = f"{order_id}/front"
    steps = ("startOrder", order_id), ("putPhoto", photo), ("submitOrder", order_id), ("markDelivered", order_id)
    assert done == [("acceptOffer", operator.offer_id), *steps]
    assert all(market.times_done(*step) == 1 for step in steps)


def test_every_change_is_a_new_revision(operator: Operator) -> None:
    before = operator.http.get(f"/orders/{operator.order_id}")
    after = operator.start()
    assert (before.headers["etag"], after.headers["etag"]) == ('"rev-1"', '"rev-2"')
    assert after.json()["updated_at"] >= before.json()["updated_at"]


def test_steps_out_of_turn_are_refused_and_change_nothing(operator: Operator) -> None:
    assert problem(operator.photo(), 409) == "wrong_state"
    assert problem(operator.submit(), 409) == "wrong_state"
    assert problem(operator.delivered(), 409) == "wrong_state"
    assert operator.order()["revision"] == 1
    operator.start()
    assert problem(operator.start(), 409) == "wrong_state"
    assert problem(operator.label(), 409) == "label_not_ready"


def test_a_photo_sent_again_is_the_same_photo(operator: Operator, market: SandboxMarketplace) -> None:
    operator.start()
    assert [operator.photo().status_code for _ in range(2)] == [201, 200]
    assert problem(operator.photo(content=JPEG + b"another"), 409) == "photo_differs"
    assert market.times_done("putPhoto", f"{operator.order_id}/front") == 1
    stored = market.order(operator.order_id)["photos"]
    assert stored == [{"photo_id": "front", "sha256": sha256(JPEG), "bytes": len(JPEG), "media_type": "image/jpeg"}]


def test_a_photo_that_was_damaged_on_its_way_is_refused(operator: Operator, market: SandboxMarketplace) -> None:
    operator.start()
    other = {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}
    assert problem(operator.photo(headers=other), 400) == "content_digest_mismatch"
    assert problem(operator.photo(headers={"Content-Digest": "md5=:AAAA:"}), 400) == "content_digest_required"
    assert problem(operator.photo(headers={"Content-Digest": "sha-256=:A:"}), 400) == "bad_content_digest"
    assert problem(operator.photo(headers={"Content-Type": "text/html"}), 415) == "unsupported_media_type"
    assert problem(operator.photo("not.an.id"), 400) == "bad_photo_id"
    assert problem(operator.photo(content=bytes(20 * 1024 * 1024 + 1)), 413) == "too_large"
    assert market.order(operator.order_id)["photos"] == []


@pytest.mark.parametrize("nobody", ["", "  ", "intagly-agent", "Agent 1.0", "daemon", "root", "print-bot"])
def test_only_a_person_makes_an_attestation(operator: Operator, nobody: str) -> None:
    ready_to_submit(operator)
    assert problem(operator.submit(operator.agreements(by=nobody)), 422) == "person_required"
    assert operator.order()["state"] == "started"


@pytest.mark.parametrize("person", ["Ada", "Joe Root", "Jennifer Null", "李雷", "Renée O’Connor"])
def test_people_of_any_name_may_agree(operator: Operator, person: str) -> None:
    ready_to_submit(operator)
    assert operator.submit(operator.agreements(by=person)).status_code == 200


def test_attestations_must_be_all_there_and_of_the_text_that_was_asked(operator: Operator) -> None:
    ready_to_submit(operator)
    agreements = operator.agreements()
    other_text = [{**agreements[0], "text_sha256": sha256(b"another text")}, *agreements[1:]]
    assert problem(operator.submit(other_text), 422) == "text_differs"
    assert problem(operator.submit(agreements[1:]), 422) == "attestation_missing"
    assert problem(operator.submit([*agreements, {**agreements[0], "code": "invented"}]), 422) == "unknown_attestation"
    assert problem(operator.submit(agreements, photo_ids=("back",)), 422) == "unknown_photo"
    assert problem(operator.submit(agreements, photo_ids=()), 422) == "bad_body"
    assert operator.submit(agreements).status_code == 200


def test_the_label_may_come_later(market: SandboxMarketplace, http: httpx.Client) -> None:
    by_time, by_hand = Operator(market, http, label_after_s=0.1), Operator(market, http, label_after_s=None)
    for operator in (by_time, by_hand):
        ready_to_submit(operator)
        assert operator.submit().json()["state"] == "submitted"
    assert problem(by_hand.label(), 409) == "label_not_ready"
    with http.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as stream:
        next(line for line in stream.iter_lines() if "label.ready" in line and by_time.order_id in line)
    market.make_label(by_hand.order_id)
    for operator in (by_time, by_hand):
        assert (operator.order()["state"], operator.label().status_code) == ("label_ready", 200)


def test_the_label_is_a_real_pdf_of_one_page(operator: Operator) -> None:
    ready_to_submit(operator)
    operator.submit()
    answer = operator.label()
    pdf = answer.content
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content == operator.label().content
    assert pdf.startswith(b"%PDF-1.4") and pdf.endswith(b"%%EOF\n")
    table = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    assert pdf[table:].startswith(b"xref\n")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n ", pdf[table:]), start=1):
        assert pdf[int(offset) :].startswith(b"%d 0 obj" % number)
    length = int(re.search(rb"/Length (\d+)", pdf)[1])  # type: ignore[index] # a missing length fails the test
    assert pdf.split(b"stream\n", 1)[1][length:].startswith(b"\nendstream")
    assert operator.order()["shipping"]["tracking_number"].encode() in pdf
    assert pdf.count(b"/Type /Page ") == 1


def test_a_problem_is_reported_once_for_its_key(operator: Operator, market: SandboxMarketplace) -> None:
    assert operator.problem("delay", "The filament comes tomorrow.").json()["state"] == "accepted"
    assert operator.problem("file_unprintable").json()["state"] == "problem"
    assert [told["code"] for told in market.order(operator.order_id)["problems"]] == ["delay", "file_unprintable"]
    assert market.times_done("reportProblem", operator.order_id) == 2
    assert problem(operator.problem("bored"), 422) == "bad_body"


def test_a_cancelled_order_is_over(operator: Operator, market: SandboxMarketplace) -> None:
    operator.start()
    market.cancel_order(operator.order_id)
    assert operator.order()["state"] == "cancelled"
    assert problem(operator.photo(), 409) == "wrong_state"
    assert problem(operator.problem("delay"), 409) == "wrong_state"
    assert problem(operator.http.get(f"/orders/{operator.order_id}/files/file-1"), 409) == "wrong_state"
    with pytest.raises(Problem, match="wrong_state"):
        market.cancel_order(operator.order_id)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=100-", 100, 133), ("bytes=-4", 130, 133), ("bytes=100-9999", 100, 133)],
)
def test_a_part_of_a_model_can_be_asked_for(operator: Operator, asked: str, first: int, last: int) -> None:
    answer = operator.http.get(f"/orders/{operator.order_id}/files/file-1", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, MODEL[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(MODEL)}"
    assert answer.headers["etag"] == f'"{sha256(MODEL)}"'


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=9-3", "bytes=a-b"])
def test_a_range_that_is_none_is_answered_with_the_whole_model(operator: Operator, asked: str) -> None:
    answer = operator.http.get(f"/orders/{operator.order_id}/files/file-1", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, MODEL)


def test_a_range_past_the_end_or_of_another_file_is_told(operator: Operator) -> None:
    path = f"/orders/{operator.order_id}/files/file-1"
    for asked in ("bytes=134-", "bytes=500-600", "bytes=-0"):
        answer = operator.http.get(path, headers={"Range": asked})
        assert problem(answer, 416) == "range_not_satisfiable"
        assert answer.headers["content-range"] == "bytes */134"
    changed = operator.http.get(path, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, MODEL)


def test_supplies_are_asked_for_and_arrive(market: SandboxMarketplace, http: httpx.Client) -> None:
    kinds = {kind["kind"] for kind in http.get("/supplies").json()["kinds"]}
    request = http.post("/supplies/requests", headers=key(), json={"kind": sorted(kinds)[0], "quantity": 2}).json()
    assert (request["state"], request["quantity"]) == ("open", 2)
    market.set_supply_state(request["request_id"], "arrived")
    assert http.get("/supplies").json()["open_requests"] == []
    assert problem(http.post("/supplies/requests", headers=key(), json={"kind": "gold", "quantity": 1}), 422) == "unknown_kind"
    assert problem(http.post("/supplies/requests", headers=key(), json={"kind": "box_s", "quantity": True}), 422) == "bad_body"


def test_earnings_are_found_by_day(operator: Operator) -> None:
    ready_to_submit(operator)
    operator.submit(), operator.delivered()
    today = operator.order()["updated_at"][:10]
    assert len(operator.http.get("/earnings", params={"from": today, "to": today}).json()["lines"]) == 1
    assert operator.http.get("/earnings", params={"to": "2001-01-01"}).json()["lines"] == []
    assert operator.http.get("/earnings", params={"from": "2999-01-01"}).json()["lines"] == []
    assert problem(operator.http.get("/earnings", params={"from": "31.1.2026"}), 400) == "bad_parameter"
