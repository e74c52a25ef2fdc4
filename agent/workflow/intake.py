"""Watching marketplaces: new offers come in, orders that were cancelled there go out."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from agent.domain.errors import AgentError, Refused, Transient
from agent.domain.offer import RemoteState
from agent.domain.order import Order, State
from agent.ports.ledger import OrderMove, Stale
from agent.ports.marketplace import Marketplace
from agent.ports.notifier import Notice, Urgency
from agent.workflow.shop import Shop
from agent.workflow.steps import Hold

log = structlog.get_logger()

_BEFORE_PRINT = (State.ACCEPTED, State.FETCHED, State.CHECKED, State.SLICED)
_CANCELLED = "cancelled_by_marketplace"
_LONGEST_PAUSE_S = 60.0


class Intake:
    """One marketplace's door. Runs until cancelled; a marketplace that is away is told once, and once when it is back."""

    def __init__(self, market: Marketplace, shop: Shop, wake: Callable[[], None]) -> None:
        self._market = market
        self._shop = shop
        self._wake = wake
        self._lost = 0
        self._listed = frozenset[str]()
        self.remote_checked = shop.now()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
                self._shop.measures.looked("marketplace", self._market.name, answered=True)
                self._back()
                await self._market.wait_for_news()
            except AgentError as error:
                await asyncio.sleep(self.away(error))  # the pause before the next try: there is nothing to await

    async def look(self) -> None:
        """Take in new offers, and now and then see which of our orders were cancelled."""
        offers, now = await self._market.offers(), self._shop.now()
        # The ledger knows them all; those that were in the last list as well need not be asked about.
        new = [(offer, now + timedelta(seconds=offer.accept_within_s)) for offer in offers if offer.offer_id not in self._listed]
        for order in self._shop.ledger.add_offers(self._market.name, new):
            offer = order.dossier.offer
            log.info(
                "offer_received",
                order=order.id,
                offer=offer.offer_id,
                payout=str(offer.payout),
                seconds_left=round(offer.accept_within_s),
            )
            self._shop.meshes.warm()
            self._wake()
        self._listed = frozenset(offer.offer_id for offer in offers)
        if self._shop.now() - self.remote_checked >= timedelta(seconds=self._shop.pace.remote_s):
            self.remote_checked = self._shop.now()
            await self._look_for_cancelled()

    async def _look_for_cancelled(self) -> None:
        for order in self._shop.ledger.orders(open_only=True):
            if order.marketplace != self._market.name or order.dossier.remote is None:
                continue
            try:
                remote = await self._market.order(order.dossier.remote.order_id)
                if remote.state is RemoteState.CANCELLED:
                    await self._cancelled(self._shop.ledger.order(order.id))
            except Stale:
                continue  # it moved meanwhile: seen again at the next look
            except Refused as refused:
                log.warning("order_not_asked_about", order=order.id, why=refused.told())

    async def _cancelled(self, order: Order) -> None:
        """Before anything was printed the order just ends; a print that runs is a person's to stop. Each is told once: what they then
        say stands, however often the marketplace repeats it."""
        ledger = self._shop.ledger
        if order.ended or any(event.kind == _CANCELLED for event in ledger.events(order.id)):
            return
        text, asks = f"{self._market.name} cancelled order {order.id}.", None
        if order.state in _BEFORE_PRINT:
            ledger.move(order, OrderMove(to=State.CANCELLED, event="cancelled", data={"by": self._market.name}))
        elif order.state is not State.ON_HOLD:
            choices = {"cancel": "stop the print if it runs, and end the order", "retry": "go on all the same"}
            hold = Hold(_CANCELLED, f"{text} It was begun already.", choices)
            held = ledger.move(order, hold.move(order))
            asks = ledger.ask(held, hold.question()).step
        ledger.record(order.id, _CANCELLED, {"state": order.state})
        await self._shop.notifier.notify(
            Notice(event="order_cancelled", title="Order cancelled", text=text, urgency=Urgency.ALARM, order_id=order.id, step=asks)
        )

    def away(self, error: AgentError) -> float:
        """Seconds until the next try; told once."""
        self._lost += 1
        self._shop.measures.looked("marketplace", self._market.name, answered=False)
        if self._lost == 1:
            log.warning("marketplace_lost", marketplace=self._market.name, why=error.told())
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        return max(asked_s or 0.0, min(_LONGEST_PAUSE_S, 2.0 ** min(self._lost - 1, 6)))

    def _back(self) -> None:
        if self._lost:
            log.info("marketplace_back", marketplace=self._market.name, after_tries=self._lost)
            self._lost = 0
