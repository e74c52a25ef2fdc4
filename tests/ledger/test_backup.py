"""A copy of the ledger counts only when it is whole, is one instant of it, and holds nobody up who writes."""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.events import first_broken
from agent.domain.order import State
from agent.ledger.backup import backed_up, facts_of, put_back, require_sound, sqlite_path
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.workshop import make_offer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    lay_empty_ledger(tmp_path)
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        yield opened


def fill(ledger: SqlLedger, count: int) -> None:
    for n in range(count):
        order = add_offer(ledger, "market", make_offer(f"f{n}"), datetime.now(UTC))
        assert order is not None
        ledger.record(order.id, "note", {"ü": "日本", "x": 1.5, "deep": [{"b": True, "none": None}]})


def test_a_copy_is_a_ledger_by_itself_private_and_the_same(ledger: SqlLedger, tmp_path: Path) -> None:
    fill(ledger, 5)
    copy = backed_up(sqlite_file(tmp_path), tmp_path / "backups", "before 0008")
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert copy.name.endswith("-before-0008.sqlite3")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    facts = facts_of(copy)
    assert (facts.orders, facts.events, facts.broken) == (5, 10, [])
    assert facts == facts_of(sqlite_file(tmp_path))
    with SqlLedger(f"sqlite:///{copy}") as copied:
        assert copied.orders() == ledger.orders()
        assert all(first_broken(copied.events(order.id)) is None for order in copied.orders())


def test_copies_taken_while_orders_move_are_each_of_one_instant(ledger: SqlLedger, tmp_path: Path) -> None:
    fill(ledger, 200)
    order, stop = ledger.orders()[0], threading.Event()

    def write() -> None:
        nonlocal order
        while not stop.is_set():
            order = ledger.move(order, OrderMove(to=State.ACCEPTED, event="accepted", data={"version": order.version + 1}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now") for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    versions = []
    for copy in copies:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            (version,) = connection.execute("SELECT version FROM orders WHERE id = ?", (order.id,)).fetchone()
            (events,) = connection.execute("SELECT count(*) FROM events WHERE order_id = ?", (order.id,)).fetchone()
        assert events == version + 1, "an order and its events are of the same instant"
        assert facts_of(copy).broken == []
        versions.append(version)
    assert versions == sorted(set(versions)), "the writer got on between them"


def test_what_a_killed_agent_left_in_the_log_is_in_the_copy(tmp_path: Path) -> None:
    lay_empty_ledger(tmp_path)
    child = os.fork()
    if child == 0:
        with SqlLedger(sqlite_url(tmp_path)) as ledger:
            fill(ledger, 3)
            os._exit(0)  # as a kill: nothing is closed, all of it is in the -wal
    assert os.waitpid(child, 0)[1] == 0
    assert sqlite_file(tmp_path).with_name("ledger.sqlite3-wal").stat().st_size > 0
    assert facts_of(backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now")).orders == 3


def test_a_damaged_ledger_gives_no_copy_and_leaves_nothing(ledger: SqlLedger, tmp_path: Path) -> None:
    fill(ledger, 50)
    ledger.__exit__()
    with sqlite_file(tmp_path).open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * 4096 * 3)
    with pytest.raises(Refused) as refused:
        backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now")
    assert refused.value.code == "ledger_damaged"
    assert list((tmp_path / "backups").iterdir()) == []
    for content in (b"", b"no database at all" * 100):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(Refused, match="damaged, or no ledger"):
            backed_up(tmp_path / "other", tmp_path / "backups", "now")
    with pytest.raises(Refused, match="There is no ledger"):
        backed_up(tmp_path / "nowhere", tmp_path / "backups", "now")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_changed_history_is_copied_as_it_is_and_named(ledger: SqlLedger, tmp_path: Path) -> None:
    fill(ledger, 3)
    changed = ledger.orders()[1].id
    with contextlib.closing(sqlite3.connect(sqlite_file(tmp_path))) as other:
        other.execute("UPDATE events SET data = '{}' WHERE order_id = ? AND n = 2", (changed,))
        other.commit()
    assert facts_of(backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now")).broken == [changed]


def test_no_room_is_told_and_nothing_is_left(ledger: SqlLedger, tmp_path: Path) -> None:
    fill(ledger, 20)
    child = os.fork()
    if child == 0:
        import resource  # noqa: PLC0415 - only in the child, whose files may not grow
        import signal  # noqa: PLC0415

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))
        try:
            backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now")
        except NeedsOperator as error:
            os._exit(0 if error.code == "disk_full" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list((tmp_path / "backups").iterdir()) == []


def test_put_back_moves_the_other_ledger_aside_with_its_log(tmp_path: Path) -> None:
    lay_empty_ledger(tmp_path)
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        fill(ledger, 1)
        copy = backed_up(sqlite_file(tmp_path), tmp_path / "backups", "now")
        fill_more = add_offer(ledger, "market", make_offer("later"), datetime.now(UTC))
        assert fill_more is not None
    (tmp_path / "ledger.sqlite3-wal").write_bytes(b"the log of a damaged ledger")
    aside = put_back(copy, sqlite_file(tmp_path))
    assert aside is not None
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"the log of a damaged ledger"
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert len(ledger.orders()) == 1
    require_sound(copy)
    sqlite_file(tmp_path).write_bytes(b"damaged beyond reading")
    assert put_back(copy, sqlite_file(tmp_path)) is not None
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert len(ledger.orders()) == 1


def test_postgresql_is_backed_up_with_its_own_tools() -> None:
    with pytest.raises(Refused) as refused:
        sqlite_path("postgresql+psycopg://agent:secret@db/ledger")
    assert "pg_dump" in refused.value.hint
    assert "secret" not in refused.value.told()
    assert sqlite_path("sqlite:////var/lib/x/ledger.sqlite3") == Path("/var/lib/x/ledger.sqlite3")
