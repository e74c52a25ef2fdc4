"""What making something takes, from box, volume and infill alone: where it could not be sliced before the answer."""

import math
from collections.abc import Mapping, Sequence

from agent.domain.fit import Sides
from agent.domain.mesh import MeshReport
from agent.domain.offer import Item, Supports
from agent.domain.printer import PrinterFacts
from agent.domain.schedule import PlateNeed
from agent.workflow.sizes import size_of

SAFETY = 1.4
"""In the plan an estimate counts for so much more."""
SAFETY_S = 300
"""And a plate for that much more: it warms up, and each layer of a small part waits for the one below to cool."""
_SAFETY_G = 0.5
"""With the safeties none of 144 slices that PrusaSlicer made of 25 parts for an MK3S took longer, or more; without these two 12 did, all
of parts below 15 mm."""
_DENSITY_G_MM3 = 0.00125
_SECONDS_PER_GRAM = 400
"""225 for a flat part, 350 for a small cube, 540 for a thin tower, at layers of 0.2 mm."""
_SHELL_MM = 1.0
"""How thick walls, floors and ceilings are, which are solid whatever the infill."""
_SHELL_SHARE = 0.5
"""How much of a part they are, where its box is not known."""
_SUPPORTS_SHARE = 0.3
_APART_MM = 10.0
_BED_SHARE = 0.7
"""How much of a bed parts of many sizes cover."""


def estimated(items: Sequence[Item], meshes: Mapping[str, MeshReport], printer: PrinterFacts) -> list[PlateNeed] | None:
    """For items that share their settings, plate by plate; None where not even a box is known of one of them."""
    grams, covered = 0.0, 0.0
    for item in items:
        volume, size = _volume(item, meshes), size_of(item, meshes)
        if volume is None:
            return None
        solid = _SHELL_SHARE if size is None else min(1.0, _shell_mm3(size) / volume)
        filled = solid + (1 - solid) * item.infill_percent / 100
        supports = 1.0 if item.supports is Supports.NO else 1 + _SUPPORTS_SHARE
        grams += item.quantity * volume * _DENSITY_G_MM3 * filled * supports
        covered += item.quantity * (size[0] + _APART_MM) * (size[1] + _APART_MM) if size else 0.0
    copies = sum(item.quantity for item in items)
    plates = min(copies, max(1, math.ceil(covered / (printer.bed_mm[0] * printer.bed_mm[1] * _BED_SHARE))))
    need = PlateNeed(print_seconds=max(60, round(grams * _SECONDS_PER_GRAM / plates)), filament_g=round(grams / plates, 2))
    return [need] * plates


def with_safety(needs: Sequence[PlateNeed]) -> list[PlateNeed]:
    """As the plan reckons with an estimate."""
    return [
        PlateNeed(print_seconds=round(need.print_seconds * SAFETY) + SAFETY_S, filament_g=round(need.filament_g * SAFETY + _SAFETY_G, 2))
        for need in needs
    ]


def _shell_mm3(size: Sides) -> float:
    """Of the box: the part's own surface is mostly larger, and its volume smaller."""
    return math.prod(size) - math.prod(max(0.0, side - 2 * _SHELL_MM) for side in size)


def _volume(item: Item, meshes: Mapping[str, MeshReport]) -> float | None:
    """In mm³ of one copy: at most all of its box, where nobody says more."""
    report = meshes.get(item.file_id)
    if report is not None and report.volume_mm3 > 0:
        return report.volume_mm3
    if item.volume_mm3 is not None and item.volume_mm3 > 0:
        return item.volume_mm3
    size = size_of(item, meshes)
    return None if size is None else max(math.prod(size), 1.0)
