"""Asking a marketplace for boxes and the like, once: a second request is a second parcel.

What is asked for is written into the ledger before the marketplace hears of it, with the key that it is asked under. Whatever dies in
between, the intent is open then, and is settled by the same key: the marketplace says what came of it, or does it now.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog

from agent.domain.account import Supplies, SupplyRequest
from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.intent import NewSupplyIntent, SupplyIntent
from agent.ports.ledger import Ledger, Stale
from agent.ports.marketplace import Marketplace, Supplying
from agent.ports.notifier import Notice, Notifier, Urgency

log = structlog.get_logger()

KEY_HOLDS = timedelta(days=1)
"""No marketplace says how long it remembers a key. After so long, asking under it again might be another parcel."""
_UNDER_WAY = timedelta(seconds=30)
"""An intent that is younger may be at work elsewhere: on the page, or in a command."""
_EVERY_S = 60.0


class Wish(NamedTuple):
    """So many of a kind, and who says so."""

    marketplace: str
    kind: str
    quantity: int
    said_by: str


async def ask_for(
    market: Supplying, ledger: Ledger, wish: Wish, now: datetime, *, again: bool = False, seen: Sequence[str] | None = None
) -> SupplyRequest:
    """Settle what is open, look, write it down, ask, and where the answer was lost look again.

    `seen`: the ids of the requests that were on their way when this was said, for words that may arrive late, or twice. Stale where others
    are by now.

    The key is made from what is asked for, the day and what is on its way already: asked twice because nobody knew, it is the same request.
    Refused: there is no such kind (unknown_kind), or some is on its way (on_its_way) and `again` was not said. Transient with code
    supplies_unknown: it is not known whether it was asked for; the intent stays open.
    """
    for intent in ledger.open_supply_intents():
        if (intent.marketplace, intent.kind) == (wish.marketplace, wish.kind):
            made = await _settled_first(market, intent, ledger, now)
            if made is not None and intent.quantity == wish.quantity:
                return made
    before = await market.supplies()
    if seen is not None:
        _check_seen(before, wish, seen)
        again = bool(seen)
    _check(before, wish, again=again)
    intent, fresh = ledger.intend_supplies(_intent(wish, now.date(), before))
    if intent.outcome is not None and "request" in intent.outcome:
        return SupplyRequest.model_validate(intent.outcome["request"])
    return await settle(market, intent, ledger, fresh=fresh)


async def settle(market: Supplying, intent: SupplyIntent, ledger: Ledger, *, fresh: bool = False) -> SupplyRequest:
    """Ask under its key, and write down what came of it. `fresh`: it was never asked before, so a no means that nothing was asked for."""
    try:
        made = await market.request_supplies(intent.kind, intent.quantity, intent.key)
    except Transient as lost:
        made = await _read_back(market, intent, lost)
    except Refused as no:
        ledger.settle_supplies(intent, {"refused": no.told()})
        raise
    except NeedsOperator as no:
        if fresh:
            ledger.settle_supplies(intent, {"refused": no.told()})
        raise
    ledger.settle_supplies(intent, {"request": made.model_dump(mode="json")})
    return made


async def _settled_first(market: Supplying, intent: SupplyIntent, ledger: Ledger, now: datetime) -> SupplyRequest | None:
    """What came of an earlier one; None where nobody knows any more. Whoever asks has what is on its way before their eyes then."""
    if now - intent.opened_at <= KEY_HOLDS:
        return await settle(market, intent, ledger)
    made = _made(await market.supplies(), intent)
    outcome = {"unknown": "asked for again"} if made is None else {"request": made.model_dump(mode="json")}
    ledger.settle_supplies(intent, outcome)
    return made


def _intent(wish: Wish, today: date, before: Supplies) -> NewSupplyIntent:
    known = sorted(request.request_id for request in before.requests if request.kind == wish.kind)
    about = [wish.marketplace, wish.kind, str(wish.quantity), today.isoformat(), *known]
    key = hashlib.sha256("\n".join(about).encode()).hexdigest()
    return NewSupplyIntent(**wish._asdict(), key=key, known=known)


def _check(supplies: Supplies, wish: Wish, *, again: bool) -> None:
    known = [each.kind for each in supplies.kinds]
    if wish.kind not in known:
        hint = f"It has: {', '.join(known) or 'nothing'}."
        raise Refused(f"{wish.marketplace} has no supply {wish.kind}.", hint=hint, code="unknown_kind")
    if again:
        return
    if coming := supplies.on_the_way(wish.kind):
        first = coming[0]
        told = f"{first.quantity} of {wish.kind} are on their way already (request {first.request_id}, {first.state})."
        raise Refused(told, hint="Nothing was asked for. --again asks for more all the same.", code="on_its_way")
    if supplies.left_out:
        told = f"{supplies.left_out} lines of what {wish.marketplace} told could not be read, so {wish.kind} may be on its way already."
        raise Refused(told, hint="Nothing was asked for. --again asks all the same.", code="on_its_way")


def _check_seen(supplies: Supplies, wish: Wish, seen: Sequence[str]) -> None:
    coming = supplies.on_the_way(wish.kind)
    if sorted(request.request_id for request in coming) != sorted(seen):
        what = ", ".join(f"{request.quantity} ({request.state})" for request in coming) or "none"
        told = f"What is on its way of {wish.kind} from {wish.marketplace} is not what was shown any more: it is {what}."
        raise Stale(told, hint="Nothing was asked for by this. Look again.", code="on_its_way")


async def _read_back(market: Supplying, intent: SupplyIntent, lost: Transient) -> SupplyRequest:
    try:
        after = await market.supplies()
    except AgentError as worse:
        raise _unknown(lost) from worse
    if (made := _made(after, intent)) is None:
        raise _unknown(lost) from lost
    return made


def _made(supplies: Supplies, intent: SupplyIntent) -> SupplyRequest | None:
    """A request of just that which was not there before."""
    wanted = (intent.kind, intent.quantity)
    new = (request for request in supplies.requests if request.request_id not in intent.known)
    return next((request for request in new if (request.kind, request.quantity) == wanted), None)


def _unknown(lost: Transient) -> Transient:
    hint = "The agent asks by itself until it knows, under the same key: it is the same request. `intagly-agent supplies` shows it then."
    return Transient(f"It is not known whether it was asked for: {lost}", hint=hint, code="supplies_unknown")


class OpenSupplies:
    """Settles what was left open by a kill, a lost answer or a command that ended. Runs until cancelled."""

    def __init__(
        self,
        marketplaces: Mapping[str, Marketplace],
        ledger: Ledger,
        notifier: Notifier,
        now: Callable[[], datetime],
        every_s: float = _EVERY_S,
    ) -> None:
        self._marketplaces, self._ledger, self._notifier, self._now, self._every_s = marketplaces, ledger, notifier, now, every_s
        self._told: set[int] = set()

    async def run(self) -> None:
        """At once: what is open at a start is nobody's any more. Then now and then: commands write into the same ledger, and it has no
        event for us."""
        await self.look(left_behind=True)
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self, *, left_behind: bool = False) -> None:
        """Once. `left_behind`: also at those that were opened just now."""
        for intent in self._ledger.open_supply_intents():
            if left_behind or not timedelta() <= self._now() - intent.opened_at < _UNDER_WAY:
                await self._settle(intent)

    async def _settle(self, intent: SupplyIntent) -> None:
        market = self._marketplaces.get(intent.marketplace)
        about = {"marketplace": intent.marketplace, "kind": intent.kind, "quantity": intent.quantity}
        try:
            if self._now() - intent.opened_at > KEY_HOLDS:
                await self._look_only(market, intent)
            elif isinstance(market, Supplying):
                made = await settle(market, intent, self._ledger)
                log.info("supplies_settled", request=made.request_id, **about)
        except AgentError as error:
            if intent.id not in self._told:
                self._told.add(intent.id)
                log.warning("supplies_not_settled", why=error.told(), **about)

    async def _look_only(self, market: Marketplace | None, intent: SupplyIntent) -> None:
        """It is too late to ask under its key: what is on its way tells, or a person has to look."""
        made = None
        if isinstance(market, Supplying):
            made = _made(await market.supplies(), intent)
        if made is not None:
            self._ledger.settle_supplies(intent, {"request": made.model_dump(mode="json")})
            return
        what = f"{intent.quantity} of {intent.kind} from {intent.marketplace}"
        text = (
            f"{intent.said_by} asked for {what}, and for a day it could not be found out whether that arrived. Ask again if it is needed."
        )
        await self._notifier.notify(
            Notice(event="supplies_unknown", title=f"Was it asked for? {what}"[:200], text=text, urgency=Urgency.ACT)
        )
        self._ledger.settle_supplies(intent, {"unknown": text})
