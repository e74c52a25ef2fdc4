"""Lists of offers: every page, every good one, and none without an end."""

import asyncio
import json
import tracemalloc
from copy import deepcopy
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.domain.errors import Transient
from agent.marketplaces import operator_calls
from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.marketplaces.deal import GOOD, MB, SOON, Deal, against, api_of, new_key
from tests.rigs.http_stub import Received, hang, reply
from tests.sandbox.stall import offer

# --- lists -------------------------------------------------------------------------------------------------------


async def test_every_page_of_offers_oldest_first(fresh: SandboxMarketplace) -> None:
    offers = [fresh.add_offer(offer()) for _ in range(45)]
    async with api_of(fresh) as api:
        assert [each.offer_id for each in await api.offers()] == offers


@pytest.mark.parametrize("offset_s", [-600.0, 600.0])
async def test_the_deadline_holds_although_a_clock_is_wrong(offset_s: float) -> None:
    with SandboxMarketplace(Options(clock_offset_s=offset_s)) as market:
        offer_id = market.add_offer(offer(accept_within_s=45))
        async with api_of(market) as api:
            (told,) = await api.offers()
            assert 40 < told.accept_within_s <= 45
            assert abs((told.accept_by - datetime.now(UTC)).total_seconds() - 45 - offset_s) < SOON
            assert (await api.accept(offer_id, new_key())).offer_id == offer_id


async def test_the_time_an_answer_took_is_not_counted_as_left(fresh: SandboxMarketplace) -> None:
    fresh.add_offer(offer(accept_within_s=100))
    fresh.set_fault("slow", "listOffers", 1, seconds=0.5, drip=True)
    async with api_of(fresh) as api:
        (told,) = await api.offers()
    assert told.accept_within_s <= 99.6


def changed(**more: Any) -> dict[str, Any]:
    return {**deepcopy(GOOD), "offer_id": "of-bad", **more}


def page(*offers: object, cursor: object = None) -> bytes:
    return json.dumps({"offers": offers, "next_cursor": cursor}).encode()


BAD: list[object] = [
    None,
    "an offer",
    [],
    {},
    changed(state="melted"),
    changed(items=[]),
    changed(items=[{**GOOD["items"][0], "file_id": "another"}]),
    changed(accept_within_s=1e300),
    changed(accept_within_s=-1e300),
    changed(accept_within_s=None),
    changed(payout={"amount": "1e999999999", "currency": "EUR"}),
    changed(payout={"amount": "NaN", "currency": "EUR"}),
    changed(add_ons=[{"code": "x", "title": "x", "extra_pay": {"amount": "-1e99999", "currency": "EUR"}}]),
    changed(offer_id="../accept"),
    changed(offer_id=".."),
    changed(created_at="yesterday"),
    changed(special_instructions="x" * 5001),
    changed(special_instructions="x" * 4_000_000),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
async def test_an_offer_that_cannot_be_used_does_not_hide_the_good_ones(bad: object) -> None:
    async with against(reply(200, page(bad, GOOD))) as (api, _):
        with capture_logs() as logs:
            for _ in range(3):
                assert [each.offer_id for each in await api.offers()] == ["of-good"]
    assert [line["event"] for line in logs] == ["offer_unreadable"]  # told once
    assert len(logs[0]["why"]) < 1000


async def test_what_is_remembered_of_bad_offers_is_bounded() -> None:
    async with against(reply(200, b"")) as (api, stub):
        for start in range(0, 3000, 500):
            stub.answer = reply(200, page(*({"offer_id": f"bad-{n}"} for n in range(start, start + 500))))
            assert await api.offers() == []
        assert len(api._rows.told) <= 1000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"offers": {}}',
        page(cursor=7),
        page(cursor={"a": 1}),
        page(cursor="x" * 3000),
        b"[" * 100_000,
        b"9" * 100_000,
        b'{"offers": ["\\ud800"]}',
        b"\xff\xfe",
    ],
    ids=range(12),
)
async def test_what_is_no_page_is_not_understood(content: bytes) -> None:
    async with against(reply(200, content)) as (api, _):
        with pytest.raises(Transient) as failed:
            await api.offers()
    assert failed.value.code == "unreadable"


async def test_a_list_without_an_end_ends_here(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)

    async def endless(_request: Received, writer: asyncio.StreamWriter) -> None:
        content = page(changed(offer_id=f"of-{next(numbers)}"), cursor=f"c{next(numbers)}")
        writer.write(reply(200, content, Connection="close"))

    monkeypatch.setattr(operator_calls, "MOST_PAGES", 5)
    async with against(endless) as (api, stub):
        assert len(await api.offers()) == 5
        stub.answer = reply(200, page(GOOD, cursor="the same for ever"))
        assert len(await api.offers()) == 2
        monkeypatch.setattr(operator_calls, "LIST_S", 0.1)
        stub.answer = hang
        with pytest.raises(Transient) as late:
            await api.offers()
    assert late.value.code == "timeout"


async def test_ten_megabytes_of_instructions_are_not_taken_in() -> None:
    content = page(GOOD, changed(special_instructions="x" * 10_000_000))
    async with against(reply(200, content)) as (api, _):
        begun = asyncio.get_running_loop().time()
        tracemalloc.start()
        with pytest.raises(Transient) as failed:
            await api.offers()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert failed.value.code == "answer_too_large"
        assert asyncio.get_running_loop().time() - begun < SOON
        assert peak < 25 * MB  # what the server still holds is counted too


async def test_an_accept_whose_answer_is_too_large_is_not_called_refused() -> None:
    """It may have been accepted: that is to be read back."""
    async with against(reply(200, b" " * 6_000_000)) as (api, _):
        with pytest.raises(Transient) as failed:
            await api.accept("of-1", new_key())
    assert failed.value.code == "answer_too_large"


async def test_an_answer_that_comes_packed_is_not_unpacked() -> None:
    async with against(reply(200, b"\x1f\x8b" + bytes(1000), Content_Encoding="gzip")) as (api, stub):
        with pytest.raises(Transient) as failed:
            await api.offers()
        assert stub.received[0].headers["accept-encoding"] == "identity"
    assert failed.value.code == "unreadable"


async def test_an_order_with_an_impossible_amount_is_not_understood(deal: Deal) -> None:
    """Written into the history it would fill the memory."""
    order = (await deal.api.accept(deal.offer_id, new_key())).model_dump(mode="json")
    order["payout"]["amount"] = "1e999999999"
    async with against(reply(200, json.dumps(order).encode())) as (api, _):
        with pytest.raises(Transient) as failed:
            await api.accept("of-1", new_key())
    assert failed.value.code == "unreadable"
