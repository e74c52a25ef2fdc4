"""A shaded picture of a mesh as a PNG, without a display or a graphics card. Runs in the child process.

A z-buffer: each facet is cut into rows, each row into samples, and every sample keeps the nearest facet. Facets, rows and samples
are taken in blocks, so a mesh of millions needs hardly more memory than a small one. Four samples make a pixel. The same mesh gives
the same bytes, whatever the order of the work.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.stl import Corners
from agent.meshes.views import View

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Whole = npt.NDArray[np.int32]
Nearest = npt.NDArray[np.int64]
"""For each sample depth (upper 32 bits) and number of its nearest facet: the smaller integer is the nearer one."""
Pixels = npt.NDArray[np.uint8]

_FACETS_AT_ONCE = 1 << 15
_AT_ONCE = 1 << 17
"""Rows, and samples, that are held at a time."""
_SAMPLES = 2
"""Along each side of a pixel."""
_MARGIN = 0.08
_STEEPEST = 1000.0
"""A facet steeper than this is seen edge-on: its depth is taken as the same everywhere, or rounding would throw it about."""
_DEPTH_STEPS = 256
"""Of a sample's width."""
_FAR = 1 << 28
"""In those steps: farther off than what is drawn."""
_COLOR_STEP = 4
"""Of 256. A shaded model has some two hundred colours then, and five hundred without."""
_BACK_STEPS = 8
"""The back of a facet lies that much deeper: where two facets touch back to front, the front is seen."""


class _Camera(NamedTuple):
    """Unit vectors of the world: to the right of the picture, up, and from the model towards the eye."""

    right: tuple[float, float, float]
    up: tuple[float, float, float]
    eye: tuple[float, float, float]


_HALF, _THIRD, _SIXTH = 0.5**0.5, 3**-0.5, 6**-0.5
_CAMERAS = {
    "isometric": _Camera((_HALF, _HALF, 0), (-_SIXTH, _SIXTH, 2 * _SIXTH), (_THIRD, -_THIRD, _THIRD)),
    "top": _Camera((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


class _Frame(NamedTuple):
    """From mm to samples: `axes` right, down and away; `zero` is taken off, so that none is negative. `low`, `high`: the box in mm."""

    axes: Floats
    zero: Floats
    side: int
    low: Floats
    high: Floats

    def samples(self, mm: Floats) -> Floats:
        """(3 axes, 3 corners, n). The same sums for every corner, so that facets that meet still meet."""
        x, y, z = mm
        return np.stack([a * x + b * y + c * z - zero for (a, b, c), zero in zip(self.axes, self.zero, strict=True)])


def render(corners: Corners, view: View, size_px: int) -> bytes:
    """A square PNG of triangles that stand on the bed, z = 0, with a grid around them; clear where neither is.

    `corners` (n, 3, 3) in mm, at least one triangle, all finite. Fronts are blue, backs red: a closed model shows none. The grid's
    lines are a power of ten in mm apart, 10 for models of 15 to 250 mm.
    """
    camera = _CAMERAS[view]
    frame = _framed(corners, camera, size_px * _SAMPLES)
    nearest = np.full(frame.side * frame.side, (_FAR << 32) + len(corners))
    for start, block in _blocks(corners):
        _draw(nearest, frame, block, start)
    image = _shaded(nearest.reshape(frame.side, frame.side), corners, camera)
    _lay_grid(image, frame)
    return _png(image)


def _blocks(corners: Corners) -> Iterator[tuple[int, Floats]]:
    """The number of the first facet, and (3 axes, 3 corners, n): numpy is ten times slower along short axes."""
    for start in range(0, len(corners), _FACETS_AT_ONCE):
        yield start, np.ascontiguousarray(corners[start : start + _FACETS_AT_ONCE].transpose(2, 1, 0))


def _framed(corners: Corners, camera: _Camera, side: int) -> _Frame:
    axes = np.array((camera.right, np.negative(camera.up), np.negative(camera.eye)), np.float32)
    frame = _Frame(axes, np.zeros(3, np.float32), side, np.full(3, np.inf, np.float32), np.full(3, -np.inf, np.float32))
    low, high, far_low, far_high = frame.low, frame.high, frame.low, frame.high
    for _, mm in _blocks(corners):
        at = frame.samples(mm)
        low, high = np.minimum(low, at.min(axis=(1, 2))), np.maximum(high, at.max(axis=(1, 2)))
        far_low, far_high = np.minimum(far_low, mm.min(axis=(1, 2))), np.maximum(far_high, mm.max(axis=(1, 2)))
    scale = side * (1 - 2 * _MARGIN) / max(high[0] - low[0], high[1] - low[1], 1e-6)
    middle = scale * (low + high) / 2 - side / 2
    zero = np.array((middle[0], middle[1], scale * low[2]), np.float32)
    return _Frame((axes * scale).astype(np.float32), zero, side, far_low, far_high)


# --- which facet is the nearest ------------------------------------------------------------------------------------
def _draw(nearest: Nearest, frame: _Frame, mm: Floats, number: int) -> None:
    x, y, z = frame.samples(mm)
    first, rows = _between(y.min(axis=0), y.max(axis=0))
    _, columns = _between(x.min(axis=0), x.max(axis=0))
    some = np.flatnonzero((rows > 0) & (columns > 0))
    if not len(some):
        return
    facets = _facets(x[:, some], y[:, some], z[:, some], number + some)
    first, rows = first[some], rows[some]
    for part in _parts(rows):
        facet, row = _spread(first[part], rows[part])
        _draw_rows(nearest, frame.side, facets, facet + part.start, row)


def _between(low: Floats, high: Floats) -> tuple[Rows, Rows]:
    """The first sample whose middle is not left of `low`, and how many there are before `high`: what meets shares none."""
    first = np.ceil(low - np.float32(0.5)).astype(np.intp)
    return first, np.ceil(high - np.float32(0.5)).astype(np.intp) - first


class _Facets(NamedTuple):
    """Corners sorted downwards, as (3, n), and how the edges and the facet's plane lean.

    `slope`: of the edges from the first corner to the second, from the second to the third, and from the first to the third.
    """

    x: Floats
    y: Floats
    z: Floats
    slope: Floats
    z_right: Floats
    z_down: Floats
    key: Nearest


def _facets(x: Floats, y: Floats, z: Floats, number: Rows) -> _Facets:
    ux, uy, uz, vx, vy, vz = x[1] - x[0], y[1] - y[0], z[1] - z[0], x[2] - x[0], y[2] - y[0], z[2] - z[0]
    area = ux * vy - vx * uy
    for one, other in ((0, 1), (1, 2), (0, 1)):
        swap = np.flatnonzero(y[one] > y[other])
        for axis in (x, y, z):
            axis[one, swap], axis[other, swap] = axis[other, swap], axis[one, swap]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z_right, z_down = (uz * vy - vz * uy) / area, (ux * vz - vx * uz) / area
        slope = np.stack([(x[end] - x[start]) / (y[end] - y[start]) for start, end in ((0, 1), (1, 2), (0, 2))])
    edge_on = ~(np.maximum(np.abs(z_right), np.abs(z_down)) < _STEEPEST)
    z_right[edge_on] = z_down[edge_on] = 0
    back = np.where(area > 0, np.int64(_BACK_STEPS << 32), np.int64(0))
    return _Facets(x, y, z, slope, z_right, z_down, back + number)


def _draw_rows(nearest: Nearest, side: int, facets: _Facets, facet: Rows, row: Rows) -> None:
    """A row is met by the edge from the top corner to the lowest, and by the upper or the lower one of the other two."""
    middle = row.astype(np.float32) + np.float32(0.5)
    x, below = facets.x[0][facet], middle - facets.y[0][facet]
    long, short = x + below * facets.slope[2][facet], np.empty_like(x)
    upper = middle < facets.y[1][facet]
    for corner, rows in ((0, np.flatnonzero(upper)), (1, np.flatnonzero(~upper))):
        of = facet[rows]
        short[rows] = facets.x[corner][of] + (middle[rows] - facets.y[corner][of]) * facets.slope[corner][of]
    left, width = _between(np.minimum(long, short), np.maximum(long, short))
    some = np.flatnonzero(width > 0)
    facet, left, width = facet[some], left[some], width[some]
    z_right = facets.z_right[facet]
    from_x = left.astype(np.float32) + np.float32(0.5) - x[some]
    depth = facets.z[0][facet] + below[some] * facets.z_down[facet] + from_x * z_right
    at, key = row[some] * side + left, facets.key[facet]
    for part in _parts(width):
        line, sample = _spread(at[part], width[part])
        deeper = (sample - at[part][line]).astype(np.float32) * z_right[part][line]
        steps = np.clip((depth[part][line] + deeper) * _DEPTH_STEPS, 0, _FAR - 1).astype(np.int64)
        np.minimum.at(nearest, sample, (steps << 32) + key[part][line])


def _parts(counts: Rows) -> Iterator[slice]:
    """Consecutive parts that count no more than `_AT_ONCE` together, or are single."""
    total, start = counts.cumsum(), 0
    while start < len(counts):
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + _AT_ONCE, side="right")))
        yield slice(start, end)
        start = end


def _spread(first: Rows, counts: Rows) -> tuple[Rows, Rows]:
    """`counts` entries for each: which one it is of, and `first`, first + 1, …"""
    owner: Rows = np.repeat(np.arange(len(counts)), counts)
    skipped: Rows = first + counts - counts.cumsum(dtype=np.intp)
    return owner, np.arange(len(owner), dtype=np.intp) + skipped[owner]


# --- what it looks like --------------------------------------------------------------------------------------------
def _ramp(dark: tuple[int, int, int], middle: tuple[int, int, int], light: tuple[int, int, int]) -> Pixels:
    """Red, green, blue and 255 for each tone."""
    bands = [np.interp(np.arange(256), (0, 128, 255), ends) for ends in (*zip(dark, middle, light, strict=True), (255, 255, 255))]
    return np.stack(bands, axis=1).astype(np.uint8)


_FRONT = _ramp((22, 32, 44), (110, 140, 166), (236, 242, 247))
_BACK = _ramp((70, 12, 16), (206, 62, 52), (255, 196, 180))
_GRID, _GRID_OPAQUE = (128, 134, 142), 0.6
"""Seen on white and on black."""
_AMBIENT = 0.2
_LIGHTS = ((0.6, (-0.61, 0.57, 0.55)), (0.13, (0.75, 0.05, 0.66)))
"""How strong, and where: right, up, towards the eye. The three sides of a box get three tones."""
_BEND_FROM, _BEND_FULL, _BEND_DARK = 0.9, 3.0, 0.75
"""Edges get darker from the one bend on (in samples) to the other, by that share."""
_OPAQUE, _BEHIND = 1 << 20, 1 << 10
"""A sample in one number: its tone (0 to 255), whether it shows a back, and 0 for no model. Four of them add up to a pixel's."""


def _shaded(nearest: Nearest, corners: Corners, camera: _Camera) -> Pixels:
    """Red, green, blue and how opaque, for each pixel."""
    number = nearest.astype(np.uint32)
    samples = _looks(number, corners, camera)[number]
    bend = _bend((nearest >> 32).astype(np.int32))
    at = np.flatnonzero((bend > _BEND_FROM * _DEPTH_STEPS) & (samples > 0))
    share = np.clip((bend.ravel()[at] / _DEPTH_STEPS - _BEND_FROM) / (_BEND_FULL - _BEND_FROM), 0, 1) * _BEND_DARK
    samples.ravel()[at] -= (samples.ravel()[at] % _BEHIND * share).astype(np.int32)
    return _pixels(samples)


def _looks(number: npt.NDArray[np.uint32], corners: Corners, camera: _Camera) -> Whole:
    """For each facet that is seen, what its samples are; the last one is where there is no model."""
    seen = np.zeros(len(corners) + 1, np.bool_)
    seen[number] = True
    rows = np.flatnonzero(seen[:-1])
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[rows].astype(np.float64).transpose(1, 2, 0)
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    normal = np.array((uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx))
    normal /= np.maximum(np.sqrt((normal * normal).sum(axis=0)), 1e-30)
    behind = camera.eye @ normal < 0
    normal[:, behind] *= -1
    tone = np.full(len(rows), _AMBIENT)
    for strength, light in _LIGHTS:
        tone += strength * np.maximum((light @ np.array(camera)) @ normal, 0)
    looks = np.zeros(len(corners) + 1, np.int32)
    looks[rows] = (255 * np.minimum(tone, 1)).astype(np.int32) + _BEHIND * behind + _OPAQUE
    return looks


def _bend(depth: Whole) -> Whole:
    """How sharply the surface bends or breaks off at each sample, in depth. A plane has none, however steep."""
    bend = np.zeros_like(depth)
    bend[1:-1] = np.abs(depth[:-2] - 2 * depth[1:-1] + depth[2:])
    np.maximum(bend[:, 1:-1], np.abs(depth[:, :-2] - 2 * depth[:, 1:-1] + depth[:, 2:]), out=bend[:, 1:-1])
    return bend


def _pixels(samples: Whole) -> Pixels:
    total = np.zeros((len(samples) // _SAMPLES,) * 2, np.int32)
    for row, column in np.ndindex(_SAMPLES, _SAMPLES):
        total += samples[row::_SAMPLES, column::_SAMPLES]
    count = total // _OPAQUE
    tone = (total & (_BEHIND - 1)) // np.maximum(count, 1)
    image: Pixels = _FRONT.view(np.uint32)[tone].view(np.uint8).reshape(len(total), len(total), 4)
    at = np.nonzero(total & (_OPAQUE - _BEHIND))
    share = ((total[at] & (_OPAQUE - _BEHIND)) // _BEHIND / count[at])[:, None]
    image[at] = _FRONT[tone[at]] * (1 - share) + _BACK[tone[at]] * share
    rows, columns = np.nonzero(count < _SAMPLES**2)
    image[rows, columns, 3] = count[rows, columns] * 255 // _SAMPLES**2
    return image


def _lay_grid(image: Pixels, frame: _Frame) -> None:
    """The lines of the bed behind the model; they run out a little beyond its box."""
    lines = _lines(frame, len(image))
    at = np.nonzero((lines > 0) & (image[..., 3] < 255))
    model = image[at].astype(np.float32)
    share = model[:, 3:] / 255
    behind = _GRID_OPAQUE * lines[at][:, None] * (1 - share)
    opaque = share + behind
    colours = (model[:, :3] * share + np.array(_GRID, np.float32) * behind) / np.maximum(opaque, 1 / 255)
    image[at] = np.concatenate((colours, 255 * opaque), axis=1)


def _lines(frame: _Frame, side: int) -> Floats:
    """How much of each pixel is a line of the grid, 0 to 1. Every pixel looks at one point of the bed."""
    low, high = frame.low[:2], frame.high[:2]
    size = float((high - low).max())
    step = 10.0 ** np.floor(np.log10(max(size, 1e-3) / 1.5)) if size < 15 or size > 250 else 10.0
    from_samples = np.linalg.inv(frame.axes[:2, :2])
    middles = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * _SAMPLES
    across, down = middles + frame.zero[0], middles[:, None] + frame.zero[1]
    line, outside = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for (a, b), lowest, highest in zip(from_samples, low, high, strict=True):
        mm = a * across + b * down
        from_line = np.abs(mm / step - np.rint(mm / step)) * np.float32(step / (np.hypot(a, b) * _SAMPLES))
        line = np.maximum(line, np.clip(1 - from_line, 0, 1))
        outside = np.maximum(outside, np.maximum(lowest - mm, mm - highest))
    line *= np.clip(1 - outside / np.float32(0.16 * size + step), 0, 1)
    return line


# --- PNG (RFC 2083) ------------------------------------------------------------------------------------------------
def _png(image: Pixels) -> bytes:
    """With a palette: a fifth of the bytes for a phone that shows a page of these."""
    height, width, _ = image.shape
    colors, number = _palette(image)
    lines = np.zeros((height, 1 + width), np.uint8)
    lines[:, 1:] = number.reshape(height, width)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", colors[:, :3].tobytes()), (b"tRNS", colors[:, 3].tobytes())]
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _palette(image: Pixels) -> tuple[Pixels, Pixels]:
    """Up to 256 colours (red, green, blue, opacity), each of them rounded by no more than is seen, and the number of each pixel's."""
    step = _COLOR_STEP
    while True:
        rounded = np.minimum(255, (image.astype(np.uint16) + step // 2) // step * step).astype(np.uint8)
        rounded[rounded[..., 3] == 0] = 0
        colors, number = np.unique(rounded.reshape(-1, 4).view(np.uint32).ravel(), return_inverse=True)
        if len(colors) <= 256:
            return colors.view(np.uint8).reshape(-1, 4), number.astype(np.uint8)
        step *= 2


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
