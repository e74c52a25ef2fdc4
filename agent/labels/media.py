"""Papers by the names that printers give them (PWG 5101.1), found by their size: every driver calls the same paper something else."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_PAPERS = {
    "4×6 in label": (101.6, 152.4),
    "100×150 mm label": (100.0, 150.0),
    "A6": (105.0, 148.0),
    "A5": (148.0, 210.0),
    "A4": (210.0, 297.0),
    "Letter": (215.9, 279.4),
}
_NAMES = {
    "4×6 in label": "na_index-4x6_4x6in",
    "100×150 mm label": "om_small-photo_100x150mm",
    "A6": "iso_a6_105x148mm",
    "A5": "iso_a5_148x210mm",
    "A4": "iso_a4_210x297mm",
    "Letter": "na_letter_8.5x11in",
}
CHOICES = {
    "4x6in": "4×6 in label",
    "100x150mm": "100×150 mm label",
    "a6": "A6",
    "a5": "A5",
    "a4": "A4",
    "letter": "Letter",
}
"""As they are written in a configuration."""
_SIZE = re.compile(r"_([0-9.]+)x([0-9.]+)(mm|in)$")
_SAME_MM = 1.2
"""Less than the two label sizes differ in."""


class Size(NamedTuple):
    """Upright, in mm."""

    width: float
    height: float

    def holds(self, other: "Size") -> bool:
        return other.width <= self.width + _SAME_MM and other.height <= self.height + _SAME_MM


def paper_of(width_mm: float, height_mm: float) -> str:
    """The name of a page's size, upright or lying: of those that differ by little, the nearest. Empty where it has none."""
    short, long = sorted((width_mm, height_mm))
    off = {name: max(abs(short - sides[0]), abs(long - sides[1])) for name, sides in _PAPERS.items()}
    nearest = min(off, key=lambda name: off[name])
    return nearest if off[nearest] <= _SAME_MM else ""


def sides_of(paper: str) -> tuple[float, float]:
    return _PAPERS[paper]


def size_of(media: str) -> Size | None:
    """The size in a self-describing name; None where there is none in it."""
    found = _SIZE.search(media)
    if found is None:
        return None
    unit = 25.4 if found[3] == "in" else 1.0
    try:
        short, long = sorted((float(found[1]) * unit, float(found[2]) * unit))
    except ValueError:
        return None
    return Size(short, long)


def upright(width_mm: float, height_mm: float) -> Size:
    return Size(*sorted((width_mm, height_mm)))


def named(wanted: Size, supported: Sequence[str]) -> str | None:
    """What this printer calls a paper of that size; None where it has none. One that tells no papers takes the usual name."""
    sizes = {media: size for media in supported if not media.startswith("custom_") and (size := size_of(media)) is not None}
    off = {media: max(abs(size.width - wanted.width), abs(size.height - wanted.height)) for media, size in sizes.items()}
    if off and min(off.values()) <= _SAME_MM:
        return min(off, key=lambda media: off[media])
    if not supported or _within_custom(wanted, supported):
        return _NAMES.get(paper_of(*wanted)) or f"custom_label_{wanted.width:g}x{wanted.height:g}mm"
    return None


def _within_custom(wanted: Size, supported: Sequence[str]) -> bool:
    least = next((size_of(media) for media in supported if media.startswith("custom_min_")), None)
    most = next((size_of(media) for media in supported if media.startswith("custom_max_")), None)
    return least is not None and most is not None and wanted.holds(least) and most.holds(wanted)
