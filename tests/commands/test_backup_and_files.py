"""`backup`, `restore`, `files` as a user calls them."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from agent.ledger.restoring import MARK
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import file_store, ledger_url
from tests.commands.test_papers import called, said, told
from tests.dossiers.orders import Records
from tests.rigs.agent_process import AgentHome

SECRET = "t0ken-of-the-marketplace"


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add_marketplace("http://127.0.0.1:9", SECRET)
    return home


def closed_order(home: AgentHome) -> str:
    with SqlLedger(ledger_url(home.settings())) as ledger:
        return Records(ledger, home.folder / "data").closed().id


def test_a_backup_goes_where_it_is_told_and_says_what_it_holds(home: AgentHome, tmp_path: Path) -> None:
    closed_order(home)
    into = tmp_path / "disk"
    into.mkdir()
    done = called("backup", "-o", into, "--config", home.config)
    assert done.exit_code == 0, said(done)
    (archive,) = into.iterdir()
    assert archive.name.startswith("test-")
    assert "1 orders with" in said(done)
    assert "Without the secrets" in said(done)
    assert SECRET.encode() not in archive.read_bytes()
    with_secrets = told(called("backup", "--with-secrets", "--no-files", "-o", tmp_path / "s.tar", "--config", home.config, "--json"))
    assert (with_secrets["with_secrets"], with_secrets["with_files"], with_secrets["files"]) == (True, False, 0)
    assert SECRET.encode() in (tmp_path / "s.tar").read_bytes()
    restored = told(called("restore", tmp_path / "s.tar", "--into", tmp_path / "new", "--json"))
    assert restored["orders"] == 1
    assert (tmp_path / "new" / "config-from-backup" / "secrets" / "token").read_text() == SECRET
    assert (tmp_path / "new" / "config-from-backup" / "printers" / "mk3s.toml").exists()
    assert "put data_dir/files back" in said(called("restore", tmp_path / "s.tar", "--into", tmp_path / "third"))


def test_restore_refuses_where_an_agent_is_at_work_and_asks_for_the_old_one(home: AgentHome, tmp_path: Path) -> None:
    closed_order(home)
    assert called("backup", "-o", tmp_path / "b.tar", "--config", home.config).exit_code == 0
    data = home.folder / "data"
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        assert "is at work" in said(called("restore", tmp_path / "b.tar", "--into", data, "--replace"))
    assert "is not empty" in said(called("restore", tmp_path / "b.tar", "--into", data))
    done = called("restore", tmp_path / "b.tar", "--into", data, "--replace")
    assert done.exit_code == 0, said(done)
    assert "--old-agent-is-off" in said(done)
    assert (data / MARK).exists()
    assert "may be started" in said(called("restore", "--old-agent-is-off", "--into", data))
    assert not (data / MARK).exists()
    assert "Nobody asked" in said(called("restore", "--old-agent-is-off", "--into", data))
    assert called("restore", "--into", data).exit_code == 2


def test_files_shows_what_takes_room_and_removes_only_when_told(home: AgentHome) -> None:
    order_id = closed_order(home)
    store = file_store(home.settings())
    then = time.time() - 3 * 86400
    for file in store.stored():
        os.utime(store.path(file.sha256), (then, then))
    count = len(list(store.stored()))
    nothing = ("--set", "retention.gcode_days=0", "--set", "retention.photos_days=0")
    kinds = {row["kind"]: row for row in told(called("files", "--json", "--config", home.config))["kinds"]}
    assert sum(row["files"] for row in kinds.values()) == count
    assert all(row["to_go"] == 0 for row in kinds.values())
    planned = told(called("files", "--remove", "--dry-run", "--json", *nothing, "--config", home.config))
    assert not planned["removed"]
    assert {row["orders"] for row in planned["removals"]} == {order_id}
    assert len(list(store.stored())) == count
    done = told(called("files", "--remove", "--json", *nothing, "--config", home.config))
    assert [row["sha256"] for row in done["removals"]] == [row["sha256"] for row in planned["removals"]]
    assert len(list(store.stored())) == count - len(done["removals"])
    shown = said(called("orders", "show", order_id, "--config", home.config))
    assert "by the rules for old files" in shown
    assert "2 × photo" in shown
    assert kinds["needed: of orders that have not ended, or of jobs at work"]["files"] == 1, "its job still has the printer"
