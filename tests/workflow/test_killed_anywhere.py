"""The agent may die at any call to the outside and before or after any commit: nothing is lost, nothing is done twice.

Every point of an order's life is tried, one by one: the agent is killed there (nothing of it runs on), a new one starts
over the same ledger, the same printer and the same marketplace, which remember what they were told. The real process, the
real OctoPrint and SIGKILL are in tests/kill.
"""

import functools
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.domain.events import first_broken
from agent.domain.fit import Packaging
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.ledger import sql_ledger
from agent.ledger.database import open_database
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.workflow.acceptance import Policy
from tests.workflow.person import Person
from tests.workflow.workshop import Fate, Killed, Outside, Workshop, make_offer


@pytest.fixture(scope="module")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its schema and a cleared bed, to be copied: migrating a hundred times would be most of this test."""
    folder = tmp_path_factory.mktemp("ledger")
    with SqlLedger(sqlite_url(folder)) as desk:
        desk.set_bed("mk3s", BedState.FREE, "Ada")
    return folder / "ledger.sqlite3"


BOXED = Policy(packagings=[Packaging(name="box", inner_mm=(100, 100, 100), stock=5)])


@pytest.fixture(autouse=True)
def one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all lives over the same file: each has connections of its own, and none the trouble of making its SQL anew."""
    monkeypatch.setattr(sql_ledger, "open_database", functools.cache(open_database))


def new_outside(folder: Path, new_ledger: Path) -> Outside:
    """In place of the one before it there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(new_ledger, folder)
    outside = Outside(folder)
    outside.market.add(make_offer())
    return outside


async def live(outside: Outside, fate: Fate, *, ends_while_down: bool = False) -> bool:
    """One life of the agent, until the order is closed (True) or the agent is gone (False): killed, or, with
    `ends_while_down`, at the latest when only the print is waited for, which then ends in its absence."""
    person = Person(outside)
    try:
        with Workshop(outside, fate=fate, policy=BOXED) as shop, SqlLedger(sqlite_url(outside.folder)) as desk:
            shop.receive()
            for _ in range(40):
                await shop.settle(1)
                if outside.printer.state is PrinterState.PRINTING and not ends_while_down:
                    outside.printer.finish()
                person.act(desk)
                if all(order.ended for order in desk.orders()):
                    return True
    except Killed:
        pass
    assert ends_while_down or fate.dead, "the order stands still"
    if outside.printer.state is PrinterState.PRINTING and ends_while_down:
        outside.printer.finish()
    return False


def check(outside: Outside) -> None:
    with SqlLedger(sqlite_url(outside.folder)) as desk:
        (order,) = desk.orders()
        assert order.state is State.CLOSED
        assert first_broken(desk.events(order.id)) is None
        assert desk.due(datetime.now(UTC), 10) == []
        taken = [(taking.kind, taking.name, taking.amount) for taking in desk.takings(order.id)]
        assert taken == [("spool", "mk3s: PLA black", 3.0), ("packaging", "box", 1.0)], "counted twice, or not at all"
        assert [booked.order_id for booked in desk.bookings(order.created_at)] == [order.id]
    assert len(outside.printer.starts) == 1, "printed twice"
    assert sorted(act.split()[0] for act in outside.market.acts) == ["accept", "delivered", "photo", "start", "submit"]


async def calls_of_a_life(tmp_path: Path, new_ledger: Path) -> int:
    fate, outside = Fate(), new_outside(tmp_path / "shop", new_ledger)
    assert await live(outside, fate)
    check(outside)
    return fate.calls


@pytest.mark.slow
@pytest.mark.timeout(600)  # a life for each point: minutes of work on a machine that has other work
@pytest.mark.parametrize("ends_while_down", [False, True], ids=["", "print-ends-while-down"])
async def test_killed_once_at_every_point_of_an_orders_life(tmp_path: Path, new_ledger: Path, *, ends_while_down: bool) -> None:
    calls = await calls_of_a_life(tmp_path, new_ledger)
    assert calls >= 60, f"an order's life has only {calls} points"
    for dies_at in range(1, calls + 1):
        outside = new_outside(tmp_path / "shop", new_ledger)
        if not await live(outside, Fate(dies_at), ends_while_down=ends_while_down):
            assert await live(outside, Fate())
        check(outside)


@pytest.mark.parametrize("every", [7, 11, 13])
async def test_killed_again_and_again_on_the_way(tmp_path: Path, new_ledger: Path, every: int) -> None:
    """A life of only a few calls still gets somewhere, because what was done is not done again."""
    outside = new_outside(tmp_path / "shop", new_ledger)
    for _life in range(100):
        if await live(outside, Fate(every)):
            break
    check(outside)
