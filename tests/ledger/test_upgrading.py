"""An upgrade that can be taken back: copied first, migrated as a whole or not at all, and put back with nothing printed on its word."""

import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from agent import __version__
from agent.domain.errors import ConfigError, Refused
from agent.domain.events import first_broken
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.ledger.backup import facts_of
from agent.ledger.database import open_database
from agent.ledger.migrations import upgrade as migrating
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ledger.tables import SCHEMA
from agent.ledger.upgrading import FOLDER, Upgrade, lost_by, upgrades
from agent.ports.ledger import OrderMove
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import ROOT, AgentHome, wait_until
from tests.rigs.nursery import ran
from tests.workflow.workshop import make_offer

OLD = "0004"
_DIES = """
import os, signal, sys
from alembic.operations import Operations
from agent.ledger.sql_ledger import SqlLedger
made, do = [], Operations.create_table
def create_table(self, *args, **kwargs):
    made.append(do(self, *args, **kwargs))
    if len(made) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Operations.create_table = create_table
with SqlLedger(sys.argv[1]):
    pass
"""


def offered(ledger: SqlLedger, offer_id: str) -> Order:
    order = add_offer(ledger, "market", make_offer(offer_id), datetime.now(UTC) + timedelta(minutes=15))
    assert order is not None
    return order


def downgraded(folder: Path, to: str = OLD) -> None:
    engine = open_database(sqlite_url(folder))
    config = migrating._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, to)
    engine.dispose()


def schema(folder: Path) -> str:
    return facts_of(sqlite_file(folder)).schema


@pytest.fixture
def older(tmp_path: Path) -> Order:
    """A ledger of an earlier version, with an order that was accepted and a bed that is free."""
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        order = ledger.move(offered(ledger, "f1"), OrderMove(to=State.SLICED, event="sliced"))
        ledger.set_bed("mk3s", BedState.FREE, "told")
        order = ledger.order(order.id)
    downgraded(tmp_path)
    assert schema(tmp_path) == OLD
    return order


def test_it_is_copied_and_then_migrated_with_its_orders(tmp_path: Path, older: Order) -> None:
    before = facts_of(sqlite_file(tmp_path))
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.order(older.id) == older
        assert first_broken(ledger.events(older.id)) is None
    assert schema(tmp_path) == SCHEMA
    (made,) = upgrades(sqlite_file(tmp_path))
    assert (made.version, made.from_schema, made.to_schema) == (__version__, OLD, SCHEMA)
    copy = tmp_path / FOLDER / made.backup
    assert facts_of(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    with SqlLedger(sqlite_url(tmp_path)):
        pass
    assert len(list((tmp_path / FOLDER).glob("*.sqlite3"))) == 1, "what is up to date is not copied"


def test_killed_in_the_middle_it_is_as_before_and_the_next_start_does_it(tmp_path: Path, older: Order) -> None:
    done = subprocess.run([sys.executable, "-c", _DIES, sqlite_url(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert schema(tmp_path) == OLD
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.order(older.id) == older
    assert schema(tmp_path) == SCHEMA
    assert len(list((tmp_path / FOLDER).iterdir())) == 2, "the copy of the start that died, and its journal"


def test_without_a_sound_copy_nothing_is_migrated(tmp_path: Path, older: Order) -> None:
    ledger = sqlite3.connect(sqlite_file(tmp_path))
    ledger.execute(
        "INSERT INTO events (order_id, n, at, kind, data, prev_hash, hash) SELECT 'nowhere', n, at, kind, data, prev_hash, hash FROM events"
    )
    ledger.commit()
    with pytest.raises(Refused, match="belongs to nothing"), SqlLedger(sqlite_url(tmp_path)):
        pass
    assert schema(tmp_path) == OLD
    assert list((tmp_path / FOLDER).iterdir()) == []
    ledger.execute("DELETE FROM events WHERE order_id = 'nowhere'")
    ledger.commit()
    ledger.close()
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        assert opened.order(older.id) == older


@pytest.mark.usefixtures("older")
def test_a_newer_ledger_tells_which_version_made_it_and_which_copy_goes_back(tmp_path: Path) -> None:
    with SqlLedger(sqlite_url(tmp_path)) as ledger, ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    (made,) = upgrades(sqlite_file(tmp_path))
    newer = Upgrade(at=made.at, version="7.8.9", from_schema=OLD, to_schema="9999", backup=made.backup)
    with (tmp_path / FOLDER / "upgrades.jsonl").open("a") as journal:
        journal.write('{"at": "cut\n' + newer.model_dump_json() + "\n")
    with pytest.raises(ConfigError) as told, SqlLedger(sqlite_url(tmp_path)):
        pass
    assert "version 7.8.9" in str(told.value)
    assert "rollback" in told.value.hint
    assert made.backup in told.value.hint


def test_what_is_lost_is_told_before_anything_is_done(tmp_path: Path, older: Order) -> None:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        ledger.move(ledger.order(older.id), OrderMove(to=State.PRINTING, event="print_begun"))
        new = offered(ledger, "f2")
    (made,) = upgrades(sqlite_file(tmp_path))
    lost = lost_by(sqlite_file(tmp_path), tmp_path / FOLDER / made.backup)
    assert lost == ([new.id], {older.id: ("sliced", "printing")}, 2)


@pytest.mark.slow
def test_rolled_back_orders_ask_and_beds_are_unknown_and_nothing_is_printed(tmp_path: Path, older: Order) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    data = home.folder / "data"
    data.mkdir()
    shutil.copy(sqlite_file(tmp_path), sqlite_file(data))
    with home.running():
        wait_until(lambda: home.logged("ready"), "an older ledger is taken over")
        refused = ran("agent", "rollback", "--yes", "--config", str(home.config), cwd=ROOT)
        assert refused.returncode == 78, "not under a running daemon"
        assert "Another agent is at work" in refused.stderr
        assert ran("agent", "reload", "--config", str(home.config), cwd=ROOT).returncode == 0, "the lock still tells who it is"
        wait_until(lambda: home.logged("reloaded"), "reloaded")
    with home.desk() as desk:
        desk.ledger.set_bed("mk3s", BedState.FREE, "told")
    only_told = ran("agent", "rollback", "--json", "--config", str(home.config), cwd=ROOT)
    assert (only_told.returncode, schema(data)) == (1, SCHEMA)
    done = ran("agent", "rollback", "--yes", "--json", "--config", str(home.config), cwd=ROOT)
    assert (done.returncode, schema(data)) == (0, OLD), done.stderr
    told = json.loads(done.stdout)
    assert told["lost"]["events"] == json.loads(only_told.stdout)["lost"]["events"]
    assert facts_of(Path(told["replaced"])).schema == SCHEMA
    with home.running(), home.desk() as desk:
        wait_until(lambda: len(home.logged("ready")) == 2, "it starts")
        assert home.logged("ledger_was_rolled_back")[0]["ask_first"] == [older.id]
        assert desk.ledger.order(older.id).state is State.ON_HOLD
        assert desk.ledger.beds()["mk3s"].state is BedState.UNKNOWN
        assert len(desk.ledger.open_questions()) == 1
    with home.running():
        wait_until(lambda: len(home.logged("ready")) == 3, "and again")
    assert len(home.logged("ledger_was_rolled_back")) == 1


@pytest.mark.usefixtures("older")
def test_a_copy_that_is_damaged_is_not_put_back(tmp_path: Path) -> None:
    with SqlLedger(sqlite_url(tmp_path)):
        pass
    (made,) = upgrades(sqlite_file(tmp_path))
    copy = tmp_path / FOLDER / made.backup
    copy.write_bytes(copy.read_bytes()[:5000] + b"\0" * 5000)
    (tmp_path / "config.toml").write_text(f'[agent]\ndata_dir = "{tmp_path}"\n')
    refused = ran("agent", "rollback", "--yes", "--config", str(tmp_path / "config.toml"), cwd=ROOT)
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    with sqlite3.connect(sqlite_file(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    connection.close()


def test_a_ledger_that_cannot_be_read_any_more_goes_back_only_when_that_is_said(tmp_path: Path, older: Order) -> None:
    with SqlLedger(sqlite_url(tmp_path)):
        pass
    sqlite_file(tmp_path).write_bytes(b"no database " * 1000)
    (tmp_path / "config.toml").write_text(f'[agent]\ndata_dir = "{tmp_path}"\n')
    refused = ran("agent", "rollback", "--yes", "--config", str(tmp_path / "config.toml"), cwd=ROOT)
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert ran("agent", "rollback", "--yes", "--force", "--config", str(tmp_path / "config.toml"), cwd=ROOT).returncode == 0
    assert schema(tmp_path) == OLD
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.order(older.id) == older
