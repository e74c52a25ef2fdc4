"""A marketplace that speaks the Operator API (docs/operator-api.yaml). The contract is ours: no marketplace is known to publish one."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from agent.domain.errors import Refused, Transient
from agent.domain.offer import Agreement, DeclineReason, Offer, ProblemCode, RemoteOrder
from agent.marketplaces import operator_calls
from agent.marketplaces.downloads import Downloads
from agent.marketplaces.event_stream import News
from agent.marketplaces.operator_account import OperatorAccount
from agent.marketplaces.operator_answers import Rows, parsed
from agent.marketplaces.operator_calls import Calls, in_path
from agent.marketplaces.replies import translated

SLOWEST_UPLOAD_BYTES_S = 50_000
_LONGEST_TIME = 64


class OperatorApi(OperatorAccount):
    """Implements ports.marketplace.Marketplace over HTTP. `token` is asked for at each opening."""

    def __init__(self, name: str, url: str, token: Callable[[], str], poll_interval_s: float = 5.0) -> None:
        self._name = name
        self._calls = Calls(url, token)
        self._rows = Rows(name)
        self._poll_interval_s = poll_interval_s

    @property
    def name(self) -> str:
        return self._name

    @property
    def answered_by_person(self) -> bool:
        return False

    async def __aenter__(self) -> Self:
        """ConfigError where the token cannot be one."""
        await self._calls.__aenter__()
        self._downloads = Downloads(self._calls.client, self._calls.url)
        self._news = News(self._name, self._calls.client, f"{self._calls.url}/events")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._news.aclose()
        await self._calls.__aexit__()

    async def wait_for_news(self) -> None:
        """An event of the marketplace's stream ends the wait at once; without one the poll interval does."""
        await self._news.wait(self._poll_interval_s)

    async def offers(self) -> Sequence[Offer]:
        """An offer that cannot be used is told once and left out; it must not hide the good ones."""
        found: list[tuple[Offer, float]] = []
        async with translated(), asyncio.timeout(operator_calls.LIST_S), aclosing(self._calls.pages("/offers", "offers")) as pages:
            async for page in pages:
                read = [offer for raw in page.rows if (offer := self._rows.offer(raw)) is not None]
                self._calls.clock.heard_offers(read, page.asked_at)
                found += [(offer, page.asked_at) for offer in read]
        now = asyncio.get_running_loop().time()
        return [_aged(offer, now - asked_at) for offer, asked_at in found]

    async def offer(self, offer_id: str) -> Offer:
        return parsed(Offer, await self._calls.get(f"/offers/{in_path(offer_id)}"))

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:
        return parsed(RemoteOrder, await self._calls.post(f"/offers/{in_path(offer_id)}/accept", key))

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:
        await self._calls.post(f"/offers/{in_path(offer_id)}/decline", key, {"reason": reason.value, "text": text[:500]})

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        """Looks at the orders that changed since the offer was made, by the marketplace's own clock. Transient: it was not found, and
        not all could be looked at."""
        params = await self._since_offer(offer_id)
        more = False
        async with translated(), asyncio.timeout(operator_calls.LIST_S), aclosing(self._calls.pages("/orders", "orders", params)) as pages:
            async for page in pages:
                for raw in page.rows:
                    if isinstance(raw, dict) and raw.get("offer_id") == offer_id:
                        return parsed(RemoteOrder, raw)
                more = page.more
        if more:
            raise Transient(f"{self._name} has too many orders to find the one of offer {offer_id}.", code="too_many_pages")
        return None

    async def _since_offer(self, offer_id: str) -> dict[str, str]:
        """The filter for orders no older than the offer; none where the marketplace has forgotten the offer."""
        try:
            offer = await self._calls.get(f"/offers/{in_path(offer_id)}")
        except Refused:
            return {}
        created_at = offer.get("created_at") if isinstance(offer, dict) else None
        return {"updated_since": created_at} if isinstance(created_at, str) and len(created_at) <= _LONGEST_TIME else {}

    async def order(self, order_id: str) -> RemoteOrder:
        return parsed(RemoteOrder, await self._calls.get(f"/orders/{in_path(order_id)}"))

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:
        place = f"/offers/{in_path(offer_id)}" if order_id is None else f"/orders/{in_path(order_id)}"
        async with translated():
            await self._downloads.fetch(f"{self._calls.url}{place}/files/{in_path(file_id)}", into, limit_bytes)

    async def start(self, order_id: str, key: str) -> RemoteOrder:
        return parsed(RemoteOrder, await self._calls.post(f"/orders/{in_path(order_id)}/start", key))

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:
        content = await asyncio.to_thread(photo.read_bytes)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Idempotency-Key": key, "Content-Type": _picture_type(content), "Content-Digest": f"sha-256=:{digest}:"}
        seconds = operator_calls.CALL_S + len(content) / SLOWEST_UPLOAD_BYTES_S
        timeout = httpx.Timeout(10.0, connect=5.0, write=seconds)
        path = f"/orders/{in_path(order_id)}/photos/{in_path(photo_id)}"
        await self._calls.call("PUT", path, seconds=seconds, headers=headers, content=content, timeout=timeout)

    async def submit(
        self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement], customer_note: str, internal_note: str, key: str
    ) -> RemoteOrder:
        body: dict[str, Any] = {
            "photo_ids": list(photo_ids),
            "attestations": [agreement.model_dump(mode="json") for agreement in agreements],
        }
        body |= {name: note for name, note in (("customer_note", customer_note), ("internal_note", internal_note)) if note}
        return parsed(RemoteOrder, await self._calls.post(f"/orders/{in_path(order_id)}/submission", key, body))

    async def label(self, order_id: str, into: Path) -> None:
        async with translated():
            await self._downloads.fetch(f"{self._calls.url}/orders/{in_path(order_id)}/label.pdf", into, operator_calls.LARGEST_ANSWER)

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:
        body = {"dropped_off_at": dropped_off_at.isoformat(), **({"place": place} if place else {})}
        return parsed(RemoteOrder, await self._calls.post(f"/orders/{in_path(order_id)}/delivered", key, body))

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        await self._calls.post(f"/orders/{in_path(order_id)}/problem", key, {"code": problem.value, "text": text[:2000]})


def _picture_type(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content[8:12] == b"WEBP" else "image/jpeg"


def _aged(offer: Offer, seconds: float) -> Offer:
    """The time left, counted from when the offer was asked for: the answer was made after that, so this is never too much."""
    return offer.model_copy(update={"accept_within_s": offer.accept_within_s - seconds})
