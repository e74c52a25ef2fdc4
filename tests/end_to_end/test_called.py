"""The real daemon calls a person, dies, and its successor does not call again; the button of the message frees the bed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Step
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import ledger_url
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.ntfy_server import running_ntfy
from tests.rigs.processes import free_port
from tests.workflow.workshop import make_offer


@pytest.mark.slow
def test_called_once_over_a_death_and_answered_from_the_message(tmp_path: Path) -> None:
    home, listen = AgentHome(tmp_path / "home"), f"127.0.0.1:{free_port()}"
    home.add_virtual("mk3s")
    with running_ntfy() as server:
        home.add(f'[[notifications.people]]\nname = "Ada Example"\nurls = ["ntfy://{server.stub.host}/ada"]\n')
        page = ("--set", f"web.listen={listen}", "--set", f"web.url=http://{listen}")
        settings = home.settings()
        # Asked by a daemon that died before it could tell of it.
        with SqlLedger(ledger_url(settings), now=lambda: datetime.now(UTC) - timedelta(minutes=5)) as ledger:
            order = add_offer(ledger, "gone", make_offer(), datetime.now(UTC) + timedelta(days=1))
            assert order is not None
            ledger.set_bed("mk3s", BedState.OCCUPIED, "agent")
            asked = ledger.ask(order, NewQuestion(step=Step.BED, text="Clear it.", choices={"clear": "it is clear"}), "mk3s")
        agent = home.start(*page)
        wait_until(lambda: server.messages and home.logged("ready"), "Ada is called")
        with home.desk() as desk:
            wait_until(lambda: desk.ledger.latest_calls()["Ada Example"].outcome == "arrived", "it is noted")
        agent.kill()
        told = [message.title for message in server.messages]
        assert "Clear the bed of mk3s" in told
        action = next(message for message in server.messages if "bed" in message.title).action("The bed is clear")
        with home.running(*page):
            wait_until(lambda: len(home.logged("ready")) == 2, "its successor is at work")
            answer = httpx.post(action["url"], content=action["body"], timeout=30)
            assert (answer.status_code, answer.text) == (200, "The bed of mk3s is clear.")
            with home.desk() as desk:
                assert desk.ledger.beds()["mk3s"].said_by == "button in a notification for Ada Example"
                answered = desk.ledger.question_by_id(asked.id)
                assert answered is not None
                assert answered.answer == {"choice": "clear"}
        assert [message.title for message in server.messages].count("Clear the bed of mk3s") == 1
        assert action["body"] not in home.log.read_text()
