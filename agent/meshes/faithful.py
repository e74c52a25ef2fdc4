"""Is a repaired mesh still the customer's part? Asked by other means than those it was repaired with, and of trimesh."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from agent.meshes import columns, geometry, topology
from agent.meshes.columns import Columns, Field, Flags
from agent.meshes.geometry import Numbers
from agent.meshes.topology import Mesh

_BOX_MOST = (0.01, 1 / 2000)
"""How much a side of the box may change: mm, and share of the largest side; the lesser counts, for models in metres."""
_FAR = (0.05, 1 / 400)
"""How far a point of the surface may lie from what is filled; likewise."""
_FAR_SHARE_MOST = 1e-3
_VOLUME_CHANGE_MOST = 0.01
_SKIN_MM = 0.005
"""A volume may always change by what a skin of this holds, all over the surface: for pieces too small to be seen. Models so small that
it would be much of them are asked about anyway, for their units."""
_UNTOLD_MOST = 0.05
_NO_VOLUME = 1e-6
_NO_LENGTH = 1e-5
"""Share of the size. A line that runs inside for less met two sheets on each other, not a solid."""
_SAME_LENGTH = 1e-3
"""Likewise: what a line is inside for may differ by this, for facets meet it a little elsewhere."""
_SAME_VOLUME = 1e-3
_POINTS_A_STRETCH = 32


class Volumes(NamedTuple):
    """mm³ by columns: before, as far as that could be told, and after."""

    before: float
    after: float


class Changed(NamedTuple):
    """Why a repaired mesh is not taken."""

    why: str


class _View(NamedTuple):
    """Two meshes along one axis. `changed_mm3`: by what lines that came out again differ; the others do not tell what they should
    fill, where it is not what they do."""

    lines: Field
    now: Columns
    volumes: Volumes
    changed_mm3: float
    untold_mm3: float
    untold_lines: Flags


def encloses_nothing(shape: geometry.Shape) -> bool:
    return abs(shape.volume_mm3) <= _NO_VOLUME * shape.box_mm3


class Original:
    """A mesh as it was, measured once for all that is to be compared with it."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.shape = geometry.shape(mesh)
        self._size = max(self.shape.box_mm)

    @cached_property
    def _columns(self) -> list[tuple[Field, Columns]]:
        """Along all three axes; none where that costs too much."""
        views = [columns.along(self.mesh, axis) for axis in range(3)]
        return [] if None in views else [view for view in views if view is not None]

    def compared(self, after: Mesh) -> Volumes | Changed:
        """The volumes, on the axis that tells most of them, or what differs. Cheap things first."""
        if not topology.balanced(after.faces):
            return Changed("Some of its edges fit to nothing.")
        shape = geometry.shape(after)
        if encloses_nothing(shape) or abs(shape.volume_mm3) > (1 + _SAME_VOLUME) * shape.box_mm3:
            return Changed("Closed, it would hold nothing, or more than its box.")
        change = np.abs(np.subtract(shape.box_mm, self.shape.box_mm)).max()
        if change >= self._least(_BOX_MOST):
            return Changed(f"Closed, it would be {change:.2g} mm larger or smaller.")
        volumes = self._measured(after)
        return volumes if isinstance(volumes, Changed) or _others_agree(after) else Changed("To another program it would not be closed.")

    def is_sheet_within(self, rest: Mesh) -> bool:
        """Whether no line meets this surface in two places, so that it cannot enclose anything, and all of it lies within what `rest`,
        which is closed, fills."""
        most = _SAME_LENGTH * self._size
        return bool(self._columns) and all(
            now is not None and was.first_to_last.max() <= most and self._is_near(was, now) for _, was, now in self._along_with(rest)
        )

    def _along_with(self, other: Mesh) -> Iterator[tuple[Field, Columns, Columns | None]]:
        for lines, was in self._columns:
            yield lines, was, columns.cast(other, lines)

    def _measured(self, after: Mesh) -> Volumes | Changed:
        views = []
        for lines, was, now in self._along_with(after):
            if now is None:
                break
            if not self._is_near(was, now):
                return Changed("Closed, it would lose a part of its surface.")
            views.append(_view(lines, was, now, _SAME_LENGTH * self._size))
        if len(views) < 3 or not all(view.volumes.after for view in views):
            return Changed("It is too tangled or too thin to be measured.")
        skin = _SKIN_MM * self.shape.area_mm2
        changed = max(views, key=lambda view: view.changed_mm3)
        if changed.changed_mm3 > max(_VOLUME_CHANGE_MOST * changed.volumes.after, skin):
            return Changed(f"Closed, its volume would differ by {changed.changed_mm3 / changed.volumes.after:.0%}.")
        best = min(views, key=lambda view: view.untold_mm3)
        untold = best.untold_mm3 / best.volumes.after
        if untold > _UNTOLD_MOST and (untold := _untold_on_any(best, views)) > _UNTOLD_MOST:
            return Changed(f"How much it should hold cannot be told: {untold:.0%} of it lies behind holes, from whichever side one looks.")
        return best.volumes

    def _is_near(self, was: Columns, now: Columns) -> bool:
        """Whether the points where the lines met the surface lie in or at what they run through now, but for a few at its very edges.

        A surface that encloses nothing is none: two sheets on each other are not printed.
        """
        far = _distances(was, now, self._size) > self._least(_FAR)
        return bool(np.count_nonzero(far) <= _FAR_SHARE_MOST * len(far))

    def _least(self, bounds: tuple[float, float]) -> float:
        return min(bounds[0], bounds[1] * self._size)


def _view(lines: Field, was: Columns, now: Columns, same_mm: float) -> _View:
    """A line that came out again was inside by winding or, where facets were turned or copied, by parity: whichever is nearest to what
    is filled now. One that did not may have met a wall between its first crossing and its last, which tells it; or a hole, which does not.
    """
    guesses = np.stack((was.by_winding, was.by_parity, was.by_places, np.where(was.closed, np.inf, was.first_to_last)))
    differ = np.abs(guesses - now.by_winding)
    nearest = differ.argmin(axis=0)[None]
    differ, before = (np.take_along_axis(each, nearest, axis=0)[0] for each in (differ, guesses))
    changed, untold, held, holds = (
        float(lengths.sum()) * lines.cell_mm2 for lengths in (differ[was.closed], differ[~was.closed], before, now.by_winding)
    )
    return _View(lines, now, Volumes(held, holds), changed, untold, ~was.closed & (differ > same_mm))


def _untold_on_any(view: _View, views: Sequence[_View]) -> float:
    """The share of what is filled of which no axis tells that it should be, by points along the lines of this one that do not."""
    now = view.now
    start = np.flatnonzero(now.inside & view.untold_lines[now.line])
    length = now.depth[start + 1] - now.depth[start]
    depth = now.depth[start, None] + length[:, None] * (np.arange(_POINTS_A_STRETCH) + 0.5) / _POINTS_A_STRETCH
    points = view.lines.points(np.repeat(now.line[start], _POINTS_A_STRETCH), depth.ravel())
    untold = np.all([other.untold_lines[other.lines.nearest(points)] for other in views], axis=0).reshape(depth.shape)
    return float((untold.mean(axis=1) * length).sum() / now.by_winding.sum())


def _distances(was: Columns, now: Columns, size: float) -> Numbers:
    """Of each point where the lines met the surface, along its line, to the nearest stretch that is inside now."""
    start = np.flatnonzero(now.inside)
    start = start[now.depth[start + 1] - now.depth[start] > _NO_LENGTH * size]
    # Line and depth as one number, so that one search finds the stretch before and the one after each point.
    apart = 4 * size
    at = was.line * apart + was.depth
    begins = np.append(now.line[start] * apart + now.depth[start], np.inf)
    ends = np.append(-np.inf, now.line[start] * apart + now.depth[start + 1])
    after = np.searchsorted(begins, at, side="right")
    distances: Numbers = np.minimum(np.maximum(at - ends[after], 0), begins[after] - at)
    return distances


def _others_agree(mesh: Mesh) -> bool:
    """What we changed must be a closed body to a library we did not write, too. It takes no edge of four facets, where bodies touch."""
    # Late: it takes a third of a second and 30 MB, and few models need a repair.
    import trimesh  # noqa: PLC0415

    read = trimesh.Trimesh(mesh.points, mesh.faces, process=False, validate=False)
    return bool(read.is_watertight and read.is_winding_consistent) or topology.edges(mesh.faces).most_facets > 2
