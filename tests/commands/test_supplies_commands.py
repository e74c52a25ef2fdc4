"""`supplies`, `supplies counted`, `confirm packed --used` and `earnings`, for those without the page."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.commands import marketplace as commands
from agent.commands.confirm import confirm
from agent.domain.booking import Booking, Print
from agent.domain.errors import Refused
from agent.domain.order import State
from agent.domain.question import NewQuestion, Step
from agent.domain.stock import Why
from agent.domain.values import Money
from agent.ports.ledger import OrderMove
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.workflow.workshop import make_offer


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add("[acceptance]\npackagings = { box-s = { inner_mm = [150, 100, 80], stock = 12 }, tube = [60, 500, 60] }\n")
    home.add('[[marketplaces]]\nkind = "hot_folder"\nname = "market"\npath = "inbox"\n')
    return home


def call(home: AgentHome, command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--config", str(home.config)])


def told(home: AgentHome, command: Any, *arguments: str) -> Any:
    done = call(home, command, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def order_in(home: AgentHome, state: State, **move: Any) -> str:
    with home.desk() as desk:
        order = add_offer(desk.ledger, "market", make_offer(f"f{datetime.now(UTC).timestamp()}"), datetime.now(UTC))
        assert order is not None
        desk.ledger.move(order, OrderMove(to=state, event="test", **move))
        return order.id


def test_what_is_left_is_told_also_where_no_marketplace_sends_any(home: AgentHome) -> None:
    shown = call(home, commands.supplies)
    assert shown.exit_code == 0 and "box-s" in shown.stdout and "not counted" in shown.stdout
    whole = told(home, commands.supplies)
    assert [(each["name"], each["left"]) for each in whole["packagings"]] == [("box-s", 12), ("tube", None)]
    assert [each["name"] for each in whole["spools"]] == ["mk3s: PLA black"]


def test_a_person_counts(home: AgentHome) -> None:
    assert call(home, commands.supplies, "counted", "box-s", "3").exit_code == 0
    assert told(home, commands.supplies)["packagings"][0]["left"] == 3
    for name in ("tube", "gold"):
        refused = call(home, commands.supplies, "counted", name, "3").exception
        assert isinstance(refused, Refused) and "box-s" in refused.hint
    assert call(home, commands.supplies, "counted", "box-s", "-1").exit_code == 2


def test_which_packaging_was_used_is_said_with_packed_and_with_nothing_else(home: AgentHome) -> None:
    order_id = order_in(home, State.PACKING)
    with home.desk() as desk:
        asked = {"packaging": "box-s", "packagings": ["box-s", "tube"]}
        question = NewQuestion(step=Step.PACKED, text="Pack it into box-s.", choices={"packed": "it is closed"}, data=asked)
        question_id = desk.ledger.ask(desk.ledger.order(order_id), question).id
    assert call(home, confirm, "label", order_id, "--used", "tube").exit_code == 2
    assert isinstance(call(home, confirm, "packed", order_id, "--used", "gold", "--by", "Ada").exception, Refused)
    assert call(home, confirm, "packed", order_id, "--used", "tube", "--by", "Ada").exit_code == 0
    with home.desk() as desk:
        answered = desk.ledger.question_by_id(question_id)
    assert answered is not None and answered.answer == {"choice": "packed", "packaging": "tube"}


def test_what_was_booked_is_told_by_month_less_what_it_took(home: AgentHome) -> None:
    assert "Nothing was delivered" in call(home, commands.earnings).output
    gross, cost = (Money(amount=Decimal(amount), currency="EUR") for amount in ("12.50", "0.50"))
    spent = Print(job="j", printer="mk3s", why=Why.FINISHED, grams=20, seconds=60, filament=cost, energy_kwh=None, energy=None)
    order_in(home, State.CLOSED, books=Booking(gross=gross, prints=[spent]))
    shown = call(home, commands.earnings).stdout
    assert "at most 12.00" in shown and "not known" in shown
    (month,) = told(home, commands.earnings)["months"]
    assert (month["sums"][0]["gross"], month["unpriced"]) == ("12.50", ["power"])
    assert told(home, commands.earnings, "--to", "2020-01-01")["months"] == []
