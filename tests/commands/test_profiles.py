"""`intagly-agent profiles`: what can be sliced for, and where every setting comes from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli import cli
from agent.slicers.profiles import ORDER_KEYS, ProfileLibrary, default_profiles_dir

SHIPPED = ProfileLibrary(default_profiles_dir())


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTAGLY_AGENT_CONFIG", raising=False)


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["profiles", *arguments])


def answer(*arguments: str) -> Any:
    done = called(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_all_profiles_are_listed_without_a_configuration() -> None:
    told = {profile["name"]: profile for profile in answer()["profiles"]}
    assert list(told) == SHIPPED.names()
    mk3s = told["prusa-mk3s"]
    assert mk3s["title"] == "Original Prusa MK3S and MK3S+" and mk3s["bed_mm"] == [250, 210, 210] and mk3s["nozzle_mm"] == 0.4
    assert (mk3s["least_layer_height_mm"], mk3s["layer_height_mm"], mk3s["most_layer_height_mm"]) == (0.07, 0.2, 0.32)
    assert mk3s["slicers"] == ["prusaslicer", "curaengine"] and told["bambu-p1s"]["slicers"] == ["prusaslicer"]
    assert "not seen on hardware" in mk3s["proven"]
    pla = next(material for material in mk3s["materials"] if material["material"] == "PLA")
    assert pla == {
        "material": "PLA",
        "nozzle_c": 215,
        "bed_c": 60,
        "nozzle_limits_c": [185, 235],
        "bed_limits_c": [40, 70],
        "needs": "",
    }


def test_the_list_for_a_person() -> None:
    said = called().stdout
    assert (
        "prusa-mk3s: Original Prusa MK3S and MK3S+\n    250×210×210 mm, nozzle 0.4 mm, layers 0.07…0.32 mm, prusaslicer and curaengine\n"
        in said
    )
    assert "PLA 215/60" in said and said.count("not seen on hardware") == len(SHIPPED.names())


@pytest.mark.parametrize("name", SHIPPED.names())
def test_a_profile_is_explained_key_by_key(name: str) -> None:
    for material in SHIPPED.profile(name).materials:
        told = answer(name, "--material", material.lower())
        assert told["explained_with"] == material
        for setting in told["settings"]:
            lines = (Path(told["folder"]) / setting["file"]).read_text().splitlines()
            assert f"{setting['key']} = {setting['value']}" in lines


def test_what_a_filament_says_in_place_of_the_machine() -> None:
    settings = {setting["key"]: setting for setting in answer("ender3", "--material", "TPU")["settings"]}
    assert settings["retract_length"] == {"key": "retract_length", "value": "4", "file": "filament-TPU.ini", "instead_of": "5"}
    assert settings["layer_height"] == {"key": "layer_height", "value": "0.2", "file": "process.ini", "instead_of": None}
    plain = {setting["key"]: setting for setting in answer("ender3")["settings"]}
    assert plain["retract_length"] == {"key": "retract_length", "value": "5", "file": "machine.ini", "instead_of": None}


def test_what_is_cura_s_own_and_what_the_order_decides() -> None:
    told = answer("prusa-mk3s")
    assert list(told["cura"]) == ["machine_end_gcode"] and told["order_decides"] == list(ORDER_KEYS)


def test_one_for_a_person() -> None:
    said = called("prusa-mk3s", "--material", "ABS").stdout
    assert "ABS needs an enclosure" in said and "the order decides infill, supports" in said
    files = [line.partition(" ")[0] for line in said.splitlines() if line.partition(" ")[0].endswith(".ini")]
    assert files == ["machine.ini", "process.ini", "filament-ABS.ini", "cura.ini"]
    assert "\n    start_gcode =\n        M115 ; report the firmware\n        G90\n" in said
    assert "\n    retract_length = 4    (in place of 5)\n" in called("ender3", "--material", "TPU").stdout


def test_the_profiles_of_a_configuration(tmp_path: Path) -> None:
    shutil.copytree(default_profiles_dir() / "ender3", tmp_path / "mine" / "big-one")
    (tmp_path / "config.toml").write_text('[slicing]\nprofiles_dir = "mine"\n')
    assert [profile["name"] for profile in answer()["profiles"]] == ["big-one"]


def test_a_profile_that_cannot_be_read_is_told_by_its_file_and_line(tmp_path: Path) -> None:
    shutil.copytree(default_profiles_dir() / "ender3", tmp_path / "mine" / "big-one")
    machine = tmp_path / "mine" / "big-one" / "machine.ini"
    machine.write_text("nonsense\n" + machine.read_text())
    (tmp_path / "config.toml").write_text('[slicing]\nprofiles_dir = "mine"\n')
    done = called()
    assert "machine.ini:1" in str(done.exception) and done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("prusa-mk9",), "no profile prusa-mk9"),
        (("../ender3",), "no profile ../ender3"),
        (("ender3", "--material", "ABS"), "no settings for ABS"),
    ],
)
def test_what_is_not_there_is_refused(arguments: tuple[str, ...], why: str) -> None:
    done = called(*arguments, "--json")
    assert why in str(done.exception) and done.stdout == ""


def test_a_material_without_a_profile_is_wrong_usage() -> None:
    assert called("--material", "PLA").exit_code == 2
