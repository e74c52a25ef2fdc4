"""What a configuration means: which source wins, where paths lead, what holds without a word."""

import subprocess
import sys
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import HotFolderSettings, OperatorApiSettings
from agent.config.printer import OctoPrintSettings
from agent.domain.offer import Supports
from agent.domain.values import Color, Money
from agent.workflow.acceptance import Mode
from tests.config.folder import MARKETPLACE, OCTOPRINT, Folder

CONTRACT = """\
[agent]
name = "garage"
data_dir = "/var/lib/intagly-agent"
printers_dir = "printers"

[ledger]
url = ""

[[marketplaces]]
kind = "operator_api"
name = "intagly"
url = "https://market.example/operator/v1"
token_file = "secrets/token"
poll_interval_s = 5

[[marketplaces]]
kind = "hot_folder"
name = "walk-in"
path = "inbox"

[acceptance]
mode = "auto"
answer_margin_s = 60

[slicing]
workers = 1
timeout_s = 900

[web]
listen = "127.0.0.1:8410"

[mqtt]
host = "homeassistant.local"
port = 1883

[notifications]
urls = ["ntfy://ntfy.example/printers"]
"""
MK3S = """\
name = "mk3s"
kind = "octoprint"
url = "http://octopi.local"
api_key_file = "../secrets/key"
profile = "prusa-mk3s"
slicer = "prusaslicer"
bed_clearing = "confirm"
[[materials]]
material = "PLA"
color = { name = "black", hex = "#1a1a1a" }
remaining_g = 800
"""


def test_the_files_of_the_contract_are_understood(folder: Folder) -> None:
    settings = folder.config(CONTRACT).printer("mk3s", MK3S).load()
    intagly, walk_in = settings.marketplaces
    assert isinstance(intagly, OperatorApiSettings)
    assert intagly.token.reveal() == "the token"
    assert isinstance(walk_in, HotFolderSettings)
    assert settings.mqtt is not None
    assert settings.mqtt.host == "homeassistant.local"
    assert settings.notifications.addresses == ["ntfy://ntfy.example/printers"]
    (printer,) = settings.printers
    assert isinstance(printer, OctoPrintSettings)
    assert printer.api_key.reveal() == "the key"
    (spool,) = printer.loaded()
    assert (spool.material, spool.color, spool.remaining_g) == ("PLA", Color(name="black", hex="#1a1a1a"), 800)


def test_an_empty_file_is_a_configuration_that_says_what_it_lacks(folder: Folder) -> None:
    settings = folder.load()
    assert settings.agent.data_dir == Path("/var/lib/intagly-agent")
    assert settings.acceptance.mode is Mode.AUTO
    assert settings.web.listen == "127.0.0.1:8410"
    assert settings.mqtt is None
    assert settings.warnings == ["no marketplace is configured: no order will come", "no printer is configured: nothing can be accepted"]


# --- which source wins ------------------------------------------------------------------------------------------
def test_the_command_line_wins_over_the_environment_which_wins_over_the_file(folder: Folder) -> None:
    folder.config("[slicing]\nworkers = 1\ntimeout_s = 11\nmemory_mb = 1000\n")
    folder.env({"INTAGLY_AGENT__SLICING__WORKERS": "2", "INTAGLY_AGENT__SLICING__TIMEOUT_S": "22"})
    folder.command_line({"slicing.workers": "3"})
    slicing = folder.load().slicing
    assert (slicing.workers, slicing.timeout_s, slicing.memory_mb) == (3, 22, 1000)


def test_the_environment_brings_every_kind_of_value(folder: Folder) -> None:
    folder.env(
        {
            "INTAGLY_AGENT__MQTT__HOST": "broker",
            "INTAGLY_AGENT__ACCEPTANCE__ASK_ABOUT_INSTRUCTIONS": "false",
            "INTAGLY_AGENT__ACCEPTANCE__MIN_PAYOUT": "5.00 EUR",
            "INTAGLY_AGENT__ACCEPTANCE__HOURS": '["08:00-12:00", "22:00-24:00"]',
            "INTAGLY_AGENT__ACCEPTANCE__SUPPORTS": '["no"]',
            "INTAGLY_AGENT__WEB__LISTEN": "[::1]:8410",
        }
    )
    settings = folder.load()
    assert settings.mqtt is not None
    assert settings.mqtt.host == "broker"
    assert settings.acceptance.ask_about_instructions is False
    assert settings.acceptance.min_payout == Money(amount=Decimal(5), currency="EUR")
    assert settings.acceptance.hours == [(time(8), time(12)), (time(22), time.max)]
    assert settings.acceptance.supports == [Supports.NO]
    assert settings.web.listen == "[::1]:8410"


def test_a_table_goes_over_the_files_table_and_a_list_replaces_the_files_list(folder: Folder) -> None:
    folder.config(MARKETPLACE + '[mqtt]\nhost = "old"\nport = 1\n[acceptance]\nblocked_words = ["a", "b"]\n')
    folder.env({"INTAGLY_AGENT__MQTT": '{ host = "new" }', "INTAGLY_AGENT__ACCEPTANCE__BLOCKED_WORDS": '["c"]'})
    folder.env({"INTAGLY_AGENT__MARKETPLACES": '[{ kind = "hot_folder", name = "walk-in", path = "inbox" }]'})
    settings = folder.load()
    assert settings.mqtt is not None
    assert (settings.mqtt.host, settings.mqtt.port) == ("new", 1)
    assert settings.acceptance.blocked_words == ["c"]
    assert [market.name for market in settings.marketplaces] == ["walk-in"]


def test_the_environment_of_this_process_is_the_one_that_counts(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLY_AGENT__AGENT__NAME", "from-outside")
    assert load(folder.path / "config.toml").agent.name == "from-outside"
    assert folder.load().agent.name == "agent"


def test_variables_without_the_agents_prefix_are_not_its_own(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENT", "MQTT", "MQTT__HOST", "agent", "SLICING__WORKERS", "INTAGLY_AGENT_CONFIG"):
        monkeypatch.setenv(name, "something else's")
    assert load(folder.path / "config.toml").mqtt is None


# --- paths ------------------------------------------------------------------------------------------------------
def test_a_relative_path_is_relative_to_the_file_it_stands_in(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder.config('[agent]\ndata_dir = "data"\n[[marketplaces]]\nkind = "hot_folder"\nname = "w"\npath = "in"\n')
    folder.printer("a", 'name = "a"\n' + OCTOPRINT.replace("../secrets/key", "a.key"))
    (tmp_path / "printers" / "a.key").write_text("beside the printer's file")
    settings = folder.load()
    assert settings.agent.data_dir == tmp_path / "data"
    assert isinstance(settings.marketplaces[0], HotFolderSettings)
    assert settings.marketplaces[0].path == tmp_path / "in"
    assert isinstance(settings.printers[0], OctoPrintSettings)
    assert settings.printers[0].api_key.reveal() == "beside the printer's file"


def test_a_path_from_elsewhere_is_relative_to_the_agents_file(folder: Folder) -> None:
    folder.env({"INTAGLY_AGENT__AGENT__DATA_DIR": "data"})
    assert folder.load().agent.data_dir == folder.path / "data"


def test_absolute_paths_and_the_home_directory_stay_what_they_are(folder: Folder) -> None:
    folder.config('[agent]\ndata_dir = "~/data"\n')
    assert folder.load().agent.data_dir == Path.home() / "data"
    folder.config('[agent]\ndata_dir = "/srv/data"\n')
    assert folder.load().agent.data_dir == Path("/srv/data")


def test_a_configuration_named_by_a_relative_path_is_the_same_one(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.config('[agent]\ndata_dir = "data"\n')
    monkeypatch.chdir(folder.path)
    assert load(Path("config.toml"), environ={}).agent.data_dir == folder.path / "data"


# --- printers ---------------------------------------------------------------------------------------------------
def test_every_toml_file_of_the_folder_is_a_printer_by_file_name(folder: Folder) -> None:
    for name in ("b", "a", ".hidden"):
        folder.printer(name, f'name = "{name.strip(".")}"\nkind = "virtual"\nprofile = "ender3"\n')
    (folder.path / "printers" / "notes.txt").write_text("no printer")
    (folder.path / "printers" / "c.toml.bak").write_text("no printer")
    assert [printer.name for printer in folder.load().printers] == ["a", "b"]


def test_the_printers_may_lie_elsewhere(folder: Folder) -> None:
    folder.config('[agent]\nprinters_dir = "fleet"\n').printer("a", 'name = "a"\nkind = "virtual"\nprofile = "ender3"\n')
    (folder.path / "printers").rename(folder.path / "fleet")
    assert [printer.name for printer in folder.load().printers] == ["a"]


def test_an_own_folder_of_profiles_is_the_one_that_is_looked_into(folder: Folder) -> None:
    (folder.path / "mine" / "big-one").mkdir(parents=True)
    (folder.path / "mine" / "big-one" / "profile.toml").touch()
    folder.config('[slicing]\nprofiles_dir = "mine"\n').printer("a", 'name = "a"\nkind = "virtual"\nprofile = "big-one"\n')
    assert folder.load().printers[0].profile == "big-one"


def test_a_colour_may_be_its_name_alone(folder: Folder) -> None:
    folder.printer("a", 'name = "a"\nkind = "virtual"\nprofile = "ender3"\nmaterials = [{ material = "PLA", color = "red" }]\n')
    assert folder.load().printers[0].loaded()[0].color == Color(name="red")


# --- what is no mistake -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoded", [b'\xef\xbb\xbf[agent]\r\nname = "garage"\r\n', b'[agent]\nname = "garage"'])
def test_files_from_any_editor_are_read(folder: Folder, encoded: bytes) -> None:
    assert folder.config(encoded).load().agent.name == "garage"


@pytest.mark.parametrize(
    ("url", "warned"),
    [("http://market.example", True), ("https://market.example", False), ("http://127.0.0.1:8000", False), ("http://localhost", False)],
)
def test_a_token_that_would_be_sent_in_the_clear_is_worth_a_warning(folder: Folder, url: str, warned: bool) -> None:
    warnings = folder.config(MARKETPLACE.replace("https://market.example/v1", url)).load().warnings
    assert any("in the clear" in warning for warning in warnings) is warned


def test_a_virtual_printer_beside_a_real_one_is_worth_a_warning(folder: Folder) -> None:
    folder.printer("v", 'name = "v"\nkind = "virtual"\nprofile = "ender3"\n')
    assert not any("virtual" in warning for warning in folder.load().warnings)
    folder.printer("a", 'name = "a"\n' + OCTOPRINT)
    assert any("v: a virtual printer" in warning for warning in folder.load().warnings)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/ledger.sqlite3",
        "postgresql+psycopg://agent@db.local/ledger",
        "postgresql+psycopg://agent:p%40ss@[::1]:5432/ledger?sslmode=require",
        "postgresql+psycopg:///ledger",
    ],
)
def test_the_ledger_may_be_kept_in_these_databases(folder: Folder, url: str) -> None:
    assert folder.config(f'[ledger]\nurl = "{url}"\n').load().ledger.address.get_secret_value() == url


def test_two_accounts_at_one_marketplace_are_two_marketplaces(folder: Folder) -> None:
    second = MARKETPLACE.replace("intagly", "second").replace("secrets/token", "secrets/key")
    assert len(folder.config(MARKETPLACE + second).load().marketplaces) == 2


def test_reading_the_configuration_loads_no_adapter_and_no_example() -> None:
    heavy = ["httpx", "sqlalchemy", "apprise", "octorest", "starlette", "trimesh", "agent.config.example"]
    program = f"import sys; from agent.config.load import load; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
