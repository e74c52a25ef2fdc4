"""Cura's definitions become profiles that CuraEngine slices and that prove."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import Refused
from agent.slicers.cura.definitions import Definitions, resolved
from agent.slicers.cura.engine import CuraEngine
from agent.slicers.importing.folder import slug, write
from agent.slicers.importing.presets import Choice
from tests.slicers.bench import CUBE, CURA_DEFINITIONS, unproved, work
from tests.slicers.importing import bench_with, drafted, imported

DEFINITIONS = CURA_DEFINITIONS / "definitions"


@pytest.mark.parametrize(("name", "heats"), [("creality_ender3", False), ("prusa_i3_mk3", True)])
async def test_a_definition_slices_and_proves(tmp_path: Path, name: str, heats: bool) -> None:
    profile = await imported(tmp_path, DEFINITIONS / f"{name}.def.json")
    assert profile.slicers == ("curaengine",) and profile.materials == ["PLA"]
    bench = bench_with(tmp_path, profile)
    for layer_height in (None, 0.12):
        plate = await bench.one(
            work(bench.part(CUBE), profile=profile.name, layer_height_mm=layer_height), engine=CuraEngine(definitions=CURA_DEFINITIONS)
        )
        assert unproved(plate) == set(), plate.failed_proof()
    assert profile.cura["material_print_temp_prepend"] == ("false" if heats else "true")


async def test_what_the_engine_is_told_is_what_the_definition_says(tmp_path: Path) -> None:
    """Each setting of the printer's own definition that no order changes, as CuraEngine says that it holds it."""
    profile = await imported(tmp_path, DEFINITIONS / "creality_ender3.def.json")
    own = resolved(Definitions(CURA_DEFINITIONS).settings("creality_ender3"), {})
    for key, value in (
        ("speed_print", 50),
        ("retraction_amount", None),
        ("z_seam_type", "back"),
        ("speed_wall", 25),
        ("wall_thickness", None),
    ):
        if value is not None:
            assert own[key] == value
    bench = bench_with(tmp_path, profile)
    plate = await bench.one(work(bench.part(CUBE), profile=profile.name), engine=CuraEngine(definitions=CURA_DEFINITIONS))
    assert plate.failed_proof() == []
    assert profile.cura["z_seam_type"] == "back" and float(profile.cura["speed_wall_0"]) == own["speed_wall_0"]
    assert profile.machine["bed_shape"] == "0x0,235x0,235x235,0x235" and profile.bed_mm == (235, 235, 250)
    assert not {"layer_height", "infill_sparse_density", "infill_line_distance", "support_enable", "top_layers"} & profile.cura.keys()


def test_every_definition_becomes_a_profile_or_is_refused_by_name(tmp_path: Path) -> None:
    made, refused = 0, []
    for path in sorted(DEFINITIONS.glob("creality_*.def.json")) + sorted(DEFINITIONS.glob("[abu]*.def.json"))[:15]:
        try:
            draft = drafted(path)
            write(draft, tmp_path, f"p{made}", replace=False)
            made += 1
        except Refused as error:
            assert error.hint
            refused.append(f"{path.name}: {error}")
    assert made > 20, refused


# --- a person's own file -----------------------------------------------------------------------------------------------
def mine(tmp_path: Path, **changed: Any) -> Path:
    document = {"name": "My printer", "version": 2, "inherits": "fdmprinter", "metadata": {}, "overrides": {}} | changed
    path = tmp_path / "my_printer.def.json"
    path.write_text(json.dumps(document))
    return path


def test_a_definition_of_one_s_own_lies_anywhere(tmp_path: Path) -> None:
    overrides = {
        "machine_width": {"default_value": 120},
        "machine_depth": {"value": "machine_width + 10"},
        "machine_center_is_zero": {"default_value": True},
        "machine_start_gcode": {
            "default_value": "M140 S{material_bed_temperature}\nG1 X{machine_width} ; {made} up\nM109 S{print_temperature, 0}"
        },
        "machine_disallowed_areas": {"default_value": [[[-60, 65], [-60, 55], [60, 55], [60, 65]]]},
    }
    draft = drafted(mine(tmp_path, overrides=overrides, metadata={"preferred_material": "generic_petg_175"}))
    assert draft.machine["bed_shape"].text == "-60x-65,60x-65,60x65,-60x65"
    assert draft.machine["start_gcode"].text == r"M140 S{bed_temperature}\nG1 X120 ; made up\nM109 S{temperature}"
    profile = write(draft, tmp_path / "profiles", slug(draft.title), replace=False)
    assert profile.name == "my-printer" and profile.materials == ["PETG"] and draft.excluded == [(-60.0, -65.0, 60.0, -55.0)]


def test_what_follows_from_the_order_is_never_frozen(tmp_path: Path) -> None:
    overrides = {
        "speed_infill": {"value": "100 - infill_sparse_density"},
        "speed_topbottom": {"value": "speed_infill / 2"},
        "speed_wall_0": {"value": 17},
    }
    draft = drafted(mine(tmp_path, overrides=overrides))
    assert {"speed_infill", "speed_topbottom"} <= {left.key for left in draft.left} and draft.cura["speed_wall_0"].text == "17"
    assert not {"speed_infill", "speed_topbottom"} & draft.cura.keys()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"inherits": None}, "inherits from nothing"),
        ({"inherits": "my_printer"}, "inherits from itself"),
        ({"inherits": "../../etc/passwd"}, "inherits from nothing"),
        ({"inherits": "x" * 5000}, "inherits from nothing"),
        ({"inherits": "nobody"}, "There is no Cura definition nobody"),
        ({"metadata": []}, "metadata or its machine_extruder_trains is no object"),
        ({"metadata": {"machine_extruder_trains": {"0": 5}}}, "metadata or its machine_extruder_trains is no object"),
        ({"overrides": {"speed_print": 5}}, "overrides is no object of objects"),
        ({"settings": {"a": {"type": []}}}, "its type is no text"),
        ({"overrides": {"machine_extruder_count": {"default_value": 2}}}, "has 2 extruders"),
        ({"overrides": {"machine_gcode_flavor": {"default_value": "UltiGCode"}}}, "printers that speak UltiGCode"),
        ({"overrides": {"machine_width": {"default_value": 1e999}, "machine_height": {"value": "nobody"}}}, "machine_height"),
        ({"overrides": {"raft_base_line_count": {}, "top_layers": {"value": "float('inf')"}}}, "top_layers"),
        ({"overrides": {"machine_start_gcode": {"default_value": "M104 S{nobody}"}}}, r"only Cura's window fills in: M104 S\{nobody\}"),
        ({"overrides": {"machine_disallowed_areas": {"default_value": [5]}}}, "machine_disallowed_areas is no list of areas"),
        ({"overrides": {"speed_print": {"value": "__import__('os').getcwd()"}}}, "speed_print"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        drafted(mine(tmp_path, **changed))
    assert refused.value.hint


def test_a_definition_goes_by_itself(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="imported by itself"):
        drafted(mine(tmp_path), choice=Choice(printer="x"))
    (tmp_path / "a.ini").write_text("a = 1\n")
    with pytest.raises(Refused, match="files of Cura and PrusaSlicer"):
        drafted(mine(tmp_path), tmp_path / "a.ini")
