"""What is left and what was earned: the pages Supplies and Earnings, and what can be done on them."""

from datetime import datetime

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from agent.domain.account import SupplyRequest
from agent.domain.errors import Refused
from agent.domain.stock import StockKind, Thing, configured
from agent.operator.desk import Desk
from agent.operator.earned import LOOKED_BACK, Earned, earned
from agent.operator.shelf import Shelf, asked, shelf
from agent.operator.supplies import Wish, ask_for
from agent.operator.web.forms import text_of
from agent.operator.web.rendering import Pages
from agent.operator.web.visitors import Visitors
from agent.ports.ledger import Stale
from agent.ports.marketplace import Paying, Supplying

log = structlog.get_logger()

MOST = 1_000_000


async def shelf_now(desk: Desk) -> Shelf:
    """With what the marketplaces say; one that does not answer keeps nobody waiting."""
    markets = {name: market for name, market in desk.back.marketplaces.items() if isinstance(market, Supplying)}
    answers = await asked(markets, lambda market: market.supplies())
    return shelf(desk.ledger, desk.back.written, answers, desk.now())


async def earned_now(desk: Desk) -> Earned:
    now = desk.now()
    markets = {name: market for name, market in desk.back.marketplaces.items() if isinstance(market, Paying)}
    answers = await asked(markets, lambda market: market.earnings((now - LOOKED_BACK).date()))
    return earned(desk.ledger, answers, now)


async def request_supplies(desk: Desk, by: str, marketplace: str, kind: str, quantity: int, seen: list[str]) -> SupplyRequest:
    """Once: `seen` are the requests that were on their way when this was said. Stale where others are by now."""
    market = desk.back.marketplaces.get(marketplace)
    if not isinstance(market, Supplying):
        raise Refused(f"No marketplace {marketplace} sends supplies.", hint="The page of supplies lists those that do.", code="unable")
    made = await ask_for(market, desk.ledger, Wish(marketplace, kind, quantity, by), desk.now(), seen=seen)
    log.info("supplies_asked_for", by=by, marketplace=marketplace, kind=kind, quantity=quantity, request=made.request_id)
    return made


def counted(desk: Desk, by: str, kind: StockKind, name: str, number: float, mark: str) -> None:
    """A person counted: so many are there. `mark`: the `counted_at` it was shown with. Stale where somebody counted meanwhile."""
    thing = Thing(kind, name)
    written = _written(desk)
    if thing not in written:
        hint = "Name it in the agent's files: stock of a packaging, remaining_g of a spool."
        raise Refused(f"{name} is not counted here.", hint=hint, code="not_counted")
    stock = next((stock for stock in desk.ledger.stock() if (stock.kind, stock.name) == thing), None)
    if stock is not None and stock.since != _moment(mark):
        raise Stale(
            f"{name} was counted meanwhile: {stock.left:g} are left.", hint="Nothing was changed by this.", code="counted_meanwhile"
        )
    desk.ledger.counted(thing, number, written[thing])
    log.info("counted", by=by, kind=kind, name=name, number=number)
    desk.back.counted()
    desk.wake()


def _moment(text: str) -> datetime | None:
    """None where it is none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _written(desk: Desk) -> dict[Thing, float]:
    return configured(desk.back.written.reels, desk.back.written.packagings)


def routes(desk: Desk, visitors: Visitors, shown: Pages) -> APIRouter:
    """Neither page is live: the marketplaces are asked for each."""
    router = APIRouter(include_in_schema=False)

    @router.get("/supplies")
    async def supplies(request: Request) -> Response:
        visitor = visitors.visitor(request)
        return shown.render("supplies.html", visitor, shelf=await shelf_now(desk))

    @router.post("/supplies/request")
    async def request_more(request: Request) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            market, kind = text_of(form, "marketplace"), text_of(form, "kind")
            seen = [part for part in text_of(form, "seen").split(",") if part]
            quantity = whole(text_of(form, "quantity"))
        await request_supplies(desk, visitor.name, market, kind, quantity, seen)
        return RedirectResponse("/supplies", 303)

    @router.post("/supplies/count")
    async def count(request: Request) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            kind = StockKind.SPOOL if text_of(form, "of") == StockKind.SPOOL else StockKind.PACKAGING
            number = whole(text_of(form, "number"), least=0)
            counted(desk, visitor.name, kind, text_of(form, "name"), number, text_of(form, "mark"))
        return RedirectResponse("/supplies", 303)

    @router.get("/earnings")
    async def earnings(request: Request) -> Response:
        visitor = visitors.visitor(request)
        return shown.render("earnings.html", visitor, earned=await earned_now(desk))

    return router


def whole(text: str, least: int = 1) -> int:
    """What was typed. Refused where it is no such number."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 7 else -1
    if not least <= number <= MOST:
        raise Refused(f"“{text[:20]}” is no whole number from {least} to {MOST}.", hint="Nothing was done.", code="no_number")
    return number
