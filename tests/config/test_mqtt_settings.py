"""[mqtt]: safe where nothing is said, and mistakes that would make topics nobody reads."""

from pathlib import Path

import pytest

from agent.domain.errors import ConfigError
from agent.wiring import dashboard_broker
from tests.config.folder import Folder


def test_by_itself_it_only_shows(folder: Folder) -> None:
    mqtt = folder.config("[mqtt]\nhost = 'broker'\n").load().mqtt
    assert mqtt is not None
    assert (mqtt.commands, mqtt.version, mqtt.port, mqtt.tls) == (False, "5", 1883, False)
    broker = dashboard_broker(mqtt)
    assert (broker.host, broker.username, broker.password, broker.tls) == ("broker", "", "", None)


def test_the_password_comes_from_its_file_and_is_told_nowhere(folder: Folder) -> None:
    folder.config("[mqtt]\nhost = 'broker'\nusername = 'agent'\npassword_file = 'secrets/mqtt'\ntls = true\n").secret("mqtt", "pa55word")
    mqtt = folder.load().mqtt
    assert mqtt is not None
    broker = dashboard_broker(mqtt)
    assert broker.password == "pa55word"
    assert broker.tls is not None
    assert "pa55word" not in f"{mqtt!r}{mqtt}{broker!r}"


@pytest.mark.parametrize("option", ["prefix", "discovery_prefix"])
@pytest.mark.parametrize("value", ["", "a b", "/a", "a/", "a//b", "a/+", "#", "ä", "x" * 101])
def test_a_prefix_is_of_signs_that_home_assistant_takes(folder: Folder, option: str, value: str) -> None:
    (told,) = folder.config(f"[mqtt]\nhost = 'broker'\n{option} = '{value}'\n").told()
    assert f"[mqtt] {option}: expected letters, digits" in told


@pytest.mark.parametrize(
    "line", ["version = '4'", "language = 'fr'", "picture_s = -1", "commands = 'yes please'", "retain = true", "ca_file = 'ca.pem'"]
)
def test_what_it_does_not_know_is_a_mistake(folder: Folder, line: str) -> None:
    assert len(folder.config(f"[mqtt]\nhost = 'broker'\n{line}\n").told()) == 1


def test_an_authority_that_is_none_is_told_before_the_daemon_starts(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    mqtt = folder.config("[mqtt]\nhost = 'broker'\ntls = true\nca_file = 'ca.pem'\n").load().mqtt
    assert mqtt is not None
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        dashboard_broker(mqtt)
