"""A place that offers orders. Names and meaning follow the Operator API; other places translate to it."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from agent.domain.account import ClockReading, Earnings, Status, Supplies, SupplyRequest
from agent.domain.offer import Agreement, DeclineReason, Offer, ProblemCode, RemoteOrder


class Marketplace(Protocol):
    """One marketplace. Every act takes the `key` its intent was written under: the same key is the same act, done once.

    Transient: not known or not now. Refused: answered no (`code` is the marketplace's own: taken, withdrawn,
    deadline_passed, not_before_accept, label_not_ready, …). NeedsOperator: the token does not serve.
    """

    @property
    def name(self) -> str: ...

    @property
    def answered_by_person(self) -> bool:
        """It takes no answer from a program: a person answers there, and tells us. `accept` then notes what they said they did."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def offers(self) -> Sequence[Offer]:
        """All offers that wait for an answer, oldest first."""
        ...

    async def wait_for_news(self) -> None:
        """Return when it is worth asking for offers again: an event, a file, or the poll interval gone by."""
        ...

    async def offer(self, offer_id: str) -> Offer:
        """The offer as it stands now, also when it was answered."""
        ...

    async def accept(self, offer_id: str, key: str) -> RemoteOrder: ...

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None: ...

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        """The order that accepting this offer made, read back; None where it is not ours."""
        ...

    async def order(self, order_id: str) -> RemoteOrder: ...

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:
        """Stream a model into a file, before acceptance where `order_id` is None. Refused when it grows past the limit."""
        ...

    async def start(self, order_id: str, key: str) -> RemoteOrder: ...

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None: ...

    async def submit(
        self, order_id: str, photo_ids: Sequence[str], agreements: Sequence[Agreement], customer_note: str, internal_note: str, key: str
    ) -> RemoteOrder: ...

    async def label(self, order_id: str, into: Path) -> None:
        """Stream the label into a file. Refused with code label_not_ready while there is none."""
        ...

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder: ...

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None: ...


@runtime_checkable
class Switchable(Protocol):
    """A marketplace that lets its operator stop the offers, and start them again."""

    async def status(self) -> Status: ...

    async def set_status(self, status: Status, key: str) -> Status:
        """The status as it was set. Setting the same one twice is harmless, so a lost answer needs no reading back."""
        ...


@runtime_checkable
class Supplying(Protocol):
    """A marketplace that sends its operators boxes and the like."""

    async def supplies(self) -> Supplies: ...

    async def request_supplies(self, kind: str, quantity: int, key: str) -> SupplyRequest:
        """A second request is a second parcel, unless it carries the first one's key."""
        ...


@runtime_checkable
class Paying(Protocol):
    """A marketplace that tells what was earned."""

    async def earnings(self, first: date | None = None, last: date | None = None) -> Earnings:
        """Of orders delivered from that day to that day, both included, by the marketplace's own calendar."""
        ...


@runtime_checkable
class TellsTheTime(Protocol):
    """A marketplace whose answers show what its clock says."""

    def clock(self) -> Sequence[ClockReading]:
        """What it shows now, by each way it was told, whatever this machine's own clock does. Empty before the first answer."""
        ...
