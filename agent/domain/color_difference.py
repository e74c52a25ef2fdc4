"""How different two colours look: CIEDE2000, from sRGB hex values.

The formula: CIE 142-2001, in the notation of Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes,
Supplementary Test Data, and Mathematical Observations", Color Research and Application 30 (2005), whose pairs are the test.
sRGB and its white (D65): IEC 61966-2-1.
"""

import math
from functools import lru_cache

Lab = tuple[float, float, float]
"""CIELAB: lightness 0…100, green to red, blue to yellow."""

LIMIT = 8.0
"""Colours up to here pass for the same, where nothing else was said. Chosen by what it tells apart: docs/deciding.md."""
_WHITE = (0.95047, 1.0, 1.08883)
_25_7 = 25.0**7


@lru_cache(maxsize=4096)
def difference(one: str, other: str) -> float:
    """Of two colours such as #1a1a1a: 0 for the same one, about 1 where an eye just sees it, 100 from black to white."""
    return ciede2000(lab(one), lab(other))


def lab(code: str) -> Lab:
    """Of a colour such as #1a1a1a."""
    red, green, blue = (_linear(int(code[n : n + 2], 16) / 255) for n in (1, 3, 5))
    x, y, z = (
        _cube_root(part / white)
        for part, white in zip(
            (
                0.4124564 * red + 0.3575761 * green + 0.1804375 * blue,
                0.2126729 * red + 0.7151522 * green + 0.0721750 * blue,
                0.0193339 * red + 0.1191920 * green + 0.9503041 * blue,
            ),
            _WHITE,
            strict=True,
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _cube_root(part: float) -> float:
    """As CIELAB has it: straight near black."""
    return math.cbrt(part) if part > (6 / 29) ** 3 else part / (3 * (6 / 29) ** 2) + 4 / 29


def ciede2000(one: Lab, other: Lab) -> float:
    """With all three weights (kL, kC, kH) 1."""
    (light1, a1, b1), (light2, a2, b2) = one, other
    mean_chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    grey = 1 + 0.5 * (1 - math.sqrt(mean_chroma**7 / (mean_chroma**7 + _25_7)))
    chroma1, hue1 = _polar(a1 * grey, b1)
    chroma2, hue2 = _polar(a2 * grey, b2)
    light, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2
    turn, hue = _hues(hue1, hue2, colourless=chroma1 * chroma2 == 0)
    delta_hue = 2 * math.sqrt(chroma1 * chroma2) * math.sin(math.radians(turn) / 2)
    by_light = (light2 - light1) / (1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2))
    by_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    by_hue = delta_hue / (1 + 0.015 * chroma * _hue_weight(hue))
    return math.sqrt(by_light**2 + by_chroma**2 + by_hue**2 + _blue_turn(hue, chroma) * by_chroma * by_hue)


def _polar(a: float, b: float) -> tuple[float, float]:
    """Chroma, and hue in degrees from 0 to 360."""
    return math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360


def _hues(hue1: float, hue2: float, *, colourless: bool) -> tuple[float, float]:
    """The turn from the first to the second, the shorter way round, and the hue halfway. Grey has no hue: the other one's counts."""
    if colourless:
        return 0.0, hue1 + hue2
    turn = hue2 - hue1
    if abs(turn) <= 180:
        return turn, (hue1 + hue2) / 2
    halfway = (hue1 + hue2) / 2 + (180 if hue1 + hue2 < 360 else -180)
    return turn - math.copysign(360, turn), halfway


def _hue_weight(hue: float) -> float:
    def cos(degrees: float) -> float:
        return math.cos(math.radians(degrees))

    return 1 - 0.17 * cos(hue - 30) + 0.24 * cos(2 * hue) + 0.32 * cos(3 * hue + 6) - 0.20 * cos(4 * hue - 63)


def _blue_turn(hue: float, chroma: float) -> float:
    """In blue, chroma and hue are not seen apart."""
    angle = 30 * math.exp(-(((hue - 275) / 25) ** 2))
    return -2 * math.sqrt(chroma**7 / (chroma**7 + _25_7)) * math.sin(math.radians(2 * angle))
