"""Holding the G-code against the order. Slicers answer 0 to failures and drop settings silently; what does not prove is never sent.

Two witnesses are heard: the slicer's own account (the settings at the end of the file) and the moves themselves. Each copy is looked for
where it was placed, so that one missing, cut short, scaled or moved is seen also where others hide it in the sum.

What the moves cannot prove: the share of infill where walls and solid layers make most of the part (there the lines along the walls
outweigh it; the slicer's account stands alone), and that supports stand where they are needed. Where infill can be measured it is told
15 % from 35 %, not 15 % from 20 %: the slicer's own 80 % of gyroid is 74 % of the room. Shapes that run out in needles lose their tips.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.domain.offer import Supports
from agent.domain.plate import Part, PrintSettings, ProofLine
from agent.slicers.commands import refused_commands
from agent.slicers.dialects import INFILL, NOT_THE_PART, SUPPORTS
from agent.slicers.engine import Made
from agent.slicers.gcode_facts import Box, GcodeFacts
from agent.slicers.placed import Placed, object_name, with_item_ids
from agent.slicers.profiles import Flat, Profile

RULES = "5"
"""Goes into the slicer's key: a plate that older rules proved is proved again."""

_UNEVEN_PATTERNS = ("adaptivecubic", "supportcubic", "lightning")
"""They are thinner than they are called, where the part allows it."""
_TIP = 0.02
"""Share of a part's size that may be missing at a side where it runs out in a point."""
_ROOM_FOR_INFILL = 0.4
"""Least share of a part's volume that is neither wall nor solid layer, for its infill to be measured."""
_PULLED_BACK = re.compile(r"\bE-([0-9]+(?:\.[0-9]+)?)")


def prove(
    facts: GcodeFacts, made: Made, placed: Sequence[Placed], parts: Sequence[Part], settings: PrintSettings, profile: Profile
) -> list[ProofLine]:
    """Each thing that was ordered, as it was found. `parts`: at least those that are placed on this plate."""
    account = facts.config if made.account is None else made.account
    flat = profile.flat(settings)
    sizes = {part.item_id: part for part in parts}
    return [
        *_whole(facts, account),
        *_copies(facts, placed),
        *_places(facts, placed, sizes, flat),
        *_shape(facts, flat, profile),
        *_settings(account, made),
        *_supports(facts, settings),
        *_filament(facts, sum(sizes[copy.item_id].volume_mm3 for copy in placed), settings, flat),
        *_temperatures(facts, settings, flat, profile),
        _safe(facts),
    ]


def _line(check: str, expected: object, found: object, ok: bool) -> ProofLine:
    return ProofLine(check=check, expected=str(expected), found=str(found), ok=ok)


def _whole(facts: GcodeFacts, account: Flat) -> Iterator[ProofLine]:
    end = "its end" if facts.whole else "no end"
    yield _line("complete", "its end and all settings", f"{end}, {len(account)} settings", facts.whole and len(account) > 100)
    yield _line("layers", "at least 1", facts.layers, facts.layers > 0)
    yield _line("print time", "more than 0 s", f"{facts.seconds} s", facts.seconds > 0)
    yield _line("filament", "more than 0 g", f"{facts.filament_g:.2f} g", facts.filament_g > 0)
    yield _line("every line understood", "all", _few(facts.not_understood) or "all", not facts.not_understood)


def _copies(facts: GcodeFacts, placed: Sequence[Placed]) -> Iterator[ProofLine]:
    names = {copy.item_id: object_name(copy.item_id) for copy in placed}
    for item_id, name in names.items():
        wanted, found = sum(copy.item_id == item_id for copy in placed), len(facts.bodies.get(name, ()))
        yield _line(f"copies of {item_id}", wanted, found, found == wanted)
    strangers = sorted(with_item_ids(name) for name in set(facts.bodies) - set(names.values()))
    yield _line("nothing else on the plate", "nothing", _few(strangers) or "nothing", not strangers)


# --- where it is laid -------------------------------------------------------------------------------------------------
def _places(facts: GcodeFacts, placed: Sequence[Placed], parts: Mapping[str, Part], flat: Flat) -> Iterator[ProofLine]:
    """Every copy's own box, against the place and the size it was given."""
    wanted = {copy: _wanted(copy, parts[copy.item_id], _number(flat.get("z_offset", "0"))) for copy in placed}
    for item_id in dict.fromkeys(copy.item_id for copy in placed):
        boxes = sorted(facts.bodies.get(object_name(item_id), ()))
        here = sorted(room for copy, room in wanted.items() if copy.item_id == item_id)
        expected, found, ok = _few(_told(room.box) for room in here), _few(map(_told, boxes)), True
        if missing := _unmatched(here, boxes, flat):
            expected, found, ok = _few(_told(room.box) for room in missing), _few(map(_told, boxes)) or "nothing", False
        yield _line(f"place and size of {item_id}", expected, found, ok)
    top, tallest = (
        max((box[5] for boxes in facts.bodies.values() for box in boxes), default=0.0),
        max(room.box[5] for room in wanted.values()),
    )
    low, high = _slack(tallest, flat)
    yield _line("height", f"{tallest:.2f} mm", f"{top:.2f} mm", -low <= top - tallest <= high)


class _Room(NamedTuple):
    """The box a copy was given, and how far from its sides in x and y a part that was turned aslant and is no block may stay."""

    box: Box
    loose: tuple[float, float]


def _unmatched(wanted: Sequence[_Room], boxes: list[Box], flat: Flat) -> list[_Room]:
    """Those for which nothing is laid; what is matched is taken out of `boxes`."""
    missing = []
    for room in wanted:
        found = next((laid for laid in boxes if _stands(laid, room, flat)), None)
        if found is None:
            missing.append(room)
        else:
            boxes.remove(found)
    return missing


def _wanted(copy: Placed, part: Part, raised: float) -> _Room:
    """It reaches every side of its own box somewhere: that far at least its turned box is filled."""
    x, y, height = part.size_mm
    turn = math.radians(copy.turned_deg)
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    width, depth = x * cos + y * sin, x * sin + y * cos
    low = [copy.x_mm - width / 2, copy.y_mm - depth / 2, raised]
    return _Room([*low, low[0] + width, low[1] + depth, raised + height], (min(x * cos, y * sin), min(x * sin, y * cos)))


def _stands(found: Box, room: _Room, flat: Flat) -> bool:
    """Lines run half their width inside the outline, and a little more where it is round or pointed."""
    wanted = room.box
    for axis in range(3):
        size = wanted[axis + 3] - wanted[axis]
        inside, outside = _beside(size, room.loose[axis], flat) if axis < 2 else _slack(size, flat)
        for past in (wanted[axis] - found[axis], found[axis + 3] - wanted[axis + 3]):
            if not -inside <= past <= outside:
                return False
    return True


def _beside(size: float, loose: float, flat: Flat) -> tuple[float, float]:
    return 1.5 + _TIP * size + loose, _number(flat["nozzle_diameter"]) / 2 + 0.1


def _slack(height: float, flat: Flat) -> tuple[float, float]:
    """How much lower and how much higher than it is a part may come out: it is cut into whole layers."""
    layer = max(_number(flat["layer_height"]), _number(flat["first_layer_height"]))
    return 1.5 * layer + 0.02 + _TIP * height, layer / 2 + 0.02


def _told(box: Box) -> str:
    return f"{box[3] - box[0]:.1f}×{box[4] - box[1]:.1f}×{box[5]:.1f} mm at {(box[0] + box[3]) / 2:.1f}, {(box[1] + box[4]) / 2:.1f}"


def _shape(facts: GcodeFacts, flat: Flat, profile: Profile) -> Iterator[ProofLine]:
    laid = facts.layers > 0 and math.isfinite(facts.bounds[5])
    for axis, (low, high) in enumerate((profile.bed_x_mm, profile.bed_y_mm)):
        found = (facts.bounds[axis], facts.bounds[axis + 3])
        inside = laid and low <= found[0] and found[1] <= high
        yield _line(f"inside the bed in {'xy'[axis]}", f"{low:g}…{high:g} mm", f"{found[0]:.2f}…{found[1]:.2f} mm", inside)
    if not profile.bed.is_plain:
        free = f"{len(profile.bed.corners)} corners, {len(profile.bed.excluded)} excluded zones"
        strays = ["not looked at"] if facts.strays is None else facts.strays
        yield _line("on the free part of the bed", f"everything ({free})", _few(strays) or "everything", not strays)
    top, most = facts.bounds[5], profile.bed_mm[2]
    yield _line("below the printer's top", f"{most:g} mm", f"{top:.2f} mm", laid and 0 < top <= most)
    yield from _layers(facts, flat)


def _layers(facts: GcodeFacts, flat: Flat) -> Iterator[ProofLine]:
    """Between layers of a part that stand on supports, those may be as high as the nozzle is wide."""
    layer, first = _number(flat["layer_height"]), _number(flat["first_layer_height"]) + _number(flat.get("z_offset", "0"))
    yield _line("first layer in moves", f"{first:g} mm", f"{facts.first_mm:g} mm", abs(facts.first_mm - first) < 0.006)
    if facts.layer_mm:
        yield _line("layer height in moves", f"{layer:g} mm", f"{facts.layer_mm:g} mm", abs(facts.layer_mm - layer) < 0.006)
    supported = any(facts.laid_mm.get(feature) for feature in SUPPORTS)
    most = 1.5 * layer if not supported else max(1.5 * layer, _number(flat["nozzle_diameter"]) + 0.01)
    yield _line("no layer is missing", f"steps up to {most:g} mm", f"{facts.widest_step_mm:g} mm", facts.widest_step_mm <= most)


# --- how it is made ---------------------------------------------------------------------------------------------------
def _settings(account: Flat, made: Made) -> Iterator[ProofLine]:
    """The slicer's own account of what it used: an option it dropped, or did not know, shows here."""
    asked, named = made.asked, made.named
    for key, name in named.items():
        if key in asked:
            found = account.get(key, "missing")
            yield _line(name, asked[key], found, _same(found, asked[key]))
    others = sorted(asked.keys() - named.keys())
    changed = [f"{key} = {account.get(key, 'missing')[:60]}" for key in others if not _same(account.get(key, "missing"), asked[key])]
    yield _line("every other setting of the profile", f"{len(others)} as given", _few(changed) or f"{len(others)} as given", not changed)


def _supports(facts: GcodeFacts, settings: PrintSettings) -> Iterator[ProofLine]:
    """Supports that were asked for may be none: a cube needs none."""
    supports = sum(facts.laid_mm.get(feature, 0.0) for feature in SUPPORTS)
    if settings.supports is Supports.NO:
        yield _line("support laid", "none", f"{supports:.0f} mm", supports <= 0)


def _filament(facts: GcodeFacts, volume_mm3: float, settings: PrintSettings, flat: Flat) -> Iterator[ProofLine]:
    """`volume_mm3` is that of all copies' meshes; bodies that overlap count twice in it."""
    area = math.pi / 4 * _number(flat["filament_diameter"]) ** 2
    infill = facts.laid_mm.get(INFILL, 0.0) * area
    walls = sum(laid for feature, laid in facts.laid_mm.items() if feature not in NOT_THE_PART and feature != INFILL) * area
    least, most = volume_mm3 * 0.8 * settings.infill_percent / 100, volume_mm3 * 2 + 1000
    yield _line("volume of the parts", f"{least:.0f}…{most:.0f} mm³", f"{walls + infill:.0f} mm³", least <= walls + infill <= most)
    pulled_back = sum(float(mm) for mm in _PULLED_BACK.findall(flat.get("end_gcode", "")))  # the slicer's own count leaves it out
    slack = 2 * _number(flat.get("retract_length", "2")) + pulled_back + 1 + 0.002 * facts.filament_mm
    # PrusaSlicer 2.9 counts what its start code primes the nozzle with, 2.5 does not.
    moved = min(facts.net_mm, facts.net_mm + facts.before_mm, key=lambda mm: abs(mm - facts.filament_mm))
    agrees = facts.filament_mm > 0 and abs(moved - facts.filament_mm) <= slack
    yield _line("filament in moves", f"{facts.filament_mm:.0f} ± {slack:.0f} mm", f"{moved:.0f} mm", agrees)
    if settings.infill_percent == 0:
        yield _line("infill laid", "none", f"{infill:.0f} mm³", infill <= 0)
    else:
        yield from _infill(infill, volume_mm3 - walls, volume_mm3, settings.infill_percent, flat["fill_pattern"])


def _infill(infill: float, room: float, volume: float, asked: int, pattern: str) -> Iterator[ProofLine]:
    """The share of the room inside walls and solid layers that is filled. Coarse: see the head of this file for what it cannot tell."""
    if room < _ROOM_FOR_INFILL * volume:
        return
    share, most = infill / room * 100, asked + 15
    least = 0.0 if pattern in _UNEVEN_PATTERNS else asked * 0.8 - 1
    yield _line("infill in moves", f"{max(least, 0):.0f}…{most:.0f} %", f"{share:.0f} %", least <= share <= most)


def _temperatures(facts: GcodeFacts, settings: PrintSettings, flat: Flat, profile: Profile) -> Iterator[ProofLine]:
    limits = profile.limits[profile.material(settings.material)]
    for name, key, ever, laid, (low, high) in (
        ("nozzle", "temperature", facts.nozzle_c, facts.laid_at_nozzle_c, limits.nozzle_c),
        ("bed", "bed_temperature", facts.bed_c, facts.laid_at_bed_c, limits.bed_c),
    ):
        asked = {_number(flat[key]), _number(flat[f"first_layer_{key}"])}
        yield _line(f"{name} while printing", _degrees(asked), _degrees(laid) or "never set", bool(laid) and set(laid) <= asked)
        safe = all(0 <= value <= high for value in ever) and all(low <= value for value in laid)
        yield _line(f"{name} heated to", f"{low}…{high} °C", _degrees(value for value in ever if value) or "not heated", safe)


def _safe(facts: GcodeFacts) -> ProofLine:
    found = refused_commands(facts.commands)
    return _line("safe commands only", "none of the unsafe", _few(found) or "none", not found)


# --- words and numbers ------------------------------------------------------------------------------------------------
def _few(things: Iterable[str]) -> str:
    things = list(things)
    return ", ".join(things[:5]) + (f" and {len(things) - 5} more" if len(things) > 5 else "")


def _degrees(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g} °C" for value in sorted(values))


def _number(value: str) -> float:
    """The first one, where there is one for each tool."""
    return float(value.rstrip("%").split(",")[0])


def _same(found: str, wanted: str) -> bool:
    """As numbers where both are, else as text: 0.2 is 0.20, and `"PLA"` is PLA."""
    if found.strip('"').casefold() == wanted.strip('"').casefold():
        return True
    return len(found.split(",")) == len(wanted.split(",")) and all(map(_same_number, found.split(","), wanted.split(",")))


def _same_number(found: str, wanted: str) -> bool:
    try:
        return found.endswith("%") == wanted.endswith("%") and math.isclose(_number(found), _number(wanted), abs_tol=1e-6)
    except ValueError:
        return _same_point(found, wanted)


def _same_point(found: str, wanted: str) -> bool:
    """A corner of the bed, 99.6195x8.71557; the slicer rounds it to six digits."""
    try:
        (x, y), (wanted_x, wanted_y) = (map(float, point.split("x")) for point in (found, wanted))
    except ValueError:
        return False
    return math.dist((x, y), (wanted_x, wanted_y)) < 0.002
