"""octorest, and what it lacks: limits, streaming uploads, the form fields it drops, answers with a shape, errors that can be told apart.

Only this file knows octorest; only it and bounded_http.py know requests.
"""

import http.client
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import requests
import urllib3
from octorest import OctoRest
from pydantic import Field, ValidationError
from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor

from agent.domain.errors import NeedsOperator, Refused, Transient, Unsound
from agent.domain.values import Value
from agent.printers.bounded_http import AnswerTooLarge, BoundedSession

SEND_STALL_S = 30.0
"""For one piece of an upload: an SD card that is flushed takes nothing for seconds."""
SLOWEST_UPLOAD_BYTES_S = 50_000
STORED_S = 120.0
"""OctoPrint answers an upload only after it has moved and hashed the file; on a Pi that takes a while."""

_Answer = TypeVar("_Answer")


class NotThere(Refused):
    """404: OctoPrint does not know that file."""


class _File(Value):
    path: str | None = None
    name: str | None = None


class _Job(Value):
    file: _File | None = None


class _Progress(Value):
    completion: float | None = None
    seconds_left: float | None = Field(None, alias="printTimeLeft")


class JobAnswer(Value):
    """GET /api/job. `completion` is 0…100 by bytes; None before the first byte, and again after a cancel."""

    state: str
    error: str | None = None
    job: _Job | None = None
    progress: _Progress | None = None

    @property
    def file_name(self) -> str:
        """Of the file that is selected, printing or not."""
        file = self.job.file if self.job else None
        return (file.path or file.name or "") if file else ""

    @property
    def completion(self) -> float | None:
        return self.progress.completion if self.progress else None

    @property
    def seconds_left(self) -> int | None:
        left = self.progress.seconds_left if self.progress else None
        return None if left is None else int(left)


class _Heater(Value):
    actual: float | None = None
    target: float | None = None


class HeatersAnswer(Value):
    """GET /api/printer, without what else is there. OctoPrint calls the nozzle tool0."""

    tool0: _Heater = _Heater()
    bed: _Heater = _Heater()


class Prints(Value):
    """How often a file's prints ended well, and how often not. A print that is still running counts in neither."""

    success: int = 0
    failure: int = 0


class _FileAnswer(Value):
    """GET /api/files/local/<name>."""

    path: str
    prints: Prints = Prints()


class _Stored(Value):
    path: str


class _StoredFiles(Value):
    local: _Stored


class _UploadAnswer(Value):
    """POST /api/files/local."""

    files: _StoredFiles


class OctoPrintClient(OctoRest):  # type: ignore[misc]  # octorest has no types
    """OctoPrint's REST API. Makes no call by itself. Errors are the domain's where `translated` calls."""

    def __init__(self, url: str, api_key: str) -> None:
        session = BoundedSession(url)
        session.headers["X-Api-Key"] = api_key
        super().__init__(url=url, session=session)  # without its apikey argument, which would call the server at once

    def upload_selected(self, gcode: Path, name: str) -> str:
        """Stream a file into the local storage and select it, printing nothing. Returns the name OctoPrint gave it."""
        until = time.monotonic() + sending_s(gcode)
        with gcode.open("rb") as file:
            fields = {"select": "true", "print": "false", "file": (name, file, "application/octet-stream")}
            form = MultipartEncoderMonitor(MultipartEncoder(fields), lambda _form: _before(until))
            response = self.session.post(
                f"{self.url}/api/files/local", data=form, headers={"Content-Type": form.content_type}, timeout=(SEND_STALL_S, STORED_S)
            )
        self._check_response(response)
        return _UploadAnswer.model_validate(response.json()).files.local.path

    def print_file(self, name: str) -> None:
        """Select and print in one request: it names the file, and OctoPrint refuses it (409) while anything prints."""
        self.select(f"local/{name}", print=True)

    def job(self) -> JobAnswer:
        return JobAnswer.model_validate(self.job_info())

    def heaters(self) -> HeatersAnswer:
        """Refused (409) while OctoPrint has no printer."""
        answer = self.printer(exclude="state,sd")
        return HeatersAnswer.model_validate(answer.get("temperature", {}) if isinstance(answer, dict) else answer)

    def prints(self, name: str) -> Prints | None:
        """A file's history; None where OctoPrint has no such file."""
        try:
            return _FileAnswer.model_validate(self.files_info("local", quote(name))).prints
        except NotThere:
            return None

    def close(self) -> None:
        """Ends calls at work too. It can be used again."""
        self.session.close()

    def _check_response(self, response: requests.Response) -> requests.Response:
        if 200 <= response.status_code < 300:
            return response
        words, status = _words(response), response.status_code
        if status in (401, 403) or (status == 400 and "CSRF" in words):
            # The 400 is 1.11.8's answer to a POST with a wrong key: it takes it for a browser's (server/util/csrf.py).
            hint = "Make an application key in OctoPrint (Settings, Application Keys) and put it into the printer's api_key_file."
            raise NeedsOperator(f"OctoPrint refuses the key: {words}.", hint=hint, code="wrong_key")
        if 300 <= status < 400:
            to = response.headers.get("Location", "?")[:200]
            raise Refused(f"OctoPrint answers with a redirect to {to}.", hint="Put that address into url.", code="redirected")
        if status >= 500:
            raise Unsound(f"OctoPrint answers {status}: {words}.", hint="It may be starting.", code=f"http_{status}")
        raise _refusal(status, words)


def _refusal(status: int, words: str) -> Refused:
    match status:
        case 404:
            return NotThere(f"OctoPrint has no such thing: {words}.", hint="Is url right?", code="not_found")
        case 409:
            return Refused(f"OctoPrint says no: {words}.", hint="Look at OctoPrint's page: is it connected and idle?", code="conflict")
        case 413 | 415:
            return Refused(f"OctoPrint does not take the file: {words}.", hint="Is its upload limit too low?", code="upload_refused")
        case _:
            return Refused(f"OctoPrint answers {status}: {words}.", code=f"http_{status}")


def sending_s(gcode: Path) -> float:
    """How long sending a file may take in all."""
    return SEND_STALL_S + gcode.stat().st_size / SLOWEST_UPLOAD_BYTES_S


def _before(until: float) -> None:
    if time.monotonic() > until:
        raise Transient("The upload to OctoPrint is too slow.", hint="Is the network there any good?", code="timeout")


def _words(response: requests.Response) -> str:
    """The server's own reason, without a page of HTML around it."""
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        return response.reason or f"status {response.status_code}"
    return str(body.get("error", body))[:300] if isinstance(body, dict) else str(body)[:300]


def translated(call: Callable[[], _Answer]) -> _Answer:
    """The one place where the libraries' errors become the domain's; answers with a status are told apart by the client."""
    try:
        return call()
    except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
        # Without its cause: the library's text holds the key.
        raise NeedsOperator("The key of OctoPrint has characters that no key has.", hint="Copy it anew.", code="wrong_key") from None
    except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
        raise NeedsOperator(
            f"OctoPrint cannot be spoken to: {_brief(error)}.", hint="Check url and certificate.", code="bad_url"
        ) from error
    except (requests.exceptions.JSONDecodeError, ValidationError, RecursionError, AnswerTooLarge) as error:
        raise _not_octoprint() from error
    except requests.exceptions.ReadTimeout as error:
        raise Unsound("OctoPrint did not answer in time.", hint="Is the machine it runs on overloaded?", code="timeout") from error
    except requests.exceptions.Timeout as error:
        raise Transient("OctoPrint cannot be reached in time.", hint="Is it switched on, and is url right?", code="timeout") from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _broken(error) from error


def _not_octoprint() -> Unsound:
    return Unsound(
        "What answers there does not answer as OctoPrint does.", hint="Does something else listen at that address?", code="not_octoprint"
    )


def _broken(error: BaseException) -> Transient:
    """No HTTP, or a body that is none; or nobody there. Whoever hangs up without a word may have been stopped just then."""
    cause = _first_cause(error)
    if isinstance(cause, http.client.HTTPException | zlib.error) and not isinstance(cause, ConnectionError):
        return _not_octoprint()
    return Transient(f"OctoPrint cannot be reached: {_brief(cause)}.", hint="Is it switched on, and is url right?", code="unreachable")


def _first_cause(error: BaseException) -> BaseException:
    """The libraries nest their errors."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _brief(error: BaseException) -> str:
    """The cause in a few words."""
    cause = _first_cause(error)
    return str(getattr(cause, "strerror", "") or cause)[:200]
