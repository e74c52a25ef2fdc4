"""Where copies stand: on any bed, out of its zones, apart from each other, each exactly once, on few plates."""

import json
import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.domain.errors import ConfigError, Refused
from agent.domain.fit import lie, narrowed
from agent.domain.plate import Part
from agent.sandbox import models
from agent.slicers import plate_slicer
from agent.slicers.bed import Area, Bed, bed_of, free_areas
from agent.slicers.placed import Placed
from agent.slicers.placing import EDGE_MM, GAP_MM, free_mm, place, supports_mm, usable_mm
from agent.slicers.profiles import Profile, ProfileLibrary, default_profiles_dir
from agent.slicers.proof import prove
from tests.slicers.bench import Bench, T, found, told, work

MK3S = ProfileLibrary(default_profiles_dir()).profile("prusa-mk3s")
CORNERS_OF_ROUND = [(100 * math.cos(2 * math.pi * n / 72), 100 * math.sin(2 * math.pi * n / 72)) for n in range(72)]
ROUND = ",".join(f"{x:.4f}x{y:.6f}" for x, y in CORNERS_OF_ROUND)
NOTCH, CUTTER, CLIP = Area(120, 90, 200, 180), Area(0, 0, 18, 28), Area(100, 80, 130, 110)
TINY = 1e-6


def on(bed_shape: str, *excluded: Area, **process: str) -> Profile:
    return replace(MK3S, machine=MK3S.machine | {"bed_shape": bed_shape}, process=MK3S.process | process, excluded=excluded)


BEDS = {
    "rectangle": MK3S,
    "from below zero": on("-110x-90,110x-90,110x90,-110x90"),
    "round": on(ROUND),
    "hexagon": on("100x0,50x86.6,-50x86.6,-100x0,-50x-86.6,50x-86.6"),
    "with a notch": on("0x0,200x0,200x90,120x90,120x180,0x180"),
    "notch, no skirt": on("0x0,200x0,200x90,120x90,120x180,0x180", skirts="0"),
    "cutter": on("0x0,256x0,256x256,0x256", CUTTER),
    "cutter, no skirt": on("0x0,256x0,256x256,0x256", CUTTER, skirts="0"),
    "clip, no skirt": on("0x0,250x0,250x210,0x210", CLIP, skirts="0"),
    "round with a zone": on(ROUND, Area(-20, 60, 20, 100)),
    "brim": on("0x0,220x0,220x220,0x220", brim_width="8"),
}
FORBIDDEN = {"with a notch": NOTCH, "notch, no skirt": NOTCH, "round with a zone": Area(-20, 60, 20, 100)}
FORBIDDEN |= {"cutter": CUTTER, "cutter, no skirt": CUTTER, "clip, no skirt": CLIP}


def part(item_id: str, width: float, depth: float, quantity: int = 1, height: float = 10) -> Part:
    return Part(item_id=item_id, mesh_sha256="0" * 64, quantity=quantity, size_mm=(width, depth, height), volume_mm3=1)


def box(copy: Placed, parts: Sequence[Part]) -> Area:
    x, y, _ = next(part.size_mm for part in parts if part.item_id == copy.item_id)
    cos, sin = abs(math.cos(math.radians(copy.turned_deg))), abs(math.sin(math.radians(copy.turned_deg)))
    width, depth = x * cos + y * sin, x * sin + y * cos
    return Area(copy.x_mm - width / 2, copy.y_mm - depth / 2, copy.x_mm + width / 2, copy.y_mm + depth / 2)


def apart(a: Area, b: Area) -> float:
    return max(a.x0 - b.x1, b.x0 - a.x1, a.y0 - b.y1, b.y0 - a.y1)


def around(boxes: Sequence[Area]) -> Area:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Area(min(x0), min(y0), max(x1), max(y1))


def outline(profile: Profile) -> list[tuple[float, float]]:
    """Of the bed, without what is cut out of it: anticlockwise."""
    if "90,120x90" in profile.machine["bed_shape"]:
        return [(0, 0), (200, 0), (200, 180), (0, 180)]
    return [(float(x), float(y)) for x, y in (corner.split("x") for corner in profile.machine["bed_shape"].split(","))]


def beyond(area: Area, corners: list[tuple[float, float]]) -> float:
    """How far the farthest of its corners stands out of a polygon without dents; below 0 inside."""
    sides = pairwise([*corners, corners[0]])
    return max(
        ((bx - ax) * (ay - y) - (by - ay) * (ax - x)) / math.dist((ax, ay), (bx, by))
        for (ax, ay), (bx, by) in sides
        for x in (area.x0, area.x1)
        for y in (area.y0, area.y1)
    )


lengths = st.floats(0.5, 90) | st.floats(0.5, 240)
orders = st.lists(st.tuples(lengths, lengths, st.integers(1, 12)), min_size=1, max_size=6).map(
    lambda sizes: [part(f"item-{n}", *size) for n, size in enumerate(sizes)]
)


def needed(name: str, supports: bool) -> tuple[float, float]:
    """At the edge and between copies: brims or supports, as measured, and at the edge a skirt around them, where there is one."""
    stands_out = max(8.0 if name == "brim" else 0.0, 4.6 if supports else 0.0)
    skirt = 0.0 if "no skirt" in name else 2.42
    return max(EDGE_MM, stands_out + skirt), max(GAP_MM, 2 * stands_out)


def those_that_fit(parts: list[Part], profile: Profile, supports: bool = False) -> list[Part]:
    room = narrowed(usable_mm(profile), free_mm(profile), supports_mm(profile) if supports else 0)
    fit = [part for part in parts if lie(part.size_mm, *room) is not None]
    assume(fit)
    return fit


# --- places ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BEDS)
@settings(max_examples=15, deadline=None)
@given(parts=orders, order=st.randoms(), supports=st.booleans())
def test_every_copy_has_one_place_on_the_bed_apart_from_all_others(name: str, parts: list[Part], order: Random, supports: bool) -> None:
    """Out of the zones, too; and the places do not depend on the order of items."""
    profile = BEDS[name]
    parts = those_that_fit(parts, profile, supports)
    plates = place(parts, profile, supports=supports)
    assert Counter(copy.item_id for plate in plates for copy in plate) == {part.item_id: part.quantity for part in parts}
    edge, gap = needed(name, supports)
    for plate in plates:
        boxes = [box(copy, parts) for copy in plate]
        assert all(apart(a, b) >= gap - TINY for a, b in combinations(boxes, 2))
        assert all(beyond(room.grown(edge), outline(profile)) <= TINY for room in boxes)
        if name in FORBIDDEN:
            assert all(apart(room, FORBIDDEN[name]) >= edge - TINY for room in boxes)
            if "no skirt" not in name:
                assert apart(around(boxes), FORBIDDEN[name]) >= edge - TINY, "the skirt around all of them would cross the zone"
    order.shuffle(parts)
    assert place(parts, profile, supports=supports) == plates


def plates_in_rows(parts: list[Part], width: float, depth: float) -> int:
    """As parts were placed before: rows from the front, deepest parts first, each as it lies."""
    lies = sorted(((lie(part.size_mm, (width, depth, 100)), part.quantity) for part in parts), key=lambda one: (-one[0][2], -one[0][1]))
    left = [lying for lying, quantity in lies for _ in range(quantity)]
    plates = 0
    while left:
        plates, x, y, row, rest = plates + 1, 0.0, 0.0, 0.0, []
        full = set()
        for _, wide, deep in left:
            if (wide, deep) not in full and x > 0 and x + wide > width:
                if y + row + GAP_MM + deep > depth:
                    full.add((wide, deep))
                else:
                    x, y, row = 0.0, y + row + GAP_MM, 0.0
            if (wide, deep) in full:
                rest.append((0, wide, deep))
                continue
            x, row = x + wide + GAP_MM, max(row, deep)
        left = rest
    return plates


@settings(max_examples=60, deadline=None)
@given(parts=orders)
def test_never_more_plates_than_rows_need(parts: list[Part]) -> None:
    parts = those_that_fit(parts, MK3S)
    assert len(place(parts, MK3S)) <= plates_in_rows(parts, 238, 198)


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        ([part("a", 238, 198)], [1]),
        ([part("a", 238, 198, 3)], [1, 1, 1]),
        ([part("a", 198, 238)], [1]),
        ([part("a", 290, 10, 2)], [1, 1]),
        ([part("a", 116.5, 96.5, 4)], [4]),
        ([part("a", 116.6, 96.5, 4)], [2, 2]),
        ([part("a", 20, 20, 72)], [9 * 8]),
        ([part("a", 20, 20, 73)], [9 * 8, 1]),
        # The wide one finds no room beside the deep one; the small ones do.
        ([part("deep", 150, 150), part("wide", 200, 100), part("small", 40, 40, 2)], [3, 1]),
        # Turned by 90° both go beside each other.
        ([part("a", 150, 100, 2)], [2]),
        # Rows would leave the room behind the small ones empty.
        ([part("deep", 120, 198), part("flat", 113, 60, 3)], [4]),
    ],
)
def test_as_few_plates_as_can_be(parts: list[Part], counts: list[int]) -> None:
    assert [len(plate) for plate in place(parts, MK3S)] == counts


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [("round", 20, 32), ("cutter", 20, 81), ("cutter, no skirt", 66, 9), ("with a notch", 20, 24), ("notch, no skirt", 20, 33)],
)
def test_a_bed_of_any_shape_is_filled(name: str, size: float, most: int) -> None:
    first, *_ = place([part("a", size, size, 200)], BEDS[name])
    assert len(first) >= most


@pytest.mark.parametrize("name", BEDS)
def test_one_part_stands_in_the_middle_unless_a_zone_is_there(name: str) -> None:
    ((copy,),) = place([part("a", 30, 10)], BEDS[name])
    x, y = (sum(span) / 2 for span in (BEDS[name].bed_x_mm, BEDS[name].bed_y_mm))
    assert ((copy.x_mm, copy.y_mm) == (x, y)) == (name not in ("clip, no skirt", "with a notch", "notch, no skirt"))


@pytest.mark.parametrize("size", [(238.1, 100, 10), (300, 10, 10), (200, 200, 10), (10, 10, 210.1), (400, 400, 400)])
def test_what_does_not_fit_is_refused(size: tuple[float, float, float]) -> None:
    with pytest.raises(Refused, match="238×198×210 mm") as refused:
        place([part("fits", 5, 5), part("a", size[0], size[1], height=size[2])], MK3S)
    assert refused.value.code == "does_not_fit"


def test_what_would_stand_in_a_zone_or_beside_a_round_bed_is_refused() -> None:
    with pytest.raises(Refused, match=r"135×135×10 mm does not fit .* less its corners and excluded zones, unless"):
        place([part("a", 135, 135)], BEDS["round"])
    with pytest.raises(Refused, match=r"244×244×210 mm less its corners and excluded zones"):
        place([part("a", 240, 240)], BEDS["cutter"])
    assert place([part("a", 150, 90)], BEDS["round"]) and place([part("a", 226, 244)], BEDS["cutter"])


def test_a_bed_of_which_nothing_is_free_is_a_mistake_in_the_profile() -> None:
    with pytest.raises(ConfigError, match="nothing of the bed is free, 6 mm being kept around"):
        usable_mm(on("0x0,200x0,200x200,0x200", Area(-5, -5, 205, 195)))


# --- time --------------------------------------------------------------------------------------------------------------
RANDOM = Random(5)
MIXED = [part(f"item-{n}", RANDOM.uniform(5, 60), RANDOM.uniform(5, 60)) for n in range(500)]


@pytest.mark.parametrize(
    ("parts", "name", "seconds"),
    [
        ([part("a", 20, 20, 500)], "rectangle", 0.5),
        ([part("a", 20, 20, 500)], "round", 1),
        (MIXED, "rectangle", 1),
        ([part("a", 150, 150, 10_000)], "rectangle", 1),
        ([part(f"item-{n}", 1 + n / 50, 1 + n / 100, 1_000) for n in range(100)], "rectangle", 4),
    ],
)
def test_placing_takes_a_moment(parts: list[Part], name: str, seconds: float) -> None:
    began = time.process_time()
    plates = place(parts, BEDS[name])
    took = time.process_time() - began
    assert sum(map(len, plates)) == sum(part.quantity for part in parts) and took < seconds


async def test_the_event_loop_is_not_held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def placing(parts: Sequence[Part], profile: Profile, *, supports: bool) -> list[list[Placed]]:
        threads.append(threading.current_thread())
        return place(parts, profile, supports=supports)

    monkeypatch.setattr(plate_slicer, "place", placing)
    with pytest.raises(Refused):
        await bench.sliced(work(part("a", 300, 300)))
    assert threads and threading.main_thread() not in threads


# --- beds --------------------------------------------------------------------------------------------------------------
cells = st.tuples(*[st.integers(0, 20)] * 4).filter(lambda at: at[0] < at[2] and at[1] < at[3]).map(lambda at: Area(*map(float, at)))


@settings(max_examples=80, deadline=None)
@given(zones=st.lists(cells, max_size=4), area=cells)
def test_a_rectangle_is_free_exactly_where_a_free_area_holds_it(zones: list[Area], area: Area) -> None:
    bed = bed_of("0x0,20x0,20x20,0x20", zones)
    free = free_areas(bed, 0.0)
    clear = all(apart(area, zone) >= 0 for zone in zones)
    held = any(one.x0 <= area.x0 and one.y0 <= area.y0 and area.x1 <= one.x1 and area.y1 <= one.y1 for one in free)
    assert clear == held == bed.holds(area)
    assert not any(a is not b and a.x0 <= b.x0 and a.y0 <= b.y0 and b.x1 <= a.x1 and b.y1 <= a.y1 for a in free for b in free)


def star(reach: list[float]) -> Bed:
    turns = [2 * math.pi * n / len(reach) for n in range(len(reach))]
    return bed_of(",".join(f"{r * math.cos(t)!r}x{r * math.sin(t)!r}" for r, t in zip(reach, turns, strict=True)))


@settings(max_examples=30, deadline=None)
@given(reach=st.lists(st.floats(30, 100), min_size=3, max_size=60), margin=st.floats(0, 10), zones=st.lists(cells, max_size=2))
def test_what_is_told_to_be_free_of_any_polygon_is(reach: list[float], margin: float, zones: list[Area]) -> None:
    bed = replace(star(reach), excluded=tuple(zones))
    for area in free_areas(bed, margin):
        assert bed.holds(area.grown(margin))
        inner = area.grown(margin - 1e-3)
        for side in (((inner.x0, inner.y0), (inner.x1, inner.y1)), ((inner.x0, inner.y1), (inner.x1, inner.y0))):
            assert bed.keeps(side)


@pytest.mark.parametrize(
    ("way", "stays"),
    [
        (((0, 0), (50, 50)), True),
        (((99, 0), (-99, 0)), True),
        (((99, 0), (101, 0)), False),
        (((101, 5), (105, 0)), False),
        (((-80, -80), (-90, 90)), False),
        (((0, 50), (0, 99)), False),
        (((-50, 70), (50, 70)), False),
        (((-50, 59), (50, 59)), True),
    ],
)
def test_a_line_that_leaves_the_bed_or_goes_through_a_zone(way: tuple[tuple[float, float], tuple[float, float]], stays: bool) -> None:
    bed = BEDS["round with a zone"].bed
    assert bed.keeps(way) == bed.keeps((way[1], way[0])) == stays


@pytest.mark.parametrize(
    "zones", ["5", "[5]", "[[0, 0, 18]]", "[[0, 0, 18, '28']]", "[[18, 0, 0, 28]]", "[[0, 0, inf, 28]]", "[[0, 0, true, 28]]"]
)
def test_zones_that_are_none_are_a_mistake_in_the_profile(bench: Bench, zones: str) -> None:
    bench = mine(bench, "0x0,110x0,110x110,0x110")
    about = bench.folder / "profiles" / "mine" / "profile.toml"
    about.write_text(about.read_text().replace("excluded = []", f"excluded = {zones}"))
    with pytest.raises(ConfigError, match=r"profile\.toml: excluded = .* is no list of zones \[x0, y0, x1, y1\]") as told:
        bench.profiles.profile("mine")
    assert "excluded = [[0, 0, 18, 28]]" in told.value.hint


# --- sliced ------------------------------------------------------------------------------------------------------------
def mine(bench: Bench, bed_shape: str, excluded: Sequence[Area] = (), **process: str) -> Bench:
    """The same bench with a profile of its own: prusa-mk3s on another bed."""
    folder = Path(shutil.copytree(default_profiles_dir() / "prusa-mk3s", bench.folder / "profiles" / "mine"))
    for file, changed in (("machine.ini", {"bed_shape": bed_shape}), ("process.ini", process)):
        lines = [line for line in (folder / file).read_text().splitlines() if line.partition(" = ")[0] not in changed]
        (folder / file).write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in changed.items())]) + "\n")
    about = (folder / "profile.toml").read_text()
    (folder / "profile.toml").write_text(f"excluded = {json.dumps(excluded)}\n{about}")
    return replace(bench, profiles=ProfileLibrary(folder.parent))


FREE = "on the free part of the bed"


async def test_a_full_round_bed_is_sliced_and_proved(bench: Bench) -> None:
    bench = mine(bench, ROUND)
    ordered = work(bench.part(models.box(30, 30, 1), "a", 14), profile="mine")
    plate = await bench.one(ordered)
    assert plate.failed_proof() == [] and plate.copies == {"a": 14} and found(plate, FREE) == "everything"


async def test_copies_around_a_zone_are_sliced_and_proved(bench: Bench) -> None:
    bench = mine(bench, "0x0,110x0,110x110,0x110", [Area(45, 45, 65, 65)], skirts="0", brim_width="3")
    plate = await bench.one(work(bench.part(models.cube(10), "a", 12), profile="mine"))
    assert plate.failed_proof() == [] and plate.copies == {"a": 12} and found(plate, FREE) == "everything"


@pytest.mark.parametrize("brim", ["0", "5"])
async def test_supports_and_the_skirt_around_them_stay_on_the_bed(bench: Bench, brim: str) -> None:
    """A T as large as may be: its supports stand out of it, and the skirt goes around those."""
    wide, deep, _ = models.size_mm(T)
    kept = supports_mm(on("0x0,99x0,99x99,0x99", brim_width=brim)) + (99 - usable_mm(on("0x0,99x0,99x99,0x99", brim_width=brim))[0]) / 2
    x, y = wide + 2 * kept + TINY, deep + 2 * kept + TINY
    bench = mine(bench, f"0x0,{x}x0,{x}x{y},0x{y}", brim_width=brim)
    plate = await bench.one(work(bench.part(T), profile="mine", supports="yes"))
    assert plate.failed_proof() == [] and bench.facts(plate).laid_mm["Support material"] > 0
    with pytest.raises(Refused):
        await bench.one(work(bench.part(models.box(wide + 0.1, deep, 1)), profile="mine", supports="yes"))


@pytest.mark.parametrize("large", [False, True])
async def test_a_copy_moved_into_a_zone_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    """Placing is made to know nothing of the zone: everything else proves. A large file is looked at by a process of its own."""
    bench = mine(bench, "0x0,110x0,110x110,0x110", [Area(80, 40, 90, 60)], skirts="0")

    def blind(parts: Sequence[Part], profile: Profile, *, supports: bool) -> list[list[Placed]]:
        return place(parts, replace(profile, excluded=()), supports=supports)

    monkeypatch.setattr(plate_slicer, "place", blind)
    if large:
        monkeypatch.setattr(plate_slicer, "is_small", lambda size: size < 0)
    plate = await bench.one(work(bench.part(models.box(90, 10, 1)), profile="mine"))
    (line,) = plate.failed_proof()
    assert line.check == FREE and line.found.endswith("more") and ", 5" in line.found


async def test_a_bed_with_a_zone_is_proved_only_if_it_was_looked_at(bench: Bench) -> None:
    bench = mine(bench, "0x0,110x0,110x110,0x110", [Area(0, 0, 9, 9)])
    ordered = work(bench.part(models.cube(3)), profile="mine")
    plate = await bench.one(ordered)
    profile = bench.profiles.profile("mine")
    (placed,) = place(ordered.parts, profile)
    lines = prove(bench.facts(plate), told(profile, ordered.settings), placed, ordered.parts, ordered.settings, profile)
    assert [(line.check, line.found) for line in lines if not line.ok] == [(FREE, "not looked at")]


def test_another_zone_is_other_work(bench: Bench) -> None:
    part = bench.part(models.cube(3))
    keys = set()
    for n, zones in enumerate(([], [Area(0, 0, 9, 9)], [Area(0, 0, 9, 8)])):
        other = mine(replace(bench, folder=bench.folder / str(n)), "0x0,110x0,110x110,0x110", zones)
        keys.add(other.slicer().key(work(part, profile="mine")))
    assert len(keys) == 3
