"""How large an item is, as far as that is known."""

from collections.abc import Mapping

from agent.domain.fit import Sides, sides
from agent.domain.mesh import MeshReport
from agent.domain.offer import Item


def size_of(item: Item, meshes: Mapping[str, MeshReport]) -> Sides | None:
    """The item's box in mm as it is printed: measured where the file was read, else as the marketplace says, else unknown."""
    report = meshes.get(item.file_id)
    if report is not None and report.triangles:
        return report.as_printed(item.supports).bounding_box_mm
    if item.bounding_box_mm is not None:
        x, y, z = item.bounding_box_mm
        return x, y, z
    return None


def size_told(size: Sides | None) -> str:
    return "size not known before acceptance" if size is None else sides(size)
