"""An agent that is killed anywhere: no file is lost, no drop is two orders, and every answer can be given again."""

import os
from pathlib import Path
from typing import Any

import pytest

from agent.domain.offer import DeclineReason, OfferState
from tests.marketplaces.hot_folder.bench import ONE_ITEM, ORDER, STL, Fate, Killed, hot_folder, look, lying, rejected, unwatched


@unwatched
@pytest.mark.parametrize(("alone", "again"), [(True, 0), (False, 0), (False, 7)])
async def test_killed_anywhere_while_taking_no_file_is_lost_and_no_drop_is_two_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool, again: int
) -> None:
    drops = {"hook.stl": STL} if alone else {"order.toml": ORDER.encode(), "hook.stl": STL, "lid.stl": STL + b"lid"}
    fate, deaths = Fate(monkeypatch), 0
    for steps in range(1, 1000):
        inbox = tmp_path / str(steps)
        inbox.mkdir()
        for name, content in drops.items():
            (inbox / name).write_bytes(content)
        survived = await fate.survives(steps, lambda: look(inbox))  # noqa: B023 (called before the next turn)
        if again:
            await fate.survives(steps * again % 29 + 1, lambda: look(inbox))  # noqa: B023
        (offer,) = await look(inbox)
        assert lying(inbox) == set()
        assert {path.name: path.read_bytes() for path in (inbox / "taken" / offer.offer_id).iterdir() if path.name in drops} == drops
        assert len(list((inbox / "taken").iterdir())) == 2, "the order and the lock"
        if survived:
            break
        deaths += 1
    assert deaths > 20


@unwatched
async def test_an_order_file_that_is_mended_while_the_agent_is_down_is_taken_as_it_is_now(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "order.toml").write_text(ONE_ITEM)
    (inbox / "hook.stl").write_bytes(STL)
    real = os.rename

    def dies(source: Any, target: Any) -> None:
        if Path(source) == inbox / "order.toml":
            raise Killed
        real(source, target)

    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(os, "rename", dies)
        await look(inbox)
    assert list((inbox / "taken").glob("*.part/order.json"))
    (inbox / "order.toml").write_text(ONE_ITEM.replace("3", "4"))
    (offer,) = await look(inbox)
    assert offer.items[0].quantity == 4


@unwatched
async def test_killed_anywhere_while_rejecting_no_file_is_lost_and_nothing_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = {"hook.toml": b"[[items]\n", "hook.stl": STL}
    fate, deaths = Fate(monkeypatch), 0
    for steps in range(1, 1000):
        inbox = tmp_path / str(steps)
        inbox.mkdir()
        for name, content in drops.items():
            (inbox / name).write_bytes(content)
        survived = await fate.survives(steps, lambda: look(inbox))  # noqa: B023 (called before the next turn)
        assert await look(inbox) == []
        assert {path.name: path.read_bytes() for path in rejected(inbox).iterdir() if path.name in drops} == drops
        assert (rejected(inbox) / "WHY.txt").read_text()
        assert lying(inbox) == set()
        if survived:
            break
        deaths += 1
    assert deaths > 20


@unwatched
@pytest.mark.parametrize("act", ["accept", "decline"])
async def test_killed_anywhere_while_answering_the_answer_can_be_given_again(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    fate = Fate(monkeypatch)
    for steps in range(1, 1000):
        (inbox / "hook.stl").write_bytes(STL)
        (offer,) = await look(inbox)

        async def answer(offer_id: str = offer.offer_id) -> None:
            async with hot_folder(inbox, still_s=0) as market:
                if act == "accept":
                    await market.accept(offer_id, "k")
                else:
                    await market.decline(offer_id, DeclineReason.PRICE, "too cheap", "k")

        survived = await fate.survives(steps, answer)
        await answer()
        async with hot_folder(inbox, still_s=0) as market:
            assert (await market.offer(offer.offer_id)).state is (OfferState.ACCEPTED if act == "accept" else OfferState.DECLINED)
        if survived:
            break
