"""What making something takes, by box, volume and infill: of a kind with what the slicer says, and on the safe side in the plan."""

import pytest

from agent.domain.offer import Item, Supports
from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.workflow.estimating import SAFETY_S, estimated, with_safety
from tests.workflow.workshop import BLACK

MK3S = PrinterFacts(
    name="mk3s",
    kind="fake",
    profile="prusa-mk3s",
    slicer="prusaslicer",
    bed_mm=(238, 198, 210),
    nozzle_mm=0.4,
    materials=[LoadedMaterial(material="PLA", color=BLACK)],
    profile_materials=["PLA"],
)


def item(box: tuple[float, float, float] | None, volume: float | None, infill: int, supports: str = "no", quantity: int = 1) -> Item:
    return Item(
        item_id="a", file_id="f", quantity=quantity, color=BLACK, infill_percent=infill, supports=Supports(supports),
        bounding_box_mm=list(box) if box else None, volume_mm3=volume,
    )  # fmt: skip


SLICED = [
    ("cube", (20, 20, 20), 8000, 15, "no", 1273, 3.6),
    ("cube", (20, 20, 20), 8000, 60, "operator", 2702, 6.7),
    ("hook", (30, 46, 8), 3833, 15, "no", 917, 2.8),
    ("plate", (100, 60, 3), 18000, 15, "no", 3684, 15.7),
    ("tower", (15, 15, 120), 27000, 15, "no", 6550, 12.2),
    ("tower", (15, 15, 120), 27000, 60, "operator", 9503, 22.3),
    ("T", (40, 40, 34), 9400, 60, "operator", 4914, 16.5),
    ("thin", (150, 100, 2), 30000, 15, "no", 7698, 34.2),
    ("large", (60, 60, 60), 216000, 60, "operator", 66947, 158.8),
    ("duct", (43.3, 27.6, 19.9), 3416.5, 60, "yes", 2814, 5.98),
    ("cam", (11.1, 12.0, 9.8), 671.2, 10, "yes", 721, 1.21),
    ("spider", (6.2, 8.0, 3.3), 9.8, 10, "yes", 147, 0.16),
]
"""What PrusaSlicer 2.5 said for an MK3S with layers of 0.2 mm: seconds and grams."""


@pytest.mark.parametrize(("name", "box", "volume", "infill", "supports", "seconds", "grams"), SLICED)
def test_an_estimate_is_of_a_kind_with_the_slice_and_on_the_safe_side_in_the_plan(
    name: str, box: tuple[float, float, float], volume: float, infill: int, supports: str, seconds: int, grams: float
) -> None:
    found = estimated([item(box, volume, infill, supports)], {}, MK3S)
    assert found is not None and len(found) == 1, name
    (safe,) = with_safety(found)
    assert seconds <= safe.print_seconds <= 4 * seconds + SAFETY_S
    assert grams <= safe.filament_g <= 4 * grams + 0.5


def test_more_copies_take_more_and_more_plates() -> None:
    one, many = (estimated([item((50, 50, 20), 20000, 15, quantity=quantity)], {}, MK3S) for quantity in (1, 40))
    assert one is not None and many is not None
    assert len(one) == 1 and 4 <= len(many) <= 6  # 12 of 60×60 mm stand on that bed at the very most
    assert sum(plate.filament_g for plate in many) == pytest.approx(40 * one[0].filament_g, rel=0.01)


def test_by_its_box_alone_a_part_is_taken_to_fill_it_and_without_one_nothing_is_known() -> None:
    assert estimated([item((20, 20, 20), None, 15)], {}, MK3S) == estimated([item((20, 20, 20), 8000, 15)], {}, MK3S)
    assert estimated([item(None, None, 15)], {}, MK3S) is None
    assert estimated([item((20, 20, 20), None, 15), item(None, None, 15)], {}, MK3S) is None
    (by_volume,) = estimated([item(None, 8000, 15)], {}, MK3S) or []
    assert by_volume.filament_g > 0
