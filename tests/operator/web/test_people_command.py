"""`pair` and `people` over the ledger of a running shop."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from agent.commands.people import pair, people
from agent.domain.errors import Refused
from agent.domain.person import Role, Scope, code_typed, hashed
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import ledger_url
from tests.rigs.agent_process import AgentHome


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    return home


def call(home: AgentHome, command: click.Command, *arguments: str) -> str:
    done = CliRunner().invoke(
        command, ["--config", str(home.config), "--set", "web.listen=0.0.0.0:8410", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def document(home: AgentHome, command: click.Command, *arguments: str) -> Any:
    return json.loads(call(home, command, "--json", *arguments))


def test_people_are_let_in_changed_and_removed(home: AgentHome) -> None:
    assert "Nobody may sign in yet" in call(home, people)
    told = document(home, pair, "--role", "viewer", "--minutes", "5")
    assert told["open"].endswith(f":8410/sign-in#{code_typed(told['code'])}")
    assert not told["only_this_machine"]
    with SqlLedger(ledger_url(home.settings())) as ledger:
        ledger.pair(hashed(code_typed(told["code"])), "Ada Example", "a" * 64, "a phone")
        assert ledger.people()[0].role is Role.VIEWER
        call(home, people, "role", "ada example", "operator")
        assert ledger.people()[0].role is Role.OPERATOR
        (listed,) = document(home, people)["people"]
        assert (listed["name"], listed["role"], listed["devices"]) == ("Ada Example", "operator", 1)
        call(home, people, "sign-out", "Ada Example")
        assert ledger.session("a" * 64) is None
        call(home, people, "remove", "Ada Example")
        assert ledger.people() == []


def test_a_code_is_shown_as_a_picture_too_and_where_nobody_gets_is_told(home: AgentHome) -> None:
    done = CliRunner().invoke(pair, ["--config", str(home.config), "--set", "web.listen=127.0.0.1:8410"])
    assert done.exit_code == 0
    assert "█" in done.output
    assert "Only this machine reaches it there" in done.output
    with pytest.raises(Refused, match="switched off"):
        CliRunner().invoke(pair, ["--config", str(home.config)], catch_exceptions=False)
    with pytest.raises(Refused, match="your own name"):
        call(home, pair, "--name", "root")


def test_tokens_are_shown_once_and_revoked(home: AgentHome) -> None:
    secret = call(home, people, "token", "home", "--scope", "read", "--scope", "answer").strip()
    with SqlLedger(ledger_url(home.settings())) as ledger:
        token = ledger.token(hashed(secret))
        assert token is not None
        assert token.scopes == [Scope.READ, Scope.ANSWER]
        assert secret not in call(home, people)
        with pytest.raises(Refused, match="a token home already"):
            call(home, people, "token", "home")
        call(home, people, "revoke", "home")
        assert ledger.token(hashed(secret)) is None


@pytest.mark.parametrize("command", [("role", "Bob", "viewer"), ("sign-out", "Bob"), ("remove", "Bob"), ("revoke", "Bob")])
def test_who_is_not_there_is_told(home: AgentHome, command: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="There is no Bob"):
        call(home, people, *command)
