"""Repair: only what needs it, and nothing that cannot be verified. What it makes is the part it was, to trimesh as well."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import holes, repair, topology
from agent.meshes.checks import Judgement, judge
from agent.meshes.faithful import Changed, Original, Volumes
from agent.sandbox import models
from agent.sandbox.models import Mesh, Point
from tests.meshes import broken
from tests.meshes.broken import BALL, BROKEN, HOLLOW, Broken


def corners(mesh: Mesh) -> np.ndarray:
    return np.array(mesh, np.float32)


def judged(mesh: Mesh) -> Judgement:
    return judge(corners(mesh), 64)


def codes(judgement: Judgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


def text(judgement: Judgement, code: str) -> str:
    return next(finding.text for finding in judgement.findings if finding.code == code)


def as_others_read_it(judgement: Judgement) -> trimesh.Trimesh:
    assert judgement.corners is not None
    points, faces = topology.merged(judgement.corners)
    return trimesh.Trimesh(points, faces, process=False)


# --- what is repaired --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_repaired_to_the_part_it_was(name: str) -> None:
    case: Broken = BROKEN[name]
    judgement = judged(case.mesh)
    assert (judgement.verdict, codes(judgement), judgement.shells) == ("repaired", case.codes, case.shells)
    assert judgement.volume_mm3 == pytest.approx(case.mm3, rel=0.01)
    assert judgement.box_mm == pytest.approx(models.size_mm(case.mesh), abs=1e-3)
    read = as_others_read_it(judgement)
    # Edges of four facets are sound to a slicer, and open to trimesh: where bodies touch, and of a wall that is left in its two copies.
    assert read.is_watertight == (name not in ("open bodies that share an edge", "half a wall within"))
    assert topology.balanced(read.faces.astype(np.int32))


def test_what_was_changed_is_told_in_numbers() -> None:
    told = text(judged(BROKEN["a round hole of 80 edges"].mesh), "HOLES")
    assert "1, the largest of 80 edges" in told
    assert "added: 78, with 416 mm², 3.6% of the surface" in told
    assert "holds 112,265 mm³; before, as far as it was closed, 112,383" in told
    assert "2,080" in text(judged(BROKEN["a third of the facets turned"].mesh), "WINDING")
    assert "600" in text(judged(BROKEN["a part with a reversed twin"].mesh), "COPIES")
    assert "18,720" in text(judged(BROKEN["cracks"].mesh), "CRACKS")
    assert ": 8." in text(judged(BROKEN["walls that cross"].mesh), "WALLS")


def test_bodies_that_are_sound_stay_as_they_are_beside_one_that_is_repaired() -> None:
    sound = models.touching_cubes()
    repaired = judged(sound + models.moved(broken.pierced(BALL, 60), 0, 0, 60)).corners
    assert repaired is not None
    middle = repaired.reshape(-1, 3)[: 3 * len(sound)].reshape(-1, 3, 3)
    low = middle.min(axis=(0, 1))
    assert np.array_equal(middle - low, corners(sound))


def test_of_a_model_with_one_hole_that_cannot_be_closed_the_others_are() -> None:
    judgement = judged(models.moved(broken.without_top(BALL, 30), 80, 0, 0) + broken.pierced(BALL, 60))
    assert (judgement.verdict, codes(judgement)) == ("hold", ["HOLES", "NOT_CLOSED"])
    assert "80 edges do not fit together" in text(judgement, "NOT_CLOSED")


# --- what is left to a person ----------------------------------------------------------------------------------------
def fin() -> Mesh:
    """A sheet that stands out from an edge of a cube."""
    return models.cube(20) + broken.sheet((0, 0, 0), (0, 0, 20), (-10, 0, 20), (-10, 0, 0))


@pytest.mark.parametrize(
    ("mesh", "why"),
    [
        pytest.param(models.open_cube(missing=2), "2 triangles, 20% of the surface", id="a whole side missing"),
        pytest.param(broken.without_top(BALL, 30), "49% of the surface", id="half a ball: a bowl?"),
        pytest.param(broken.rod(64)[62:], "62 triangles, 4% of the surface", id="an end of a rod missing: a pipe?"),
        pytest.param(broken.one_sided(), "only one side", id="no inside"),
        pytest.param([*models.cube(20), ((30, 0, 0), (35, 0, 0), (30, 5, 3))], "encloses nothing", id="a stray triangle"),
        pytest.param(
            models.cube(20) + broken.sheet((15, 5, 5), (25, 5, 5), (25, 15, 6), (15, 15, 6)), "encloses nothing", id="a sheet, half within"
        ),
        pytest.param(fin(), "lose a part of its surface", id="a fin of no thickness"),
        pytest.param(HOLLOW[:-2], "inside and outside cannot be told", id="a hollow that lacks a side: or a body turned inside out?"),
    ],
)
def test_what_cannot_be_verified_is_held_as_it_is_with_the_reason(mesh: Mesh, why: str) -> None:
    judgement = judged(mesh)
    assert (judgement.verdict, codes(judgement)) == ("hold", ["NOT_CLOSED"])
    assert why in text(judgement, "NOT_CLOSED")
    assert judgement.corners is not None and len(judgement.corners) == len(mesh)


def test_more_and_larger_holes_than_can_be_closed_in_time_are_not_tried() -> None:
    cup = [triangle for triangle in broken.rod(600) if any(point[2] < 60 for point in triangle)]
    mesh = topology.merged(corners([triangle for n in range(7) for triangle in models.moved(cup, 20 * n, 0, 0)]))
    assert holes.patches(mesh) == "Its holes are too many and too large: 7, with 4,200 edges."


def test_a_model_too_large_to_look_for_its_cracks_is_asked_about_not_refused_for_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_LOOSE_POINTS_MOST", 1000)
    judgement = judged(BROKEN["cracks"].mesh)
    assert (judgement.verdict, codes(judgement)) == ("hold", ["NOT_CLOSED"])
    assert "too large to be repaired here" in text(judgement, "NOT_CLOSED")


# --- holes -----------------------------------------------------------------------------------------------------------
def star(around: int) -> list[Point]:
    """A flat outline with five dents."""
    return [((10 + 3 * math.sin(5 * t)) * math.cos(t), (10 + 3 * math.sin(5 * t)) * math.sin(t), 20) for t in broken.turns(around)]


def enclosed_mm2(outline: list[Point]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(outline, [*outline[1:], outline[0]], strict=True)) / 2


@pytest.mark.parametrize(("around", "exact"), [(5, 1e-6), (90, 1e-6), (1200, 1e-4)])
def test_a_flat_hole_with_dents_is_closed_flat_and_without_folds(around: int, exact: float) -> None:
    """More than 500 edges are closed in two steps; where they go round a dent, very thin folds are left between the two."""
    rim = star(around)
    mesh = topology.merged(corners([((0, 0, 0), b, a) for a, b in zip(rim, [*rim[1:], rim[0]], strict=True)]))
    found = holes.patches(mesh)
    assert not isinstance(found, str)
    assert found.rims == [around] and len(found.faces) == around - 2
    assert topology.balanced(np.concatenate((mesh.faces, found.faces)))
    patch = trimesh.Trimesh(mesh.points, found.faces, process=False)
    assert patch.area == pytest.approx(enclosed_mm2(rim), rel=exact)


# --- verification ----------------------------------------------------------------------------------------------------
def dented(mesh: Mesh) -> Mesh:
    """The top of a box drawn in to its middle."""
    low, high = min(p[2] for t in mesh for p in t), max(p[2] for t in mesh for p in t)
    rim = [(0.0, 0.0, high), (20.0, 0.0, high), (20.0, 20.0, high), (0.0, 20.0, high)]
    middle = (10.0, 10.0, (low + high) / 2)
    sides = [triangle for triangle in mesh if any(point[2] < high for point in triangle)]
    return sides + [(a, b, middle) for a, b in zip(rim, [*rim[1:], rim[0]], strict=True)]


def without(*facets: int) -> Mesh:
    """A cube without these of its facets: 2 on top, 4 in front, 6 at a side."""
    return [triangle for n, triangle in enumerate(models.cube(20)) if n not in facets]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param(models.open_cube(), models.open_cube(), "fit to nothing", id="still open"),
        pytest.param(models.open_cube(), models.box(20, 20, 20.1), "larger or smaller", id="larger"),
        pytest.param(models.open_cube(), dented(models.cube(20)), "lose a part of its surface", id="another shape in the same box"),
        pytest.param(
            broken.without_top(models.cube(20), 20), dented(models.cube(20)), "volume would differ", id="the hole closed by a dent"
        ),
        pytest.param(HOLLOW[:-1], models.cube(20), "volume would differ by 12%", id="the hollow filled"),
        pytest.param(
            models.separate_cubes(3)[:-1], models.separate_cubes(3)[:12] + models.separate_cubes(3)[24:], "lose", id="a body lost"
        ),
        pytest.param(fin(), fin() + models.inverted(fin()[12:]), "lose a part", id="a fin with a reversed twin: printed it is not there"),
        pytest.param(without(2, 4, 6), models.cube(20), "behind holes", id="half of a side missing on every axis"),
        pytest.param(models.cube() * 2, models.cube() + models.inverted_cube(), "hold nothing", id="everything cancelled"),
    ],
)
def test_a_repair_that_makes_another_part_is_not_taken(before: Mesh, after: Mesh, why: str) -> None:
    differs = Original(topology.merged(corners(before))).compared(topology.merged(corners(after)))
    assert isinstance(differs, Changed) and why in differs.why


@pytest.mark.parametrize(
    ("before", "after", "mm3"),
    [
        pytest.param(models.open_cube(), models.cube(20), 8000, id="a hole closed"),
        pytest.param(without(2, 4), models.cube(20), 8000, id="half of a side missing on two axes: the third tells"),
        pytest.param(broken.turned(BALL, 2), BALL, models.volume_mm3(BALL), id="facets turned"),
        pytest.param(models.overlapping_cubes()[:-1], models.overlapping_cubes(), 15_000, id="overlapping bodies"),
    ],
)
def test_the_volume_is_measured_before_and_after_without_the_facets_that_were_mended(before: Mesh, after: Mesh, mm3: float) -> None:
    volumes = Original(topology.merged(corners(before))).compared(topology.merged(corners(after)))
    assert isinstance(volumes, Volumes)
    assert volumes == pytest.approx((mm3, mm3), rel=0.01)


def test_a_mesh_too_tangled_to_be_measured_is_not_taken() -> None:
    """5,000 solids through each other: measuring them would take too long, so nothing can be said."""
    ends = np.random.default_rng(1).random((5000, 4, 3)).astype(np.float32) * 100
    tangle = topology.merged(ends[:, [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]].reshape(-1, 3, 3))
    differs = Original(tangle).compared(tangle)
    assert isinstance(differs, Changed) and "tangled" in differs.why


# --- whatever is broken ------------------------------------------------------------------------------------------------
SOUND = {
    "demo part": (models.demo_part(), models.volume_mm3(models.demo_part())),
    "T": (models.t_shape(), 9400.0),
    "hollow": (HOLLOW, 7000.0),
    "overlapping": (models.overlapping_cubes(), 15_000.0),
    "touching": (models.touching_cubes(), 16_000.0),
    "apart": (models.separate_cubes(3, mm=10), 3000.0),
    "ball": (models.rippled_sphere(600), models.volume_mm3(models.rippled_sphere(600))),
}
FAULTS: list[Callable[[Mesh, int], Mesh]] = [
    lambda mesh, n: mesh[: n % len(mesh)] + mesh[n % len(mesh) + 1 :],
    lambda mesh, n: broken.pierced(mesh, 20 + n % 40),
    lambda mesh, n: broken.turned(mesh, 3 + n % 9),
    lambda mesh, n: mesh + mesh[:: 2 + n % 9],
    lambda mesh, n: mesh + models.inverted(mesh[:: 2 + n % 9]),
    lambda mesh, _: broken.shaken(mesh, mm=2e-6),
]
fault = st.tuples(st.sampled_from(FAULTS), st.integers(0, 1000))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SOUND)), st.lists(fault, min_size=1, max_size=3))
def test_whatever_is_broken_and_repaired_is_the_part_it_was(name: str, faults: list[tuple[Callable[[Mesh, int], Mesh], int]]) -> None:
    sound, mm3 = SOUND[name]
    mesh = sound
    for break_it, n in faults:
        mesh = break_it(mesh, n)
    judgement = judged(mesh)
    if judgement.verdict in ("print", "repaired"):
        assert judgement.volume_mm3 == pytest.approx(mm3, rel=0.015)
        assert judgement.box_mm == pytest.approx(models.size_mm(sound), abs=0.02)
