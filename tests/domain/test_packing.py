"""Many boxes into one: what is said to fit has a place for each copy, and what is said not to is proved."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.fit import Packaging, Sides
from agent.domain.packing import Block, Fit, Kind, pack

SLACK = 1e-6
BOX = Packaging(name="box-s", inner_mm=(150, 100, 80))

sides = st.floats(5, 90)
kinds = st.builds(Kind, st.tuples(sides, sides, sides), st.integers(1, 6))
packagings = st.builds(
    Packaging,
    name=st.just("box"),
    inner_mm=st.tuples(st.floats(40, 200), st.floats(40, 200), st.floats(40, 200)),
    padding_mm=st.sampled_from([0.0, 0.0, 3.0, 10.0]),
)
orders = st.lists(kinds, min_size=1, max_size=6)


def copies(blocks: Sequence[Block], padding_mm: float) -> list[tuple[Sides, Sides]]:
    """Every copy's nearest and farthest corner."""
    found = []
    for block in blocks:
        for steps in product(*(range(n) for n in block.grid)):
            step = [(side + padding_mm) * n for side, n in zip(block.sides, steps, strict=True)]
            low = tuple(at + far for at, far in zip(block.at, step, strict=True))
            found.append((low, tuple(at + side for at, side in zip(low, block.sides, strict=True))))
    return found  # type: ignore[return-value]


def gap(one: tuple[Sides, Sides], other: tuple[Sides, Sides]) -> float:
    """How far apart along the axis they are farthest apart on; negative where they overlap."""
    return max(max(a - d, c - b) for a, b, c, d in zip(other[0], other[1], one[0], one[1], strict=True))


@settings(max_examples=100, deadline=None)
@given(order=orders, packaging=packagings)
def test_what_fits_has_a_place_for_each_copy_with_its_padding_and_none_overlap(order: list[Kind], packaging: Packaging) -> None:
    packed = pack(order, packaging)
    if packed.fit is not Fit.FITS:
        assert not packed.blocks and bool(packed.why) == (packed.fit is Fit.CANNOT)
        return
    count = Counter[int]()
    for block in packed.blocks:
        count[block.kind] += math.prod(block.grid)
        ways = permutations(order[block.kind].sides)
        assert any(all(abs(a - b) < 0.002 for a, b in zip(block.sides, way, strict=True)) for way in ways)
    assert [count[n] for n in range(len(order))] == [kind.copies for kind in order]
    placed = copies(packed.blocks, packaging.padding_mm)
    for low, high in placed:
        assert all(at >= packaging.padding_mm - SLACK for at in low)
        assert all(end <= inner - packaging.padding_mm + SLACK for end, inner in zip(high, packaging.inner_mm, strict=True))
    assert all(gap(one, other) >= packaging.padding_mm - SLACK for one, other in combinations(placed, 2))


@settings(max_examples=100, deadline=None)
@given(order=orders, more=kinds, packaging=packagings, shrink=st.floats(0.3, 1))
def test_what_cannot_be_cannot_be_with_more_parts_or_in_less_room(
    order: list[Kind], more: Kind, packaging: Packaging, shrink: float
) -> None:
    x, y, z = packaging.inner_mm
    smaller = packaging.model_copy(update={"inner_mm": (x, y * shrink, z)})
    if pack(order, packaging).fit is Fit.CANNOT:
        assert pack([*order, more], packaging).fit is Fit.CANNOT
        assert pack(order, smaller).fit is Fit.CANNOT
    if pack(order, smaller).fit is Fit.FITS:
        assert pack(order, packaging).fit is not Fit.CANNOT
        assert all(pack([kind], packaging).fit is not Fit.CANNOT for kind in order)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 2), st.floats(0.3, 0.7)), max_size=4), inner=st.tuples(sides, sides, sides))
def test_a_box_cut_into_a_few_pieces_is_never_said_not_to_hold_them(cuts: list[tuple[int, float]], inner: Sides) -> None:
    pieces = [inner]
    for axis, share in cuts:
        largest = pieces.pop(max(range(len(pieces)), key=lambda n: math.prod(pieces[n])))
        for part in (share, 1 - share):
            x, y, z = (side * part if n == axis else side for n, side in enumerate(largest))
            pieces.append((x, y, z))
    roomy = Packaging(name="box", inner_mm=(inner[0] + 0.01, inner[1] + 0.01, inner[2] + 0.01))
    assert pack([Kind(piece, 1) for piece in pieces], roomy).fit is not Fit.CANNOT


@pytest.mark.parametrize(
    ("order", "fit", "why"),
    [
        ([Kind((80, 150, 100), 1)], Fit.FITS, ""),
        ([Kind((75, 50, 40), 8)], Fit.FITS, ""),
        ([Kind((75, 50, 40), 9)], Fit.CANNOT, "the parts have more volume than there is room"),
        ([Kind((151, 10, 10), 1)], Fit.CANNOT, "one part alone is too large for it"),
        ([Kind((90, 85, 45), 2)], Fit.CANNOT, "two of the parts do not go in beside each other"),
        ([Kind((90, 85, 45), 1), Kind((95, 90, 50), 1)], Fit.CANNOT, "two of the parts do not go in beside each other"),
        ([Kind((100, 80, 60), 1), Kind((100, 80, 90), 1)], Fit.FITS, ""),
        ([Kind((10, 10, 10), 1200)], Fit.FITS, ""),
        ([Kind((10, 10, 10), 1201)], Fit.CANNOT, "the parts have more volume than there is room"),
        ([Kind((20, 20, 20), 140)], Fit.FITS, ""),
        ([Kind((26, 26, 26), 45)], Fit.FITS, ""),
        ([Kind((26, 26, 26), 46)], Fit.CANNOT, "so many of the parts do not go in beside each other"),
        ([Kind((60, 45, 30), 6), Kind((20, 20, 20), 3)], Fit.FITS, ""),
        ([], Fit.FITS, ""),
    ],
)
def test_what_fits_together(order: list[Kind], fit: Fit, why: str) -> None:
    packed = pack(order, BOX)
    assert (packed.fit, packed.why) == (fit, why)


def test_padding_is_kept_on_each_side_of_each_part() -> None:
    padded = Packaging(name="box", inner_mm=(100, 50, 50), padding_mm=10)
    assert padded.holds((80, 30, 30)) and not padded.holds((80.1, 30, 30))
    assert pack([Kind((35, 30, 30), 2)], padded).fit is Fit.FITS  # 10 + 35 + 10 + 35 + 10
    assert pack([Kind((35.1, 30, 30), 2)], padded).fit is Fit.CANNOT
    assert pack([Kind((10, 10, 10), 1)], Packaging(name="flat", inner_mm=(100, 100, 15), padding_mm=10)).fit is Fit.CANNOT


def test_a_search_without_an_end_is_given_up_and_said_to_be() -> None:
    """Sixty parts that would fill it to 98 %: nothing proves that they do not go in, and no place was found for all of them."""
    order = [Kind((31 + n % 7, 23 + n % 5, 17 + n % 3), 1) for n in range(60)]
    volume = sum(math.prod(kind.sides) for kind in order)
    side = (volume / 0.98) ** (1 / 3)
    assert pack(order, Packaging(name="tight", inner_mm=(side, side, side))).fit is Fit.UNKNOWN
