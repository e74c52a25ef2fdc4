"""A marketplace that speaks the Operator API (docs/operator-api.yaml). The contract is ours: no marketplace is known to publish one."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from agent.domain.errors import ConfigError, Refused, Transient
from agent.domain.offer import Agreement, DeclineReason, Offer, ProblemCode, RemoteOrder
from agent.marketplaces.downloads import Downloads
from agent.marketplaces.event_stream import News
from agent.marketplaces.replies import PLAIN, check, parsed_json, printable, translated, whole

log = structlog.get_logger()

CALL_S = 20.0
"""For a whole call, however slowly its bytes come."""
SLOWEST_UPLOAD_BYTES_S = 50_000
LIST_S = 60.0
"""For all pages of a list."""
LARGEST_ANSWER = 5_000_000
MOST_PAGES = 50
LONGEST_OFFER_S = 366 * 24 * 3600.0
MOST_DIGITS = 9
"""Before the point of an amount of money: written out, 1e999999999 would fill the memory."""
_LONGEST_CURSOR = 2_000
_LONGEST_TIME = 64
_MOST_TOLD = 1_000
_TIMEOUTS = httpx.Timeout(10.0, connect=5.0)

_Model = TypeVar("_Model", bound=BaseModel)


class _Page(NamedTuple):
    """`asked_at` is on the loop's clock. `more`: the list goes on after it."""

    rows: list[Any]
    asked_at: float
    more: bool


class OperatorApi:
    """Implements ports.marketplace.Marketplace over HTTP. `token` is asked for at each opening."""

    def __init__(self, name: str, url: str, token: Callable[[], str], poll_interval_s: float = 5.0) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._token = token
        self._poll_interval_s = poll_interval_s
        self._unreadable: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    async def __aenter__(self) -> Self:
        """ConfigError where the token cannot be one."""
        headers = {"Authorization": f"Bearer {_sendable(self._token())}", "User-Agent": "intagly-agent", **PLAIN}
        self._client = httpx.AsyncClient(headers=headers, timeout=_TIMEOUTS, follow_redirects=False, trust_env=False, verify=_trust())
        self._downloads = Downloads(self._client, self._url)
        self._news = News(self._name, self._client, f"{self._url}/events")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._news.aclose()
        await self._client.aclose()

    async def wait_for_news(self) -> None:
        """An event of the marketplace's stream ends the wait at once; without one the poll interval does."""
        await self._news.wait(self._poll_interval_s)

    async def offers(self) -> Sequence[Offer]:
        """An offer that cannot be used is told once and left out; it must not hide the good ones."""
        found: list[tuple[Offer, float]] = []
        async with translated(), asyncio.timeout(LIST_S), aclosing(self._pages("/offers", "offers")) as pages:
            async for page in pages:
                found += [(offer, page.asked_at) for raw in page.rows if (offer := self._readable(raw)) is not None]
        now = asyncio.get_running_loop().time()
        return [_aged(offer, now - asked_at) for offer, asked_at in found]

    async def offer(self, offer_id: str) -> Offer:
        offer = _parsed(Offer, await self._get(f"/offers/{_safe(offer_id)}"))
        return _without(_flaw(offer), offer)

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:
        return _remote_order(await self._post(f"/offers/{_safe(offer_id)}/accept", key))

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:
        await self._post(f"/offers/{_safe(offer_id)}/decline", key, {"reason": reason.value, "text": text[:500]})

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        """Looks at the orders that changed since the offer was made, by the marketplace's own clock. Transient: it was not found, and
        not all could be looked at."""
        params = await self._since_offer(offer_id)
        more = False
        async with translated(), asyncio.timeout(LIST_S), aclosing(self._pages("/orders", "orders", params)) as pages:
            async for page in pages:
                for raw in page.rows:
                    if isinstance(raw, dict) and raw.get("offer_id") == offer_id:
                        return _remote_order(raw)
                more = page.more
        if more:
            raise Transient(f"{self._name} has too many orders to find the one of offer {offer_id}.", code="too_many_pages")
        return None

    async def _since_offer(self, offer_id: str) -> dict[str, str]:
        """The filter for orders no older than the offer; none where the marketplace has forgotten the offer."""
        try:
            offer = await self._get(f"/offers/{_safe(offer_id)}")
        except Refused:
            return {}
        created_at = offer.get("created_at") if isinstance(offer, dict) else None
        return {"updated_since": created_at} if isinstance(created_at, str) and len(created_at) <= _LONGEST_TIME else {}

    async def order(self, order_id: str) -> RemoteOrder:
        return _remote_order(await self._get(f"/orders/{_safe(order_id)}"))

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:
        place = f"/offers/{_safe(offer_id)}" if order_id is None else f"/orders/{_safe(order_id)}"
        async with translated():
            await self._downloads.fetch(f"{self._url}{place}/files/{_safe(file_id)}", into, limit_bytes)

    async def start(self, order_id: str, key: str) -> RemoteOrder:
        return _remote_order(await self._post(f"/orders/{_safe(order_id)}/start", key))

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:
        content = await asyncio.to_thread(photo.read_bytes)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Idempotency-Key": key, "Content-Type": _picture_type(content), "Content-Digest": f"sha-256=:{digest}:"}
        seconds = CALL_S + len(content) / SLOWEST_UPLOAD_BYTES_S
        timeout = httpx.Timeout(10.0, connect=5.0, write=seconds)
        path = f"/orders/{_safe(order_id)}/photos/{_safe(photo_id)}"
        await self._call("PUT", path, seconds=seconds, headers=headers, content=content, timeout=timeout)

    async def submit(
        self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement], customer_note: str, internal_note: str, key: str
    ) -> RemoteOrder:
        body: dict[str, Any] = {
            "photo_ids": list(photo_ids),
            "attestations": [agreement.model_dump(mode="json") for agreement in agreements],
        }
        body |= {name: note for name, note in (("customer_note", customer_note), ("internal_note", internal_note)) if note}
        return _remote_order(await self._post(f"/orders/{_safe(order_id)}/submission", key, body))

    async def label(self, order_id: str, into: Path) -> None:
        async with translated():
            await self._downloads.fetch(f"{self._url}/orders/{_safe(order_id)}/label.pdf", into, LARGEST_ANSWER)

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:
        body = {"dropped_off_at": dropped_off_at.isoformat(), **({"place": place} if place else {})}
        return _remote_order(await self._post(f"/orders/{_safe(order_id)}/delivered", key, body))

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        await self._post(f"/orders/{_safe(order_id)}/problem", key, {"code": problem.value, "text": text[:2000]})

    # --- calls ------------------------------------------------------------------------------------------------------

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        return parsed_json(await self._call("GET", path, params=params))

    async def _post(self, path: str, key: str, body: Mapping[str, Any] | None = None) -> Any:
        content = await self._call("POST", path, headers={"Idempotency-Key": key}, json=body)
        return parsed_json(content) if content else None

    async def _pages(self, path: str, field: str, params: Mapping[str, str] | None = None) -> AsyncGenerator[_Page, None]:
        """At most MOST_PAGES, none twice."""
        asked, seen = dict(params or {}), {""}
        for _ in range(MOST_PAGES):
            asked_at = asyncio.get_running_loop().time()
            page = await self._get(path, asked)
            cursor = _next_cursor(page, field, path)
            yield _Page(page[field], asked_at, bool(cursor))
            if not cursor or cursor in seen:
                return
            seen.add(cursor)
            asked["cursor"] = cursor

    async def _call(self, method: str, path: str, *, seconds: float | None = None, **kwargs: Any) -> bytes:
        """One call, whole or not at all. Nothing is sent twice here: a lost answer is the workflow's to read back."""
        limit = asyncio.timeout(CALL_S if seconds is None else seconds)
        async with translated(), limit, self._client.stream(method, self._url + path, **kwargs) as answer:
            content = await whole(answer, LARGEST_ANSWER)
            check(answer, content)
            return content

    def _readable(self, raw: object) -> Offer | None:
        try:
            offer = Offer.model_validate(raw)
        except ValidationError as error:
            self._left_out(raw.get("offer_id") if isinstance(raw, dict) else None, _brief(error))
            return None
        flaw = _flaw(offer)
        if flaw:
            self._left_out(offer.offer_id, flaw)
        return None if flaw else offer

    def _left_out(self, offer_id: object, why: str) -> None:
        """Told once for each offer; what is remembered of them is bounded."""
        shown = printable(offer_id) if isinstance(offer_id, str) else "?"
        if shown in self._unreadable:
            return
        if len(self._unreadable) >= _MOST_TOLD:
            self._unreadable.clear()
        self._unreadable.add(shown)
        log.warning("offer_unreadable", marketplace=self._name, offer=shown, why=why)


@cache
def _trust() -> ssl.SSLContext:
    """One for all marketplaces: reading the authorities' certificates takes a while and some memory."""
    return httpx.create_ssl_context(trust_env=False)


def _sendable(token: str) -> str:
    """A token that fits into a header (RFC 6750, 2.1, read generously)."""
    if not (token.isascii() and token.isprintable() and token):
        raise ConfigError(
            "The marketplace's token holds characters no token has.", hint="Put a valid token into its token_file.", code="bad_token"
        )
    return token


def _safe(identifier: str) -> str:
    """Identifiers come from outside; none of them leaves its place in the path."""
    if not identifier.strip("."):
        raise Refused(f"“{identifier}” names nothing.", code="bad_identifier")
    return quote(identifier, safe="")


def _picture_type(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content[8:12] == b"WEBP" else "image/jpeg"


def _next_cursor(page: object, field: str, path: str) -> str:
    """Empty on the last page. Transient where this is no page."""
    if isinstance(page, dict) and isinstance(page.get(field), list):
        cursor = page.get("next_cursor") or ""
        if isinstance(cursor, str) and len(cursor) <= _LONGEST_CURSOR:
            return cursor
    raise Transient(f"The marketplace answered {path} with something else than a page.", code="unreadable")


def _parsed(model: type[_Model], raw: Any) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise Transient(f"The marketplace's answer cannot be read: {_brief(error)}", code="unreadable") from error


def _remote_order(raw: Any) -> RemoteOrder:
    order = _parsed(RemoteOrder, raw)
    return _without(_money_flaw(order), order)


def _without(flaw: str, value: _Model) -> _Model:
    if flaw:
        raise Transient(f"The marketplace's answer cannot be used: {flaw}.", code="unreadable")
    return value


def _brief(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors(include_input=False)[:5])


def _flaw(offer: Offer) -> str:
    """Why an offer that has the right form cannot be worked with; empty where it can."""
    announced = {file.file_id for file in offer.files}
    for item in offer.items:
        if item.file_id not in announced:
            return f"item {item.item_id} is of file {item.file_id}, which is not among the files"
    if not all(name.strip(".") for name in (offer.offer_id, *announced)):
        return "an id of nothing but dots"
    if abs(offer.accept_within_s) > LONGEST_OFFER_S:
        return f"{offer.accept_within_s:g} seconds are no time to answer in"
    return _money_flaw(offer)


def _money_flaw(work: Offer | RemoteOrder) -> str:
    amounts = [work.payout, *(add_on.extra_pay for add_on in work.add_ons if add_on.extra_pay is not None)]
    return "an amount of money that nobody pays" if any(money.amount.adjusted() >= MOST_DIGITS for money in amounts) else ""


def _aged(offer: Offer, seconds: float) -> Offer:
    """The time left, counted from when the offer was asked for: the answer was made after that, so this is never too much."""
    return offer.model_copy(update={"accept_within_s": offer.accept_within_s - seconds})
