"""A ledger that is older than what the printer and the marketplace have done since: nothing is printed twice, nothing promised twice."""

import functools
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.domain.events import first_broken
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Question, Step
from agent.ledger import sql_ledger
from agent.ledger.backup import copied
from agent.ledger.database import open_database
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import Answers
from agent.workflow.restored import PRINTED_SINCE, distrust
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.person import Person
from tests.workflow.workshop import Fate, Killed, Outside, Workshop, make_offer

POINTS = (4, 15, 22, 29, 36, 50)
"""At so many calls to printer, marketplace and ledger the backup is taken, and the old agent goes on."""


@pytest.fixture(autouse=True)
def one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_ledger, "open_database", functools.cache(open_database))


class Restorer(Person):
    """Of a restored order they say what `says` says, after they looked at the printer."""

    def __init__(self, outside: Outside, says: str) -> None:
        super().__init__(outside)
        self._says = says
        self.asked = 0

    def told_of_a_hold(self, answers: Answers, question: Question) -> None:
        assert question.data["reason"] == "restored", question.text
        self.asked += 1
        truth = PRINTED_SINCE if self.outside.printer.starts else "retry"
        answers.choose(Step.HOLD, question.order_id, truth if self._says == "the truth" else self._says)


async def live(outside: Outside, person: Restorer, fate: Fate | None = None) -> bool:
    try:
        with Workshop(outside, fate=fate) as shop, SqlLedger(sqlite_url(outside.folder)) as desk:
            if not desk.orders():
                shop.receive()
            for _ in range(40):
                await shop.settle(1)
                if outside.printer.state is PrinterState.PRINTING:
                    outside.printer.finish()
                person.act(desk)
                if all(order.ended for order in desk.orders()):
                    return True
    except Killed:
        return False
    raise AssertionError("the order stands still")


def new_outside(folder: Path) -> Outside:
    folder.mkdir()
    lay_empty_ledger(folder)
    with SqlLedger(sqlite_url(folder)) as desk:
        desk.set_bed("mk3s", BedState.FREE, "Ada")
    outside = Outside(folder)
    outside.market.add(make_offer())
    return outside


@pytest.mark.parametrize("says", ["the truth", "retry"])
async def test_a_backup_of_any_moment_prints_nothing_twice(tmp_path: Path, says: str) -> None:
    """Also where the person says that nothing was printed and the printer knows better."""
    asked = 0
    for point in POINTS:
        old = new_outside(tmp_path / f"old-{point}")
        before = await live(old, Restorer(old, says), Fate(point))
        new = replace(old, folder=tmp_path / f"new-{point}")
        copied(sqlite_file(old.folder), sqlite_file(new.folder))
        (new.folder / "files").symlink_to(old.folder / "files")
        assert before or await live(old, Restorer(old, says))
        old.printer.current, old.printer.state = "another.gcode", PrinterState.IDLE  # only its history still knows of ours
        acts = sorted(act.split()[0] for act in old.market.acts)
        with SqlLedger(sqlite_url(new.folder)) as desk:
            distrust(desk, datetime.now(UTC))
        person = Restorer(new, says)
        assert await live(new, person)
        asked += person.asked
        with SqlLedger(sqlite_url(new.folder)) as desk:
            (order,) = desk.orders()
            assert order.state in (State.CLOSED, State.LOST), point
            assert first_broken(desk.events(order.id)) is None
        assert len(new.printer.starts) == 1, f"printed twice, from a backup at call {point}"
        assert sorted(act.split()[0] for act in new.market.acts) == acts, f"done twice at the marketplace, from a backup at call {point}"
    assert asked > len(POINTS) / 3
