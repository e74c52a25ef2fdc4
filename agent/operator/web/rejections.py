"""Rejecting pieces at the photos: what printing them again would take is told first; said once, it is done once."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field, ValidationError

from agent.domain.errors import Refused
from agent.domain.order import Order
from agent.domain.person import ApiToken, Scope
from agent.domain.question import Question, Step
from agent.domain.rejection import LONGEST_WHY, REASONS, Rejection, RejectReason, Reprint, told
from agent.domain.values import Token
from agent.operator.answers import Answers, require_pieces
from agent.operator.desk import Desk
from agent.operator.photo_uploads import photo_question
from agent.operator.web import stories
from agent.operator.web.api import ACTING, BEARER, Done, Said, TokenWith, signature
from agent.operator.web.forms import LARGEST_ID, number_of, text_of
from agent.operator.web.rendering import Pages
from agent.operator.web.tasks import Told
from agent.operator.web.visitors import Visitors


def foreseen(desk: Desk, order_id: str, pieces: Mapping[str, int]) -> Reprint:
    """What printing these pieces again would take. Nothing is changed. Refused where it is not some of what was ordered."""
    order = stories.order_of(desk.ledger, order_id)
    require_pieces(order.dossier.offer, pieces)
    return desk.foresee(order, pieces)


def reject(desk: Desk, by: str, order_id: str, question_id: int, rejection: Rejection) -> None:
    """Instead of photos, as the answer to that very question. Stale, with who was first, where it was answered."""
    stories.order_of(desk.ledger, order_id)
    Answers(desk.ledger, desk.store, by).rejected(order_id, rejection, asked=question_id)
    desk.wake()


def order_of_question(desk: Desk, question_id: int) -> str:
    """Refused where it does not ask for photos."""
    question: Question | None = desk.ledger.question_by_id(question_id)
    if question is None or question.step is not Step.PHOTOS:
        raise Refused(f"There is no question {question_id} for photos.", hint="Look at what waits now.", code="no_such_question")
    return question.order_id


def routes(desk: Desk, visitors: Visitors, shown: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/orders/{order_id}/reject")
    async def look(request: Request, order_id: str) -> Response:
        visitor = visitors.operator(request)
        order = stories.order_of(desk.ledger, order_id)
        question = photo_question(desk.ledger, order_id)
        pieces = _pieces(order, request.query_params)
        reprint = foreseen(desk, order_id, pieces)
        what, counts = told(order.dossier, pieces), [pieces.get(item.item_id, 0) for item in order.dossier.offer.items]
        return shown.render(
            "reject.html",
            visitor,
            order=order,
            question=question,
            what=what,
            counts=counts,
            reprint=reprint,
            reasons=REASONS,
            longest=LONGEST_WHY,
        )

    @router.post("/orders/{order_id}/reject")
    async def rejected(request: Request, order_id: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            order = stories.order_of(desk.ledger, order_id)
            typed = {name: text_of(form, name) for name in form}
            rejection = rejection_of(_pieces(order, typed), text_of(form, "reason"), text_of(form, "why"), bool(typed.get("tell_delay")))
            reject(desk, visitor.name, order_id, number_of(text_of(form, "question")), rejection)
        return RedirectResponse(f"/orders/{order_id}", 303)

    return router


class Pieces(Said):
    """Item -> how many of it."""

    pieces: dict[Token, Annotated[int, Field(ge=1, le=10_000)]] = Field(min_length=1, max_length=500, examples=[{"i1": 2}])


class Rejected(Pieces):
    """`why` may stay empty, but not with the reason "other". `tell_delay`: the marketplace is told that it will be late."""

    reason: RejectReason
    why: str = Field(default="", max_length=LONGEST_WHY)
    tell_delay: bool = False


class Foreseen(Told):
    reprint: Reprint


def api_routes(desk: Desk, visitors: Visitors) -> APIRouter:
    """For scripts. Nothing here agrees to anything."""
    router = APIRouter(prefix="/api/v1", dependencies=[BEARER])
    reads, answers = Depends(TokenWith(visitors, Scope.READ)), Depends(TokenWith(visitors, Scope.ANSWER))
    question = Path(ge=1, le=LARGEST_ID)

    @router.post(
        "/questions/{question_id}/reprint", dependencies=[reads], responses=ACTING, summary="What printing pieces again would take"
    )
    async def reprint(question_id: Annotated[int, question], said: Pieces) -> Foreseen:
        return Foreseen(reprint=foreseen(desk, order_of_question(desk, question_id), said.pieces))

    @router.post("/questions/{question_id}/reject", responses=ACTING, summary="Instead of photos: print these pieces again")
    async def rejected(question_id: Annotated[int, question], said: Rejected, token: Annotated[ApiToken, answers]) -> Done:
        rejection = Rejection.model_validate(said.model_dump())
        reject(desk, signature(token), order_of_question(desk, question_id), question_id, rejection)
        return Done()

    return router


def rejection_of(pieces: Mapping[str, int], reason: str, why: str, tell_delay: bool) -> Rejection:
    """Refused where the reason is none of the list, or the words are far too many."""
    try:
        return Rejection.model_validate({"pieces": dict(pieces), "reason": reason, "why": why, "tell_delay": tell_delay})
    except ValidationError as error:
        hint = f"One of {', '.join(REASONS)}, and what is wrong in at most {LONGEST_WHY} characters."
        raise Refused("It is not said why they are not good.", hint=hint, code="no_reason") from error


def _pieces(order: Order, typed: Mapping[str, str]) -> dict[str, int]:
    """How many of each item, from the fields pieces-1, pieces-2, …"""
    counts = {item.item_id: typed.get(f"pieces-{n}", "").strip() or "0" for n, item in enumerate(order.dossier.offer.items, start=1)}
    if not all(count.isascii() and count.isdigit() and len(count) <= 6 for count in counts.values()):
        raise Refused("How many pieces has to be a number.", hint="Go back, and say how many of which.", code="no_such_pieces")
    return {item_id: int(count) for item_id, count in counts.items() if int(count)}
