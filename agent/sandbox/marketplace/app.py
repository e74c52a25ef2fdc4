"""The contract's rules that hold for every call: token, idempotency, problems; and the faults that can hit any of them."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from agent.sandbox.marketplace import files
from agent.sandbox.marketplace.call import Call, read_body
from agent.sandbox.marketplace.connection import Dripping, Dropped, pause
from agent.sandbox.marketplace.problems import Problem, problem_response
from agent.sandbox.marketplace.routes import OPERATIONS, Operation
from agent.sandbox.marketplace.state import Market

API_PATH = "/operator/v1"
OPERATION_IDS = frozenset(operation.operation_id for operation in OPERATIONS)
_REMEMBERED_STATUS = (200, 201, 204, 409, 410)
"""What an act answered for good. A request that was not understood, or not served now, may be mended and sent again under its key."""


@dataclass(frozen=True)
class Tokens:
    """`full` may do everything; `read_only`, where it is not empty, may only GET."""

    full: str
    read_only: str = ""

    def check(self, request: Request) -> None:
        """Problem 401 without a token that is known here, 403 where its scope does not reach."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise _unauthorized("Send Authorization: Bearer <token>.")
        if hmac.compare_digest(given.encode(), self.full.encode()):
            return
        if not self.read_only or not hmac.compare_digest(given.encode(), self.read_only.encode()):
            raise _unauthorized("This token is not known.")
        if request.method != "GET":
            raise Problem(403, "insufficient_scope", "This token may only read.")


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


@dataclass(frozen=True)
class _Remembered:
    fingerprint: str
    response: Response


class Api:
    """Answers every operation. `origin` is where this server is reached, known once it listens."""

    def __init__(self, market: Market, tokens: Tokens) -> None:
        self.market = market
        self.origin = ""
        self._tokens = tokens
        self._answers: dict[str, _Remembered] = {}
        self._signing_key = secrets.token_bytes(32)

    def routes(self) -> list[BaseRoute]:
        paths: dict[str, list[Operation]] = {}
        for operation in OPERATIONS:
            paths.setdefault(operation.path, []).append(operation)
        routes: list[BaseRoute] = [Route(API_PATH + path, _PathApp(self, operations)) for path, operations in paths.items()]
        signed = Operation("signedFile", "GET", "/signed/{order_id}/{file_id}", files.signed_file)
        return [*routes, Route(signed.path, _PathApp(self, [signed]))]

    async def answer(self, operation: Operation, request: Request) -> Response:
        try:
            content = await read_body(request, operation.limit)
            if operation.operation_id in OPERATION_IDS:
                self._tokens.check(request)
            call = Call(self.market, operation.operation_id, request, content, self.origin, self._signing_key)
            return await self._with_faults(operation, call)
        except Problem as problem:
            return problem_response(problem)

    async def _with_faults(self, operation: Operation, call: Call) -> Response:
        faults, name = self.market.faults, call.operation
        self.market.journal.request(name)
        slow = faults.take("slow", name)
        if slow and not slow.params["drip"]:
            await pause(float(slow.params["seconds"]), self.market.feed.closing)
        if refusal := self._refusal(name):
            return refusal
        response = self._act(operation, call)
        if faults.take("drop_reply_after_acting", name):
            return Dropped()
        if faults.take("broken_json", name):
            return _broken(response)
        if slow and slow.params["drip"] and not isinstance(response, StreamingResponse):
            return Dripping(response, float(slow.params["seconds"]), self.market.feed.closing)
        return response

    def _refusal(self, operation: str) -> Response | None:
        """The fault that answers instead of the operation, before anything is done."""
        faults = self.market.faults
        if faults.take("drop_before_acting", operation):
            return Dropped()
        if faults.take("error_500", operation):
            raise Problem(500, "internal_error", "Something broke.")
        for name, status, code in (("unavailable_503", 503, "unavailable"), ("too_many_429", 429, "too_many_requests")):
            if fault := faults.take(name, operation):
                raise Problem(status, code, "Not now.", {"Retry-After": str(fault.params["retry_after_s"])})
        return None

    def _act(self, operation: Operation, call: Call) -> Response:
        """The operation itself, without a pause in it: what it finds is what it changes."""
        self.market.tick()
        if operation.method == "GET":
            return operation.handler(call)
        key = _idempotency_key(call.request)
        if operation.checked:
            operation.checked(call)
        self.market.journal.asked(call.operation, call.subject, key)
        fingerprint = hashlib.sha256(b"\n".join([call.operation.encode(), call.subject.encode(), call.content])).hexdigest()
        if known := self._answers.get(key):
            if known.fingerprint != fingerprint:
                raise Problem(409, "idempotency_mismatch", "This Idempotency-Key came with another request before.")
            self.market.journal.replayed(call.operation, call.subject)
            return known.response
        response = _answered(operation, call)
        if response.status_code in _REMEMBERED_STATUS:
            self._answers[key] = _Remembered(fingerprint, response)
        return response


class _PathApp:
    """One path with its methods; any other method is 405, told with the ones there are (RFC 9110, 15.5.6)."""

    def __init__(self, api: Api, operations: Sequence[Operation]) -> None:
        self._api = api
        self._operations = {operation.method: operation for operation in operations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        operation = self._operations.get(request.method)
        if operation is None:
            allow = {"Allow": ", ".join(self._operations)}
            response = problem_response(Problem(405, "method_not_allowed", f"{request.method} is not offered here.", allow))
        else:
            try:
                response = await self._api.answer(operation, request)
            except ClientDisconnect:
                return  # it left while it was sending: nothing was done, and nobody hears an answer
        await response(scope, receive, send)


def _answered(operation: Operation, call: Call) -> Response:
    try:
        return operation.handler(call)
    except Problem as problem:
        return problem_response(problem)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        raise Problem(400, "idempotency_key_required", "Every POST and PUT carries an Idempotency-Key.")
    if not 8 <= len(key) <= 128:
        raise Problem(400, "bad_idempotency_key", "An Idempotency-Key has 8 to 128 characters.")
    return key


def _broken(response: Response) -> Response:
    """The answer with its JSON cut in the middle, and lengths that agree with each other."""
    cut = bytes(response.body)[: max(1, len(response.body) // 2)]
    broken = Response(cut, response.status_code, media_type="application/json")
    for name, value in MutableHeaders(raw=response.raw_headers).items():
        if name not in ("content-length", "content-type"):
            broken.headers[name] = value
    return broken


async def told_as_problem(_: Request, error: Exception) -> Response:
    """A path that is not there, as the contract tells errors."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem_response(Problem(status, "not_found" if status == 404 else "refused"))


def build(api: Api, more: Sequence[BaseRoute]) -> Starlette:
    app = Starlette(routes=[*api.routes(), *more], exception_handlers={HTTPException: told_as_problem})
    app.router.redirect_slashes = False
    return app
