"""Files that are still written, changed or taken back while the agent looks at them, and how it hears of them."""

import asyncio
import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.marketplaces.hot_folder.bench import (
    ONE_ITEM,
    PATIENCE_S,
    STILL_S,
    STL,
    Logs,
    hot_folder,
    lying,
    offered,
    rejected,
    told,
    until,
    unwatched,
)


class SlowWriter(threading.Thread):
    """Writes a file in pieces, for longer than a file must be still, with much shorter pauses."""

    STILL_S = 1.0

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.ended = threading.Event()

    def run(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            for n in range(30):
                file.write(bytes([n]) * 1000)
                time.sleep(0.04)
            self.ended.set()


async def test_a_file_that_is_written_slowly_is_taken_whole(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=SlowWriter.STILL_S) as market:
        writer = SlowWriter(inbox / "slow.stl")
        writer.start()
        (offer,) = await until(market, bool)
        assert writer.ended.is_set()
        writer.join()
        assert offer.files[0].bytes == 30_000


async def test_a_bad_order_file_waits_until_its_stls_are_whole_and_none_of_them_is_printed(inbox: Path) -> None:
    (inbox / "order.toml").write_text('[[items]]\nfile = "hook.stl"\n[[items]]\nfile = "slow.stl"\nquantity = 0\n')
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=SlowWriter.STILL_S) as market:
        writer = SlowWriter(inbox / "slow.stl")
        writer.start()
        offers = await until(market, lambda offers: bool(offers) or any((inbox / "rejected").iterdir()))
        assert writer.ended.is_set()
        assert offers == []
        writer.join()
        assert lying(rejected(inbox)) == {"order.toml", "hook.stl", "slow.stl", "WHY.txt", "order.json"}
        assert (rejected(inbox) / "slow.stl").stat().st_size == 30_000


async def test_a_file_that_is_written_on_while_it_is_taken_is_read_again_when_it_is_still(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "hook.stl").write_bytes(STL)
    real, left = os.fsync, ["more", "and more"]

    def fsync(handle: int) -> None:
        """What is synced and is no folder and no journal is a model that was just read to its end."""
        real(handle)
        if left and os.fstat(handle).st_ino == model:
            written = next((inbox / "taken").glob("*/hook.stl"))
            written.write_bytes(written.read_bytes() + left.pop().encode())

    model = (inbox / "hook.stl").stat().st_ino
    monkeypatch.setattr(os, "fsync", fsync)
    async with hot_folder(inbox) as market:
        (offer,) = await offered(market)
        assert left == []
        assert offer.files[0].sha256 == hashlib.sha256(STL + b"and moremore").hexdigest()


async def test_an_order_file_that_cannot_be_read_yet_holds_back_every_stl_it_might_name(inbox: Path, logs: Logs) -> None:
    (inbox / "order.toml").touch()
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox) as market:
        assert await told(market, logs, "hot_folder_waits", "hook.stl") == "order.toml cannot be read, and may be its order"
        assert await market.offers() == []
        (inbox / "order.toml").write_text(ONE_ITEM)
        (offer,) = await offered(market)
        assert offer.items[0].quantity == 3


@unwatched
async def test_an_order_file_that_changes_between_reading_and_moving_is_not_printed_as_it_was(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "order.toml").write_text(ONE_ITEM)
    (inbox / "hook.stl").write_bytes(STL)
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if Path(source) == inbox / "order.toml":
            Path(source).write_text(ONE_ITEM.replace("3", "4"))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    async with hot_folder(inbox) as market:
        await until(market, lambda _: (inbox / "rejected").exists() and any((inbox / "rejected").iterdir()))
        assert "was changed while it was taken" in (rejected(inbox) / "WHY.txt").read_text()
        assert await market.offers() == []


@unwatched
@pytest.mark.parametrize("name", ["hook.stl", "bad.toml"])
async def test_a_file_that_is_taken_back_at_the_last_instant_leaves_nothing_behind(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, logs: Logs, name: str
) -> None:
    (inbox / name).write_bytes(STL)
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if Path(source) == inbox / name:
            Path(source).unlink()
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    async with hot_folder(inbox, still_s=0) as market:
        assert await market.offers() == []
        assert await market.offers() == []
    assert {path.name for path in inbox.rglob("*")} == {"taken", "rejected", ".lock"}
    assert logs == []


async def test_news_come_by_themselves_and_not_from_looking(inbox: Path) -> None:
    async with hot_folder(inbox) as market:
        await market.offers()
        waiting = asyncio.create_task(market.wait_for_news())
        done, _ = await asyncio.wait([waiting], timeout=STILL_S)
        assert not done
        (inbox / "hook.stl").write_bytes(STL)
        await asyncio.wait_for(waiting, PATIENCE_S)


async def test_a_folder_that_is_made_anew_is_watched_again(inbox: Path) -> None:
    async with hot_folder(inbox) as market:
        await market.offers()
        await asyncio.to_thread(lambda: inbox.rename(inbox.with_name("gone")))
        inbox.mkdir()
        await market.offers()
        (inbox / "hook.stl").write_bytes(STL)
        await offered(market)
