"""The planner: what never happens, whatever it is given, and what it is for."""

import time as clock
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.attended import Attended
from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.domain.schedule import Alternative, Assignment, Batch, Plan, PlateNeed
from agent.domain.values import Color
from agent.workflow import planning
from agent.workflow.attended import Calendar
from agent.workflow.scheduling import Schedule, Station

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)  # ten in the morning in Berlin, a Friday
BLACK, WHITE, RED = Color(name="black", hex="#1a1a1a"), Color(name="white", hex="#ffffff"), Color(name="red", hex="#cc0000")
DAY = Attended([(time(8), time(20))], zone=BERLIN)
CLEAR = timedelta(minutes=5)
H = 3600


def printer(name: str, *spools: tuple[Color, float | None], clears: bool = False, profile: str = "a") -> PrinterFacts:
    return PrinterFacts(
        name=name,
        kind="virtual",
        profile=profile,
        slicer="fake",
        bed_mm=(250, 210, 210),
        nozzle_mm=0.4,
        materials=[LoadedMaterial(material="PLA", color=color, remaining_g=grams) for color, grams in spools or [(BLACK, None)]],
        profile_materials=["PLA"],
        clears_its_own_bed=clears,
    )


def station(name: str, *spools: tuple[Color, float | None], **given: object) -> Station:
    clears = bool(given.pop("clears", False))
    values: dict[str, object] = {"free_from": NOW, "bed_free": True, **given}
    return Station(printer(name, *spools, clears=clears), **values)  # type: ignore[arg-type]


def batch(
    order_id: str, *seconds: int, on: Sequence[str] = ("p1",), by: timedelta | None = None, color: Color = BLACK, g: float = 10
) -> Batch:
    plates = [PlateNeed(print_seconds=each, filament_g=g) for each in seconds]
    way = Alternative(profile="a", slicer="fake", printers=list(on), plates=plates)
    return Batch(order_id=order_id, number=1, material="PLA", color=color, alternatives=[way], finish_by=by and NOW + by)


def plan(batches: Sequence[Batch], stations: Sequence[Station], schedule: Schedule, now: datetime) -> Plan:
    return planning.plan(batches, stations, schedule, now).plan


def hours_from_now(at: datetime) -> float:
    return round((at - NOW).total_seconds() / H, 3)


def starts(made: Plan) -> list[tuple[str, str, float]]:
    return [(one.order_id, one.printer, hours_from_now(one.starts_at)) for one in made.assignments]


# --- what it is for ---------------------------------------------------------------------------------------------------
def test_the_earliest_promise_goes_first_and_what_was_not_promised_last() -> None:
    batches = [batch("none", H), batch("late", H, by=timedelta(hours=9)), batch("soon", H, by=timedelta(hours=3)), batch("none2", H)]
    made = plan(batches, [station("p1")], Schedule(), NOW)
    assert [one.order_id for one in made.assignments] == ["soon", "late", "none", "none2"]
    assert made.broken == []


def test_copies_are_spread_over_the_printers() -> None:
    made = plan([batch("o", H, H, H, on=["p1", "p2", "p3"])], [station(name) for name in ("p1", "p2", "p3")], Schedule(), NOW)
    assert {one.printer for one in made.assignments} == {"p1", "p2", "p3"}
    assert {one.plate for one in made.assignments} == {1, 2, 3}


def test_a_plate_goes_only_where_its_colour_is_loaded() -> None:
    stations = [station("p1"), station("p2", (RED, None))]
    made = plan([batch("o", H, H, on=["p1", "p2"], color=RED)], stations, Schedule(), NOW)
    assert {one.printer for one in made.assignments} == {"p2"}


def test_where_it_is_loaded_nowhere_that_is_told() -> None:
    made = plan([batch("o", H, on=["p1"], color=RED, by=timedelta(hours=5))], [station("p1")], Schedule(), NOW)
    (broken,) = made.broken
    assert (made.assignments, broken.late_by_s, broken.why) == ([], None, "PLA red is loaded on none of p1.")


def test_the_filament_is_reserved_plate_after_plate_and_for_what_prints_now() -> None:
    stations = [station("p1", (BLACK, 100), reserved_g={0: 30}), station("p2", (BLACK, 25))]
    made = plan([batch("o", H, H, H, on=["p1", "p2"], g=25), batch("x", H, on=["p1", "p2"], g=25)], stations, Schedule(), NOW)
    assert sorted(one.printer for one in made.assignments) == ["p1", "p1", "p2"]
    (broken,) = made.broken
    assert (broken.order_id, broken.late_by_s) == ("x", None)
    assert broken.why == "Too little PLA black is left: 25 g needed, 20 g on p1, 0 g on p2 less what is spoken for."


def test_a_broken_promise_is_told_with_how_late_it_is_and_printed_all_the_same() -> None:
    made = plan([batch("o", 2 * H, by=timedelta(hours=1))], [station("p1")], Schedule(), NOW)
    (broken,) = made.broken
    assert (broken.late_by_s, len(made.assignments)) == (H + 300, 1)
    assert "1 h 05 min too late" in broken.why


def test_beds_are_cleared_only_while_a_person_is_there() -> None:
    schedule = Schedule(attended=DAY, finish_unattended=True)
    (first, second) = plan([batch("o", 11 * H, H)], [station("p1")], schedule, NOW).assignments
    assert first.ends_at.astimezone(BERLIN).hour == 21
    assert second.starts_at.astimezone(BERLIN) == datetime(2026, 11, 28, 8, 5, tzinfo=BERLIN)


def test_a_printer_that_clears_its_own_bed_prints_through_the_night() -> None:
    (first, second) = plan([batch("o", 11 * H, H)], [station("p1", clears=True)], Schedule(attended=DAY), NOW).assignments
    assert second.starts_at == first.ends_at == first.cleared_at


def test_what_would_end_in_the_night_is_put_off_so_that_it_ends_in_the_morning() -> None:
    (one,) = plan([batch("o", 11 * H)], [station("p1")], Schedule(attended=DAY), NOW).assignments
    assert one.ends_at.astimezone(BERLIN) == datetime(2026, 11, 28, 8, 0, tzinfo=BERLIN)
    assert one.starts_at == one.ends_at - timedelta(hours=11)


def test_the_time_before_a_plate_that_was_put_off_is_used() -> None:
    batches = [batch("long", 11 * H, by=timedelta(days=1)), batch("short", H, by=timedelta(days=3))]
    made = plan(batches, [station("p1")], Schedule(attended=DAY), NOW)
    assert starts(made) == [("short", "p1", 0), ("long", "p1", 11)]
    batches = [batch("long", 14 * H, by=timedelta(days=1)), batch("too long", 8 * H + 1800, by=timedelta(days=3)), batch("fits", 7 * H)]
    assert [one.order_id for one in plan(batches, [station("p1")], Schedule(attended=DAY), NOW).assignments] == ["fits", "long", "too long"]


def test_a_bed_that_waits_for_a_person_is_not_printed_on_before_one_came() -> None:
    evening = NOW.replace(hour=20)
    (one,) = plan([batch("o", H)], [station("p1", bed_free=False, free_from=evening)], Schedule(attended=DAY), evening).assignments
    assert one.starts_at.astimezone(BERLIN) == datetime(2026, 11, 28, 8, 5, tzinfo=BERLIN)


def test_material_is_changed_only_where_waiting_for_it_would_take_long() -> None:
    both = [(BLACK, None), (WHITE, None)]
    stations = [station("p1", *both, spool=0), station("p2", *both, spool=1, free_from=NOW + timedelta(minutes=30))]
    made = plan([batch("o", H, on=["p1", "p2"], color=WHITE)], stations, Schedule(), NOW)
    assert [(one.printer, one.changes_material) for one in made.assignments] == [("p2", False)]
    stations[1] = station("p2", *both, spool=1, free_from=NOW + timedelta(hours=3))
    (one,) = plan([batch("o", H, on=["p1", "p2"], color=WHITE)], stations, Schedule(), NOW).assignments
    assert (one.printer, one.changes_material, one.ends_at - one.starts_at) == ("p1", True, timedelta(minutes=65))


def test_of_orders_with_the_same_promise_those_of_one_colour_follow_each_other() -> None:
    day = timedelta(days=2)
    batches = [batch(f"o{n}", H, color=color, by=day) for n, color in enumerate([BLACK, WHITE, BLACK, WHITE])]
    made = plan(batches, [station("p1", (BLACK, None), (WHITE, None))], Schedule(), NOW)
    assert [one.changes_material for one in made.assignments] == [False, False, True, False]


def test_an_alternative_is_chosen_by_what_is_ready_first_and_not_late() -> None:
    slow = Alternative(profile="a", slicer="fake", printers=["p1"], plates=[PlateNeed(print_seconds=5 * H, filament_g=1)])
    fast = Alternative(profile="b", slicer="fake", printers=["p2"], plates=[PlateNeed(print_seconds=H, filament_g=1)] * 2)
    offered = batch("o", H).model_copy(update={"alternatives": [slow, fast]})
    made = plan([offered], [station("p1"), station("p2")], Schedule(), NOW)
    assert [one.profile for one in made.assignments] == ["b", "b"]
    later = plan([offered], [station("p1"), station("p2", free_from=NOW + timedelta(hours=9))], Schedule(), NOW)
    assert [one.profile for one in later.assignments] == ["a"]


def test_what_only_one_printer_can_make_gets_it_where_the_other_has_a_choice() -> None:
    """In the order of their promises the first would take that printer, and the second be late."""
    batches = [batch("any", 2 * H, on=["p1", "p2"], by=timedelta(hours=3)), batch("only", 2 * H, on=["p1"], by=timedelta(hours=4))]
    made = plan(batches, [station("p1"), station("p2")], Schedule(), NOW)
    assert made.broken == []
    assert {one.order_id: one.printer for one in made.assignments} == {"any": "p2", "only": "p1"}


def test_a_printer_out_of_reach_is_counted_on_later() -> None:
    made = plan([batch("o", H, on=["p1", "p2"])], [station("p1", away=True), station("p2")], Schedule(), NOW)
    assert [one.printer for one in made.assignments] == ["p2"]
    alone = plan([batch("o", H)], [station("p1", away=True)], Schedule(), NOW)
    assert [hours_from_now(one.starts_at) for one in alone.assignments] == [0.5]


def test_handling_is_taken_off_the_day_it_is_to_be_shipped() -> None:
    schedule = Schedule(attended=DAY, handling_s=2 * H)
    assert schedule.finish_by(datetime(2026, 11, 28, 9, tzinfo=BERLIN)) == datetime(2026, 11, 27, 19, tzinfo=BERLIN)
    assert schedule.finish_by(None) is None


# --- what never happens ---------------------------------------------------------------------------------------------------
colors = st.sampled_from([BLACK, WHITE, RED])
spools = st.lists(st.tuples(colors, st.none() | st.floats(0, 300)), min_size=0, max_size=3, unique_by=lambda spool: spool[0].name)
minutes = st.integers(0, 600).map(lambda each: timedelta(minutes=each))
schedules = st.builds(
    Schedule,
    attended=st.sampled_from([Attended(), DAY, Attended([(time(22), time(2)), (time(12), time(13))], frozenset({6}), BERLIN)]),
    finish_unattended=st.booleans(),
    clear_bed_s=st.sampled_from([0.0, 300.0]),
    change_material_s=st.sampled_from([0.0, 300.0]),
)


@st.composite
def floors(draw: st.DrawFn) -> list[Station]:
    return [
        Station(
            printer(f"p{n}", *loaded, clears=draw(st.booleans()))
            if (loaded := draw(spools))
            else printer(f"p{n}").model_copy(update={"materials": []}),
            NOW + draw(minutes) - timedelta(minutes=60),
            draw(st.booleans()),
            reserved_g={n: draw(st.sampled_from([0.0, 5.0, 500.0])) for n in range(len(loaded))},
            spool=draw(st.none() | st.integers(0, len(loaded) - 1)) if loaded else None,
            away=draw(st.booleans()),
        )
        for n in range(draw(st.integers(1, 4)))
    ]


needs = st.builds(PlateNeed, print_seconds=st.integers(1, 40_000), filament_g=st.floats(0, 90))
ways = st.builds(
    Alternative,
    profile=st.sampled_from("ab"),
    slicer=st.just("fake"),
    printers=st.lists(st.sampled_from(["p0", "p1", "p2", "p3"]), unique=True),
    plates=st.lists(needs, min_size=1, max_size=4),
)
batches_ = st.lists(
    st.tuples(colors, st.lists(ways, max_size=3), st.none() | st.integers(-100, 4000).map(lambda each: NOW + timedelta(minutes=each))),
    max_size=6,
).map(
    lambda rows: [
        Batch(order_id=f"o{n}", number=1, material="PLA", color=color, alternatives=given_ways, finish_by=by)
        for n, (color, given_ways, by) in enumerate(rows)
    ]
)


def on(made: Plan, name: str) -> list[Assignment]:
    return [one for one in made.assignments if one.printer == name]


@settings(deadline=None, max_examples=100)
@given(batches_, floors(), schedules)
def test_whatever_it_is_given(batches: list[Batch], stations: list[Station], schedule: Schedule) -> None:
    made = plan(batches, stations, schedule, NOW)
    assert plan(batches, stations, schedule, NOW) == made
    is_sound(made, batches, stations, schedule)


def is_sound(made: Plan, batches: list[Batch], stations: list[Station], schedule: Schedule) -> None:
    """No printer, spool, hour or promise is used otherwise than it may be."""
    for each in stations:
        _printer_is_used_rightly(each, on(made, each.facts.name), schedule)
        _filament_suffices(each, on(made, each.facts.name), batches)
    for each_batch in batches:
        _assigned_whole_or_told(each_batch, made)
    assert {one.printer for one in made.assignments} <= {each.facts.name for each in stations}


def _printer_is_used_rightly(each: Station, line: list[Assignment], schedule: Schedule) -> None:
    calendar = Calendar(schedule.attended, (NOW - timedelta(days=1)).timestamp(), schedule.clear_bed_s)
    hands = timedelta(seconds=schedule.clear_bed_s)

    def somebody(at: datetime) -> datetime:
        return datetime.fromtimestamp(calendar.next_at(at.timestamp()), UTC)

    free = max(each.free_from, NOW)
    assert all(one.starts_at >= (free if each.bed_free else somebody(free) + hands) for one in line)
    for one, following in pairwise(line):
        assert one.starts_at <= one.ends_at <= one.cleared_at <= following.starts_at
    for one in line:
        if each.facts.clears_its_own_bed:
            continue
        assert one.cleared_at >= somebody(one.ends_at) + hands - timedelta(milliseconds=1)
        if not schedule.finish_unattended:
            assert abs(somebody(one.ends_at) - one.ends_at) < timedelta(milliseconds=1), "no finish waits for somebody to come"


def _spool(each: Station, color: Color) -> LoadedMaterial:
    return next(spool for spool in each.facts.materials if spool.color == color)


def _filament_suffices(each: Station, line: list[Assignment], batches: list[Batch]) -> None:
    by_id = {one.order_id: one for one in batches}
    used = {n: each.reserved_g.get(n, 0.0) for n in range(len(each.facts.materials))}
    for one in line:
        place = each.facts.materials.index(_spool(each, one.color))  # StopIteration: the printer lacks the material
        used[place] += _need(by_id[one.order_id], one).filament_g
    touched = {each.facts.materials.index(_spool(each, one.color)) for one in line}
    assert all((left := each.facts.materials[n].remaining_g) is None or used[n] <= left + 1e-6 for n in touched)


def _need(found: Batch, one: Assignment) -> PlateNeed:
    """The longest that the plate could be: alternatives of one profile differ only in the plates."""
    fits = [
        way.plates[one.plate - 1]
        for way in found.alternatives
        if way.profile == one.profile and one.printer in way.printers and len(way.plates) >= one.plate
    ]
    return min(fits, key=lambda need: need.filament_g)


def _assigned_whole_or_told(found: Batch, made: Plan) -> None:
    mine = [one for one in made.assignments if one.order_id == found.order_id]
    told = [broken for broken in made.broken if broken.order_id == found.order_id]
    assert len(told) <= 1
    if not mine:
        assert [broken.late_by_s for broken in told] == [None]
        return
    plates = sorted(one.plate for one in mine)
    assert plates == list(range(1, len(plates) + 1))
    assert any(len(way.plates) == len(plates) and {one.printer for one in mine} <= set(way.printers) for way in found.alternatives)
    ready = max(one.cleared_at for one in mine)
    assert bool(told) is (found.finish_by is not None and ready > found.finish_by)


@settings(deadline=None, max_examples=25)
@given(batches_, floors(), schedules)
def test_a_printer_nothing_can_be_printed_on_changes_nothing(batches: list[Batch], stations: list[Station], schedule: Schedule) -> None:
    """A printer that could be of use may change the plan for the worse in rare cases, as with every list schedule: ADR 15 says why."""
    more = [Station(printer("unrelated"), NOW, bed_free=True), *stations]
    assert plan(batches, more, schedule, NOW) == plan(batches, stations, schedule, NOW)


@pytest.mark.parametrize("attended", [Attended(), DAY], ids=["always", "by day"])
def test_fifty_printers_and_three_hundred_batches_take_little(attended: Attended) -> None:
    names = [f"p{n:02}" for n in range(50)]
    stations = [
        Station(
            printer(name, ((BLACK, WHITE, RED)[n % 3], 1500), *([(WHITE, None)] if n % 3 == 0 else [])),
            NOW + timedelta(minutes=7 * n),
            n % 2 == 0,
        )
        for n, name in enumerate(names)
    ]
    ways = [names[n::3] for n in range(3)]
    batches = [
        Batch(
            order_id=f"o{n}",
            number=1,
            material="PLA",
            color=(BLACK, WHITE, RED)[n % 3],
            alternatives=[
                Alternative(
                    profile=f"profile{k}",
                    slicer="fake",
                    printers=printers,
                    plates=[PlateNeed(print_seconds=900 + 211 * ((n * 7 + m) % 97), filament_g=5) for m in range(1 + n % 4)],
                )
                for k, printers in enumerate(ways)
            ],
            finish_by=NOW + timedelta(hours=24 + n % 120),
        )
        for n in range(300)
    ]
    took = []
    for _ in range(3):
        began = clock.process_time()
        made = plan(batches, stations, Schedule(attended=attended), NOW)
        took.append(clock.process_time() - began)
    assert len({one.order_id for one in made.assignments}) == 300
    assert min(took) < 0.3, took
