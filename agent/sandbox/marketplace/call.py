"""One request of the contract, read whole, as a handler gets it."""

import time
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agent.sandbox.marketplace.problems import Problem
from agent.sandbox.marketplace.records import Offer, Order
from agent.sandbox.marketplace.state import Market

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """`operation` is the operationId, `origin` this server's own scheme and address, `key` signs its short-lived URLs."""

    market: Market
    operation: str
    request: Request
    content: bytes
    origin: str = ""
    key: bytes = b""

    @property
    def subject(self) -> str:
        """The ids in the path, joined: what the journal counts by."""
        return "/".join(str(part) for part in self.request.path_params.values())

    def monotonic(self) -> float:
        return time.monotonic()

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name)

    def offer(self) -> Offer:
        return self.market.offer(self.path("offer_id"))

    def order(self) -> Order:
        return self.market.order(self.path("order_id"))

    def body(self, model: type[B]) -> B:
        return parsed(self.request, self.content, model)


def media_type(request: Request) -> str:
    """The request's Content-Type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parsed(request: Request, content: bytes, model: type[B]) -> B:
    """The body as that model. Problem 415, 400 (no JSON) or 422 (JSON that is not as the contract says)."""
    if media_type(request) != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be application/json.")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Problem(400, "bad_json", first["msg"]) from None
        place = ".".join(str(part) for part in first["loc"])
        raise Problem(422, "bad_body", f"{place or 'body'}: {first['msg']}") from None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Problem 413 past the limit, after the rest was read and thrown away: a client that still sends hears no answer."""
    content = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            content += chunk
    if size > limit:
        raise Problem(413, "too_large", f"{size} bytes; the limit is {limit}.")
    return bytes(content)
