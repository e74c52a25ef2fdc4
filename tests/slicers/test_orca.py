"""OrcaSlicer and Bambu Studio as their sources say they behave: what was ordered proves, and what was changed on the way does not.

Neither program is there: fake_orca.py stands for them, with the moves of a real slicer.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NeedsOperator
from agent.domain.offer import Supports
from agent.domain.plate import PrintSettings, SlicedPlate
from agent.domain.values import Color
from agent.ports.slicer import SliceWork
from agent.slicers.engine import Made
from agent.slicers.orca.engine import OrcaEngine
from agent.slicers.orca.settings import BAMBU, ORCA
from agent.slicers.placing import place
from agent.slicers.proof import prove
from tests.conftest import FIGURES, Tell
from tests.slicers.bench import CUBE, Bench, T, found, mutant_row, script, settings, unproved, work
from tests.slicers.orca_bench import fake, with_presets

WRITES = ("orca", "orca-bbl", "bambu")
RED = Color(name="red", hex="#ff0000")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orca-gcode")


def ordered(bench: Bench, **changed: Any) -> SliceWork:
    return work(bench.part(CUBE, "cube", 2), bench.part(T, "t"), profile="mine", **{"color": RED, **changed})


async def made_by(bench: Bench, engine: OrcaEngine, order: SliceWork) -> SlicedPlate:
    (plate,) = await bench.slicer(engine=engine).slice(order)
    return plate


def handed_over(bench: Bench, name: str, order: PrintSettings, engine: OrcaEngine) -> dict[str, Any]:
    told: dict[str, Any] = vars(engine._handed(bench.profiles.profile("mine"), order))[name]
    return told


# --- what was ordered ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("writes", WRITES)
async def test_what_was_ordered_proves(bench: Bench, kept: Path, writes: str) -> None:
    with_presets(bench)
    plate = await made_by(bench, fake(bench, kept, writes, warning="It may\nnot stick."), ordered(bench))
    assert plate.failed_proof() == []
    assert plate.copies == {"cube": 2, "t": 1} and found(plate, "copies of cube") == "2"
    assert plate.slicer.startswith("BambuStudio-02." if writes == "bambu" else "OrcaSlicer-01.")
    assert plate.warnings == ["It may not stick."]
    assert plate.print_seconds > 300 and plate.filament_g > 1 and plate.filament_mm > 300
    assert found(plate, "layer height") == found(plate, "layer height in moves").removesuffix(" mm") == "0.2"
    assert (found(plate, "infill"), found(plate, "colour"), found(plate, "supports")) == ("20%", "#FF0000", "0")


async def test_supports_solid_infill_and_another_layer_height(bench: Bench, kept: Path) -> None:
    with_presets(bench)
    order = ordered(bench, supports=Supports.YES, infill_percent=100, layer_height_mm=0.28)
    plate = await made_by(bench, fake(bench, kept), order)
    assert plate.failed_proof() == []
    assert (found(plate, "infill"), found(plate, "supports"), found(plate, "automatic supports")) == ("100%", "1", "tree(auto)")
    assert found(plate, "layer height in moves") == "0.28 mm"


async def test_the_way_it_is_called(bench: Bench, kept: Path) -> None:
    with_presets(bench)
    await made_by(bench, fake(bench, kept), ordered(bench))
    argv = json.loads((bench.folder / "argv.json").read_text())
    presets = ["--load-settings", "machine.json;process.json", "--load-filaments", "filament.json"]
    assert argv[2:13] == [*presets, "--arrange", "0", "--orient", "0", "--slice", "0", "--allow-newer-file"]
    assert argv[0] == "--datadir" and argv[13] == "--outputdir" and argv[15].endswith("/plate.3mf")
    assert list(bench.work_dir.iterdir()) == []


def test_what_is_laid_over_the_presets(bench: Bench) -> None:
    with_presets(bench)
    engine = OrcaEngine(ORCA)
    process, machine = handed_over(bench, "process", settings(), engine), handed_over(bench, "machine", settings(), engine)
    assert (machine["from"], process["from"], process["compatible_printers"]) == ("system", "system", [machine["name"]])
    assert (process["layer_height"], process["initial_layer_print_height"]) == ("0.2", "0.2")
    assert (process["gcode_label_objects"], process["exclude_object"]) == ("1", "1")
    assert "gcode_label_objects" not in handed_over(bench, "process", settings(), OrcaEngine(BAMBU))  # it knows no such key
    assert (process["enable_arc_fitting"], machine["z_hop_types"]) == ("0", ["Normal Lift"])
    filament = handed_over(bench, "filament", settings(), engine)
    assert (filament["nozzle_temperature"], filament["hot_plate_temp"], filament["cool_plate_temp_initial_layer"]) == (
        ["215"],
        ["60"],
        ["60"],
    )
    assert (filament["filament_z_hop_types"], filament["filament_colour"]) == (["Normal Lift"], ["#00AE42"])  # none was ordered


async def test_more_than_a_small_file_goes_through_processes_of_their_own(
    bench: Bench, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_presets(bench)
    monkeypatch.setattr("agent.slicers.apart.IN_PROCESS_BYTES", 0)
    assert (await made_by(bench, fake(bench, kept, "bambu"), ordered(bench))).failed_proof() == []


# --- behind its back -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mutation:
    """A setting that the program holds otherwise, what the proof says then, and what it says where the program lies about it."""

    changed: dict[str, Any]
    told: str
    moves: set[str] = field(default_factory=set)


OTHER = "every other setting of the profile"
MUTATIONS = {
    "more infill": Mutation({"sparse_infill_density": "80%"}, "infill", {"infill in moves"}),
    "no infill": Mutation({"sparse_infill_density": "0%"}, "infill", {"infill in moves"}),
    "pattern": Mutation({"sparse_infill_pattern": "cubic"}, "infill pattern"),
    "supports": Mutation({"enable_support": "1"}, "supports", {"support laid"}),
    "by hand only": Mutation({"support_type": "normal(manual)"}, "automatic supports"),
    "layer height": Mutation({"layer_height": "0.25"}, "layer height", {"layer height in moves"}),
    "first layer": Mutation({"initial_layer_print_height": "0.3"}, OTHER, {"first layer in moves"}),
    "material": Mutation({"filament_type": ["PETG"]}, "material"),
    "colour": Mutation({"filament_colour": ["#00FF00"]}, "colour"),
    "nozzle temperature": Mutation({"nozzle_temperature": ["235"]}, "nozzle temperature", {"nozzle while printing"}),
    "first temperature": Mutation({"nozzle_temperature_initial_layer": ["235"]}, "first layer temperature", {"nozzle while printing"}),
    "bed temperature": Mutation({"hot_plate_temp": ["85"]}, "bed temperature", {"bed while printing"}),
    "nozzle": Mutation({"nozzle_diameter": ["0.6"]}, "nozzle"),
    "walls": Mutation({"wall_loops": "5"}, OTHER),
    "larger": Mutation({"xy_contour_compensation": "0.6", "initial_layer_speed": "60%"}, OTHER, {"place and size of cube"}),
    "start code": Mutation({"machine_start_gcode": "G28\nM502"}, OTHER),
    "arcs": Mutation({"enable_arc_fitting": "1"}, OTHER),
    "one after the other": Mutation({"print_sequence": "by object"}, OTHER),
    "no labels": Mutation({"exclude_object": "0"}, OTHER),
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_setting_changed_behind_its_back(bench: Bench, kept: Path, name: str, record_property: Tell) -> None:
    mutation = MUTATIONS[name]
    with_presets(bench)
    engine = fake(bench, kept, changed=mutation.changed)
    made: list[Made] = []
    real = engine.make

    async def remembered(*args: Any) -> Made:
        made.append(await real(*args))
        return made[-1]

    engine.make = remembered  # type: ignore[method-assign]
    order = ordered(bench, infill_percent=40)
    mutant = await made_by(bench, engine, order)
    assert mutation.told in unproved(mutant)
    lying = replace(made[0], account=made[0].asked)
    profile = bench.profiles.profile("mine")
    (placed,) = place(order.parts, profile)
    lines = prove(bench.facts(mutant), lying, placed, order.parts, order.settings, profile)
    assert {line.check for line in lines if not line.ok} >= mutation.moves
    record_property(FIGURES, mutant_row("fake Orca", name, unproved(mutant), mutation.moves))


@pytest.mark.parametrize("key", ["sparse_infill_density", "enable_support", "layer_height", "filament_type", "wall_loops"])
async def test_a_setting_it_does_not_know_is_missed(bench: Bench, kept: Path, key: str) -> None:
    """They pass over keys they do not know, without a word."""
    with_presets(bench)
    plate = await made_by(bench, fake(bench, kept, dropped=[key]), ordered(bench))
    assert any(not line.ok and "missing" in line.found for line in plate.proof)


async def test_a_made_up_setting_of_the_presets_is_missed(bench: Bench, kept: Path) -> None:
    with_presets(bench, process={"made_up_setting": "1"})
    plate = await made_by(bench, fake(bench, kept), ordered(bench))
    assert "made_up_setting = missing" in found(plate, OTHER)


@pytest.mark.parametrize("writes", WRITES)
async def test_a_copy_it_drops_is_missed(bench: Bench, kept: Path, writes: str) -> None:
    with_presets(bench)
    plate = await made_by(bench, fake(bench, kept, writes, copies=2), ordered(bench))
    assert any(line.check.startswith("copies of") for line in plate.failed_proof())


async def test_unsafe_start_code(bench: Bench, kept: Path) -> None:
    with_presets(bench)
    plate = await made_by(bench, fake(bench, kept, start_gcode="\\nM502"), ordered(bench))
    assert "safe commands only" in unproved(plate)


# --- which program it is ---------------------------------------------------------------------------------------------------
def test_the_version_is_in_the_first_line_of_the_help(tmp_path: Path) -> None:
    assert OrcaEngine(ORCA, script(tmp_path / "a", "", "[2026] [warning] cli mode\nOrcaSlicer-01.10.01.50:")).version() == (
        "OrcaSlicer-01.10.01.50"
    )
    assert OrcaEngine(BAMBU, script(tmp_path / "b", "", "BambuStudio-02.08.02.61:\nUsage: x")).version() == "BambuStudio-02.08.02.61"


@pytest.mark.parametrize("says", ["PrusaSlicer-2.5.0", "OrcaSlicer-:", "BambuStudio-02.08.02.61:", ""])
def test_another_program_under_its_name(tmp_path: Path, says: str) -> None:
    with pytest.raises(NeedsOperator, match="is not OrcaSlicer") as told:
        OrcaEngine(ORCA, script(tmp_path / "other", "", says)).version()
    assert "[slicing] orcaslicer" in told.value.hint


def test_a_program_that_is_not_there(bench: Bench) -> None:
    with_presets(bench)
    with pytest.raises(NeedsOperator, match="no-such-orca is not installed") as told:
        bench.slicer(engine=OrcaEngine(BAMBU, "no-such-orca")).key(ordered(bench))
    assert told.value.code == "not_installed" and "[slicing] bambustudio" in told.value.hint


def test_another_program_of_the_same_version_is_other_work(bench: Bench, kept: Path) -> None:
    """Releases share the version that the help tells."""
    with_presets(bench)
    engine, order = fake(bench, kept), ordered(bench)
    first = bench.slicer(engine=engine).key(order)
    assert bench.slicer(engine=engine, timeout_s=5).key(order) == first
    Path(engine.program).write_text(Path(engine.program).read_text() + "# another release\n")
    assert bench.slicer(engine=engine).key(order) != first
    assert bench.slicer(engine=engine).key(ordered(bench, infill_percent=30)) != bench.slicer(engine=engine).key(order)
