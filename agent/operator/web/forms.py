"""What the pages' forms do. Plain posts: they work where JavaScript does not, and each ends at a page that says what came of it."""

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from agent.domain.errors import Refused
from agent.operator import acts
from agent.operator.desk import Desk
from agent.operator.looks import PrinterLooks
from agent.operator.web.visitors import Visitors

LARGEST_ID = 2**31 - 1


def routes(desk: Desk, looks: PrinterLooks, visitors: Visitors) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post("/questions/{question_id}")
    async def answer(request: Request, question_id: int = InPath(ge=1, le=LARGEST_ID)) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            acts.answer(desk, visitor.name, question_id, text_of(form, "choice"), text_of(form, "used"))
            return _back_to(form)

    @router.post("/printers/{printer}/bed")
    async def clear_bed(request: Request, printer: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            acts.clear_bed(desk, visitor.name, printer, text_of(form, "bed_mark"))
            return _back_to(form)

    @router.post("/printers/{printer}/{act}")
    async def control(request: Request, printer: str, act: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            await acts.control(desk, looks, visitor.name, printer, act, text_of(form, "job"))
            return _back_to(form)

    return router


def text_of(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def number_of(text: str) -> int:
    """The id of the question a form answers."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise Refused("The form does not say which question it answers.", hint="Load the page again.", code="form_expired")
    return int(text)


def _back_to(form: FormData) -> RedirectResponse:
    """To the page the form was on: one of ours, named by us, whatever the form says."""
    back = text_of(form, "back")
    ours = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isascii() and back.isprintable()
    return RedirectResponse(back if ours else "/", 303)
