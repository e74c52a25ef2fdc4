"""A mail becomes a print: dovecot → daemon → a person who accepts at the marketplace → PrusaSlicer → virtual printer → photos."""

from pathlib import Path

import pytest

from agent.domain.order import State
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.wiring import file_store
from tests.marketplaces.mailbox.bench import OUR_SERVER, SENDER, mail, text
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.dovecot import PASSWORD, USER, running_dovecot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def test_a_mail_is_printed_once_a_person_accepted_it_there(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    password = home.folder / "secrets" / "mail"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    with running_dovecot() as server, home.desk() as desk:
        home.add(
            f'[[marketplaces]]\nkind = "mailbox"\nname = "post"\nhost = "127.0.0.1"\nport = {server.port}\nca_file = "{server.ca_file}"\n'
            f'username = "{USER}"\npassword_file = "secrets/mail"\nsenders = ["{SENDER}"]\nauthserv_id = "{OUR_SERVER}"\n'
        )
        with home.running():
            server.deliver(mail(text(Material="PLA", Infill="35 %")))
            (order,) = wait_until(desk.ledger.orders, "the mail is an offer")
            (question,) = wait_until(desk.ledger.open_questions, "a person is asked")
            (notice,) = wait_until(lambda: [line for line in home.logged("notice") if line["order_id"] == order.id], "and called")
            assert "Advice: accept." in notice["text"]
            assert "minutes left" in notice["text"]
            assert question.step is Step.OFFER
            Answers(desk.ledger, file_store(home.settings()), "Ada Example").choose(Step.OFFER, order.id, "accept")

            def is_printed() -> bool:
                desk.person.act([Step.BED])
                return desk.ledger.order(order.id).state is State.PHOTOS

            wait_until(is_printed, "it is printed, and ready for photos", 60)
        (plate,) = desk.ledger.order(order.id).dossier.plates
        assert (list(plate.copies.values()), plate.settings.infill_percent, plate.proved) == ([2], 35, True)
        assert set(server.flags()) == {""}
    starts = (home.folder / "data" / "virtual" / "mk3s" / "journal.jsonl").read_text().count('"started"')
    assert starts == 1
