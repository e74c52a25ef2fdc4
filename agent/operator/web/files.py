"""Files of an order: pictures are shown, everything else is only saved. Nothing that came from outside is ever a page.

And what the printers' cameras show, as far as it is there: nobody waits for a camera here.
"""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from agent.domain.errors import Refused
from agent.domain.retention import removed_in
from agent.operator.desk import Desk
from agent.operator.pictures import PrinterPictures
from agent.operator.web import stories
from agent.operator.web.visitors import Visitors

_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_HEADERS = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, max-age=31536000, immutable"}


def routes(desk: Desk, visitors: Visitors) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/orders/{order_id}/files/{sha256}")
    async def file(request: Request, order_id: str, sha256: str) -> Response:
        """Only by a sha256 that this order names: no path, and nothing of another order."""
        visitors.visitor(request)
        order = stories.order_of(desk.ledger, order_id)
        events = desk.ledger.events(order_id)
        what = stories.files_of(order, events).get(sha256)
        if what is None or not desk.store.has(sha256):
            removed = removed_in(events).get(sha256)
            told = removed.told() if removed else "This order has no such file."
            raise Refused(told, hint="Its page lists the files it has.", code="no_such_file")
        return _given(desk.store.path(sha256), what, order_id)

    return router


def camera_routes(pictures: PrinterPictures, visitors: Visitors) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/printers/{printer}/picture")
    async def picture(request: Request, printer: str, small: bool = False) -> Response:
        """The last one. `small`: as the page of the printers shows it, under an address that is another for each picture."""
        visitors.visitor(request)
        shown = pictures.last(printer)
        kept = {"cache-control": "private, max-age=60"} if small else {"cache-control": "no-store"}
        return Response(shown.small if small else shown.large, media_type="image/jpeg", headers={**_HEADERS, **kept})

    return router


def _given(path: Path, what: str, order_id: str) -> Response:
    shown = _picture_type(path) if what.startswith("picture") else None
    if shown is not None:
        return FileResponse(path, media_type=shown, headers=_HEADERS)
    label = what == "label"
    name = f"{order_id}-label.pdf" if label else f"{order_id}-{what.partition(' ')[2]}"
    kind = "application/pdf" if label else "application/octet-stream"
    return FileResponse(path, media_type=kind, headers=_HEADERS, filename=name, content_disposition_type="attachment")


def _picture_type(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _PICTURES.items() if head.startswith(magic)), None)
