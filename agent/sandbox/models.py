"""Models of our own, made by rule: for the demo, for tests and for benchmarks. Nothing here is anybody else's work.

A mesh is a list of triangles, a triangle three points, a point x, y, z in mm; the outside is where the corners run anticlockwise.
"""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

Point = tuple[float, float, float]
Triangle = tuple[Point, Point, Point]
Mesh = list[Triangle]
Flat = tuple[float, float]
"""A point of an outline, before it is drawn up into a solid."""

_FACET = struct.Struct("<12fH")
INCH = 25.4


# --- writing -----------------------------------------------------------------------------------------------------
def binary_stl(mesh: Sequence[Triangle], header: bytes = b"intagly-agent model") -> bytes:
    """The mesh as a binary STL. Stored normals are zero, which every reader must take: they follow from the corners."""
    facets = b"".join(_FACET.pack(0.0, 0.0, 0.0, *a, *b, *c, 0) for a, b, c in mesh)
    return header.ljust(80, b"\0")[:80] + struct.pack("<I", len(mesh)) + facets


def ascii_stl(mesh: Sequence[Triangle], name: str = "model") -> bytes:
    """The mesh as an ASCII STL."""
    return "\n".join(_ascii_lines(mesh, name)).encode()


def _ascii_lines(mesh: Sequence[Triangle], name: str) -> Iterator[str]:
    yield f"solid {name}"
    for triangle in mesh:
        yield "facet normal 0 0 0\n  outer loop"
        for x, y, z in triangle:
            yield f"    vertex {x:.9g} {y:.9g} {z:.9g}"
        yield "  endloop\nendfacet"
    yield f"endsolid {name}\n"


def write_binary_stl(path: Path, mesh: Sequence[Triangle]) -> Path:
    path.write_bytes(binary_stl(mesh))
    return path


def write_ascii_stl(path: Path, mesh: Sequence[Triangle], name: str = "model") -> Path:
    path.write_bytes(ascii_stl(mesh, name))
    return path


# --- handling ----------------------------------------------------------------------------------------------------
def moved(mesh: Mesh, dx: float, dy: float, dz: float) -> Mesh:
    return mapped(mesh, lambda p: (p[0] + dx, p[1] + dy, p[2] + dz))


def scaled(mesh: Mesh, factor: float) -> Mesh:
    return mapped(mesh, lambda p: (p[0] * factor, p[1] * factor, p[2] * factor))


def inverted(mesh: Mesh) -> Mesh:
    """Inside out: every triangle the other way round."""
    return [(a, c, b) for a, b, c in mesh]


def mapped(mesh: Mesh, change: Callable[[Point], Point]) -> Mesh:
    return [(change(a), change(b), change(c)) for a, b, c in mesh]


def volume_mm3(mesh: Mesh) -> float:
    """The signed volume a closed mesh encloses, by tetrahedra about the origin."""
    return (
        sum(
            a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]) for a, b, c in mesh
        )
        / 6
    )


def size_mm(mesh: Mesh) -> Point:
    """The sides of the bounding box."""
    xs, ys, zs = zip(*(point for triangle in mesh for point in triangle), strict=True)
    return max(xs) - min(xs), max(ys) - min(ys), max(zs) - min(zs)


# --- solids that print -------------------------------------------------------------------------------------------
def box(x: float, y: float, z: float) -> Mesh:
    """A block with one corner at the origin: 12 triangles."""
    return extruded([(0, 0), (x, 0), (x, y), (0, y)], z)


def cube(mm: float = 20) -> Mesh:
    return box(mm, mm, mm)


def t_shape() -> Mesh:
    """A post of 10 x 10 x 30 mm with a plate of 40 x 40 x 4 mm on top, in one skin: printed as it stands it needs supports."""
    post, wide = _square(10, 15), _square(40, 0)
    return [
        *_cap(post, 0, up=False),
        *_wall(post, 0, 30),
        *_ring(wide, post, 30),
        *_wall(wide, 30, 34),
        *_cap(wide, 34, up=True),
    ]


def tower() -> Mesh:
    """10 x 10 x 300 mm: taller than most printers."""
    return box(10, 10, 300)


def bar() -> Mesh:
    """400 x 10 x 10 mm: longer than most beds, and too long for a turned 250 mm bed as well."""
    return box(400, 10, 10)


def thin_wall(mm: float = 0.4) -> Mesh:
    """A wall of 40 x 20 mm as thick as one line of plastic."""
    return box(40, mm, 20)


def inch_cube() -> Mesh:
    """A one-inch cube drawn in inches: 1 x 1 x 1 in a file that has no units."""
    return cube(1)


def overlapping_cubes() -> Mesh:
    """Two cubes of 20 mm pushed 10 mm into each other along each axis: each closed, together 15 000 mm³."""
    return cube(20) + moved(cube(20), 10, 10, 10)


def touching_cubes() -> Mesh:
    """Two cubes of 20 mm that share one edge: four triangles meet there, and each is used as often one way as the other."""
    return cube(20) + moved(cube(20), 20, 20, 0)


def separate_cubes(count: int, mm: float = 4) -> Mesh:
    """Cubes in a row, half a cube apart."""
    return [triangle for n in range(count) for triangle in moved(cube(mm), 1.5 * mm * n, 0, 0)]


def demo_part() -> Mesh:
    """A hook with an eye for an M4 screw, 30 x 46 x 8 mm, lying on its side: prints without supports, 3.8 cm³."""
    outline = [
        *_arc((0, 0), 13, 180, 360, 24),
        *_arc((10, 4), 3, 0, 180, 8),
        *_arc((0, 0), 7, 360, 180, 16),
        *_arc((-10, 26), 7, -64.6230, 244.6230, 24),
    ]
    hole = _arc((-10, 26), 2.2, 360, 0, 24)[:-1]
    return extruded(outline, 8, hole)


def rippled_sphere(facets: int, radius_mm: float = 30) -> Mesh:
    """A closed round thing with waves and about that many triangles (never fewer): for big files."""
    rings = 3
    while 4 * rings * (rings - 1) < facets:
        rings += 1
    rows = [_ripple(n / rings, 2 * rings, radius_mm) for n in range(1, rings)]
    top, bottom = (0.0, 0.0, 2 * radius_mm), (0.0, 0.0, 0.0)
    mesh: Mesh = [(top, a, b) for a, b in _sides(rows[0])]
    for upper, lower in pairwise(rows):
        for (a, b), (c, d) in zip(_sides(upper), _sides(lower), strict=True):
            mesh += [(a, c, d), (a, d, b)]
    return mesh + [(bottom, b, a) for a, b in _sides(rows[-1])]


# --- meshes that are not right -----------------------------------------------------------------------------------
def open_cube(mm: float = 20, missing: int = 1) -> Mesh:
    """A cube without its last facets. One missing leaves a hole of three edges, two a whole side."""
    return cube(mm)[:-missing]


def inverted_cube(mm: float = 20) -> Mesh:
    return inverted(cube(mm))


def flat_sheet(mm: float = 20) -> Mesh:
    """One square of no thickness."""
    return _cap(_square(mm, 0), 0, up=True)


def flat_box(mm: float = 20) -> Mesh:
    """A box of height zero: closed, and still no solid."""
    return [((a[0], a[1], 0), (b[0], b[1], 0), (c[0], c[1], 0)) for a, b, c in cube(mm)]


def half_flipped_cube(mm: float = 20) -> Mesh:
    """Every other facet the wrong way round."""
    return [(a, c, b) if n % 2 else (a, b, c) for n, (a, b, c) in enumerate(cube(mm))]


# --- drawing up outlines -----------------------------------------------------------------------------------------
def extruded(outline: Sequence[Flat], height: float, hole: Sequence[Flat] = ()) -> Mesh:
    """A prism over an anticlockwise outline, with at most one hole whose points run clockwise."""
    face = _triangulated(_bridged(outline, hole) if hole else list(outline))
    mesh: Mesh = [(_at(a, 0), _at(c, 0), _at(b, 0)) for a, b, c in face]
    mesh += [(_at(a, height), _at(b, height), _at(c, height)) for a, b, c in face]
    return mesh + _wall(outline, 0, height) + (_wall(hole, 0, height) if hole else [])


def _at(point: Flat, z: float) -> Point:
    return point[0], point[1], z


def _square(mm: float, offset: float) -> list[Flat]:
    far = offset + mm
    return [(offset, offset), (far, offset), (far, far), (offset, far)]


def _cap(square: Sequence[Flat], z: float, *, up: bool) -> Mesh:
    a, b, c, d = (_at(point, z) for point in square)
    return [(a, b, c), (a, c, d)] if up else [(a, c, b), (a, d, c)]


def _wall(outline: Sequence[Flat], low: float, high: float) -> Mesh:
    mesh: Mesh = []
    for a, b in zip(outline, [*outline[1:], outline[0]], strict=True):
        mesh += [(_at(a, low), _at(b, low), _at(b, high)), (_at(a, low), _at(b, high), _at(a, high))]
    return mesh


def _ring(outer: Sequence[Flat], inner: Sequence[Flat], z: float) -> Mesh:
    """The face between two outlines of equal length, seen from below."""
    mesh: Mesh = []
    for n in range(len(outer)):
        m = (n + 1) % len(outer)
        a, b, c, d = (_at(point, z) for point in (outer[n], outer[m], inner[m], inner[n]))
        mesh += [(a, c, b), (a, d, c)]
    return mesh


def _arc(center: Flat, radius: float, start: float, end: float, steps: int) -> list[Flat]:
    """Points from one angle to another (degrees), both ends included, rounded so that every machine draws the same."""
    angles = [math.radians(start + (end - start) * n / steps) for n in range(steps + 1)]
    return [(round(center[0] + radius * math.cos(t), 4), round(center[1] + radius * math.sin(t), 4)) for t in angles]


def _ripple(down: float, segments: int, radius: float) -> list[Point]:
    tilt = math.pi * down
    row: list[Point] = []
    for n in range(segments):
        turn = 2 * math.pi * n / segments
        r = radius * (1 + 0.04 * math.sin(9 * turn) * math.sin(tilt) ** 2 * math.sin(11 * tilt))
        row.append((r * math.sin(tilt) * math.cos(turn), r * math.sin(tilt) * math.sin(turn), radius + r * math.cos(tilt)))
    return row


def _sides(row: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(zip(row, [*row[1:], row[0]], strict=True))


def _cross(a: Flat, b: Flat, c: Flat) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _bridged(outline: Sequence[Flat], hole: Sequence[Flat]) -> list[Flat]:
    """One outline that runs into the hole and back, by the shortest way between two of their points."""
    m, n = min(
        ((m, n) for m in range(len(outline)) for n in range(len(hole))),
        key=lambda pair: math.dist(outline[pair[0]], hole[pair[1]]),
    )
    return [*outline[: m + 1], *hole[n:], *hole[: n + 1], *outline[m:]]


def _triangulated(outline: list[Flat]) -> list[tuple[Flat, Flat, Flat]]:
    """Ear clipping: cut off a corner that holds no other point, until a triangle is left."""
    left, triangles = list(outline), []
    while len(left) > 3:
        n = next(n for n in range(len(left)) if _is_ear(left, n))
        triangles.append((left[n - 1], left[n], left[(n + 1) % len(left)]))
        del left[n]
    return [*triangles, (left[0], left[1], left[2])]


def _is_ear(left: Sequence[Flat], n: int) -> bool:
    a, b, c = left[n - 1], left[n], left[(n + 1) % len(left)]
    if _cross(a, b, c) <= 1e-9:
        return False
    others = (p for p in left if p not in (a, b, c))
    return not any(_cross(a, b, p) >= 0 and _cross(b, c, p) >= 0 and _cross(c, a, p) >= 0 for p in others)
