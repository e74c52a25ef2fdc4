"""What a marketplace's clock shows, by its answers: whatever this machine's own clock does, and whatever is said."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.marketplaces.deal import GOOD, SOON, against, api_of
from tests.rigs.http_stub import Received, reply
from tests.sandbox.stall import offer


def off(api: OperatorApi, now: datetime) -> list[float]:
    return [reading.ahead(now).total_seconds() for reading in api.clock()]


@pytest.mark.parametrize("offset_s", [-600.0, 600.0])
async def test_its_clock_is_told_by_the_answers_and_by_the_offers(offset_s: float) -> None:
    with SandboxMarketplace(Options(clock_offset_s=offset_s)) as market:
        market.add_offer(offer())
        async with api_of(market) as api:
            assert api.clock() == []
            await api.offers()
            by_date, by_offer = off(api, datetime.now(UTC))
            assert by_date == pytest.approx(-offset_s, abs=SOON)
            assert by_offer == pytest.approx(-offset_s, abs=SOON)


async def test_the_latest_readings_are_kept_and_no_more(fresh: SandboxMarketplace) -> None:
    async with api_of(fresh) as api:
        for _ in range(20):
            await api.status()
        assert len(api.clock()) == 8


async def test_a_reading_goes_on_whatever_this_machine_s_clock_does() -> None:
    then = datetime(2026, 1, 31, 12, tzinfo=UTC)
    async with against(reply(200, b'{"state": "online"}', Date=format_datetime(then, usegmt=True))) as (api, _):
        await api.status()
        assert off(api, then + timedelta(seconds=0.5)) == [0.0]
        await asyncio.sleep(0.05)
        (reading,) = api.clock()
        assert reading.earliest >= then + timedelta(seconds=0.05)
        assert off(api, then - timedelta(hours=1))[0] < -3600
        assert off(api, then + timedelta(hours=1))[0] > 3500


@pytest.mark.parametrize(
    "told",
    [
        "",
        "now",
        "Sat, 31 Jan 2026",
        "Mon, 01 Jan 1900 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "x" * 9000,
        "Sat, 31 Jan 2026 12:00:00",
    ],
)
async def test_a_date_that_is_none_tells_nothing(told: str) -> None:
    async with against(reply(200, b'{"state": "online"}', Date=told)) as (api, _):
        await api.status()
        assert api.clock() == []


async def test_nor_do_offers_from_beyond_the_calendar() -> None:
    async def says(_request: Received, writer: asyncio.StreamWriter) -> None:
        offers = [{**GOOD, "offer_id": f"of-{n}", "accept_by": by, "accept_within_s": s} for n, (by, s) in enumerate(BEYOND)]
        writer.write(reply(200, json.dumps({"offers": offers, "next_cursor": None}).encode(), Connection="close"))

    async with against(says) as (api, _):
        assert len(await api.offers()) == len(BEYOND)
        assert api.clock() == []


BEYOND = [("0001-01-01T00:00:00Z", 31_000_000), ("9999-12-31T23:59:59Z", -31_000_000), ("9999-12-31T23:59:59Z", 0)]
