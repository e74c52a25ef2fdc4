"""Calls of the Operator API: each whole or not at all, within limits of time and size, and with what every answer tells of the clock."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx

from agent.domain.errors import ConfigError, Refused, Transient
from agent.marketplaces.remote_clock import RemoteClock
from agent.marketplaces.replies import PLAIN, check, parsed_json, translated, whole
from agent.wire.tls import public_trust

CALL_S = 20.0
"""For a whole call, however slowly its bytes come."""
LIST_S = 60.0
"""For all pages of a list."""
LARGEST_ANSWER = 5_000_000
MOST_PAGES = 50
_LONGEST_CURSOR = 2_000
_TIMEOUTS = httpx.Timeout(10.0, connect=5.0)


class Page(NamedTuple):
    """`asked_at` is on the loop's clock. `more`: the list goes on after it."""

    rows: list[Any]
    asked_at: float
    more: bool


class Calls:
    """One marketplace's address, spoken to. `token` is asked for at each opening."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self.clock = RemoteClock()

    async def __aenter__(self) -> Self:
        """ConfigError where the token cannot be one."""
        headers = {"Authorization": f"Bearer {_sendable(self._token())}", "User-Agent": "intagly-agent", **PLAIN}
        self.client = httpx.AsyncClient(headers=headers, timeout=_TIMEOUTS, follow_redirects=False, trust_env=False, verify=public_trust())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        return parsed_json(await self.call("GET", path, params=params))

    async def post(self, path: str, key: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._act("POST", path, key, body)

    async def put(self, path: str, key: str, body: Mapping[str, Any]) -> Any:
        return await self._act("PUT", path, key, body)

    async def _act(self, method: str, path: str, key: str, body: Mapping[str, Any] | None) -> Any:
        content = await self.call(method, path, headers={"Idempotency-Key": key}, json=body)
        return parsed_json(content) if content else None

    async def pages(self, path: str, field: str, params: Mapping[str, str] | None = None) -> AsyncGenerator[Page, None]:
        """At most MOST_PAGES, none twice."""
        asked, seen = dict(params or {}), {""}
        for _ in range(MOST_PAGES):
            asked_at = asyncio.get_running_loop().time()
            page = await self.get(path, asked)
            cursor = _next_cursor(page, field, path)
            yield Page(page[field], asked_at, bool(cursor))
            if not cursor or cursor in seen:
                return
            seen.add(cursor)
            asked["cursor"] = cursor

    async def call(self, method: str, path: str, *, seconds: float | None = None, **kwargs: Any) -> bytes:
        """One call, whole or not at all. Nothing is sent twice here: a lost answer is the workflow's to read back."""
        limit, asked_at = asyncio.timeout(CALL_S if seconds is None else seconds), asyncio.get_running_loop().time()
        async with translated(), limit, self.client.stream(method, self.url + path, **kwargs) as answer:
            self.clock.heard_date(answer.headers.get("Date", ""), asked_at)
            content = await whole(answer, LARGEST_ANSWER)
            check(answer, content)
            return content


def _sendable(token: str) -> str:
    """A token that fits into a header (RFC 6750, 2.1, read generously)."""
    if not (token.isascii() and token.isprintable() and token):
        raise ConfigError(
            "The marketplace's token holds characters no token has.", hint="Put a valid token into its token_file.", code="bad_token"
        )
    return token


def in_path(identifier: str) -> str:
    """Identifiers come from outside; none of them leaves its place in the path."""
    if not identifier.strip("."):
        raise Refused(f"“{identifier}” names nothing.", code="bad_identifier")
    return quote(identifier, safe="")


def _next_cursor(page: object, field: str, path: str) -> str:
    """Empty on the last page. Transient where this is no page."""
    if isinstance(page, dict) and isinstance(page.get(field), list):
        cursor = page.get("next_cursor") or ""
        if isinstance(cursor, str) and len(cursor) <= _LONGEST_CURSOR:
            return cursor
    raise Transient(f"The marketplace answered {path} with something else than a page.", code="unreadable")
