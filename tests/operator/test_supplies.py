"""Asking for supplies: once, whatever becomes of the answer; against a real marketplace over HTTP."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from agent.domain.errors import Refused, Transient
from agent.operator.supplies import ask_for
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import against, api_of
from tests.rigs.http_stub import reply

TODAY = date(2026, 1, 31)


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


async def test_what_is_on_its_way_is_not_asked_for_again_unless_it_is_said(market: SandboxMarketplace) -> None:
    async with api_of(market) as api:
        first = await ask_for(api, "shop", "box_s", 10, TODAY)
        for quantity in (10, 20):
            with pytest.raises(Refused) as refused:
                await ask_for(api, "shop", "box_s", quantity, TODAY)
            assert refused.value.code == "on_its_way" and first.request_id in str(refused.value)
        assert (await ask_for(api, "shop", "filler", 10, TODAY)).kind == "filler"
        assert (await ask_for(api, "shop", "box_s", 10, TODAY, again=True)).request_id != first.request_id
        market.set_supply_state(first.request_id, "arrived")
        with pytest.raises(Refused) as unknown:
            await ask_for(api, "shop", "gold", 1, TODAY)
    assert unknown.value.code == "unknown_kind" and "box_s" in unknown.value.hint
    assert market.times_done("requestSupplies") == 3


async def test_a_lost_answer_is_read_back(market: SandboxMarketplace) -> None:
    async with api_of(market) as api:
        for again in (False, True):
            market.set_fault("drop_reply_after_acting", "requestSupplies", 1)
            made = await ask_for(api, "shop", "box_s", 10, TODAY, again=again)
            assert made in (await api.supplies()).requests
    assert market.times_done("requestSupplies") == 2


async def test_a_request_that_did_not_get_there_is_told_and_the_next_one_does(market: SandboxMarketplace) -> None:
    async with api_of(market) as api:
        market.set_fault("drop_before_acting", "requestSupplies", 1)
        with pytest.raises(Transient) as unknown:
            await ask_for(api, "shop", "box_s", 10, TODAY)
        assert unknown.value.code == "supplies_unknown"
        await ask_for(api, "shop", "box_s", 10, TODAY)
    assert market.times_done("requestSupplies") == 1
    assert len(market.journal()["acts"]["requestSupplies"][""]["keys"]) == 1


async def test_where_requests_are_not_shown_the_key_keeps_it_to_one(market: SandboxMarketplace) -> None:
    """The contract leaves that open; a day later it is another wish."""
    async with api_of(market) as api:
        first = await ask_for(api, "shop", "box_s", 10, TODAY)
        market.set_supply_state(first.request_id, "arrived")  # the sandbox shows it no more
        assert (await ask_for(api, "shop", "box_s", 10, TODAY)).request_id == first.request_id
        assert (await ask_for(api, "shop", "box_s", 10, TODAY + timedelta(days=1))).request_id != first.request_id


SUPPLIES: dict[str, Any] = {
    "lead_time_days": 5,
    "kinds": [{"kind": "box", "title": "Box"}],
    "open_requests": [{"request_id": "su-1", "kind": "box", "quantity": 10, "state": "flying"}],
}


async def test_what_cannot_be_read_may_be_on_its_way() -> None:
    async with against(reply(200, json.dumps(SUPPLIES).encode())) as (api, stub):
        with pytest.raises(Refused) as refused:
            await ask_for(api, "shop", "box", 10, TODAY)
    assert refused.value.code == "on_its_way"
    assert [request.method for request in stub.received] == ["GET"]
