"""A plan that is followed: what only comes later breaks no promise that it keeps, where a plan that is made anew may."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.schedule import Assignment, Batch, Plan
from agent.workflow import planning
from agent.workflow.planning import Laid, within
from agent.workflow.scheduling import BACK_AFTER_S, Schedule, Station
from tests.workflow.test_scheduling import BLACK, NOW, H, batch, batches_, floors, is_sound, plan, schedules, starts, station

ON_BOTH = [station("p1"), station("p2")]
FULL = [batch("long", 5 * H, by=timedelta(hours=9, minutes=10)), batch("short", 2 * H, by=timedelta(hours=6, minutes=10))]
URGENT = batch("urgent", 2 * H, on=["p1", "p2"], by=timedelta(hours=4, minutes=10))


def of(made: Plan, batches: list[Batch]) -> list[Assignment]:
    return [place for place in made.assignments if place.order_id in {one.order_id for one in batches}]


def followed(before: Laid, batches: list[Batch], stations: list[Station], schedule: Schedule, now: datetime) -> Plan:
    return planning.followed(before, batches, stations, schedule, now).plan


def one_way_a_profile(batches: list[Batch]) -> list[Batch]:
    """As quotes have it."""
    return [one.model_copy(update={"alternatives": list({way.profile: way for way in one.alternatives}.values())}) for one in batches]


def renamed(batches: list[Batch]) -> list[Batch]:
    return [one.model_copy(update={"order_id": f"later-{one.order_id}"}) for one in batches]


@settings(deadline=None, max_examples=100)
@given(batches_.map(one_way_a_profile), batches_, floors(), schedules)
def test_what_comes_later_moves_nothing(first: list[Batch], later: list[Batch], stations: list[Station], schedule: Schedule) -> None:
    before = planning.plan(first, stations, schedule, NOW)
    after = followed(before, [*renamed(later), *first], stations, schedule, NOW)
    placed = [one for one in first if of(before.plan, [one])]
    assert of(after, placed) == of(before.plan, placed)
    assert {one.order_id for one in after.broken} >= {one.order_id for one in before.plan.broken if of(before.plan, [batch(one.order_id)])}
    is_sound(after, [*renamed(later), *first], stations, schedule)


def test_a_plan_made_anew_breaks_what_one_that_is_followed_keeps() -> None:
    before = planning.plan(FULL, ON_BOTH, Schedule(), NOW)
    assert before.plan.broken == []
    assert [one.order_id for one in plan([*FULL, URGENT], ON_BOTH, Schedule(), NOW).broken] != []
    after = followed(before, [*FULL, URGENT], ON_BOTH, Schedule(), NOW)
    assert after.broken == []
    assert ("urgent", "p2", 0.0) in starts(after)


def test_a_printer_that_is_gone_gives_up_what_it_had() -> None:
    either = [batch("o", H, on=["p1", "p2"])]
    before = planning.plan(either, ON_BOTH, Schedule(), NOW)
    (gone,) = {place.printer for place in before.plan.assignments}
    left = [one for one in ON_BOTH if one.facts.name != gone]
    assert starts(followed(before, either, left, Schedule(), NOW)) == [("o", left[0].facts.name, 0.0)]


def test_a_spool_that_was_changed_for_a_shorter_one_is_not_overdrawn() -> None:
    both = [batch("o1", H, on=["p1", "p2"], g=60), batch("o2", H, on=["p1", "p2"], g=60)]
    before = planning.plan(
        both, [station("p1", (BLACK, 500), free_from=NOW), station("p2", free_from=NOW + timedelta(hours=9))], Schedule(), NOW
    )
    assert {place.printer for place in before.plan.assignments} == {"p1"}
    shorter = [station("p1", (BLACK, 100)), station("p2", free_from=NOW + timedelta(hours=9))]
    assert sorted(place.printer for place in followed(before, both, shorter, Schedule(), NOW).assignments) == ["p1", "p2"]


def test_plates_that_are_done_are_gone_and_the_others_keep_their_order() -> None:
    three = [batch("o1", H, H, by=timedelta(hours=30)), batch("o2", H, by=timedelta(hours=40))]
    before = planning.plan(three, [station("p1")], Schedule(), NOW)
    numbered = three[0].alternatives[0].model_copy(update={"plates": [three[0].alternatives[0].plates[1].model_copy(update={"number": 2})]})
    left = [three[0].model_copy(update={"alternatives": [numbered]}), three[1]]
    after = followed(before, left, [station("p1", free_from=NOW + timedelta(hours=1))], Schedule(), NOW)
    assert [(place.order_id, place.plate) for place in after.assignments] == [("o1", 2), ("o2", 1)]


def test_an_order_that_is_urgent_now_waits_for_nobody_in_a_plan_made_anew() -> None:
    """Following keeps the order things had; making anew does not."""
    before = planning.plan([batch("o", H)], [station("p1")], Schedule(), NOW)
    both = [batch("o", H), batch("urgent", H, by=timedelta(hours=2))]
    assert [one[0] for one in starts(followed(before, both, [station("p1")], Schedule(), NOW))] == ["o", "urgent"]
    assert [one[0] for one in starts(plan(both, [station("p1")], Schedule(), NOW))] == ["urgent", "o"]


def test_given_up_where_more_promises_are_broken_than_may_be() -> None:
    late = [batch("o1", 2 * H, by=timedelta(hours=1)), batch("o2", 2 * H, by=timedelta(hours=1)), batch("o3", H, by=timedelta(hours=90))]
    assert within(late, [station("p1")], Schedule(), NOW, 1) is None
    made = within(late, [station("p1")], Schedule(), NOW, 2)
    assert made is not None
    assert len(made.assignments) == 3


# --- added to, not made again -----------------------------------------------------------------------------------------
def made_again(before: Laid) -> Laid:
    """The same plan, but something that was in it is gone, so that all of it is laid out again."""
    return Laid(before.plan, {**before.batches, ("gone", 1): batch("gone", H)}, before.floor)


@settings(deadline=None, max_examples=200)
@given(
    batches_.map(one_way_a_profile),
    st.lists(batches_.map(one_way_a_profile), max_size=3),
    floors(),
    schedules,
    st.sampled_from([0, 7, 4000]),
)
def test_what_is_added_is_where_it_would_be_if_all_were_laid_out_again(
    first: list[Batch], later: list[list[Batch]], stations: list[Station], schedule: Schedule, passes_s: int
) -> None:
    """Batch by batch, while time passes."""
    known, now = first, NOW
    before = planning.plan(first, stations, schedule, now)
    for number, more in enumerate(later):
        now += timedelta(seconds=passes_s)
        known = [*known, *(one.model_copy(update={"order_id": f"later-{number}-{one.order_id}"}) for one in more)]
        after = planning.followed(before, known, stations, schedule, now)
        again = planning.followed(made_again(before), known, stations, schedule, now)
        assert after.plan.assignments == again.plan.assignments
        assert {(one.order_id, one.late_by_s) for one in after.plan.broken} == {(one.order_id, one.late_by_s) for one in again.plan.broken}
        assert after.batches == again.batches
        before = after


def test_a_plan_that_nothing_happened_to_is_the_same_one() -> None:
    stations = [station("p1", free_from=NOW + timedelta(hours=1)), station("p2"), station("p3", away=True)]
    batches = [batch("o", H)]
    before = planning.plan(batches, stations, Schedule(), NOW)
    later = NOW + timedelta(minutes=5)
    stations[1] = station("p2", free_from=later)
    assert planning.followed(before, batches, stations, Schedule(), later) is before


def test_one_that_waits_beside_a_free_printer_begins_later_when_it_waits() -> None:
    batches, later = [batch("o", H)], NOW + timedelta(minutes=5)
    before = planning.plan(batches, [station("p1")], Schedule(), NOW)
    after = followed(before, batches, [station("p1", free_from=later)], Schedule(), later)
    assert [place.starts_at for place in after.assignments] == [later]


def test_a_printer_that_came_back_is_seen() -> None:
    batches = [batch("o", H, by=timedelta(hours=9))]
    before = planning.plan(batches, [station("p1"), station("p2", away=True)], Schedule(), NOW)
    back = planning.followed(before, batches, [station("p1"), station("p2")], Schedule(), NOW)
    assert back is not before
    more = [*batches, batch("x", H, on=["p2"])]
    assert ("x", "p2", 0.0) in starts(followed(back, more, [station("p1"), station("p2")], Schedule(), NOW))
    assert ("x", "p2", BACK_AFTER_S / H) in starts(followed(before, more, [station("p1"), station("p2", away=True)], Schedule(), NOW))


def test_one_that_takes_longer_than_was_thought_puts_off_what_comes_after_it() -> None:
    busy = [station("p1", free_from=NOW + timedelta(hours=1))]
    before = planning.plan([batch("o", H, by=timedelta(hours=9)), batch("x", H)], busy, Schedule(clear_bed_s=0), NOW)
    assert starts(before.plan) == [("o", "p1", 1.0), ("x", "p1", 2.0)]
    longer = [batch("o", 3 * H, by=timedelta(hours=9)), batch("x", H)]
    assert starts(followed(before, longer, busy, Schedule(clear_bed_s=0), NOW)) == [("o", "p1", 1.0), ("x", "p1", 4.0)]
    assert starts(followed(before, longer[1:], busy, Schedule(clear_bed_s=0), NOW)) == [("x", "p1", 1.0)]
