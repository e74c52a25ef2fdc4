"""Models for the benchmark of verdicts: large ones, and files made to be dear. Made by rule, with numpy: they have millions of facets."""

import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.meshes.stl import write_canonical
from agent.sandbox import models

Corners = npt.NDArray[np.float32]
_TETRAHEDRON = np.array(
    [
        [[0, 0, 0], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ]
)
_MOST_FACETS = 4_990_000
"""As many as are taken, nearly."""


# --- sound -------------------------------------------------------------------------------------------------------
def rippled_sphere(facets: int) -> Corners:
    """The sphere of `agent.sandbox.models`, with that many triangles and a few more, a centimetre above the bed."""
    rings = 3
    while 4 * rings * (rings - 1) < facets:
        rings += 1
    tilt = np.pi * np.arange(1, rings)[:, None] / rings
    turn = np.pi * np.arange(2 * rings) / rings
    r = 30 * (1 + 0.04 * np.sin(9 * turn) * np.sin(tilt) ** 2 * np.sin(11 * tilt))
    rows = np.stack((r * np.sin(tilt) * np.cos(turn), r * np.sin(tilt) * np.sin(turn), 40 + r * np.cos(tilt)), axis=-1).astype(np.float32)
    after = np.roll(rows, -1, axis=1)
    upper, upper_after, lower, lower_after = rows[:-1], after[:-1], rows[1:], after[1:]
    belt = np.stack((upper, lower, lower_after, upper, lower_after, upper_after), axis=2).reshape(-1, 3, 3)
    top, bottom = np.full_like(rows[0], (0, 0, 70)), np.full_like(rows[0], (0, 0, 10))
    return np.concatenate((np.stack((top, rows[0], after[0]), axis=1), belt, np.stack((bottom, after[-1], rows[-1]), axis=1)))


def subdivided_part(facets: int) -> Corners:
    """The demo's hook, its triangles cut into four at the middles of their sides until there are enough: flat faces, long edges and
    rows of equal heights, as real parts have them."""
    corners = np.array(models.demo_part(), np.float32) + np.float32(3)
    while len(corners) < facets:
        a, b, c = corners.transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        corners = np.stack((a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca), axis=1).reshape(-1, 3, 3)
    return corners


# --- dear to look at -----------------------------------------------------------------------------------------------
def _fan() -> Corners:
    """20,000 triangles at one edge: pairs of neighbours would be 2 × 10⁸."""
    turn = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    corners = np.zeros((len(turn), 3, 3), np.float32)
    corners[:, 1, 2] = 20
    corners[:, 2] = np.stack((10 * np.cos(turn), 10 * np.sin(turn), np.full_like(turn, 10)), axis=1)
    return corners


def _large_hole() -> Corners:
    """A funnel whose rim has 20,000 edges."""
    turn = np.linspace(0, 2 * np.pi, 20_001)
    turn[-1] = 0
    rim = np.stack((50 * np.cos(turn), 50 * np.sin(turn), 5 * np.sin(37 * turn)), axis=1)
    return np.stack((np.full_like(rim[1:], (0, 0, -30)), rim[1:], rim[:-1]), axis=1).astype(np.float32)


def _slivers() -> Corners:
    """2,000 closed slivers through each other."""
    random = np.random.default_rng(4)
    turn = random.random(2000) * np.pi
    along = 50 * np.stack((np.cos(turn), np.sin(turn), np.zeros_like(turn)), axis=1)
    beside = along[:, [1, 0, 2]] * (-0.01, 0.01, 0)
    middle, up = random.normal(0, 1, (2000, 3)), np.array((0, 0, 0.3))
    a, b, c, d = middle - along, middle + along, middle + beside + up, middle - beside + up
    return np.stack((a, b, c, b, a, d, a, c, d, b, d, c), axis=1).reshape(-1, 3, 3).astype(np.float32)


def _terrain() -> Corners:
    """An open sheet of as many triangles as are taken."""
    side = int((_MOST_FACETS / 2) ** 0.5)
    x, y = np.meshgrid(*[np.linspace(0, 200, side + 1)] * 2)
    at = np.stack((x, y, 10 + 3 * np.sin(x / 9) * np.cos(y / 7)), axis=-1).astype(np.float32)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    return np.stack((a, b, c, a, c, d), axis=2).reshape(-1, 3, 3)


def _damaged(part: float, how: str) -> Corners:
    """A sphere of which a part is missing or turned, or with cracks everywhere, as large as is repaired."""
    random = np.random.default_rng(5)
    corners = rippled_sphere(990_000 if how == "cracks" else 1_990_000)
    if how == "cracks":
        return corners + random.normal(0, 1e-5, corners.shape).astype(np.float32)
    hit = random.random(len(corners)) < part
    if how == "missing":
        return corners[~hit]
    corners[hit] = corners[hit, ::-1]
    return corners


_MESHES: dict[str, Callable[[], Corners]] = {
    "10,000 bodies": lambda: np.concatenate(
        [_TETRAHEDRON + np.array((2 * (n % 100), 2 * (n // 100), 0), np.float32) for n in range(10_000)]
    ),
    "a fan of 20,000 at one edge": _fan,
    "one triangle 100,000 times": lambda: np.repeat(np.array([[[0, 0, 0], [0, 20, 0], [9, 0, 20]]], np.float32), 100_000, axis=0),
    "a hole of 20,000 edges": _large_hole,
    "2,000 slivers through each other": _slivers,
    "200,000 random on a grid of 40": lambda: np.random.default_rng(6).integers(0, 40, (200_000, 3, 3)).astype(np.float32),
    "5 M random": lambda: np.random.default_rng(7).random((_MOST_FACETS, 3, 3), np.float32) * 100,
    "5 M, an open sheet": _terrain,
    "1 M with cracks everywhere": lambda: _damaged(1, "cracks"),
    "2 M, a tenth missing": lambda: _damaged(0.1, "missing"),
    "2 M, one in 1,000 missing": lambda: _damaged(1e-3, "missing"),
    "2 M, a third turned": lambda: _damaged(0.3, "turned"),
}


# --- dear to read --------------------------------------------------------------------------------------------------
def _ascii_at_its_limit(path: Path) -> None:
    solid = models.ascii_stl(models.rippled_sphere(20_000)).partition(b"\n")[2].rpartition(b"endsolid")[0]
    with path.open("wb") as file:
        file.write(b"solid x\n")
        for _ in range((2**27 - 100) // len(solid)):
            file.write(solid)
        file.write(b"endsolid x\n")


def _sparse(path: Path, facets: int) -> None:
    with path.open("wb") as file:
        file.write(bytes(80) + struct.pack("<I", facets))
        file.truncate(84 + 50 * facets)


def _bomb(path: Path) -> None:
    """A 3MF file of 300 kB whose model is 300 MB of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package, package.open("3D/3dmodel.model", "w") as part:
        for _ in range(300):
            part.write(bytes(2**20))


_FILES: dict[str, Callable[[Path], object]] = {
    "text at its limit of 128 MB": _ascii_at_its_limit,
    "a million empty solids": lambda path: path.write_bytes(b"solid x\nendsolid x\n" * 1_000_000),
    "a line of 20 MB": lambda path: path.write_bytes(b"solid x\nfacet normal 0 0 0 outer loop vertex " + b"1" * 20_000_000),
    "a file of zeros with 5 M triangles": lambda path: _sparse(path, _MOST_FACETS),
    "10 M triangles": lambda path: _sparse(path, 10_000_000),
    "a ZIP bomb named .stl": _bomb,
}


def hostile() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What each file is, and what writes it."""
    for name, made in _MESHES.items():
        yield name, partial(_write_made, made)
    yield from _FILES.items()


def _write_made(made: Callable[[], Corners], path: Path) -> None:
    write_canonical(path, made())


def five_gigabytes(path: Path) -> None:
    """A sparse file whose length fits its count."""
    _sparse(path, 100_000_000)
