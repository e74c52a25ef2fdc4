"""The models made for demo, tests and benchmarks are what their names say. Another reader (trimesh) is the judge."""

import io
from collections.abc import Callable

import pytest
import trimesh

from agent.sandbox import models
from agent.sandbox.models import Mesh

SOLIDS = {
    "cube": (models.cube(20), (20, 20, 20), 8000),
    "t_shape": (models.t_shape(), (40, 40, 34), 3000 + 6400),
    "tower": (models.tower(), (10, 10, 300), 30_000),
    "bar": (models.bar(), (400, 10, 10), 40_000),
    "thin_wall": (models.thin_wall(0.4), (40, 0.4, 20), 320),
    "inch_cube": (models.inch_cube(), (1, 1, 1), 1),
    "demo_part": (models.demo_part(), (30, 46, 8), 3833),
}


def as_others_read_it(content: bytes) -> trimesh.Trimesh:
    return trimesh.load_mesh(io.BytesIO(content), file_type="stl")


@pytest.mark.parametrize("write", [models.binary_stl, models.ascii_stl])
@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_is_closed_and_has_its_size_and_volume(name: str, write: Callable[[Mesh], bytes]) -> None:
    mesh, size, volume = SOLIDS[name]
    read = as_others_read_it(write(mesh))
    assert read.is_watertight and read.is_winding_consistent
    assert tuple(read.extents) == pytest.approx(size, abs=1e-4)
    assert read.volume == pytest.approx(volume, rel=1e-3)
    assert models.volume_mm3(mesh) == pytest.approx(volume, rel=1e-3)


@pytest.mark.parametrize(
    ("mesh", "closed", "volume"),
    [
        (models.open_cube(), False, None),
        (models.inverted_cube(), True, -8000),
        (models.overlapping_cubes(), True, 16_000),
        (models.rippled_sphere(5000), True, None),
    ],
)
def test_what_is_not_right_is_wrong_in_the_way_it_says(mesh: Mesh, closed: bool, volume: float | None) -> None:
    read = as_others_read_it(models.binary_stl(mesh))
    assert read.is_watertight == closed
    if volume is not None:
        assert models.volume_mm3(mesh) == pytest.approx(volume)


def test_a_big_model_has_at_least_the_triangles_asked_for_and_not_many_more() -> None:
    assert 10_000 <= len(models.rippled_sphere(10_000)) < 10_500


def test_the_same_model_is_always_the_same_file() -> None:
    assert models.binary_stl(models.demo_part()) == models.binary_stl(models.demo_part())
