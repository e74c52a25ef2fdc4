"""What a person should know of a model before it is printed as it was ordered. Advice: it holds nothing up and refuses nothing."""

from collections.abc import Iterator, Mapping, Sequence

from agent.domain.fit import Packaging, sides
from agent.domain.mesh import MeshReport, Stance
from agent.domain.offer import Item, Offer, Supports

# Measured on 329 parts of three printers' own sets, all drawn to be printed as they lie and without supports: none is told anything.
# Their most overhang is 15 %, most of it flat 5.4 %, their least contact 6.9 % of the box, their least tilt 10.5°.
_OVERHANG_SHARE = 0.20
_CEILING_SHARE = 0.08
_CONTACT_SHARE = 0.05
_TIPS_AT_DEG = 8.0
_NOTHING_HANGS = 0.01


def advice(offer: Offer, meshes: Mapping[str, MeshReport]) -> list[str]:
    """Sentences, each once. A model that is held has a person's eye anyway."""
    sentences = [
        f"{offer.file(item.file_id).name}: {text}"
        for item in offer.items
        if (report := meshes.get(item.file_id)) is not None and report.stance is not None
        for text in _about(item, report, report.stance)
    ]
    return list(dict.fromkeys(sentences))


def unpackable(offer: Offer, meshes: Mapping[str, MeshReport], packagings: Sequence[Packaging]) -> list[str]:
    """Models that go into no packaging: where their size was not known, or was told wrong, before the offer was accepted."""
    names = ", ".join(packaging.name for packaging in packagings)
    return [
        f"{offer.file(file_id).name}: {sides(report.bounding_box_mm)} goes into none of your packagings ({names})."
        for file_id, report in meshes.items()
        if packagings and not any(packaging.holds(report.bounding_box_mm) for packaging in packagings)
    ]


def _about(item: Item, report: MeshReport, stance: Stance) -> Iterator[str]:
    alone = item.supports is Supports.NO
    if alone:
        yield from _overhang(stance)
    width, depth, _ = report.bounding_box_mm
    if alone and stance.bed_contact_mm2 < _CONTACT_SHARE * width * depth:
        yield f"it touches the bed with only {stance.bed_contact_mm2:.1f} mm², and the order says no supports: it may come loose."
    elif stance.tips_at_deg < _TIPS_AT_DEG and (alone or stance.overhang_share < _NOTHING_HANGS):
        yield f"it stands on little for its height (tilted by {stance.tips_at_deg:.0f}° it falls over): it may come loose."


def _overhang(stance: Stance) -> Iterator[str]:
    if stance.ceiling_share >= _CEILING_SHARE:
        yield f"{stance.ceiling_share:.0%} of its surface lies flat over air, and the order says no supports: it may sag there."
    elif stance.overhang_share >= _OVERHANG_SHARE:
        yield f"{stance.overhang_share:.0%} of its surface hangs over by more than 45°, and the order says no supports: it may sag there."
