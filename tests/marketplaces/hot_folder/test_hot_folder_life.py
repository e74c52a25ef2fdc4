"""The life of an order that was dropped: from its offer to its delivery, over restarts, and what is refused on the way."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.offer import Agreement, DeclineReason, OfferState, ProblemCode, RemoteState
from agent.marketplaces.hot_folder.marketplace import HotFolder
from tests.marketplaces.hot_folder.bench import PATIENCE_S, STL, Logs, hot_folder, offered, unwatched


async def one_offer(market: HotFolder, inbox: Path) -> str:
    (inbox / "hook.stl").write_bytes(STL)
    (offer,) = await offered(market)
    return offer.offer_id


def agreement(text: str, code: str = "no_flaws") -> Agreement:
    return Agreement(code=code, text_sha256=hashlib.sha256(text.encode()).hexdigest(), agreed_by="Ada", agreed_at=datetime.now(UTC))


@unwatched
async def test_an_order_goes_from_accept_to_delivered_and_every_act_may_be_repeated(inbox: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(b"\xff\xd8\xff a photo")
    async with hot_folder(inbox, still_s=0) as market:
        order_id = await one_offer(market, inbox)
        order = await market.accept(order_id, "k1")
        assert (order.order_id, order.offer_id, order.state) == (order_id, order_id, RemoteState.ACCEPTED)
        assert order == await market.accept(order_id, "k1") == await market.order(order_id)
        assert await market.offers() == []
        assert (await market.offer(order_id)).state is OfferState.ACCEPTED
        (attestation,) = order.attestations_required
        agreed = [agreement(attestation.text)]
        for _ in range(2):
            assert (await market.start(order_id, "k2")).state is RemoteState.STARTED
            await market.put_photo(order_id, "photo-1", photo, "k3")
        for _ in range(2):
            assert (await market.submit(order_id, ["photo-1"], agreed, "thanks", "", "k4")).state is RemoteState.SUBMITTED
        assert (inbox / "taken" / order_id / "photos" / "photo-1.jpg").read_bytes() == photo.read_bytes()
        with pytest.raises(Refused) as refused:
            await market.label(order_id, tmp_path / "label.pdf")
        assert refused.value.code == "no_label"
        for _ in range(2):
            assert (await market.delivered(order_id, datetime.now(UTC), "at the door", "k5")).state is RemoteState.DELIVERED
        state = json.loads((inbox / "taken" / order_id / "state.json").read_text())
        assert state["said"]["agreements"][0]["agreed_by"] == "Ada"
        assert state["said"]["place"] == "at the door"
        assert "handed over" in (done := (inbox / "taken" / order_id / "DONE.txt").read_text())
        assert "at the door" in done


@unwatched
async def test_nothing_is_submitted_without_photos_and_a_persons_word(inbox: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n a photo")
    async with hot_folder(inbox, still_s=0) as market:
        order_id = await one_offer(market, inbox)
        text = (await market.accept(order_id, "k")).attestations_required[0].text
        for photos, agreed, code in (
            (["photo-1"], [agreement(text)], "unknown_photo"),
            ([], [agreement(text)], "unknown_photo"),
            (["photo-2"], [], "attestation_missing"),
            (["photo-2"], [agreement("another text")], "attestation_missing"),
        ):
            await market.put_photo(order_id, "photo-2", photo, "k")
            with pytest.raises(Refused) as refused:
                await market.submit(order_id, photos, agreed, "", "", "k")
            assert refused.value.code == code
        with pytest.raises(Refused) as refused:
            await market.delivered(order_id, datetime.now(UTC), "", "k")
        assert refused.value.code == "wrong_state"


@unwatched
async def test_a_declined_order_tells_the_one_who_dropped_it_why(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        offer_id = await one_offer(market, inbox)
        for _ in range(2):
            await market.decline(offer_id, DeclineReason.NO_MATERIAL, "No printer has PLA black.", "k")
        assert await market.offers() == []
        with pytest.raises(Refused) as refused:
            await market.accept(offer_id, "k2")
        assert refused.value.code == "withdrawn"
    text = (inbox / "taken" / offer_id / "DECLINED.txt").read_text()
    assert "no material" in text
    assert "No printer has PLA black." in text
    assert (inbox / "taken" / offer_id / "hook.stl").read_bytes() == STL


@unwatched
async def test_an_offer_that_nobody_answers_expires(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0, accept_within_s=1.5) as market:
        offer_id = await one_offer(market, inbox)
        async with asyncio.timeout(PATIENCE_S):
            while (await market.offer(offer_id)).state is OfferState.OPEN:  # noqa: ASYNC110 (a deadline is no event)
                await asyncio.sleep(0.05)
        with pytest.raises(Refused) as refused:
            await market.accept(offer_id, "k")
        assert refused.value.code == "deadline_passed"
        assert await market.offers() == []
        assert (await market.offer(offer_id)).state is OfferState.EXPIRED
        assert "Nobody accepted" in (inbox / "taken" / offer_id / "EXPIRED.txt").read_text()


@unwatched
async def test_an_offer_expires_also_while_the_agent_is_down(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        offer_id = await one_offer(market, inbox)
    journal = inbox / "taken" / offer_id / "order.json"
    written = json.loads(journal.read_text())
    written["offer"]["accept_by"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    journal.write_text(json.dumps(written))
    async with hot_folder(inbox, still_s=0) as market:
        assert await market.offers() == []
        assert (await market.offer(offer_id)).state is OfferState.EXPIRED


@unwatched
async def test_a_clock_that_was_set_back_gives_nobody_more_time(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0, accept_within_s=60) as market:
        offer_id = await one_offer(market, inbox)
    journal = inbox / "taken" / offer_id / "order.json"
    written = json.loads(journal.read_text())
    written["offer"]["accept_by"] = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    journal.write_text(json.dumps(written))
    async with hot_folder(inbox, still_s=0, accept_within_s=60) as market:
        (offer,) = await market.offers()
        assert 0 < offer.accept_within_s <= 60


@unwatched
async def test_a_restart_keeps_offers_and_accepted_orders(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        for name in ("a.stl", "b.stl", "c.stl"):
            (inbox / name).write_bytes(STL)
        first, second, third = await offered(market, 3)
        accepted = await market.accept(first.offer_id, "k1")
        await market.decline(second.offer_id, DeclineReason.OTHER, "no", "k2")
    async with hot_folder(inbox, still_s=0) as market:
        assert [offer.offer_id for offer in await market.offers()] == [third.offer_id]
        assert await market.order_of(first.offer_id) == accepted
        assert await market.order_of(second.offer_id) is None
        assert await market.accept(first.offer_id, "k1") == accepted


@unwatched
async def test_an_accepted_order_is_not_declined_and_one_whose_files_are_gone_is_not_accepted(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        accepted = await one_offer(market, inbox)
        await market.accept(accepted, "k")
        with pytest.raises(Refused) as refused:
            await market.decline(accepted, DeclineReason.OTHER, "", "k")
        assert refused.value.code == "taken"
        gone = await one_offer(market, inbox)
        (inbox / "taken" / gone / "hook.stl").unlink()
        with pytest.raises(Refused) as refused:
            await market.accept(gone, "k")
        assert refused.value.code == "withdrawn"


@unwatched
async def test_problems_are_written_down_once_each(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        order_id = await one_offer(market, inbox)
        await market.accept(order_id, "k")
        for key, text in (("k1", "two shells"), ("k1", "two shells"), ("k2", "out of PLA")):
            await market.report_problem(order_id, ProblemCode.FILE_UNPRINTABLE, text, key)
        assert (await market.order(order_id)).state is RemoteState.PROBLEM
        text = (inbox / "taken" / order_id / "PROBLEM.txt").read_text()
        assert (text.count("two shells"), text.count("out of PLA")) == (1, 1)


@unwatched
async def test_a_model_that_is_too_large_or_gone_is_refused(inbox: Path, tmp_path: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        offer_id = await one_offer(market, inbox)
        with pytest.raises(Refused) as refused:
            await market.fetch(offer_id, None, "f1", tmp_path / "copy", len(STL) - 1)
        assert refused.value.code == "file_too_large"
        with pytest.raises(Refused) as refused:
            await market.fetch(offer_id, None, "f2", tmp_path / "copy", 1000)
        assert refused.value.code == "not_found"
        (inbox / "taken" / offer_id / "hook.stl").unlink()
        with pytest.raises(Refused, match="is gone") as refused:
            await market.fetch(offer_id, None, "f1", tmp_path / "copy", 1000)
        assert refused.value.code == "file_missing"
        assert refused.value.hint


@unwatched
@pytest.mark.parametrize("unknown", ["hf-aaaaaaaaaa", "../secrets", "", "hf-aaaaaaaaaa.part"])
async def test_an_unknown_id_is_refused(inbox: Path, tmp_path: Path, unknown: str) -> None:
    async with hot_folder(inbox) as market:
        assert await market.order_of(unknown) is None
        for act in (
            market.offer(unknown),
            market.order(unknown),
            market.accept(unknown, "k"),
            market.decline(unknown, DeclineReason.OTHER, "", "k"),
            market.fetch(unknown, None, "f1", tmp_path / "copy", 1000),
            market.start(unknown, "k"),
            market.put_photo(unknown, "p", tmp_path, "k"),
            market.submit(unknown, [], [], "", "", "k"),
            market.label(unknown, tmp_path / "label"),
            market.delivered(unknown, datetime.now(UTC), "", "k"),
            market.report_problem(unknown, ProblemCode.OTHER, "", "k"),
        ):
            with pytest.raises(Refused) as refused:
                await act
            assert refused.value.code == "not_found"


@unwatched
async def test_an_order_that_somebody_spoilt_is_left_out_and_hides_no_other(inbox: Path, logs: Logs) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        for name in ("a.stl", "b.stl"):
            (inbox / name).write_bytes(STL)
        spoilt, good = await offered(market, 2)
        (inbox / "taken" / spoilt.offer_id / "state.json").write_text("{")
        for _ in range(2):
            assert [offer.offer_id for offer in await market.offers()] == [good.offer_id]
        with pytest.raises(NeedsOperator, match="cannot be read"):
            await market.accept(spoilt.offer_id, "k")
        assert [entry["offer"] for entry in logs if entry["event"] == "hot_folder_order_unreadable"] == [spoilt.offer_id]
    async with hot_folder(inbox, still_s=0) as market:
        assert [offer.offer_id for offer in await market.offers()] == [good.offer_id]
