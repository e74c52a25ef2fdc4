"""`plan`: the chart of a plan, and the command over a real ledger and printers."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.commands.plan import plan
from agent.commands.plan_chart import PRINTS, axis_over, head, row
from agent.domain.offer import Supports
from agent.domain.order import State
from agent.domain.plate import PrintSettings, ProofLine, SlicedPlate
from agent.domain.printer import BedState, PrinterFacts
from agent.domain.schedule import Assignment
from agent.domain.values import Color
from agent.ports.ledger import OrderMove
from agent.workflow.scheduling import Station
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome, Desk
from tests.workflow.workshop import BLACK, make_offer

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
FACTS = PrinterFacts(
    name="p1", kind="virtual", profile="a", slicer="fake", bed_mm=(1, 1, 1), nozzle_mm=0.4, materials=[], profile_materials=[]
)


def minutes(n: float) -> datetime:
    return NOW + timedelta(minutes=n)


def place(start: float, end: float, cleared: float, *, changes: bool = False) -> Assignment:
    return Assignment(
        printer="p1",
        order_id="o1",
        batch=1,
        plate=2,
        profile="a",
        material="PLA",
        color=Color(name="black"),
        starts_at=minutes(start),
        ends_at=minutes(end),
        cleared_at=minutes(cleared),
        changes_material=changes,
    )


# --- the chart --------------------------------------------------------------------------------------------------------
def test_a_row_shows_what_prints_what_will_the_wait_for_hands_and_a_change() -> None:
    axis = axis_over(NOW, minutes(60), 60)
    drawn = row(Station(FACTS, minutes(5), bed_free=False), [place(10, 30, 40), place(40, 50, 55, changes=True)], axis)
    assert drawn == "▓▓▓▓▓     ━o1/2━━━━━━━━━━━━━━━·········▾◆o1/2━━━━━····▾"


def test_what_lies_beyond_the_axis_is_left_out() -> None:
    axis = axis_over(NOW, minutes(60), 60)
    assert (
        row(Station(FACTS, NOW, bed_free=True), [place(50, 90, 95), place(100, 110, 115)], axis) == " " * 50 + PRINTS + "o1/2" + PRINTS * 5
    )


@pytest.mark.parametrize(("hours", "width"), [(0.01, 20), (1, 40), (24, 80), (24, 200), (24 * 50, 100)])
def test_the_axis_has_round_times_that_do_not_touch(hours: float, width: int) -> None:
    axis = axis_over(NOW, NOW + timedelta(hours=hours), width)
    assert axis.end >= NOW + timedelta(hours=hours)
    told = head(axis)
    assert len(told) <= width
    assert re.fullmatch(r" *(\|(\d\d:(00|15|30|45)|[A-Z][a-z]{2} \d\d|[A-Z0-9][a-z0-9: ]*) +)*(\|.*)?", told), told


# --- the command ------------------------------------------------------------------------------------------------------
@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add_virtual("mk4")
    return home


def sliced_order(desk: Desk, offer_id: str, ship_by: datetime | None = None) -> str:
    """An order that waits for a printer with one plate of an hour."""
    order = add_offer(desk.ledger, "shop", make_offer(offer_id, ship_by=ship_by), datetime.now(UTC) + timedelta(minutes=15))
    assert order is not None
    plate = SlicedPlate(
        number=1,
        gcode_sha256="0" * 64,
        copies={"i1": 1},
        settings=PrintSettings(material="PLA", color=BLACK, infill_percent=15, supports=Supports.NO),
        profile="prusa-mk3s",
        slicer="PrusaSlicer",
        print_seconds=3600,
        filament_g=3,
        filament_mm=1000,
        layers=10,
        height_mm=2,
        proof=[ProofLine(check="copies", expected="1", found="1", ok=True)],
    )
    dossier = order.dossier.model_copy(update={"plates": [plate]})
    desk.ledger.move(order, OrderMove(to=State.SLICED, event="sliced", dossier=dossier))
    return order.id


def call(home: AgentHome, *options: str) -> str:
    done = CliRunner().invoke(plan, ["--config", str(home.config), *options], env={**os.environ, "COLUMNS": "100"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_plan_is_told_as_a_chart_and_as_json(home: AgentHome) -> None:
    with home.desk() as desk:
        desk.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        kept, late = sliced_order(desk, "f1"), sliced_order(desk, "f2", datetime.now(UTC) + timedelta(hours=1))
    told = json.loads(call(home, "--json"))
    assert {one["order_id"]: one["printer"] for one in told["plan"]["assignments"]} == {late: "mk3s", kept: "mk4"}
    (broken,) = told["plan"]["broken"]
    assert (broken["order_id"], broken["late_by_s"] > 3600) == (late, True)
    assert [(each["name"], each["bed_free"], each["away"]) for each in told["printers"]] == [("mk3s", True, False), ("mk4", False, False)]
    drawn = call(home)
    assert f"{PRINTS}{late}/1{PRINTS}" in drawn
    assert f"✗ order {late}: Its last plate is off the printer" in drawn
    assert [line.split()[0] for line in drawn.splitlines() if PRINTS in line and "prints now" not in line] == ["mk3s", "mk4"]


def test_nothing_to_print_is_told(home: AgentHome) -> None:
    assert call(home) == "Nothing waits to be printed.\n"
    assert json.loads(call(home, "--json"))["plan"]["assignments"] == []


def test_a_printer_that_cannot_be_reached_is_told(home: AgentHome) -> None:
    home.add_octoprint("far", "http://127.0.0.1:9", "secret")
    with home.desk() as desk:
        sliced_order(desk, "f1")
    assert "far cannot be reached now; the plan counts on it in half an hour." in call(home)
    assert [each["away"] for each in json.loads(call(home, "--json"))["printers"]] == [True, False, False]
