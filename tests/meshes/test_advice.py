"""How a model stands as it lies: what hangs in the air, what touches the bed, how far it may be tilted."""

import math
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import geometry
from agent.meshes.advice import Stance, stance
from agent.meshes.checks import judge
from agent.meshes.inspector import inspect_files
from agent.sandbox import models
from agent.sandbox.models import Mesh


def stands(mesh: Mesh) -> Stance:
    return stance(geometry.on_bed(np.array(mesh, np.float32)), models.size_mm(mesh)[2])


def turned_body(rows: list[tuple[float, float]], corners: int = 48) -> Mesh:
    """What a lathe makes of these (radius, height), lowest first; closed by a point or a disc at either end."""
    around = [2 * math.pi * n / corners for n in range(corners)]
    rings = [[(radius * math.cos(turn), radius * math.sin(turn), z) for turn in around] for radius, z in rows]
    low, high = (0.0, 0.0, rows[0][1]), (0.0, 0.0, rows[-1][1])
    mesh: Mesh = []
    for n in range(corners):
        m = (n + 1) % corners
        mesh += [(low, rings[0][m], rings[0][n]), (high, rings[-1][n], rings[-1][m])]
        for lower, upper in pairwise(rings):
            mesh += [(lower[n], lower[m], upper[m]), (lower[n], upper[m], upper[n])]
    return [facet for facet in mesh if len(set(facet)) == 3]


def funnel(slope_deg: float) -> Mesh:
    """A square foot of 10 x 10 mm that widens upwards; its sides lean out from the upright by so much."""
    out = 10 * math.tan(math.radians(slope_deg))
    low, high = [(0, 0, 0), (10, 0, 0), (10, 10, 0), (0, 10, 0)], [(-out, -out, 10), (10 + out, -out, 10), (10 + out, 10 + out, 10)]
    high.append((-out, 10 + out, 10))
    mesh: Mesh = [(low[0], low[2], low[1]), (low[0], low[3], low[2]), (high[0], high[1], high[2]), (high[0], high[2], high[3])]
    for n in range(4):
        m = (n + 1) % 4
        mesh += [(low[n], low[m], high[m]), (low[n], high[m], high[n])]
    return mesh


def bridge(span: float) -> Mesh:
    """Two posts of 10 x 10 x 20 mm with a beam of 5 mm over them, as three bodies that touch."""
    posts = models.box(10, 10, 20) + models.moved(models.box(10, 10, 20), 10 + span, 0, 0)
    return posts + models.moved(models.box(20 + span, 10, 5), 0, 0, 20)


CONE = turned_body([(0, 0), (20, 10)])
BALL = turned_body([(20 * math.sin(math.pi * n / 240), 20 - 20 * math.cos(math.pi * n / 240)) for n in range(241)])
STACKED = models.cube(20) + models.moved(models.cube(20), 0, 0, 20)


@pytest.mark.parametrize(
    ("mesh", "overhang", "ceiling", "contact", "tips"),
    [
        pytest.param(models.cube(20), 0, 0, 400, 45, id="cube"),
        pytest.param(models.moved(models.cube(20), 300, -80, 25), 0, 0, 400, 45, id="cube somewhere else"),
        pytest.param(models.t_shape(), 1500 / 5040, 1500 / 5040, 100, 10.66, id="T"),
        pytest.param(models.tower(), 0, 0, 100, 1.91, id="tower"),
        pytest.param(models.thin_wall(0.4), 0, 0, 16, 1.15, id="wall"),
        pytest.param(models.overlapping_cubes(), 400 / 4800, 400 / 4800, 400, 18.43, id="one cube in the air"),
        pytest.param(STACKED, 0, 0, 400, 26.57, id="bodies on each other: nothing hangs between them"),
        pytest.param(bridge(40), 400 / 3900, 400 / 3900, 200, 18.03, id="bridge"),
        pytest.param(models.box(10, 10, 0.06), 0, 0, 100, 89.66, id="lower than a first layer"),
    ],
)
def test_how_a_model_stands(mesh: Mesh, overhang: float, ceiling: float, contact: float, tips: float) -> None:
    found = stands(mesh)
    assert found.overhang_share == pytest.approx(overhang, abs=1e-4)
    assert found.ceiling_share == pytest.approx(ceiling, abs=1e-4)
    assert found.bed_contact_mm2 == pytest.approx(contact, rel=1e-4)
    assert found.tips_at_deg == pytest.approx(tips, abs=0.02)


def test_what_stands_on_a_tip_hardly_touches_the_bed() -> None:
    cone, ball = stands(CONE), stands(BALL)
    assert cone.bed_contact_mm2 < 0.2 and cone.tips_at_deg < 2
    assert cone.overhang_share > 0.5 and cone.ceiling_share == 0
    assert ball.bed_contact_mm2 == pytest.approx(math.pi * (20**2 - 19.9**2), rel=0.02)
    assert ball.tips_at_deg == pytest.approx(math.degrees(math.atan2(math.sqrt(20**2 - 19.9**2), 20)), abs=0.2)
    assert ball.overhang_share == pytest.approx((1 - math.sin(math.radians(46))) / 2, abs=0.02)  # the cap of a sphere


@pytest.mark.parametrize(("slope", "counts"), [(44, False), (45, False), (45.5, False), (47, True), (70, True)])
def test_only_what_is_steeper_than_45_degrees_hangs_over(slope: float, counts: bool) -> None:
    found = stands(funnel(slope))
    assert (found.overhang_share > 0.2) == counts
    assert found.ceiling_share == 0


def test_what_leans_beyond_its_foot_falls_over() -> None:
    found = stands(
        [((a[0] + a[2], a[1], a[2]), (b[0] + b[2], b[1], b[2]), (c[0] + c[2], c[1], c[2])) for a, b, c in models.box(10, 10, 60)]
    )
    assert found.tips_at_deg == 0
    assert found.bed_contact_mm2 == pytest.approx(100, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(turn=st.floats(0, 2 * math.pi), shuffle=st.randoms(), first=st.integers(0, 2))
def test_neither_the_order_of_facets_nor_a_turn_about_z_matters(turn: float, shuffle: object, first: int) -> None:
    cos, sin = math.cos(turn), math.sin(turn)
    mesh = [(*facet[first:], *facet[:first]) for facet in models.t_shape() + models.moved(models.cube(8), 60, 10, 0)]
    shuffle.shuffle(mesh)  # type: ignore[attr-defined]
    expected, found = (
        stands(models.t_shape() + models.moved(models.cube(8), 60, 10, 0)),
        stands(models.mapped(mesh, lambda p: (p[0] * cos - p[1] * sin, p[0] * sin + p[1] * cos, p[2]))),
    )
    assert found[:3] == pytest.approx(expected[:3], rel=1e-3, abs=1e-4)
    assert found.tips_at_deg == pytest.approx(expected.tips_at_deg, abs=0.02)


def test_another_library_finds_the_same_over_many_blocks() -> None:
    mesh = models.rippled_sphere(60_000)
    corners = geometry.on_bed(np.array(mesh, np.float32))
    other = trimesh.Trimesh(**trimesh.triangles.to_kwargs(corners.astype(np.float64)))
    hangs = (other.face_normals[:, 2] < -math.sin(math.radians(46))) & (other.triangles[:, :, 2].max(axis=1) > 0.3)
    pieces = trimesh.intersections.mesh_plane(other, [0, 0, 1], [0, 0, 0.1])[:, :, :2]
    (ax, ay), (bx, by) = pieces.transpose(1, 2, 0)
    ways = np.exp(1j * np.linspace(0, 2 * math.pi, 720))
    x, y, height = other.center_mass
    room = ((ax - x + 1j * (ay - y))[:, None] * ways.conj()).real.max(axis=0).min()
    found = stands(mesh)
    assert found.overhang_share == pytest.approx(other.area_faces[hangs].sum() / other.area, rel=1e-3)
    assert found.bed_contact_mm2 == pytest.approx(np.abs(ax * by - ay * bx).sum() / 2, rel=1e-3)
    assert found.tips_at_deg == pytest.approx(math.degrees(math.atan2(room, height)), rel=0.01)


def peak_bytes(cubes: int) -> int:
    """Most facets cut the first layer, which is the dearest."""
    corners = np.tile(geometry.on_bed(np.array(models.cube(20), np.float32)), (cubes, 1, 1))
    tracemalloc.start()
    found = stance(corners, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.bed_contact_mm2 == pytest.approx(cubes * 400, rel=1e-4)
    return peak


def test_a_mesh_of_any_size_takes_the_same_memory() -> None:
    assert peak_bytes(12_000) < 1.1 * peak_bytes(3000)


@pytest.mark.parametrize(("wall", "told"), [(0.4, ["THIN"]), (1.2, [])])
def test_walls_that_are_thin_all_over_are_told_about_and_printed(wall: float, told: list[str]) -> None:
    """In a box of 30 mm a side, so that no side of it gives them away."""
    around = [math.tau * n / 90 for n in range(90)]
    outside, inside = ([(r * math.cos(turn), r * math.sin(turn)) for turn in around] for r in (15, 15 - wall))
    judgement = judge(np.array(models.extruded(outside, 30, inside[::-1]), np.float32), 64)
    assert (judgement.verdict, [finding.code for finding in judgement.findings]) == ("print", told)


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        ((5, 2.5, 1.375), "in inches (127 x 63.5 x 34.9 mm)? Or"),
        ((0.3, 0.02, 0.02), "in inches (7.62 x 0.508 x 0.508 mm), or in metres (300 x 20 x 20 mm)? Or"),
        ((1.2, 0.1, 0.1), "or in metres (1200 x 100 x 100 mm)? Or"),
        ((8, 2, 0.2156), "in inches (203 x 50.8 x 5.48 mm)? Or"),  # a name plate that was meant so: asked all the same
    ],
)
def test_what_may_be_in_another_unit_is_asked_and_never_scaled(size: tuple[float, float, float], asked: str) -> None:
    judgement = judge(np.array(models.box(*size), np.float32), 64)
    (finding,) = judgement.findings
    assert (finding.level, finding.code, asked in finding.text) == ("hold", "UNITS", True), finding.text
    assert judgement.box_mm == pytest.approx(size)


async def test_the_report_says_how_a_printable_model_stands(tmp_path: Path) -> None:
    good = models.write_binary_stl(tmp_path / "t.stl", models.t_shape())
    held, refused = tmp_path / "inch.stl", tmp_path / "flat.stl"
    models.write_binary_stl(held, models.inch_cube())
    models.write_binary_stl(refused, models.flat_box())
    found = {path: report async for path, report in inspect_files([good, held, refused])}
    told = found[good].stance
    assert told is not None and told.bed_contact_mm2 == pytest.approx(100) and told.overhang_share == pytest.approx(0.2976, abs=1e-3)
    assert found[held].stance is None and found[refused].stance is None
