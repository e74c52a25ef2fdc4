"""What the daemon does by itself: backups on time, old ones removed, a failure told once; and tidying, each in a process of its own."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.order import State
from agent.domain.retention import REMOVED, Kind, Rule
from agent.ledger.places import sqlite_url
from agent.ledger.restoring import checked
from agent.ledger.taking import earlier, name_for
from agent.ledger.upkeep import Backups, Tidying
from agent.ports.ledger import OrderMove
from agent.ports.notifier import Urgency
from tests.ledger.backups import Folder
from tests.workflow.workshop import Inbox


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "agent")
    with made.ledger:
        yield made


def backups(folder: Folder, into: Path, inbox: Inbox) -> Backups:
    return Backups(folder.sources(), into, timedelta(hours=24), 2, inbox, lambda: folder.now)


async def test_a_backup_is_made_and_only_this_agents_oldest_are_removed(folder: Folder, tmp_path: Path) -> None:
    into, inbox = tmp_path / "backups", Inbox()
    into.mkdir()
    old = [into / name_for("garage", folder.now - timedelta(days=days)) for days in (3, 2, 1)]
    others = [into / name_for("garage-2", folder.now - timedelta(days=9)), into / "garage-holiday.backup.tar", into / "notes.txt"]
    for path in (*old, *others):
        path.write_bytes(b"")
    assert await backups(folder, into, inbox).make()
    left = earlier(into, "garage")
    assert [left[0]] == [old[-1]]
    assert len(left) == 2
    assert checked(left[1]).ledger.orders == 0
    assert all(path.exists() for path in others)
    assert inbox.notices == []


async def test_a_failure_is_told_once_until_one_is_made_again(folder: Folder, tmp_path: Path) -> None:
    into, inbox = tmp_path / "backups", Inbox()
    into.write_text("a file where the folder should be")
    making = backups(folder, into, inbox)
    assert not await making.make()
    assert not await making.make()
    assert [(notice.event, notice.urgency) for notice in inbox.notices] == [("backup_failed", Urgency.ALARM)]
    into.unlink()
    assert await making.make()
    for path in into.iterdir():
        path.unlink()
    into.rmdir()
    into.write_text("again")
    assert not await making.make()
    assert len(inbox.notices) == 2


async def test_tidying_removes_by_the_rule_and_says_so(folder: Folder) -> None:
    folder.now = datetime.now(UTC) - timedelta(days=40)
    order = folder.order("old", b"the model")
    folder.ledger.move(order, OrderMove(to=State.CANCELLED, event="cancelled"))
    (file,) = folder.store.stored()
    then = time.time() - 40 * 86400
    os.utime(folder.store.path(file.sha256), (then, then))
    keeps = Rule({Kind.MODEL: 60}, 7, None)
    await Tidying(sqlite_url(folder.data_dir), folder.data_dir / "files", keeps).tidy()
    assert len(list(folder.store.stored())) == 1
    await Tidying(sqlite_url(folder.data_dir), folder.data_dir / "files", keeps._replace(days={Kind.MODEL: 30})).tidy()
    assert list(folder.store.stored()) == []
    assert folder.ledger.events(order.id)[-1].kind == REMOVED
