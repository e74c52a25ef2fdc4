"""Who is called about what, and when. Pure: from the notices that are kept, the people and the time, to calls and the next look.

Three kinds of times meet here. A person has hours; what can wait until they begin goes into one message then. What is urgent goes to those
who may be called now, and to the others when nobody has answered. What did not arrive is sent again, with growing pauses.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from agent.domain.attended import Attended
from agent.ports.calls import Call, KeptNotice, Outcome
from agent.ports.notifier import Notice, Urgency

SOON = timedelta(hours=1)
"""A deadline this close makes a notice urgent."""
_HOT = frozenset({"print_paused"})
"""Urgent whatever its urgency says: a nozzle waits over a print for filament."""
_AGAIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Before a call that failed is tried again; the last one for every further try."""
_GIVEN_UP = {Urgency.INFO: timedelta(hours=1), Urgency.ACT: timedelta(days=1), Urgency.ALARM: timedelta(days=1)}
"""So long after a notice was made it is not tried any more where it fails."""


class Wants(StrEnum):
    ALL = "all"
    """Everything, at once; outside the hours what can wait comes when they begin."""
    DIGEST = "digest"
    """What is urgent at once, everything else in one message when the hours begin."""
    URGENT = "urgent"
    """What is urgent, and nothing else."""


@dataclass(frozen=True)
class Callee:
    """A person as the configuration describes them. `name` empty: the addresses that belong to nobody, and get everything at any hour.

    `urgent_after`: what is urgent waits so long for somebody else's answer first.
    """

    name: str
    wants: Wants = Wants.ALL
    hours: Attended = field(default_factory=Attended)
    urgent_at_any_hour: bool = False
    urgent_after: timedelta = timedelta(0)


@dataclass(frozen=True)
class Due:
    """One message to one person, about one notice or, as a digest, about several."""

    person: str
    notices: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """`over`: notices about which nobody needs to be called any more. `look_at`: when to plan anew, if nothing happens before."""

    due: Sequence[Due]
    over: frozenset[int]
    look_at: datetime | None


def plan_calls(notices: Iterable[KeptNotice], settled: Collection[int], people: Sequence[Callee], now: datetime) -> Plan:
    """`settled`: notices that ask for nothing any more, because somebody answered or it came right by itself."""
    single: list[Due] = []
    together: dict[str, list[int]] = {}
    over, later = set(), []
    for kept in notices:
        times = {person.name: _when(kept, person, people, settled=kept.id in settled, now=now) for person in people}
        waits = [at for at in times.values() if at is not None]
        later += [at for at in waits if at > now]
        under_way = any(call.outcome is Outcome.SENDING for call in kept.calls.values())
        if kept.id in settled or not (waits or under_way):
            over.add(kept.id)
        for person in people:
            at = times[person.name]
            if at is None or at > now:
                continue
            if _has_waited(kept, person, now):
                together.setdefault(person.name, []).append(kept.id)
            else:
                single.append(Due(person.name, (kept.id,)))
    due = [*single, *(Due(name, tuple(ids)) for name, ids in together.items())]
    return Plan(due, frozenset(over), min(later, default=None))


def urgent_from(notice: Notice, made_at: datetime) -> datetime | None:
    """From when on it cannot wait. None: never."""
    if notice.urgency is Urgency.ALARM or notice.event in _HOT:
        return made_at
    return None if notice.deadline is None else max(made_at, notice.deadline - SOON)


def may_be_called(person: Callee, at: datetime, *, urgent: bool) -> bool:
    return person.hours.stretch(at) is not None or (urgent and person.urgent_at_any_hour)


def _has_waited(kept: KeptNotice, person: Callee, now: datetime) -> bool:
    """It was kept for the beginning of the hours, with whatever else was."""
    urgent, stretch = urgent_from(kept.notice, kept.made_at), person.hours.stretch(now)
    if (urgent is not None and urgent <= now) or stretch is None or person.name in kept.calls:
        return False
    return person.wants is Wants.DIGEST or kept.made_at < stretch[0]


def _when(kept: KeptNotice, person: Callee, people: Sequence[Callee], *, settled: bool, now: datetime) -> datetime | None:
    """When this person is to be called of it; the past: now. None: not (any more)."""
    call = kept.calls.get(person.name)
    if settled or (call is not None and call.outcome in (Outcome.SENDING, Outcome.LOST)):
        return None
    if call is not None and call.outcome is Outcome.ARRIVED:
        return _after_snooze(kept, person, call, now)
    base = kept.made_at if call is None else _tried_again(kept, call)
    if base is None:
        return None
    base = max(base, kept.snoozed_until or base)
    urgent = urgent_from(kept.notice, kept.made_at)
    calm = _in_calm(person, base, now, first=call is None)
    if urgent is None:
        return calm
    pressing = _in_hours(person, max(urgent + _patience(kept, person, people, now), base), now, urgent=True)
    times = [at for at in (calm if calm is not None and calm < urgent else None, pressing) if at is not None]
    return min(times, default=None)


def _after_snooze(kept: KeptNotice, person: Callee, call: Call, now: datetime) -> datetime | None:
    until = kept.snoozed_until
    if until is None or kept.snoozed_by != person.name or call.at >= until:
        return None
    urgent = urgent_from(kept.notice, kept.made_at)
    return _in_hours(person, until, now, urgent=urgent is not None and urgent <= max(until, now))


def _tried_again(kept: KeptNotice, call: Call) -> datetime | None:
    at = call.at + _AGAIN[min(call.tries, len(_AGAIN)) - 1]
    return at if at <= kept.made_at + _GIVEN_UP[kept.notice.urgency] else None


def _in_calm(person: Callee, base: datetime, now: datetime, *, first: bool) -> datetime | None:
    """Where nothing presses."""
    if person.wants is Wants.URGENT:
        return None
    if person.wants is Wants.DIGEST and first:
        begins = person.hours.next_start(base)
        return None if begins is None else _in_hours(person, begins, now, urgent=False)
    return _in_hours(person, base, now, urgent=False)


def _in_hours(person: Callee, at: datetime, now: datetime, *, urgent: bool) -> datetime | None:
    """The first time from then on, and from now on, at which they may be called."""
    soonest = max(at, now)
    return soonest if may_be_called(person, soonest, urgent=urgent) else person.hours.next_start(soonest)


def _patience(kept: KeptNotice, person: Callee, people: Sequence[Callee], now: datetime) -> timedelta:
    """How long this person is spared. Only while there is somebody else to wait for: one who was reached, or can be now."""
    awaited = [other.urgent_after for other in people if other.name and _is_awaited(kept, other, now)]
    return max(timedelta(0), person.urgent_after - min(awaited, default=person.urgent_after))


def _is_awaited(kept: KeptNotice, person: Callee, now: datetime) -> bool:
    call = kept.calls.get(person.name)
    if call is None:
        return may_be_called(person, now, urgent=True)
    return call.outcome is not Outcome.FAILED
