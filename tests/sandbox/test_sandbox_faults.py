"""Each fault by its name: what a client gets to see, and what the marketplace did all the same."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import pytest

from agent.sandbox.marketplace.faults import KINDS
from agent.sandbox.marketplace.problems import Problem
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.stall import JPEG, MODEL, Operator, client, key, offer, problem, sha256

FILE = "/orders/{}/files/file-1"


def test_slow_nothing_comes_and_nothing_is_done_meanwhile(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("slow", "acceptOffer", 1, seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        http.post(f"/offers/{offer_id}/accept", headers=key(), timeout=0.3)
    assert market.times_done("acceptOffer", offer_id) == 0
    assert http.post(f"/offers/{offer_id}/accept", headers=key()).status_code == 200


def test_slow_dripping_the_answer_takes_its_time_and_is_whole(operator: Operator, market: SandboxMarketplace) -> None:
    market.set_fault("slow", "getOrderFile", 1, seconds=0.5, drip=True)
    answer = operator.http.get(FILE.format(operator.order_id))
    assert answer.content == MODEL
    assert answer.elapsed.total_seconds() >= 0.5
    market.set_fault("slow", "getOrderFile", 1, seconds=60, drip=True)
    with operator.http.stream("GET", "/status"), pytest.raises(httpx.ReadTimeout):
        operator.http.get(FILE.format(operator.order_id), timeout=0.3)  # each piece is later than that


def test_error_500_nothing_is_done(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("error_500", "acceptOffer", 2)
    for _ in range(2):
        assert problem(http.post(f"/offers/{offer_id}/accept", headers=key("same-key")), 500) == "internal_error"
    assert market.times_done("acceptOffer", offer_id) == 0
    assert http.post(f"/offers/{offer_id}/accept", headers=key("same-key")).status_code == 200


@pytest.mark.parametrize(("fault", "status", "code"), [("unavailable_503", 503, "unavailable"), ("too_many_429", 429, "too_many_requests")])
def test_unavailable_and_too_many_say_when_to_come_back(
    market: SandboxMarketplace, http: httpx.Client, fault: str, status: int, code: str
) -> None:
    market.set_fault(fault, retry_after_s=7)
    for path in ("/offers", "/orders", "/status"):
        answer = http.get(path)
        assert (problem(answer, status), answer.headers["retry-after"]) == (code, "7")
    market.clear_faults(fault)
    assert http.get("/offers").status_code == 200


def test_drop_reply_after_acting_it_was_done_and_the_same_key_reads_it_back(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("drop_reply_after_acting", "acceptOffer", 1)
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
        http.post(f"/offers/{offer_id}/accept", headers=key("lost-answer"))
    assert (market.offer(offer_id)["state"], market.times_done("acceptOffer", offer_id)) == ("accepted", 1)
    again = http.post(f"/offers/{offer_id}/accept", headers=key("lost-answer"))
    assert again.json()["order_id"] == market.offer(offer_id)["order_id"]
    assert market.journal()["acts"]["acceptOffer"][offer_id]["replayed"] == 1
    assert market.times_done("acceptOffer", offer_id) == 1


@pytest.mark.parametrize("step", ["startOrder", "putPhoto", "submitOrder", "markDelivered", "reportProblem"])
def test_drop_reply_after_acting_at_every_step_of_an_order(operator: Operator, market: SandboxMarketplace, step: str) -> None:
    acts = {
        "startOrder": operator.start,
        "putPhoto": operator.photo,
        "submitOrder": operator.submit,
        "reportProblem": lambda: operator.problem("delay"),
        "markDelivered": operator.delivered,
    }
    market.set_fault("drop_reply_after_acting", step, 1)
    for name, act in acts.items():
        if name == step:
            with pytest.raises(httpx.RemoteProtocolError):
                act()
            break
        act()
    subject = f"{operator.order_id}/front" if step == "putPhoto" else operator.order_id
    assert market.times_done(step, subject) == 1


def test_drop_before_acting_nothing_is_done(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("drop_before_acting", "acceptOffer", 1)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(f"/offers/{offer_id}/accept", headers=key("not-done-yet"))
    assert market.offer(offer_id)["state"] == "open"
    assert http.post(f"/offers/{offer_id}/accept", headers=key("not-done-yet")).status_code == 200


def test_a_dropped_connection_leaves_no_word_of_an_error(
    operator: Operator, market: SandboxMarketplace, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a fault of ours, on purpose: the server must not believe that its application failed."""
    market.set_fault("drop_before_acting", "getOrder", 1)
    market.set_fault("truncated_file", count=1)
    for path in (f"/orders/{operator.order_id}", FILE.format(operator.order_id)):
        with pytest.raises(httpx.RemoteProtocolError):
            operator.http.get(path)
    assert [record for record in caplog.records if record.name.startswith("uvicorn") and record.levelname == "ERROR"] == []


def test_broken_json_the_answer_is_no_json_and_the_act_is_done(market: SandboxMarketplace, careless: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("broken_json", count=2)
    listed, accepted = careless.get("/offers"), careless.post(f"/offers/{offer_id}/accept", headers=key())
    for answer in (listed, accepted):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    assert market.times_done("acceptOffer", offer_id) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "state"),
    [
        ("deadline_expired", 410, "deadline_passed", "expired"),
        ("offer_withdrawn", 409, "withdrawn", "withdrawn"),
        ("offer_taken", 409, "taken", "taken"),
    ],
)
def test_the_offer_goes_in_the_moment_it_is_accepted(
    market: SandboxMarketplace, http: httpx.Client, fault: str, status: int, code: str, state: str
) -> None:
    lost, kept = market.add_offer(offer()), market.add_offer(offer())
    market.set_fault(fault, count=1)
    assert problem(http.post(f"/offers/{lost}/accept", headers=key()), status) == code
    assert http.get(f"/offers/{lost}").json()["state"] == state
    assert http.post(f"/offers/{kept}/accept", headers=key()).status_code == 200
    assert market.times_done("acceptOffer", lost) == 0


def test_not_before_accept_although_the_offer_says_so(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer(files_before_accept=True))
    market.set_fault("not_before_accept", count=1)
    assert problem(http.get(f"/offers/{offer_id}/files/file-1"), 403) == "not_before_accept"
    assert http.get(f"/offers/{offer_id}/files/file-1").status_code == 200


def test_wrong_sha256_as_long_as_announced_and_another_content(operator: Operator, market: SandboxMarketplace) -> None:
    market.set_fault("wrong_sha256", count=1)
    announced = operator.order()["files"][0]
    served = operator.http.get(FILE.format(operator.order_id)).content
    assert (len(served), announced["sha256"]) == (announced["bytes"], sha256(MODEL))
    assert sha256(served) != announced["sha256"]
    assert operator.http.get(FILE.format(operator.order_id)).content == MODEL


def test_wrong_sha256_also_of_a_label_where_it_is_aimed_there(operator: Operator, market: SandboxMarketplace) -> None:
    operator.start(), operator.photo(), operator.submit()
    market.set_fault("wrong_sha256", "getLabel", 1)
    assert operator.http.get(FILE.format(operator.order_id)).content == MODEL
    assert sha256(operator.label().content) != operator.order()["shipping"]["label_sha256"]


@pytest.mark.parametrize("with_length", [True, False])
def test_huge_file_far_more_comes_than_was_announced(operator: Operator, market: SandboxMarketplace, with_length: bool) -> None:
    size = 8 * 1024 * 1024
    market.set_fault("huge_file", count=1, bytes=size, with_length=with_length)
    assert operator.order()["files"][0]["bytes"] == len(MODEL)
    with client(market) as http, http.stream("GET", FILE.format(operator.order_id)) as answer:
        assert answer.headers.get("content-length") == (str(size) if with_length else None)
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == size


def test_huge_file_a_client_may_leave_in_the_middle(operator: Operator, careless: httpx.Client, market: SandboxMarketplace) -> None:
    """The careless client: the other one reads every answer to its end, to hold it against the contract."""
    market.set_fault("huge_file", count=1, bytes=1024**3)
    with careless.stream("GET", FILE.format(operator.order_id)) as answer:
        assert next(answer.iter_bytes())
    assert answer.num_bytes_downloaded < 1024**2
    assert operator.order()["state"] == "accepted"


def test_truncated_file_the_connection_ends_or_the_answer_looks_whole(operator: Operator, market: SandboxMarketplace) -> None:
    market.set_fault("truncated_file", count=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        operator.http.get(FILE.format(operator.order_id))
    market.set_fault("truncated_file", count=1, clean_end=True)
    assert operator.http.get(FILE.format(operator.order_id)).content == MODEL[: len(MODEL) // 2]


@pytest.mark.parametrize("url", ["http://10.0.0.1/model.stl", "http://169.254.169.254/latest/meta-data/"])
def test_redirect_private_sends_to_a_place_a_client_must_not_go(operator: Operator, market: SandboxMarketplace, url: str) -> None:
    market.set_fault("redirect_private", count=1, url=url)
    answer = operator.http.get(FILE.format(operator.order_id))
    assert (answer.status_code, answer.headers["location"]) == (307, url)


def test_redirect_signed_the_bytes_come_without_a_token_until_the_time_is_up(operator: Operator, market: SandboxMarketplace) -> None:
    market.set_fault("redirect_signed")
    path = FILE.format(operator.order_id)
    answer = operator.http.get(path)
    assert (answer.status_code, urlsplit(answer.headers["location"]).netloc) == (307, urlsplit(market.url).netloc)
    fetched = httpx.get(answer.headers["location"])
    assert (fetched.status_code, fetched.content, fetched.headers["etag"]) == (200, MODEL, f'"{sha256(MODEL)}"')
    assert httpx.get(answer.headers["location"], headers={"Range": "bytes=0-9"}).content == MODEL[:10]
    market.clear_faults()
    market.set_fault("redirect_signed", count=1, ttl_s=0)
    assert problem(httpx.get(operator.http.get(path).headers["location"]), 403) == "link_expired"
    assert operator.http.get(path).content == MODEL


def test_a_signed_url_cannot_be_made_up(operator: Operator, market: SandboxMarketplace) -> None:
    market.set_fault("redirect_signed", count=1)
    good = operator.http.get(FILE.format(operator.order_id)).headers["location"]
    other = Operator(market, operator.http)
    for made_up in (
        good[:-1] + "x",
        good.replace("expires=", "expires=9"),
        good.replace(operator.order_id, other.order_id),
        good.split("?")[0],
    ):
        assert problem(httpx.get(made_up), 403) == "bad_signature"


def test_faults_happen_as_often_as_asked_and_where_they_are_aimed(market: SandboxMarketplace, http: httpx.Client) -> None:
    market.set_fault("error_500", "listOffers", 2)
    assert [http.get(path).status_code for path in ("/orders", "/offers", "/offers", "/offers")] == [200, 500, 500, 200]
    market.set_fault("error_500", "listOffers")
    market.set_fault("too_many_429", "listOrders")
    market.clear_faults("error_500")
    assert [http.get(path).status_code for path in ("/orders", "/offers")] == [429, 200]
    market.clear_faults()
    assert http.get("/orders").status_code == 200


@pytest.mark.parametrize(
    ("name", "target", "params", "code"),
    [
        ("no_such_fault", None, {}, "unknown_fault"),
        ("error_500", "noSuchOperation", {}, "wrong_target"),
        ("huge_file", "listOffers", {}, "wrong_target"),
        ("slow", None, {"speed": 3}, "unknown_parameter"),
        ("slow", None, {"seconds": "two"}, "bad_parameter"),
        ("slow", None, {"seconds": -1}, "bad_parameter"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_when_it_is_set(
    market: SandboxMarketplace, name: str, target: str | None, params: dict[str, object], code: str
) -> None:
    with pytest.raises(Problem) as refused:
        market.set_fault(name, target, **params)
    assert refused.value.code == code


@pytest.mark.parametrize(("behind", "minutes"), [(False, 10), (True, -10)])
def test_clock_off_its_own_times_are_wrong_and_the_seconds_left_are_right(
    market: SandboxMarketplace, http: httpx.Client, behind: bool, minutes: int
) -> None:
    offer_id = market.add_offer(offer(accept_within_s=900))
    market.set_fault("clock_off", seconds=600, behind=behind)
    for path in ("/offers", f"/offers/{offer_id}"):
        answer = http.get(path)
        told = answer.json()["offers"][0] if path == "/offers" else answer.json()
        left = datetime.fromisoformat(told["accept_by"]) - datetime.now(UTC)
        off = parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
        assert abs(left.total_seconds() - 900 - 60 * minutes) < 5
        assert abs(off.total_seconds() - 60 * minutes) < 5
        assert 890 < told["accept_within_s"] <= 900
    assert abs(parsedate_to_datetime(http.get("/orders").headers["date"]) - datetime.now(UTC)) < timedelta(seconds=5)


def test_offer_twice_on_one_page(market: SandboxMarketplace, http: httpx.Client) -> None:
    offer_id = market.add_offer(offer())
    market.set_fault("offer_twice", count=1)
    assert [told["offer_id"] for told in http.get("/offers").json()["offers"]] == [offer_id, offer_id]
    assert [told["offer_id"] for told in http.get("/offers").json()["offers"]] == [offer_id]


def test_a_fault_by_chance_happens_in_its_share_of_the_cases_and_the_same_seed_is_the_same_luck(
    market: SandboxMarketplace, careless: httpx.Client
) -> None:
    lucks = []
    for seed in (7, 7, 8):
        market.set_fault("error_500", "getStatus", rate=0.3, seed=seed)
        lucks.append([careless.get("/status").status_code for _ in range(100)])
        market.clear_faults()
    assert lucks[0] == lucks[1] != lucks[2]
    assert all(15 <= luck.count(500) <= 45 for luck in lucks)


def test_every_fault_has_a_test_of_its_own_here() -> None:
    names = [name for name in globals() if name.startswith("test_")]
    in_one_test = {"unavailable_503", "too_many_429", "deadline_expired", "offer_withdrawn", "offer_taken"}
    assert [kind for kind in KINDS if kind not in in_one_test and not any(kind in name for name in names)] == []


def test_a_photo_that_is_kept_is_the_one_that_was_sent(operator: Operator, market: SandboxMarketplace) -> None:
    """The digest the marketplace keeps is its own, over what arrived."""
    operator.start()
    market.set_fault("drop_before_acting", "putPhoto", 1)
    with pytest.raises(httpx.RemoteProtocolError):
        operator.photo()
    assert operator.photo().status_code == 201
    assert market.order(operator.order_id)["photos"][0]["sha256"] == hashlib.sha256(JPEG).hexdigest()
