"""A disk that is full, a folder that cannot be used, read or watched, or that another agent has."""

import errno
import os
from decimal import Decimal
from pathlib import Path

import pytest

from agent.domain.errors import ConfigError, NeedsOperator
from tests.marketplaces.hot_folder.bench import STL, Logs, hot_folder, offered, told, unwatched


@unwatched
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EACCES, "folder_unusable")])
async def test_a_disk_that_does_not_do_it_is_told_and_tried_again(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    (inbox / "hook.stl").write_bytes(STL)

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    async with hot_folder(inbox, still_s=0) as market:
        with monkeypatch.context() as broken:
            for name in ("rename", "fsync"):
                broken.setattr(os, name, fails)
                for _ in range(2):
                    with pytest.raises(NeedsOperator) as told_why:
                        await market.offers()
                    assert told_why.value.code == code
                    assert told_why.value.hint
        (offer,) = await market.offers()
        assert offer.files[0].name == "hook.stl"
        assert len(list((inbox / "taken").iterdir())) == 2, "the order and the lock"


async def test_a_folder_that_cannot_be_used_yet_keeps_nothing_down(tmp_path: Path) -> None:
    (tmp_path / "share").write_text("not mounted")
    async with hot_folder(tmp_path / "share" / "inbox") as market:
        with pytest.raises(NeedsOperator) as told_why:
            await market.offers()
        assert told_why.value.code == "folder_unusable"
        (tmp_path / "share").unlink()
        assert await market.offers() == []
        (tmp_path / "share" / "inbox" / "hook.stl").write_bytes(STL)
        await offered(market)


@unwatched
async def test_a_file_the_agent_may_not_read_is_told_and_waits(inbox: Path, monkeypatch: pytest.MonkeyPatch, logs: Logs) -> None:
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        with monkeypatch.context() as denied:
            denied.setattr(os, "access", lambda *_: False)
            assert "chmod a+r" in await told(market, logs, "hot_folder_waits", "hook.stl")
        (inbox / "hook.stl").chmod(0o644)
        (offer,) = await offered(market)
        assert offer.payout.amount == Decimal(0)


async def test_without_inotify_the_folder_is_looked_at_all_the_same(inbox: Path, monkeypatch: pytest.MonkeyPatch, logs: Logs) -> None:
    def no_watch(*_: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.inotify.InotifyEmitter.on_thread_start", no_watch)
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox) as market:
        await offered(market)
    assert [entry["why"] for entry in logs if entry["event"] == "hot_folder_not_watched"] == ["inotify watch limit reached"]


async def test_two_agents_cannot_share_a_folder(inbox: Path) -> None:
    async with hot_folder(inbox):
        with pytest.raises(ConfigError, match="Another hot folder"):
            await hot_folder(inbox).__aenter__()
