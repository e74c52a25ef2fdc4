"""`label`, `export`, `verify` as a user calls them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.domain.errors import AgentError
from agent.ledger.files import DiskStore
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import file_store, ledger_url
from tests.commands.test_commands import agent, answer
from tests.dossiers.orders import Records
from tests.rigs import cups as rig
from tests.rigs.agent_process import AgentHome
from tests.rigs.cups import Cups

SECRETS = ("t0ken-of-the-marketplace", "k3y-of-the-printer", "pa55-of-the-broker")


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add_marketplace("http://127.0.0.1:9", SECRETS[0])
    return home


@pytest.fixture
def order_id(home: AgentHome) -> str:
    """Of a closed order in the ledger and the file store of that home."""
    settings = home.settings()
    store = file_store(settings)
    with SqlLedger(ledger_url(settings)) as ledger:
        records = Records(ledger, home.folder / "data")
        assert isinstance(store, DiskStore)
        return records.closed().id


def called(*arguments: object) -> Result:
    """In this process: a second less for each."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=True)


def said(done: Result) -> str:
    refused = [done.exception.told()] if isinstance(done.exception, AgentError) else []
    return " ".join([*done.output.split(), *refused])


def told(done: Result, code: int = 0) -> dict[str, Any]:
    assert done.exit_code == code, said(done)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_an_order_is_exported_verified_and_a_changed_byte_is_found(home: AgentHome, order_id: str, tmp_path: Path) -> None:
    dossier = tmp_path / "dossier.zip"
    exported: dict[str, Any] = answer(agent("export", order_id, "-o", dossier, "--config", home.config, "--json"))
    assert (exported["order_id"], exported["missing"]) == (order_id, [])
    with zipfile.ZipFile(dossier) as opened:
        everything = b"".join(opened.read(name) for name in opened.namelist())
    assert not any(secret.encode() in everything for secret in SECRETS)

    alone = called("verify", dossier)
    assert alone.exit_code == 0 and "unchanged" in said(alone) and "was not held against a ledger" in said(alone)
    beside = told(called("verify", dossier, "--config", home.config, "--seal", exported["seal"], "--json"))
    assert (beside["ok"], beside["compared_with_ledger"], beside["seal"]) == (True, True, exported["seal"])

    content = bytearray(dossier.read_bytes())
    content[len(content) // 2] ^= 1
    dossier.write_bytes(content)
    changed = agent("verify", dossier)
    assert changed.returncode == 1 and "NOT as it was" in changed.stdout
    assert told(called("verify", dossier, "--json"), code=1)["findings"]


def test_an_unknown_order_has_no_papers(home: AgentHome, tmp_path: Path) -> None:
    for command in (["export", "o123", "-o", tmp_path / "x.zip"], ["label", "o123"]):
        done = called(*command, "--config", home.config)
        assert done.exit_code == 1 and "There is no order o123" in said(done)
    assert not (tmp_path / "x.zip").exists()


def test_a_label_is_told_and_put_where_it_can_be_opened(home: AgentHome, order_id: str, tmp_path: Path) -> None:
    shown = called("label", order_id, "--open", tmp_path / "desk", "--config", home.config)
    assert shown.exit_code == 0 and "good: 4×6 in label" in said(shown)
    assert (tmp_path / "desk" / f"{order_id}-label.pdf").read_bytes().startswith(b"%PDF-")
    nowhere = called("label", order_id, "--print", "--config", home.config)
    assert nowhere.exit_code == 1 and "[labels] printer" in said(nowhere)


@pytest.mark.skipif(not rig.can_run(), reason="cupsd for root, with cups-daemon and cups-client")
def test_a_label_is_printed_once(home: AgentHome, order_id: str) -> None:
    cups = Cups()
    try:
        cups.start("Zebra")
        home.add(f'[labels]\nprinter = "{cups.address("Zebra")}"\n')
        printed = told(called("label", order_id, "--print", "--config", home.config, "--json"))["printed"]
        assert (printed["end"], printed["again"]) == ("completed", False)
        again = called("label", order_id, "--print", "--config", home.config)
        assert again.exit_code == 0 and "printed before" in said(again)
        assert len(cups.printed("Zebra")) == 1
        elsewhere = called("label", order_id, "--print", cups.address("None"), "--again", "--config", home.config)
        assert elsewhere.exit_code == 1 and "Queues there: Zebra" in said(elsewhere)
        assert len(cups.printed("Zebra")) == 1
    finally:
        cups.remove()


def test_photos_are_cleaned_on_their_way_and_what_is_none_is_refused(home: AgentHome, order_id: str, tmp_path: Path) -> None:
    (tmp_path / "photo.svg").write_text("<svg/>")
    refused = called("confirm", "photos", order_id, "--photo", tmp_path / "photo.svg", "--by", "Ada Example", "--config", home.config)
    assert refused.exit_code == 1 and "SVG" in said(refused) and "Nothing was taken" in said(refused)
