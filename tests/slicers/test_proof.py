"""The proof catches every mutation: settings changed behind the slicer's back, unsafe commands, files cut off anywhere."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.domain.offer import Supports
from agent.domain.plate import ProofLine
from agent.domain.values import Color
from agent.ports.slicer import SliceWork
from agent.sandbox import models
from agent.sandbox.models import Mesh
from agent.slicers.commands import UNSAFE, refused_commands
from agent.slicers.gcode import read_facts
from agent.slicers.gcode_facts import GcodeFacts
from agent.slicers.placing import place
from agent.slicers.proof import prove
from tests.conftest import FIGURES, Tell
from tests.slicers.bench import Bench, mutant_row, script, told, unproved, work

NAVY = Color(name="navy", hex="#000080")
CUBE, T = models.cube(10), models.scaled(models.t_shape(), 0.4)
UNSAFE_LINES = ("M502", "m500 ; save", "N3 M997", "SAVE_CONFIG", "G20", "T1", "M600", "G92.1", "G5 X1 Y1")


@dataclass
class Sliced:
    """A plate that was sliced as ordered, and everything to hold another G-code against that order."""

    bench: Bench
    work: SliceWork
    gcode: bytes
    facts: GcodeFacts

    def proof(self, facts: GcodeFacts) -> list[ProofLine]:
        profile = self.bench.profiles.profile(self.work.printer.profile)
        (placed,) = place(self.work.parts, profile)
        return prove(facts, told(profile, self.work.settings), placed, self.work.parts, self.work.settings, profile)

    def failed(self, facts: GcodeFacts) -> set[str]:
        return {line.check for line in self.proof(facts) if not line.ok}

    def read(self, gcode: bytes) -> GcodeFacts:
        path = self.bench.folder / "mutant.gcode"
        path.write_bytes(gcode)
        return read_facts(path)


def sliced(folder: Path, make: Callable[[Bench], SliceWork]) -> Sliced:
    bench = Bench.in_folder(folder)
    ordered = make(bench)
    plate = asyncio.run(bench.one(ordered))
    assert plate.failed_proof() == []
    return Sliced(bench, ordered, bench.gcode(plate), bench.facts(plate))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Sliced:
    """Two cubes and a T, which would need supports."""
    folder = tmp_path_factory.mktemp("plate")
    return sliced(folder, lambda bench: work(bench.part(CUBE, "cube", 2), bench.part(T, "t"), infill_percent=40, color=NAVY))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sliced:
    """A cube of 3 mm: a file that is read in a blink."""
    return sliced(tmp_path_factory.mktemp("small"), lambda bench: work(bench.part(models.cube(3))))


# --- settings changed behind the slicer's back --------------------------------------------------------------------------
@dataclass(frozen=True)
class Mutation:
    """Options given to the slicer after ours, what the proof says then, and what it says where the settings at the end lie."""

    options: str
    told: set[str]
    moves: set[str]


MUTATIONS = {
    "more infill": Mutation("--fill-density 90%", {"infill"}, {"infill in moves"}),
    "less infill": Mutation("--fill-density 5%", {"infill"}, {"infill in moves"}),
    "no infill": Mutation("--fill-density 0%", {"infill"}, {"infill in moves"}),
    "pattern": Mutation("--fill-pattern grid", {"infill pattern"}, set()),
    "supports": Mutation("--support-material", {"supports"}, {"support laid"}),
    "colour": Mutation("--filament-colour '#FF0000'", {"colour"}, set()),
    "material": Mutation("--filament-type PETG", {"material"}, set()),
    "layer height": Mutation("--layer-height 0.25", {"layer height"}, {"layer height in moves"}),
    "nozzle temperature": Mutation("--temperature 225", {"nozzle temperature"}, {"nozzle while printing"}),
    "first layer's": Mutation("--first-layer-temperature 225", {"first layer temperature"}, {"nozzle while printing"}),
    "bed temperature": Mutation("--bed-temperature 65", {"bed temperature"}, {"bed while printing"}),
    "too hot": Mutation("--temperature 290", {"nozzle heated to"}, {"nozzle heated to"}),
    "scaled": Mutation("--scale 1.1", {"place and size of cube", "place and size of t"}, {"place and size of cube", "place and size of t"}),
    "turned": Mutation("--rotate-x 90", {"place and size of t"}, {"place and size of t"}),
    "walls": Mutation("--perimeters 5", {"every other setting of the profile"}, set()),
    "arranged otherwise": Mutation("--center 60,60", {"place and size of cube"}, {"place and size of cube"}),
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_setting_changed_behind_the_slicers_back(plate: Sliced, tmp_path: Path, name: str, record_property: Tell) -> None:
    mutation = MUTATIONS[name]
    behind = script(tmp_path / "behind", f'exec prusa-slicer "$@" {mutation.options}')
    mutant = await plate.bench.one(plate.work, binary=behind)
    assert unproved(mutant) >= mutation.told
    lying = replace(plate.bench.facts(mutant), config=plate.facts.config)
    assert plate.failed(lying) >= mutation.moves
    record_property(FIGURES, mutant_row("PrusaSlicer", name, unproved(mutant), mutation.moves))


async def test_the_pattern_at_full_infill(bench: Bench, tmp_path: Path) -> None:
    behind = script(tmp_path / "behind", 'exec prusa-slicer "$@" --fill-pattern alignedrectilinear')
    assert unproved(await bench.one(work(bench.part(models.cube(10)), infill_percent=100), binary=behind)) == {"infill pattern"}


async def test_absolute_extrusion_says_the_same(plate: Sliced, tmp_path: Path) -> None:
    behind = script(tmp_path / "behind", 'sed -i /^layer_gcode/d flat.ini; exec prusa-slicer "$@" --no-use-relative-e-distances')
    mutant = await plate.bench.one(plate.work, binary=behind)
    assert unproved(mutant) == {"every other setting of the profile"}
    facts = plate.bench.facts(mutant)
    assert facts.laid_mm == pytest.approx(plate.facts.laid_mm, rel=0.01)
    assert facts.bodies["item-74"][0] == pytest.approx(plate.facts.bodies["item-74"][0], abs=0.01)


async def test_a_profile_key_the_slicer_does_not_know_is_told(bench: Bench, tmp_path: Path) -> None:
    behind = script(tmp_path / "behind", 'sed -i "s/^brim_width/brim_widht/" flat.ini; exec prusa-slicer "$@" --brim-width 3')
    mutant = await bench.one(work(bench.part(models.cube(3))), binary=behind)
    (line,) = mutant.failed_proof()
    assert line.check == "every other setting of the profile" and line.found == "brim_width = 3"


OTHER_PARTS: dict[str, tuple[list[tuple[Mesh, str, int]], set[str]]] = {
    "one copy less": ([(CUBE, "cube", 1), (T, "t", 1)], {"copies of cube"}),
    "one copy more": ([(CUBE, "cube", 3), (T, "t", 1)], {"copies of cube"}),
    "a stranger": ([(CUBE, "cube", 2), (T, "t", 1), (models.cube(4), "other", 1)], {"nothing else on the plate"}),
    "a part less": ([(CUBE, "cube", 2)], {"copies of t", "place and size of t"}),
    "a smaller one": ([(models.cube(8), "cube", 2), (T, "t", 1)], {"place and size of cube"}),
    "a lower one": ([(models.box(10, 10, 9), "cube", 2), (T, "t", 1)], {"place and size of cube"}),
}


@pytest.mark.parametrize("name", OTHER_PARTS)
async def test_other_parts_than_ordered(plate: Sliced, name: str, record_property: Tell) -> None:
    parts, failing = OTHER_PARTS[name]
    other = plate.work.model_copy(update={"parts": [plate.bench.part(*part) for part in parts]})
    failed = plate.failed(plate.bench.facts(await plate.bench.one(other)))
    assert failed >= failing
    record_property(FIGURES, mutant_row("PrusaSlicer", name, failed, failing))


def test_a_long_part_that_is_not_turned_as_it_was_placed(tmp_path: Path) -> None:
    long = sliced(tmp_path, lambda bench: work(bench.part(models.box(290, 10, 1))))
    (((low_x, low_y, low_z, high_x, high_y, high_z),),) = long.facts.bodies.values()
    straight = [125 - 145, 100, low_z, 125 + 145, 110, high_z]
    flatter = [low_x - 20, low_y + 40, low_z, high_x + 20, high_y - 40, high_z]
    smaller = [low_x + 20, low_y + 20, low_z, high_x - 20, high_y - 20, high_z]
    for box in (straight, flatter, smaller):
        assert long.failed(replace(long.facts, bodies={name: [box] for name in long.facts.bodies})) == {"place and size of a"}


@pytest.mark.parametrize(("shift", "side"), [((-130, 0), "x"), ((130, 0), "x"), ((0, -110), "y"), ((0, 110), "y")])
def test_moved_off_the_bed(small: Sliced, shift: tuple[float, float], side: str) -> None:
    """As the slicer would write it, were the 3MF's places wrong: G92 makes every move of the file go elsewhere."""
    at = small.gcode.index(b";LAYER_CHANGE")
    moved = small.read(small.gcode[:at] + f"G1 X0 Y0\nG92 X{-shift[0]} Y{-shift[1]}\n".encode() + small.gcode[at:])
    assert small.failed(moved) >= {f"inside the bed in {side}", "place and size of a"}


@pytest.mark.parametrize("supports", [Supports.YES, Supports.OPERATOR])
async def test_supports_asked_for_but_switched_off(bench: Bench, tmp_path: Path, supports: Supports) -> None:
    behind = script(tmp_path / "behind", 'exec prusa-slicer "$@" --no-support-material-auto')
    mutant = await bench.one(work(bench.part(models.t_shape()), supports=supports), binary=behind)
    assert "automatic supports" in unproved(mutant)


# --- unsafe commands ---------------------------------------------------------------------------------------------------
WAYS = ("{0}", "{0} S1", "N10 {0}", "N10{0}*71", "  \t{0}", "{0};comment", "{0}\r", "G28 {0}", "{1}", "n7 {1} s1")
"""{1} is in small letters."""
NUMBER_WAYS = ("M0{2}", "M {2}", "M{2}.1", "m 0{2} p1", "M105{0}", "G1 X10{0}", "M104 S20 {0}")


@pytest.mark.parametrize("code", UNSAFE)
def test_an_unsafe_command_is_caught_however_it_is_written(small: Sliced, code: str) -> None:
    is_number = code[1:].isdigit()
    ways = WAYS + NUMBER_WAYS if is_number else tuple(way for way in WAYS if not way.startswith(("N10{0}*", "G28")))
    for way in ways:
        line = way.format(code, code.lower(), code[1:])
        facts = small.read(f"G28\n{line}\nG1 X10 Y10\n".encode())
        assert any(refused.startswith(code) for refused in refused_commands(facts.commands)), line


@pytest.mark.parametrize(("code", "where"), [*product(UNSAFE_LINES, (0.02, 0.5, 0.999)), ("G2 X10 Y10 I5 J5 E1", 0.5)])
def test_an_unsafe_line_anywhere_in_the_file_is_never_proved(small: Sliced, code: str, where: float, record_property: Tell) -> None:
    end = small.gcode.index(b"; filament used")
    lines = small.gcode[:end].splitlines(keepends=True)
    lines.insert(int(len(lines) * where), code.encode() + b"\n")
    failed = small.failed(small.read(b"".join(lines) + small.gcode[end:]))
    assert "safe commands only" in failed
    record_property(FIGURES, mutant_row("any", f"{code} at {where:.0%}", failed, {"safe commands only"}))


def test_an_arc_in_the_start_code_is_no_part_of_the_print(small: Sliced) -> None:
    at = small.gcode.index(b";LAYER_CHANGE")
    assert small.failed(small.read(small.gcode[:at] + b"G2 X10 Y10 I5 J5 E1\n" + small.gcode[at:])) == set()


@pytest.mark.parametrize(
    "line", [b"/M502", b"(M502)", b"\xff\xfe", b"%", b"X10 Y10 E5", b"G1 X10 Q5", b"G1 Xnan", b"D3 Ax0", b"G28 M104 S290"]
)
def test_a_line_that_is_not_understood_is_never_proved(small: Sliced, line: bytes) -> None:
    at = small.gcode.index(b";LAYER_CHANGE")
    assert "every line understood" in small.failed(small.read(small.gcode[:at] + line + b"\n" + small.gcode[at:]))


def test_a_hot_end_set_otherwise_in_the_middle(small: Sliced) -> None:
    at = small.gcode.index(b";LAYER_CHANGE", len(small.gcode) // 3)
    for line, check in ((b"M104 S0", "nozzle while printing"), (b"M104S290", "nozzle heated to"), (b"m140 s20", "bed while printing")):
        assert check in small.failed(small.read(small.gcode[:at] + line + b"\n" + small.gcode[at:])), line


def test_the_same_file_in_another_dress_is_proved(small: Sliced) -> None:
    assert small.failed(small.read(small.gcode)) == set()
    assert small.failed(small.read(small.gcode.replace(b"\n", b"\r\n"))) == set()
    dense = small.gcode.replace(b"G1 X", b"g01x").replace(b" E", b"e")
    dressed = dense[: dense.index(b"; filament used")] + small.gcode[small.gcode.index(b"; filament used") :]
    assert small.failed(small.read(dressed)) == set()


# --- cut off -----------------------------------------------------------------------------------------------------------
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_never_proved(small: Sliced, share: float) -> None:
    assert "complete" in small.failed(small.read(small.gcode[: int(len(small.gcode) * share)]))


@pytest.mark.parametrize(("more_mm", "agrees"), [(0, True), (21.5, True), (10, False), (-21.5, False)])
def test_the_slicers_sum_may_hold_what_primes_the_nozzle(small: Sliced, more_mm: float, agrees: bool) -> None:
    """2.9 adds it, 2.5 does not: 9 and 12.5 mm with this profile."""
    says = f"filament used [mm] = {small.facts.filament_mm + more_mm:.2f}"
    facts = small.read(re.sub(rb"filament used \[mm\] = \S+", says.encode(), small.gcode))
    assert ("filament in moves" not in small.failed(facts)) == agrees


def test_cut_off_at_the_very_end(small: Sliced) -> None:
    for missing in range(1, 40):
        assert "complete" in small.failed(small.read(small.gcode[:-missing])), missing


@pytest.mark.parametrize("after", [b"G1 X10\n", b"M104 S250\n", b"; more\n", b"; prusaslicer_config = begin\n"])
def test_what_goes_on_after_its_end_is_not_proved(small: Sliced, after: bytes) -> None:
    assert "complete" in small.failed(small.read(small.gcode + after))


def test_a_layer_lost_anywhere_is_never_proved(small: Sliced) -> None:
    layers = re.split(rb"(?=;LAYER_CHANGE)", small.gcode)
    for lost in range(1, len(layers) - 1):  # the last one holds the end code and the settings
        assert small.failed(small.read(b"".join(layers[:lost] + layers[lost + 1 :]))) & {"no layer is missing", "first layer in moves"}, (
            lost
        )
