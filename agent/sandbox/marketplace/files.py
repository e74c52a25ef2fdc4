"""Models as bytes: whole, in ranges, from a short-lived signed URL, and as a marketplace that fails would give them."""

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

from starlette.responses import Response, StreamingResponse

from agent.sandbox.marketplace.call import Call
from agent.sandbox.marketplace.connection import CutShort
from agent.sandbox.marketplace.faults import Fault
from agent.sandbox.marketplace.problems import Problem, not_found, wrong_state
from agent.sandbox.marketplace.records import StoredFile

_MODEL = "application/octet-stream"
_CHUNK = 64 * 1024
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def preview_file(call: Call) -> Response:
    """GET /offers/{offer_id}/files/{file_id}"""
    offer = call.offer()
    file = _of(offer.files, call.path("file_id"))
    if offer.state != "accepted":
        call.market.must_be_open(offer)
    if not offer.asked.files_before_accept or call.market.faults.take("not_before_accept", call.operation):
        raise Problem(403, "not_before_accept", "The models of this offer can be had when it is accepted.")
    return served(call, file.content, _MODEL) or whole(file)


def order_file(call: Call) -> Response:
    """GET /orders/{order_id}/files/{file_id}"""
    order = call.order()
    file = _of(order.offer.files, call.path("file_id"))
    if order.state == "cancelled":
        raise wrong_state(f"Order {order.order_id}", order.state, "not cancelled")
    return served(call, file.content, _MODEL) or ranged(call, file)


def signed_file(call: Call) -> Response:
    """GET /signed/{order_id}/{file_id}: no token, but a signature that soon runs out."""
    file = _of(call.order().offer.files, call.path("file_id"))
    expires, signature = call.query("expires") or "", call.query("signature") or ""
    if not hmac.compare_digest(signature.encode(), _signature(call, expires).encode()):
        raise Problem(403, "bad_signature", "This URL was not signed here.")
    if time.monotonic() >= float(expires):
        raise Problem(403, "link_expired", "This URL has run out; ask the order for the file again.")
    return ranged(call, file)


def label(call: Call) -> Response:
    """GET /orders/{order_id}/label.pdf"""
    order = call.order()
    if not order.label or order.state == "cancelled":
        raise Problem(409, "label_not_ready", f"Order {order.order_id} is {order.state}; it has no label.")
    pdf = "application/pdf"
    return served(call, order.label, pdf) or Response(order.label, media_type=pdf, headers={"ETag": f'"{order.label_sha256}"'})


def served(call: Call, content: bytes, media_type: str) -> Response | None:
    """The answer a fault makes of these bytes; None where none is set for this operation."""
    faults = call.market.faults
    if fault := faults.take("redirect_private", call.operation):
        return Response(status_code=307, headers={"Location": str(fault.params["url"])})
    if fault := faults.take("redirect_signed", call.operation):
        return Response(status_code=307, headers={"Location": _signed_url(call, float(fault.params["ttl_s"]))})
    if faults.take("wrong_sha256", call.operation):
        return Response(_other(content), media_type=media_type)
    if fault := faults.take("truncated_file", call.operation):
        return Response(content[: len(content) // 2], media_type=media_type) if fault.params["clean_end"] else CutShort(content, media_type)
    if fault := faults.take("huge_file", call.operation):
        return _huge(content, media_type, fault)
    return None


def whole(file: StoredFile) -> Response:
    return Response(file.content, media_type=_MODEL, headers={"ETag": f'"{file.sha256}"'})


def ranged(call: Call, file: StoredFile) -> Response:
    """RFC 9110, 14: one range is served as 206; several, or what is no range, are answered with the whole."""
    etag, size = f'"{file.sha256}"', len(file.content)
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    asked = _ONE_RANGE.fullmatch(call.request.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-" or call.request.headers.get("if-range", etag) != etag:
        return Response(file.content, media_type=_MODEL, headers=headers)
    first, last = _bounds(asked[1], asked[2], size)
    if first > last and asked[1] and asked[2] and int(asked[1]) > int(asked[2]):
        return Response(file.content, media_type=_MODEL, headers=headers)
    if first > last:
        raise Problem(416, "range_not_satisfiable", f"The file has {size} bytes.", {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(file.content[first : last + 1], 206, headers, _MODEL)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte, both included; the last is before the first where there is nothing to give."""
    if not first:
        return max(0, size - int(last)), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


def _of(files: dict[str, StoredFile], file_id: str) -> StoredFile:
    if file_id not in files:
        raise not_found("file", file_id)
    return files[file_id]


def _other(content: bytes) -> bytes:
    """As long as these bytes, and not the same: the last one's lowest bit is turned."""
    return content[:-1] + bytes([content[-1] ^ 1]) if content else b"\0"


def _huge(content: bytes, media_type: str, fault: Fault) -> Response:
    size = max(int(fault.params["bytes"]), len(content) + 1)

    async def stream() -> AsyncIterator[bytes]:
        yield content
        for at in range(len(content), size, _CHUNK):
            yield bytes(min(_CHUNK, size - at))
            await asyncio.sleep(0)  # once the client has left, no write waits any more, and only so the server hears of it

    headers = {"Content-Length": str(size)} if fault.params["with_length"] else {}
    return StreamingResponse(stream(), headers=headers, media_type=media_type)


def _signed_url(call: Call, ttl_s: float) -> str:
    expires = f"{time.monotonic() + ttl_s:.3f}"
    path = f"/signed/{quote(call.path('order_id'), safe='')}/{quote(call.path('file_id'), safe='')}"
    return f"{call.origin}{path}?{urlencode({'expires': expires, 'signature': _signature(call, expires)})}"


def _signature(call: Call, expires: str) -> str:
    said = f"{call.path('order_id')}\n{call.path('file_id')}\n{expires}"
    return hmac.new(call.key, said.encode(), hashlib.sha256).hexdigest()
