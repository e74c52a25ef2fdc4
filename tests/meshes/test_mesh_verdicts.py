"""What is said about a mesh that could be read: print, repaired, hold or reject, with a reason a customer understands."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import topology
from agent.meshes.checks import Judgement, judge
from agent.sandbox import models
from agent.sandbox.models import Mesh

SPHERE = models.rippled_sphere(4000)
BOWL = [triangle for triangle in SPHERE if sum(point[2] for point in triangle) < 90]
HOLLOW = models.cube(20) + models.moved(models.inverted_cube(10), 5, 5, 5)


def judged(mesh: Mesh, shells_most: int = 64) -> Judgement:
    return judge(np.array(mesh, np.float32), shells_most)


def codes(judgement: Judgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


@pytest.mark.parametrize(
    ("mesh", "volume", "shells"),
    [
        pytest.param(models.cube(20), 8000, 1, id="cube"),
        pytest.param(models.t_shape(), 9400, 1, id="T"),
        pytest.param(models.demo_part(), 3833, 1, id="demo part"),
        pytest.param(models.touching_cubes(), 16_000, 1, id="four facets at an edge"),
        pytest.param(models.overlapping_cubes(), 15_000, 2, id="overlapping bodies: what both hold counts once"),
        pytest.param(models.cube(20) + models.moved(models.cube(10), 5, 5, 5), 8000, 2, id="a body within another"),
        pytest.param(models.bar(), 40_000, 1, id="longer than most beds: the printer's matter, not the mesh's"),
        pytest.param(models.moved(models.cube(20), 400, -300, -50), 8000, 1, id="far from the bed"),
        pytest.param(HOLLOW, 7000, 2, id="a hollow"),
    ],
)
def test_sound_models_are_printed_as_they_are(mesh: Mesh, volume: float, shells: int) -> None:
    judgement = judged(mesh)
    assert (judgement.verdict, codes(judgement)) == ("print", [])
    assert judgement.triangles == len(mesh)
    assert judgement.volume_mm3 == pytest.approx(volume, rel=3e-3)
    assert judgement.shells == shells
    assert judgement.box_mm == pytest.approx(models.size_mm(mesh), abs=1e-4)
    assert judgement.corners is not None and len(judgement.corners) == len(mesh)


def test_the_canonical_mesh_stands_on_the_bed_in_the_middle() -> None:
    canonical = judged(models.moved(models.demo_part(), 123.4, -56.7, 8.9)).corners
    assert canonical is not None
    low, high = canonical.min(axis=(0, 1)), canonical.max(axis=(0, 1))
    assert low[2] == 0
    assert low[:2] + high[:2] == pytest.approx([0, 0], abs=1e-4)
    again = judge(canonical, 64).corners
    assert again is not None and np.array_equal(again, canonical)


@pytest.mark.parametrize(
    ("mesh", "code", "volume"),
    [
        pytest.param(models.inverted_cube(), "INSIDE_OUT", 8000, id="inside out"),
        pytest.param(models.inverted(HOLLOW), "INSIDE_OUT", 7000, id="a hollow part, all inside out"),
        pytest.param(
            models.cube() + models.moved(models.inverted_cube(), 30, 0, 0), "INSIDE_OUT", 16_000, id="one of two bodies inside out"
        ),
        pytest.param(models.open_cube(), "HOLES", 8000, id="a facet missing"),
        pytest.param([t for n, t in enumerate(SPHERE) if n % 90], "HOLES", models.volume_mm3(SPHERE), id="pin holes"),
        pytest.param(
            [(a, c, b) if n % 3 == 0 else (a, b, c) for n, (a, b, c) in enumerate(SPHERE)],
            "WINDING",
            models.volume_mm3(SPHERE),
            id="a third of the facets turned",
        ),
        pytest.param(models.cube() * 2, "COPIES", 8000, id="every facet twice"),
        pytest.param(SPHERE + models.inverted(SPHERE[:400]), "COPIES", models.volume_mm3(SPHERE), id="facets with a reversed twin"),
        pytest.param([*models.cube(), ((0, 0, 0), (0, 0, 0), (9, 9, 9))], "DEGENERATE", 8000, id="a facet that is a line"),
    ],
)
def test_small_faults_are_repaired_and_told(mesh: Mesh, code: str, volume: float) -> None:
    judgement = judged(mesh)
    assert (judgement.verdict, codes(judgement)) == ("repaired", [code])
    assert judgement.volume_mm3 == pytest.approx(volume, rel=2e-3)
    closed_to_others(judgement)


def closed_to_others(judgement: Judgement) -> None:
    """trimesh agrees that what we hand on is closed, right way round, and has the volume we say."""
    assert judgement.corners is not None
    points, faces = topology.merged(judgement.corners)
    read = trimesh.Trimesh(points, faces, process=False)
    assert read.is_watertight and read.is_winding_consistent
    assert read.volume == pytest.approx(judgement.volume_mm3, rel=1e-4)


def test_cracks_thinner_than_any_printer_sees_are_welded() -> None:
    jitter = np.random.default_rng(3).normal(0, 1e-5, (len(SPHERE), 3, 3))
    judgement = judge((np.array(SPHERE) + jitter).astype(np.float32), 64)
    assert (judgement.verdict, codes(judgement)) == ("repaired", ["CRACKS"])
    closed_to_others(judgement)


def test_the_same_file_is_always_repaired_to_the_same_bytes() -> None:
    mesh = np.array(SPHERE[1:], np.float32) + np.random.default_rng(3).normal(0, 1e-5, (len(SPHERE) - 1, 3, 3)).astype(np.float32)
    first, second = judge(mesh, 64).corners, judge(mesh, 64).corners
    assert first is not None and second is not None and first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("mesh", "code"),
    [
        pytest.param(models.inch_cube(), "UNITS", id="one inch, drawn in inches"),
        pytest.param(models.scaled(models.demo_part(), 0.001), "UNITS", id="drawn in metres"),
        pytest.param(models.open_cube(missing=2), "NOT_CLOSED", id="a side missing: it may be meant as a box"),
        pytest.param(models.box(40, 0.1, 20), "TOO_THIN", id="thinner than a layer"),
    ],
)
def test_what_only_a_person_can_decide_is_held_unchanged(mesh: Mesh, code: str) -> None:
    judgement = judged(mesh)
    assert (judgement.verdict, codes(judgement)) == ("hold", [code])
    assert judgement.corners is not None and len(judgement.corners) == len(mesh)
    assert judgement.box_mm == pytest.approx(models.size_mm(mesh), rel=1e-4)


def test_a_cracked_model_with_a_large_hole_is_held_for_its_hole_not_for_its_cracks() -> None:
    mesh = np.array(BOWL, np.float32) + np.random.default_rng(3).normal(0, 1e-5, (len(BOWL), 3, 3)).astype(np.float32)
    judgement = judge(mesh, 64)
    assert (judgement.verdict, codes(judgement), judgement.shells) == ("hold", ["CRACKS", "NOT_CLOSED"], 1)


def test_what_an_open_model_encloses_is_not_known_so_nothing_follows_from_it() -> None:
    """One bowl is inside out, so that the signed volumes cancel: it is not flat for that, nor are its walls thin."""
    judgement = judged(BOWL + models.inverted(models.moved(BOWL, 80, 0, 0)))
    assert (judgement.verdict, codes(judgement)) == ("hold", ["NOT_CLOSED"])


def test_units_are_asked_with_both_answers_spelled_out() -> None:
    text = judged(models.inch_cube()).findings[0].text
    assert "1 x 1 x 1 mm" in text and "25.4 x 25.4 x 25.4 mm" in text


@pytest.mark.parametrize(
    ("mesh", "code"),
    [
        pytest.param(models.flat_sheet(), "NO_VOLUME", id="sheet"),
        pytest.param(models.flat_box(), "NO_VOLUME", id="box of no height"),
        pytest.param(models.cube() + models.inverted_cube(), "NO_VOLUME", id="encloses nothing"),
        pytest.param([((1, 1, 1), (1, 1, 1), (2, 2, 2))], "DEGENERATE", id="a line"),
        pytest.param([((0, 0, 0), (1, 1, 1), (n, n, n)) for n in range(2, 9)], "DEGENERATE", id="only lines"),
        pytest.param(models.box(100, 100, 0.01), "TOO_THIN", id="foil"),
        pytest.param(models.cube(3000), "TOO_BIG", id="three metres"),
        pytest.param(models.separate_cubes(65), "TOO_MANY_SHELLS", id="65 pieces"),
        pytest.param(SPHERE[::2], "NOT_REPAIRABLE", id="every other facet missing"),
        pytest.param(models.flat_sheet() * 40, "NONMANIFOLD", id="forty sheets on each other"),
    ],
)
def test_what_no_printer_can_make_is_rejected(mesh: Mesh, code: str) -> None:
    judgement = judged(mesh)
    assert judgement.verdict == "reject"
    assert code in codes(judgement)
    assert judgement.corners is None


def test_advice_never_rejects() -> None:
    judgement = judged(models.thin_wall(0.4))
    assert (judgement.verdict, codes(judgement)) == ("print", ["THIN"])


few = st.integers(0, 3).map(lambda n: n * 20.0)
any_point = st.tuples(few, few, few) | st.tuples(*[st.floats(-1e5, 1e5, width=32)] * 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(any_point, any_point, any_point), min_size=1, max_size=14), st.booleans())
def test_any_triangles_get_a_verdict_and_what_is_printed_is_closed(triangles: Mesh, with_cube: bool) -> None:
    judgement = judged(triangles + (models.cube(20) if with_cube else []))
    assert judgement.findings or judgement.verdict == "print"
    if judgement.verdict in ("print", "repaired"):
        assert judgement.corners is not None
        mesh = topology.without_degenerate(topology.merged(judgement.corners))
        assert topology.edges(mesh.faces).balanced
        assert judgement.volume_mm3 > 0
