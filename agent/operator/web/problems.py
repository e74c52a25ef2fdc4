"""Errors as they are answered: problem+json (RFC 9457) to scripts, a page to people."""

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from agent.domain.errors import AgentError, NeedsOperator, Transient
from agent.domain.values import Value
from agent.ports.ledger import Stale

MEDIA_TYPE = "application/problem+json"
_STATUS = {
    "not_signed_in": 401,
    "bad_code": 403,
    "form_expired": 403,
    "not_allowed": 403,
    "person_required": 403,
    "no_such_order": 404,
    "no_such_file": 404,
    "no_such_printer": 404,
    "no_such_question": 404,
    "no_such_button": 404,
    "no_camera": 404,
    "button_spent": 409,
    "button_too_old": 410,
    "no_such_upload": 404,
    "wrong_offset": 409,
    "key_taken": 409,
    "wrong_tus_version": 412,
    "too_large": 413,
    "more_than_announced": 413,
    "wrong_type": 415,
    "bad_header": 400,
    "bad_key": 400,
    "too_many_photos": 429,
    "too_much_on_the_way": 429,
    "not_asked": 409,
    "not_that_job": 409,
    "printing": 409,
    "name_taken": 409,
    "too_many": 429,
}


class Problem(Value):
    """RFC 9457, with `code` for programs and `hint`: the way out, for people."""

    title: str
    status: int
    code: str
    detail: str
    hint: str


def status_of(error: AgentError) -> int:
    """409 for what somebody else was faster with; 503 for what may work later; 422 where nothing better is known."""
    if isinstance(error, Stale):
        return 409
    if isinstance(error, Transient | NeedsOperator):
        return 503
    return _STATUS.get(error.code, 422)


def problem_of(error: Exception) -> Problem:
    match error:
        case AgentError():
            status, code, detail, hint = status_of(error), error.code or "refused", str(error), error.hint
        case RequestValidationError():
            status, code, hint = 422, "bad_request", "openapi.json says what is expected."
            detail = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:10])
        case HTTPException():
            status, code, hint = error.status_code, f"http_{error.status_code}", ""
            detail = str(error.detail)
        case _:
            raise error
    return Problem(title=detail.partition("\n")[0][:200], status=status, code=code, detail=detail, hint=hint)


def as_json(error: Exception) -> Response:
    problem = problem_of(error)
    headers: dict[str, str] = dict(getattr(error, "headers", None) or {})
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=MEDIA_TYPE)


def for_scripts(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/uploads", "/metrics"))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: that these are answered with a Problem."""
    schema = Problem.model_json_schema()
    return {status: {"description": _DESCRIBED[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


_DESCRIBED = {
    400: "The request is no HTTP that can be read",
    401: "No token that is known here",
    403: "The token is not for this, or it takes a person",
    404: "There is no such thing",
    409: "Somebody else was faster, or it has changed since it was shown",
    413: "More than is read",
    421: "Another host's name",
    422: "It cannot be done so",
    503: "Not now: a printer or the ledger does not answer",
}
