"""A profile's JSON for OrcaSlicer and Bambu Studio: what their command line would pass over or not follow is told, with the way out."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.commands.check import check
from agent.config.load import load as load_config
from agent.domain.errors import ConfigError, Refused
from agent.slicers.orca.engine import OrcaEngine
from agent.slicers.orca.presets import read_presets
from agent.slicers.orca.settings import ORCA, Handed, handed
from agent.slicers.profiles import Profile
from agent.wiring import build_printers
from tests.slicers.bench import Bench, settings
from tests.slicers.orca_bench import FILAMENT, failing, presets, with_presets

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another type": ({"machine": {"type": "process"}}, r'machine\.json: "type" is "process", and not "machine"'),
    "no type": ({"filament": {"type": None}}, r'filament-PLA\.json: "type" is null'),
    "from somewhere": ({"process": {"from": "project"}}, r'process\.json: "from" is "project", and none of system, User, user'),
    "no name": ({"process": {"name": " "}}, r'process\.json: "name" is missing'),
    "a parent": ({"machine": {"inherits": "fdm_common"}}, r'inherits = "fdm_common", which the command line does not follow'),
    "an included file": ({"process": {"include": ["speeds"]}}, r'include = \["speeds"\], which'),
    "a program to run": ({"process": {"post_process": ["", "/bin/sh"]}}, r"process\.json: post_process names a program"),
    "a number": ({"process": {"layer_height": 0.2}}, r"process\.json: layer_height = 0\.2 is neither text nor a list of texts"),
    "true": ({"process": {"enable_support": True}}, r"enable_support = true is neither"),
    "nothing": ({"machine": {"z_hop": [None]}}, r"z_hop = \[null\] is neither"),
    "an empty list": ({"machine": {"z_hop": []}}, r"z_hop = \[\] is neither"),
    "a list in a list": ({"machine": {"z_hop": [["1"]]}}, r"z_hop = \[\[\"1\"\]\] is neither"),
    "another nozzle": ({"machine": {"nozzle_diameter": ["0.6"]}}, r'nozzle_diameter = \["0\.6"\], and the profile\'s own files say 0\.4'),
    "two nozzles": ({"machine": {"nozzle_diameter": ["0.4", "0.4"]}}, r"nozzle_diameter = "),
    "no nozzle": ({"machine": {"nozzle_diameter": None}}, r"nozzle_diameter = null"),
    "another filament": ({"filament": {"filament_diameter": ["2.85"]}}, r"filament-PLA\.json: filament_diameter = "),
    "no number": ({"filament": {"filament_diameter": ["thin"]}}, r"filament_diameter = "),
}


@pytest.mark.parametrize("what", BAD)
def test_what_they_would_pass_over_is_refused(bench: Bench, what: str) -> None:
    changed, words = BAD[what]
    with_presets(bench, **changed)
    with pytest.raises(ConfigError, match=words) as told:
        read_presets(bench.profiles.profile("mine"))
    assert told.value.hint


TEXTS = {
    "no json": ("layer_height = 0.2", "cannot be read: Expecting value"),
    "no object": ("[]", "is no preset"),
    "half a character": (r'{"name": "\ud800"}', "cannot be read"),
    "nested without end": ("[" * 200_000, "cannot be read"),
    "huge": (json.dumps({"name": "x" * 3_000_000}), "it is too large"),
    "another encoding": ('{"name": "\udce4"}', "cannot be read"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_files_that_are_no_presets(bench: Bench, what: str) -> None:
    text, words = TEXTS[what]
    path = with_presets(bench) / "orca" / "process.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=words) as told:
        read_presets(bench.profiles.profile("mine"))
    assert str(path) in str(told.value) and told.value.hint


def test_a_file_that_is_missing(bench: Bench) -> None:
    (with_presets(bench) / "orca" / "machine.json").unlink()
    with pytest.raises(ConfigError, match=r"machine\.json is missing") as told:
        read_presets(bench.profiles.profile("mine"))
    assert "profiles import" in told.value.hint


def test_a_material_without_a_preset(bench: Bench) -> None:
    with_presets(bench)
    with pytest.raises(Refused, match=r"has no orca/filament-PETG\.json") as told:
        OrcaEngine(ORCA)._handed(bench.profiles.profile("mine"), settings(material="PETG"))
    assert told.value.code == "no_profile"


@pytest.mark.parametrize("slicer", ["orcaslicer", "bambustudio"])
def test_a_printer_that_names_it_needs_the_presets(bench: Bench, tmp_path: Path, slicer: str) -> None:
    folder = with_presets(bench)
    (tmp_path / "printers").mkdir()
    printer = f'name = "a"\nkind = "virtual"\nprofile = "mine"\nslicer = "{slicer}"\n'
    (tmp_path / "printers" / "a.toml").write_text(printer)
    (tmp_path / "config.toml").write_text(f'[slicing]\nprofiles_dir = "{folder.parent}"\n')
    assert build_printers(load_config(tmp_path / "config.toml"))["a"].facts.slicer == slicer
    presets(folder, process={"inherits": "0.20mm Standard @MyPrinter"})
    with pytest.raises(ConfigError, match="does not follow"):
        build_printers(load_config(tmp_path / "config.toml"))


# --- as they write it themselves ----------------------------------------------------------------------------------------
def asked(profile: Profile, **values: Any) -> dict[str, str]:
    told = handed(read_presets(profile), profile, settings(), ORCA)
    return Handed(told.machine, told.process | values, told.filament).asked()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.20", "0.20"),
        ('G28 ; "home"\nM400\n', 'G28 ; \\"home\\"\\nM400\\n'),
        ("back\\slash ", "back\\\\slash"),
        (["1000", "500"], "1000,500"),
        (["0x0", "250x0", "250x210.5"], "0x0,250x0,250x210.5"),
        (["15%", "1"], "15%,1"),
        (["nil", "1"], "nil,1"),
        (["PLA"], "PLA"),
        (["PLA", "PETG"], "PLA;PETG"),
        (["Generic PLA", ""], '"Generic PLA";""'),
        (['say "hi"\n'], '"say \\"hi\\"\\n"'),
    ],
)
def test_values_in_the_words_of_their_settings_block(bench: Bench, value: Any, text: str) -> None:
    with_presets(bench)
    assert asked(bench.profiles.profile("mine"), some_setting=value)["some_setting"] == text


def test_what_is_not_held_against_their_account(bench: Bench) -> None:
    """Names and parents are no settings; what is unset is not written; the limits of the machine they lower themselves."""
    with_presets(bench, machine={"print_host": "10.0.0.1", "printhost_apikey": "x"})
    held = asked(bench.profiles.profile("mine"))
    not_held = (
        "name",
        "from",
        "version",
        "compatible_printers",
        "filament_id",
        "machine_max_acceleration_x",
        "print_host",
        "printhost_apikey",
    )
    assert not held.keys() & set(not_held)
    assert "filament_retraction_length" not in held and FILAMENT["filament_retraction_length"] == ["nil"]
    assert {"layer_height", "printable_area", "filament_vendor", "machine_start_gcode"} <= held.keys()


def test_check_says_that_it_was_never_run(bench: Bench, tmp_path: Path) -> None:
    folder = with_presets(bench)
    (tmp_path / "printers").mkdir()
    (tmp_path / "printers" / "a.toml").write_text('name = "a"\nkind = "virtual"\nprofile = "mine"\nslicer = "bambustudio"\n')
    program = failing(bench, "exit 1", "bambu").program
    config = tmp_path / "config.toml"
    config.write_text(f'[agent]\ndata_dir = "data"\n[slicing]\nprofiles_dir = "{folder.parent}"\nbambustudio = "{program}"\n')
    told = CliRunner().invoke(check, ["--config", str(config), "--json"])
    slicer = [finding for finding in json.loads(told.stdout)["findings"] if finding["subject"] == "slicer"]
    assert [finding["level"] for finding in slicer] == ["ok", "warning"]
    assert slicer[0]["text"].endswith(": BambuStudio-02.08.02.61")
    assert slicer[1]["text"].startswith("Bambu Studio was never run by us") and "docs/slicers.md" in slicer[1]["hint"]
