"""What the ledger keeps of notices, calls and buttons."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.question import NewQuestion, Step
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.calls import KeptButton, Outcome, Press
from agent.ports.notifier import Button, Notice, Urgency
from tests.ledger.offers import add_offer
from tests.workflow.workshop import make_offer

NOTICE = Notice(event="x", title="t", text="n", urgency=Urgency.ACT, step=Step.HOLD, deadline=datetime(2026, 1, 1, tzinfo=UTC))


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[SqlLedger]:
    with SqlLedger(sqlite_url(tmp_path), now=clock) as opened:
        yield opened


def test_what_was_asked_before_calls_were_kept_counts_as_told(tmp_path: Path) -> None:
    """A ledger of an earlier version: an update must not call everybody of everything that waits."""
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        order = add_offer(ledger, "market", make_offer(), datetime.now(UTC))
        assert order is not None
        open_, settled = (ledger.ask(order, NewQuestion(step=step, text="?")) for step in (Step.HOLD, Step.OFFER))
        ledger.settle_question(settled)
    older = sqlite3.connect(sqlite_file(tmp_path))
    for table in ("buttons", "calls", "notices", "supply_intents"):
        older.execute(f"DROP TABLE {table}")
    older.execute("UPDATE alembic_version SET version_num = '0005'")
    older.commit()
    older.close()
    with SqlLedger(sqlite_url(tmp_path)) as ledger:
        assert ledger.untold_questions(datetime.now(UTC)) == []
        assert [question.id for question in ledger.open_questions()] == [open_.id]
        assert ledger.open_notices() == []


def test_a_notice_is_kept_as_it_was_without_its_buttons(ledger: SqlLedger, clock: Clock) -> None:
    assert ledger.add_notice("k", "run", NOTICE.model_copy(update={"buttons": [Button(label="x", url="https://x")]}))
    assert not ledger.add_notice("k", "run", NOTICE)
    (kept,) = ledger.open_notices()
    assert (kept.notice, kept.made_at, kept.calls, kept.snoozed_until) == (NOTICE, clock.now, {}, None)


@pytest.mark.parametrize("text", ["half a pair \ud83d of a file's name", "a NUL \0 in it", "🖨 ÄÖÜ\n" * 3000])
def test_whatever_a_notice_says_it_is_kept(ledger: SqlLedger, text: str) -> None:
    assert ledger.add_notice("k", "run", NOTICE.model_copy(update={"title": text, "text": text}))
    (kept,) = ledger.open_notices()
    assert (kept.notice.title, kept.notice.text) == (text, text)


def test_calls_are_counted_while_they_fail_and_told_by_the_latest(ledger: SqlLedger, clock: Clock) -> None:
    for key in "ab":
        ledger.add_notice(key, "run", NOTICE)
    numbers = [kept.id for kept in ledger.open_notices()]
    for tries in (1, 2):
        ledger.begin_call(numbers, "Ada")
        assert {kept.calls["Ada"].outcome for kept in ledger.open_notices()} == {Outcome.SENDING}
        ledger.end_call(numbers, "Ada", Outcome.FAILED)
        assert [kept.calls["Ada"].tries for kept in ledger.open_notices()] == [tries, tries]
    clock.now += timedelta(minutes=1)
    ledger.begin_call(numbers[:1], "Ada")
    ledger.end_call(numbers[:1], "Ada", Outcome.ARRIVED)
    assert ledger.latest_calls()["Ada"].outcome is Outcome.ARRIVED
    assert [kept.calls["Ada"].tries for kept in ledger.open_notices()] == [0, 2]


def test_what_is_over_is_forgotten_in_time_and_what_is_open_never(ledger: SqlLedger, clock: Clock) -> None:
    for key in "ab":
        ledger.add_notice(key, "run", NOTICE)
    over, open_ = (kept.id for kept in ledger.open_notices())
    ledger.begin_call([over, open_], "Ada")
    until = clock.now + timedelta(hours=1)
    for number in (over, open_):
        ledger.add_button(f"hash {number}", KeptButton(notice_id=number, person="Ada", act=Press.SNOOZE, subject={}, until=until))
    ledger.close_notices([over])
    ledger.forget_calls(clock.now)
    assert ledger.button(f"hash {over}") is not None, "it is not old yet"
    ledger.forget_calls(clock.now + timedelta(seconds=1))
    assert ledger.button(f"hash {over}") is None
    assert ledger.button(f"hash {open_}") is not None
    assert [kept.id for kept in ledger.open_notices()] == [open_]


def test_a_button_is_spent_once(ledger: SqlLedger, clock: Clock) -> None:
    ledger.add_notice("k", "run", NOTICE)
    (kept,) = ledger.open_notices()
    button = KeptButton(notice_id=kept.id, person="Ada", act=Press.ANSWER, subject={"question": "1"}, until=clock.now)
    ledger.add_button("hash", button)
    assert ledger.button("hash") == button
    assert [ledger.press("hash"), ledger.press("hash"), ledger.press("none")] == [True, False, False]
    spent = ledger.button("hash")
    assert spent is not None
    assert spent.pressed_at == clock.now


def test_snoozed_it_is_open_again(ledger: SqlLedger, clock: Clock) -> None:
    ledger.add_notice("k", "run", NOTICE)
    (kept,) = ledger.open_notices()
    ledger.close_notices([kept.id])
    assert ledger.open_notices() == []
    ledger.snooze(kept.id, "Ada", clock.now)
    (again,) = ledger.open_notices()
    assert (again.snoozed_until, again.snoozed_by) == (clock.now, "Ada")
