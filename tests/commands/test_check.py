"""`check` against real servers, and against some that hang: what is wrong is named with its way out, and nothing takes longer than told."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.commands.at_work import pid_at_work
from agent.commands.check import check
from agent.commands.finding import LIMIT_S, Finding, Look, look_at_all
from tests.rigs import cups
from tests.rigs.agent_process import ROOT, AgentHome, wait_until
from tests.rigs.klipper_certificates import make_certificates
from tests.rigs.mosquitto import Mosquitto, running_mosquitto
from tests.rigs.nursery import ran


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    return AgentHome(tmp_path / "home")


def findings(home: AgentHome, **environ: str) -> list[dict[str, Any]]:
    """In this process: most of a short life would be imports."""
    done = CliRunner().invoke(check, ["--config", str(home.config), "--json"], env=environ)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return list(json.loads(done.stdout)["findings"])


def said(home: AgentHome, subject: str, **environ: str) -> list[tuple[str, str]]:
    """Levels, and texts with their ways out."""
    return [(each["level"], f"{each['text']} {each['hint']}") for each in findings(home, **environ) if each["subject"] == subject]


# --- the dashboard's broker --------------------------------------------------------------------------------------
def add_broker(home: AgentHome, port: int, password: str, more: str = "") -> None:
    file = home.folder / "secrets" / "mqtt"
    file.touch(mode=0o600)
    file.write_text(password)
    home.add(f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nusername = "agent"\npassword_file = "secrets/mqtt"\n{more}')


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


def test_a_broker_that_lets_the_agent_in(home: AgentHome, broker: Mosquitto) -> None:
    add_broker(home, broker.port, broker.password)
    assert said(home, "dashboard") == [("ok", f"the broker at 127.0.0.1:{broker.port} lets the agent in ")]


def test_a_wrong_password_is_named_and_not_shown(home: AgentHome, broker: Mosquitto) -> None:
    add_broker(home, broker.port, "not-the-password")
    ((level, text),) = said(home, "dashboard")
    assert level == "error"
    assert "refuses the password" in text
    assert "Check the user name and the password" in text
    assert "not-the-password" not in json.dumps(findings(home))


def test_no_broker_there_is_told_at_once(home: AgentHome) -> None:
    add_broker(home, 1, "x")
    began = time.monotonic()
    ((level, text),) = said(home, "dashboard")
    assert (level, "127.0.0.1:1 cannot be reached" in text, "Is it on" in text) == ("error", True, True)
    assert time.monotonic() - began < 6


def test_tls_is_trusted_by_its_authority_only(home: AgentHome, tmp_path: Path) -> None:
    authority, other = make_certificates(tmp_path), tmp_path / "other"
    other.mkdir()
    unknown = make_certificates(other)
    extra = f"cafile {authority}\ncertfile {tmp_path / 'server.pem'}\nkeyfile {tmp_path / 'server.key'}"
    with running_mosquitto(tmp_path, extra) as secret:
        add_broker(home, secret.port, secret.password, f'tls = true\nca_file = "{authority}"\n')
        assert said(home, "dashboard")[0][0] == "ok"
        home.config.write_text(home.config.read_text().replace(str(authority), str(unknown)))
        ((level, text),) = said(home, "dashboard")
        assert (level, "is not to be trusted" in text, "authority" in text) == ("error", True, True)
        home.config.write_text(home.config.read_text().replace(str(unknown), str(ROOT / "pyproject.toml")))
        assert "no certificate" in said(home, "dashboard")[0][1]
        home.config.write_text(home.config.read_text().replace(f'tls = true\nca_file = "{ROOT / "pyproject.toml"}"\n', ""))
        assert said(home, "dashboard")[0][0] == "error"  # plain, where TLS is wanted


# --- this machine ------------------------------------------------------------------------------------------------
def test_a_taken_port_of_the_page_is_told_with_the_way_out(home: AgentHome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        home.config.write_text(home.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{port}"'))
        ((level, text),) = said(home, "page")
        assert (level, "[web] listen" in text) == ("error", True)
    assert said(home, "page")[0][0] == "ok"


def test_a_page_with_a_broken_certificate_is_told(home: AgentHome) -> None:
    (home.folder / "cert.pem").write_text("no certificate")
    more = 'listen = "127.0.0.1:0"\ncertificate_file = "cert.pem"\nkey_file = "cert.pem"'
    home.config.write_text(home.config.read_text().replace('listen = ""', more.replace(":0", ":8497")))
    ((level, text),) = said(home, "page")
    assert (level, "cert.pem" in text) == ("error", True)


def test_a_ledger_that_cannot_be_opened_is_told_and_so_is_all_else(home: AgentHome) -> None:
    (home.folder / "data").mkdir()
    (home.folder / "data" / "ledger.sqlite3").write_bytes(b"this is no database" * 100)
    found = findings(home)
    (ledger,) = [each for each in found if each["subject"] == "ledger"]
    assert (ledger["level"], bool(ledger["hint"])) == ("error", True)
    assert {"clock", "disk", "notifications"} <= {each["subject"] for each in found}


def test_hours_on_a_machine_without_a_time_zone_are_asked_about(home: AgentHome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not said(home, "time zone")
    home.add('[acceptance]\nhours = ["08:00-20:00"]\n')
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert said(home, "time zone")[0][0] == "warning"
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        assert not said(home, "time zone")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_folder_for_backups_that_cannot_be_one_is_told(home: AgentHome) -> None:
    home.add('[backup]\nfolder = "backups"\n')
    assert said(home, "backup")[0][0] == "warning"
    (home.folder / "backups").mkdir()
    assert said(home, "backup")[0][0] == "ok"
    (home.folder / "backups").rmdir()
    (home.folder / "backups").write_text("a file")
    assert said(home, "backup")[0][0] == "error"


def test_more_memory_than_there_is_is_told(home: AgentHome) -> None:
    home.add("[slicing]\nworkers = 64\nmemory_mb = 1048576\n")
    ((level, text),) = said(home, "memory")
    assert (level, "workers" in text) == ("warning", True)


@pytest.mark.skipif(not cups.can_run(), reason="needs CUPS, and root")
def test_the_label_printer_is_asked_and_nothing_is_printed(home: AgentHome) -> None:
    server = cups.Cups()
    try:
        server.start("Zebra")
        home.add(f'[labels]\nprinter = "{server.address("Zebra")}"\n')
        assert said(home, "label printer")[0][0] == "ok"
        assert server.printed("Zebra") == []
        home.config.write_text(home.config.read_text().replace("printers/Zebra", "printers/Zebar"))
        ((level, text),) = said(home, "label printer")
        assert (level, "Queues there: Zebra" in text) == ("error", True)
        server.stop()
        assert "cannot be reached" in said(home, "label printer")[0][1]
    finally:
        server.remove()


def test_the_running_agent_is_known_by_its_lock(home: AgentHome) -> None:
    home.add_virtual("mk3s")
    home.config.write_text(home.config.read_text().replace('listen = ""', 'listen = "127.0.0.1:8496"'))
    with home.running() as daemon:
        wait_until(lambda: home.logged("ready"), "it is up")
        assert pid_at_work(home.folder / "data") == daemon.pid
        assert "is the running agent's to serve" in said(home, "page")[0][1]
    assert pid_at_work(home.folder / "data") is None


# --- printers ----------------------------------------------------------------------------------------------------
def test_an_authority_that_is_not_there_is_told_and_keeps_no_other_printer(home: AgentHome) -> None:
    home.add_virtual("good")
    (home.folder / "secrets" / "code").write_text("12345678")
    spool = '[[materials]]\nmaterial = "PLA"\ncolor = "black"\n'
    (home.folder / "printers" / "p1s.toml").write_text(
        'name = "p1s"\nkind = "bambu"\nprofile = "bambu-p1s"\nhost = "127.0.0.1"\nserial = "01P00A000000001"\nmodel = "P1S"\n'
        f'access_code_file = "../secrets/code"\nca_file = "nowhere.pem"\n{spool}'
    )
    (home.folder / "printers" / "voron.toml").write_text(
        'name = "voron"\nkind = "moonraker"\nprofile = "voron-v0"\nurl = "http://127.0.0.1:1"\ninstance_name = "voron"\n'
        f'mqtt_host = "127.0.0.1"\nmqtt_tls = true\nmqtt_ca_file = "nowhere.pem"\n{spool}'
    )
    for name in ("p1s", "voron"):
        ((level, text),) = said(home, f"printer {name}")
        assert (level, "nowhere.pem cannot be used" in text) == ("error", True)
    assert said(home, "printer good")[0][0] == "ok"


# --- what hangs --------------------------------------------------------------------------------------------------
@contextmanager
def silent_server() -> Iterator[int]:
    """Takes every connection, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        yield silent.getsockname()[1]


@pytest.mark.slow
def test_everything_hangs_and_it_is_told_all_the_same(home: AgentHome) -> None:
    with silent_server() as port:
        home.add_octoprint("hangs", f"http://127.0.0.1:{port}", "key-0123456789")
        home.add_marketplace(f"http://127.0.0.1:{port}", "token-0123456789")
        add_broker(home, port, "password")
        (home.folder / "secrets" / "mail").write_text("password")
        home.add(
            f'[[marketplaces]]\nkind = "mailbox"\nname = "post"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nusername = "u"\n'
            'password_file = "secrets/mail"\nsenders = ["a@b.example"]\nauthserv_id = "mx.example"\n'
        )
        home.add(f'[labels]\nprinter = "ipp://127.0.0.1:{port}/printers/x"\n')
        home.add(f'[notifications]\nurls = ["ntfy://127.0.0.1:{port}/topic"]\n')
        home.add(f'[ledger]\nurl = "postgresql+psycopg://agent@127.0.0.1:{port}/ledger"\n')
        home.add(f'[slicing]\nprusaslicer = "{_hanging_program(home.folder)}"\n')
        began = time.monotonic()
        done = ran("agent", "check", "--config", str(home.config), "--json", cwd=ROOT)
        took = time.monotonic() - began
    assert done.returncode == 1, done.stderr
    wrong = {each["subject"]: each for each in json.loads(done.stdout)["findings"] if each["level"] == "error"}
    hanging = {"ledger", "slicer", "printer hangs", "marketplace sandbox", "marketplace post", "label printer", "dashboard"}
    assert hanging <= set(wrong)
    assert any(subject.startswith("notifications") for subject in wrong)
    assert all(each["hint"] or "offline" in each["text"] for each in wrong.values())
    assert took < LIMIT_S + 30, "it was waited for, for a minute"


def _hanging_program(folder: Path) -> Path:
    program = folder / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    return program


def test_a_look_that_hangs_keeps_no_other_and_a_bug_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)  # pytest takes it for a test's failure

    def broken() -> Iterator[Finding]:
        yield Finding("broken", "ok", "so far")
        raise ZeroDivisionError

    looks = [
        Look("slow", lambda: time.sleep(1) or []),
        Look("broken", broken),
        Look("quick", lambda: [Finding("quick", "ok", "fine")]),
    ]
    told = look_at_all(looks, limit_s=0.3)
    assert [(each.subject, each.level) for each in told] == [("slow", "error"), ("broken", "error"), ("quick", "ok")]
    assert "no answer" in told[0].text
