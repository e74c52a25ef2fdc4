"""The real CuraEngine: what was ordered is what the G-code says, and what was changed behind its back is caught."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator
from agent.domain.offer import Supports
from agent.sandbox import models
from agent.slicers.cura.engine import CuraEngine
from agent.slicers.cura.settings import cura_settings
from agent.slicers.placing import place
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.proof import prove
from tests.conftest import FIGURES, Tell
from tests.slicers.bench import CUBE, CURA_DEFINITIONS, LIBRARY, Bench, T, found, mutant_row, script, unproved, work

FOR_IT = [profile for profile in map(LIBRARY.profile, LIBRARY.names()) if "curaengine" in profile.slicers]
MADE = [
    *((profile.name, profile.materials[n % len(profile.materials)], 0.2) for n, profile in enumerate(FOR_IT)),  # each its own, by turns
    *((profile.name, "PLA", 0.12) for profile in FOR_IT),
]


def cura(bench: Bench, binary: str = "CuraEngine", **options: float) -> PlateSlicer:
    return bench.slicer(engine=CuraEngine(binary, CURA_DEFINITIONS), **options)


@pytest.mark.parametrize(("profile", "material", "height"), MADE)
async def test_every_profile_for_it_slices_and_proves(bench: Bench, profile: str, material: str, height: float) -> None:
    parts = bench.part(CUBE, "cube", 2), bench.part(T, "t")
    ordered = work(*parts, profile=profile, material=material, supports=Supports.YES, layer_height_mm=height)
    (plate,) = await cura(bench).slice(ordered)
    assert plate.failed_proof() == []
    assert plate.slicer.startswith("CuraEngine-4.13")
    assert plate.copies == {"cube": 2, "t": 1}
    assert found(plate, "copies of cube") == "2" and found(plate, "layer height in moves") == f"{height:g} mm"
    assert plate.print_seconds > 300
    density = float(LIBRARY.profile(profile).filaments[material]["filament_density"])
    assert plate.filament_g == pytest.approx(plate.filament_mm * 3.14159 / 4 * 1.75**2 * density / 1000, 0.01)


@pytest.mark.parametrize(("height", "top", "bottom"), [(0.12, 8, 6), (0.2, 5, 4), (0.28, 4, 3)])
def test_a_part_is_closed_in_by_as_much_at_any_layer_height(height: float, top: int, bottom: int) -> None:
    """Cura counts layers, and has no word for the least thickness."""
    flat = LIBRARY.profile("prusa-mk3s").flat(work(layer_height_mm=height).settings)
    told = cura_settings(flat, {"machine_end_gcode": ""}, 10, Path())
    assert (told["top_layers"], told["bottom_layers"], told["initial_bottom_layers"]) == (top, bottom, bottom)


@pytest.mark.parametrize("infill", [0, 10, 20, 50, 80, 100])
async def test_the_infill_is_laid_as_ordered(bench: Bench, infill: int) -> None:
    """Told the density alone, the engine fills as with 20 %: the distance of the lines is what it reads."""
    (plate,) = await cura(bench).slice(work(bench.part(models.cube(20)), infill_percent=infill))
    assert plate.failed_proof() == []


@pytest.mark.parametrize("height", [0.12, 0.2, 0.28])
async def test_layer_heights(bench: Bench, height: float) -> None:
    (plate,) = await cura(bench).slice(work(bench.part(CUBE), layer_height_mm=height))
    assert plate.failed_proof() == []
    assert found(plate, "layer height in moves") == f"{height:g} mm"


async def test_supports_are_laid_where_they_are_ordered(bench: Bench) -> None:
    (without,) = await cura(bench).slice(work(bench.part(T)))
    (with_,) = await cura(bench).slice(work(bench.part(T), supports=Supports.YES))
    assert without.failed_proof() == with_.failed_proof() == []
    assert with_.filament_mm > 1.3 * without.filament_mm


async def test_a_long_part_is_turned_on_its_way(bench: Bench) -> None:
    bar = bench.part(models.box(10, 215, 5))  # deeper than the bed, not wider
    (plate,) = await cura(bench).slice(work(bar, profile="prusa-mk3s"))
    assert plate.failed_proof() == []


async def test_more_copies_than_a_plate_holds(bench: Bench) -> None:
    plates = await cura(bench).slice(work(bench.part(models.box(80, 80, 2), quantity=3), profile="voron-v0"))
    assert [plate.proved for plate in plates] == [True] * 3


async def test_progress_is_told(bench: Bench) -> None:
    told: list[int] = []
    await cura(bench).slice(work(bench.part(models.cube(20))), lambda percent, _what: told.append(percent))
    assert told == sorted(told)
    assert told[-1] >= 99
    assert len(set(told)) > 10


# --- behind its back -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mutation:
    """A setting given to the engine after ours, what the proof says then, and what it says where the engine's account lies."""

    setting: str
    told: set[str]
    moves: set[str]


MUTATIONS = {
    "more infill": Mutation("infill_line_distance=0.6", {"infill line distance"}, {"infill in moves"}),
    "less infill": Mutation("infill_line_distance=9", {"infill line distance"}, {"infill in moves"}),
    "no infill": Mutation("infill_line_distance=0", {"infill line distance"}, {"infill in moves"}),
    "pattern": Mutation("infill_pattern=grid", {"infill pattern"}, set()),
    "supports": Mutation("support_enable=true", {"supports"}, {"support laid"}),
    "layer height": Mutation("layer_height=0.25", {"layer height"}, {"layer height in moves"}),
    "nozzle temperature": Mutation("material_print_temperature=225", {"nozzle temperature"}, {"nozzle while printing"}),
    "too hot": Mutation("material_print_temperature=290", {"nozzle temperature"}, {"nozzle heated to"}),
    "bed temperature": Mutation("material_bed_temperature=85", {"bed temperature"}, set()),
    "larger": Mutation("xy_offset=0.6", {"every other setting of the profile"}, {"place and size of cube"}),
    "walls": Mutation("wall_line_count=5", {"every other setting of the profile"}, set()),
    "unsafe start code": Mutation("machine_start_gcode=G28\nM502", {"safe commands only"}, {"safe commands only"}),
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_setting_changed_behind_the_engines_back(bench: Bench, tmp_path: Path, name: str, record_property: Tell) -> None:
    mutation = MUTATIONS[name]
    setting = f"-s '{mutation.setting}'"  # for everything, and for the extruder
    body = f"""n=$#; i=0
while [ $i -lt $n ]; do
  a=$1; shift; i=$((i + 1))
  if [ "$a" = -e0 ]; then set -- "$@" {setting} -e0 {setting}; else set -- "$@" "$a"; fi
done
exec CuraEngine "$@" """
    ordered = work(bench.part(CUBE, "cube", 2), bench.part(T, "t"), infill_percent=40)
    engine = CuraEngine(script(tmp_path / "behind", body, "Cura_SteamEngine version 4.13.0"), CURA_DEFINITIONS)
    made = []
    real = engine.make

    async def kept(*args: object) -> object:
        made.append(await real(*args))  # type: ignore[arg-type]
        return made[-1]

    engine.make = kept  # type: ignore[method-assign,assignment]
    (mutant,) = await bench.slicer(engine=engine).slice(ordered)
    assert unproved(mutant) >= mutation.told
    lying = replace(made[0], account=made[0].asked)
    profile = bench.profiles.profile("prusa-mk3s")
    (placed,) = place(ordered.parts, profile)
    lines = prove(bench.facts(mutant), lying, placed, ordered.parts, ordered.settings, profile)
    assert {line.check for line in lines if not line.ok} >= mutation.moves
    record_property(FIGURES, mutant_row("CuraEngine", name, unproved(mutant), mutation.moves))


# --- it answers 0 to failures ----------------------------------------------------------------------------------------------
async def test_a_model_it_cannot_read_leaves_start_and_end_code_only(bench: Bench, tmp_path: Path) -> None:
    """Exit 0, `Print time (s): 0`."""
    empty = tmp_path / "empty.stl"
    empty.write_bytes(b"nothing".ljust(80, b"\0") + bytes(4))
    part = bench.part(CUBE).model_copy(update={"mesh_sha256": bench.store.put(empty.read_bytes())})
    (plate,) = await cura(bench).slice(work(part))
    assert {"layers", "copies of a", "place and size of a"} <= unproved(plate)


async def test_a_copy_it_drops_is_missed(bench: Bench, tmp_path: Path) -> None:
    body = 'n=$#; i=0; while [ $i -lt $n ]; do a=$1; shift; case "$a" in *.2.stl) a=gone.stl;; esac; set -- "$@" "$a"; i=$((i + 1)); done\n'
    engine = CuraEngine(
        script(tmp_path / "drops", body + 'cp *.1.stl gone.stl; exec CuraEngine "$@"', "Cura_SteamEngine version 4.13.0"), CURA_DEFINITIONS
    )
    (plate,) = await bench.slicer(engine=engine).slice(work(bench.part(CUBE, "cube", 2)))
    assert "copies of cube" in unproved(plate)


async def test_without_its_definitions_it_is_told_how_to_get_them(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator) as told:
        await bench.slicer(engine=CuraEngine(definitions=tmp_path)).slice(work(bench.part(CUBE)))
    assert "cura-definitions.sh" in told.value.hint


def test_the_same_work_has_the_same_key_and_another_slicer_another(bench: Bench) -> None:
    cube = work(bench.part(CUBE))
    assert cura(bench).key(cube) == cura(bench, timeout_s=5).key(cube)
    assert cura(bench).key(cube) != bench.slicer().key(cube)
    assert cura(bench).key(cube) != cura(bench).key(cube.model_copy(update={"settings": work(infill_percent=25).settings}))
