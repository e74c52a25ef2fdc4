"""What is left in the shop, how long it lasts, and what is on its way: for the page, for scripts and for `supplies`."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from agent.domain.account import Supplies, SupplyRequest
from agent.domain.errors import AgentError, Transient
from agent.domain.fit import Packaging, sides
from agent.domain.stock import LOOKED_BACK, Stock, StockKind, Thing, Use, left_of, outlook
from agent.domain.values import Value
from agent.ports.ledger import Ledger

USUAL_LEAD_TIME_DAYS = 7.0
_PATIENCE_S = 3.0
"""A page waits no longer for a marketplace that is slow."""
_FEWEST = 10
"""So many are asked for where less is used in four weeks."""
_Market = TypeVar("_Market")
_Answer = TypeVar("_Answer")
Answers = Mapping[str, Supplies | AgentError]


class Shelved(Value):
    """One thing. `left` None: it is not counted. `promised`: of a packaging, how many orders are still to go into one. `per_week`: what was
    used in the last four weeks. `days_left` None: not known. `ask_now`: it is used up before more would come, and none is on its way."""

    name: str
    about: str = ""
    left: float | None
    promised: int = 0
    per_week: float
    days_left: float | None
    counted_at: datetime | None = None
    lead_time_days: float | None = None
    ask_now: bool = False
    used_up: bool = False


class Orderable(Value):
    """What a marketplace sends. `packaging`: what it is called here; empty: it is none. `suggested`: what four weeks take.

    `asked`: so many were asked for, and it is not known yet whether that arrived; 0: none.
    """

    marketplace: str
    kind: str
    title: str
    packaging: str
    on_the_way: list[SupplyRequest]
    suggested: int
    asked: int = 0


class Silent(Value):
    """A marketplace of which it is not known what it sends. `why`: for people."""

    marketplace: str
    why: str


class Shelf(Value):
    packagings: list[Shelved]
    spools: list[Shelved]
    orderable: list[Orderable]
    silent: list[Silent]


class Stocked(NamedTuple):
    """What the operator's files name: as it is written there. `reels`: as `written_of` has them."""

    reels: Mapping[Thing, float | None] = {}
    packagings: Sequence[Packaging] = ()
    lead_time_days: float | None = None


class _Known(NamedTuple):
    """What the ledger knows of it."""

    stocks: Mapping[Thing, Stock]
    uses: Mapping[Thing, Use]
    promised: Mapping[str, int]
    now: datetime


async def asked(markets: Mapping[str, _Market], ask: Callable[[_Market], Awaitable[_Answer]]) -> dict[str, _Answer | AgentError]:
    """All at once. What goes wrong with one is its answer, and so is that it takes too long."""

    async def one(market: _Market) -> _Answer | AgentError:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await ask(market)
        except TimeoutError:
            return Transient("It does not answer now.", hint="Look again in a moment.")
        except AgentError as error:
            return error

    return dict(zip(markets, await asyncio.gather(*(one(market) for market in markets.values())), strict=True))


def shelf(ledger: Ledger, written: Stocked, answers: Answers, now: datetime) -> Shelf:
    """`answers`: what each marketplace that sends supplies said of them."""
    stocks = {Thing(stock.kind, stock.name): stock for stock in ledger.stock()}
    known = _Known(stocks, ledger.used(now - LOOKED_BACK), ledger.packagings_promised(), now)
    packagings = [_packaging(packaging, known, written.lead_time_days, answers) for packaging in written.packagings]
    reels = [_shelved(thing, grams, known) for thing, grams in written.reels.items()]
    asked_for = {(intent.marketplace, intent.kind): intent.quantity for intent in ledger.open_supply_intents()}
    by_supply = {packaging.supply or packaging.name: row for packaging, row in zip(written.packagings, packagings, strict=True)}
    orderable = [
        Orderable(
            marketplace=name,
            kind=kind.kind,
            title=kind.title,
            packaging=row.name if (row := by_supply.get(kind.kind)) else "",
            on_the_way=answer.on_the_way(kind.kind),
            suggested=_suggested(row),
            asked=asked_for.get((name, kind.kind), 0),
        )
        for name, answer in answers.items()
        if isinstance(answer, Supplies)
        for kind in answer.kinds
    ]
    silent = [Silent(marketplace=name, why=error.told()) for name, error in answers.items() if isinstance(error, AgentError)]
    silent += [
        Silent(marketplace=name, why=f"{answer.left_out} lines of what it told could not be read, and are not among these.")
        for name, answer in answers.items()
        if isinstance(answer, Supplies) and answer.left_out
    ]
    return Shelf(packagings=packagings, spools=reels, orderable=orderable, silent=silent)


def _shelved(thing: Thing, written: float | None, known: _Known) -> Shelved:
    left, stock = left_of(thing, written, known.stocks), known.stocks.get(thing)
    lasts = outlook(left, known.uses.get(thing), known.now)
    return Shelved(
        name=thing.name,
        left=left,
        per_week=lasts.per_week,
        days_left=lasts.days_left,
        counted_at=stock.since if stock is not None and stock.configured == written else None,
        used_up=left == 0,
    )


def _packaging(packaging: Packaging, known: _Known, lead_time_days: float | None, answers: Answers) -> Shelved:
    row = _shelved(Thing(StockKind.PACKAGING, packaging.name), packaging.stock, known)
    kind = packaging.supply or packaging.name
    sent_by = [answer for answer in answers.values() if isinstance(answer, Supplies) and any(each.kind == kind for each in answer.kinds)]
    lead = lead_time_days
    if lead is None:
        lead = min((float(answer.lead_time_days) for answer in sent_by), default=USUAL_LEAD_TIME_DAYS)
    coming = any(answer.on_the_way(kind) for answer in sent_by)
    promised = known.promised.get(packaging.name, 0)
    short = row.left is not None and row.left <= promised
    soon = row.days_left is not None and row.days_left < lead
    told = {"about": sides(packaging.inner_mm), "promised": promised, "lead_time_days": lead}
    return row.model_copy(update={**told, "ask_now": (short or soon) and not coming})


def _suggested(row: Shelved | None) -> int:
    return max(_FEWEST, math.ceil(4 * row.per_week)) if row is not None else _FEWEST
