"""Runs of `G1 X… Y… E…`, read all at once: the loops over their lines are those of Python's own functions, not ours."""

import math
from operator import eq, sub
from typing import NamedTuple

from agent.slicers.bed import Area, Point

SHAPE = b"G X Y E"
"""What is left of such a line without its numbers."""
_NUMBERS = b"0123456789.-"
_LETTERS_TO_SPACES = bytes.maketrans(b"YE", b"  ")


class Run(NamedTuple):
    """`pushed`: filament in mm, line by line, all above 0. `around`: of every end of every line. `last_e`: the number after the last E."""

    pushed: list[float]
    around: Area
    end: Point
    last_e: float


def shapes(lines: bytes) -> list[bytes]:
    """Of each line, what it is without its numbers."""
    return lines.translate(None, _NUMBERS).split(b"\n")


def read_run(lines: list[bytes], begin: Point, e: float | None) -> Run | None:
    """Lines of SHAPE, laid one after the other from `begin`. `e`: where the extruder is, None where each line tells its own share.

    None where a line is no such move after all, goes nowhere or pushes nothing: `G1 X1 2Y E3` has the shape, too. What is read is what
    each line says: it begins with `G1 X` (else letters are left, and are no number), the other words begin where they should, and there
    are as many numbers as words.
    """
    text, count = b"\n" + b"\n".join(lines), len(lines)
    if not text.count(b" Y") == text.count(b" E") == count:
        return None
    try:
        numbers = list(map(float, text.replace(b"\nG1 X", b" ").translate(_LETTERS_TO_SPACES).split()))
    except ValueError:
        return None
    if len(numbers) != 3 * count:
        return None
    xs, ys, es = numbers[0::3], numbers[1::3], numbers[2::3]
    pushed = es if e is None else list(map(sub, es, [e, *es]))
    points = list(zip(xs, ys, strict=True))
    if min(pushed) <= 0 or not math.isfinite(sum(pushed)) or any(map(eq, points, [begin, *points])):
        return None
    around = Area(min(begin[0], *xs), min(begin[1], *ys), max(begin[0], *xs), max(begin[1], *ys))
    return Run(pushed, around, points[-1], es[-1])
