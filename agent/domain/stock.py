"""What lies in the shop and is used up: packagings by the piece, filament by the gram, counted from what the operator wrote."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import AwareDatetime

from agent.domain.fit import Packaging
from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.domain.values import Color, Value

LOOKED_BACK = timedelta(days=28)
"""The use of so long says how much is used a week."""
_A_WEEK = timedelta(days=7)


class StockKind(StrEnum):
    PACKAGING = "packaging"
    SPOOL = "spool"


class Thing(NamedTuple):
    """Something that is counted. `name`: a packaging's, or a spool's as `spools` names it."""

    kind: StockKind
    name: str


class Why(StrEnum):
    """What took it. The last three are prints that did not end well, or that a person gave up."""

    PACKED = "packed"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


class Taking(Value):
    """So much of a thing was used for an order. `subject`: what is counted once, a job's remote name or "packed".

    `amount`: pieces or grams. `seconds`: how long the printer was at it.
    """

    kind: StockKind
    name: str
    subject: str
    amount: float
    why: Why
    seconds: int = 0

    @property
    def thing(self) -> Thing:
        return Thing(self.kind, self.name)


class Stock(Value):
    """How a thing stands. `configured`: the number in the operator's file when it was last read; `counted`: what was there at `since`;
    `used`: what was taken after that."""

    kind: StockKind
    name: str
    configured: float
    counted: float
    used: float
    since: AwareDatetime

    @property
    def left(self) -> float:
        return max(0.0, self.counted - self.used)


def spools(facts: PrinterFacts) -> list[Thing]:
    """The printer's spools in their order."""
    return spools_of(facts.name, facts.materials)


def spools_of(printer: str, materials: Sequence[LoadedMaterial]) -> list[Thing]:
    """Each by a name of its own, also where two are alike. It stays the same where the file names them in another order."""
    names = [f"{printer}: {spool.material} {spool.color.name}" for spool in materials]
    alike = [names[:n].count(name) + 1 for n, name in enumerate(names)]
    return [Thing(StockKind.SPOOL, name if n == 1 else f"{name} ({n})") for name, n in zip(names, alike, strict=True)]


def spool_for(facts: PrinterFacts, material: str, color: Color) -> Thing | None:
    """The one that a print of this material and colour is printed from; None where none is loaded."""
    loaded = facts.loaded(material, color)
    return None if loaded is None else spools(facts)[next(n for n, spool in enumerate(facts.materials) if spool is loaded)]


def written_of(printers: Iterable[tuple[str, Sequence[LoadedMaterial]]]) -> dict[Thing, float | None]:
    """What the printers' files say of each spool. None: it is not counted."""
    return {
        thing: spool.remaining_g
        for printer, materials in printers
        for thing, spool in zip(spools_of(printer, materials), materials, strict=True)
    }


def configured(reels: Mapping[Thing, float | None], packagings: Sequence[Packaging]) -> dict[Thing, float]:
    """What the operator's files say of everything that is counted. `reels`: as `written_of` has them."""
    found = {thing: grams for thing, grams in reels.items() if grams is not None}
    for packaging in packagings:
        if packaging.stock is not None:
            found[Thing(StockKind.PACKAGING, packaging.name)] = float(packaging.stock)
    return found


Stocks = Mapping[Thing, Stock]


def left_of(thing: Thing, written: float | None, stocks: Stocks) -> float | None:
    """`written`: what the operator's file says now. Where that is another number than the one that is counted from, it is the newer word.
    None: not counted."""
    stock = stocks.get(thing)
    return written if written is None or stock is None or stock.configured != written else stock.left


def with_left(facts: PrinterFacts, stocks: Stocks) -> PrinterFacts:
    """The printer with what is left on its spools."""
    materials = [
        spool.model_copy(update={"remaining_g": left_of(thing, spool.remaining_g, stocks)})
        for thing, spool in zip(spools(facts), facts.materials, strict=True)
    ]
    return facts if materials == facts.materials else facts.model_copy(update={"materials": materials})


def stocked(packaging: Packaging, stocks: Stocks) -> Packaging:
    """The packaging with how many are left."""
    left = left_of(Thing(StockKind.PACKAGING, packaging.name), packaging.stock, stocks)
    return packaging.model_copy(update={"stock": None if left is None else int(left)})


class Use(Value):
    """What was taken of a thing lately. `first`: when it was first taken at all."""

    amount: float
    first: AwareDatetime


class Outlook(Value):
    """How long a thing lasts. None: it is not counted, or none was used."""

    per_week: float
    days_left: float | None = None


def outlook(left: float | None, use: Use | None, now: datetime) -> Outlook:
    """`use`: of LOOKED_BACK. One that was first used later than that was used for a shorter time, though a week at the least."""
    if use is None or use.amount <= 0:
        return Outlook(per_week=0.0)
    seconds = min(max(now - use.first, _A_WEEK), LOOKED_BACK).total_seconds()
    per_week = use.amount * _A_WEEK.total_seconds() / seconds
    return Outlook(per_week=per_week, days_left=None if left is None else 7 * left / per_week)
