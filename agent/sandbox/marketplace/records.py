"""Offers and orders as the marketplace keeps them, and as it tells them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from agent.sandbox.marketplace.bodies import AgreementBody, FileBody, OfferBody, SubmissionBody


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class StoredFile:
    """A customer's model with its bytes."""

    file_id: str
    name: str
    content: bytes
    media_type: str

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def told(self) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "name": self.name,
            "bytes": len(self.content),
            "sha256": self.sha256,
            "media_type": self.media_type,
        }


def stored_files(bodies: Sequence[FileBody]) -> dict[str, StoredFile]:
    return {body.file_id: StoredFile(body.file_id, body.name, body.content(), body.media_type) for body in bodies}


@dataclass
class Offer:
    """`asked` is what the control plane gave. `deadline` is on the monotonic clock, so a changed wall clock moves nothing."""

    offer_id: str
    seq: int
    asked: OfferBody
    files: dict[str, StoredFile]
    created_at: datetime
    accept_by: datetime
    deadline: float
    state: str = "open"
    order_id: str = ""

    def told(self, monotonic: float, clock_off: timedelta = timedelta()) -> dict[str, Any]:
        """As the contract's Offer; `monotonic` is now, `clock_off` what is wrong with the times it tells."""
        return {
            "offer_id": self.offer_id,
            "state": self.state,
            "created_at": rfc3339(self.created_at + clock_off),
            "accept_by": rfc3339(self.accept_by + clock_off),
            "accept_within_s": round(max(0.0, self.deadline - monotonic), 3),
            "files_before_accept": self.asked.files_before_accept,
            **self.work(),
        }

    def work(self) -> dict[str, Any]:
        """What offer and order have in common."""
        return {
            "payout": self.asked.payout.model_dump(),
            "ship_by": self.asked.ship_by,
            "items": [item.model_dump() for item in self.asked.items],
            "files": [file.told() for file in self.files.values()],
            "add_ons": [add_on.model_dump(exclude_none=True) for add_on in self.asked.add_ons],
            "special_instructions": self.asked.special_instructions,
        }


@dataclass(frozen=True)
class Photo:
    photo_id: str
    sha256: str
    bytes: int
    media_type: str

    def told(self) -> dict[str, Any]:
        return {"photo_id": self.photo_id, "sha256": self.sha256, "bytes": self.bytes, "media_type": self.media_type}


@dataclass
class Order:
    """An accepted offer. `label_due` is on the monotonic clock, None while nothing is due."""

    order_id: str
    seq: int
    offer: Offer
    updated_at: datetime
    state: str = "accepted"
    revision: int = 1
    photos: dict[str, Photo] = field(default_factory=dict)
    submission: SubmissionBody | None = None
    label: bytes = b""
    label_due: float | None = None
    tracking_number: str = ""
    delivered_at: datetime | None = None
    earnings: str = "pending"
    problems: list[dict[str, str]] = field(default_factory=list)

    @property
    def attestations(self) -> list[dict[str, str]]:
        return [attestation.model_dump() for attestation in self.offer.asked.attestations]

    @property
    def label_sha256(self) -> str:
        return hashlib.sha256(self.label).hexdigest()

    def told(self) -> dict[str, Any]:
        """As the contract's Order."""
        shipping = None
        if self.label:
            shipping = {"carrier": "Sandbox Post", "tracking_number": self.tracking_number, "label_sha256": self.label_sha256}
        return {
            "order_id": self.order_id,
            "offer_id": self.offer.offer_id,
            "state": self.state,
            "revision": self.revision,
            "updated_at": rfc3339(self.updated_at),
            **self.offer.work(),
            "attestations_required": self.attestations,
            "shipping": shipping,
        }

    def seen_from_inside(self) -> dict[str, Any]:
        """The order with what only the marketplace knows: photos, submission, problems, earnings."""
        return {
            **self.told(),
            "photos": [photo.told() for photo in self.photos.values()],
            "submission": self.submission.model_dump() if self.submission else None,
            "problems": list(self.problems),
            "earnings": self.earnings if self.delivered_at else None,
        }


def unanswered(required: Sequence[dict[str, str]], given: Sequence[AgreementBody]) -> list[str]:
    """The codes of required attestations nobody gave."""
    agreed = {agreement.code for agreement in given}
    return [attestation["code"] for attestation in required if attestation["code"] not in agreed]
