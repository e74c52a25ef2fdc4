"""The plan as things stand, and what an offer would do to it.

It is made anew at every change; and where that would break a promise that the plan so far keeps, that one is followed instead. On a large
floor it is followed first, and weighed against one that is made anew now and then. Why: docs/decisions/0015-scheduling.md.
"""

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime

from agent.domain.order import State
from agent.domain.schedule import Batch, Forecast, Plan
from agent.ports.ledger import Unprinted
from agent.workflow.planning import Laid, followed, plan, within
from agent.workflow.promises import Kept, Scene, Work
from agent.workflow.shop import Shop

_HOLDS_S = 30.0
"""Prints end and hours pass without anything being written: no plan is older than this."""
_MOMENT_S = 60.0
"""The plan that is compared with may be half a minute old."""
_CHEAP = 100
"""So many batches are planned anew in some hundredths of a second, on a machine as slow as a Pi in some tenths."""
_PLANNED = (State.OFFERED, State.SLICED, State.PRINTING)
"""Of offers, only those that will be accepted need anything; and not for longer than there is time to answer."""
_BEING_MADE = (State.ACCEPTED, State.FETCHED, State.CHECKED)


def scene(shop: Shop) -> Scene:
    return Scene(shop.ledger, shop.facts(), shop.schedule, shop.now(), frozenset(shop.away), shop.memory)


def current(shop: Shop) -> Plan:
    """Every promise made, orders on hold and offers that will be accepted among them."""
    return made(scene(shop))


def made(here: Scene) -> Plan:
    """As `current`, of things as they stand there."""
    return _laid(here).plan


def _laid(here: Scene) -> Laid:
    key, kept = _key(here), here.memory.kept
    if kept is None or kept.key != key:
        kept = _kept(here, key, kept)
        here.memory.kept = kept
    return kept.laid


def _key(here: Scene) -> object:
    return here.fingerprint(), int(here.now.timestamp() // _HOLDS_S)


def _kept(here: Scene, key: object, before: Kept | None) -> Kept:
    batches, stations = here.batches(), here.stations()
    if before is None:
        return Kept(key, plan(batches, stations, here.schedule, here.now), here.now)
    same = followed(before.laid, batches, stations, here.schedule, here.now)
    enough = same is before.laid or (len(batches) > _CHEAP and not same.plan.broken)
    if enough and (here.now - before.weighed).total_seconds() < _HOLDS_S:
        return Kept(key, same, before.weighed)
    best = plan(batches, stations, here.schedule, here.now)
    return Kept(key, min(best, same, key=_harm) if best.plan.broken else best, here.now)


def _harm(made: Laid) -> tuple[int, float]:
    broken = made.plan.broken
    return len(broken), sum(float("inf") if one.late_by_s is None else one.late_by_s for one in broken)


def finish_by(shop: Shop, ship_by: datetime | None) -> datetime | None:
    """When the last plate has to be off its printer, so that there is time to handle the order while somebody is there."""
    return shop.schedule.finish_by(ship_by)


def forecast(shop: Shop, offered: Sequence[Batch]) -> Forecast:
    """What taking these batches of one order on would do. Not ok: it is not ready in time, stands on a printer that cannot be reached, or
    breaks a promise that would be kept without it, or makes one later that would be broken anyway. Nothing offered: ok.

    Two offers must not both count on the same free printer: between this and the commit of the decision nothing may be awaited.
    """
    return forecast_in(scene(shop), offered)


def forecast_in(here: Scene, offered: Sequence[Batch]) -> Forecast:
    """As `forecast`, of things as they stand there."""
    ids = {batch.order_id for batch in offered}
    promised = here.batches(but=ids)
    if len(promised) > _CHEAP:
        return _on_a_large_floor(here, promised, offered)
    anew = _told(here, plan([*promised, *offered], here.stations(), here.schedule, here.now).plan, offered)
    if anew.ok:
        return anew
    other = _told(here, _with(here, promised, offered), offered)
    return other if other.ok else anew


def _on_a_large_floor(here: Scene, promised: Sequence[Batch], offered: Sequence[Batch]) -> Forecast:
    """First the plan that is kept to, with these put where there is room: it takes a fraction of the time."""
    as_kept = _told(here, _with(here, promised, offered), offered)
    if as_kept.ok:
        return as_kept
    anew = within([*promised, *offered], here.stations(), here.schedule, here.now, len(made(here).broken))
    if anew is None:
        return as_kept
    other = _told(here, anew, offered)
    return other if other.ok else as_kept


def _with(here: Scene, promised: Sequence[Batch], offered: Sequence[Batch]) -> Plan:
    return followed(_laid(here), [*promised, *offered], here.stations(), here.schedule, here.now).plan


def _told(here: Scene, after: Plan, offered: Sequence[Batch]) -> Forecast:
    ids = {batch.order_id for batch in offered}
    mine = [one for one in after.assignments if one.order_id in ids]
    reasons = [broken.why for broken in after.broken if broken.order_id in ids]
    if any(broken.order_id not in ids for broken in after.broken):
        reasons += _harmed(made(here), after, ids)
    away = sorted({one.printer for one in mine} & here.away)
    if away:
        reasons.append(f"It would be printed on {' and '.join(away)}, which cannot be reached now.")
    return Forecast(
        ok=not reasons,
        ready_at=max((one.cleared_at for one in mine), default=None),
        printers=list(dict.fromkeys(one.printer for one in mine)),
        reasons=reasons,
    )


def _harmed(before: Plan, after: Plan, offered: set[str]) -> list[str]:
    """Who would be late, and would not be without it; and who would be late anyway, and later still with it."""
    known = _late_by_s(before)
    late = {order_id: late_s for order_id, late_s in _late_by_s(after).items() if order_id not in offered}
    why = {broken.order_id: broken.why for broken in after.broken}
    return [
        f"Order {order_id}, which is late already, would be later still: {why[order_id]}"
        if order_id in known
        else f"Order {order_id} would not be ready in time any more: {why[order_id]}"
        for order_id, late_s in late.items()
        if order_id not in known or late_s > known[order_id] + _MOMENT_S
    ]


def _late_by_s(made: Plan) -> dict[str, float]:
    """By order, which is as late as the latest of its batches."""
    late: dict[str, float] = {}
    for broken in made.broken:
        late_s = float("inf") if broken.late_by_s is None else broken.late_by_s
        late[broken.order_id] = max(late.get(broken.order_id, 0.0), late_s)
    return late


def order_of_work(shop: Shop) -> Plan:
    """The plan that printers are claimed by: of orders that can be printed now, that are being made ready for it, or whose acceptance is
    on its way to the marketplace, perhaps for the third time: it may have been heard there.

    One on hold waits for a person, one that fails again and again for something else: neither keeps a printer from the others.
    """
    here = scene(shop)
    key, known = _key(here), shop.memory.work
    if known is None or known.key != key:
        known = shop.memory.work = _work(here, key, known)
    return known.plan


def _work(here: Scene, key: object, before: Work | None) -> Work:
    kept, batches = _laid(here), here.batches(_goes_on)
    orders = frozenset(batch.order_id for batch in batches)
    if before is not None and before.of is kept and before.orders == orders:
        return replace(before, key=key)
    return Work(key, kept, orders, _of_these(kept, batches, orders, here))


def _of_these(kept: Laid, batches: Sequence[Batch], orders: Set[str], here: Scene) -> Plan:
    if orders == {place.order_id for place in kept.plan.assignments}:
        return kept.plan
    if len(batches) > _CHEAP:
        return followed(kept, batches, here.stations(), here.schedule, here.now).plan
    anew = plan(batches, here.stations(), here.schedule, here.now)
    best = anew if not anew.plan.broken else min(anew, followed(kept, batches, here.stations(), here.schedule, here.now), key=_harm)
    return best.plan


def _goes_on(row: Unprinted) -> bool:
    return row.state in _PLANNED or (row.state in _BEING_MADE and row.tries == 0)
