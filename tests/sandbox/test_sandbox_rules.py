"""The rules of the contract that hold for every call: token, idempotency, problems, paging, reading changes nothing."""

import httpx
import pytest

from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.sandbox.conftest import READER
from tests.sandbox.stall import Operator, client, key, offer, problem


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic dTpw"])
def test_without_a_token_that_is_known_nothing_is_answered(market: SandboxMarketplace, header: str | None) -> None:
    response = httpx.get(market.url + "/status", headers={} if header is None else {"Authorization": header})
    assert problem(response, 401) == "unauthorized"
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_token_that_may_only_read_cannot_act(market: SandboxMarketplace) -> None:
    offer_id = market.add_offer(offer())
    with client(market, token=READER) as reader:
        assert reader.get(f"/offers/{offer_id}").status_code == 200
        assert problem(reader.post(f"/offers/{offer_id}/accept", headers=key()), 403) == "insufficient_scope"
    assert market.offer(offer_id)["state"] == "open"


def test_an_act_without_an_idempotency_key_is_not_done(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    assert problem(http.post(f"/offers/{offer_id}/accept"), 400) == "idempotency_key_required"
    for bad in ("short", "x" * 129):
        assert problem(http.post(f"/offers/{offer_id}/accept", headers=key(bad)), 400) == "bad_idempotency_key"
    assert market.offer(offer_id)["state"] == "open"


def test_the_same_key_and_body_is_the_same_answer_and_done_once(market: SandboxMarketplace, http: httpx.Client) -> None:
    ask = {"kind": "box_s", "quantity": 3}
    answers = [http.post("/supplies/requests", headers=key("the-very-same"), json=ask) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(http.get("/supplies").json()["open_requests"]) == 1
    assert market.journal()["acts"]["requestSupplies"][""] == {"asked": 3, "replayed": 2, "done": 1, "keys": ["the-very-same"]}


def test_another_key_is_another_act(market: SandboxMarketplace, http: httpx.Client) -> None:
    for _ in range(2):
        assert http.post("/supplies/requests", headers=key(), json={"kind": "box_s", "quantity": 1}).status_code == 201
    assert market.times_done("requestSupplies") == 2


def test_the_same_key_with_another_request_is_refused(market: SandboxMarketplace, http: httpx.Client) -> None:
    http.post("/supplies/requests", headers=key("used-before"), json={"kind": "box_s", "quantity": 3})
    other_body = http.post("/supplies/requests", headers=key("used-before"), json={"kind": "box_s", "quantity": 4})
    assert problem(other_body, 409) == "idempotency_mismatch"
    offer_id = market.add_offer(offer())
    other_act = http.post(f"/offers/{offer_id}/accept", headers=key("used-before"))
    assert problem(other_act, 409) == "idempotency_mismatch"
    assert (market.times_done("requestSupplies"), market.offer(offer_id)["state"]) == (1, "open")


def test_a_no_for_good_is_repeated_under_its_key(operator: Operator) -> None:
    """So a client that must know reads the order, and does not send the act again in the hope of another answer."""
    path, sent = f"/orders/{operator.order_id}/delivered", {"dropped_off_at": "2026-01-31T17:00:00Z"}
    assert problem(operator.http.post(path, headers=key("too-early"), json=sent), 409) == "wrong_state"
    operator.start(), operator.photo(), operator.submit()
    assert problem(operator.http.post(path, headers=key("too-early"), json=sent), 409) == "wrong_state"
    assert operator.http.post(path, headers=key(), json=sent).status_code == 200


def test_a_request_that_was_not_understood_may_be_mended_under_its_key(http: httpx.Client) -> None:
    wrong = http.post("/supplies/requests", headers=key("mended-later"), json={"kind": "box_s", "quantity": 0})
    assert problem(wrong, 422) == "bad_body"
    right = http.post("/supplies/requests", headers=key("mended-later"), json={"kind": "box_s", "quantity": 1})
    assert right.status_code == 201


def test_bodies_that_are_not_what_the_contract_says_are_problems(http: httpx.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    assert problem(http.put("/status", headers={**key(), **json_type}, content=b"{"), 400) == "bad_json"
    assert problem(http.put("/status", headers=key(), content=b"state=online"), 415) == "unsupported_media_type"
    assert problem(http.put("/status", headers={**key(), **json_type}, content=b" " * (1024 * 1024 + 1)), 413) == "too_large"
    assert problem(http.put("/status", headers=key(), json={"state": "asleep"}), 422) == "bad_body"
    assert problem(http.put("/status", headers=key(), json={"state": "online", "until": "tomorrow"}), 422) == "bad_body"


def test_paths_and_methods_that_are_not_there_are_problems(market: SandboxMarketplace, careless: httpx.Client) -> None:
    assert problem(careless.get("/nothing"), 404) == "not_found"
    assert problem(careless.get("/offers/"), 404) == "not_found"
    refused = careless.delete("/status")
    assert problem(refused, 405) == "method_not_allowed"
    assert {method.strip() for method in refused.headers["allow"].split(",")} == {"GET", "PUT"}
    assert problem(careless.get(f"/offers/{market.add_offer(offer())}/files/none"), 404) == "not_found"


def test_lists_are_paged_and_a_row_that_goes_away_shifts_nothing(market: SandboxMarketplace, http: httpx.Client) -> None:
    offers = [market.add_offer(offer()) for _ in range(45)]
    first = http.get("/offers").json()
    market.withdraw_offer(offers[0])
    second = http.get("/offers", params={"cursor": first["next_cursor"]}).json()
    third = http.get("/offers", params={"cursor": second["next_cursor"]}).json()
    seen = [row["offer_id"] for page in (first, second, third) for row in page["offers"]]
    assert seen == offers  # oldest first, none twice, none left out
    assert third["next_cursor"] is None
    assert problem(http.get("/offers", params={"cursor": "made-up"}), 400) == "bad_cursor"


def test_orders_are_paged_and_found_by_state_and_time(market: SandboxMarketplace, http: httpx.Client) -> None:
    orders = [Operator(market, http).order_id for _ in range(22)]
    http.post(f"/orders/{orders[3]}/start", headers=key())
    first = http.get("/orders").json()
    second = http.get("/orders", params={"cursor": first["next_cursor"]}).json()
    assert [row["order_id"] for page in (first, second) for row in page["orders"]] == orders
    started = http.get("/orders", params={"state": "started"}).json()["orders"]
    assert [row["order_id"] for row in started] == [orders[3]]
    changed = started[0]["updated_at"]
    since = [row["order_id"] for row in http.get("/orders", params={"updated_since": changed}).json()["orders"]]
    # The last order may have been made within the same moment; the first was not.
    assert since == [
        row["order_id"] for page in (http.get("/orders").json(), second) for row in page["orders"] if row["updated_at"] >= changed
    ]
    assert orders[3] in since
    assert orders[0] not in since
    assert problem(http.get("/orders", params={"state": "lost"}), 400) == "bad_parameter"
    assert problem(http.get("/orders", params={"updated_since": "yesterday"}), 400) == "bad_parameter"


def test_reading_everything_changes_nothing(operator: Operator, market: SandboxMarketplace) -> None:
    offer_id = market.add_offer(offer())
    before = (operator.order(), market.journal()["done"], market.offer(offer_id), operator.http.get("/events").json())
    for path in ("/status", "/offers", f"/offers/{offer_id}", "/orders", f"/orders/{operator.order_id}", "/supplies", "/earnings"):
        assert operator.http.get(path).status_code == 200
    assert problem(operator.label(), 409) == "label_not_ready"
    assert operator.http.get(f"/offers/{offer_id}/files/file-1").status_code == 200
    assert operator.http.get(f"/orders/{operator.order_id}/files/file-1").status_code == 200
    assert (operator.order(), market.journal()["done"], market.offer(offer_id), operator.http.get("/events").json()) == before


def test_a_marketplace_with_a_wrong_clock_still_tells_the_seconds_left() -> None:
    with SandboxMarketplace(Options(clock_offset_s=-86_400)) as late, client(late) as http:
        late.add_offer(offer(accept_within_s=900))
        told = http.get("/offers").json()["offers"][0]
        assert 890 < told["accept_within_s"] <= 900
        ahead = SandboxMarketplace(Options(clock_offset_s=86_400))
        with ahead, client(ahead) as other:
            ahead.add_offer(offer(accept_within_s=900))
            assert told["accept_by"] < other.get("/offers").json()["offers"][0]["created_at"]
