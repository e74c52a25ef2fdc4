"""News: an offer is seen at once where the marketplace streams its events, and with the next poll where it does not."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from agent.marketplaces import event_stream
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.marketplaces.deal import SOON, Deal, api_of
from tests.rigs.cable import Cable
from tests.sandbox.stall import offer

# --- news --------------------------------------------------------------------------------------------------------


async def seconds(waiting: Awaitable[None]) -> float:
    begun = asyncio.get_running_loop().time()
    await waiting
    return asyncio.get_running_loop().time() - begun


async def listening(market: SandboxMarketplace, api: OperatorApi) -> asyncio.Task[float]:
    """Waits for news, with the stream standing."""
    before = market.journal()["requests"].get("listEvents", 0)
    waiting = asyncio.create_task(seconds(api.wait_for_news()))
    async with asyncio.timeout(SOON):
        while market.journal()["requests"].get("listEvents", 0) == before:  # noqa: ASYNC110 (another thread's doing)
            await asyncio.sleep(0.005)
    return waiting


async def test_a_new_offer_is_seen_at_once(fresh: SandboxMarketplace) -> None:
    async with api_of(fresh) as api:
        waiting = await listening(fresh, api)
        offer_id = fresh.add_offer(offer())
        assert await waiting < SOON
        assert [each.offer_id for each in await api.offers()] == [offer_id]


async def test_our_own_acts_are_no_news(fresh: SandboxMarketplace, tmp_path: Path) -> None:
    async with api_of(fresh, poll_interval_s=0.5) as api:
        deal = Deal(api, fresh, tmp_path)
        await (await listening(fresh, api))  # the offer's own event
        waiting = asyncio.create_task(seconds(api.wait_for_news()))
        await deal.reach("markDelivered")
        assert await waiting >= 0.45


@pytest.mark.parametrize("fault", ["slow", "error_500", "unavailable_503", "too_many_429", "drop_before_acting", "drop_reply_after_acting"])
async def test_without_a_stream_offers_are_polled(fresh: SandboxMarketplace, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "ANSWER_S", 0.1)
    fresh.set_fault(fault, "listEvents")
    async with api_of(fresh, poll_interval_s=0.2) as api:
        for _ in range(3):
            assert 0.15 <= await seconds(api.wait_for_news()) < SOON
        offer_id = fresh.add_offer(offer())
        assert [each.offer_id for each in await api.offers()] == [offer_id]
        assert fresh.journal()["requests"]["listEvents"] <= 2


async def test_a_marketplace_that_went_and_came_back_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST_PAUSE_S", 0.02), ("LONGEST_PAUSE_S", 0.05)):
        monkeypatch.setattr(event_stream, name, value)
    first = SandboxMarketplace(Options(token="sesame")).__enter__()
    port = int(first.url.split(":")[2].split("/")[0])
    async with api_of(first) as api:
        waiting = await listening(first, api)
        await asyncio.to_thread(first.__exit__)
        with SandboxMarketplace(Options(port=port, token="sesame")) as second:
            second.add_offer(offer())
            assert await waiting < SOON


async def test_a_stream_that_was_cut_goes_on_after_the_last_event(fresh: SandboxMarketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard before is not told again, and what happened meanwhile is."""
    monkeypatch.setattr(event_stream, "FIRST_PAUSE_S", 0.02)
    port = int(fresh.url.split(":")[2].split("/")[0])
    async with Cable(port) as cable, OperatorApi("sandbox", fresh.url.replace(str(port), str(cable.port)), lambda: fresh.token, 1.5) as api:
        waiting = await listening(fresh, api)
        fresh.add_offer(offer())
        assert await waiting < 1.2
        cable.pull()
        await cable.plug()
        assert await (await listening(fresh, api)) >= 1.4, "the offer of before the cut is no news"
        cable.pull()
        fresh.add_offer(offer())
        await cable.plug()
        assert await (await listening(fresh, api)) < 1.2
        assert len(await api.offers()) == 2


async def test_a_closed_adapter_listens_no_more(fresh: SandboxMarketplace) -> None:
    before = asyncio.all_tasks()
    async with api_of(fresh) as api:
        waiting = await listening(fresh, api)
        waiting.cancel()
    assert asyncio.all_tasks() - before <= {waiting}
    async with api:  # and may be opened again
        again = await listening(fresh, api)
        fresh.add_offer(offer())
        assert await again < SOON
