"""The adapter against a real marketplace over HTTP: every call, and every way in which one can go wrong."""

import asyncio
import hashlib
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.offer import OfferState, RemoteState
from agent.marketplaces import downloads, operator_calls
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.faults import KINDS
from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.marketplaces.deal import ACTS, BEFORE, FILES, LONG, MB, SOON, WITHOUT_JSON, Deal, against, api_of, new_key
from tests.rigs.http_stub import Received, reply
from tests.sandbox.stall import JPEG, MODEL, offer

every_operation = pytest.mark.parametrize("operation", list(BEFORE))


# --- all goes well -----------------------------------------------------------------------------------------------


async def test_an_order_from_offer_to_delivered(deal: Deal, api: OperatorApi, market: SandboxMarketplace) -> None:
    (listed,) = [offer for offer in await api.offers() if offer.offer_id == deal.offer_id]
    assert listed.files[0].sha256 == hashlib.sha256(MODEL).hexdigest()
    await deal.do("previewOfferFile", "")
    assert deal.into.read_bytes() == MODEL
    assert await api.order_of(deal.offer_id) is None
    accepted = await api.accept(deal.offer_id, new_key())
    deal.order_id = accepted.order_id
    assert (accepted.state, (await api.offer(deal.offer_id)).state) == (RemoteState.ACCEPTED, OfferState.ACCEPTED)
    assert await api.order_of(deal.offer_id) == accepted
    await deal.do("getOrderFile", "")
    assert deal.into.read_bytes() == MODEL
    assert (await api.start(deal.order_id, new_key())).state is RemoteState.STARTED
    await deal.do("putPhoto", new_key())
    await deal.do("reportProblem", new_key())
    assert (await deal.do("submitOrder", new_key())).state is RemoteState.LABEL_READY
    await deal.do("getLabel", "")
    assert deal.into.read_bytes().startswith(b"%PDF-")
    assert (await deal.do("markDelivered", new_key())).state is RemoteState.DELIVERED
    inside = market.order(deal.order_id)
    assert inside["photos"][0]["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert inside["submission"]["customer_note"] == "Thank you"
    assert len(inside["problems"][0]["text"]) == 2000
    assert all(deal.times_done(act) == 1 for act in ACTS if act != "declineOffer")


@pytest.mark.parametrize("operation", ACTS)
async def test_an_act_carries_its_key_and_is_done_once_however_often_it_is_sent(deal: Deal, operation: str) -> None:
    await deal.reach(operation)
    key = new_key()
    first = await deal.do(operation, key)
    assert await deal.do(operation, key) == first
    assert deal.times_done(operation) == 1
    tallies = deal.market.journal()["acts"][operation]
    assert [tally["keys"] for tally in tallies.values() if key in tally["keys"]] == [[key]]


@pytest.mark.parametrize(("content", "kind"), [(JPEG, "jpeg"), (b"\x89PNG\r\n\x1a\n..", "png"), (b"RIFF\0\0\0\0WEBPVP8 ", "webp")])
async def test_a_photo_says_what_it_is(deal: Deal, content: bytes, kind: str) -> None:
    await deal.reach("putPhoto")
    deal.photo.write_bytes(content)
    await deal.do("putPhoto", new_key())
    assert deal.market.order(deal.order_id)["photos"][0]["media_type"] == f"image/{kind}"


# --- every fault, at every operation it can hit ------------------------------------------------------------------


@every_operation
@pytest.mark.parametrize(
    ("fault", "params", "code", "retry_after_s"),
    [
        ("error_500", {}, "internal_error", None),
        ("unavailable_503", {"retry_after_s": 7}, "unavailable", 7.0),
        ("too_many_429", {"retry_after_s": 9}, "too_many_requests", 9.0),
        ("drop_before_acting", {}, "unreachable", None),
    ],
)
async def test_not_now(deal: Deal, operation: str, fault: str, params: dict[str, Any], code: str, retry_after_s: float | None) -> None:
    """Nothing was done, and the same key serves when it is sent again."""
    await deal.reach(operation)
    deal.market.set_fault(fault, operation, 1, **params)
    key = new_key()
    with pytest.raises(Transient) as failed:
        await deal.do(operation, key)
    assert (failed.value.code, failed.value.retry_after_s) == (code, retry_after_s)
    assert deal.times_done(operation) == 0
    await deal.do(operation, key)
    assert deal.times_done(operation) == (1 if operation in ACTS else 0)


@every_operation
async def test_drop_reply_after_acting(deal: Deal, operation: str) -> None:
    """It was done; the same key gives the answer that was lost, and does nothing twice."""
    await deal.reach(operation)
    deal.market.set_fault("drop_reply_after_acting", operation, 1)
    key = new_key()
    with pytest.raises(Transient) as failed:
        await deal.do(operation, key)
    assert failed.value.code == "unreachable"
    await deal.do(operation, key)
    assert deal.times_done(operation) == (1 if operation in ACTS else 0)


@every_operation
async def test_broken_json(deal: Deal, operation: str) -> None:
    """Not known: so it is asked again. An answer that has no JSON is as good as ever; half a file is for its sha256 to tell."""
    await deal.reach(operation)
    deal.market.set_fault("broken_json", operation, 1)
    key = new_key()
    if operation in WITHOUT_JSON:
        await deal.do(operation, key)
    else:
        with pytest.raises(Transient) as failed:
            await deal.do(operation, key)
        assert failed.value.code == "unreadable"
    await deal.do(operation, key)
    assert deal.times_done(operation) == (1 if operation in ACTS else 0)


@every_operation
@pytest.mark.parametrize("drip", [False, True])
async def test_slow(deal: Deal, operation: str, drip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    await deal.reach(operation)
    monkeypatch.setattr(operator_calls, "CALL_S", 0.15)
    monkeypatch.setattr(downloads, "LEAST_S", 0.15)
    deal.market.set_fault("slow", operation, 1, seconds=LONG, drip=drip)
    begun = asyncio.get_running_loop().time()
    if drip and operation in ("declineOffer", "putPhoto"):
        await deal.do(operation, new_key())  # an answer without a body has nothing to drip
    else:
        with pytest.raises(Transient) as failed:
            await deal.do(operation, new_key())
        assert failed.value.code == "timeout"
    assert asyncio.get_running_loop().time() - begun < SOON


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [
        ("deadline_expired", "deadline_passed", OfferState.EXPIRED),
        ("offer_withdrawn", "withdrawn", OfferState.WITHDRAWN),
        ("offer_taken", "taken", OfferState.TAKEN),
    ],
)
async def test_the_offer_goes_the_moment_it_is_accepted(deal: Deal, fault: str, code: str, state: OfferState) -> None:
    deal.market.set_fault(fault, count=1)
    with pytest.raises(Refused) as refused:
        await deal.do("acceptOffer", new_key())
    assert refused.value.code == code
    assert (await deal.api.offer(deal.offer_id)).state is state
    assert await deal.api.order_of(deal.offer_id) is None


async def test_not_before_accept(deal: Deal) -> None:
    deal.market.set_fault("not_before_accept", count=1)
    with pytest.raises(Refused) as refused:
        await deal.do("previewOfferFile", "")
    assert refused.value.code == "not_before_accept"


@pytest.mark.parametrize("operation", FILES)
async def test_wrong_sha256(deal: Deal, operation: str) -> None:
    """Not the adapter's to know: it gives what came, and the store holds it against what was announced."""
    await deal.reach(operation)
    await deal.do(operation, "")
    right = deal.into.read_bytes()
    deal.market.set_fault("wrong_sha256", operation, 1)
    await deal.do(operation, "")
    wrong = deal.into.read_bytes()
    assert len(wrong) == len(right)
    assert wrong != right


@pytest.mark.parametrize("operation", FILES)
@pytest.mark.parametrize("with_length", [True, False])
async def test_huge_file(deal: Deal, operation: str, with_length: bool) -> None:
    await deal.reach(operation)
    deal.market.set_fault("huge_file", operation, 1, with_length=with_length)
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        await deal.do(operation, "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.code == "file_too_large"
    assert not deal.into.exists() or deal.into.stat().st_size <= operator_calls.LARGEST_ANSWER
    assert peak < 8 * MB  # client and server together


@pytest.mark.parametrize("operation", FILES)
async def test_truncated_file(deal: Deal, operation: str) -> None:
    await deal.reach(operation)
    deal.market.set_fault("truncated_file", operation, 1)
    with pytest.raises(Transient) as cut:
        await deal.do(operation, "")
    assert cut.value.code == "unreachable"
    deal.market.set_fault("truncated_file", operation, 1, clean_end=True)
    await deal.do(operation, "")  # it looks whole: its sha256 tells


@pytest.mark.parametrize("operation", ["previewOfferFile", "getOrderFile"])
@pytest.mark.parametrize("url", ["http://10.0.0.1/model.stl", "http://169.254.169.254/latest/meta-data/", "http://localhost:1/"])
async def test_redirect_private(deal: Deal, operation: str, url: str) -> None:
    await deal.reach(operation)
    deal.market.set_fault("redirect_private", operation, 1, url=url)
    with pytest.raises(Refused) as refused:
        await deal.do(operation, "")
    assert refused.value.code == "redirect_refused"


async def test_redirect_signed(deal: Deal) -> None:
    await deal.reach("getOrderFile")
    deal.market.set_fault("redirect_signed", count=1)
    await deal.do("getOrderFile", "")
    assert deal.into.read_bytes() == MODEL
    deal.market.set_fault("redirect_signed", count=1, ttl_s=0)
    with pytest.raises(Transient) as late:
        await deal.do("getOrderFile", "")
    assert late.value.code == "link_failed"
    await deal.do("getOrderFile", "")  # asked again, it is given a fresh one


@pytest.mark.parametrize("behind", [True, False])
async def test_clock_off(deal: Deal, behind: bool) -> None:
    """Its word for the moment is ten minutes off; the seconds that are left are not."""
    deal.market.set_fault("clock_off", seconds=600, behind=behind)
    (told,) = [offer for offer in await deal.api.offers() if offer.offer_id == deal.offer_id]
    assert 890 < told.accept_within_s <= 900
    assert abs(abs((told.accept_by - datetime.now(UTC)).total_seconds() - 900) - 600) < 10


async def test_offer_twice(deal: Deal) -> None:
    """Told as it stands; the ledger takes an offer in once, by its id."""
    deal.market.set_fault("offer_twice", "listOffers")
    told = [offer.offer_id for offer in await deal.api.offers()]
    assert told.count(deal.offer_id) == 2


def test_every_fault_has_a_test_here() -> None:
    together = {
        "error_500", "unavailable_503", "too_many_429", "drop_before_acting", "deadline_expired", "offer_withdrawn", "offer_taken"
    }  # fmt: skip
    assert [kind for kind in KINDS if kind not in together and f"test_{kind}" not in globals()] == []


@pytest.mark.parametrize(("token", "status"), [("wrong", "token is not known"), ("reader", "may only read")])
async def test_a_token_that_does_not_serve_needs_the_operator(token: str, status: str) -> None:
    with SandboxMarketplace(Options(read_only_token="reader")) as market:
        offer_id = market.add_offer(offer())
        async with OperatorApi("sandbox", market.url, lambda: token) as api:
            with pytest.raises(NeedsOperator, match=status) as refused:
                await api.accept(offer_id, new_key())
    assert "token_file" in refused.value.hint


async def test_a_label_that_is_not_ready_and_an_order_that_is_not_there(deal: Deal) -> None:
    await deal.reach("startOrder")
    with pytest.raises(Refused) as refused:
        await deal.do("getLabel", "")
    assert refused.value.code == "label_not_ready"
    with pytest.raises(Refused) as unknown:
        await deal.api.order("none")
    assert unknown.value.code == "not_found"


# --- reading back what was accepted ------------------------------------------------------------------------------


@pytest.mark.parametrize("offset_s", [-600.0, 0.0, 600.0])
async def test_a_lost_answer_is_read_back_among_many_orders(offset_s: float) -> None:
    """Over more than one page, and whatever the marketplace's clock says."""
    with SandboxMarketplace(Options(clock_offset_s=offset_s)) as market:
        async with api_of(market) as api:
            offers = [market.add_offer(offer()) for _ in range(24)]
            for offer_id in offers[:-1]:
                await api.accept(offer_id, new_key())
            market.set_fault("drop_reply_after_acting", "acceptOffer", 1)
            with pytest.raises(Transient):
                await api.accept(offers[-1], new_key())
            found = await api.order_of(offers[-1])
            assert found is not None
            assert found.offer_id == offers[-1]
            assert market.offer(offers[-1])["order_id"] == found.order_id
            assert await api.order_of(market.add_offer(offer())) is None


async def test_a_long_history_does_not_hide_the_newest_order(fresh: SandboxMarketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be on the last page of many; only what changed since the offer is looked at."""
    monkeypatch.setattr(operator_calls, "MOST_PAGES", 1)
    async with api_of(fresh) as api:
        for _ in range(21):
            await api.accept(fresh.add_offer(offer()), new_key())
        offer_id = fresh.add_offer(offer())
        order = await api.accept(offer_id, new_key())
        assert await api.order_of(offer_id) == order


async def test_an_order_that_cannot_be_found_among_too_many_is_not_called_lost(
    fresh: SandboxMarketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_calls, "MOST_PAGES", 1)
    async with api_of(fresh) as api:
        waits = fresh.add_offer(offer())
        for _ in range(21):
            await api.accept(fresh.add_offer(offer()), new_key())
        with pytest.raises(Transient) as unknown:
            await api.order_of(waits)
    assert unknown.value.code == "too_many_pages"


async def test_an_offer_that_the_marketplace_has_forgotten_is_still_looked_for() -> None:
    async def forgetful(request: Received, writer: asyncio.StreamWriter) -> None:
        known = b'{"orders": [], "next_cursor": null}'
        writer.write(reply(404, Connection="close") if "/offers/" in request.path else reply(200, known, Connection="close"))

    async with against(forgetful) as (api, stub):
        assert await api.order_of("of-1") is None
        assert stub.received[-1].target == "/v1/orders"
