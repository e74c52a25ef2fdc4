"""A marketplace without a server of its own: what was taken lies in a folder, and every act is written down there for a person."""

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.offer import Agreement, DeclineReason, Offer, ProblemCode, RemoteOrder
from agent.marketplaces.taken_orders import TakenOrders

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Serverless:
    """The half of ports.marketplace.Marketplace that comes after an offer. Every act is done at once and for good, so keys are not needed.

    `folder`: where it is kept, for whom the disk's errors are told. `no_label`: why there is none, and what to do.
    """

    def __init__(self, name: str, orders: TakenOrders, folder: Path, no_label: tuple[str, str]) -> None:
        self._name, self._orders, self._folder, self._no_label = name, orders, folder, no_label

    @property
    def name(self) -> str:
        return self._name

    async def offer(self, offer_id: str) -> Offer:
        return await self._done(self._orders.offer, offer_id)

    async def accept(self, offer_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.accept, offer_id)

    async def decline(self, offer_id: str, reason: DeclineReason, text: str, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.decline, offer_id, reason, text)

    async def order_of(self, offer_id: str) -> RemoteOrder | None:
        return await self._done(self._orders.order_of, offer_id)

    async def order(self, order_id: str) -> RemoteOrder:
        return await self._done(self._orders.order, order_id)

    async def fetch(self, offer_id: str, order_id: str | None, file_id: str, into: Path, limit_bytes: int) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.copy, offer_id, file_id, into, limit_bytes)

    async def start(self, order_id: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.start, order_id)

    async def put_photo(self, order_id: str, photo_id: str, photo: Path, key: str) -> None:  # noqa: ARG002 (the port's)
        await self._done(self._orders.put_photo, order_id, photo_id, photo)

    async def submit(
        self,
        order_id: str,
        photo_ids: Sequence[str],
        agreements: Sequence[Agreement],
        customer_note: str,
        internal_note: str,
        key: str,  # noqa: ARG002 (the port's)
    ) -> RemoteOrder:
        return await self._done(self._orders.submit, order_id, photo_ids, agreements, customer_note, internal_note)

    async def label(self, order_id: str, into: Path) -> None:  # noqa: ARG002 (the port's)
        await self.order(order_id)
        told, hint = self._no_label
        raise Refused(told, hint=hint, code="no_label")

    async def delivered(self, order_id: str, dropped_off_at: datetime, place: str, key: str) -> RemoteOrder:  # noqa: ARG002 (the port's)
        return await self._done(self._orders.delivered, order_id, dropped_off_at, place)

    async def report_problem(self, order_id: str, problem: ProblemCode, text: str, key: str) -> None:
        """Written into the order's folder; a person tells whoever ordered."""
        await self._done(self._orders.report_problem, order_id, problem, text, key)

    async def _done(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """In a thread, with the disk's errors as the domain's. A thread cannot be stopped: who is cancelled waits until it is done."""
        thread = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        try:
            with self._disk():
                return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.gather(thread, return_exceptions=True)
            raise

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """The one place where the disk's errors become the domain's."""
        try:
            yield
        except OSError as error:
            where = error.filename or self._folder
            if error.errno in _FULL:
                hint = "Free some space; the agent goes on by itself."
                raise NeedsOperator(f"The disk with {where} is full ({error.strerror}).", hint=hint, code="disk_full") from error
            hint = f"Give the agent's user all rights in {self._folder}, on one file system; the agent goes on by itself."
            raise NeedsOperator(f"{where} cannot be used: {error.strerror}.", hint=hint, code="folder_unusable") from error
