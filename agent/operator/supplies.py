"""Asking a marketplace for boxes and the like, once: a second request is a second parcel."""

import hashlib
from collections.abc import Sequence
from datetime import date

from agent.domain.account import Supplies, SupplyRequest
from agent.domain.errors import AgentError, Refused, Transient
from agent.ports.ledger import Stale
from agent.ports.marketplace import Supplying


async def ask_for(
    market: Supplying,
    marketplace: str,
    kind: str,
    quantity: int,
    today: date,
    *,
    again: bool = False,
    seen: Sequence[str] | None = None,
) -> SupplyRequest:
    """Look, ask, and where the answer was lost look again.

    `seen`: the ids of the requests that were on their way when this was said, for words that may arrive late, or twice. Stale where others
    are by now.

    The key is made from what is asked for, the day and what is on its way already: asked twice because nobody knew, it is the same request.
    Refused: there is no such kind (unknown_kind), or some is on its way (on_its_way) and `again` was not said. Transient with code
    supplies_unknown: it is not known whether it was asked for.
    """
    before = await market.supplies()
    if seen is not None:
        _check_seen(before, marketplace, kind, seen)
        again = bool(seen)
    _check(before, marketplace, kind, again=again)
    key = _key(marketplace, kind, quantity, today, before)
    try:
        return await market.request_supplies(kind, quantity, key)
    except Transient as lost:
        return await _read_back(market, before, kind, quantity, lost)


def _check(supplies: Supplies, marketplace: str, kind: str, *, again: bool) -> None:
    known = [each.kind for each in supplies.kinds]
    if kind not in known:
        hint = f"It has: {', '.join(known) or 'nothing'}."
        raise Refused(f"{marketplace} has no supply {kind}.", hint=hint, code="unknown_kind")
    if again:
        return
    if coming := supplies.on_the_way(kind):
        first = coming[0]
        told = f"{first.quantity} of {kind} are on their way already (request {first.request_id}, {first.state})."
        raise Refused(told, hint="Nothing was asked for. --again asks for more all the same.", code="on_its_way")
    if supplies.left_out:
        told = f"{supplies.left_out} lines of what {marketplace} told could not be read, so {kind} may be on its way already."
        raise Refused(told, hint="Nothing was asked for. --again asks all the same.", code="on_its_way")


def _check_seen(supplies: Supplies, marketplace: str, kind: str, seen: Sequence[str]) -> None:
    coming = supplies.on_the_way(kind)
    if sorted(request.request_id for request in coming) != sorted(seen):
        what = ", ".join(f"{request.quantity} ({request.state})" for request in coming) or "none"
        told = f"What is on its way of {kind} from {marketplace} is not what was shown any more: it is {what}."
        raise Stale(told, hint="Nothing was asked for by this. Look again.", code="on_its_way")


def _key(marketplace: str, kind: str, quantity: int, today: date, before: Supplies) -> str:
    known = sorted(request.request_id for request in before.requests if request.kind == kind)
    return hashlib.sha256("\n".join([marketplace, kind, str(quantity), today.isoformat(), *known]).encode()).hexdigest()


async def _read_back(market: Supplying, before: Supplies, kind: str, quantity: int, lost: Transient) -> SupplyRequest:
    known = {request.request_id for request in before.requests}
    try:
        after = await market.supplies()
    except AgentError as worse:
        raise _unknown(lost) from worse
    made = [
        request for request in after.requests if request.request_id not in known and (request.kind, request.quantity) == (kind, quantity)
    ]
    if not made:
        raise _unknown(lost) from lost
    return made[0]


def _unknown(lost: Transient) -> Transient:
    hint = "`intagly-agent supplies` shows whether it was asked for. Asked again today it is the same request."
    return Transient(f"It is not known whether it was asked for: {lost}", hint=hint, code="supplies_unknown")
