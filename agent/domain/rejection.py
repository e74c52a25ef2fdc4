"""Pieces that a person looked at and will not hand in: they are printed again. Grams and seconds are shares of the plates they lay on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from agent.domain.mesh import MeshReport
from agent.domain.order import Dossier
from agent.domain.plate import SlicedPlate
from agent.domain.values import Name, Text, Token, Value

LONGEST_WHY = 500


class RejectReason(StrEnum):
    """Why."""

    FLAWS = "flaws"
    RESIDUE = "residue"
    WARPED = "warped"
    LAYERS = "layers"
    BROKEN = "broken"
    SIZE = "size"
    COLOR = "color"
    LOST = "lost"
    OTHER = "other"


REASONS = {
    RejectReason.FLAWS: "visible flaws: strings, blobs, gaps",
    RejectReason.RESIDUE: "white residue, or remains of supports",
    RejectReason.WARPED: "warped, or lifted from the bed",
    RejectReason.LAYERS: "layers shifted, split or missing",
    RejectReason.BROKEN: "broken while it was taken off or worked on",
    RejectReason.SIZE: "not the right size, or does not fit",
    RejectReason.COLOR: "not the right colour or material",
    RejectReason.LOST: "lost",
    RejectReason.OTHER: "something else",
}
"""In words for people."""


class Rejection(Value):
    """`pieces`: item -> how many. `why`: in the person's own words. `tell_delay`: the marketplace is to be told that it will be late."""

    pieces: dict[Token, int]
    reason: RejectReason
    why: Text = ""
    tell_delay: bool = False


class Costs(Value):
    """What pieces took on the printer."""

    grams: float
    seconds: int


class Reprint(Value):
    """What printing pieces again would take, as the plan stands now. `ready_at`: the last one is off its printer; None: not known.

    `in_time`: there is time enough left then to pack and drop off before `ship_by`. `reasons`: what speaks against it.
    """

    costs: Costs
    ready_at: datetime | None = None
    ship_by: datetime | None = None
    in_time: bool
    reasons: list[str] = []


class Share(Value):
    """Pieces of one item as they were printed before: what each took, as a mean over `plate` and others like it."""

    plate: SlicedPlate
    costs: Costs


def shares(dossier: Dossier, pieces: Mapping[str, int]) -> list[Share]:
    """For each item whose pieces were printed: what so many of them take, by their volume among what lay on the same plates."""
    return [share for item_id, count in pieces.items() if (share := _share(dossier, item_id, count)) is not None]


def costs(dossier: Dossier, pieces: Mapping[str, int]) -> Costs:
    found = [share.costs for share in shares(dossier, pieces)]
    return Costs(grams=round(sum(one.grams for one in found), 2), seconds=sum(one.seconds for one in found))


def _share(dossier: Dossier, item_id: str, count: int) -> Share | None:
    plates = [plate for plate in dossier.plates if plate.copies.get(item_id)]
    made = sum(plate.copies[item_id] for plate in plates)
    if not made:
        return None
    volumes = _volumes(dossier)
    parts = [_part_of(plate, item_id, volumes) for plate in plates]
    grams = sum(part * plate.filament_g for part, plate in zip(parts, plates, strict=True))
    seconds = sum(part * plate.print_seconds for part, plate in zip(parts, plates, strict=True))
    return Share(plate=plates[-1], costs=Costs(grams=round(grams * count / made, 2), seconds=round(seconds * count / made)))


def _part_of(plate: SlicedPlate, item_id: str, volumes: Mapping[str, float]) -> float:
    whole = sum(volumes.get(other, 1.0) * copies for other, copies in plate.copies.items())
    return volumes.get(item_id, 1.0) * plate.copies[item_id] / whole


def _volumes(dossier: Dossier) -> dict[str, float]:
    reports: Mapping[str, MeshReport] = dossier.meshes
    known = {item.item_id: reports[item.file_id].volume_mm3 for item in dossier.offer.items if item.file_id in reports}
    return {item_id: volume for item_id, volume in known.items() if volume > 0}


def told(dossier: Dossier, pieces: Mapping[str, int]) -> str:
    """“2 × hook.stl, 1 × lid.stl”."""
    names: dict[str, Name] = {file.file_id: file.name for file in dossier.offer.files}
    items: Sequence[tuple[str, str]] = [(item.item_id, names.get(item.file_id, item.file_id)) for item in dossier.offer.items]
    return ", ".join(f"{pieces[item_id]} × {name}" for item_id, name in items if pieces.get(item_id))
