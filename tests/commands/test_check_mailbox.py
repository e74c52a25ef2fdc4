"""`check` with a mailbox: how it stands is told, nothing is taken, and a template that is none is a mistake."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from agent.commands.check import check
from tests.marketplaces.mailbox.bench import OUR_SERVER, SENDER, mail
from tests.rigs.agent_process import AgentHome
from tests.rigs.dovecot import PASSWORD, USER, running_dovecot


def checked(home: AgentHome) -> dict[str, Any]:
    """What it says of the mailbox."""
    told = json.loads(CliRunner().invoke(check, ["--config", str(home.config), "--json"]).stdout)
    (finding,) = [line for line in told["findings"] if line["subject"] == "marketplace post"]
    return dict(finding)


def test_check_looks_at_a_mailbox_and_takes_nothing(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    password = home.folder / "secrets" / "mail"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    templates = home.folder / "templates"
    templates.mkdir()
    with running_dovecot() as server:
        server.deliver(mail())
        home.add(
            f'[[marketplaces]]\nkind = "mailbox"\nname = "post"\nhost = "127.0.0.1"\nport = {server.port}\nca_file = "{server.ca_file}"\n'
            f'username = "{USER}"\npassword_file = "secrets/mail"\nsenders = ["{SENDER}"]\nauthserv_id = "{OUR_SERVER}"\n'
            'templates_dir = "templates"\n'
        )
        finding = checked(home)
        assert finding["text"] == "1 mails; the server tells of new mails itself (IDLE); templates: example-lines 1, example-table 1"
        assert not (home.folder / "data" / "mailbox").exists()
        (templates / "mine.toml").write_text("name = 5")
        finding = checked(home)
        assert finding["level"] == "error"
        assert "mine.toml" in finding["text"]
        (templates / "mine.toml").unlink()
        password.write_text("another")
        assert "does not let" in checked(home)["text"]
