"""`confirm photos ORDER --reject …`, as it is typed: told first, asked once more, and said once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.commands.confirm import confirm
from agent.domain.errors import Refused
from agent.domain.order import State
from agent.domain.question import NewQuestion, Step
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.wiring import ledger_url
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.workflow.test_reprint import files, item
from tests.workflow.workshop import make_offer


class Home:
    """An order of two items at its photos, in the ledger of a home."""

    def __init__(self, folder: Path) -> None:
        self.home = AgentHome(folder)
        self.home.add_virtual("mk3s")
        with self.ledger() as ledger:
            offer = make_offer(items=[item("i1", 1), item("i2", 3)], files=files("hook.stl", "lid.stl"))
            added = add_offer(ledger, "market", offer, datetime.now(UTC) + timedelta(minutes=15))
            assert added is not None
            self.order_id = ledger.move(added, OrderMove(to=State.PHOTOS, event="test")).id
            ledger.ask(ledger.order(self.order_id), NewQuestion(step=Step.PHOTOS, text="Photos, please."))

    def ledger(self) -> SqlLedger:
        return SqlLedger(ledger_url(self.home.settings()))

    def say(self, *arguments: str, typed: str = "", order_id: str = "", step: str = "photos") -> Result:
        told = [step, order_id or self.order_id, *arguments, "--config", str(self.home.config), "--by", "Ada Example"]
        return CliRunner().invoke(confirm, told, input=typed)

    def answer(self) -> object:
        with self.ledger() as ledger:
            question = ledger.question(self.order_id, Step.PHOTOS)
            assert question is not None
            return question.answer.get("rejected")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path / "home")


def test_it_is_told_and_asked_before_it_is_said(home: Home) -> None:
    no = home.say("--reject", "i2=2", "--reason", "warped", typed="n\n")
    assert no.exit_code == 1
    assert "Again 2 × lid.stl" in no.output
    assert home.answer() is None
    yes = home.say("--reject", "i2=2", "--reject", "i1=1", "--reason", "other", "--why", "smells", "--tell-delay", typed="y\n")
    assert yes.exit_code == 0, yes.output
    assert home.answer() == {"pieces": {"i1": 1, "i2": 2}, "reason": "other", "why": "smells", "tell_delay": True}
    again = home.say("--reject", "i2=2", "--reason", "warped", "--yes")
    assert isinstance(again.exception, Refused)
    assert again.exception.code == "not_asked"


def test_wrong_usage_is_2_and_changes_nothing(home: Home) -> None:
    warped = ["--reason", "warped"]
    for given in (["2", *warped], ["i2=x", *warped], ["i2=-1", *warped], ["i2=1", "--reason", "boring"], ["i2=1"]):
        assert home.say("--reject", *given).exit_code == 2, given
    assert home.say("--yes").exit_code == 2
    assert home.answer() is None


def test_what_was_not_ordered_cannot_be_printed_again(home: Home) -> None:
    for given in ("i2=4", "i2=0", "i9=1"):
        told = home.say("--reject", given, "--reason", "warped", "--yes")
        assert isinstance(told.exception, Refused)
        assert "i2: 1 to 3" in told.exception.hint
    assert home.answer() is None


def test_photos_and_rejection_are_not_said_at_once_nor_of_another_step(home: Home, tmp_path: Path) -> None:
    rejecting = ["--reject", "i2=1", "--reason", "warped", "--yes"]
    assert home.say(*rejecting, "--photo", str(tmp_path / "x.jpg")).exit_code == 2
    assert home.say(*rejecting, "--agree", "no_flaws").exit_code == 2
    assert home.say(*rejecting, step="packed").exit_code == 2
    assert home.answer() is None


def test_an_order_that_is_not_there(home: Home) -> None:
    told = home.say("--reject", "i2=1", "--reason", "warped", "--yes", order_id="o9")
    assert isinstance(told.exception, Refused)
    assert told.exception.code == "no_such_order"
