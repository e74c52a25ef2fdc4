"""What a client may send, checked as the contract says it; and what the control plane takes."""

import base64
import binascii
import hashlib
import re
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PROGRAM_WORDS = frozenset({"agent", "intagly", "bot", "robot", "daemon", "system", "automatic", "automated", "script", "program", "cron"})
_PROGRAM_NAMES = frozenset({"root", "none", "null", "auto", "admin"})  # whole names only: there are people called Root and Null


def instant(text: str) -> datetime:
    """An RFC 3339 time in UTC. ValueError where it is none. A leap second is taken as the second before it."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time, e.g. 2026-01-31T12:00:00Z")
    moment = datetime.fromisoformat(re.sub(r":60(?=[.Zz+-])", ":59", text.upper()))
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time outside of the calendar in UTC") from None


def day(text: str) -> date:
    """An RFC 3339 full-date. ValueError where it is none."""
    if not _DATE.fullmatch(text):
        raise ValueError("not a date, e.g. 2026-01-31")
    return date.fromisoformat(text)


def is_person(name: str) -> bool:
    """False for nothing at all and for what programs call themselves."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    return bool(words) and not _PROGRAM_WORDS.intersection(words) and " ".join(words) not in _PROGRAM_NAMES


def _in_utc(text: str) -> str:
    return instant(text).isoformat().replace("+00:00", "Z")


Instant = Annotated[str, AfterValidator(_in_utc)]
"""An RFC 3339 time; kept, and told again, in UTC."""


class Body(BaseModel):
    """JSON as it is: no text is taken for a number. Unknown fields are dropped."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


# --- what the contract's client sends ----------------------------------------------------------------------------
class StatusBody(Body):
    state: Literal["online", "offline"]
    until: Instant | None = None
    reason: str = ""


class DeclineBody(Body):
    reason: Literal["cannot_make", "no_capacity", "no_material", "too_big", "does_not_fit_package", "price", "file_bad", "other"]
    text: str = Field(default="", max_length=500)


class AgreementBody(Body):
    code: str
    text_sha256: str
    agreed_by: str
    agreed_at: Instant


class SubmissionBody(Body):
    photo_ids: list[str] = Field(min_length=1)
    attestations: list[AgreementBody]
    customer_note: str = Field(default="", max_length=2000)
    internal_note: str = Field(default="", max_length=2000)


class DeliveredBody(Body):
    dropped_off_at: Instant
    place: str = ""


class ProblemBody(Body):
    code: Literal["file_unprintable", "unclear_request", "does_not_fit_package", "delay", "printer_down", "other"]
    text: str = Field(default="", max_length=2000)


class SupplyBody(Body):
    kind: str
    quantity: int = Field(ge=1)


# --- what the control plane takes --------------------------------------------------------------------------------
class MoneyBody(Body):
    amount: str = Field(pattern=r"^\d{1,9}(\.\d{1,2})?$")
    currency: str = Field(pattern=r"^[A-Z]{3}$")


@lru_cache(maxsize=64)
def _read(path: str, _changed_ns: int, _size: int) -> bytes:
    """The same model in a thousand offers lies in memory once."""
    return Path(path).read_bytes()


class FileBody(Body):
    """A model, by its content or by a path on this machine. `name` is told as it stands, however strange."""

    file_id: str = ""
    name: str = ""
    content_base64: str = ""
    path: str = ""
    media_type: str = "model/stl"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.content_base64) == bool(self.path):
            raise ValueError("give content_base64 or path, one of them")
        return self

    def content(self) -> bytes:
        """ValueError where it is no base64, OSError where the path cannot be read."""
        if self.path:
            seen = Path(self.path).stat()
            return _read(self.path, seen.st_mtime_ns, seen.st_size)
        try:
            return base64.b64decode(self.content_base64, validate=True)
        except binascii.Error as error:
            raise ValueError(f"content_base64: {error}") from None


class ColorBody(Body):
    name: str = "black"
    hex: str = Field(default="#1a1a1a", pattern=r"^#[0-9A-Fa-f]{6}$")


class ItemBody(Body):
    """A model × quantity. `file_id` may be left out where the offer has one file."""

    item_id: str = ""
    file_id: str = ""
    quantity: int = Field(default=1, ge=1)
    material: str = "PLA"
    color: ColorBody = ColorBody()
    infill_percent: int = Field(default=20, ge=0, le=100)
    supports: Literal["no", "yes", "operator"] = "no"
    layer_height_mm: float | None = None
    bounding_box_mm: list[float] | None = Field(default=None, min_length=3, max_length=3)
    volume_mm3: float | None = None


class AddOnBody(Body):
    code: str
    title: str
    extra_pay: MoneyBody | None = None


class AttestationBody(Body):
    code: str
    text: str = Field(min_length=1)

    def text_sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


ATTESTATIONS = (
    AttestationBody(code="inspected", text="I have looked at every part of this order and found no fault a customer would send back."),
    AttestationBody(code="as_ordered", text="Material, colour, infill and quantity are what the order asks for."),
)
"""What a person is asked to agree to where an offer says nothing else."""


class OfferBody(Body):
    """A new offer. `label_after_s`: when the label comes after the submission, None: only when the control plane says so."""

    files: list[FileBody] = Field(min_length=1)
    items: list[ItemBody] = Field(default_factory=lambda: [ItemBody()], min_length=1)
    offer_id: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,64}$")
    payout: MoneyBody = MoneyBody(amount="12.50", currency="EUR")
    accept_within_s: float = 900.0
    files_before_accept: bool = True
    ship_by: Instant | None = None
    add_ons: list[AddOnBody] = Field(default_factory=list)
    special_instructions: str = Field(default="", max_length=5000)
    attestations: list[AttestationBody] = Field(default_factory=lambda: list(ATTESTATIONS))
    label_after_s: float | None = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _names_given(self) -> Self:
        """Fill in the ids that were left out, and refuse an item without its file."""
        for number, file in enumerate(self.files, start=1):
            file.file_id = file.file_id or f"file-{number}"
            file.name = file.name or Path(file.path).name or f"model-{number}.stl"
        known = [file.file_id for file in self.files]
        for number, item in enumerate(self.items, start=1):
            item.item_id = item.item_id or f"item-{number}"
            item.file_id = item.file_id or known[0]
            if item.file_id not in known:
                raise ValueError(f"item {item.item_id} is of file {item.file_id!r}, which the offer does not have")
        if len(set(known)) != len(known):
            raise ValueError("two files have the same file_id")
        return self


class FaultBody(Body):
    name: str
    target: str | None = None
    count: int | None = Field(default=None, ge=1)
    rate: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    params: dict[str, Any] = Field(default_factory=dict)


class EarningsBody(Body):
    state: Literal["pending", "payable", "paid"]


class SupplyStateBody(Body):
    state: Literal["open", "shipped", "arrived"]


class MessageBody(Body):
    text: str
