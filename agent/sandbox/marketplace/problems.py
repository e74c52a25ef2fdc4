"""Errors as the contract tells them: application/problem+json (RFC 9457) with a machine-readable `code`."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response


class Problem(Exception):
    """Why not. Raised anywhere below a route and answered in one place."""

    def __init__(self, status: int, code: str, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers


def problem_response(problem: Problem) -> Response:
    told: dict[str, str | int] = {
        "type": f"urn:operator-api:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.detail:
        told["detail"] = problem.detail
    return Response(json.dumps(told), problem.status, problem.headers, "application/problem+json")


def not_found(what: str, name: str) -> Problem:
    return Problem(404, "not_found", f"There is no {what} {name!r}.")


def wrong_state(what: str, state: str, allowed: str) -> Problem:
    return Problem(409, "wrong_state", f"{what} is {state}; this can be done when it is {allowed}.")
