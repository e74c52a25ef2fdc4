"""Where each copy stands: items × quantities on as few plates of a given printer as rectpack finds, and never more than rows need.

The slicer never arranges: that differs from version to version and fails silently. Every copy stands by its box.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from rectpack import MaxRectsBl  # 20 ms and 1 MB: light enough for the daemon
from rectpack.geometry import Rectangle

from agent.domain.errors import ConfigError, Refused
from agent.domain.fit import Floor, Sides, fits_on_another_side, lie, narrowed, room_told, sides
from agent.domain.plate import Part
from agent.slicers.bed import Area, Bed, free_areas
from agent.slicers.placed import Placed
from agent.slicers.profiles import Flat, Profile

EDGE_MM = 6.0
"""Kept free around the bed and every zone at least: room for the skirt."""
GAP_MM = 5.0
"""Between two copies at least: room for a hand."""
_SLACK_MM = 0.5
"""Beyond what brims, skirts and supports take."""
_SUPPORTS_MM = 2.0
"""PrusaSlicer's supports stand out of an overhang by 1.6 mm, and their first layer by `raft_first_layer_expansion` more."""
_UNITS = 10**9
"""A millimetre: rectpack is exact with whole numbers only."""
_HAIR = 100
_MOST_WORK = 2_000
"""So many copies rectpack is given, those that only repeat a plate aside. For more, rows are good enough and a hundred times faster."""
_SHARES = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True)
class _Box:
    """So many copies of one part that find no place yet. Its sides as it lies, the gap behind and to the right of it included; in units."""

    part: Part
    width: int
    depth: int
    turned_deg: float
    turnable: bool
    copies: int


class _Stand(NamedTuple):
    """One copy on a plate: its low corner and its sides, without the gap. In units of the bed's own coordinates."""

    box: _Box
    x: int
    y: int
    width: int
    depth: int
    as_it_lay: bool = True
    """Or turned by 90° from there."""


_Shift = tuple[int, int]
"""In x and y, in halves of a unit: a group's middle may be between two."""


@dataclass(frozen=True)
class _Ground:
    """What can be placed on. `skirted`: a skirt goes around all copies at once, and would go through what lies between two areas."""

    bed: Bed
    edge: float
    gap: float
    skirted: bool
    areas: list[Area]
    room: tuple[Sides, list[Floor]]
    """The same for deciding."""

    @property
    def choices(self) -> list[list[Area]]:
        """The areas that a plate may use together."""
        return [[area] for area in self.areas] if self.skirted else [self.areas]


_Filled = tuple[list[_Stand], list[_Box]]
"""One plate, and what found no room on it."""
_Fill = Callable[[list[_Box], list[Area], _Ground], _Filled]
_Way = tuple[_Fill, list[_Box]]
"""How to fill a plate, and in which order."""


def place(parts: Sequence[Part], profile: Profile, *, supports: bool = False) -> list[list[Placed]]:
    """Every copy of every part, the same whatever their order. Refused (code does_not_fit) where one copy alone does not fit.

    Takes seconds for hundreds of thousands of copies: not for the event loop.
    """
    ground = _ground(profile, supports)
    boxes = sorted((_fitting(part, ground, profile) for part in parts), key=_deepest_first)
    plates = [(_centred(stands, ground), times) for stands, times in _fewest(boxes, ground)]
    return [list(plate) for plate, times in plates for _ in range(times)]


def usable_mm(profile: Profile) -> Sides:
    """What deciding takes for the bed and placing keeps to: the box around all that is free. ConfigError where nothing is."""
    areas = _free(profile)
    width = max(area.x1 for area in areas) - min(area.x0 for area in areas)
    depth = max(area.y1 for area in areas) - min(area.y0 for area in areas)
    return width, depth, profile.bed_mm[2]


def free_mm(profile: Profile) -> list[Floor]:
    """For deciding: width and depth of what is free within that box. Empty where all of it is."""
    return [] if profile.bed.is_plain else sorted({(area.width, area.depth) for area in _free(profile)}, reverse=True)


def supports_mm(profile: Profile) -> float:
    """For deciding: how much less than that is free, on each side, for parts with supports."""
    return _edge_mm(profile, supports=True) - _edge_mm(profile)


# --- how much room ----------------------------------------------------------------------------------------------------
def _free(profile: Profile) -> tuple[Area, ...]:
    edge = _edge_mm(profile)
    areas = free_areas(profile.bed, edge)
    if not areas:
        raise ConfigError(
            f"{profile.folder}: nothing of the bed is free, {edge:g} mm being kept around it and its excluded zones.",
            hint="Look at bed_shape of machine.ini and excluded of profile.toml.",
        )
    return areas


def _ground(profile: Profile, supports: bool) -> _Ground:
    room = narrowed(usable_mm(profile), free_mm(profile), supports_mm(profile) if supports else 0.0)
    edge, gap = _edge_mm(profile, supports=supports), _gap_mm(profile, supports)
    areas = [area.grown(_edge_mm(profile) - edge) for area in _free(profile)]
    skirted = not profile.bed.is_convex and any(_number(flat, "skirts") > 0 for flat in _flats(profile))
    return _Ground(profile.bed, edge, gap, skirted, [area for area in areas if area.width > 0 and area.depth > 0], room)


def _edge_mm(profile: Profile, *, supports: bool = False) -> float:
    """Whatever the material: deciding does not ask for it. A line is hardly ever twice as wide as the nozzle."""
    reaches = [EDGE_MM]
    for flat in _flats(profile):
        skirts = _number(flat, "skirts")
        skirt = _number(flat, "skirt_distance") + 2 * profile.nozzle_mm * skirts if skirts else 0.0
        reaches.append(_stands_out_mm(flat, supports) + skirt + _SLACK_MM)
    return max(reaches)


def _gap_mm(profile: Profile, supports: bool) -> float:
    return max(GAP_MM, *(2 * _stands_out_mm(flat, supports) for flat in _flats(profile)))


def _stands_out_mm(flat: Flat, supports: bool) -> float:
    """How far what is printed stands out of a part: its brim, or its supports."""
    supports_mm = _SUPPORTS_MM + _number(flat, "raft_first_layer_expansion", "3") if supports else 0.0
    return max(_number(flat, "brim_width"), supports_mm)


def _flats(profile: Profile) -> list[Flat]:
    return [profile.machine | profile.process | filament for filament in profile.filaments.values()]


def _number(flat: Flat, key: str, otherwise: str = "0") -> float:
    """Checked when the profile was read."""
    return float(flat.get(key, otherwise).split(",")[0])


def _fitting(part: Part, ground: _Ground, profile: Profile) -> _Box:
    lies = lie(part.size_mm, *ground.room)
    if lies is not None:
        width, depth = (round((side + ground.gap) * _UNITS) for side in (lies.width_mm, lies.depth_mm))
        return _Box(part, width, depth, lies.turned_deg, lies.turned_deg in (0.0, 90.0), part.quantity)
    on_another = ", unless it stands on another side" if fits_on_another_side(part.size_mm, *ground.room) else ""
    raise Refused(
        f"{sides(part.size_mm)} does not fit on {profile.name}, which prints {room_told(*ground.room)}{on_another}.",
        hint="A larger printer is needed, or the customer's leave to turn or cut the part.",
        code="does_not_fit",
    )


# --- plates -----------------------------------------------------------------------------------------------------------
_Plates = list[tuple[list[_Stand], int]]
"""Each plate, and how many times it is needed."""


def _fewest(boxes: list[_Box], ground: _Ground) -> _Plates:
    """As the parts lie before turned by 90°, and rows last; another way only where it may save a plate."""
    deepest_first = sorted(boxes, key=_deepest_first)
    turned = partial(_packed, turn=True)
    across = sorted((_across(box, ground) for box in boxes), key=_deepest_first)
    rows: _Way = (_rows, deepest_first)
    ways: list[_Way] = [(_packed, deepest_first), (turned, sorted(boxes, key=_largest_first)), (_packed, across), rows]
    best: _Plates = []
    least = _least(boxes, ground)
    for fill, ordered in ways if _work(boxes, ground) <= _MOST_WORK else [rows]:
        found = _plates(ordered, ground, fill)
        if not best or _count(found) < _count(best):
            best = found
        if _count(best) <= least:
            break
    return best


def _across(box: _Box, ground: _Ground) -> _Box:
    """Turned by 90° where that fits, too."""
    turned = replace(box, width=box.depth, depth=box.width, turned_deg=(box.turned_deg + 90) % 180)
    fits = box.turnable and any(_holds(_rectangle(area, ground.gap), turned) for area in ground.areas)
    return turned if fits else box


def _count(plates: _Plates) -> int:
    return sum(times for _, times in plates)


def _least(boxes: Iterable[_Box], ground: _Ground) -> int:
    """No way can do with fewer: not even if nothing were lost between copies."""
    around = _rectangle(ground.bed.around.grown(-ground.edge), ground.gap)
    return max(1, -int(-sum(box.width * box.depth * box.copies for box in boxes) // around.area()))


def _work(boxes: Iterable[_Box], ground: _Ground) -> int:
    """How many copies of each one plate may hold, or are wanted, in all."""
    around = _rectangle(ground.bed.around.grown(-ground.edge), ground.gap)
    return sum(min(box.copies, int(around.area() // (box.width * box.depth))) for box in boxes)


def _plates(boxes: list[_Box], ground: _Ground, fill: _Fill) -> _Plates:
    plates: _Plates = []
    while boxes:
        filled = [fill(boxes, areas, ground) for areas in ground.choices]
        stands, left = max(filled, key=lambda plate: sum(stand.width * stand.depth for stand in plate[0]))
        before, after = _copies(boxes), _copies(left)
        # The same copies find the same places again, as long as there are as many.
        times = min(copies // (copies - after.get(item, 0)) for item, copies in before.items() if copies != after.get(item, 0))
        plates.append((stands, times))
        used = {item: (copies - after.get(item, 0)) * times for item, copies in before.items()}
        boxes = [replace(box, copies=rest) for box in boxes if (rest := box.copies - used[box.part.item_id])]
    return plates


def _copies(boxes: Iterable[_Box]) -> dict[str, int]:
    return {box.part.item_id: box.copies for box in boxes}


def _deepest_first(box: _Box) -> tuple[int, int, str]:
    return -box.depth, -box.width, box.part.item_id


def _largest_first(box: _Box) -> tuple[int, str]:
    return -box.width * box.depth, box.part.item_id


# --- one plate --------------------------------------------------------------------------------------------------------
def _packed(boxes: list[_Box], areas: list[Area], ground: _Ground, *, turn: bool = False) -> _Filled:
    """By rectpack's maximal rectangles, lowest and then leftmost place first."""
    gap = round(ground.gap * _UNITS)
    surface = MaxRectsBl(1, 1)
    # It knows one rectangle to begin with. Any number of them is what it makes of that one, and goes on from.
    surface._max_rects = [_rectangle(area, ground.gap) for area in areas]
    placed: list[_Stand] = []
    left: list[_Box] = []
    for box in boxes:
        surface.rot = turn and box.turnable
        rest = box.copies
        while rest and (found := surface.add_rect(box.width, box.depth)):
            placed.append(_Stand(box, found.x, found.y, found.width - gap, found.height - gap, found.width == box.width))
            rest -= 1
        if rest:
            left.append(replace(box, copies=rest))
    return placed, left


def _rectangle(area: Area, gap: float) -> Rectangle:
    """With the gap behind and to the right of it, as every box has, and a hair wider: rounding makes no box too large."""
    x, y, width, depth = (round(value * _UNITS) for value in (area.x0, area.y0, area.width + gap, area.depth + gap))
    return Rectangle(x, y, width + _HAIR, depth + _HAIR)


def _rows(boxes: list[_Box], areas: list[Area], ground: _Ground) -> _Filled:
    """Rows from the front of one area, thousands of copies in a moment; what finds no room comes back in its order."""
    holding = [at for area in areas if _holds(at := _rectangle(area, ground.gap), boxes[0])]
    if not holding:
        return [], boxes
    floor = max(holding, key=Rectangle.area)
    gap = round(ground.gap * _UNITS)
    placed: list[_Stand] = []
    left: list[_Box] = []
    x, y, row_depth = 0, 0, 0
    for box in boxes:
        copies = box.copies
        while copies and _holds(floor, box):
            if x > 0 and x + box.width > floor.width:
                if y + row_depth + box.depth > floor.height:
                    break  # narrower ones may still find room in this row
                x, y, row_depth = 0, y + row_depth, 0
            placed.append(_Stand(box, floor.x + x, floor.y + y, box.width - gap, box.depth - gap))
            x, row_depth, copies = x + box.width, max(row_depth, box.depth), copies - 1
        if copies:
            left.append(replace(box, copies=copies))
    return placed, left


def _holds(floor: Rectangle, box: _Box) -> bool:
    return bool(box.width <= floor.width and box.depth <= floor.height)


# --- in the middle ----------------------------------------------------------------------------------------------------
def _centred(stands: Sequence[_Stand], ground: _Ground) -> list[Placed]:
    """The group in the middle of the bed, where beds are flattest and warmest, or as near to it as shape and zones allow."""
    around, group = ground.bed.around, _group(stands)
    to_x = round((around.x0 + around.x1) * _UNITS) - 2 * group.x - group.width
    to_y = round((around.y0 + around.y1) * _UNITS) - 2 * group.y - group.depth
    stay_free = [group] if ground.skirted or ground.bed.is_plain else stands
    allowed = (
        shift for shift in _shifts(to_x, to_y) if all(ground.bed.holds(_area(stand, shift).grown(ground.edge)) for stand in stay_free)
    )
    shift = next(allowed, (0, 0))
    return [_placed(stand, shift) for stand in stands]


def _group(stands: Sequence[_Stand]) -> _Stand:
    x, y = min(stand.x for stand in stands), min(stand.y for stand in stands)
    width, depth = max(stand.x + stand.width for stand in stands) - x, max(stand.y + stand.depth for stand in stands) - y
    return _Stand(stands[0].box, x, y, width, depth)


def _shifts(to_x: int, to_y: int) -> Iterator[_Shift]:
    for share in _SHARES:
        yield int(to_x * share), int(to_y * share)
    yield to_x, 0
    yield 0, to_y


def _area(stand: _Stand, shift: _Shift) -> Area:
    x, y = stand.x + shift[0] / 2, stand.y + shift[1] / 2
    return Area(x / _UNITS, y / _UNITS, (x + stand.width) / _UNITS, (y + stand.depth) / _UNITS)


def _placed(stand: _Stand, shift: _Shift) -> Placed:
    box, part = stand.box, stand.box.part
    turned = box.turned_deg if stand.as_it_lay else (box.turned_deg + 90) % 180
    x, y = (2 * stand.x + stand.width + shift[0]) / (2 * _UNITS), (2 * stand.y + stand.depth + shift[1]) / (2 * _UNITS)
    return Placed(part.item_id, part.mesh_sha256, x, y, turned)
