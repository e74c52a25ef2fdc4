"""What a marketplace's HTTP answers mean to us: read within bounds, and every failure as an error of the domain."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.values import one_line

PLAIN = {"Accept-Encoding": "identity"}
"""Asked of every server: a compressed answer may unpack to a thousand times its size."""
LONGEST_RETRY_AFTER_S = 600.0
_LATER = (408, 425, 429)

_JSON: TypeAdapter[Any] = TypeAdapter(Any)
_JSON_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """The one place where httpx's errors become the domain's."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Transient("The marketplace did not answer in time.", code="timeout") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise NeedsOperator(
            f"The marketplace's url cannot be used: {error}.", hint="Check url in [[marketplaces]].", code="bad_url"
        ) from error
    except httpx.HTTPError as error:
        raise Transient(f"The marketplace cannot be reached: {error or type(error).__name__}.", code="unreachable") from error


async def whole(answer: httpx.Response, most: int) -> bytes:
    """The body. Transient where it is larger, or packed: what it says is not known, and so is whether an act was done."""
    if is_packed(answer):
        raise Transient("The marketplace sent a compressed answer, which was not asked for.", code="unreadable")
    content = await beginning(answer, most + 1)
    if len(content) > most:
        raise Transient(f"The marketplace's answer is larger than {most // 1_000_000} MB.", code="answer_too_large")
    return content


async def beginning(answer: httpx.Response, most: int) -> bytes:
    """The first `most` bytes of the body at the most. The rest is not read."""
    content = bytearray()
    # What httpx calls an iterator is a generator; left in the middle it is to be closed here, not by the garbage collector.
    async with aclosing(cast("AsyncGenerator[bytes, None]", answer.aiter_raw())) as chunks:
        async for chunk in chunks:
            content += chunk[: most - len(content)]
            if len(content) >= most:
                break
    return bytes(content)


def is_packed(answer: httpx.Response) -> bool:
    return answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def parsed_json(content: bytes) -> Any:
    """Transient where it is no JSON."""
    try:
        return _JSON.validate_json(content)
    except ValidationError as error:
        raise Transient("The marketplace answered with something that is no JSON.", code="unreadable") from error


def check(answer: httpx.Response, content: bytes) -> None:
    """Raise an answer that is no success as an error of ours. `code` is the marketplace's own word (RFC 9457)."""
    status = answer.status_code
    if answer.is_success:
        return
    code, why = _problem(content, status)
    said = f"The marketplace answered {status}: {why}"
    if status in _LATER or (status >= 500 and status != 501):
        raise Transient(said, code=code, retry_after_s=retry_after_s(answer))
    if status == 401 or (status == 403 and code != "not_before_accept"):
        raise NeedsOperator(f"The marketplace refuses the token: {why}", hint="Put a valid token into its token_file.", code=code)
    if answer.has_redirect_location:
        place = printable(answer.headers["Location"])
        raise NeedsOperator(f"The marketplace is at another address: {place}", hint="Check url in [[marketplaces]].", code="moved")
    raise Refused(said, code=code)


def _problem(content: bytes, status: int) -> tuple[str, str]:
    """Code and words of problem+json, or what the status says by itself."""
    try:
        body = _JSON_OBJECT.validate_json(content)
    except ValidationError:
        body = {}
    code, words = body.get("code"), body.get("detail") or body.get("title")
    return (
        printable(code)[:100] if isinstance(code, str) and code else f"http_{status}",
        printable(words) if isinstance(words, str) and words else f"status {status}",
    )


def printable(text: str) -> str:
    """The first 300 characters of text from outside, on one line."""
    return one_line(text[:300])


def retry_after_s(answer: httpx.Response) -> float | None:
    """Seconds, at most LONGEST_RETRY_AFTER_S. None where it is not told, or told as a date."""
    told = answer.headers.get("Retry-After", "").strip()
    return min(LONGEST_RETRY_AFTER_S, float(told)) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", told) else None
