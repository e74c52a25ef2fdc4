"""Resumable uploads of photos: tus 1.0.0 (https://tus.io/protocols/resumable-upload), its core with creation and termination.

POST /uploads       begins one (Upload-Length; Upload-Metadata: order, item, key)     → 201, Location, Upload-Offset
HEAD /uploads/{id}  how much of it is here                                            → 200, Upload-Offset, Upload-Length
PATCH /uploads/{id} bytes from Upload-Offset on, as many as get through               → 204, the new Upload-Offset
DELETE /uploads/{id}                                                                  → 204

Beyond tus: begun twice under one key it is the same photo, so that an answer that was lost costs nothing; who sends says in X-Form that
it is the page of a signed-in operator; a PATCH that completes a photo is answered when it has been looked at.
"""

import base64
import binascii
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from agent.domain.errors import Refused
from agent.domain.upload import NewUpload, Upload
from agent.operator.desk import Desk
from agent.operator.photo_uploads import PhotoUploads, must_be_within
from agent.operator.photos import LARGEST_PHOTO_BYTES
from agent.operator.web.visitors import Visitor, Visitors

PREFIX = "/uploads"
VERSION = "1.0.0"
_CHUNK_TYPE = "application/offset+octet-stream"
_HEADERS = {"tus-resumable": VERSION, "cache-control": "no-store"}
_LONGEST_METADATA = 1000


def routes(desk: Desk, visitors: Visitors, uploads: PhotoUploads) -> APIRouter:
    router = APIRouter(include_in_schema=False, prefix=PREFIX)

    @router.options("")
    async def abilities(request: Request) -> Response:
        visitors.operator(request)
        told = {"tus-version": VERSION, "tus-extension": "creation,termination", "tus-max-size": str(LARGEST_PHOTO_BYTES)}
        return Response(status_code=204, headers=_HEADERS | told)

    @router.post("")
    async def begin(request: Request) -> Response:
        visitor = _sender(visitors, request)
        said = _metadata(request.headers.get("upload-metadata", ""))
        new = NewUpload(
            order_id=said.get("order", ""),
            item_id=said.get("item", ""),
            key=said.get("key", ""),
            person=visitor.name,
            length=_number(request, "upload-length"),
        )
        upload = uploads.begin(new, desk.now())
        return Response(status_code=201, headers=_told(upload) | {"location": f"{PREFIX}/{upload.id}"})

    @router.head("/{upload_id}")
    async def state(request: Request, upload_id: str) -> Response:
        visitor = visitors.operator(request)
        _require_version(request)
        return Response(headers=_told(await uploads.settled(upload_id, visitor.name)))

    @router.patch("/{upload_id}")
    async def append(request: Request, upload_id: str) -> Response:
        visitor, offset = _sender(visitors, request), _number(request, "upload-offset")
        if request.headers.get("content-type", "") != _CHUNK_TYPE:
            raise Refused(f"A piece of a photo is sent as {_CHUNK_TYPE}.", hint="Load the page again.", code="wrong_type")
        must_be_within(uploads.find(upload_id, visitor.name), offset + _announced(request))
        upload = await uploads.append(upload_id, visitor.name, offset, _sent(request))
        return Response(status_code=204, headers=_told(await uploads.finished(upload)))

    @router.delete("/{upload_id}")
    async def give_up(request: Request, upload_id: str) -> Response:
        visitor = _sender(visitors, request)
        upload = uploads.find(upload_id, visitor.name)
        uploads.remove(upload.order_id, [upload.id])
        return Response(status_code=204, headers=_HEADERS)

    return router


def _sender(visitors: Visitors, request: Request) -> Visitor:
    visitor = visitors.operator(request)
    visitors.require_page(request, visitor)
    _require_version(request)
    return visitor


def _require_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(f"Tus-Resumable: {VERSION} is spoken here.", hint="Load the page again.", code="wrong_tus_version")


async def _sent(request: Request) -> AsyncIterator[bytes]:
    """Until it ends, or the phone is gone: what came counts, and the phone asks how much that was."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        return


def _told(upload: Upload) -> dict[str, str]:
    return _HEADERS | {"upload-offset": str(upload.received), "upload-length": str(upload.length)}


def _announced(request: Request) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() else 0


def _number(request: Request, name: str) -> int:
    said = request.headers.get(name, "")
    if not (said.isascii() and said.isdigit()) or len(said) > 12:
        raise Refused(f"{name} has to be a number of bytes.", hint="Load the page again.", code="bad_header")
    return int(said)


def _metadata(header: str) -> dict[str, str]:
    """`key base64, key base64, …`"""
    told = {}
    for pair in header[: _LONGEST_METADATA + 1].split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            told[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refused("Upload-Metadata cannot be read.", hint="Load the page again.", code="bad_header") from None
    if len(header) > _LONGEST_METADATA:
        raise Refused("Upload-Metadata is too long.", hint="Load the page again.", code="bad_header")
    return told
