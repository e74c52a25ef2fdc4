"""What the Operator API answers, held against what can be worked with. Every answer is untrusted."""

from collections.abc import Iterator
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from agent.domain.account import Days, Earning, Earnings, Supplies, SupplyKind, SupplyRequest
from agent.domain.errors import Transient
from agent.domain.offer import Offer, RemoteOrder
from agent.domain.values import Money, Value
from agent.marketplaces.replies import printable

log = structlog.get_logger()

LONGEST_OFFER_S = 366 * 24 * 3600.0
MOST_DIGITS = 9
"""Before the point of an amount of money: written out, 1e999999999 would fill the memory."""
_MOST_TOLD = 1_000

_Model = TypeVar("_Model", bound=BaseModel)


class _SupplyList(Value):
    lead_time_days: Days
    kinds: list[Any]
    open_requests: list[Any] = []


class _EarningList(Value):
    lines: list[Any]


class Rows:
    """Rows of lists. One that cannot be used is told once and left out; it must not hide the good ones."""

    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace
        self.told: set[str] = set()

    def offer(self, raw: object) -> Offer | None:
        return self._read(Offer, raw, "offer_id")

    def supplies(self, raw: object) -> Supplies:
        """Transient where it is nothing of the kind."""
        told = parsed(_SupplyList, raw)
        kinds = [kind for each in told.kinds if (kind := self._read(SupplyKind, each, "kind")) is not None]
        requests = [request for each in told.open_requests if (request := self._read(SupplyRequest, each, "request_id")) is not None]
        left_out = len(told.kinds) + len(told.open_requests) - len(kinds) - len(requests)
        return Supplies(lead_time_days=told.lead_time_days, kinds=kinds, requests=requests, left_out=left_out)

    def earnings(self, raw: object) -> Earnings:
        """Transient where it is nothing of the kind. One line an order: a second one is not counted."""
        told = parsed(_EarningList, raw)
        lines: dict[str, Earning] = {}
        for each in told.lines:
            line = self._read(Earning, each, "order_id")
            if line is not None and line.order_id in lines:
                self._left_out("order_id", line.order_id, "a second line of the same order")
            elif line is not None:
                lines[line.order_id] = line
        return Earnings(lines=list(lines.values()), left_out=len(told.lines) - len(lines))

    def _read(self, model: type[_Model], raw: object, id_field: str) -> _Model | None:
        try:
            read = model.model_validate(raw)
        except ValidationError as error:
            self._left_out(id_field, raw.get(id_field) if isinstance(raw, dict) else None, brief(error))
            return None
        if flaw := flaw_of(read):
            self._left_out(id_field, getattr(read, id_field), flaw)
        return None if flaw else read

    def _left_out(self, id_field: str, identifier: object, why: str) -> None:
        """Told once each; what is remembered of them is bounded."""
        shown = printable(identifier) if isinstance(identifier, str) else "?"
        what = id_field.removesuffix("_id")
        if (known := f"{what} {shown}") in self.told:
            return
        if len(self.told) >= _MOST_TOLD:
            self.told.clear()
        self.told.add(known)
        log.warning("offer_unreadable" if what == "offer" else "row_unreadable", marketplace=self._marketplace, **{what: shown}, why=why)


def parsed(model: type[_Model], raw: Any) -> _Model:
    """Transient where it cannot be read or used."""
    try:
        read = model.model_validate(raw)
    except ValidationError as error:
        raise Transient(f"The marketplace's answer cannot be read: {brief(error)}", code="unreadable") from error
    if flaw := flaw_of(read):
        raise Transient(f"The marketplace's answer cannot be used: {flaw}.", code="unreadable")
    return read


def brief(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors(include_input=False)[:5])


def flaw_of(read: BaseModel) -> str:
    """Why something that has the right form cannot be worked with; empty where it can."""
    if isinstance(read, Offer):
        return _offer_flaw(read) or _money_flaw(read)
    return _money_flaw(read)


def _offer_flaw(offer: Offer) -> str:
    announced = {file.file_id for file in offer.files}
    for item in offer.items:
        if item.file_id not in announced:
            return f"item {item.item_id} is of file {item.file_id}, which is not among the files"
    if not all(name.strip(".") for name in (offer.offer_id, *announced)):
        return "an id of nothing but dots"
    if abs(offer.accept_within_s) > LONGEST_OFFER_S:
        return f"{offer.accept_within_s:g} seconds are no time to answer in"
    return ""


def _money_flaw(read: BaseModel) -> str:
    return "an amount of money that nobody pays" if any(money.amount.adjusted() >= MOST_DIGITS for money in _amounts(read)) else ""


def _amounts(read: BaseModel) -> Iterator[Money]:
    if isinstance(read, Offer | RemoteOrder):
        yield read.payout
        yield from (add_on.extra_pay for add_on in read.add_ons if add_on.extra_pay is not None)
    elif isinstance(read, Earning):
        yield read.amount
