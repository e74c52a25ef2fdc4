"""Who is called about what, and when: by the clock, over the hours, with nobody answering, and at changes to summer time."""

from collections.abc import Collection
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.attended import Attended
from agent.domain.question import Step
from agent.notifiers.calling import SOON, Callee, Plan, Wants, may_be_called, plan_calls, urgent_from
from agent.ports.calls import Call, KeptNotice, Outcome
from agent.ports.notifier import Notice, Urgency

BERLIN = ZoneInfo("Europe/Berlin")
DAY = Attended([(time(8), time(20))], zone=BERLIN)
NOON = datetime(2026, 6, 10, 12, tzinfo=BERLIN)
EVENING = datetime(2026, 6, 10, 23, tzinfo=BERLIN)
MORNING = datetime(2026, 6, 11, 8, tzinfo=BERLIN)
MINUTE = timedelta(minutes=1)
ADA, BOB = Callee("Ada"), Callee("Bob")


class Clock:
    """Lives through a plan: every call that is due is made, and the next look is where the plan says."""

    def __init__(self, *people: Callee, at: datetime = NOON) -> None:
        self.people, self.now = people, at
        self.kept: dict[int, KeptNotice] = {}
        self.settled: set[int] = set()
        self.calls: list[tuple[datetime, str, tuple[int, ...]]] = []
        self.fails: set[str] = set()
        self.count = 0

    def tell(self, urgency: Urgency = Urgency.ACT, **more: object) -> int:
        self.count += 1
        number = self.count
        notice = Notice.model_validate({"event": "x", "title": f"n{number}", "text": "", "urgency": urgency, **more})
        self.kept[number] = KeptNotice(id=number, run="", notice=notice, made_at=self.now)
        return number

    def plan(self, settled: Collection[int] = ()) -> Plan:
        return plan_calls(self.kept.values(), {*self.settled, *settled}, self.people, self.now)

    def run(self, until: timedelta) -> "Clock":
        end = self.now + until
        for _ in range(2000):
            plan = self.plan()
            for due in plan.due:
                self._called(due.person, due.notices)
            for number in plan.over:
                self.kept.pop(number)
            if plan.due:
                continue
            if plan.look_at is None or plan.look_at > end:
                self.now = end
                return self
            assert plan.look_at > self.now, "it would look again and again"
            self.now = plan.look_at
        raise AssertionError("it never rests")

    def _called(self, person: str, notices: tuple[int, ...]) -> None:
        self.calls.append((self.now, person, notices))
        for number in notices:
            kept = self.kept[number]
            failed = person in self.fails
            tries = (kept.calls[person].tries if person in kept.calls else 0) + 1 if failed else 0
            call = Call(at=self.now, outcome=Outcome.FAILED if failed else Outcome.ARRIVED, tries=tries)
            self.kept[number] = kept.model_copy(update={"calls": {**kept.calls, person: call}})

    def told(self) -> list[tuple[str, str]]:
        """Who was called, and at what time of which day."""
        return [(person, f"{at.astimezone(BERLIN):%d %H:%M}") for at, person, _ in self.calls]


def test_everybody_who_wants_all_is_told_at_once_and_once() -> None:
    clock = Clock(ADA, BOB, Callee(""))
    clock.tell(Urgency.INFO)
    clock.tell(Urgency.ACT)
    clock.tell(Urgency.ALARM)
    clock.run(timedelta(days=3))
    assert sorted((person, notices) for _, person, notices in clock.calls) == [
        (person, (number,)) for person in ("", "Ada", "Bob") for number in (1, 2, 3)
    ]
    assert {at for at, _, _ in clock.calls} == {NOON}
    assert clock.kept == {}


def test_what_can_wait_comes_in_one_message_when_the_hours_begin() -> None:
    clock = Clock(Callee("Ada", hours=DAY), at=EVENING)
    first, second = clock.tell(), clock.tell(Urgency.INFO)
    answered = clock.tell()
    clock.settled.add(answered)
    clock.run(timedelta(days=2))
    assert clock.calls == [(MORNING, "Ada", (first, second))]


def test_a_digest_is_for_when_the_hours_begin_also_within_them() -> None:
    clock = Clock(Callee("Ada", Wants.DIGEST, DAY))
    clock.tell()
    clock.tell(Urgency.ALARM)
    clock.run(timedelta(days=2))
    assert clock.told() == [("Ada", "10 12:00"), ("Ada", "11 08:00")]


def test_who_wants_only_what_is_urgent_hears_nothing_else() -> None:
    clock = Clock(Callee("Ada", Wants.URGENT))
    clock.tell()
    urgent = clock.tell(deadline=NOON + SOON)
    clock.run(timedelta(days=2))
    assert clock.calls == [(NOON, "Ada", (urgent,))]


def test_what_is_urgent_waits_for_the_hours_unless_it_may_ring_at_any() -> None:
    sleeps, wakes = Callee("Ada", hours=DAY), Callee("Bob", hours=DAY, urgent_at_any_hour=True)
    clock = Clock(sleeps, wakes, at=EVENING)
    clock.tell(Urgency.ALARM)
    clock.run(timedelta(days=2))
    assert clock.told() == [("Bob", "10 23:00"), ("Ada", "11 08:00")]


def test_the_next_is_called_when_nobody_answers() -> None:
    clock = Clock(ADA, Callee("Bob", Wants.URGENT, urgent_after=10 * MINUTE), Callee("Cem", urgent_after=25 * MINUTE))
    clock.tell(deadline=NOON + SOON)
    clock.run(timedelta(days=1))
    assert clock.told() == [("Ada", "10 12:00"), ("Bob", "10 12:10"), ("Cem", "10 12:25")]


def test_the_next_is_spared_when_somebody_answers() -> None:
    clock = Clock(ADA, Callee("Bob", urgent_after=10 * MINUTE))
    clock.settled.add(clock.tell(Urgency.ALARM, step=Step.HOLD))
    assert (list(clock.plan().due), set(clock.plan().over)) == ([], {1})
    clock.settled.clear()
    clock.run(5 * MINUTE)
    clock.settled.add(1)
    clock.run(timedelta(days=1))
    assert clock.told() == [("Ada", "10 12:00")]


@pytest.mark.parametrize("ada", [Callee("Ada", hours=DAY), Callee("Ada", hours=DAY, urgent_after=5 * MINUTE)])
def test_where_the_first_cannot_be_called_the_next_is_called_at_once(ada: Callee) -> None:
    clock = Clock(ada, Callee("Bob", urgent_after=10 * MINUTE), at=EVENING)
    clock.tell(Urgency.ALARM)
    clock.run(timedelta(hours=1))
    assert clock.told() == [("Bob", "10 23:00")]


def test_where_no_message_reaches_the_first_the_next_is_called_at_once() -> None:
    clock = Clock(ADA, Callee("Bob", urgent_after=30 * MINUTE))
    clock.fails.add("Ada")
    clock.tell(Urgency.ALARM)
    clock.run(3 * MINUTE)
    assert clock.told() == [("Ada", "10 12:00"), ("Bob", "10 12:00"), ("Ada", "10 12:01")]


def test_what_fails_is_tried_again_with_growing_pauses_and_given_up() -> None:
    clock = Clock(ADA)
    clock.fails.add("Ada")
    clock.tell(Urgency.INFO)
    clock.run(timedelta(days=3))
    assert [time_ for _, time_ in clock.told()] == ["10 12:00", "10 12:01", "10 12:06", "10 12:21"]
    clock.tell(Urgency.ALARM)
    begun = len(clock.calls)
    clock.run(timedelta(days=3))
    assert 24 < len(clock.calls) - begun < 30
    assert clock.kept == {}


def test_what_comes_right_is_tried_no_more() -> None:
    clock = Clock(ADA)
    clock.fails.add("Ada")
    clock.settled.add(clock.tell())
    clock.run(timedelta(days=1))
    assert clock.calls == []


def test_a_deadline_that_comes_near_wakes_those_who_may_be_woken() -> None:
    """Nobody was there when it was asked; an hour before the end it is urgent."""
    clock = Clock(Callee("Ada", hours=DAY, urgent_at_any_hour=True), at=EVENING)
    clock.tell(deadline=EVENING + timedelta(hours=5))
    clock.run(timedelta(days=2))
    assert clock.told() == [("Ada", "11 03:00")]


def test_snoozed_it_rings_again_for_who_snoozed_it_and_keeps_the_others_waiting() -> None:
    clock = Clock(ADA, Callee("Bob", urgent_after=10 * MINUTE))
    number = clock.tell(Urgency.ALARM)
    clock.run(5 * MINUTE)
    snoozed = {"snoozed_until": NOON + 35 * MINUTE, "snoozed_by": "Ada"}
    clock.kept[number] = clock.kept[number].model_copy(update=snoozed)
    clock.run(timedelta(days=1))
    assert sorted(clock.told()) == [("Ada", "10 12:00"), ("Ada", "10 12:35"), ("Bob", "10 12:35")]


def test_a_print_that_waits_for_filament_is_urgent() -> None:
    assert urgent_from(Notice(event="print_paused", title="", text="", urgency=Urgency.ACT), NOON) == NOON


@pytest.mark.parametrize(
    ("evening", "morning"),
    [(datetime(2026, 3, 28, 23, tzinfo=BERLIN), timedelta(hours=8)), (datetime(2026, 10, 24, 23, tzinfo=BERLIN), timedelta(hours=10))],
    ids=["to summer time", "from summer time"],
)
def test_eight_in_the_morning_is_eight_on_either_side_of_a_change_of_time(evening: datetime, morning: timedelta) -> None:
    clock = Clock(Callee("Ada", hours=DAY), at=evening)
    clock.tell()
    clock.run(timedelta(days=1))
    ((at, _, _),) = clock.calls
    assert at.astimezone(UTC) - evening.astimezone(UTC) == morning
    assert f"{at.astimezone(BERLIN):%H:%M}" == "08:00"


# --- whatever people, notices and times there are ---------------------------------------------------------------------
moments = st.datetimes(datetime(2026, 3, 26), datetime(2026, 4, 2)) | st.datetimes(datetime(2026, 10, 22), datetime(2026, 10, 29))
daily = st.lists(st.tuples(st.times(), st.times()).filter(lambda hours: hours[0] != hours[1]), max_size=3)
people = st.builds(
    Callee,
    st.sampled_from(["Ada", "Bob", "Cem"]),
    st.sampled_from(Wants),
    st.builds(Attended, daily, st.frozensets(st.integers(0, 6), max_size=5), st.just(BERLIN)),
    st.booleans(),
    st.integers(0, 120).map(lambda minutes: minutes * MINUTE),
)
shops = st.lists(people, max_size=3, unique_by=lambda person: person.name)
told = st.tuples(st.sampled_from(Urgency), st.none() | st.integers(-60, 3000), st.integers(0, 600))


@settings(deadline=None, max_examples=60)
@given(shops, moments, st.lists(told, max_size=4), st.booleans())
def test_whatever_there_is_each_is_told_once_in_their_hours_and_it_comes_to_rest(
    shop: list[Callee], start: datetime, notices: list[tuple[Urgency, int | None, int]], fails: bool
) -> None:
    clock = Clock(*shop, at=start.replace(tzinfo=UTC))
    made: dict[int, KeptNotice] = {}
    for urgency, deadline, pause in notices:
        number = clock.tell(urgency, deadline=None if deadline is None else clock.now + deadline * MINUTE)
        made[number] = clock.kept[number]
        if fails:
            clock.fails = {person.name for person in shop[:1]}
        clock.run(pause * MINUTE)
    clock.run(timedelta(days=20))
    by_name = {person.name: person for person in shop}
    for at, name, numbers in clock.calls:
        for number in numbers:
            urgent = urgent_from(made[number].notice, made[number].made_at)
            assert may_be_called(by_name[name], at, urgent=urgent is not None and urgent <= at)
            assert at >= made[number].made_at
    good = [(name, number) for _, name, numbers in clock.calls for number in numbers if name not in clock.fails]
    assert len(set(good)) == len(good), "nobody is told twice"


@settings(deadline=None, max_examples=60)
@given(shops, moments)
def test_an_alarm_reaches_somebody_at_once_where_anybody_may_be_called_and_all_in_the_end(shop: list[Callee], start: datetime) -> None:
    clock = Clock(*shop, at=start.replace(tzinfo=UTC))
    clock.tell(Urgency.ALARM)
    may = {person.name for person in shop if may_be_called(person, clock.now, urgent=True)}
    at_once = {due.person for due in clock.plan().due}
    assert at_once <= may
    assert bool(at_once) is bool(may)
    clock.run(timedelta(days=20))
    ever = {person.name for person in shop if person.urgent_at_any_hour or person.hours.next_start(clock.now) or person.hours.always}
    assert {name for _, name, _ in clock.calls} >= ever
