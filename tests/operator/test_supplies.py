"""Asking for supplies: once, whatever becomes of the answer and of the agent; against a real marketplace over HTTP, with a real ledger."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.account import SupplyRequest
from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.operator_api import OperatorApi
from agent.operator.supplies import KEY_HOLDS, OpenSupplies, Wish, ask_for
from agent.ports.ledger import Stale
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import against, api_of
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.rigs.http_stub import reply
from tests.workflow.workshop import Inbox

NOW = datetime.now(UTC)
BOXES = Wish("shop", "box_s", 10, "Ada Example")


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    lay_empty_ledger(tmp_path)
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        yield opened


async def test_what_is_on_its_way_is_not_asked_for_again_unless_it_is_said(market: SandboxMarketplace, ledger: SqlLedger) -> None:
    async with api_of(market) as api:
        first = await ask_for(api, ledger, BOXES, NOW)
        for quantity in (10, 20):
            with pytest.raises(Refused) as refused:
                await ask_for(api, ledger, BOXES._replace(quantity=quantity), NOW)
            assert refused.value.code == "on_its_way" and first.request_id in str(refused.value)
        assert (await ask_for(api, ledger, BOXES._replace(kind="filler"), NOW)).kind == "filler"
        assert (await ask_for(api, ledger, BOXES, NOW, again=True)).request_id != first.request_id
        market.set_supply_state(first.request_id, "arrived")
        with pytest.raises(Refused) as unknown:
            await ask_for(api, ledger, BOXES._replace(kind="gold"), NOW)
    assert unknown.value.code == "unknown_kind" and "box_s" in unknown.value.hint
    assert market.times_done("requestSupplies") == 3
    assert ledger.open_supply_intents() == []


async def test_a_lost_answer_is_read_back(market: SandboxMarketplace, ledger: SqlLedger) -> None:
    async with api_of(market) as api:
        for again in (False, True):
            market.set_fault("drop_reply_after_acting", "requestSupplies", 1)
            made = await ask_for(api, ledger, BOXES, NOW, again=again)
            assert made in (await api.supplies()).requests
    assert market.times_done("requestSupplies") == 2
    assert ledger.open_supply_intents() == []


async def test_a_request_that_did_not_get_there_is_told_and_the_next_one_does(market: SandboxMarketplace, ledger: SqlLedger) -> None:
    async with api_of(market) as api:
        market.set_fault("drop_before_acting", "requestSupplies", 1)
        with pytest.raises(Transient) as unknown:
            await ask_for(api, ledger, BOXES, NOW)
        assert unknown.value.code == "supplies_unknown"
        await ask_for(api, ledger, BOXES, NOW)
    assert market.times_done("requestSupplies") == 1
    assert len(market.journal()["acts"]["requestSupplies"][""]["keys"]) == 1


async def test_where_requests_are_not_shown_the_key_keeps_it_to_one(market: SandboxMarketplace, ledger: SqlLedger) -> None:
    """The contract leaves that open; a day later it is another wish."""
    async with api_of(market) as api:
        first = await ask_for(api, ledger, BOXES, NOW)
        market.set_supply_state(first.request_id, "arrived")  # the sandbox shows it no more
        assert (await ask_for(api, ledger, BOXES, NOW)).request_id == first.request_id
        assert (await ask_for(api, ledger, BOXES, NOW + timedelta(days=1))).request_id != first.request_id


# --- what was left open ----------------------------------------------------------------------------------------------
async def left_open(market: SandboxMarketplace, ledger: SqlLedger, fault: str) -> OperatorApi:
    """As a kill leaves it: it got there ("drop_reply_after_acting"), or it did not, and nobody could look after it."""
    api = api_of(market)
    async with api:
        market.set_fault(fault, "requestSupplies", 1)
        with pytest.raises(asyncio.CancelledError):
            await ask_for(Dying(api), ledger, BOXES, NOW)  # type: ignore[arg-type]
    assert len(ledger.open_supply_intents()) == 1
    return api


class Dying:
    """A marketplace before an agent that goes when its connection does."""

    def __init__(self, api: OperatorApi) -> None:
        self.supplies = api.supplies
        self._api = api

    async def request_supplies(self, kind: str, quantity: int, key: str) -> SupplyRequest:
        try:
            return await self._api.request_supplies(kind, quantity, key)
        except Transient:
            raise asyncio.CancelledError from None


async def settled(market: SandboxMarketplace, ledger: SqlLedger, inbox: Inbox, now: datetime = NOW) -> None:
    """A life of the agent, in which it is settled."""
    async with api_of(market) as api:
        await OpenSupplies({"shop": api}, ledger, inbox, lambda: now).look(left_behind=True)
    assert ledger.open_supply_intents() == []


@pytest.mark.parametrize("fault", ["drop_before_acting", "drop_reply_after_acting"])
async def test_what_was_left_open_is_settled_by_the_next_life_once(market: SandboxMarketplace, ledger: SqlLedger, fault: str) -> None:
    await left_open(market, ledger, fault)
    await settled(market, ledger, Inbox())
    assert market.times_done("requestSupplies") == 1
    assert len(market.journal()["acts"]["requestSupplies"][""]["keys"]) == 1
    async with api_of(market) as api:
        (request,) = (await api.supplies()).requests
        assert (request.kind, request.quantity) == ("box_s", 10)
        with pytest.raises(Refused):
            await ask_for(api, ledger, BOXES, NOW)


async def test_whoever_asks_while_one_is_open_hears_of_that_one(market: SandboxMarketplace, ledger: SqlLedger) -> None:
    await left_open(market, ledger, "drop_before_acting")
    async with api_of(market) as api:
        with pytest.raises(Stale):
            await ask_for(api, ledger, BOXES._replace(quantity=30), NOW, seen=[])
    assert market.times_done("requestSupplies") == 1
    assert ledger.open_supply_intents() == []


@pytest.mark.parametrize(("fault", "done"), [("drop_before_acting", 0), ("drop_reply_after_acting", 1)])
async def test_after_a_day_no_key_is_trusted_and_a_person_is_told_where_nobody_knows(
    market: SandboxMarketplace, ledger: SqlLedger, fault: str, done: int
) -> None:
    await left_open(market, ledger, fault)
    inbox = Inbox()
    await settled(market, ledger, inbox, NOW + KEY_HOLDS + timedelta(hours=1))
    assert market.times_done("requestSupplies") == done
    assert [notice.event for notice in inbox.notices] == ["supplies_unknown"] * (1 - done)


async def test_a_token_that_does_not_serve_has_asked_for_nothing(ledger: SqlLedger) -> None:
    async def answer(request: Any, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"lead_time_days": 5, "kinds": [{"kind": "box", "title": "Box"}]}).encode()
        writer.write(reply(200, body, Connection="close") if request.method == "GET" else reply(401, Connection="close"))
        await writer.drain()

    async with against(answer) as (api, _):
        with pytest.raises(NeedsOperator):
            await ask_for(api, ledger, BOXES._replace(kind="box"), NOW)
    assert ledger.open_supply_intents() == []


_KILLED = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.marketplaces.operator_api import OperatorApi
from agent.operator.supplies import Wish, ask_for

folder, url, token, point = sys.argv[1:]

def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    with SqlLedger(sqlite_url(Path(folder))) as ledger:
        async with OperatorApi("shop", url, lambda: token, 30.0) as api:
            if point == "between the intent and the call":
                api.request_supplies = die
            else:
                ledger.settle_supplies = die
            await ask_for(api, ledger, Wish("shop", "box_s", 10, "Ada Example"), datetime.now(UTC))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("point", "done"), [("between the intent and the call", 0), ("between the call and the record", 1)], ids=["before", "after"]
)
async def test_killed_at_either_point_it_is_asked_for_once(market: SandboxMarketplace, ledger: SqlLedger, point: str, done: int) -> None:
    folder = Path(str(ledger._engine.url.database)).parent
    program = [sys.executable, "-c", _KILLED, str(folder), market.url, market.token, point]
    ended = await asyncio.to_thread(subprocess.run, program, timeout=60, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL
    assert market.times_done("requestSupplies") == done
    await settled(market, ledger, Inbox(), datetime.now(UTC))
    assert market.times_done("requestSupplies") == 1
    async with api_of(market) as api:
        assert [(one.kind, one.quantity) for one in (await api.supplies()).requests] == [("box_s", 10)]


SUPPLIES: dict[str, Any] = {
    "lead_time_days": 5,
    "kinds": [{"kind": "box", "title": "Box"}],
    "open_requests": [{"request_id": "su-1", "kind": "box", "quantity": 10, "state": "flying"}],
}


async def test_what_cannot_be_read_may_be_on_its_way(ledger: SqlLedger) -> None:
    async with against(reply(200, json.dumps(SUPPLIES).encode())) as (api, stub):
        with pytest.raises(Refused) as refused:
            await ask_for(api, ledger, BOXES._replace(kind="box"), NOW)
    assert refused.value.code == "on_its_way"
    assert [request.method for request in stub.received] == ["GET"]
