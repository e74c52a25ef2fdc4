"""Backups of a daemon that works, and what becomes of one on another machine: nothing is printed twice."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent.domain.order import State
from agent.domain.question import Step
from agent.ledger.backup import facts_of
from agent.ledger.places import sqlite_file
from agent.sandbox.models import binary_stl, box
from tests.rigs.agent_process import ROOT, AgentHome, Desk, wait_until
from tests.rigs.nursery import ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BACKUPS, ORDERS = 20, 4


def command(*arguments: str, status: int = 0) -> dict[str, Any]:
    done = ran("agent", *arguments, "--json", cwd=ROOT)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else {}


def test_every_backup_of_a_working_daemon_is_whole_and_none_prints_anything_twice(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "old")
    home.add_virtual("mk3s", speed=3000)
    home.add('[[marketplaces]]\nkind = "hot_folder"\nname = "walk-in"\npath = "data/inbox"\nstill_s = 0.2\n')
    home.add('[backup]\nfolder = "backups"\nevery_hours = 1\nkeep = 2\n')
    inbox = home.folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    archives: list[Path] = []
    with home.desk() as desk, home.running():
        for n in range(ORDERS):
            (inbox / f"part-{n}.stl").write_bytes(binary_stl(box(10 + n, 12, 2)))
        for n in range(BACKUPS):
            archives.append(tmp_path / "taken" / f"{n:02}.tar")
            told = command("backup", "--config", str(home.config), "-o", str(archives[-1]))
            assert (told["left_out"], told["broken"]) == ([], [])
            desk.person.act()
        wait_until(lambda: (desk.person.act(), desk.states() == ["closed"] * ORDERS)[1], "all are delivered", 150)
        assert len(home.logged("backup_made")) == 1, "the daemon made one by itself"
        starts = _starts(home)
    assert len(starts) == ORDERS
    seen = [_restored(archive, tmp_path / "scratch") for archive in archives]
    assert len({head for head, _ in seen}) > 3, "they are of different instants"
    _goes_on(max(zip(archives, seen, strict=True), key=lambda each: each[1][1])[0], tmp_path, home, starts)


def _starts(home: AgentHome) -> list[str]:
    journal = home.folder / "data" / "virtual" / "mk3s" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    return [str(line) for line in lines if '"started"' in json.dumps(line)]


def _restored(archive: Path, into: Path) -> tuple[str, int]:
    """Each restores to a ledger that holds together: its head, and how many orders of it are on hold because they may have gone on."""
    told = command("restore", str(archive), "--into", str(into), "--old-agent-is-off")
    facts = facts_of(sqlite_file(into))
    assert facts.broken == []
    with contextlib.closing(sqlite3.connect(sqlite_file(into))) as ledger:
        (held,) = ledger.execute("SELECT count(*) FROM orders WHERE state = ?", [State.ON_HOLD]).fetchone()
    shutil.rmtree(into)
    return str(told["head"]), int(held)


def _goes_on(archive: Path, tmp_path: Path, old: AgentHome, starts: list[str]) -> None:
    """On another machine, beside the same printer, whose memory goes on."""
    new = AgentHome(tmp_path / f"new-{archive.stem}")
    data = new.folder / "data"
    command("restore", str(archive), "--into", str(data))
    for name in ("config.toml", "printers"):
        source = data / "config-from-backup" / name
        shutil.copytree(source, new.folder / name, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, new.folder / name)
    shutil.copytree(old.folder / "data" / "virtual", data / "virtual")  # the printer itself, as it stands now
    agent = new.start()
    assert agent.wait() == 78, "it asks whether the old one is off first"
    command("restore", "--old-agent-is-off", "--into", str(data))
    with new.desk() as desk:
        held = [order.id for order in desk.ledger.orders() if order.state is State.ON_HOLD]
        assert held, "something was under way in this one"
        with new.running():
            wait_until(lambda: new.logged("ready"), "it is up")
            wait_until(lambda: _answered(desk, starts), "every order is at its end", 150)
        assert _starts(new) == starts, "whatever had been printed by then was not printed again"
        assert set(desk.states()) <= {"closed", "lost"}


def _answered(desk: Desk, starts: list[str]) -> bool:
    """A person who has looked at the printer says what they saw."""
    for question in desk.ledger.open_questions():
        if question.step is Step.HOLD and question.answered_at is None:
            assert question.data["reason"] == "restored", question.text
            printed = any(f"{question.order_id}-1-1-" in start for start in starts)
            desk.ledger.answer(question, {"choice": "printed_since" if printed else "retry"}, "Ada")
    desk.person.act()
    return all(order.ended for order in desk.ledger.orders())
