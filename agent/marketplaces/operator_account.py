"""The operator's account in the Operator API: status, supplies, earnings, and what the marketplace's clock shows."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from agent.domain.account import ClockReading, Earnings, Status, Supplies, SupplyRequest
from agent.marketplaces.operator_answers import Rows, parsed
from agent.marketplaces.operator_calls import Calls

LONGEST_REASON = 500


class OperatorAccount:
    """Implements Switchable, Supplying, Paying and TellsTheTime of ports.marketplace; a part of `OperatorApi`."""

    _calls: Calls
    _rows: Rows

    async def status(self) -> Status:
        return parsed(Status, await self._calls.get("/status"))

    async def set_status(self, status: Status, key: str) -> Status:
        body: dict[str, Any] = {"state": status.state.value, "reason": status.reason[:LONGEST_REASON]}
        body |= {"until": status.until.isoformat()} if status.until is not None else {}
        return parsed(Status, await self._calls.put("/status", key, body))

    async def supplies(self) -> Supplies:
        return self._rows.supplies(await self._calls.get("/supplies"))

    async def request_supplies(self, kind: str, quantity: int, key: str) -> SupplyRequest:
        return parsed(SupplyRequest, await self._calls.post("/supplies/requests", key, {"kind": kind, "quantity": quantity}))

    async def earnings(self, first: date | None = None, last: date | None = None) -> Earnings:
        days: Mapping[str, date | None] = {"from": first, "to": last}
        asked = {name: day.isoformat() for name, day in days.items() if day is not None}
        return self._rows.earnings(await self._calls.get("/earnings", asked))

    def clock(self) -> Sequence[ClockReading]:
        return self._calls.clock.now()
