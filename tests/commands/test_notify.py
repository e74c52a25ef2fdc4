"""`notify --test` and what `check` tells of notifications, over a server that publishes as ntfy does."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.notify import Told, look_at_notifications
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.calls import Outcome
from agent.ports.notifier import Notice
from tests.config.folder import MARKETPLACE, Folder
from tests.rigs.agent_process import ROOT
from tests.rigs.http_stub import Stub, hang, reply
from tests.rigs.ntfy_server import NtfyServer, running_ntfy


def person(name: str, url: str, more: str = "") -> str:
    return f'[[notifications.people]]\nname = "{name}"\nurls = ["{url}"]\n{more}'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def shop(*parts: str) -> str:
    return MARKETPLACE + '[agent]\ndata_dir = "data"\n' + "".join(parts)


@pytest.mark.slow
def test_every_address_gets_one_message_and_each_result_is_told(folder: Folder) -> None:
    with running_ntfy() as server:
        good = f"ntfy://tk_s3cr3t@{server.stub.host}"
        text = shop(f'[notifications]\nurls = ["{good}/shop"]\n', person("Ada", f"{good}/ada"), person("Bob", "ntfy://127.0.0.1:9/bob"))
        folder.config(text)
        command = [sys.executable, "-m", "agent", "notify", "--test", "--json", "--config", str(folder.path / "config.toml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [(line["subject"].split(",")[0], line["level"]) for line in told["sent"]] == [
        ("everybody", "ok"),
        ("Ada", "ok"),
        ("Bob", "error"),
    ]
    assert sorted((message.topic, message.title) for message in server.messages) == [("ada", "A test"), ("shop", "A test")]
    assert "s3cr3t" not in done.stdout + done.stderr
    assert not (folder.path / "data").exists(), "it needs no ledger"


def found(folder: Folder, text: str) -> list[Told]:
    return asyncio.run(look_at_notifications(folder.config(text).load()))


async def look(folder: Folder, text: str) -> list[Told]:
    return await look_at_notifications(folder.config(text).load())


def test_nobody_to_call_is_a_warning(folder: Folder) -> None:
    assert [(line.level, line.text) for line in found(folder, shop())] == [("warning", "nobody is called")]


async def test_a_server_is_looked_at_and_nothing_is_sent(folder: Folder) -> None:
    async with NtfyServer() as server, Stub(reply(503)) as broken:
        text = shop(person("Ada", f"ntfy://tk_s3cr3t@{server.stub.host}/a"), person("Bob", f"ntfy://{broken.host}/b"))
        ada, bob = [line for line in await look(folder, text) if line.level != "warning"]
        assert (ada.level, bob.level, "503" in bob.text) == ("ok", "error", True)
        assert server.messages == []
        assert [(request.method, request.target) for request in server.stub.received] == [("GET", "/v1/health")]
        assert "authorization" not in server.stub.received[0].headers


async def test_a_server_that_hangs_is_told_in_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stub(hang) as stuck:
        defaults = (0.2,)
        monkeypatch.setattr("agent.notifiers.ntfy.reach.__defaults__", defaults)
        (line, *_) = await look(folder, shop(f'[notifications]\nurls = ["ntfy://{stuck.host}/a"]\n'))
    assert (line.level, "TimeoutError" in line.text) == ("error", True)


def test_hours_in_which_nobody_is_called_are_told_unless_what_is_urgent_rings(folder: Folder) -> None:
    day, away = 'hours = ["07:00-22:00"]\n', "json://127.0.0.1:9/x"
    alone = [line.text for line in found(folder, shop(person("Ada", away, day))) if line.level == "warning"]
    assert len(alone) == 1
    assert "nobody is called, however urgent" in alone[0]
    assert all(line.level == "ok" for line in found(folder, shop(person("Ada", away, day + "urgent_at_any_hour = true\n"))))
    assert all(
        line.level == "ok" for line in found(folder, shop(person("Ada", away, day), person("Bob", away, 'hours = ["21:00-08:00"]\n')))
    )


def test_messages_without_buttons_are_told_of_with_the_way_to_have_them(folder: Folder) -> None:
    address = "ntfy://127.0.0.1:9/x"

    def hints(*parts: str) -> list[str]:
        return [line.hint for line in found(folder, shop(*parts)) if "no buttons" in line.text]

    assert len(hints(person("Ada", address))) == 1
    assert hints(person("Ada", address, "buttons = false\n")) == []
    assert hints(person("Ada", address), '[web]\nurl = "https://printers.example"\n') == []


def test_a_message_that_did_not_arrive_is_told_until_one_does(folder: Folder) -> None:
    text = shop(person("Ada", "json://127.0.0.1:9/x"))
    (folder.path / "data").mkdir()
    with SqlLedger(sqlite_url(folder.path / "data")) as ledger:
        ledger.add_notice("k", "run", Notice(event="x", title="x", text=""))
        (kept,) = ledger.open_notices()
        ledger.begin_call([kept.id], "Ada")
        ledger.end_call([kept.id], "Ada", Outcome.FAILED)
        assert [line.text for line in found(folder, text)][1].startswith("the last message did not arrive, on ")
        ledger.end_call([kept.id], "Ada", Outcome.ARRIVED)
        assert [line.level for line in found(folder, text)] == ["ok"]
