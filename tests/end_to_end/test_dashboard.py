"""The daemon with [mqtt] as an operator writes it: the dashboard is there, a killed daemon is shown as gone, and stops nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboards.scene import Reader, reading
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.mosquitto import Mosquitto, running_mosquitto

BASE = "intagly/test"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path) as mosquitto:
        yield mosquitto


def home_with(folder: Path, broker: Mosquitto, password: str = "") -> AgentHome:
    home = AgentHome(folder / "home")
    home._secret("mqtt", password or broker.password)
    home.add(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nusername = "{broker.username}"\npassword_file = "secrets/mqtt"\n'
        'language = "de"\ncommands = true\n'
    )
    home.add_virtual("mk3s")
    return home


def has(reader: Reader, topic: str, payload: bytes) -> bool:
    return reader.latest.get(f"{BASE}/{topic}") == payload


@pytest.mark.slow
def test_the_daemon_is_on_the_dashboard_until_it_is_killed_and_again_after_it(tmp_path: Path, broker: Mosquitto) -> None:
    home = home_with(tmp_path, broker)
    with reading(broker) as reader:
        with home.running() as agent:
            wait_until(lambda: has(reader, "availability", b"online"), "the agent is online")
            wait_until(lambda: has(reader, "printer/mk3s/availability", b"online"), "so is the printer")
            wait_until(lambda: reader.latest.get("homeassistant/device/intagly_test/printer-mk3s/config"), "it is announced")
            assert "Druckbett" in reader.latest["homeassistant/device/intagly_test/printer-mk3s/config"].decode()
            agent.kill()
            wait_until(lambda: has(reader, "availability", b"offline"), "its last will", within_s=10)
        with home.running():
            wait_until(lambda: has(reader, "availability", b"online"), "online again")
        assert has(reader, "availability", b"offline"), "its goodbye"


@pytest.mark.slow
def test_a_wrong_password_stops_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    home = home_with(tmp_path, broker, password="wrong-password")
    with home.running() as agent:
        wait_until(lambda: home.logged("dashboard_away"), "it is told")
        wait_until(lambda: home.logged("ready"), "the daemon is ready all the same")
        assert agent.alive()
        assert agent.stop() == 0
    assert "refuses the password" in home.logged("dashboard_away")[0]["why"]
    assert "wrong-password" not in home.log.read_text()
