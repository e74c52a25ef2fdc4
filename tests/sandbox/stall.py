"""A client of the sandbox marketplace for tests, every answer of which is held against the contract by a library we did not write."""

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import schemathesis

from agent.sandbox.marketplace.server import SandboxMarketplace

CONTRACT = Path(__file__).parents[2] / "docs" / "operator-api.yaml"
API_PATH = "/operator/v1"
MODEL = b"a triangle".ljust(80, b" ") + struct.pack("<I", 1) + struct.pack("<12fH", *(0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 10, 0), 0)
JPEG = b"\xff\xd8\xff\xe0 not much of a photo \xff\xd9"

_schema = schemathesis.openapi.from_path(CONTRACT)
_keys = count(1)


def key(value: str = "") -> dict[str, str]:
    """An Idempotency-Key header: this one, or one that was never used."""
    return {"Idempotency-Key": value or f"test-key-{next(_keys)}"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def offer(**more: Any) -> dict[str, Any]:
    """A plain offer of one model, as the control plane takes it."""
    return {"files": [{"name": "cube.stl", "content_base64": base64.b64encode(MODEL).decode()}], **more}


def client(market: SandboxMarketplace, token: str | None = None) -> httpx.Client:
    """Checks each answer against the contract as it arrives."""
    headers = {"Authorization": f"Bearer {market.token if token is None else token}"}
    return httpx.Client(base_url=market.url, headers=headers, timeout=10, event_hooks={"response": [_as_the_contract_says]})


def careless_client(market: SandboxMarketplace) -> httpx.Client:
    """Takes any answer, for those a broken marketplace gives."""
    return httpx.Client(base_url=market.url, headers={"Authorization": f"Bearer {market.token}"}, timeout=10)


def _as_the_contract_says(response: httpx.Response) -> None:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return
    response.read()
    path = urlsplit(str(response.request.url)).path.removeprefix(API_PATH)
    operation = _schema.find_operation_by_path(response.request.method, path)
    assert operation is not None, f"{response.request.method} {path} is not in the contract"
    operation.validate_response(response)


def problem(response: httpx.Response, status: int) -> str:
    """The code of an answer that must be a problem of that status."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    assert response.json()["status"] == status
    return str(response.json()["code"])


class Operator:
    """An order on its way, one method a step; every step takes more arguments of the request where a test needs them."""

    def __init__(self, market: SandboxMarketplace, http: httpx.Client, **about: Any) -> None:
        self.http = http
        self.offer_id = market.add_offer(offer(**about))
        self.order_id = str(self.accept().json()["order_id"])

    def accept(self) -> httpx.Response:
        return self.http.post(f"/offers/{self.offer_id}/accept", headers=key())

    def order(self) -> Any:
        return self.http.get(f"/orders/{self.order_id}").json()

    def start(self) -> httpx.Response:
        return self.http.post(f"/orders/{self.order_id}/start", headers=key())

    def photo(self, photo_id: str = "front", content: bytes = JPEG, headers: Mapping[str, str] | None = None) -> httpx.Response:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        sent = {**key(), "Content-Type": "image/jpeg", "Content-Digest": f"sha-256=:{digest}:", **(headers or {})}
        return self.http.put(f"/orders/{self.order_id}/photos/{photo_id}", headers=sent, content=content)

    def agreements(self, by: str = "Ada Example") -> list[dict[str, str]]:
        return [
            {"code": said["code"], "text_sha256": sha256(said["text"].encode()), "agreed_by": by, "agreed_at": "2026-01-31T12:00:00Z"}
            for said in self.order()["attestations_required"]
        ]

    def submit(self, agreements: Iterable[dict[str, str]] | None = None, photo_ids: tuple[str, ...] = ("front",)) -> httpx.Response:
        attestations = list(self.agreements() if agreements is None else agreements)
        body = {"photo_ids": list(photo_ids), "attestations": attestations, "customer_note": "Thank you"}
        return self.http.post(f"/orders/{self.order_id}/submission", headers=key(), json=body)

    def label(self) -> httpx.Response:
        return self.http.get(f"/orders/{self.order_id}/label.pdf")

    def delivered(self) -> httpx.Response:
        body = {"dropped_off_at": "2026-01-31T17:00:00Z", "place": "post office"}
        return self.http.post(f"/orders/{self.order_id}/delivered", headers=key(), json=body)

    def problem(self, code: str, text: str = "") -> httpx.Response:
        return self.http.post(f"/orders/{self.order_id}/problem", headers=key(), json={"code": code, "text": text})
