"""An adapter before a marketplace, real or not, and one offer on its way through every call of the contract."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from agent.domain.offer import Agreement, DeclineReason, ProblemCode, RemoteOrder
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.rigs.http_stub import Stub
from tests.sandbox.stall import JPEG, offer

MB = 1_000_000
LONG = 30.0
SOON = 5.0
_keys = count(1)


def new_key() -> str:
    return f"adapter-key-{next(_keys)}"


def api_of(market: SandboxMarketplace, poll_interval_s: float = LONG) -> OperatorApi:
    return OperatorApi("sandbox", market.url, lambda: market.token, poll_interval_s)


@asynccontextmanager
async def against(answer: Any) -> AsyncIterator[tuple[OperatorApi, Stub]]:
    """The adapter before a server that is not ours."""
    async with Stub(answer) as stub, OperatorApi("stub", stub.url + "/v1", lambda: "sesame", 0.05) as opened:
        yield opened, stub


class Deal:
    """One offer on its way. Every operation of the contract that the adapter uses, by its operationId."""

    def __init__(self, api: OperatorApi, market: SandboxMarketplace, folder: Path) -> None:
        self.api, self.market, self.folder = api, market, folder
        self.offer_id = market.add_offer(offer())
        self.order_id = ""
        self.into = folder / "fetched"
        self.photo = folder / "front.jpg"
        self.photo.write_bytes(JPEG)

    async def reach(self, operation: str) -> None:
        """Do all that comes before it."""
        for stage in STAGES[: STAGES.index(BEFORE[operation])]:
            done = await self.do(stage, new_key())
            if stage == "acceptOffer":
                self.order_id = done.order_id

    async def do(self, operation: str, key: str) -> Any:
        api, offer_id, order_id = self.api, self.offer_id, self.order_id
        acts: Mapping[str, Callable[[], Awaitable[Any]]] = {
            "listOffers": api.offers,
            "getOffer": lambda: api.offer(offer_id),
            "previewOfferFile": lambda: api.fetch(offer_id, None, "file-1", self.into, MB),
            "acceptOffer": lambda: api.accept(offer_id, key),
            "declineOffer": lambda: api.decline(offer_id, DeclineReason.TOO_BIG, "x" * 1000, key),
            "listOrders": lambda: api.order_of(offer_id),
            "getOrder": lambda: api.order(order_id),
            "getOrderFile": lambda: api.fetch(offer_id, order_id, "file-1", self.into, MB),
            "startOrder": lambda: api.start(order_id, key),
            "putPhoto": lambda: api.put_photo(order_id, "front", self.photo, key),
            "submitOrder": lambda: self._submit(key),
            "getLabel": lambda: api.label(order_id, self.into),
            "markDelivered": lambda: api.delivered(order_id, datetime(2026, 1, 31, 17, tzinfo=UTC), "post office", key),
            "reportProblem": lambda: api.report_problem(order_id, ProblemCode.DELAY, "x" * 3000, key),
        }
        return await acts[operation]()

    async def _submit(self, key: str) -> RemoteOrder:
        order = await self.api.order(self.order_id)
        agreements = [
            Agreement(
                code=said.code,
                text_sha256=hashlib.sha256(said.text.encode()).hexdigest(),
                agreed_by="Ada Example",
                agreed_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
            )
            for said in order.attestations_required
        ]
        return await self.api.submit(self.order_id, ["front"], agreements, "Thank you", "", key)

    def times_done(self, operation: str) -> int:
        subjects = {"acceptOffer": self.offer_id, "declineOffer": self.offer_id, "putPhoto": f"{self.order_id}/front"}
        return self.market.times_done(operation, subjects.get(operation, self.order_id))


STAGES = ["acceptOffer", "startOrder", "putPhoto", "submitOrder", "end"]
BEFORE = {
    "listOffers": "acceptOffer",
    "getOffer": "acceptOffer",
    "previewOfferFile": "acceptOffer",
    "acceptOffer": "acceptOffer",
    "declineOffer": "acceptOffer",
    "listOrders": "startOrder",
    "getOrder": "startOrder",
    "getOrderFile": "startOrder",
    "startOrder": "startOrder",
    "reportProblem": "startOrder",
    "putPhoto": "putPhoto",
    "submitOrder": "submitOrder",
    "getLabel": "end",
    "markDelivered": "end",
}
"""Operation -> the first stage that has not been reached when it is due."""
FILES = ["previewOfferFile", "getOrderFile", "getLabel"]
ACTS = ["acceptOffer", "declineOffer", "startOrder", "putPhoto", "submitOrder", "markDelivered", "reportProblem"]
WITHOUT_JSON = {"declineOffer", "putPhoto", *FILES}


GOOD: dict[str, Any] = {
    "offer_id": "of-good",
    "state": "open",
    "created_at": "2026-01-31T12:00:00Z",
    "accept_by": "2026-01-31T12:15:00Z",
    "accept_within_s": 900,
    "payout": {"amount": "12.50", "currency": "EUR"},
    "items": [
        {"item_id": "i-1", "file_id": "f-1", "quantity": 1, "color": {"name": "black"}, "infill_percent": 20, "supports": "no"},
    ],
    "files": [{"file_id": "f-1", "name": "cube.stl", "bytes": 1, "sha256": "0" * 64}],
    "files_before_accept": True,
    "add_ons": [{"code": "sand", "title": "Sanding", "extra_pay": {"amount": "1.00", "currency": "EUR"}}],
    "special_instructions": "",
}
