"""What the ledger promises: nothing lost, nothing twice, nothing changed behind its back."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import IntegrityError

from agent.domain.errors import ConfigError, NeedsOperator, Refused
from agent.domain.events import first_broken
from agent.domain.intent import Act
from agent.domain.job import JobState
from agent.domain.order import Order, State
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Step
from agent.ledger import tables
from agent.ledger.database import open_database
from agent.ledger.files import DiskStore
from agent.ledger.migrations.upgrade import head
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove, Stale
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer

SHA = "a" * 64
FIRST_RELEASE = {"orders", "events", "jobs", "beds", "intents", "questions", "slices"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with SqlLedger(sqlite_url(tmp_path)) as opened:
        yield opened


def new_order(ledger: SqlLedger, offer_id: str = "f1") -> Order:
    order = add_offer(ledger, "market", make_offer(offer_id), datetime.now(UTC) + timedelta(minutes=15))
    assert order is not None
    return order


def printing_order(ledger: SqlLedger, offer_id: str = "f1") -> Order:
    """Only an order that is to be printed gets a printer."""
    return ledger.move(new_order(ledger, offer_id), OrderMove(to=State.PRINTING, event="print_begun"))


def test_the_schema_the_code_names_is_the_newest_migration_and_makes_the_tables_the_code_uses(tmp_path: Path) -> None:
    assert head() == tables.SCHEMA
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 (only this test needs it)
    from alembic.migration import MigrationContext  # noqa: PLC0415

    engine = open_database(sqlite_url(tmp_path))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


def test_a_ledger_of_the_first_release_is_taken_over_with_all_its_orders(tmp_path: Path) -> None:
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        order = new_order(ledger)
    older = sqlite3.connect(tmp_path / "ledger.sqlite3")
    for table in {table.name for table in tables.metadata.sorted_tables} - FIRST_RELEASE:
        older.execute(f"DROP TABLE {table}")
    older.execute("UPDATE alembic_version SET version_num = '0001'")
    older.commit()
    older.close()
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.order(order.id) == order
        assert ledger.print_times("mk3s", "test", "fake 1", 20) == []


def test_an_offer_becomes_one_order_however_often_it_is_seen(ledger: SqlLedger) -> None:
    new_order(ledger)
    assert add_offer(ledger, "market", make_offer(), datetime.now(UTC)) is None
    assert len(ledger.orders()) == 1


def test_a_whole_list_of_offers_is_one_commit_and_each_is_one_order(ledger: SqlLedger) -> None:
    new_order(ledger, "known")
    before, by = sum(ledger.writes.counts), datetime.now(UTC) + timedelta(minutes=15)
    seen = [(make_offer(name), by) for name in ("f1", "known", "f2", "f1", *(f"more{n}" for n in range(1200)))]
    added = ledger.add_offers("market", seen)
    assert [order.dossier.offer.offer_id for order in added][:3] == ["f1", "f2", "more0"]
    assert sum(ledger.writes.counts) == before + 1
    assert len(ledger.orders()) == 1203
    assert ledger.add_offers("market", seen) == []
    assert [order.dossier.offer.offer_id for order in ledger.add_offers("another", seen[:1])] == ["f1"]
    assert sum(ledger.writes.counts) == before + 2
    assert [event.kind for event in ledger.events(added[0].id)] == ["offered"]


def test_the_loser_of_a_race_is_told_and_changes_nothing(ledger: SqlLedger) -> None:
    seen = new_order(ledger)
    ledger.move(seen, OrderMove(to=State.ACCEPTED, event="accepted"))
    with pytest.raises(Stale):
        ledger.move(seen, OrderMove(to=State.DECLINED, event="declined"))
    assert ledger.order(seen.id).state is State.ACCEPTED
    assert [event.kind for event in ledger.events(seen.id)] == ["offered", "accepted"]


def test_many_writers_of_one_order_never_lose_an_event(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    threads = [threading.Thread(target=lambda: [ledger.record(order.id, "note", {}) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = ledger.events(order.id)
    assert len(events) == 81
    assert first_broken(events) is None


def test_a_changed_event_is_found(ledger: SqlLedger, tmp_path: Path) -> None:
    order = new_order(ledger)
    for n in range(5):
        ledger.record(order.id, "note", {"n": n})
    other = sqlite3.connect(tmp_path / "ledger.sqlite3")
    other.execute("UPDATE events SET data = '{\"n\": 7}' WHERE n = 4")
    other.commit()
    other.close()
    broken = first_broken(ledger.events(order.id))
    assert broken is not None
    assert broken.n == 4


def test_the_database_itself_refuses_a_second_job_on_a_printer(ledger: SqlLedger) -> None:
    order = printing_order(ledger)
    ledger.set_bed("mk3s", BedState.FREE, "Ada")
    job = ledger.claim(order.id, 1, "mk3s", SHA)
    assert job is not None
    assert ledger.claim(order.id, 2, "mk3s", SHA) is None
    values = {
        "order_id": order.id,
        "plate": 9,
        "attempt": 1,
        "printer": "mk3s",
        "remote_name": "x",
        "gcode_sha256": SHA,
        "state": "printing",
        "version": 1,
    }
    with pytest.raises(IntegrityError), ledger._engine.begin() as connection:
        connection.execute(tables.jobs.insert().values(**values, created_at=datetime.now(UTC)))


@pytest.mark.parametrize("bed", [BedState.UNKNOWN, BedState.OCCUPIED, None])
def test_a_printer_whose_bed_is_not_known_to_be_free_cannot_be_claimed(ledger: SqlLedger, bed: BedState | None) -> None:
    order = printing_order(ledger)
    if bed is not None:
        ledger.set_bed("mk3s", bed, "somebody")
    assert ledger.claim(order.id, 1, "mk3s", SHA) is None


def test_an_attempt_has_a_name_no_other_attempt_ever_has(ledger: SqlLedger) -> None:
    order, names = printing_order(ledger), set()
    for _ in range(3):
        ledger.set_bed("mk3s", BedState.FREE, "Ada")
        job = ledger.claim(order.id, 1, "mk3s", SHA)
        assert job is not None
        names.add(job.remote_name)
        ledger.move_job(job, JobState.DISCARDED, "discarded", {})
    assert len(names) == 3


def test_the_intent_to_start_occupies_the_bed_in_the_same_commit(ledger: SqlLedger) -> None:
    order = printing_order(ledger)
    ledger.set_bed("mk3s", BedState.FREE, "Ada")
    job = ledger.claim(order.id, 1, "mk3s", SHA)
    assert job is not None
    started, intent = ledger.open_start(job)
    assert started.state is JobState.STARTING
    assert ledger.beds()["mk3s"].state is BedState.OCCUPIED
    assert ledger.open_intent(order.id, Act.START, job.remote_name) == intent


def test_an_intent_keeps_its_key(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    first, fresh = ledger.intent(order.id, Act.ACCEPT)
    again, fresh_again = ledger.intent(order.id, Act.ACCEPT)
    assert (fresh, fresh_again) == (True, False)
    assert first.key == again.key


def test_a_question_is_answered_once(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    question = ledger.ask(order, NewQuestion(step=Step.HOLD, text="?", choices={"a": "b"}))
    assert ledger.ask(order, NewQuestion(step=Step.HOLD, text="again?")).id == question.id
    ledger.answer(question, {"choice": "a"}, "Ada")
    with pytest.raises(Stale):
        ledger.answer(question, {"choice": "b"}, "Bob")


def test_an_answer_wakes_its_order_even_while_its_handler_is_at_work(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    question = ledger.ask(order, NewQuestion(step=Step.HOLD, text="?"))
    seen = ledger.order(order.id)
    ledger.answer(question, {}, "Ada")
    with pytest.raises(Stale):
        ledger.wait(seen, None)
    assert ledger.due(datetime.now(UTC), 10) == [order.id]


def test_a_bed_that_comes_free_wakes_the_orders_that_wait_for_one(ledger: SqlLedger) -> None:
    order = ledger.move(new_order(ledger), OrderMove(to=State.SLICED, event="sliced"))
    ledger.wait(order, None)
    assert ledger.due(datetime.now(UTC), 10) == []
    ledger.set_bed("mk3s", BedState.FREE, "Ada")
    assert ledger.due(datetime.now(UTC), 10) == [order.id]


def test_an_order_at_its_end_is_never_due_and_asks_nothing(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    ledger.ask(order, NewQuestion(step=Step.OFFER, text="?"))
    ledger.move(order, OrderMove(to=State.EXPIRED, event="expired"))
    assert ledger.due(datetime.now(UTC) + timedelta(days=1), 10) == []
    assert ledger.open_questions() == []


def test_what_was_committed_is_there_after_sigkill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from agent.ledger.places import sqlite_url\n"
        "from agent.ledger.sql_ledger import SqlLedger\n"
        "from agent.domain.printer import BedState\n"
        "with SqlLedger(sqlite_url(Path(sys.argv[1]))) as ledger:\n"
        "    ledger.set_bed('mk3s', BedState.FREE, 'Ada')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=30, check=False)
    assert done.returncode == -9
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.beds()["mk3s"].state is BedState.FREE


def test_the_database_is_opened_durably(ledger: SqlLedger) -> None:
    with ledger._engine.connect() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_ledger_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    with SqlLedger(sqlite_url(tmp_path)) as ledger, ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version"), SqlLedger(sqlite_url(tmp_path)):
        pass


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough" * 50])
def test_a_damaged_ledger_is_named_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be opened"), SqlLedger(sqlite_url(tmp_path)):
        pass
    assert (tmp_path / "ledger.sqlite3").read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.sqlite3")
    other.execute("CREATE TABLE spools (id INTEGER)")
    other.commit()
    other.close()
    with pytest.raises(ConfigError, match="another program"), SqlLedger(sqlite_url(tmp_path)):
        pass


def test_a_full_disk_is_told_as_one(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    with ledger._engine.connect().execution_options(reading=True) as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    ledger._engine.dispose()
    with ledger._engine.connect().execution_options(reading=True) as connection:
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(NeedsOperator, match="could not be written") as full:
        for _ in range(200):
            ledger.record(order.id, "note", {"text": "x" * 4000})
    assert full.value.code == "disk_full"
    assert first_broken(ledger.events(order.id)) is None


def test_ten_thousand_waiting_orders_are_not_felt(ledger: SqlLedger) -> None:
    order = new_order(ledger)
    with ledger._engine.begin() as connection:
        row = dict(connection.execute(tables.orders.select()).mappings().one())
        rows = [{**row, "id": f"o{n:08}", "offer_id": f"offer-{n}", "due_at": None} for n in range(10_000)]
        connection.execute(tables.orders.insert(), rows)
        connection.execute(update(tables.orders).where(tables.orders.c.id == order.id).values(due_at=None))
        plan = " ".join(
            str(line)
            for line in connection.execute(text("EXPLAIN QUERY PLAN SELECT id FROM orders WHERE due_at <= '2030' ORDER BY due_at"))
        )
    assert ledger.due(datetime.now(UTC), 100) == []
    assert "ix_orders_due_at" in plan


@pytest.mark.parametrize("question", [SqlLedger.active_jobs, SqlLedger.printers_at_work])
def test_jobs_of_years_ago_are_not_read_to_find_those_at_work(ledger: SqlLedger, question: Callable[[SqlLedger], object]) -> None:
    asked: list[str] = []

    @event.listens_for(ledger._engine, "before_cursor_execute")
    def _asked(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        asked.append(statement)

    question(ledger)
    with ledger._engine.connect().execution_options(reading=True) as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0]}").all()
    assert "uq_jobs_active_printer" in plan.detail


# --- files ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_the_announced_one_is_refused_and_gone(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.open()
    temporary = store.new_temporary()
    temporary.write_bytes(b"other bytes")
    with pytest.raises(Refused, match="announced"):
        store.adopt(temporary, SHA)
    assert not temporary.exists()
    assert not store.has(SHA)


def test_the_same_content_is_stored_once_under_its_hash(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.open()
    assert store.put(b"part") == store.put(b"part")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [store.put(b"part")]


def test_what_a_dead_process_left_half_written_is_dropped_at_the_next_start(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.open()
    store.new_temporary().write_bytes(b"half")
    store.open()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_whatever_anybody_writes_is_a_change_and_nothing_else_is(ledger: SqlLedger, tmp_path: Path) -> None:
    order = new_order(ledger)
    seen = ledger.changes()
    assert (ledger.order(order.id), ledger.changes()) == (order, seen)
    ledger.wait(order, None)  # no event of an order's history, and no bed
    own = ledger.changes()
    assert own != seen
    with SqlLedger(sqlite_url(tmp_path)) as another_program:
        another_program.set_bed("mk3s", BedState.FREE, "Ada")
    assert ledger.changes() not in (own, seen)


def test_the_mark_follows_what_another_program_writes(ledger: SqlLedger, tmp_path: Path) -> None:
    order, marks = new_order(ledger), {ledger.mark()}
    with SqlLedger(sqlite_url(tmp_path)) as another_program:
        for act in (
            lambda: another_program.record(order.id, "noted", {}),
            lambda: another_program.set_bed("mk3s", BedState.FREE, "Ada"),
            lambda: another_program.record(order.id, "noted", {}),
        ):
            act()
            assert ledger.mark() == another_program.mark() == ledger.mark()
            marks.add(ledger.mark())
    assert len(marks) == 4
