"""OrcaSlicer's presets become profiles: flat JSON for its command line, and in our words what the proof needs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, Refused
from agent.slicers.importing.folder import slug, write
from agent.slicers.importing.presets import UNDECIDED, Choice
from agent.slicers.orca.presets import read_presets
from agent.slicers.profiles import Profile, ProfileLibrary
from tests.slicers.importing import drafted

BASE: dict[str, dict[str, Any]] = {
    "fdm_machine": {
        **{"type": "machine", "from": "system", "instantiation": "false", "gcode_flavor": "marlin", "machine_end_gcode": "G1 E-2\nM104 S0"},
        **{"printable_height": "190", "retraction_length": ["0.8"], "print_host": "10.0.0.5", "printhost_apikey": "verysecret"},
    },
    "Box 0.4 nozzle": {
        **{"type": "machine", "from": "system", "instantiation": "true", "inherits": "fdm_machine", "setting_id": "GM1"},
        **{"nozzle_diameter": ["0.4"], "printable_area": ["0x0", "180x0", "180x170", "0x170"], "default_print_profile": "0.20mm Standard"},
        **{"bed_exclude_area": ["0x0", "18x0", "18x28", "0x28"], "min_layer_height": ["0.08"], "max_layer_height": ["0.28"]},
    },
    "fdm_process": {
        **{"type": "process", "from": "system", "instantiation": "false", "sparse_infill_density": "15%", "sparse_infill_pattern": "grid"},
        **{"initial_layer_print_height": "0.2", "print_sequence": "by object", "post_process": ["/bin/evil"]},
    },
    "0.20mm Standard": {"type": "process", "from": "system", "instantiation": "true", "inherits": "fdm_process", "layer_height": "0.2"},
    "fdm_pla": {
        **{"type": "filament", "from": "system", "instantiation": "false", "filament_type": ["PLA"], "filament_diameter": ["1.75"]},
        **{"nozzle_temperature": ["220"], "nozzle_temperature_initial_layer": ["225"], "hot_plate_temp": ["60"]},
        **{"hot_plate_temp_initial_layer": ["65"], "textured_plate_temp": ["55"], "filament_density": ["1.24"]},
        **{"nozzle_temperature_range_low": ["190"], "nozzle_temperature_range_high": ["240"]},
    },
    "Plain PLA": {"type": "filament", "from": "system", "instantiation": "true", "inherits": "fdm_pla", "filament_flow_ratio": ["0.98"]},
}


def folder(tmp_path: Path, **changed: dict[str, Any] | None) -> Path:
    """One file a preset, in a folder a kind, as OrcaSlicer keeps them."""
    root = tmp_path / "Box"
    for name, document in (BASE | changed).items():
        if document is not None:
            path = root / str(document.get("type", "other")) / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"name": name} | document))
    (root / "Box.json").write_text(json.dumps({"name": "Box", "machine_model_list": [{"name": "Box"}]}))
    return root


def made(tmp_path: Path, *files: Path, choice: Choice | None = None) -> Profile:
    draft = drafted(*files, choice=choice)
    return write(draft, tmp_path / "profiles", slug(draft.title), replace=False)


def test_a_folder_is_flattened(tmp_path: Path) -> None:
    profile = made(tmp_path, folder(tmp_path))
    assert profile.name == "box-0.4-nozzle" and profile.slicers == ("orcaslicer", "bambustudio") and profile.materials == ["PLA"]
    assert profile.bed_mm == (180, 170, 190) and profile.nozzle_mm == 0.4 and profile.layer_heights_mm == (0.08, 0.28)
    assert profile.process == {"layer_height": "0.2", "first_layer_height": "0.2", "fill_pattern": "grid"}
    pla = profile.filaments["PLA"]
    assert [pla[f"{first}{part}temperature"] for first in ("", "first_layer_") for part in ("", "bed_")] == ["220", "60", "225", "65"]
    assert profile.limits["PLA"].nozzle_c == (190, 240) and profile.limits["PLA"].bed_c == (50, 75)
    machine, process, filament = (
        json.loads((profile.folder / "orca" / f"{name}.json").read_text()) for name in ("machine", "process", "filament-PLA")
    )
    for document, kind, name in (
        (machine, "machine", "Box 0.4 nozzle"),
        (process, "process", "0.20mm Standard"),
        (filament, "filament", "Plain PLA"),
    ):
        assert (document["type"], document["from"], document["name"]) == (kind, "User", name) and "inherits" not in document
    assert (
        machine["printable_height"] == "190"
        and machine["retraction_length"] == ["0.8"]
        and machine["machine_end_gcode"] == "G1 E-2\nM104 S0"
    )
    assert filament["filament_flow_ratio"] == ["0.98"] and filament["nozzle_temperature"] == ["220"]
    assert "excluded = [[0.0, 0.0, 18.0, 28.0]]" in (profile.folder / "profile.toml").read_text()


def test_scripts_hosts_and_what_the_order_decides_are_left_out_and_told(tmp_path: Path) -> None:
    draft = drafted(folder(tmp_path))
    left = {one.key: one for one in draft.left}
    assert left["post_process"].loud and {"sparse_infill_density", "print_host", "printhost_apikey", "print_sequence"} <= left.keys()
    written = json.dumps(draft.orca)
    assert not any(secret in written for secret in ("evil", "verysecret", "10.0.0.5", "by object", "15%"))
    assert draft.machine["max_print_height"].source == "fdm_machine" and draft.machine["bed_shape"].source == "Box 0.4 nozzle"


def test_the_plate_of_the_printer_says_which_temperature(tmp_path: Path) -> None:
    profile = made(tmp_path, folder(tmp_path, **{"Box 0.4 nozzle": BASE["Box 0.4 nozzle"] | {"default_bed_type": "Textured PEI Plate"}}))
    pla = profile.filaments["PLA"]
    assert (pla["bed_temperature"], pla["first_layer_bed_temperature"]) == ("55", "55")


def test_files_given_by_name_are_chosen_before_those_of_the_folder(tmp_path: Path) -> None:
    root = folder(tmp_path)
    own = {"from": "User", "inherits": "Plain PLA", "name": "Mine", "filament_settings_id": ["Mine"], "nozzle_temperature": ["215"]}
    (tmp_path / "mine.json").write_text(json.dumps(own))
    named = [root / "machine" / "Box 0.4 nozzle.json", root / "process" / "0.20mm Standard.json", tmp_path / "mine.json"]
    for path in named[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
        path.unlink()
    profile = made(tmp_path, *(tmp_path / path.name for path in named), root)
    assert profile.filaments["PLA"]["temperature"] == "215" and profile.filaments["PLA"]["filament_diameter"] == "1.75"


def test_what_can_be_chosen_is_listed(tmp_path: Path) -> None:
    root = folder(tmp_path, **{"Other PLA": BASE["Plain PLA"]})
    with pytest.raises(Refused, match="--filament") as refused:
        drafted(root)
    assert refused.value.code == UNDECIDED and "  Other PLA\n  Plain PLA" in str(refused.value)
    assert drafted(root, choice=Choice(filaments=("other",))).orca["filament-PLA"]["name"] == "Other PLA"


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("Plain PLA", {"inherits": "fdm_gone"}, "takes the rest from fdm_gone, which is not in"),
        ("fdm_pla", {"inherits": "Plain PLA"}, "inherits from itself"),
        ("Plain PLA", {"inherits": ["fdm_pla"]}, "name or inherits is no text"),
        ("Plain PLA", {"name": 7}, "name or inherits is no text"),
        ("Plain PLA", {"name": "x" * 500}, "name or inherits is no text"),
        ("Plain PLA", {"nozzle_temperature": {"a": 1}}, "nozzle_temperature = .* is neither a text nor a list of texts"),
        ("Plain PLA", {"nozzle_temperature": [["220"]]}, "is neither a text nor a list of texts"),
        ("Plain PLA", {"nozzle_temperature": ["hot"]}, r"temperature = hot \(Plain PLA\) is no temperature"),
        ("Plain PLA", {"nozzle_temperature": []}, "The filament for PLA does not say temperature"),
        ("Plain PLA", {"filament_type": ["../../x"]}, "cannot be the name of a file"),
        ("Plain PLA", {"include": ["x"]}, "takes settings from others by include"),
        ("Box 0.4 nozzle", {"nozzle_diameter": ["0.4", "0.4"]}, "has 2 nozzles"),
        ("Box 0.4 nozzle", {"bed_exclude_area": ["5"]}, "bed_exclude_area = 5 .* is no list of corners"),
        ("Box 0.4 nozzle", {"printable_area": ["0x0", "nan"]}, "bed_shape = .*Box 0.4 nozzle"),
        ("0.20mm Standard", {"layer_height": "-1"}, "layer_height = -1 .*0.20mm Standard"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, name: str, changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        made(tmp_path, folder(tmp_path, **{name: BASE[name] | changed}))
    assert refused.value.hint and not (tmp_path / "profiles" / "box-0.4-nozzle").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "is no JSON that can be read"),
        ('{"a": ' * 100_000, "is no JSON that can be read"),
        ('{"name": ', "is no JSON that can be read"),
        ("[1, 2]", "is JSON, but no profile"),
        ('{"type": "machine_model", "name": "x"}', "is no preset: its type is 'machine_model'"),
        ('{"type": ["machine"], "name": "x"}', "is no preset"),
    ],
)
def test_what_is_no_preset(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(Refused, match=why):
        drafted(tmp_path / "a.json")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.sampled_from(["", "nil", "0.4", "5x5", "0x0", "-1", "PLA", "fdm_pla", "\ud800", "\u2028", "60%", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "type"]), inner, max_size=2),
    max_leaves=4,
)
CHANGES = st.dictionaries(
    st.sampled_from(
        [(name, key) for name, document in BASE.items() for key in [*document, "inherits", "name", "default_bed_type", "Bad key"]]
    ),
    ANYTHING,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_of_any_presets_comes_a_profile_that_reads_back_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[tuple[str, str], Any]
) -> None:
    here = tmp_path_factory.mktemp("any")
    changed = {name: dict(document) for name, document in BASE.items()}
    for (name, key), value in changes.items():
        changed[name][key] = value
    root = here / "Box"
    root.mkdir()
    for number, (name, document) in enumerate(changed.items()):
        (root / f"{number}.json").write_text(json.dumps({"name": name} | document))
    try:
        profile = made(here, root)
    except AgentError as error:
        assert str(error) and (error.hint or error.code == UNDECIDED)
        assert not list(here.glob("profiles/*"))
    else:
        assert read_presets(ProfileLibrary(here / "profiles").profile(profile.name)).machine["type"] == "machine"


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No profiles were found there"):
        drafted(tmp_path)
