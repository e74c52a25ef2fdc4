"""Files of orders that ended go by the rules, are told as removed, and nothing that is needed ever does."""

import asyncio
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain.events import first_broken
from agent.domain.job import JobState
from agent.domain.order import Order, State
from agent.domain.retention import REMOVED, Kind, Removal, Rule, removals, removed_in
from agent.dossiers.export import export
from agent.dossiers.verify import verify
from agent.ledger.files import DiskStore
from agent.ledger.keeping import held_files, remove
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from tests.dossiers.orders import Records
from tests.ledger.offers import add_offer
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.workshop import make_offer

NOW = datetime.now(UTC)
ALL_OLD = Rule(dict.fromkeys((Kind.GCODE, Kind.MESH, Kind.PICTURE, Kind.MODEL, Kind.PHOTO), 30), 7, None)


class Shop:
    """A ledger whose clock can be set, and a store."""

    def __init__(self, folder: Path) -> None:
        lay_empty_ledger(folder)
        self.clock = NOW
        self.ledger = SqlLedger(sqlite_url(folder), lambda: self.clock)
        self.store = DiskStore(folder / "files")
        self.records = Records(self.ledger, folder)

    def closed(self, days_ago: float) -> Order:
        """Harvested, closed, and all of it so old."""
        self.clock = NOW - timedelta(days=days_ago)
        order = self.records.closed()
        (job,) = self.ledger.jobs(order.id)
        self.ledger.move_job(job, JobState.HARVESTED, "harvested", {})
        self.clock = NOW
        return order

    def age(self, days: float = 365) -> None:
        """Nobody has asked for any file for so long."""
        then = time.time() - days * 86400
        for file in self.store.stored():
            os.utime(self.store.path(file.sha256), (then, then))

    def tidy(self, rule: Rule = ALL_OLD) -> list[Removal]:
        return remove(self.ledger, self.store, removals(held_files(self.ledger, self.store), rule, NOW), NOW)

    def there(self) -> set[str]:
        return {file.sha256 for file in self.store.stored()}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    with made.ledger:
        yield made


def files_of(order: Order) -> dict[str, str]:
    dossier = order.dossier
    return {
        "model": dossier.files["m1"],
        "gcode": dossier.plates[0].gcode_sha256,
        "photo": next(iter(dossier.photos.values())),
        "picture": dossier.meshes["m1"].pictures["top"],
        "label": dossier.label_sha256,
    }


def test_old_files_go_and_the_order_says_which_when_and_why(shop: Shop, tmp_path: Path) -> None:
    order = shop.closed(days_ago=60)
    files = files_of(order)
    shop.age()
    gone = {removal.file.sha256 for removal in shop.tidy()}
    assert {files[kind] for kind in ("model", "gcode", "photo", "picture")} <= gone
    assert shop.there() == {files["label"]}
    events = shop.ledger.events(order.id)
    assert first_broken(events) is None
    removed = removed_in(events)
    assert removed.keys() == gone
    assert removed[files["gcode"]].told() == f"Removed on {NOW:%Y-%m-%d} by the rules for old files: a G-code is kept for 30 days."
    assert [event.data["bytes"] for event in events if event.kind == REMOVED] == [sum(each.bytes for each in removed.values())]
    done = asyncio.run(export(order.id, shop.ledger, shop.store, tmp_path / "d.zip", "0", everything=True))
    with zipfile.ZipFile(done.path) as dossier:
        missing = json.loads(dossier.read("missing.json"))
    assert missing
    assert all(file["why"].startswith("Removed on") for file in missing)
    assert verify(done.path, shop.ledger).ok
    assert shop.tidy() == []
    assert len(shop.ledger.events(order.id)) == len(events), "said once"


def test_content_that_an_open_order_shares_stays_whatever_mentions_it(shop: Shop) -> None:
    files = files_of(shop.closed(days_ago=400))
    for n, kind in enumerate(("model", "gcode", "photo", "picture")):
        order = add_offer(shop.ledger, "market", make_offer(f"open-{n}"), NOW)
        assert order is not None
        shop.ledger.move(order, OrderMove(to=State.ON_HOLD, event="on_hold", data={"picture": files[kind]}, resume_state=State.ACCEPTED))
    shop.age()
    shop.tidy(ALL_OLD._replace(most_bytes=0))
    assert set(files.values()) <= shop.there()


def test_what_a_job_still_prints_stays_though_its_order_was_given_up(shop: Shop) -> None:
    shop.clock = NOW - timedelta(days=400)
    order = shop.records.closed()  # its job is not harvested: it has the printer
    shop.clock = NOW
    shop.age()
    shop.tidy(ALL_OLD._replace(most_bytes=0))
    assert order.dossier.plates[0].gcode_sha256 in shop.there()


def test_a_file_that_was_asked_for_lately_stays_even_between_plan_and_removal(shop: Shop) -> None:
    files = files_of(shop.closed(days_ago=60))
    shop.age()
    assert shop.store.has(files["model"])  # as a handler does that finds a file it needs not fetch again
    planned = removals(held_files(shop.ledger, shop.store), ALL_OLD, NOW)
    assert files["model"] not in {removal.file.sha256 for removal in planned}
    assert shop.store.has(files["gcode"])
    shop.store.put(shop.store.path(files["photo"]).read_bytes())
    remove(shop.ledger, shop.store, planned, NOW)
    assert {files["model"], files["gcode"], files["photo"], files["label"]} == shop.there()


def test_the_budget_takes_what_can_be_made_again_of_the_order_that_ended_first(shop: Shop) -> None:
    older = shop.closed(days_ago=60)
    shop.age()
    total = sum(file.bytes for file in shop.store.stored())
    kept = Rule(dict.fromkeys(Kind, None), None, total - 1)
    (gone,) = shop.tidy(kept)
    assert gone.file.sha256 in older.dossier.meshes["m1"].pictures.values(), "the biggest that can be made again"
    left = shop.tidy(kept._replace(most_bytes=0))
    assert left
    assert {files_of(older)["model"], files_of(older)["label"], *older.dossier.photos.values()} == shop.there()


def test_what_no_order_ever_mentions_goes_after_the_days_of_an_offer(shop: Shop) -> None:
    leftover = shop.store.put(b"sliced for an offer that somebody else got")
    shop.age(6)
    assert shop.tidy() == []
    shop.age(8)
    assert [removal.file.sha256 for removal in shop.tidy()] == [leftover]


def test_killed_in_the_middle_nothing_needed_is_gone_and_the_rest_goes_next_time(shop: Shop, tmp_path: Path) -> None:
    files = files_of(shop.closed(days_ago=60))
    open_order = add_offer(shop.ledger, "market", make_offer("open"), NOW)
    assert open_order is not None
    needed = shop.store.put(b"the model of an open order")
    shop.ledger.move(open_order, OrderMove(to=State.ACCEPTED, event="accepted", data={"files": {"m1": needed}}))
    shop.age()
    before = shop.there()
    child = os.fork()
    if child == 0:
        real, count = DiskStore.remove, 0

        def remove_two(store: DiskStore, sha256: str, not_wanted_since: float) -> bool:
            nonlocal count
            count += 1
            if count == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(store, sha256, not_wanted_since)

        DiskStore.remove = remove_two  # type: ignore[method-assign]
        with SqlLedger(sqlite_url(tmp_path)) as ledger:
            remove(ledger, shop.store, removals(held_files(ledger, shop.store), ALL_OLD, NOW), NOW)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(before - shop.there()) == 2
    shop.tidy()
    assert shop.there() == {needed, files["label"]}
