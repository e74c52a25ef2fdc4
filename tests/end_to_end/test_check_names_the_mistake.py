"""`check` against real servers: a wrong code, serial, authority or password is named as such, and never shown."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.discovery.servers import which
from tests.rigs.agent_process import ROOT, AgentHome
from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.rigs.klipper_server import KlipperServer, running_klipper
from tests.rigs.nursery import ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.xdist_group("check")]


@pytest.fixture(scope="module")
def bambu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BambuServer]:
    with running_bambu(tmp_path_factory.mktemp("bambu")) as server:
        yield server


@pytest.fixture(scope="module")
def klipper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KlipperServer]:
    with running_klipper(tmp_path_factory.mktemp("klipper")) as server:
        yield server


def checked(home: AgentHome) -> tuple[str, str]:
    """What `check` says of the printer: its level, and its text with the way out. The home's secrets are in none of its output."""
    done = ran("agent", "check", "--config", str(home.config), "--json", cwd=ROOT)
    for secret in (home.folder / "secrets").iterdir():
        assert secret.read_text() not in done.stdout + done.stderr
    (finding,) = [finding for finding in json.loads(done.stdout)["findings"] if finding["subject"] == "printer machine"]
    return finding["level"], f"{finding['text']} {finding['hint']}"


def change(home: AgentHome, old: str, new: str) -> None:
    file = home.folder / "printers" / "machine.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def wrong_code(home: AgentHome, _server: BambuServer) -> None:
    (home.folder / "secrets" / "machine.code").write_text("99999999")


def wrong_serial(home: AgentHome, server: BambuServer) -> None:
    change(home, server.serial, "01P00A999999999")


def wrong_authority(home: AgentHome, server: BambuServer) -> None:
    change(home, str(server.ca_file), str(ROOT / "tests" / "rigs" / "files.example.pem"))


def nobody_there(home: AgentHome, server: BambuServer) -> None:
    change(home, f"mqtt_port = {server.mqtt_port}", "mqtt_port = 1")


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (wrong_code, "access code"),
        (wrong_serial, "it is the printer '01P00A000000001'"),
        (wrong_authority, "certificate"),
        (nobody_there, "cannot be reached"),
    ],
)
def test_a_bambu_printer(bambu: BambuServer, tmp_path: Path, mistake: Callable[[AgentHome, BambuServer], None], told: str) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_bambu("machine", bambu)
    assert checked(home)[0] == "ok"
    mistake(home, bambu)
    level, text = checked(home)
    assert level == "error"
    assert told in text, text


def wrong_password(home: AgentHome, _server: KlipperServer) -> None:
    (home.folder / "secrets" / "machine.mqtt").write_text("wrong-password-0")


def wrong_instance(home: AgentHome, server: KlipperServer) -> None:
    change(home, f'instance_name = "{server.instance}"', 'instance_name = "another"')


def no_moonraker(home: AgentHome, server: KlipperServer) -> None:
    change(home, server.url, f"http://{server.broker_host}:{server.broker_port}")


@pytest.mark.parametrize(("mistake", "told"), [(wrong_password, "password"), (wrong_instance, "another"), (no_moonraker, "url")])
def test_a_klipper_printer(klipper: KlipperServer, tmp_path: Path, mistake: Callable[[AgentHome, KlipperServer], None], told: str) -> None:
    home = AgentHome(tmp_path / "home")
    home.add_moonraker("machine", klipper)
    assert checked(home)[0] == "ok"
    mistake(home, klipper)
    level, text = checked(home)
    assert level == "error"
    assert told in text, text


async def test_setup_knows_a_moonraker_when_it_sees_one(klipper: KlipperServer) -> None:
    server = await which(klipper.url, klipper.api_key)
    assert server is not None
    assert (server.kind, server.instance) == ("moonraker", socket.gethostname())
