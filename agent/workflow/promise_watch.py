"""Watching the plan: a promise that was kept so far and will now be broken is told once, while there may still be something to do."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from agent.domain.errors import AgentError
from agent.domain.order import State
from agent.domain.schedule import BrokenPromise
from agent.ports.notifier import Notice, Urgency
from agent.workflow.planned import made, scene
from agent.workflow.promises import ship_by
from agent.workflow.shop import Shop

log = structlog.get_logger()

WILL_BREAK, KEPT_AGAIN = "promise_will_break", "promise_kept_again"
_LOOKS = 2
"""So many looks in a row have to find the same before it is told: a printer that misses one may only be restarted."""
_ANEW_S = 300.0
"""Time alone breaks promises as well: so often the plan is made anew where nothing else happened."""


class PromiseWatch:
    """Runs until cancelled. What was told is read from the orders' histories, so that a restart tells nothing twice."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._told: dict[str, bool] = {}
        self._seen: dict[str, tuple[bool, int]] = {}
        """Order -> whether its promise would be broken, and for how many looks that has been so."""
        self._last: object = None
        self._next = shop.now()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except AgentError as error:
                log.warning("plan_not_made", why=error.told())
            await asyncio.sleep(self._shop.pace.plan_s)  # the plan's own pace: time is what it waits for

    async def look(self) -> None:
        """Makes the plan and tells what changed. Spares itself that where nothing happened, unless something was seen only once yet."""
        here = scene(self._shop)
        mark, settled = here.fingerprint(), all(looks >= _LOOKS for _, looks in self._seen.values())
        if mark == self._last and settled and here.now < self._next:
            return
        self._last, self._next = mark, here.now + timedelta(seconds=_ANEW_S)
        accepted = {row.id for row in here.ledger.unprinted() if row.stage is not State.OFFERED}
        promised = {batch.order_id for batch in here.batches() if batch.finish_by is not None} & accepted
        broken = {one.order_id: one for one in made(here).broken if one.order_id in promised}
        self._seen = {order_id: self._counted(order_id, order_id in broken) for order_id in promised}
        for order_id, (breaks, looks) in self._seen.items():
            if looks == _LOOKS and breaks is not self._was_told(order_id):
                await self._tell(order_id, broken)

    def _counted(self, order_id: str, breaks: bool) -> tuple[bool, int]:
        before, looks = self._seen.get(order_id, (breaks, 0))
        return breaks, min(looks + 1, _LOOKS + 1) if before is breaks else 1

    def _was_told(self, order_id: str) -> bool:
        if order_id not in self._told:
            kinds = [event.kind for event in self._shop.ledger.events(order_id) if event.kind in (WILL_BREAK, KEPT_AGAIN)]
            self._told[order_id] = kinds[-1:] == [WILL_BREAK]
        return self._told[order_id]

    async def _tell(self, order_id: str, broken: Mapping[str, BrokenPromise]) -> None:
        found = broken.get(order_id)
        self._told[order_id] = found is not None
        if found is None:
            self._shop.ledger.record(order_id, KEPT_AGAIN, {})
            text = f"By the plan as it is now, order {order_id} is ready in time again."
            await self._notify(Notice(event=KEPT_AGAIN, title="In time again", text=text, order_id=order_id))
            return
        self._shop.ledger.record(order_id, WILL_BREAK, {"late_by_s": found.late_by_s, "why": found.why})
        due = ship_by(self._shop.ledger.order(order_id).dossier)
        until = f", which is to be shipped by {due.astimezone(self._shop.schedule.attended.zone):%a %d %b %H:%M}," if due else ""
        text = f"Order {order_id}{until} will not be ready in time. {found.why} `intagly-agent plan` shows what stands before it."
        title = f"Order {order_id} will be late"
        await self._notify(Notice(event=WILL_BREAK, title=title, text=text, urgency=Urgency.ALARM, order_id=order_id))

    async def _notify(self, notice: Notice) -> None:
        log.warning(notice.event, order=notice.order_id, text=notice.text)
        await self._shop.notifier.notify(notice)
