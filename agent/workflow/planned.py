"""The plan as things stand, and what an offer would do to it."""

from collections.abc import Sequence
from datetime import datetime

from agent.domain.order import State
from agent.domain.schedule import Batch, BrokenPromise, Forecast, Plan
from agent.ports.ledger import Unprinted
from agent.workflow.promises import Scene
from agent.workflow.scheduling import plan
from agent.workflow.shop import Shop

_HOLDS_S = 30.0
"""Prints end and hours pass without anything being written: the plan that printers are claimed by is never older than this."""
_PRINTABLE = (State.SLICED, State.PRINTING)
_BEING_MADE = (State.ACCEPTED, State.FETCHED, State.CHECKED)


def scene(shop: Shop) -> Scene:
    return Scene(shop.ledger, shop.facts(), shop.schedule, shop.now(), frozenset(shop.away), shop.memory)


def current(shop: Shop) -> Plan:
    """Every promise made, orders on hold and offers that will be accepted among them."""
    return made(scene(shop))


def made(now: Scene) -> Plan:
    return plan(now.batches(), now.stations(), now.schedule, now.now)


def finish_by(shop: Shop, ship_by: datetime | None) -> datetime | None:
    """When the last plate has to be off its printer, so that there is time to handle the order while somebody is there."""
    return shop.schedule.finish_by(ship_by)


def forecast(shop: Shop, offered: Sequence[Batch]) -> Forecast:
    """What taking these batches of one order on would do. Not ok: it is not ready in time, stands on a printer that cannot be reached, or
    breaks a promise that would be kept without it. What would be broken anyway does not count. Nothing offered: ok.

    Two offers must not both count on the same free printer: between this and the commit of the decision nothing may be awaited.
    """
    return forecast_in(scene(shop), offered)


def forecast_in(here: Scene, offered: Sequence[Batch]) -> Forecast:
    """As `forecast`, of things as they stand there."""
    ids = {batch.order_id for batch in offered}
    promised, stations = here.batches(but=ids), here.stations()
    after = plan([*promised, *offered], stations, here.schedule, here.now)
    mine = [one for one in after.assignments if one.order_id in ids]
    reasons = [broken.why for broken in after.broken if broken.order_id in ids]
    if any(broken.order_id not in ids for broken in after.broken):
        before = plan(promised, stations, here.schedule, here.now)
        reasons += _newly_broken(before, after, ids)
    away = sorted({one.printer for one in mine} & here.away)
    if away:
        reasons.append(f"It would be printed on {' and '.join(away)}, which cannot be reached now.")
    return Forecast(
        ok=not reasons,
        ready_at=max((one.cleared_at for one in mine), default=None),
        printers=list(dict.fromkeys(one.printer for one in mine)),
        reasons=reasons,
    )


def _newly_broken(before: Plan, after: Plan, offered: set[str]) -> list[str]:
    known = {(broken.order_id, broken.batch) for broken in before.broken}
    new = {broken.order_id: broken for broken in after.broken if broken.order_id not in offered and _key(broken) not in known}
    return [f"Order {order_id} would not be ready in time any more: {broken.why}" for order_id, broken in new.items()]


def _key(broken: BrokenPromise) -> tuple[str, int]:
    return broken.order_id, broken.batch


def order_of_work(shop: Shop) -> Plan:
    """The plan that printers are claimed by: of orders that can be printed now, or that are being made ready for it.

    One on hold waits for a person, one that fails again and again for something else: neither keeps a printer from the others.
    """
    here = scene(shop)
    key = here.fingerprint(), int(here.now.timestamp() // _HOLDS_S)
    if shop.memory.work is None or shop.memory.work[0] != key:
        fresh = plan(here.batches(_goes_on), here.stations(), here.schedule, here.now)
        shop.memory.work = key, fresh
    return shop.memory.work[1]


def _goes_on(row: Unprinted) -> bool:
    return row.state in _PRINTABLE or (row.state in _BEING_MADE and row.tries == 0)
