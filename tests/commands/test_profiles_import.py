"""`intagly-agent profiles import`: what it says, where it puts the profile, and what it leaves alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.domain.errors import Refused
from agent.slicers.profiles import ProfileLibrary

VENDORS = Path("/usr/share/PrusaSlicer/profiles")
BUNDLE = """
[printer:*common*]
bed_shape = 0x0,200x0,200x200,0x200
max_print_height = 180
nozzle_diameter = 0.4
start_gcode = G28
print_host = 10.0.0.5
printhost_apikey = verysecret

[printer:Mine 0.4]
inherits = *common*
default_print_profile = 0.2 mm

[print:0.2 mm]
layer_height = 0.2
first_layer_height = 0.2
fill_density = 15%
post_process = "/home/me/send.sh"

[print:0.3 mm]
layer_height = 0.3
first_layer_height = 0.2

[filament:Some PLA]
filament_type = PLA
temperature = 210
bed_temperature = 60
future_setting = 5

[filament:Some PETG]
filament_type = PETG
temperature = 240
first_layer_temperature = 235
bed_temperature = 80
filament_density = 1.27
"""
CHOICE = ("--print", "0.2 mm", "--filament", "Some PLA")


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a folder without a configuration, and with a bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTAGLY_AGENT_CONFIG", raising=False)
    path = tmp_path / "mine.ini"
    path.write_text(BUNDLE)
    return path


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["profiles", "import", *arguments])


def answer(*arguments: str) -> Any:
    done = called(*arguments, "--json")
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return json.loads(done.stdout)


def test_the_account_says_where_everything_comes_from_and_what_was_left(tmp_path: Path) -> None:
    told = answer("mine.ini", "--to", "profiles", *CHOICE, "--filament", "PETG")
    assert (told["name"], told["title"], told["materials"]) == ("mine-0.4", "Mine 0.4", ["PETG", "PLA"])
    settings = {(one["file"], one["key"]): (one["value"], one["from"]) for one in told["settings"]}
    assert settings["machine.ini", "nozzle_diameter"] == ("0.4", "[printer:*common*], line 5")
    assert settings["process.ini", "layer_height"] == ("0.2", "[print:0.2 mm], line 15")
    assert settings["filament-PETG.ini", "first_layer_temperature"] == ("235", "[filament:Some PETG], line 33")
    left = {one["key"]: one for one in told["left_out"]}
    assert left["post_process"]["loud"] and "script" in left["post_process"]["why"]
    assert left["fill_density"]["why"] == "the order decides it" and "printer's own file" in left["print_host"]["why"]
    assert "does not know it" in left["future_setting"]["why"] and told["read_by"].startswith("PrusaSlicer-")
    filled = {(one["file"], one["key"]): one["value"] for one in told["filled_in"]}
    assert filled["filament-PLA.ini", "first_layer_temperature"] == "210" and filled["filament-PLA.ini", "filament_density"] == "1.24"
    assert any("guessed" in line for line in told["check"])
    profile = ProfileLibrary(tmp_path / "profiles").profile("mine-0.4")
    assert (profile.limits["PETG"].nozzle_c, profile.limits["PETG"].bed_c) == ((220, 255), (70, 90))
    assert "GUESSED" in (profile.folder / "profile.toml").read_text()
    assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["mine-0.4"]


def test_the_account_for_a_person() -> None:
    said = called("mine.ini", "--to", "profiles", *CHOICE).stdout
    assert "mine-0.4: Mine 0.4, for prusaslicer, in profiles/mine-0.4\n" in said
    assert "machine.ini: 4 settings: 4 from [printer:*common*]\n" in said
    assert 'NOT TAKEN: post_process = "/home/me/send.sh" ([print:0.2 mm], line 18)' in said
    assert "left out, the order decides it: fill_density" in said and "filled in: fill_pattern = stars" in said
    assert "nozzle_diameter = 0.4    ([printer:*common*], line 5)" not in said
    assert "nozzle_diameter = 0.4    ([printer:*common*], line 5)" in called("mine.ini", "--to", "verbose", *CHOICE, "-v").stdout


def test_scripts_hosts_and_keys_are_in_no_file(tmp_path: Path) -> None:
    answer("mine.ini", "--to", "profiles", *CHOICE)
    written = "".join(path.read_text() for path in (tmp_path / "profiles" / "mine-0.4").iterdir())
    assert not any(secret in written for secret in ("send.sh", "verysecret", "10.0.0.5"))


def test_what_can_be_chosen_is_listed_with_the_option_that_chooses() -> None:
    for arguments, option, names in (
        ((), "--print", ["0.2 mm", "0.3 mm"]),
        (("--print", "mm"), "--print", ["0.2 mm", "0.3 mm"]),
        (("--print", "0.3"), "--filament", ["Some PLA", "Some PETG"]),
    ):
        done = called("mine.ini", "--to", "profiles", *arguments)
        assert done.exit_code == 2 and done.stdout == "" and option in done.stderr
        assert all(f"  {name}\n" in done.stderr for name in names), done.stderr
    assert "The printer's own is 0.2 mm" in called("mine.ini", "--to", "profiles").stderr


def test_what_is_not_there_is_refused_with_what_is_near() -> None:
    done = called("mine.ini", "--to", "profiles", "--print", "0.2 mn")
    assert isinstance(done.exception, Refused) and "no process 0.2 mn" in str(done.exception) and "0.2 mm" in done.exception.hint


def test_an_existing_profile_is_replaced_only_when_told_and_kept_when_the_new_one_is_no_good(tmp_path: Path, bundle: Path) -> None:
    answer("mine.ini", "--to", "profiles", *CHOICE)
    mine = tmp_path / "profiles" / "mine-0.4"
    (mine / "notes.txt").write_text("of my own")
    done = called("mine.ini", "--to", "profiles", *CHOICE)
    assert isinstance(done.exception, Refused) and done.exception.code == "profile_exists" and "--replace" in done.exception.hint
    bundle.write_text(BUNDLE.replace("0x0,200x0,200x200,0x200", "0x0,200x0"))
    done = called("mine.ini", "--to", "profiles", *CHOICE, "--replace")
    assert "bed_shape" in str(done.exception) and "[printer:*common*], line 3" in str(done.exception)
    assert (mine / "notes.txt").is_file()
    bundle.write_text(BUNDLE.replace("max_print_height = 180", "max_print_height = 170"))
    answer("mine.ini", "--to", "profiles", *CHOICE, "--replace")
    assert ProfileLibrary(mine.parent).profile("mine-0.4").bed_mm[2] == 170 and not (mine / "notes.txt").exists()
    assert [path.name for path in mine.parent.iterdir()] == ["mine-0.4"]


def test_a_folder_that_is_no_profile_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "mine-0.4").mkdir(parents=True)
    (tmp_path / "profiles" / "mine-0.4" / "thesis.txt").write_text("five years")
    done = called("mine.ini", "--to", "profiles", *CHOICE, "--replace")
    assert "no profile's folder" in str(done.exception) and (tmp_path / "profiles" / "mine-0.4" / "thesis.txt").is_file()


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", "import", ".hidden", "Groß", "a" * 80])
def test_a_name_that_is_no_folder_of_ours(tmp_path: Path, name: str) -> None:
    done = called("mine.ini", "--to", "profiles", "--name", name, *CHOICE)
    assert "cannot be a profile's name" in str(done.exception) and not (tmp_path / "profiles").exists()


@pytest.mark.parametrize("title", ["../../etc/cron.d", "/etc/passwd", "..", "import", "\x1b[31mred", "ÄÖÜ", "a" * 300])
def test_a_printer_s_name_leads_nowhere_else(tmp_path: Path, bundle: Path, title: str) -> None:
    bundle.write_text(BUNDLE.replace("Mine 0.4", title))
    told = answer("mine.ini", "--to", "profiles", *CHOICE)
    assert Path(told["folder"]).parent == Path("profiles") and [path.name for path in (tmp_path / "profiles").iterdir()] == [told["name"]]


def test_it_goes_into_the_configured_folder_or_asks(tmp_path: Path) -> None:
    asked = called("mine.ini", *CHOICE)
    assert asked.exit_code == 2 and "--to" in asked.stderr
    (tmp_path / "config.toml").write_text('[slicing]\nprofiles_dir = "mine"\n')
    (tmp_path / "mine").mkdir()
    told = answer("mine.ini", *CHOICE, "--name", "garage")
    assert Path(told["folder"]) == tmp_path / "mine" / "garage"
    listed = CliRunner().invoke(cli, ["profiles", "--json"])
    assert [profile["name"] for profile in json.loads(listed.stdout)["profiles"]] == ["garage"]
    explained = CliRunner().invoke(cli, ["profiles", "garage"])
    assert "    nozzle_diameter = 0.4\n" in explained.stdout


def test_without_prusaslicer_it_says_that_nobody_looked(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[slicing]\nprusaslicer = "no-such-slicer"\n')
    done = called("mine.ini", "--to", "profiles", *CHOICE)
    assert done.exit_code == 0 and "PrusaSlicer is not installed here" in done.stdout
    assert "future_setting = 5" in (tmp_path / "profiles" / "mine-0.4" / "filament-PLA.ini").read_text()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in str(called("mine.ini", "--to", "file/profiles", *CHOICE).exception)


def test_help_and_names_live_side_by_side() -> None:
    said = CliRunner().invoke(cli, ["profiles", "--help"]).stdout
    assert "[NAME] | import FILE..." in said
    assert "--replace" in CliRunner().invoke(cli, ["profiles", "import", "--help"]).stdout
    assert "--material" in CliRunner().invoke(cli, ["profiles", "show", "--help"]).stdout


def test_a_vendor_s_bundle_as_a_person_would() -> None:
    told = answer(
        *(str(VENDORS / "PrusaResearch.ini"), "--to", "profiles", "--printer", "Original Prusa i3 MK3S & MK3S+"),
        *("--print", "0.20mm QUALITY @MK3", "--filament", "Prusament PLA", "--filament", "Prusament PETG"),
    )
    assert told["name"] == "original-prusa-i3-mk3s-mk3s" and told["materials"] == ["PETG", "PLA"]
    shutil.rmtree("profiles")
