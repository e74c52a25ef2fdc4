"""/api/v1, the rest of it: supplies, earnings, drop-off of several, labels, dossiers."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field

from agent.domain.account import SupplyRequest
from agent.domain.label import LabelPrint
from agent.domain.person import ApiToken, Scope
from agent.domain.stock import StockKind
from agent.operator.desk import Desk
from agent.operator.earned import EarnedMonth, There
from agent.operator.shelf import Orderable, Shelved, Silent
from agent.operator.web import accounts, parcels, stories
from agent.operator.web.api import ACTING, BEARER, ID, READING, Done, Said, TokenWith, signature
from agent.operator.web.tasks import Told
from agent.operator.web.visitors import Visitors


class SuppliesTold(Told):
    """As `left`, pieces or grams; see the fields."""

    packagings: list[Shelved]
    spools: list[Shelved]
    orderable: list[Orderable]
    silent: list[Silent]


class EarningsTold(Told):
    """Of a year, by month, the newest first; and what the marketplaces say themselves. No currencies are added up."""

    months: list[EarnedMonth]
    there: list[There]


class Request(Said):
    """`seen`: the request_id of each that was on its way when this was decided. Others by now, and nothing is asked for."""

    marketplace: str = Field(max_length=100)
    kind: str = Field(max_length=128)
    quantity: int = Field(ge=1, le=accounts.MOST)
    seen: list[Annotated[str, Field(max_length=128)]] = Field(max_length=100)


class Requested(Told):
    request: SupplyRequest


class Count(Said):
    """So many are there. `mark`: the `counted_at` it was told with, as it was written; empty where there was none."""

    kind: StockKind
    name: str = Field(max_length=400)
    number: int = Field(ge=0, le=accounts.MOST)
    mark: str = Field(max_length=64)


class DropOffs(Said):
    questions: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(min_length=1, max_length=parcels.MOST_AT_ONCE)


class DroppedOffs(Told):
    """Each was answered on its own."""

    parcels: list[parcels.DroppedOff]


class PrintLabel(Said):
    """`mark`: as the label was told with it. `again`: it is not there, or not good. `anyway`: a person has looked at it."""

    mark: int = Field(ge=0, le=1000)
    again: bool = False
    anyway: bool = False


class Labelled(Told):
    label: parcels.LabelStory | None


class LabelPrinted(Told):
    printed: LabelPrint


def routes(desk: Desk, printing: parcels.LabelPrinting, visitors: Visitors) -> APIRouter:
    router = APIRouter(prefix="/api/v1", dependencies=[BEARER])
    _add_reading(router, desk, visitors)
    _add_acting(router, desk, printing, visitors)
    return router


def _add_reading(router: APIRouter, desk: Desk, visitors: Visitors) -> None:
    may_read = [Depends(TokenWith(visitors, Scope.READ))]

    @router.get("/supplies", dependencies=may_read, responses=READING, summary="What is left, how long it lasts, what is on its way")
    async def supplies() -> SuppliesTold:
        return SuppliesTold(**dict(await accounts.shelf_now(desk)))

    @router.get("/earnings", dependencies=may_read, responses=READING, summary="What delivered orders brought, by month")
    async def earnings() -> EarningsTold:
        return EarningsTold(**dict(await accounts.earned_now(desk)))

    @router.get("/orders/{order_id}/label", dependencies=may_read, responses=ACTING, summary="An order's label, and how its print stands")
    async def label(order_id: Annotated[str, ID]) -> Labelled:
        order = stories.order_of(desk.ledger, order_id)
        return Labelled(label=parcels.label_story(desk, order, desk.ledger.events(order_id)))

    @router.get(
        "/orders/{order_id}/dossier",
        dependencies=may_read,
        responses={**ACTING, 200: {"content": {"application/zip": {}}}},
        response_class=Response,
        summary="Everything of an order as one ZIP",
    )
    async def dossier(order_id: Annotated[str, ID]) -> Response:
        return await parcels.dossier_of(desk, order_id)


def _add_acting(router: APIRouter, desk: Desk, printing: parcels.LabelPrinting, visitors: Visitors) -> None:
    answers = Depends(TokenWith(visitors, Scope.ANSWER))

    @router.post("/supplies/requests", responses=ACTING, summary="Ask a marketplace for more, once")
    async def request(said: Request, token: Annotated[ApiToken, answers]) -> Requested:
        return Requested(
            request=await accounts.request_supplies(desk, signature(token), said.marketplace, said.kind, said.quantity, said.seen)
        )

    @router.post("/supplies/counts", responses=ACTING, summary="Say how many are there")
    async def count(said: Count, token: Annotated[ApiToken, answers]) -> Done:
        accounts.counted(desk, signature(token), said.kind, said.name, said.number, said.mark)
        return Done()

    @router.post("/drop-offs", responses=ACTING, summary="Say that the carrier has these parcels")
    async def drop_offs(said: DropOffs, token: Annotated[ApiToken, answers]) -> DroppedOffs:
        return DroppedOffs(parcels=parcels.drop_off(desk, signature(token), said.questions))

    @router.post("/orders/{order_id}/label/print", responses=ACTING, summary="Print an order's label, once")
    async def print_label(order_id: Annotated[str, ID], said: PrintLabel, token: Annotated[ApiToken, answers]) -> LabelPrinted:
        printed = await printing.print(signature(token), order_id, said.mark, again=said.again, anyway=said.anyway)
        return LabelPrinted(printed=printed)
