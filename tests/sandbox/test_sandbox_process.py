"""The marketplace as a process of its own, and its control plane over HTTP."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.sandbox.stall import MODEL, key, offer, problem, sha256

Process = subprocess.Popen[str]


@pytest.fixture
def process() -> Iterator[Process]:
    command = [sys.executable, "-m", "agent", "sandbox", "marketplace", "--port", "0", "--token", "sesame"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def where(process: Process) -> dict[str, str]:
    assert process.stdout is not None
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_in_one_line_and_stops_cleanly(process: Process, number: signal.Signals) -> None:
    told = where(process)
    assert sorted(told) == ["control", "token", "url"]
    assert told["token"] == "sesame"
    headers = {"Authorization": "Bearer sesame"}
    assert httpx.get(told["url"] + "/status", headers=headers).json() == {"state": "online"}
    with httpx.stream("GET", told["url"] + "/events", headers={**headers, "Accept": "text/event-stream"}) as listener:
        process.send_signal(number)
        assert [line for line in listener.iter_lines() if line.startswith("data")] == []  # the stream ends, whole
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    with SandboxMarketplace() as first:
        port = int(first.url.rsplit(":", 1)[1].split("/")[0])
        second = SandboxMarketplace(Options(port=port))
        with pytest.raises(OSError, match="in use"):
            second.__enter__()


def test_another_process_plays_the_marketplace_through_the_control_plane(process: Process) -> None:
    told = where(process)
    with httpx.Client(base_url=told["control"]) as control, httpx.Client(base_url=told["url"]) as http:
        http.headers["Authorization"] = "Bearer sesame"
        offers = [control.post("/offers", json=offer()).json()["offer_id"] for _ in range(3)]
        assert control.post(f"/offers/{offers[1]}/withdraw").status_code == 204
        assert control.post(f"/offers/{offers[2]}/take").status_code == 204
        assert control.get(f"/offers/{offers[2]}").json()["state"] == "taken"
        set_fault = control.post("/faults", json={"name": "error_500", "target": "acceptOffer", "count": 1})
        assert set_fault.json()["left"] == 1
        answers = [http.post(f"/offers/{offers[0]}/accept", headers=key()) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [500, 200]
        order_id = answers[1].json()["order_id"]
        assert [order["order_id"] for order in control.get("/orders").json()["orders"]] == [order_id]
        assert control.post(f"/orders/{order_id}/cancel").status_code == 204
        assert control.get(f"/orders/{order_id}").json()["state"] == "cancelled"
        assert control.get("/journal").json()["acts"]["acceptOffer"][offers[0]]["done"] == 1


@pytest.fixture
def control(market: SandboxMarketplace) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=market.control_url) as opened:
        yield opened


def test_faults_are_listed_and_cleared(control: httpx.Client) -> None:
    for name in ("slow", "broken_json", "error_500"):
        control.post("/faults", json={"name": name, "count": 1})
    assert [fault["name"] for fault in control.get("/faults").json()["faults"]] == ["slow", "broken_json", "error_500"]
    assert control.delete("/faults/slow").status_code == 204
    assert len(control.get("/faults").json()["faults"]) == 2
    assert control.delete("/faults").status_code == 204
    assert control.get("/faults").json()["faults"] == []
    assert problem(control.post("/faults", json={"name": "gremlins"}), 422) == "unknown_fault"


def test_a_model_may_be_given_by_a_path_of_this_machine(control: httpx.Client, tmp_path: Path) -> None:
    model = tmp_path / "bracket.stl"
    model.write_bytes(MODEL)
    made = control.post("/offers", json={"files": [{"path": str(model)}]}).json()
    assert made["files"] == [
        {"file_id": "file-1", "name": "bracket.stl", "bytes": len(MODEL), "sha256": sha256(MODEL), "media_type": "model/stl"}
    ]
    missing = control.post("/offers", json={"files": [{"path": str(tmp_path / "none.stl")}]})
    assert problem(missing, 422) == "bad_body"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"files": []},
        {"files": [{"name": "no content"}]},
        {"files": [{"content_base64": "not base64!"}]},
        offer(items=[{"file_id": "another"}]),
        offer(items=[{"infill_percent": 101}]),
        offer(payout={"amount": "a lot", "currency": "EUR"}),
        offer(ship_by="soon"),
    ],
)
def test_an_offer_that_the_contract_does_not_allow_is_refused(control: httpx.Client, asked: dict[str, Any]) -> None:
    assert problem(control.post("/offers", json=asked), 422) == "bad_body"


def test_a_web_page_in_a_browser_here_cannot_use_the_control_plane(control: httpx.Client) -> None:
    page = {"Origin": "http://example.com"}
    assert problem(control.post("/offers", json=offer(), headers=page), 403) == "loopback_only"
    assert problem(control.post("/offers", content=json.dumps(offer())), 415) == "unsupported_media_type"


def test_the_rest_of_the_control_plane_over_http(control: httpx.Client, market: SandboxMarketplace) -> None:
    assert control.post("/messages", json={"text": "hello"}).status_code == 204
    assert problem(control.post("/orders/none/label"), 404) == "not_found"
    assert problem(control.post("/orders/none/earnings", json={"state": "paid"}), 404) == "not_found"
    assert problem(control.post("/supplies/none", json={"state": "arrived"}), 404) == "not_found"
    assert problem(control.post("/orders/none/earnings", json={"state": "much"}), 422) == "bad_body"
    assert market.journal()["done"] == []
