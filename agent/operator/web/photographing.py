"""The page of an order's photos and agreements: what was ordered beside what was photographed, and the one form that agrees.

Every photo that was sent is kept, whatever becomes of the form: hints are told beside it, and it stays until it is handed in or removed.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.datastructures import FormData, UploadFile

from agent.domain.errors import Refused
from agent.domain.order import Order
from agent.domain.rejection import told
from agent.domain.upload import MOST_PHOTOS, NewUpload
from agent.operator.answers import Answers
from agent.operator.desk import Desk
from agent.operator.photo_uploads import KeptPhoto, PhotoUploads, photo_question
from agent.operator.web import stories
from agent.operator.web.forms import number_of, text_of
from agent.operator.web.problems import problem_of
from agent.operator.web.rendering import Pages
from agent.operator.web.stories import ItemStory
from agent.operator.web.tasks import task_of
from agent.operator.web.visitors import Visitor, Visitors
from agent.ports.ledger import Stale

_PIECE = 256 * 1024
_PICTURE_HEADERS = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, max-age=31536000, immutable"}


@dataclass(frozen=True)
class Group:
    """An item and its photos, each with its number on the page. `item` None: all of the order together. `field`: where its files come."""

    field: str
    item_id: str
    item: ItemStory | None
    photos: list[tuple[int, KeptPhoto]]


@dataclass(frozen=True)
class _Handing:
    """What came with one form. `added`: ids of the photos in it. `obstacles`: why it is not handed in."""

    added: frozenset[str]
    obstacles: list[str]


class PhotoPage:
    """The page and its form, for one order at a time."""

    def __init__(self, desk: Desk, shown: Pages, uploads: PhotoUploads) -> None:
        self._desk, self._shown, self._uploads = desk, shown, uploads

    async def page(
        self, visitor: Visitor, order_id: str, status: int = 200, obstacles: Sequence[str] = (), form: Mapping[str, str] | None = None
    ) -> Response:
        """As it stands now; after a form that was not taken with why, and with the notes that were typed."""
        order = stories.order_of(self._desk.ledger, order_id)
        question = photo_question(self._desk.ledger, order_id)
        kept = await self._uploads.kept(order)
        story = stories.story(self._desk.ledger, order_id).order
        return self._shown.render(
            "photos.html",
            visitor,
            status=status,
            task=task_of(question, order, {}),
            order=story,
            add_ons=[add_on.title for add_on in order.dossier.offer.add_ons],
            groups=_groups(order, story.items, kept),
            most=MOST_PHOTOS,
            obstacles=obstacles,
            typed=form or {},
        )

    async def sent(self, visitor: Visitor, order_id: str, form: FormData) -> Response:
        """Keep what came; then remove, look again, or hand in, whatever button was pressed."""
        order = stories.order_of(self._desk.ledger, order_id)
        photo_question(self._desk.ledger, order_id)
        handing = await self._keep(visitor, order, form)
        if removed := text_of(form, "remove"):
            self._uploads.remove(order_id, [removed])
        if (removed or "keep" in form) and not handing.obstacles:
            return RedirectResponse(f"/orders/{order_id}/photos", 303)
        typed = {name: text_of(form, name) for name in ("customer_note", "internal_note")}
        try:
            obstacles = handing.obstacles or await self._hand_in(visitor, order, form, handing.added)
        except Stale:
            raise
        except Refused as refused:
            problem = problem_of(refused)
            return await self.page(visitor, order_id, problem.status, [refused.told()], typed)
        if obstacles:
            return await self.page(visitor, order_id, 422, obstacles, typed)
        self._uploads.handed_in(order_id)
        self._desk.wake()
        return RedirectResponse(f"/orders/{order_id}", 303)

    async def _keep(self, visitor: Visitor, order: Order, form: FormData) -> _Handing:
        added, obstacles = set(), []
        for field, item_id in _fields(order).items():
            for part in form.getlist(field):
                if not isinstance(part, UploadFile) or not part.size:
                    continue
                new = NewUpload(order_id=order.id, item_id=item_id, key=secrets.token_hex(16), person=visitor.name, length=part.size)
                try:
                    added.add((await self._uploads.add(new, self._desk.now(), _pieces(part))).id)
                except Stale:
                    raise
                except Refused as refused:
                    obstacles.append(f"{(part.filename or 'A photo')[:80]}: {refused.told()}")
        return _Handing(frozenset(added), obstacles)

    async def _hand_in(self, visitor: Visitor, order: Order, form: FormData, added: Collection[str]) -> list[str]:
        """The only way from the network to an agreement: a signed-in operator, a form of their own page, every sentence ticked.

        Why it was not handed in; nothing where it was.
        """
        asked = number_of(text_of(form, "question"))
        shown = {part for part in form.getlist("kept") if isinstance(part, str)}
        kept = await self._uploads.kept(order)
        if not {photo.id for photo in kept} & {*shown, *added}:
            return ["At least one photo is needed. Choose photos, or take them with the camera."]
        if obstacles := _obstacles(order, kept, {*shown, *added}, as_they_are=bool(text_of(form, "as_they_are"))):
            return obstacles
        photos = [photo for photo in kept if photo.usable and photo.id in {*shown, *added}]
        agreed = [part for part in form.getlist("agree") if isinstance(part, str)]
        answers = Answers(self._desk.ledger, self._desk.store, visitor.name)
        # In a thread: megabytes are read, hashed and synced.
        await asyncio.to_thread(
            answers.photographed,
            order.id,
            [self._desk.store.path(photo.sha256) for photo in photos],
            agreed,
            text_of(form, "customer_note"),
            text_of(form, "internal_note"),
            items=[photo.item_id for photo in photos],
            asked=asked,
        )
        return []


def routes(visitors: Visitors, uploads: PhotoUploads, page: PhotoPage, desk: Desk) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/orders/{order_id}/photos")
    async def photos(request: Request, order_id: str) -> Response:
        """Not live: what is half filled in stays."""
        return await page.page(visitors.operator(request), order_id)

    @router.post("/orders/{order_id}/photos")
    async def sent(request: Request, order_id: str) -> Response:
        visitor = visitors.operator(request)
        async with visitors.form(request, visitor) as form:
            return await page.sent(visitor, order_id, form)

    @router.get("/orders/{order_id}/photos/{upload_id}")
    async def picture(request: Request, order_id: str, upload_id: str, small: bool = False) -> Response:
        """One that was not handed in yet: what came out of looking at it, never what was sent."""
        visitors.visitor(request)
        kept = {photo.id: photo for photo in await uploads.kept(stories.order_of(desk.ledger, order_id))}
        photo = kept.get(upload_id)
        if photo is None or not photo.usable or not desk.store.has(photo.sha256):
            raise Refused("This order has no such photo.", hint="Its page shows those it has.", code="no_such_file")
        shown = photo.small_sha256 if small and photo.small_sha256 else photo.sha256
        return FileResponse(desk.store.path(shown), media_type="image/jpeg", headers=_PICTURE_HEADERS)

    return router


def _fields(order: Order) -> dict[str, str]:
    """Where a form's files come -> the item they show. With one item there is nothing to tell apart."""
    items = [item.item_id for item in order.dossier.offer.items]
    if len(items) == 1:
        return {"photo": items[0]}
    return {f"photo-{n}": item_id for n, item_id in enumerate(items, start=1)} | {"photo": ""}


def _groups(order: Order, items: Sequence[ItemStory], kept: Sequence[KeptPhoto]) -> list[Group]:
    numbered = list(enumerate(kept, start=1))
    known = {item.item_id: story for item, story in zip(order.dossier.offer.items, items, strict=True)}
    return [
        Group(field, item_id, known.get(item_id), [(n, photo) for n, photo in numbered if _shows(photo, item_id, known)])
        for field, item_id in _fields(order).items()
    ]


def _shows(photo: KeptPhoto, item_id: str, known: Collection[str]) -> bool:
    """With one item, it is what every photo shows."""
    return photo.item_id == item_id or (len(known) == 1 and photo.item_id not in known)


def _obstacles(order: Order, kept: Sequence[KeptPhoto], meant: Collection[str], *, as_they_are: bool) -> list[str]:
    """What keeps these photos from being handed in; what could be better only where nobody said that it will do."""
    numbered = list(enumerate(kept, start=1))
    gone = set(meant) - {photo.id for photo in kept}
    found = ["A photo that was shown is not here any more: look again at those that are."] if gone else []
    for n, photo in numbered:
        if photo.refused is not None and photo.id in meant:
            found.append(f"Photo {n}: {photo.refused.text}")
        elif not photo.whole:
            found.append(f"Photo {n} is still on its way: wait for it, or remove it.")
        elif photo.usable and photo.id not in meant:
            found.append(f"Photo {n} came after this page was shown: look at it.")
    if found or as_they_are:
        return found
    hints = [f"Photo {n}: {hint.text}" for n, photo in numbered if photo.id in meant for hint in photo.hints]
    hints += _not_shown(order, [photo for photo in kept if photo.id in meant])
    return [*hints, "Nothing was handed in. Take these again; or, if they will do, tick “as they are”."] if hints else []


def _not_shown(order: Order, photos: Sequence[KeptPhoto]) -> list[str]:
    """Items of several that no photo shows."""
    shown = {photo.item_id for photo in photos}
    missing = [item.item_id for item in order.dossier.offer.items if item.item_id not in shown]
    if len(order.dossier.offer.items) == 1 or "" in shown:
        return []
    quantities = {item.item_id: item.quantity for item in order.dossier.offer.items}
    return [f"No photo shows {told(order.dossier, {item_id: quantities[item_id]})}." for item_id in missing]


async def _pieces(part: UploadFile) -> AsyncIterator[bytes]:
    while piece := await part.read(_PIECE):
        yield piece
