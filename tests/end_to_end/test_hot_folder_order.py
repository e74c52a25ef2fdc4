"""A file dropped into a folder becomes a parcel: hot folder → daemon → PrusaSlicer → virtual printer → a person."""

from pathlib import Path

import pytest

from agent.domain.order import State
from agent.sandbox.models import binary_stl, box
from tests.meshes.packages import mesh, model, package, thing
from tests.rigs.agent_process import AgentHome, Desk, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
_ORDER = """\
payout = "12.50 EUR"

[[items]]
file = "hook.stl"
quantity = 2
infill_percent = 35
"""


def all_closed(desk: Desk, count: int) -> bool:
    desk.person.act()
    return desk.states() == [State.CLOSED] * count


def test_dropped_files_are_printed_as_their_order_says_and_once_over_a_kill(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add('[[marketplaces]]\nkind = "hot_folder"\nname = "walk-in"\npath = "inbox"\nstill_s = 0.3\n')
    inbox = home.folder / "inbox"
    inbox.mkdir()
    with home.desk() as desk:
        agent = home.start()
        (inbox / "order.toml").write_text(_ORDER)
        (inbox / "hook.stl").write_bytes(binary_stl(box(12, 12, 2)))
        (order,) = wait_until(desk.ledger.orders, "the order is taken in")
        agent.kill()
        (inbox / "alone.3mf").write_bytes(package(model(thing(1, mesh(box(10, 14, 2))))))
        with home.running():
            wait_until(lambda: all_closed(desk, 2), "both are delivered", 120)
        (plate,) = desk.ledger.order(order.id).dossier.plates
        assert (list(plate.copies.values()), plate.settings.infill_percent, plate.proved) == ([2], 35, True)
        assert [len(desk.ledger.jobs(each.id)) for each in desk.ledger.orders()] == [1, 1]
    starts = (home.folder / "data" / "virtual" / "mk3s" / "journal.jsonl").read_text().count('"started"')
    assert starts == 2
    assert [path.name for path in inbox.iterdir() if path.is_file() and not path.name.startswith(".")] == [], "all was taken"
    assert list((inbox / "rejected").iterdir()) == []
