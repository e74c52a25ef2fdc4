"""The operator's hours, laid out in time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.attended import Attended
from agent.workflow.attended import Calendar

BERLIN = ZoneInfo("Europe/Berlin")
DAY = Attended([(time(8), time(12)), (time(13), time(20))], frozenset({6}), BERLIN)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def next_at(attended: Attended, at: datetime, needs_s: float = 300) -> datetime:
    return datetime.fromtimestamp(Calendar(attended, at.timestamp(), needs_s).next_at(at.timestamp()), UTC)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-27T09:00", "2026-11-27T09:00"),
        ("2026-11-27T07:59", "2026-11-27T08:00"),
        ("2026-11-27T11:55", "2026-11-27T11:55"),
        ("2026-11-27T11:56", "2026-11-27T13:00"),  # not done before lunch
        ("2026-11-27T23:00", "2026-11-28T08:00"),
        ("2026-11-28T19:58", "2026-11-30T08:00"),  # Sunday is off
        ("2026-03-28T21:00", "2026-03-30T08:00"),  # over the night that lacks an hour, and a Sunday
    ],
)
def test_somebody_comes(at: str, expected: str) -> None:
    assert next_at(DAY, berlin(at)) == berlin(expected)


@pytest.mark.parametrize(("night", "hours"), [("2026-03-28", 11), ("2026-10-24", 13), ("2026-11-24", 12)])
def test_a_night_is_as_long_as_the_clock_makes_it(night: str, hours: int) -> None:
    attended = Attended([(time(8), time(20))], zone=BERLIN)
    evening = berlin(f"{night}T20:00")
    assert next_at(attended, evening) - evening.astimezone(UTC) == timedelta(hours=hours)


def test_hours_over_midnight_and_to_the_days_end_are_one_stretch() -> None:
    late = Attended([(time(18), time.max), (time(0), time(2))], zone=BERLIN)
    over = Attended([(time(18), time(2))], zone=BERLIN)
    for attended in (late, over):
        assert next_at(attended, berlin("2026-11-27T23:58")) == berlin("2026-11-27T23:58")
        assert next_at(attended, berlin("2026-11-28T01:56")) == berlin("2026-11-28T18:00")


def test_without_hours_somebody_is_always_there() -> None:
    at = berlin("2026-11-29T03:00")
    assert next_at(Attended(), at) == at
    assert Attended().before(at, 3600) == at - timedelta(hours=1)


def test_a_stay_too_short_to_clear_a_bed_in_is_still_used_from_its_beginning() -> None:
    brief = Attended([(time(12), time(12, 3))], zone=BERLIN)
    assert next_at(brief, berlin("2026-11-27T09:00")) == berlin("2026-11-27T12:00")
    assert next_at(brief, berlin("2026-11-27T12:01")) == berlin("2026-11-28T12:00")


@pytest.mark.parametrize(
    ("until", "hours", "expected"),
    [
        ("2026-11-27T18:00", 4, "2026-11-27T14:00"),
        ("2026-11-27T14:00", 4, "2026-11-27T09:00"),  # an hour of lunch between
        ("2026-11-27T06:00", 4, "2026-11-26T16:00"),  # nobody is there in the night
        ("2026-11-30T09:00", 4, "2026-11-28T17:00"),  # nor on Sunday
        ("2026-11-27T18:00", 0, "2026-11-27T18:00"),
    ],
)
def test_handling_takes_hours_in_which_somebody_is_there(until: str, hours: float, expected: str) -> None:
    assert DAY.before(berlin(until), hours * 3600) == berlin(expected)


times = st.times(max_value=time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0))
hours = st.lists(st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=3)
attendeds = st.builds(Attended, hours, st.frozensets(st.integers(0, 6), max_size=6), st.just(BERLIN))
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@settings(max_examples=50, deadline=None)
@given(attendeds, instants, st.floats(0, 3600))
def test_whenever_it_is_somebody_comes_and_is_there_then(attended: Attended, at: datetime, needs_s: float) -> None:
    came = Calendar(attended, at.timestamp(), needs_s).next_at(at.timestamp())
    days = [attended.local_day(came) + timedelta(days=n) for n in (-2, -1, 0)]
    assert came >= at.timestamp()
    assert any(start <= came <= end for day in days for start, end in attended.of_day(day))


@settings(max_examples=50, deadline=None)
@given(attendeds, instants, st.lists(st.integers(0, 14 * 86_400), min_size=2, max_size=4))
def test_asked_in_any_order_a_calendar_answers_the_same_and_never_goes_back(attended: Attended, at: datetime, later: list[int]) -> None:
    begin = at.timestamp()
    calendar = Calendar(attended, begin, 300)
    answers = [calendar.next_at(begin + seconds) for seconds in later]
    assert answers == [Calendar(attended, begin, 300).next_at(begin + seconds) for seconds in later]
    ordered = [answer for _, answer in sorted(zip(later, answers, strict=True))]
    assert ordered == sorted(ordered)


@settings(max_examples=50, deadline=None)
@given(attendeds, instants, st.floats(1, 12 * 3600))
def test_handling_never_ends_late(attended: Attended, at: datetime, seconds: float) -> None:
    begins = attended.before(at, seconds)
    assert begins <= at - timedelta(seconds=seconds) + timedelta(milliseconds=1)
