"""Pictures of models of our own, looked at with Pillow: where the model is, which way round, what hides what, and what it costs."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from agent.domain.mesh import Verdict
from agent.ledger.files import DiskStore
from agent.meshes.inspector import ChildInspector
from agent.meshes.limits import Limits
from agent.meshes.picture import render
from agent.meshes.views import VIEWS, View
from agent.sandbox import models

SIZE = 200
Picture = npt.NDArray[np.int16]


def corners(mesh: Sequence[models.Triangle]) -> npt.NDArray[np.float32]:
    return np.array(mesh, np.float32)


def decoded(content: bytes) -> Picture:
    """(height, width, 4), as another program reads it."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == "PNG" and image.mode == "P"
        return np.asarray(image.convert("RGBA")).astype(np.int16)


def picture(mesh: Sequence[models.Triangle], view: View = "top", size: int = SIZE) -> Picture:
    shown = decoded(render(corners(mesh), view, size))
    assert shown.shape == (size, size, 4)
    return shown


def model(shown: Picture) -> npt.NDArray[np.bool_]:
    """Where the model hides the bed: its lines are never that opaque."""
    return shown[..., 3] > 200


def red(shown: Picture) -> npt.NDArray[np.bool_]:
    """Where a back is seen."""
    return model(shown) & (shown[..., 0] > shown[..., 2] + 40)


def brightness(shown: Picture, row: float, column: float) -> float:
    """Of a spot, given as shares of the picture's side."""
    at = (int(row * len(shown)), int(column * len(shown)))
    spot = shown[at[0] - 2 : at[0] + 3, at[1] - 2 : at[1] + 3]
    assert model(spot).all()
    return float(spot[..., :3].mean())


def l_shape(height: float = 5) -> models.Mesh:
    """A long leg along x at the bottom, a short one along y at the left, the corner at the origin."""
    return models.extruded([(0, 0), (40, 0), (40, 10), (10, 10), (10, 25), (0, 25)], height)


def drawn(mm: float, wide: float) -> float:
    """How many pixels a length is in a picture whose larger side shows `wide` mm."""
    return SIZE * (1 - 2 * 0.08) * mm / wide


# --- where it is -------------------------------------------------------------------------------------------------------
def test_the_model_covers_what_it_covers_in_the_world() -> None:
    top = model(picture(models.moved(models.box(40, 20, 10), -20, -10, 0)))
    assert top.sum() == pytest.approx(drawn(40, 40) * drawn(20, 40), rel=0.02)
    assert [int(side) for side in np.nonzero(top.any(axis=0))[0][[0, -1]]] == pytest.approx([16, 183], abs=1), "in the middle"

    # seen along a diagonal, a cube is a regular hexagon, as high as the sum of three edges' shares of 6 ** -0.5
    hexagon = model(picture(models.cube(20), "isometric"))
    edge = 20 * (2 / 3) ** 0.5
    assert hexagon.sum() == pytest.approx(1.5 * 3**0.5 * drawn(edge, 2 * edge) ** 2, rel=0.02)


def test_a_hole_is_a_hole() -> None:
    outline = [(-20.0, -20.0), (20.0, -20.0), (20.0, 20.0), (-20.0, 20.0)]
    plate = models.extruded(outline, 3, [(-10.0, -10.0), (-10.0, 10.0), (10.0, 10.0), (10.0, -10.0)])
    top = model(picture(plate))
    assert top.sum() == pytest.approx(0.75 * drawn(40, 40) ** 2, rel=0.02)
    assert not top[90:110, 90:110].any()


def test_facets_that_meet_leave_no_gap() -> None:
    for view in VIEWS:
        shown = picture(models.rippled_sphere(60_000), view)
        away = np.hypot(*np.ogrid[-99.5:100, -99.5:100])
        assert (shown[away < 75, 3] == 255).all(), "every sample of the inner part is covered"
        assert (shown[away > 95, 3] < 255).all()


# --- which way round ---------------------------------------------------------------------------------------------------
def test_from_above_x_runs_right_and_y_up() -> None:
    top = model(picture(l_shape()))
    low, high = top[len(top) // 2 :], top[: len(top) // 2]
    assert low.sum() > high.sum(), "the long leg is below"
    left, right = top[:, : SIZE // 2], top[:, SIZE // 2 :]
    assert left.sum() > right.sum(), "the short leg is on the left"
    assert not top[: SIZE // 2, SIZE // 2 :].any()


def test_from_the_side_it_stands_upright_and_is_seen_from_the_front() -> None:
    # a pyramid of three boxes: low in front (-y), high behind (+y): nothing is hidden
    steps = models.box(30, 10, 5) + models.moved(models.box(30, 10, 25), 0, 10, 0)
    front_hidden = models.box(30, 10, 25) + models.moved(models.box(30, 10, 5), 0, 10, 0)
    shown, hidden = picture(steps, "isometric"), picture(front_hidden, "isometric")
    bright = [int((model(seen) & (seen[..., :3].mean(axis=2) > 160)).sum()) for seen in (shown, hidden)]
    assert bright[0] > 1.3 * bright[1], "tops are the brightest, and the low one behind the high one is partly hidden"


def test_the_three_sides_of_a_box_have_three_tones_the_top_the_brightest() -> None:
    shown = picture(models.cube(20), "isometric")
    top, left, right = brightness(shown, 0.3, 0.5), brightness(shown, 0.6, 0.3), brightness(shown, 0.6, 0.7)
    assert top > left + 20 > left > right + 20


# --- what hides what ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("turned_list", [False, True])
def test_the_nearer_facet_is_seen_whatever_the_order(turned_list: bool) -> None:
    lid = models.moved(models.cube(10), 0, 0, 20)
    inside_out = models.inverted(models.moved(models.cube(10), 0, 0, 0))
    mesh = lid + inside_out
    assert not red(picture(mesh[::-1] if turned_list else mesh)).any(), "the red one lies below"
    swapped = models.moved(models.cube(10), 0, 0, 0) + models.moved(models.inverted(models.cube(10)), 0, 0, 20)
    shown = picture(swapped[::-1] if turned_list else swapped)
    assert red(shown).sum() == pytest.approx(model(shown).sum(), rel=0.05)


def test_a_closed_model_shows_no_back_an_open_or_inverted_one_does() -> None:
    for view in VIEWS:
        assert not red(picture(models.demo_part(), view)).any()
        assert red(picture(models.inverted(models.demo_part()), view)).sum() > 1000
    lidless = [facet for facet in models.cube(20) if not all(corner[2] == 20 for corner in facet)]
    assert red(picture(lidless, "isometric")).sum() > 1000, "the inside is seen"


def test_where_two_bodies_touch_their_fronts_are_seen() -> None:
    """Coincident walls face each other: the back of one must not flicker through the front of the other."""
    stack = models.cube(20) + models.moved(models.box(20, 20, 5), 0, 0, 20)
    assert not red(picture(stack, "isometric")).any()
    sheet = models.flat_sheet(20)
    for both_sides in (sheet + models.inverted(sheet), models.inverted(sheet) + sheet):
        assert not red(picture(both_sides)).any()


def test_a_model_far_deeper_than_wide_is_drawn_right() -> None:
    red_sheet = models.moved(models.inverted(models.flat_sheet(1)), 0, 0, 300)
    top = picture(models.flat_sheet(1) + red_sheet + models.moved(models.flat_sheet(0.2), 0, 0, 2000))
    assert model(top).sum() == pytest.approx(drawn(1, 1) ** 2, rel=0.03)
    assert red(top).sum() == pytest.approx(0.96 * drawn(1, 1) ** 2, rel=0.05), "the nearer of the two is seen"


# --- the bed -----------------------------------------------------------------------------------------------------------
def test_the_beds_lines_are_ten_millimetres_apart() -> None:
    shown = picture(models.moved(models.box(100, 2, 2), -50, -1, 0))
    row = shown[int(SIZE * 0.5) + 8, :, 3]
    lines = [n for n in range(1, SIZE - 1) if row[n] > 60 and row[n] >= row[n - 1] and row[n] > row[n + 1]]
    assert np.diff(lines).mean() == pytest.approx(drawn(10, 100), rel=0.05)
    assert shown[0, 0, 3] == 0, "clear far from the model"


# --- bytes and costs ---------------------------------------------------------------------------------------------------
def test_the_same_mesh_gives_the_same_bytes() -> None:
    mesh = corners(models.rippled_sphere(5_000))
    for view in VIEWS:
        assert render(mesh, view, SIZE) == render(mesh.copy(), view, SIZE)


COSTS = """
import resource, sys, time
from pathlib import Path
import numpy as np
from agent.meshes.picture import render
from agent.meshes.views import VIEWS

side = int(sys.argv[1])
x, y = np.meshgrid(np.arange(side + 1, dtype=np.float32) / 10, np.arange(side + 1, dtype=np.float32) / 10, indexing="ij")
points = np.stack((x, y, 8 + 3 * np.sin(x) + 3 * np.cos(y)), axis=-1).astype(np.float32)
a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
mesh = np.concatenate((np.stack((a, b, c), axis=2).reshape(-1, 3, 3), np.stack((a, c, d), axis=2).reshape(-1, 3, 3)))
del points, x, y, a, b, c, d
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
began = time.process_time()
sizes = [len(render(mesh, view, 480)) for view in VIEWS]
print(len(mesh), time.process_time() - began, *sizes)
"""


def test_a_million_triangles_need_little_more_memory_than_a_few(record_property: Callable[[str, object], None]) -> None:
    """The limit is on address space beyond what the process had with its mesh; a copy of the mesh in float64 would be 72 MB more."""
    done = subprocess.run([sys.executable, "-c", COSTS, "708", "160"], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr[-500:]
    triangles, seconds, *sizes = (float(number) for number in done.stdout.split())
    record_property("figures", f"pictures of {triangles:,.0f} triangles, both views: {seconds:.2f} CPU-s")
    assert triangles > 1_000_000 and all(size > 10_000 for size in sizes)
    assert seconds < 6, "about 1 on a quiet machine"


# --- through the child process -----------------------------------------------------------------------------------------
@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    opened = DiskStore(tmp_path / "files")
    opened.open()
    return opened


async def test_the_inspector_puts_a_picture_for_each_view_into_the_store(store: DiskStore, tmp_path: Path) -> None:
    async with ChildInspector(store) as inspector:
        report = await inspector.inspect(store.put(models.binary_stl(models.moved(models.cube(20), 70, 70, 70))), "cube.stl")
        found = await inspector.pictures(report.canonical_sha256)
    assert sorted(found) == sorted(VIEWS)
    for view in VIEWS:
        on_bed = render(corners(models.moved(models.cube(20), -10, -10, 0)), view, 480)
        assert (decoded(store.path(found[view]).read_bytes()) == decoded(on_bed)).all()
    assert list((tmp_path / "files" / "incoming").iterdir()) == []


async def test_a_model_that_cannot_be_drawn_keeps_its_verdict_and_has_no_picture(store: DiskStore, tmp_path: Path) -> None:
    cube = store.put(models.binary_stl(models.cube(20)))
    async with ChildInspector(store) as inspector:
        await inspector.inspect(cube, "cube.stl")
        pages = int(Path(f"/proc/{inspector.worker_pid}/statm").read_text().split()[0])
    barely = Limits(memory_bytes=pages * os.sysconf("SC_PAGESIZE") + 12 * 2**20)
    async with ChildInspector(store, limits=barely) as inspector:
        report = await inspector.inspect(cube, "cube.stl")
        assert report.verdict is Verdict.PRINT
        assert await inspector.pictures(report.canonical_sha256) == {}
        assert (await inspector.inspect(cube, "cube.stl")).verdict is Verdict.PRINT, "the worker lives on"
    assert list((tmp_path / "files" / "incoming").iterdir()) == []


async def test_a_full_disk_costs_the_pictures_only(store: DiskStore, tmp_path: Path) -> None:
    class Full(DiskStore):
        def new_temporary(self, suffix: str = "") -> Path:
            link = super().new_temporary(suffix)
            link.symlink_to("/dev/full")
            return link

    mesh = store.put(models.binary_stl(models.cube(20)))
    async with ChildInspector(Full(tmp_path / "files")) as inspector:
        assert await inspector.pictures(mesh) == {}
    assert list((tmp_path / "files" / "incoming").iterdir()) == []
