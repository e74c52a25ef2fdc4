"""Cases about events: a page, a stream, and going on after a break."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from agent.sandbox.conformance.bench import Bench
from agent.sandbox.conformance.verdicts import Case, Failed, Skipped, expect, shown

_EVENTS = "listEvents"
_SOME = 20


@dataclass
class Message:
    """One event of a stream (HTML, 9.2.6): its last `id:` and its `data:` lines."""

    event_id: str = ""
    data: str = ""


def messages(lines: Iterator[str]) -> Iterator[Message]:
    """Comments and unknown fields are dropped."""
    event_id, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Message(event_id, "\n".join(data))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "data":
            data.append(value)


def streamed(bench: Bench, headers: dict[str, str], query: dict[str, Any] | None, count: int) -> list[dict[str, Any]]:
    """That many events of a stream. Failed where they do not come, or are not the contract's."""
    with bench.caller.stream(headers, query) as lines:
        got = [read(bench, message) for message in islice(messages(lines), count)]
    expect(len(got) == count, f"{count} events in the stream", len(got))
    return got


def read(bench: Bench, message: Message) -> dict[str, Any]:
    try:
        event = json.loads(message.data)
    except (ValueError, RecursionError):
        raise Failed("an event as JSON in data:", shown(message.data)) from None
    bench.contract.check_as("Event", event, _EVENTS)
    expect(message.event_id == str(event["seq"]), f"id: {event['seq']}, as seq", message.event_id or "none")
    return dict(event)


def in_order(bench: Bench) -> None:
    sequence = [event["seq"] for event in _some_events(bench)]
    expect(all(a < b for a, b in pairwise(sequence)), "a strictly increasing seq", sequence[:10])


def after(bench: Bench) -> None:
    """`after` leaves out what came until then, and nothing else."""
    events = _some_events(bench)
    for middle in {events[0]["seq"], events[len(events) // 2]["seq"]}:
        found = bench.call(_EVENTS, query={"after": middle}).body["events"]
        wanted = [event for event in events if event["seq"] > middle][: len(found)]
        early = [event["seq"] for event in found if event["seq"] <= middle]
        expect(not early, f"no event up to {middle} with after={middle}", early[:3])
        expect(found[: len(wanted)] == wanted, f"the same events after {middle} as without after", [event["seq"] for event in found][:5])
        expect(bool(found) or middle == events[-1]["seq"], f"the events after {middle}", "none")


def again(bench: Bench) -> None:
    """Every event can be asked for again."""
    first = _some_events(bench)
    second = bench.events()
    expect(second[: len(first)] == first, "the same events when they are asked for again", f"{len(second)} events, not all the same")


def stream(bench: Bench) -> None:
    events = _some_events(bench)[:_SOME]
    got = streamed(bench, {}, {"after": 0}, len(events))
    expect(got == events, "the same events in the stream as on a page", [event["seq"] for event in got])


def resume(bench: Bench) -> None:
    events = _some_events(bench)
    if len(events) < 2:
        raise Skipped("there is only one event, so no stream can be gone on with")
    last, following = events[-2], events[-1]
    (got,) = streamed(bench, {"Last-Event-ID": str(last["seq"])}, None, 1)
    expect(got == following, f"event {following['seq']} first after Last-Event-ID: {last['seq']}", got["seq"])


def _some_events(bench: Bench) -> list[dict[str, Any]]:
    events = bench.events()
    if not events:
        raise Skipped("there is no event yet")
    return events


CASES = (
    Case("events.in_order", _EVENTS, in_order),
    Case("events.after", _EVENTS, after),
    Case("events.again", _EVENTS, again),
    Case("events.stream", _EVENTS, stream),
    Case("events.resume", _EVENTS, resume),
)
