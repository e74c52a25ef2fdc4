"""What a person should know of a model before it is printed as it was ordered. Advice: it holds nothing up and refuses nothing."""

from collections.abc import Iterator, Mapping, Sequence

from agent.domain.fit import Packaging, sides
from agent.domain.mesh import MeshReport, Stance
from agent.domain.offer import Item, Offer, Supports
from agent.domain.printer import PrinterFacts
from agent.domain.standing import CEILING_SHARE, hardly_touches, sags, wobbles
from agent.workflow.poses import better_pose

_NOTHING_HANGS = 0.01


def advice(
    offer: Offer, meshes: Mapping[str, MeshReport], printers: Sequence[PrinterFacts] = (), packagings: Sequence[Packaging] = ()
) -> list[str]:
    """Sentences, each once. A model that is held has a person's eye anyway. A better side is named where no printer and no packaging is
    lost by it."""
    sentences = [
        f"{offer.file(item.file_id).name}: {text}"
        for item in offer.items
        if (report := meshes.get(item.file_id)) is not None and report.stance is not None
        for text in _about(item, report, report.stance, printers, packagings)
    ]
    return list(dict.fromkeys(sentences))


def unpackable(offer: Offer, meshes: Mapping[str, MeshReport], packagings: Sequence[Packaging]) -> list[str]:
    """Models that go into no packaging: where their size was not known, or was told wrong, before the offer was accepted."""
    names = ", ".join(packaging.name for packaging in packagings)
    printed = [(item.file_id, meshes[item.file_id].as_printed(item.supports)) for item in offer.items if item.file_id in meshes]
    sentences = [
        f"{offer.file(file_id).name}: {sides(report.bounding_box_mm)} goes into none of your packagings ({names})."
        for file_id, report in printed
        if packagings and not any(packaging.holds(report.bounding_box_mm) for packaging in packagings)
    ]
    return list(dict.fromkeys(sentences))


def _about(
    item: Item, report: MeshReport, given: Stance, printers: Sequence[PrinterFacts], packagings: Sequence[Packaging]
) -> Iterator[str]:
    printed = report.as_printed(item.supports)
    if report.turned is not None and printed is not report:
        yield report.turned.told_as_printed(given)
    yield from _complaints(item, printed, printed.stance or given)
    pose = better_pose(printed, printers, packagings) if item.supports is Supports.NO else None
    if pose is not None and report.turned is None:
        yield pose.told(given)


def _complaints(item: Item, report: MeshReport, stance: Stance) -> Iterator[str]:
    alone = item.supports is Supports.NO
    if alone and sags(stance):
        yield _overhang(stance)
    if alone and hardly_touches(stance, report.bounding_box_mm):
        yield f"it touches the bed with only {stance.bed_contact_mm2:.1f} mm², and the order says no supports: it may come loose."
    elif wobbles(stance) and (alone or stance.overhang_share < _NOTHING_HANGS):
        yield f"it stands on little for its height (tilted by {stance.tips_at_deg:.0f}° it falls over): it may come loose."


def _overhang(stance: Stance) -> str:
    if stance.ceiling_share >= CEILING_SHARE:
        return f"{stance.ceiling_share:.0%} of its surface lies flat over air, and the order says no supports: it may sag there."
    return f"{stance.overhang_share:.0%} of its surface hangs over by more than 45°, and the order says no supports: it may sag there."
