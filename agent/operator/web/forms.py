"""What the pages' forms do. Plain posts: they work where JavaScript does not, and each ends at a page that says what came of it."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData, UploadFile

from agent.domain.errors import Refused
from agent.operator.answers import Answers
from agent.operator.photos import check_photos
from agent.operator.web import acts
from agent.operator.web.desk import Desk
from agent.operator.web.looks import PrinterLooks
from agent.operator.web.visitors import Visitor, Visitors
from agent.ports.files import FileStore

LARGEST_ID = 2**31 - 1


def routes(desk: Desk, looks: PrinterLooks, visitors: Visitors) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post("/questions/{question_id}")
    async def answer(request: Request, question_id: int = InPath(ge=1, le=LARGEST_ID)) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            acts.answer(desk, visitor.name, question_id, _text(form, "choice"))
            return _back_to(form)

    @router.post("/printers/{printer}/bed")
    async def clear_bed(request: Request, printer: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            acts.clear_bed(desk, visitor.name, printer, _text(form, "bed_mark"))
            return _back_to(form)

    @router.post("/printers/{printer}/{act}")
    async def control(request: Request, printer: str, act: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            await acts.control(desk, looks, visitor.name, printer, act, _text(form, "job"))
            return _back_to(form)

    @router.post("/orders/{order_id}/photos")
    async def photos(request: Request, order_id: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            await _photographed(desk, visitor, order_id, form)
        desk.wake()
        return RedirectResponse(f"/orders/{order_id}", 303)

    return router


async def _photographed(desk: Desk, visitor: Visitor, order_id: str, form: FormData) -> None:
    """The only way from the network to an agreement: a signed-in operator, a form of their own page, every sentence ticked."""
    pictures = [part for part in form.getlist("photo") if isinstance(part, UploadFile) and part.size]
    agreed = [part for part in form.getlist("agree") if isinstance(part, str)]
    notes = _text(form, "customer_note"), _text(form, "internal_note")
    asked = _number(_text(form, "question"))
    answers = Answers(desk.ledger, desk.store, visitor.name)
    with ExitStack() as kept:
        desk.store.require_room()
        given = await asyncio.to_thread(_written, pictures, desk.store, kept)
        photos = await _usable(given, desk.store, as_they_are=bool(_text(form, "as_they_are")))
        # In a thread: megabytes are read, hashed and synced.
        await asyncio.to_thread(answers.photographed, order_id, photos, agreed, *notes, asked=asked)


def _written(pictures: Sequence[UploadFile], store: FileStore, kept: ExitStack) -> list[Path]:
    """On the store's own disk; gone when `kept` is left."""
    paths = []
    for picture in pictures:
        path = store.new_temporary(".photo")
        kept.callback(path.unlink, missing_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(picture.file, file)
        paths.append(path)
    return paths


async def _usable(given: Sequence[Path], store: FileStore, *, as_they_are: bool) -> list[Path]:
    """As they go to the customer: upright, without place, time and camera. Refused where one cannot be used, or could be better and
    nobody said that it will do."""
    if not given:
        raise Refused("At least one photo is needed.", hint="Choose photos, or take them with the camera.", code="no_photos")
    checked = list(enumerate(await check_photos(given, store), start=1))
    unusable = [f"Photo {n}: {photo.refused.text}" for n, photo in checked if photo.refused is not None]
    if unusable:
        raise Refused("\n".join(unusable), hint="Nothing was handed in. Take these again.", code="no_photo")
    hints = [f"Photo {n}: {hint.text}" for n, photo in checked for hint in photo.hints]
    if hints and not as_they_are:
        hint = "Nothing was handed in. Take them again; or, if they will do, go back, choose them once more and tick “as they are”."
        raise Refused("\n".join(hints), hint=hint, code="photo_could_be_better")
    return [store.path(photo.sha256) for _, photo in checked]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise Refused("The form does not say which question it answers.", hint="Load the page again.", code="form_expired")
    return int(text)


def _back_to(form: FormData) -> RedirectResponse:
    """To the page the form was on: one of ours, named by us, whatever the form says."""
    back = _text(form, "back")
    ours = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isascii() and back.isprintable()
    return RedirectResponse(back if ours else "/", 303)
