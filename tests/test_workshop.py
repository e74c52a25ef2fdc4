"""A shop that becomes another one: what stays open, what is opened anew, and that a change that fails is none."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.daemon import watches_of
from agent.domain.errors import ConfigError
from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.printer import BedState
from agent.ports.ledger import OrderMove
from agent.workshop import Workshop
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.workflow.workshop import make_offer


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    made = AgentHome(tmp_path / "home")
    made.add_virtual("a")
    made.add_virtual("b")
    made.settings().agent.data_dir.mkdir()
    return made


def closings(printer: Any, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Fills when the printer is closed."""
    closed: list[object] = []
    leave = type(printer).__aexit__

    async def left(self: object, *exc: object) -> None:
        closed.append(self)
        await leave(self, *exc)

    monkeypatch.setattr(type(printer), "__aexit__", left)
    return closed


async def test_what_is_the_same_stays_open_and_what_was_known_of_it_stays_known(home: AgentHome, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Workshop(home.settings()) as workshop:
        before = workshop.shop
        closed = closings(before.printers["a"], monkeypatch)
        before.seen.add("a")
        watches = watches_of(before, {})
        home.recolor("b", "red", "#c01010")
        home.add_virtual("c")
        changes = await workshop.change(workshop.plan(home.settings()))
        assert (changes.added, changes.removed, changes.changed, changes.leaving) == (["c"], [], ["b"], [])
        after = workshop.shop
        assert after is not before
        assert after.printers["a"] is before.printers["a"]
        assert closed == [before.printers["b"]]
        assert list(before.printers) == ["a", "b"], "whoever is at work in the shop before sees no other"
        assert "a" in after.seen
        again = watches_of(after, watches)
        assert [name for name in again if again[name] is watches.get(name)] == ["a"], "what was told of it is not told again"
        assert [facts.materials[0].color.name for facts in after.facts()] == ["black", "red", "black"]


async def test_a_profile_that_changed_is_read_anew(home: AgentHome) -> None:
    home.add('[slicing]\nprofiles_dir = "profiles"\n')
    source = Path(__file__).parents[1] / "slicer_profiles" / "prusa-mk3s"
    profile = home.folder / "profiles" / "prusa-mk3s"
    profile.mkdir(parents=True)
    for file in source.iterdir():
        (profile / file.name).write_bytes(file.read_bytes())
    async with Workshop(home.settings()) as workshop:
        machine = profile / "machine.ini"
        machine.write_text(machine.read_text().replace("max_print_height = 210", "max_print_height = 123"))
        changes = await workshop.change(workshop.plan(home.settings()))
        assert changes.changed == ["a", "b"]
        assert workshop.shop.facts()[0].bed_mm[2] == 123


async def test_all_that_cannot_be_used_is_told_at_once(home: AgentHome) -> None:
    async with Workshop(home.settings()) as workshop:
        for name in ("a", "b"):
            path = home.folder / "printers" / f"{name}.toml"
            path.write_text('bed_clearing = "automatic"\n' + path.read_text())
        home.add(f'[mqtt]\nhost = "127.0.0.1"\ntls = true\nca_file = "{home.config}"\n')
        with pytest.raises(ConfigError) as told:
            workshop.plan(home.settings())
        assert len(str(told.value).splitlines()) == 3
        assert list(workshop.shop.printers) == ["a", "b"]


async def test_what_cannot_be_opened_changes_nothing(home: AgentHome) -> None:
    async with Workshop(home.settings()) as workshop:
        home.recolor("b", "red", "#c01010")
        home.add_virtual("c")
        (home.folder / "data" / "virtual" / "c").write_text("in the way")
        with pytest.raises(OSError, match="virtual/c"):
            await workshop.change(workshop.plan(home.settings()))
        assert [facts.materials[0].color.name for facts in workshop.shop.facts()] == ["black", "black"]
        await workshop.shop.printers["b"].observe()
        (home.folder / "data" / "virtual" / "c").unlink()
        assert (await workshop.change(workshop.plan(home.settings()))).added == ["c"]


async def test_what_only_a_restart_changes_stays_and_is_named(home: AgentHome) -> None:
    async with Workshop(home.settings()) as workshop:
        text = home.config.read_text().replace('name = "test"', 'name = "other"').replace("keep_free_mb = 10", "keep_free_mb = 11")
        home.config.write_text(text + '\n[acceptance]\nmode = "ask"\n')
        plan = workshop.plan(home.settings())
        assert plan.needs_restart == ["[agent] name", "[files]"]
        await workshop.change(plan)
        assert (workshop.settings.agent.name, workshop.settings.files.keep_free_mb, workshop.shop.policy.mode) == ("test", 10, "ask")


@pytest.mark.parametrize(("state", "stays"), [(JobState.UPLOADED, False), (JobState.PRINTING, True), (JobState.FINISHED, True)])
async def test_a_printer_is_let_go_when_nothing_of_ours_is_on_it(home: AgentHome, state: JobState, stays: bool) -> None:
    async with Workshop(home.settings()) as workshop:
        with home.desk() as desk:
            order = add_offer(desk.ledger, "market", make_offer("f1"), datetime.now(UTC) + timedelta(minutes=15))
            assert order is not None
            order = desk.ledger.move(order, OrderMove(to=State.PRINTING, event="print_begun"))
            desk.ledger.set_bed("a", BedState.FREE, "told")
            job = desk.ledger.claim(order.id, 1, "a", "a" * 64)
            assert job is not None
            job = desk.ledger.move_job(job, state, "moved", {}, BedState.OCCUPIED)
            (home.folder / "printers" / "a.toml").unlink()
            changes = await workshop.change(workshop.plan(home.settings()))
            assert (changes.leaving, changes.removed) == ((["a"], []) if stays else ([], ["a"]))
            assert [facts.name for facts in workshop.shop.facts()] == ["b"], "nothing new is planned for it"
            desk.ledger.move_job(job, JobState.HARVESTED, "harvested", {}, BedState.FREE)
        changes = await workshop.change(workshop.plan(workshop.settings))
        assert (changes.leaving, list(workshop.shop.printers)) == ([], ["b"])
