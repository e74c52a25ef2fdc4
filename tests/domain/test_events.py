"""The chain of an order's events: no change of what happened goes unseen."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.domain.events import GENESIS, Event, event_hash, first_broken

START = datetime(2026, 1, 31, 12, tzinfo=UTC)

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=10))
data = st.dictionaries(st.text(max_size=5), scalars | st.lists(scalars, max_size=3), max_size=3)
happenings = st.lists(st.tuples(st.text("abc_", min_size=1, max_size=8), data, st.integers(0, 10**9)), min_size=1, max_size=6)


def chained(said: Sequence[tuple[str, dict[str, Any], int]], order_id: str = "o1") -> list[Event]:
    """As the ledger writes them."""
    events: list[Event] = []
    prev = GENESIS
    for n, (kind, about, after_us) in enumerate(said, start=1):
        at = START + timedelta(microseconds=after_us)
        digest = event_hash(prev, order_id, n, at.isoformat(), kind, about)
        events.append(Event(order_id=order_id, n=n, at=at, kind=kind, data=about, prev_hash=prev, hash=digest))
        prev = digest
    return events


@given(happenings)
@settings(deadline=None)
def test_a_chain_that_nobody_touched_is_whole(said: list[tuple[str, dict[str, Any], int]]) -> None:
    events = chained(said)
    assert first_broken(events) is None
    assert first_broken(Event.model_validate_json(event.model_dump_json()) for event in events) is None


def changes(event: Event) -> st.SearchStrategy[dict[str, Any]]:
    """One field of it, with any other value."""
    return st.one_of(
        st.builds(lambda v: {"order_id": v}, st.text(max_size=5)),
        st.builds(lambda v: {"n": v}, st.integers()),
        st.builds(lambda v: {"at": event.at + timedelta(microseconds=v)}, st.integers(-(10**12), 10**12)),
        st.builds(lambda v: {"kind": v}, st.text(max_size=8)),
        st.builds(lambda v: {"data": v}, data),
        st.builds(lambda v: {"prev_hash": v}, st.text("0123456789abcdef", min_size=64, max_size=64)),
        st.builds(lambda v: {"hash": v}, st.text("0123456789abcdef", min_size=64, max_size=64)),
    )


@given(happenings, st.data())
@settings(deadline=None)
def test_any_change_of_any_event_is_found_where_it_was_made(said: list[tuple[str, dict[str, Any], int]], draw: st.DataObject) -> None:
    events = chained(said)
    place = draw.draw(st.integers(0, len(events) - 1))
    changed = events[place].model_copy(update=draw.draw(changes(events[place])))
    assume(changed.model_dump_json() != events[place].model_dump_json())
    found = first_broken([*events[:place], changed, *events[place + 1 :]])
    assert found == changed


@given(happenings, st.data())
@settings(deadline=None)
def test_an_event_taken_out_put_in_or_moved_is_found(said: list[tuple[str, dict[str, Any], int]], draw: st.DataObject) -> None:
    events = chained([*said, ("last", {}, 0)])
    place = draw.draw(st.integers(0, len(events) - 2))
    without = [*events[:place], *events[place + 1 :]]
    twice = [*events[: place + 1], *events[place:]]
    swapped = [*events[:place], events[place + 1], events[place], *events[place + 2 :]]
    assert all(first_broken(forged) is not None for forged in (without, twice, swapped))


@given(happenings)
@settings(deadline=None)
def test_a_change_with_its_own_hash_made_anew_breaks_the_next_link(said: list[tuple[str, dict[str, Any], int]]) -> None:
    events = chained([*said, ("last", {}, 0)])
    first = events[0]
    digest = event_hash(GENESIS, first.order_id, 1, first.at.isoformat(), "forged", first.data)
    forged = first.model_copy(update={"kind": "forged", "hash": digest})
    assert first_broken([forged, *events[1:]]) == events[1]


def test_a_chain_that_was_cut_at_its_end_looks_whole() -> None:
    """The limit of it: what is missing at the end is seen only where the last hash was kept elsewhere."""
    events = chained([("offered", {}, 0), ("accepted", {}, 1)])
    assert first_broken(events[:1]) is None
    assert first_broken([]) is None
