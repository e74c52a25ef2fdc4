"""What a marketplace offers and what an accepted order is on its side. Field names follow the Operator API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from agent.domain.values import LONGEST_TEXT, Color, Money, Name, Sha256, Text, Token, Value


class Supports(StrEnum):
    """What the customer said about supports; OPERATOR leaves it to the person who prints."""

    NO = "no"
    YES = "yes"
    OPERATOR = "operator"


class ModelFile(Value):
    """A customer's file as the marketplace announces it. `name` is untrusted and never a path."""

    file_id: Token
    name: Name
    bytes: int = Field(ge=0)
    sha256: Sha256
    media_type: str = Field(default="model/stl", max_length=100)


class Item(Value):
    """A model × quantity with its options."""

    item_id: Token
    file_id: Token
    quantity: int = Field(ge=1, le=10_000)
    material: str = Field(default="PLA", max_length=40)
    color: Color
    infill_percent: int = Field(ge=0, le=100)
    supports: Supports
    layer_height_mm: float | None = Field(default=None, gt=0, le=2)
    bounding_box_mm: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    volume_mm3: float | None = None


class AddOn(Value):
    """Extra work by hand that was ordered."""

    code: Token
    title: Name
    extra_pay: Money | None = None


class OfferState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    TAKEN = "taken"
    WITHDRAWN = "withdrawn"


class Offer(Value):
    """Work that waits for an answer. `accept_within_s` is what was left when the answer was made, so it holds for a clock that is wrong."""

    offer_id: Token
    state: OfferState
    created_at: AwareDatetime
    accept_by: AwareDatetime
    accept_within_s: float
    payout: Money
    ship_by: AwareDatetime | None = None
    items: list[Item] = Field(min_length=1, max_length=500)
    files: list[ModelFile] = Field(min_length=1, max_length=500)
    files_before_accept: bool
    add_ons: list[AddOn] = Field(default_factory=list, max_length=50)
    special_instructions: Text = ""

    def file(self, file_id: str) -> ModelFile:
        """The announced file of that id; KeyError where an item names a file that was not announced."""
        for file in self.files:
            if file.file_id == file_id:
                return file
        raise KeyError(file_id)


class Attestation(Value):
    """A sentence a person must agree to before a submission is taken. `text` is the marketplace's to the letter: its hash goes back."""

    code: Token
    text: str = Field(max_length=LONGEST_TEXT)


class Agreement(Value):
    """That a named person agreed to a text they were shown. Only a person makes one."""

    code: Token
    text_sha256: Sha256
    agreed_by: Name
    agreed_at: datetime


class Shipping(Value):
    carrier: str = ""
    tracking_number: str = ""
    label_sha256: str = ""


class RemoteState(StrEnum):
    """An accepted order as the marketplace sees it."""

    ACCEPTED = "accepted"
    STARTED = "started"
    SUBMITTED = "submitted"
    LABEL_READY = "label_ready"
    DELIVERED = "delivered"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    PROBLEM = "problem"


class RemoteOrder(Value):
    """An order on the marketplace's side."""

    order_id: Token
    offer_id: Token
    state: RemoteState
    revision: int
    updated_at: AwareDatetime
    ship_by: AwareDatetime | None = None
    payout: Money
    items: list[Item]
    files: list[ModelFile]
    add_ons: list[AddOn] = Field(default_factory=list)
    special_instructions: Text = ""
    attestations_required: list[Attestation] = Field(default_factory=list)
    shipping: Shipping | None = None


class DeclineReason(StrEnum):
    CANNOT_MAKE = "cannot_make"
    NO_CAPACITY = "no_capacity"
    NO_MATERIAL = "no_material"
    TOO_BIG = "too_big"
    DOES_NOT_FIT_PACKAGE = "does_not_fit_package"
    PRICE = "price"
    FILE_BAD = "file_bad"
    OTHER = "other"


class ProblemCode(StrEnum):
    FILE_UNPRINTABLE = "file_unprintable"
    UNCLEAR_REQUEST = "unclear_request"
    DOES_NOT_FIT_PACKAGE = "does_not_fit_package"
    DELAY = "delay"
    PRINTER_DOWN = "printer_down"
    OTHER = "other"
