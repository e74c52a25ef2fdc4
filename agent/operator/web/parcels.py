"""Towards the carrier: labels printed, parcels dropped off together, and an order's dossier to keep."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from agent.domain.errors import AgentError, Refused
from agent.domain.events import Event
from agent.domain.label import LabelPrint
from agent.domain.order import Order
from agent.domain.question import Step
from agent.operator import acts
from agent.operator.desk import Desk
from agent.operator.web import stories
from agent.operator.web.forms import number_of, text_of
from agent.operator.web.rendering import Pages
from agent.operator.web.tasks import Task, Told, task_of
from agent.operator.web.visitors import Visitors
from agent.ports.ledger import Ledger, Stale

MOST_AT_ONCE = 100
_PIECE = 256 * 1024
_NO_CARRIER = "Carrier not told"


class LabelStory(Told):
    """An order's label and its prints. `prints`: whether the agent has a printer for it. `mark`: goes back with the word to print it.

    `last`: how the last print stood when it was looked at; None: it was never sent to a printer, or it is not known.
    """

    sha256: str
    prints: bool
    mark: int
    last: LabelPrint | None = None


class DroppedOff(Told):
    """What became of one of several. `told`: why it was not done."""

    question_id: int
    order_id: str
    done: bool
    told: str = ""


def label_story(desk: Desk, order: Order, events: Sequence[Event]) -> LabelStory | None:
    """None where there is no label."""
    if not order.dossier.label_sha256:
        return None
    looks = [event.data for event in events if event.kind == "label_sent_to_printer"]
    return LabelStory(
        sha256=order.dossier.label_sha256,
        prints=desk.back.labels is not None and desk.back.labels.prints,
        mark=_asked_to_print(events),
        last=LabelPrint.model_validate(looks[-1]) if looks else None,
    )


def _asked_to_print(events: Sequence[Event]) -> int:
    """How often it was to be printed."""
    return sum(event.kind == "intended" and event.data.get("act") == "print_label" for event in events)


class LabelPrinting:
    """The same way as `intagly-agent label` has it. One at a time: two who press at once are the first, and one who is late."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._one = asyncio.Lock()

    async def print(self, by: str, order_id: str, mark: int, *, again: bool, anyway: bool) -> LabelPrint:
        """Stale where it was sent to the printer since the page was shown."""
        async with self._one:
            order = stories.order_of(self._desk.ledger, order_id)
            path = self._label_of(order)
            labels = self._desk.back.labels
            if labels is None or not labels.prints:
                hint = "Set [labels] printer, or print the file by hand."
                raise Refused("No label printer is configured.", hint=hint, code="no_label_printer")
            if _asked_to_print(self._desk.ledger.events(order_id)) != mark:
                hint = "Look at the printer. If it is not there, load the page of the order again, and print it again."
                raise Stale("This label was sent to the printer meanwhile.", hint=hint, code="printed_meanwhile")
            self._desk.ledger.record(order_id, "asked_to_print_label", {"by": by, "again": again, "anyway": anyway})
            shipping = order.dossier.remote.shipping if order.dossier.remote is not None else None
            check = await labels.check(path, shipping)
            try:
                return await labels.print(order_id, path, order.dossier.label_sha256, check, again=again, anyway=anyway)
            except AgentError as error:
                raise _by_the_page(error) from error

    def _label_of(self, order: Order) -> Path:
        sha256 = order.dossier.label_sha256
        if not sha256 or not self._desk.store.has(sha256):
            raise Refused(f"There is no label of {order.id} here.", hint="It comes when the marketplace took the photos.", code="no_label")
        return self._desk.store.path(sha256)


_HINTS: Mapping[str, str] = {
    "label_doubtful": "Look at it. If it is the right one, say so under “Print it again, or although it is in doubt”.",
    "perhaps_printed": "Look at the printer. If it is not there, say so under “Print it again, or although it is in doubt”.",
}


def _by_the_page(error: AgentError) -> AgentError:
    """The way out that the page has: the command's options are not on it."""
    return type(error)(str(error), hint=_HINTS[error.code], code=error.code) if error.code in _HINTS else error


# --- drop-off --------------------------------------------------------------------------------------------------------
def ready(ledger: Ledger) -> dict[str, list[Task]]:
    """Parcels that wait for the way to the carrier, by carrier; what has to be there first comes first."""
    orders = {order.id: order for order in ledger.orders(open_only=True)}
    waiting = [question for question in ledger.open_questions() if question.step is Step.DROPPED_OFF]
    tasks = [task_of(question, orders.get(question.order_id), {}) for question in waiting]
    found: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: (task.carrier.casefold(), task.deadline.timestamp() if task.deadline else float("inf"))):
        found.setdefault(task.carrier or _NO_CARRIER, []).append(task)
    return found


def drop_off(desk: Desk, by: str, question_ids: Sequence[int]) -> list[DroppedOff]:
    """Each on its own: one that was answered meanwhile keeps none of the others back."""
    return [_dropped_off(desk, by, question_id) for question_id in dict.fromkeys(question_ids)]


def _dropped_off(desk: Desk, by: str, question_id: int) -> DroppedOff:
    question = desk.ledger.question_by_id(question_id)
    order_id = question.order_id if question is not None else ""
    try:
        if question is not None and question.step is not Step.DROPPED_OFF:
            raise Refused("This is no parcel that is ready.", hint="Look at what waits now.", code="not_asked")
        acts.answer(desk, by, question_id, "")
    except AgentError as error:
        return DroppedOff(question_id=question_id, order_id=order_id, done=False, told=error.told())
    return DroppedOff(question_id=question_id, order_id=order_id, done=True)


def routes(desk: Desk, printing: LabelPrinting, visitors: Visitors, shown: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/drop-off")
    async def parcels(request: Request) -> Response:
        """Not live: what is ticked stays."""
        return shown.render("drop_off.html", visitors.visitor(request), carriers=ready(desk.ledger), told=[], now=desk.now())

    @router.post("/drop-off")
    async def dropped(request: Request) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            chosen = [number_of(part) for part in form.getlist("question") if isinstance(part, str)]
        if not chosen:
            raise Refused("No parcel was chosen.", hint="Tick those that the carrier has.", code="nothing_chosen")
        told = drop_off(desk, visitor.name, chosen[:MOST_AT_ONCE])
        if all(each.done for each in told):
            return RedirectResponse("/", 303)
        return shown.render("drop_off.html", visitor, status=409, carriers=ready(desk.ledger), told=told, now=desk.now())

    @router.post("/orders/{order_id}/label")
    async def print_label(request: Request, order_id: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            again, anyway = bool(text_of(form, "again")), bool(text_of(form, "anyway"))
            mark = number_of(text_of(form, "mark"))
        await printing.print(visitor.name, order_id, mark, again=again, anyway=anyway)
        return RedirectResponse(f"/orders/{order_id}#label", 303)

    @router.get("/orders/{order_id}/dossier")
    async def dossier(request: Request, order_id: str) -> Response:
        visitors.operator(request)
        return await dossier_of(desk, order_id)

    return router


async def dossier_of(desk: Desk, order_id: str) -> Response:
    """The ZIP, streamed from a file that has no name any more: nothing is left of it, whenever the visitor goes."""
    stories.order_of(desk.ledger, order_id)
    if desk.back.dossier is None:
        raise Refused("No dossiers are written here.", hint="`intagly-agent export` writes one.", code="no_dossier")
    desk.store.require_room()
    path = desk.store.new_temporary(".zip")
    try:
        await desk.back.dossier(order_id, path)
        file = path.open("rb")
    finally:
        path.unlink(missing_ok=True)
    size = file.seek(0, os.SEEK_END)
    headers = {"content-disposition": f'attachment; filename="{order_id}-dossier.zip"', "content-length": str(size)}
    return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
