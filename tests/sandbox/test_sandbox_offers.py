"""Offers: seen, previewed, accepted, declined, and lost by time or to somebody else."""

import httpx
import pytest

from agent.sandbox.marketplace.problems import Problem
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.stall import MODEL, Operator, key, offer, problem, sha256


def accept(http: httpx.Client, offer_id: str) -> httpx.Response:
    return http.post(f"/offers/{offer_id}/accept", headers=key())


def decline(http: httpx.Client, offer_id: str, reason: str = "too_big") -> httpx.Response:
    return http.post(f"/offers/{offer_id}/decline", headers=key(), json={"reason": reason, "text": "It is wider than the bed."})


def test_an_offer_tells_all_that_was_ordered(market: SandboxMarketplace, http: httpx.Client) -> None:
    item = {"quantity": 4, "material": "PETG", "color": {"name": "red", "hex": "#ff0000"}, "infill_percent": 35, "supports": "operator"}
    strange = "../../ünïcode \u202e.stl"
    asked = offer(items=[item], add_ons=[{"code": "sand", "title": "Sanding"}], special_instructions="No brim, please.")
    asked["files"][0]["name"] = strange
    offer_id = market.add_offer(asked)
    told = http.get(f"/offers/{offer_id}").json()
    assert {name: told["items"][0][name] for name in item} == item
    assert told["files"] == [
        {"file_id": "file-1", "name": strange, "bytes": len(MODEL), "sha256": sha256(MODEL), "media_type": "model/stl"}
    ]
    assert (told["add_ons"], told["special_instructions"]) == ([{"code": "sand", "title": "Sanding"}], "No brim, please.")
    assert http.get("/offers").json()["offers"][0]["offer_id"] == offer_id


def test_accepting_makes_one_order_and_says_so_again(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    first, again = accept(http, offer_id), accept(http, offer_id)
    assert first.json() == again.json()
    assert (first.json()["state"], first.headers["etag"]) == ("accepted", '"rev-1"')
    assert market.times_done("acceptOffer", offer_id) == 1
    assert len(market.journal()["acts"]["acceptOffer"][offer_id]["keys"]) == 2
    assert http.get("/offers").json()["offers"] == []
    assert http.get(f"/offers/{offer_id}").json()["state"] == "accepted"


def test_declining_passes_it_on_for_good(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    assert [decline(http, offer_id).status_code for _ in range(2)] == [204, 204]
    assert market.times_done("declineOffer", offer_id) == 1
    assert problem(accept(http, offer_id), 409) == "taken"
    assert problem(decline(http, market.add_offer(offer()), "do_not_like_it"), 422) == "bad_body"


def test_what_was_accepted_cannot_be_declined(operator: Operator) -> None:
    assert problem(decline(operator.http, operator.offer_id), 409) == "accepted"


def test_an_offer_that_is_gone_says_how(market: SandboxMarketplace, http: httpx.Client) -> None:
    withdrawn, taken, late = market.add_offer(offer()), market.add_offer(offer()), market.add_offer(offer(accept_within_s=0))
    market.withdraw_offer(withdrawn)
    market.take_offer(taken)
    assert http.get("/offers").json()["offers"] == []
    assert problem(accept(http, withdrawn), 409) == "withdrawn"
    assert problem(accept(http, taken), 409) == "taken"
    assert problem(accept(http, late), 410) == "deadline_passed"
    assert problem(decline(http, late), 410) == "deadline_passed"
    assert [http.get(f"/offers/{gone}").json()["state"] for gone in (withdrawn, taken, late)] == ["withdrawn", "taken", "expired"]
    assert problem(accept(http, "never-was"), 404) == "not_found"
    with pytest.raises(Problem):
        market.withdraw_offer(taken)


def test_time_runs_out_by_itself_and_an_event_tells(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer(accept_within_s=0.2))
    assert 0 < http.get(f"/offers/{offer_id}").json()["accept_within_s"] <= 0.2
    with http.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as stream:
        next(line for line in stream.iter_lines() if "offer.expired" in line)  # nobody asked for it meanwhile
    told = http.get(f"/offers/{offer_id}").json()
    assert (told["state"], told["accept_within_s"]) == ("expired", 0)


def test_the_model_before_acceptance_only_where_it_is_allowed(market: SandboxMarketplace, http: httpx.Client) -> None:
    shown, hidden = market.add_offer(offer()), market.add_offer(offer(files_before_accept=False))
    answer = http.get(f"/offers/{shown}/files/file-1")
    assert (answer.content, answer.headers["etag"]) == (MODEL, f'"{sha256(MODEL)}"')
    assert problem(http.get(f"/offers/{hidden}/files/file-1"), 403) == "not_before_accept"
    market.withdraw_offer(shown)
    assert problem(http.get(f"/offers/{shown}/files/file-1"), 409) == "withdrawn"


def test_offline_no_offers_come_and_nothing_accepted_is_taken_back(operator: Operator, market: SandboxMarketplace) -> None:
    off = {"state": "offline", "until": "2026-02-01T08:00:00Z", "reason": "asleep"}
    assert operator.http.put("/status", headers=key(), json=off).json() == off
    assert operator.http.get("/status").json() == off
    with pytest.raises(Problem, match="operator_offline"):
        market.add_offer(offer())
    assert operator.order()["state"] == "accepted"
    operator.http.put("/status", headers=key(), json={"state": "online"})
    assert market.add_offer(offer())
