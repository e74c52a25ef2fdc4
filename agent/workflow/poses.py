"""On which side a model is printed: another one than it is given on is proposed, and taken only where the operator configured that."""

from collections.abc import Sequence
from enum import StrEnum

from agent.domain.fit import Packaging, Sides, lie
from agent.domain.mesh import MeshReport, Pose
from agent.domain.offer import Offer, Supports
from agent.domain.printer import PrinterFacts
from agent.ports.meshes import MeshInspector


class Orient(StrEnum):
    """PROPOSE: a better side is told, and the model printed as it is given · APPLY: it is printed on that side."""

    PROPOSE = "propose"
    APPLY = "apply"


def better_pose(report: MeshReport, printers: Sequence[PrinterFacts], packagings: Sequence[Packaging]) -> Pose | None:
    """The best side of a model that stands badly, of those by which no printer and no packaging is lost that it fits as it is given."""
    return next((pose for pose in report.better_poses if _loses_nothing(pose, report, printers, packagings)), None)


def _loses_nothing(pose: Pose, report: MeshReport, printers: Sequence[PrinterFacts], packagings: Sequence[Packaging]) -> bool:
    given, then = report.bounding_box_mm, pose.bounding_box_mm
    fits = all(_fits(then, printer) for printer in printers if _fits(given, printer))
    return fits and all(packaging.holds(then) for packaging in packagings if packaging.holds(given))


def _fits(size: Sides, printer: PrinterFacts) -> bool:
    return lie(size, printer.bed_mm, printer.free_mm) is not None


def without_supports(offer: Offer, file_id: str) -> bool:
    """Whether any copy of that model is ordered without supports."""
    return any(item.file_id == file_id and item.supports is Supports.NO for item in offer.items)


async def laid(
    report: MeshReport, meshes: MeshInspector, printers: Sequence[PrinterFacts], packagings: Sequence[Packaging] = ()
) -> MeshReport:
    """The report with its best side written, so that its copies without supports are printed on it; as it was where there is none."""
    pose = better_pose(report, printers, packagings)
    return report if pose is None else report.model_copy(update={"turned": await meshes.turned(report.canonical_sha256, pose)})
