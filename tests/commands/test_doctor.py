"""`doctor`: whatever secret there is, wherever it stands, no byte of it is in the bundle; and what helps is in it."""

import json
import re
import sqlite3
import stat
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from agent.commands.doctor import doctor
from agent.commands.doctor_masking import Sweep, reduced, reduced_line
from agent.config.load import load
from agent.config.secrets import Secret
from agent.domain.printer import BedState
from tests.config.test_example import TABLES, Example
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.workflow.workshop import make_offer


def bundle(config: Path, folder: Path, *more: str) -> tuple[Path, str]:
    """The file, and all that is in it and that was said: packed and unpacked."""
    path = folder / "bundle.zip"
    done = CliRunner().invoke(doctor, ["--config", str(config), "-o", str(path), *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(path) as archive:
        inside = "".join(archive.read(name).decode() for name in archive.namelist())
    return path, inside + done.output + path.read_bytes().decode("latin-1")


def member(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(name))


# --- every secret of the configuration ---------------------------------------------------------------------------
def secret_options() -> set[tuple[str, str]]:
    """By the types of the model: the tables and options that hold a secret."""
    return {(table.__name__, name) for table in TABLES for name, field in table.model_fields.items() if _holds_secret(field.annotation)}


def _holds_secret(annotation: Any) -> bool:
    return annotation in (Secret, SecretStr) or any(_holds_secret(part) for part in get_args(annotation))


def secrets_in(value: Any, option: tuple[str, str] = ("", "")) -> Iterator[tuple[tuple[str, str], str]]:
    match value:
        case SecretStr():
            yield option, value.get_secret_value()
        case Secret():
            yield option, value.reveal()
        case BaseModel():
            for name in type(value).model_fields:
                yield from secrets_in(getattr(value, name), (type(value).__name__, name))
        case list():
            for part in value:
                yield from secrets_in(part, option)


_ADDRESS = re.compile(r"ntfys://ntfy\.example/[a-z-]+")


def with_distinctive_secrets(example: Example, but: str) -> None:
    """Every option set; every secret is another one, and looks like no other text."""
    example.set_every_option(but=but)
    folder = example.path
    for n, file in enumerate(sorted((folder / "secrets").iterdir())):
        kept = {"ledger": f"postgresql+psycopg://agent:leakdb{n}x@127.0.0.1:1/ledgerleak{n}"}
        address = f"ntfys://leaktoken{n}x@127.0.0.1:1/leaktopic{n}x"
        file.write_text(kept.get(file.name, address if file.name in ("ada", "notifications") else f"leak-{file.name}-{n}-Qx7"))
    numbers = count()
    text = _ADDRESS.sub(lambda _: f"ntfys://127.0.0.1:1/leakinline{next(numbers)}x", (folder / "config.toml").read_text())
    (folder / "config.toml").write_text(text.replace("/var/lib/intagly-agent", str(folder / "data")))


@pytest.mark.slow
@pytest.mark.parametrize("but", ["file", "env"])
def test_no_secret_of_any_option_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, but: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    example = Example(home)
    with_distinctive_secrets(example, but)
    for n, name in enumerate(("INTAGLY_TOKEN", "MAIL_PASSWORD", "MK3S_API_KEY", "MQTT_PASSWORD", "VORON_API_KEY", "P1S_ACCESS_CODE")):
        monkeypatch.setenv(name, f"leak-env-{n}-Zk9")
    config = home / "config.toml"
    loaded = load(config)
    found = [*secrets_in(loaded), *secrets_in(loaded.printers)]
    other_way = {option for option in secret_options() if option[1].endswith(f"_{but}")} | {("LedgerSettings", "url")}
    assert {option for option, secret in found if secret} >= secret_options() - other_way - {
        ("LedgerSettings", "url"),
        ("LedgerSettings", "url_file"),
    }
    path, everything = bundle(config, tmp_path)
    parts = {part for _, secret in found for part in (secret, *re.findall(r"leak[A-Za-z0-9]+", secret)) if len(part) > 3}
    assert len(parts) > 8
    assert not [part for part in parts if part in everything]
    unswept = json.dumps([reduced(loaded), *map(reduced, loaded.printers)])
    assert not [part for part in parts if part in unswept]  # each of the two would do
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = member(path, "configuration.json")
    assert told["slicing"]["workers"] == 1
    assert {printer["kind"] for printer in told["printers"]} == {"octoprint", "moonraker", "bambu", "virtual"}


def test_people_and_orders_and_the_log_stay_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add('[[notifications.people]]\nname = "Wilhelmina Beispiel"\nurls = ["ntfys://127.0.0.1:1/topic-Jx81"]\n')
    monkeypatch.setenv("SOMEBODYS_API_TOKEN", "env-token-Kv55")
    with home.desk() as desk:
        offer = make_offer()
        items = [item.model_copy(update={"instructions": "for Erika Mustermann, Heidestraße 17"}) for item in offer.items]
        order = add_offer(desk.ledger, "shop", offer.model_copy(update={"items": items}), datetime.now(UTC) + timedelta(minutes=15))
        assert order is not None
        desk.ledger.record(order.id, "shipping_told", {"name": "Erika Mustermann", "street": "Heidestraße 17", "mail": "erika@m.example"})
        desk.ledger.set_bed("mk3s", BedState.FREE, "Wilhelmina Beispiel")
    log = tmp_path / "agent.log"
    trace = 'Traceback (most recent call last):\n  File "/home/lena/agent/x.py", line 7, in go\n    raise\nValueError: Erika Mustermann'
    lines = [
        {"event": "order_moved", "level": "info", "timestamp": "2026-11-27T20:00:00Z", "customer": "Erika Mustermann", "seconds": 4.5},
        {"event": "bug", "level": "error", "exception": trace, "env-token-Kv55": "env-token-Kv55"},
        {"event": "Erika Mustermann called with env-token-Kv55", "level": "info"},
    ]
    log.write_text("\n".join([*map(json.dumps, lines), "plain words with env-token-Kv55 by Erika Mustermann"]))
    path, everything = bundle(home.config, tmp_path, "--log", str(log))
    for private in ("Mustermann", "Heidestr", "erika@", "Wilhelmina", "topic-Jx81", "Kv55", "lena"):
        assert private not in everything, private
    with zipfile.ZipFile(path) as archive:
        told = [json.loads(line) for line in archive.read("log.jsonl").decode().splitlines()]
    assert told[0] == {"seconds": 4.5, "level": "info", "timestamp": "2026-11-27T20:00:00Z", "event": "order_moved"}
    assert (told[1]["frames"], told[1]["error"]) == (["x.py:7 go"], "ValueError")
    (row,) = member(path, "ledger.json")["newest"]
    assert [kind for _, kind in row["events"]] == ["offered", "shipping_told"]
    assert member(path, "ledger.json")["history_broken_at"] == {}
    assert {"agent", "python", "slicers", "disk_free_mb", "packages"} <= member(path, "about.json").keys()
    assert any(each["subject"] == "ledger" for each in member(path, "check.json"))


def test_a_broken_configuration_is_told_without_what_stands_there(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    home.add('[mqtt]\nhost = "secretly-here-1"\npasswd = "secretly-here-2"\nversion = "secretly-here-3"\n')
    path, everything = bundle(home.config, tmp_path)
    assert "secretly-here" not in everything
    assert len(member(path, "configuration.json")) == 2


def test_a_changed_history_is_told(tmp_path: Path) -> None:

    home = AgentHome(tmp_path / "home")
    with home.desk() as desk:
        order = add_offer(desk.ledger, "shop", make_offer(), datetime.now(UTC) + timedelta(minutes=15))
        assert order is not None
    with sqlite3.connect(home.folder / "data" / "ledger.sqlite3") as database:
        database.execute("UPDATE events SET kind = 'declined'")
    path, _ = bundle(home.config, tmp_path)
    assert member(path, "ledger.json")["history_broken_at"] == {order.id: 1}


def test_it_writes_over_nothing_and_tells_what_is_inside(tmp_path: Path) -> None:
    home = AgentHome(tmp_path / "home")
    path, said = bundle(home.config, tmp_path)
    assert all(name in said for name in zipfile.ZipFile(path).namelist())
    before = path.read_bytes()
    again = CliRunner().invoke(doctor, ["--config", str(home.config), "-o", str(path)])
    assert again.exit_code != 0
    assert path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.zip", "home"]
    told = CliRunner().invoke(doctor, ["--config", str(home.config), "-o", str(tmp_path / "b.zip"), "--json"])
    assert {each["name"] for each in json.loads(told.stdout)["members"]} >= {"about.json", "check.json", "log.jsonl"}


@given(st.text(min_size=4, max_size=60), st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=100)
def test_a_known_secret_is_swept_out_of_any_text(secret: str, before: str, after: str) -> None:
    sweep = Sweep([secret], {})
    text = json.dumps({"x": before + secret + after}, ensure_ascii=False)
    cleaned = sweep.clean(text)
    assert secret not in cleaned or secret in "***" or secret in '{"x": "'


_PLAIN = st.none() | st.booleans() | st.floats() | st.text(max_size=20)


@given(_PLAIN | st.lists(_PLAIN, max_size=3) | st.dictionaries(st.text(max_size=10), _PLAIN | st.lists(_PLAIN, max_size=2), max_size=4))
@settings(max_examples=100)
def test_any_line_of_a_log_is_reduced_or_left_out(line: Any) -> None:
    kept = reduced_line(json.dumps(line))
    assert kept is None or isinstance(line, dict)
