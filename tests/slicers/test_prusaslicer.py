"""The real PrusaSlicer: what was ordered is what the G-code says, for every shipped profile."""

import asyncio
import hashlib
import math
import shutil
from pathlib import Path

import pytest

from agent.domain.errors import Refused
from agent.domain.offer import Supports
from agent.domain.values import Color
from agent.ports.slicer import Slicer
from agent.sandbox import models
from agent.sandbox.models import Mesh
from agent.slicers.placed import object_name
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from agent.slicers.prusaslicer import PrusaSlicer
from tests.slicers.bench import CUBE, LAYERS_MM, LIBRARY, SHIPPED, Bench, T, found, script, work

COUNTING = 'echo run >> "{0}"\nexec prusa-slicer "$@"'


# --- every profile -----------------------------------------------------------------------------------------------------
MADE = [
    *((profile, material, 0.2) for profile in SHIPPED for material in LIBRARY.profile(profile).materials),
    *((profile, "PLA", height) for profile in SHIPPED for height in LAYERS_MM if height != 0.2),
]


@pytest.mark.parametrize(("profile", "material", "height"), MADE)
async def test_every_profile_material_and_layer_height_slices_and_proves(bench: Bench, profile: str, material: str, height: float) -> None:
    parts = bench.part(CUBE, "cube"), bench.part(T, "t")
    plate = await bench.one(work(*parts, profile=profile, material=material, supports=Supports.YES, layer_height_mm=height))
    assert plate.failed_proof() == []
    assert (plate.copies, plate.profile, plate.settings.material) == ({"cube": 1, "t": 1}, profile, material)
    assert found(plate, "layer height in moves") == f"{height:g} mm" and found(plate, "first layer in moves") == "0.2 mm"
    assert bench.facts(plate).laid_mm["Support material"] > 0


async def test_a_cube_is_sliced_and_proved(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(20))))
    assert plate.failed_proof() == [] and plate.proved
    assert (plate.number, plate.copies, plate.profile, plate.layers, plate.height_mm) == (1, {"a": 1}, "prusa-mk3s", 100, 20)
    assert plate.slicer.startswith("PrusaSlicer-2.")
    assert found(plate, "height") == "20.00 mm" and found(plate, "place and size of a").startswith("19.6×19.6×20.0 mm at ")
    assert plate.print_seconds > 600 and 3.5 < plate.filament_g < 4.5 and 1200 < plate.filament_mm < 1500
    assert hashlib.sha256(bench.gcode(plate)).hexdigest() == plate.gcode_sha256
    assert list(bench.work_dir.iterdir()) == []


@pytest.mark.parametrize("profile", SHIPPED)
async def test_a_part_of_a_fifth_of_a_gram_is_proved(bench: Bench, profile: str) -> None:
    """What the end code pulls back is as much as the filament that may differ there."""
    plate = await bench.one(work(bench.part(models.box(12, 12, 1)), profile=profile))
    assert plate.failed_proof() == []


def cone(radius: float, height: float) -> Mesh:
    ring = [(round(radius * math.cos(n * math.pi / 24), 4), round(radius * math.sin(n * math.pi / 24), 4), 0.0) for n in range(48)]
    tip, middle = (0.0, 0.0, height), (0.0, 0.0, 0.0)
    return [facet for a, b in zip(ring, [*ring[1:], ring[0]], strict=True) for facet in ((a, b, tip), (b, a, middle))]


def star(points: int, outer: float, inner: float) -> Mesh:
    radii = [outer, inner] * points
    turns = [n * math.pi / points for n in range(2 * points)]
    return models.extruded([(round(r * math.cos(t), 4), round(r * math.sin(t), 4)) for r, t in zip(radii, turns, strict=True)], 5)


ODD = {
    "cone": cone(20, 40),
    "star": star(5, 30, 10),
    "sharp star": star(4, 60, 4),
    "ball": models.rippled_sphere(2_000, 10),
    "frame": models.extruded([(0, 0), (60, 0), (60, 60), (0, 60)], 10, [(5, 5), (5, 55), (55, 55), (55, 5)]),
    "wall of one line": models.thin_wall(0.4),
    "wall": models.thin_wall(5),
    "sheet": models.box(60, 60, 0.6),
    "sheet of one layer": models.box(40, 40, 0.2),
    "no whole layers": models.box(12, 12, 7.77),
    "needle": models.box(3, 3, 60),
    "overlapping": models.overlapping_cubes(),
    "touching": models.touching_cubes(),
    "many": models.separate_cubes(5),
}


@pytest.mark.slow
@pytest.mark.parametrize(("infill", "supports"), [(15, "no"), (60, "yes")])
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_shape_is_no_false_alarm(bench: Bench, name: str, infill: int, supports: str) -> None:
    plate = await bench.one(work(bench.part(ODD[name]), infill_percent=infill, supports=supports))
    assert plate.failed_proof() == []


def lens(length: float, width: float, height: float) -> Mesh:
    """Pointed at both ends: turned aslant it stays far from two corners of the room its box takes."""
    arc = [(length / 2 * math.cos(math.pi * n / 40), width / 2 * math.sin(math.pi * n / 40) ** 2) for n in range(41)]
    return models.extruded([(round(x, 4), round(y, 4)) for x, y in [*arc, *((-x, -y) for x, y in arc[1:-1])]], height)


@pytest.mark.parametrize("mesh", [models.box(290, 10, 1), models.box(10, 290, 1), lens(285, 24, 1)])
async def test_a_long_part_is_laid_aslant_and_proved(bench: Bench, mesh: Mesh) -> None:
    plate = await bench.one(work(bench.part(mesh)))
    assert plate.failed_proof() == []
    ((low_x, low_y, _, high_x, high_y, _),) = bench.facts(plate).bodies[object_name("a")]
    assert 215 < high_x - low_x < 238 and 165 < high_y - low_y < 198


# --- what an order decides ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("infill", [0, 15, 35, 80, 100])
async def test_infill(bench: Bench, infill: int) -> None:
    plate = await bench.one(work(bench.part(models.cube(20)), infill_percent=infill))
    assert plate.failed_proof() == []
    assert found(plate, "infill") == f"{infill}%"
    assert found(plate, "infill pattern") == ("rectilinear" if infill == 100 else "gyroid")
    if infill == 0:
        assert found(plate, "infill laid") == "0 mm³"
    else:
        assert float(found(plate, "infill in moves").split()[0]) == pytest.approx(infill, abs=7)


@pytest.mark.slow
async def test_more_infill_is_more_plastic(bench: Bench) -> None:
    part = bench.part(models.cube(10))
    grams = [(await bench.one(work(part, infill_percent=infill))).filament_g for infill in (0, 10, 40, 70, 100)]
    assert grams == sorted(set(grams))


@pytest.mark.parametrize("supports", list(Supports))
async def test_supports_stand_under_an_overhang_unless_the_order_says_no(bench: Bench, supports: Supports) -> None:
    plate = await bench.one(work(bench.part(models.t_shape()), supports=supports))
    assert plate.failed_proof() == []
    laid = bench.facts(plate).laid_mm
    assert ("Support material" in laid, "Support material interface" in laid) == (supports is not Supports.NO,) * 2


async def test_supports_that_are_not_needed_are_not_there(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(10)), supports=Supports.YES))
    assert plate.proved and "Support material" not in bench.facts(plate).laid_mm


@pytest.mark.parametrize("height", [0.1, 0.25])
async def test_the_layer_height_of_the_order(bench: Bench, height: float) -> None:
    plate = await bench.one(work(bench.part(models.cube(10)), layer_height_mm=height))
    assert plate.failed_proof() == []
    assert found(plate, "layer height in moves") == f"{height:g} mm"
    assert plate.layers == pytest.approx(10 / height, abs=1)


@pytest.mark.parametrize("height", [0.05, 0.4])
def test_a_layer_height_the_nozzle_cannot_lay_is_refused(bench: Bench, height: float) -> None:
    with pytest.raises(Refused, match=r"0\.07…0\.32 mm") as refused:
        bench.slicer().key(work(bench.part(models.cube(10)), layer_height_mm=height))
    assert refused.value.code == "layer_height"


async def test_the_colour_is_written_down(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(10)), color=Color(name="sun", hex="#ffcc00")))
    assert plate.proved and found(plate, "colour") == "#FFCC00"


async def test_a_material_without_settings_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match=r"no settings for PEEK .*PETG, PLA, TPU") as refused:
        await bench.sliced(work(bench.part(models.cube(10)), material="PEEK"))
    assert refused.value.code == "no_profile"


async def test_the_material_is_found_in_any_spelling(bench: Bench) -> None:
    assert (await bench.one(work(bench.part(models.cube(10)), material="petg"))).proved


# --- plates ------------------------------------------------------------------------------------------------------------
async def test_copies_of_several_models_share_a_plate(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(10), "a:1", 3), bench.part(models.box(12, 8, 6), "b@2", 2)))
    assert plate.failed_proof() == [] and plate.copies == {"a:1": 3, "b@2": 2}
    assert (found(plate, "copies of a:1"), found(plate, "copies of b@2")) == ("3", "2")


async def test_one_model_ordered_as_two_items_is_two_things(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(10), "a", 1), bench.part(models.cube(10), "b", 2)))
    assert plate.failed_proof() == [] and plate.copies == {"a": 1, "b": 2}


async def test_a_quantity_that_needs_more_plates(bench: Bench, tmp_path: Path) -> None:
    counting = script(tmp_path / "counting", COUNTING.format(tmp_path / "runs"))
    nine = work(bench.part(models.box(50, 50, 1), "a", 9), profile="voron-v0", first_number=5)
    plates = await bench.sliced(nine, binary=counting)
    assert [plate.number for plate in plates] == [5, 6, 7]
    assert [plate.copies for plate in plates] == [{"a": 4}, {"a": 4}, {"a": 1}]
    assert all(plate.proved for plate in plates)
    assert (tmp_path / "runs").read_text().count("run") == 2  # the first two plates hold the same


async def test_a_part_that_fits_only_when_turned_is_turned(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.box(30, 220, 1))))
    assert plate.failed_proof() == []
    box = bench.facts(plate).bodies["item-61"][0]
    assert (box[3] - box[0], box[4] - box[1]) == pytest.approx((219.55, 29.55), abs=0.1)


@pytest.mark.parametrize("mesh", [models.bar(), models.tower(), models.box(239, 190, 10), models.box(200, 230, 10)])
async def test_a_part_that_does_not_fit_is_refused_before_slicing(bench: Bench, mesh: Mesh) -> None:
    with pytest.raises(Refused, match="238×198×210 mm") as refused:
        await bench.sliced(work(bench.part(mesh)), binary="not-there")
    assert refused.value.code == "does_not_fit"


# --- what it says ------------------------------------------------------------------------------------------------------
async def test_progress_never_falls(bench: Bench) -> None:
    told: list[tuple[int, str]] = []
    await bench.sliced(work(bench.part(models.box(100, 100, 1), quantity=3), profile="voron-v0"), lambda *said: told.append(said))
    percents = [percent for percent, _ in told]
    assert percents == sorted(percents) and percents[0] >= 0 and percents[-1] <= 100 and len(set(percents)) > 4
    assert any("perimeters" in what for _, what in told)


async def test_warnings_are_kept_with_our_names(bench: Bench) -> None:
    floating = models.cube(10) + models.moved(models.cube(10), 0, 0, 30)
    plate = await bench.one(work(bench.part(floating, "order-7")))
    (warning,) = plate.warnings
    assert warning.startswith("Empty layer between 10 and 30.2. Object name: order-7 Make sure")


async def test_nothing_of_the_customers_is_in_the_gcode(bench: Bench) -> None:
    plate = await bench.one(work(bench.part(models.cube(10), "item-of-Jane.Doe"), color=Color(name="Jane's own blue")))
    assert plate.proved
    assert not any(word in bench.gcode(plate) for word in (b"Jane", b"item-of", str(bench.folder).encode()))


# --- the key -----------------------------------------------------------------------------------------------------------
def test_every_changed_thing_is_another_key(bench: Bench) -> None:
    part, other = bench.part(models.cube(10)), bench.part(models.cube(11), "b")
    works = [
        work(part),
        work(other),
        work(part, other),
        work(part.model_copy(update={"mesh_sha256": other.mesh_sha256})),
        work(part.model_copy(update={"item_id": "b"})),
        work(part.model_copy(update={"quantity": 2})),
        work(part, infill_percent=21),
        work(part, supports=Supports.YES),
        work(part, supports=Supports.OPERATOR),
        work(part, material="PETG"),
        work(part, color=Color(name="red")),
        work(part, color=Color(name="black", hex="#000000")),
        work(part, layer_height_mm=0.15),
        work(part, profile="ender3"),
    ]
    slicer = bench.slicer()
    assert len({slicer.key(each) for each in works}) == len(works)


def test_a_profile_of_another_name_is_another_key(bench: Bench, tmp_path: Path) -> None:
    """A plate carries its profile's name: the copy's printers would never find a plate of the original."""
    for name in ("ender3", "ender3-left"):
        shutil.copytree(default_profiles_dir() / "ender3", tmp_path / "profiles" / name)
    slicer = PlateSlicer(PrusaSlicer(), ProfileLibrary(tmp_path / "profiles"), bench.store, bench.work_dir)
    part = bench.part(models.cube(10))
    assert slicer.key(work(part, profile="ender3")) != slicer.key(work(part, profile="ender3-left"))


def test_equal_work_has_an_equal_key(bench: Bench) -> None:
    a, b = bench.part(models.cube(10), "a"), bench.part(models.cube(11), "b")
    key = bench.slicer().key(work(a, b))
    assert key == bench.slicer().key(work(b, a, first_number=3))
    assert key == bench.slicer(timeout_s=5).key(work(a, b))


def test_another_slicer_is_another_key(bench: Bench, tmp_path: Path) -> None:
    other = bench.slicer(binary=script(tmp_path / "other", ""))
    same = work(bench.part(models.cube(10)))
    assert other.key(same) != bench.slicer().key(same)


async def test_a_warm_slicer_is_not_started_for_a_key_until_it_is_another_program(bench: Bench, tmp_path: Path) -> None:
    binary = tmp_path / "counting"
    binary.write_text(f'#!/bin/sh\necho run >> "{tmp_path}/runs"\necho "PrusaSlicer-9.9.9 based on Slic3r"\n')
    binary.chmod(0o755)
    slicer: PlateSlicer = bench.slicer(binary=str(binary))
    await slicer.warm()
    keys = {slicer.key(work(bench.part(models.cube(10)))) for _ in range(3)}
    assert len(keys) == 1 and (tmp_path / "runs").read_text() == "run\n"
    binary.write_text('#!/bin/sh\necho "PrusaSlicer-10.0.0 based on Slic3r"\n')
    assert slicer.engine.version() == "PrusaSlicer-10.0.0"


LATER = """PrusaSlicer-2.9.2 based on Slic3r (with GUI support)
 --gcode-label-objects
                     What becomes of labels (as comments, or not
                     at all). (disabled,
                     octoprint, firmware; default: disabled)
 --ensure-vertical-shell-thickness
                     Near slopes. (disabled, partial, enabled; default: enabled)
 --perimeters N      Walls (a number). (default: 3)"""


async def test_switches_are_told_in_the_words_that_the_program_knows(bench: Bench, tmp_path: Path) -> None:
    """2.9 turns a 1 into a word of its own, and its account would not be what it was told."""
    program = script(tmp_path / "later", f"cp flat.ini {tmp_path}/told.ini; exit 1", LATER)
    with pytest.raises(Refused):
        await bench.one(work(bench.part(models.cube(3))), binary=program)
    told = (tmp_path / "told.ini").read_text().splitlines()
    assert {"gcode_label_objects = octoprint", "ensure_vertical_shell_thickness = enabled", "support_material = 0"} <= set(told)
    with pytest.raises(Refused):
        await bench.one(work(bench.part(models.cube(3))), binary=script(tmp_path / "now", f"cp flat.ini {tmp_path}/told.ini; exit 1"))
    assert "gcode_label_objects = 1" in (tmp_path / "told.ini").read_text().splitlines()


async def test_it_is_what_the_workflow_asks_for_and_slices_many_at_once(bench: Bench) -> None:
    slicer: Slicer = bench.slicer()
    plates = await asyncio.gather(*(slicer.slice(work(bench.part(models.cube(mm)))) for mm in (4, 5, 6)))
    assert [plate.height_mm for (plate,) in plates] == [4, 5, 6]
    assert list(bench.work_dir.iterdir()) == []
