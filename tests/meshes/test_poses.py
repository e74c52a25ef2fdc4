"""A model that stands badly: on which side it would not, and what is written when it is turned onto that one."""

import math
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.mesh import MeshReport, Pose, Verdict
from agent.domain.standing import stands_badly
from agent.ledger.files import DiskStore
from agent.meshes import geometry, poses
from agent.meshes.checks import judge
from agent.meshes.inspector import ChildInspector, inspect_files
from agent.meshes.limits import Limits
from agent.meshes.stl import read_stl
from agent.sandbox import models
from agent.sandbox.models import Mesh
from tests.meshes.test_advice import BALL, CONE, turned_body

PYRAMID = models.inverted(models.mapped(turned_body([(0, 0), (30, 40)], corners=4), lambda p: (p[0], p[1], 40 - p[2])))
"""A square of 30 mm from the middle to the corners, 40 mm high, on its base."""


def lying(mesh: Mesh) -> poses.Corners:
    return geometry.on_bed(np.array(mesh, np.float32))


def anyhow(mesh: Mesh, one: float, other: float, third: float) -> Mesh:
    """Turned about z, x and z."""

    def about_z(p: models.Point, by: float) -> models.Point:
        return (p[0] * math.cos(by) - p[1] * math.sin(by), p[0] * math.sin(by) + p[1] * math.cos(by), p[2])

    def about_x(p: models.Point, by: float) -> models.Point:
        return (p[0], p[1] * math.cos(by) - p[2] * math.sin(by), p[1] * math.sin(by) + p[2] * math.cos(by))

    return models.mapped(mesh, lambda p: about_z(about_x(about_z(p, one), other), third))


ON_ITS_TIP = anyhow(PYRAMID, 0, math.pi, 0)
TALL_PLATE = models.box(100, 3, 60)


# --- what is proposed --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mesh", "how", "box", "contact"),
    [
        pytest.param(models.t_shape(), "upside down", (40, 40, 34), 1600, id="T"),
        pytest.param(ON_ITS_TIP, "upside down", (60, 60, 40), 1800, id="pyramid on its tip"),
        pytest.param(CONE, "upside down", (40, 40, 10), 48 / 2 * math.sin(math.tau / 48) * 400, id="cone on its tip"),
        pytest.param(TALL_PLATE, "on its front", (100, 60, 3), 6000, id="tall plate"),
        pytest.param(anyhow(TALL_PLATE, math.pi / 2, 0, 0), "on its left side", (60, 100, 3), 6000, id="tall plate along y"),
        pytest.param(anyhow(models.t_shape(), 0, math.pi / 2, 0), "on its front", (40, 40, 34), 1600, id="T on the plate's edge"),
        pytest.param(anyhow(models.t_shape(), 0.3, 2.2, 0), f"tilted by {math.degrees(math.pi - 2.2):.0f}°", None, 1600, id="T aslant"),
    ],
)
async def test_a_better_side_is_named_with_its_box(
    mesh: Mesh, how: str, box: tuple[float, float, float] | None, contact: float, tmp_path: Path
) -> None:
    report = await inspected(tmp_path, mesh)
    assert report.stance is not None and stands_badly(report.stance, report.bounding_box_mm)
    best = report.better_poses[0]
    assert (best.how, best.mesh_sha256) == (how, "")
    assert best.stance.bed_contact_mm2 == pytest.approx(contact, rel=0.02) and best.stance.overhang_share < 0.01
    assert box is None or best.bounding_box_mm == pytest.approx(box, abs=1e-3)
    assert not any(stands_badly(pose.stance, pose.bounding_box_mm) for pose in report.better_poses)
    assert MeshReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    "mesh",
    [
        pytest.param(models.cube(20), id="cube"),
        pytest.param(models.demo_part(), id="demo part"),
        pytest.param(PYRAMID, id="pyramid"),
        pytest.param(anyhow(models.t_shape(), 0, math.pi, 0), id="T upside down"),
        pytest.param(BALL, id="ball: it stands badly on every side"),
        pytest.param(models.inch_cube(), id="held: a person looks at it"),
    ],
)
async def test_nothing_is_proposed_where_nothing_is_better(mesh: Mesh, tmp_path: Path) -> None:
    assert (await inspected(tmp_path, mesh)).better_poses == []


def test_no_side_is_looked_for_in_what_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert poses.better_poses(lying(models.t_shape()))
    monkeypatch.setattr(poses, "_FACETS_MOST", len(models.t_shape()) - 1)
    assert poses.better_poses(lying(models.t_shape())) == []


turns = st.tuples(st.floats(0, math.tau), st.floats(0.2, math.pi - 0.001), st.floats(0, math.tau))


@settings(max_examples=40, deadline=None)
@given(turn=turns)
def test_however_a_model_comes_its_best_side_is_found(turn: tuple[float, float, float]) -> None:
    best = poses.better_poses(lying(anyhow(models.t_shape(), *turn)))[0]
    assert best.box_mm[2] == pytest.approx(34, abs=0.01)
    assert best.stance.bed_contact_mm2 == pytest.approx(1600, rel=0.001)
    assert best.stance.overhang_share == 0


# --- what is written ---------------------------------------------------------------------------------------------------
MESHES = {"T": models.t_shape(), "demo part": models.demo_part(), "blob": models.rippled_sphere(2000), "bodies": models.separate_cubes(3)}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(MESHES)), side=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda side: math.hypot(*side) > 0.1))
def test_a_turned_mesh_is_the_same_solid_in_canonical_form(name: str, side: tuple[float, float, float]) -> None:
    given_, down = judge(lying(MESHES[name]), 64), np.array(side) / math.hypot(*side)
    assert given_.corners is not None
    turn = poses.turn_down(down)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-9) and np.linalg.det(turn) == pytest.approx(1)
    assert turn @ down == pytest.approx((0, 0, -1), abs=1e-6)
    corners = poses.turned(given_.corners, turn)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    assert low[2] == 0 and (low + high)[:2] / 2 == pytest.approx((0, 0), abs=1e-4)
    again = judge(corners, 64)
    assert again.corners is not None and np.array_equal(again.corners, corners)
    assert (again.verdict, again.findings, again.shells) == ("print", [], given_.shells)
    assert again.volume_mm3 == pytest.approx(given_.volume_mm3, rel=1e-4)


async def test_what_lies_a_little_aslant_is_laid_flat(tmp_path: Path) -> None:
    report = await inspected(tmp_path, anyhow(models.box(280, 280, 20), 0, math.radians(0.45), 0))
    assert report.stance is not None and report.stance.bed_contact_mm2 < 0.05 * 280 * 280
    assert report.better_poses[0].bounding_box_mm == pytest.approx((280, 280, 20), abs=0.01)


@pytest.mark.parametrize("side", [side for side in product((-1.0, 0.0, 1.0), repeat=3) if sum(map(abs, side)) == 1])
def test_a_quarter_turn_moves_no_corner_by_a_rounding(side: tuple[float, float, float]) -> None:
    corners = poses.turned(lying(models.box(20, 30, 50)), poses.turn_down(np.array(side)))
    assert {abs(float(value)) for value in corners.ravel()} <= {0, 10, 15, 25, 20, 30, 50}


async def test_the_turned_mesh_is_in_the_store_under_its_own_sha256(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "files")
    store.open()
    async with ChildInspector(store) as inspector:
        given_ = store.put(models.binary_stl(models.t_shape()))
        assert (await inspector.inspect(given_, "t.stl")).better_poses == [], "with supports none is looked for"
        report = await inspector.inspect(given_, "t.stl", alone=True)
        pose = await inspector.turned(report.canonical_sha256, report.better_poses[0])
        assert pose is not None and pose.mesh_sha256 != report.canonical_sha256
        assert pose.model_copy(update={"mesh_sha256": ""}) == report.better_poses[0]
        again = await inspector.inspect(pose.mesh_sha256, "t.stl", alone=True)
        assert (again.verdict, again.canonical_sha256, again.bounding_box_mm) == (Verdict.PRINT, pose.mesh_sha256, pose.bounding_box_mm)
        assert (again.stance, again.better_poses) == (pose.stance, [])
        assert await inspector.turned(report.canonical_sha256, report.better_poses[0]) == pose, "the same work is the same file"


async def test_a_mesh_that_cannot_be_turned_within_its_limits_is_left_as_it_is(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "files")
    store.open()
    async with ChildInspector(store, limits=Limits(memory_bytes=1 << 20)) as inspector:
        mesh = store.put(models.binary_stl(models.t_shape()))
        (best,) = (pose for pose in [poses.better_poses(lying(models.t_shape()))[0]])
        told = Pose.model_validate({"turn": best.turn.tolist(), "bounding_box_mm": best.box_mm, "stance": best.stance._asdict()})
        assert await inspector.turned(mesh, told) is None
        assert list((tmp_path / "files").rglob("*.stl")) == []


# --- really sliced -----------------------------------------------------------------------------------------------------
SUPPORTS_WHERE_NEEDED = ("--support-material", "--support-material-auto", "--layer-height", "0.3", "--fill-density", "5%", "--skirts", "0")


async def test_prusaslicer_wants_supports_as_it_is_given_and_none_on_the_proposed_side(tmp_path: Path) -> None:
    for name, mesh in (("t", models.t_shape()), ("tip", anyhow(PYRAMID, 0, math.pi - 0.4, 0))):
        report = await inspected(tmp_path, mesh)
        corners = poses.turned(read_stl(tmp_path / "model.stl", Limits()), np.array(report.better_poses[0].turn))
        better = models.write_binary_stl(tmp_path / "better.stl", corners.tolist())
        assert "Support material" in sliced(tmp_path / "model.stl"), f"{name} as it is given"
        assert "Support material" not in sliced(better), f"{name} on its better side"


def sliced(model: Path) -> str:
    """Everything PrusaSlicer says of it, and the G-code."""
    gcode = model.with_suffix(".gcode")
    command = ["prusa-slicer", "--datadir", str(model.parent / "data"), *SUPPORTS_WHERE_NEEDED, "-g", str(model), "-o", str(gcode)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "warning" not in ended.stdout, ended.stdout
    return gcode.read_text()


async def inspected(folder: Path, mesh: Mesh) -> MeshReport:
    path = models.write_binary_stl(folder / "model.stl", mesh)
    ((_, report),) = [judged async for judged in inspect_files([path])]
    return report
