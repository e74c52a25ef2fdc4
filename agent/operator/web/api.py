"""/api/v1: the same for scripts, with tokens. What takes a person is not here: nothing in it agrees to a sentence or takes photos."""

from email.utils import format_datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from agent.domain.person import ApiToken, Scope
from agent.operator import acts
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.pictures import PrinterPictures
from agent.operator.web import stories
from agent.operator.web.problems import documented
from agent.operator.web.tasks import Task, Told, what_waits
from agent.operator.web.visitors import Visitors

ID = Path(max_length=64, examples=["o2ab3cd4e"])
_NAME = Path(max_length=64, examples=["mk3s"])
BEARER = Depends(HTTPBearer(auto_error=False, description="Made by `intagly-agent people token NAME --scope …`."))
READING, ACTING = documented(400, 401, 403, 422, 503), documented(400, 401, 403, 404, 409, 413, 422, 503)


class Tasks(Told):
    tasks: list[Task]


class Orders(Told):
    """`open`: so many orders are open, also where not all of them are in the list."""

    orders: list[stories.OrderBrief]
    open: int


class Offers(Told):
    offers: list[stories.OfferStory]


class Printers(Told):
    printers: list[stories.PrinterStory]


class Said(BaseModel):
    """What a script sends. What is not known here is no mere noise: it may be meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(Said):
    """`choice`: one of the question's; may be empty where there is only one.

    `used`: of a parcel that was packed, the packaging it went into, as its task names them, or "other". Empty: the planned one.
    """

    choice: str = Field(default="", max_length=100)
    used: str = Field(default="", max_length=200)


class BedIsClear(Said):
    """`bed_mark`: as the printer, or the task, was told with it."""

    bed_mark: str = Field(max_length=100)


class Control(Said):
    """`job`: the job that is meant, as the printer was told with it. Another one, and nothing is done."""

    act: Literal["pause", "resume", "cancel"]
    job: str = Field(max_length=200)


class Done(Told):
    done: bool = True


class TokenWith:
    """The dependency that asks for a token with this scope."""

    def __init__(self, visitors: Visitors, scope: Scope) -> None:
        self._visitors, self._scope = visitors, scope

    async def __call__(self, request: Request) -> ApiToken:
        return self._visitors.token(request, self._scope)


def routes(desk: Desk, looks: PrinterLooks, pictures: PrinterPictures, visitors: Visitors) -> APIRouter:
    router = APIRouter(prefix="/api/v1", dependencies=[BEARER])
    _add_reading(router, desk, looks, visitors)
    _add_printers(router, desk, looks, pictures, visitors)
    _add_acting(router, desk, looks, visitors)
    return router


def _add_reading(router: APIRouter, desk: Desk, looks: PrinterLooks, visitors: Visitors) -> None:
    may_read = [Depends(TokenWith(visitors, Scope.READ))]

    @router.get("/now", dependencies=may_read, responses=READING, summary="What waits for hands, the most urgent first")
    async def now() -> Tasks:
        return Tasks(tasks=what_waits(desk.ledger, await looks.now(), desk.now()))

    listed = f"The open orders, the oldest {stories.MOST_OPEN} of them, or the latest that have ended"

    @router.get("/orders", dependencies=may_read, responses=READING, summary=listed)
    async def orders(ended: bool = False) -> Orders:
        return Orders(orders=stories.orders(desk.ledger, ended=ended), open=desk.ledger.count_open())

    @router.get("/orders/{order_id}", dependencies=may_read, responses=ACTING, summary="One order's whole story")
    async def order(order_id: Annotated[str, ID]) -> stories.OrderStory:
        return stories.story(desk.ledger, order_id)

    @router.get("/offers", dependencies=may_read, responses=READING, summary="Offers, with advice and the time left")
    async def offers() -> Offers:
        return Offers(offers=stories.offers(desk.ledger, desk.now()))


def _add_printers(router: APIRouter, desk: Desk, looks: PrinterLooks, pictures: PrinterPictures, visitors: Visitors) -> None:
    may_read = [Depends(TokenWith(visitors, Scope.READ))]

    @router.get("/printers", dependencies=may_read, responses=READING, summary="The printers as they were seen in the last seconds")
    async def printers() -> Printers:
        return Printers(printers=stories.printers(desk, await looks.now(), pictures))

    @router.get(
        "/printers/{printer}/picture",
        dependencies=may_read,
        responses={**ACTING, 200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
        summary="What the printer's camera sees, not older than a few seconds",
    )
    async def picture(printer: Annotated[str, _NAME]) -> Response:
        taken = await pictures.fresh(printer)
        return Response(taken.large, media_type="image/jpeg", headers={"last-modified": format_datetime(taken.taken_at, usegmt=True)})


def _add_acting(router: APIRouter, desk: Desk, looks: PrinterLooks, visitors: Visitors) -> None:
    answers, controls = Depends(TokenWith(visitors, Scope.ANSWER)), Depends(TokenWith(visitors, Scope.CONTROL))

    @router.post("/questions/{question_id}/answer", responses=ACTING, summary="Answer a question with one of its choices")
    async def answer(question_id: Annotated[int, Path(ge=1, le=2**31 - 1)], said: Answer, token: Annotated[ApiToken, answers]) -> Done:
        acts.answer(desk, signature(token), question_id, said.choice, said.used)
        return Done()

    @router.post("/printers/{printer}/bed", responses=ACTING, summary="Say that a bed is clear, as it was last shown")
    async def clear_bed(printer: Annotated[str, _NAME], said: BedIsClear, token: Annotated[ApiToken, answers]) -> Done:
        acts.clear_bed(desk, signature(token), printer, said.bed_mark)
        return Done()

    @router.post("/printers/{printer}/control", responses=ACTING, summary="Pause, resume or cancel a print of the agent")
    async def control(printer: Annotated[str, _NAME], said: Control, token: Annotated[ApiToken, controls]) -> Done:
        await acts.control(desk, looks, signature(token), printer, said.act, said.job)
        return Done()


def signature(token: ApiToken) -> str:
    """What stands in the history for who said it: never a person's name."""
    return f"API token {token.name}"
