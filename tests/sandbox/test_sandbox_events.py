"""Events: a page, a stream, and going on after a break."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.stall import Operator, offer, problem


@contextmanager
def listening(http: httpx.Client, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a stream; each one's `id:` must be its seq."""
    with http.stream("GET", "/events", headers={"Accept": "text/event-stream", **headers}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield _events(stream.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    last = ""
    for line in lines:
        if line.startswith("id: "):
            last = line.removeprefix("id: ")
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert str(event["seq"]) == last
            yield event


def test_a_page_tells_what_happened_in_order(operator: Operator, market: SandboxMarketplace) -> None:
    market.withdraw_offer(market.add_offer(offer()))
    market.send_message("The label printer is back.")
    market.cancel_order(operator.order_id)
    events = operator.http.get("/events").json()["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["kind"] for event in events] == [
        "offer.created", "order.updated", "offer.created", "offer.withdrawn", "message", "order.updated", "order.cancelled"
    ]  # fmt: skip
    assert operator.http.get("/events", params={"after": 6}).json()["events"] == events[6:]
    assert operator.http.get("/events", params={"after": 999}).json()["events"] == []
    assert problem(operator.http.get("/events", params={"after": -1}), 400) == "bad_parameter"


def test_a_long_history_comes_in_pages(market: SandboxMarketplace, http: httpx.Client) -> None:
    for number in range(230):
        market.send_message(str(number))
    seen: list[dict[str, Any]] = []
    while page := http.get("/events", params={"after": seen[-1]["seq"] if seen else 0}).json()["events"]:
        seen += page
    assert [event["text"] for event in seen] == [str(number) for number in range(230)]


def test_a_stream_tells_what_was_and_what_comes(market: SandboxMarketplace, http: httpx.Client) -> None:
    earlier = market.add_offer(offer())
    with listening(http) as events:
        assert next(events)["offer_id"] == earlier
        later = market.add_offer(offer())
        assert (event := next(events))["offer_id"] == later
        assert event["kind"] == "offer.created"


def test_a_listener_goes_on_where_it_was(market: SandboxMarketplace, http: httpx.Client) -> None:
    for text in ("one", "two", "three"):
        market.send_message(text)
    with listening(http, **{"Last-Event-ID": "2"}) as events:
        assert next(events)["text"] == "three"
    refused = http.get("/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "x"})
    assert problem(refused, 400) == "bad_parameter"


def test_listeners_do_not_disturb_each_other(market: SandboxMarketplace, http: httpx.Client) -> None:
    with listening(http) as one, listening(http) as other:
        market.send_message("hello")
        assert next(one) == next(other)
    with listening(http) as left:  # the first two are gone; the marketplace goes on
        assert next(left)["text"] == "hello"
