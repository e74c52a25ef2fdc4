"""From parts to plates: where each copy stands, and the 3MF that says so.

The slicer never arranges: that differs from version to version and fails silently. Rows, deepest parts first, each copy by its
box; more plates where one does not hold them all.
"""

import json
import math
import re
import struct
import sys
import zipfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import quoteattr

from agent.domain.errors import Refused
from agent.domain.fit import Sides, fits_on_another_side, lie, sides
from agent.domain.plate import Part
from agent.slicers.profiles import Profile

EDGE_MM = 6.0
"""Kept free around the bed: room for the skirt."""
GAP_MM = 5.0
"""Between two copies: room for supports and for a hand."""


@dataclass(frozen=True)
class Placed:
    """One copy: which part, where the middle of its box stands, and by how much it is turned about z, anticlockwise from above."""

    item_id: str
    mesh_sha256: str
    x_mm: float
    y_mm: float
    turned_deg: float


@dataclass(frozen=True)
class _Box:
    """So many copies of one part that find no place yet, and their size as they lie on the bed."""

    part: Part
    width: float
    depth: float
    turned_deg: float
    copies: int


_Corner = tuple[_Box, float, float]
"""One copy and its corner nearest to the front and left, counted from the row's beginning."""


def place(parts: Sequence[Part], profile: Profile) -> list[list[Placed]]:
    """Every copy of every part on as few plates as rows allow. Refused (code does_not_fit) where one copy alone does not fit."""
    width, depth, _ = room = usable_mm(profile)
    boxes = [_fitting(part, room, profile) for part in parts]
    boxes.sort(key=lambda box: (-box.depth, -box.width, box.part.item_id))
    plates: list[list[Placed]] = []
    while boxes:
        placed, boxes = _fill(boxes, width, depth)
        plates.append(_centred(placed, profile))
    return plates


def usable_mm(profile: Profile) -> Sides:
    """What deciding takes for the bed and placing keeps to."""
    width, depth, height = profile.bed_mm
    return width - 2 * EDGE_MM, depth - 2 * EDGE_MM, height


def _fitting(part: Part, room: Sides, profile: Profile) -> _Box:
    lies = lie(part.size_mm, room)
    if lies is not None:
        return _Box(part, lies.width_mm, lies.depth_mm, lies.turned_deg, part.quantity)
    on_another = ", unless it stands on another side" if fits_on_another_side(part.size_mm, room) else ""
    raise Refused(
        f"{sides(part.size_mm)} does not fit on {profile.name}, which prints {sides(room)}{on_another}.",
        hint="A larger printer is needed, or the customer's leave to turn or cut the part.",
        code="does_not_fit",
    )


def _fill(boxes: list[_Box], width: float, depth: float) -> tuple[list[_Corner], list[_Box]]:
    """One plate in rows from the front; what finds no room comes back in its order."""
    placed: list[_Corner] = []
    left: list[_Box] = []
    x, y, row_depth = 0.0, 0.0, 0.0
    for box in boxes:
        copies = box.copies
        while copies:
            if x > 0 and x + box.width > width:
                next_y = y + row_depth + GAP_MM
                if next_y + box.depth > depth:
                    break  # narrower ones may still find room in this row
                x, y, row_depth = 0.0, next_y, 0.0
            placed.append((box, x, y))
            x, row_depth, copies = x + box.width + GAP_MM, max(row_depth, box.depth), copies - 1
        if copies:
            left.append(replace(box, copies=copies))
    return placed, left


def _centred(placed: list[_Corner], profile: Profile) -> list[Placed]:
    """The group in the middle of the bed, where beds are flattest and warmest."""
    used_x = max(x + box.width for box, x, _ in placed)
    used_y = max(y + box.depth for box, _, y in placed)
    shift_x = sum(profile.bed_x_mm) / 2 - used_x / 2
    shift_y = sum(profile.bed_y_mm) / 2 - used_y / 2
    return [
        Placed(box.part.item_id, box.part.mesh_sha256, x + box.width / 2 + shift_x, y + box.depth / 2 + shift_y, box.turned_deg)
        for box, x, y in placed
    ]


# --- 3MF --------------------------------------------------------------------------------------------------------------

_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELS = (
    '<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel-1" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter" xml:lang="en-US" '
    'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" xmlns:slic3rpe="http://schemas.slic3r.org/3mf/2017/06">'
    # Without this PrusaSlicer 2.5 makes every copy but the first an object of its own, under another name.
    '<metadata name="slic3rpe:Version3mf">1</metadata><resources>'
)


_NAME = re.compile(r"item-([0-9a-f]+)")


def object_name(item_id: str) -> str:
    """The name a part has in the 3MF, and so in the G-code's labels: ours, safe and unique, never the customer's."""
    return "item-" + item_id.encode().hex()


def with_item_ids(text: str) -> str:
    """The slicer's words with our object names put back into item ids."""
    return _NAME.sub(lambda found: _item_of(found[1]), text)


def _item_of(digits: str) -> str:
    try:
        return bytes.fromhex(digits).decode()
    except ValueError:
        return "item-" + digits


def write_3mf(path: Path, placed: Sequence[Placed], meshes: Mapping[str, Path]) -> None:
    """One plate. `meshes`: sha256 -> canonical binary STL (lowest point at z 0, box centred at x = y = 0)."""
    objects: dict[tuple[str, str], int] = {}
    for copy in placed:
        objects.setdefault((copy.item_id, copy.mesh_sha256), len(objects) + 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELS)
        with archive.open("3D/3dmodel.model", "w", force_zip64=True) as model:
            model.write(_HEAD.encode())
            facets = {}
            for (item_id, sha256), number in objects.items():
                model.write(f'<object id="{number}" type="model" name={quoteattr(object_name(item_id))}><mesh>'.encode())
                for chunk in _mesh_xml(meshes[sha256]):
                    model.write(chunk)
                model.write(b"</mesh></object>")
                facets[number] = (meshes[sha256].stat().st_size - 84) // 50
            model.write(b"</resources><build>")
            for copy in placed:
                number, turn = objects[copy.item_id, copy.mesh_sha256], _turn(copy.turned_deg)
                model.write(f'<item objectid="{number}" transform="{turn} {copy.x_mm:.4f} {copy.y_mm:.4f} 0" printable="1"/>'.encode())
            model.write(b"</build></model>")
        names = {number: object_name(item_id) for (item_id, _), number in objects.items()}
        archive.writestr("Metadata/Slic3r_PE_model.config", _names_xml(names, facets))


def _turn(degrees: float) -> str:
    """The upper three rows of a 3MF transform; row vectors, so a turn's sine stands first."""
    turn = math.radians(degrees)
    sin, cos = round(math.sin(turn), 9), round(math.cos(turn), 9)
    return f"{cos:.9g} {sin:.9g} 0 {0 - sin:.9g} {cos:.9g} 0 0 0 1"


def _names_xml(names: dict[int, str], facets: dict[int, int]) -> str:
    """PrusaSlicer takes an object's name, which it puts into its labels, from this file of its own and not from the 3MF's attribute."""
    objects = "".join(
        f'<object id="{number}"><metadata type="object" key="name" value={quoteattr(name)}/>'
        f'<volume firstid="0" lastid="{facets[number] - 1}"><metadata type="volume" key="name" value={quoteattr(name)}/></volume></object>'
        for number, name in names.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><config>{objects}</config>'


def _mesh_xml(stl: Path) -> Iterator[bytes]:
    """Vertices with equal floats are one vertex, as the slicer needs them to see a closed body."""
    index: dict[tuple[float, float, float], int] = {}
    corners = array("L")
    for facet in struct.iter_unpack("<12fH", memoryview(stl.read_bytes())[84:]):
        for at in (3, 6, 9):
            corners.append(index.setdefault(facet[at : at + 3], len(index)))
    yield b"<vertices>"
    yield from _in_pieces(f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>' for x, y, z in index)
    yield b"</vertices><triangles>"
    three = zip(corners[0::3], corners[1::3], corners[2::3], strict=True)
    yield from _in_pieces(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in three)
    yield b"</triangles>"


def _in_pieces(elements: Iterator[str]) -> Iterator[bytes]:
    """Joined, but never all of a large mesh at once."""
    while piece := "".join(islice(elements, 10_000)):
        yield piece.encode()


def main() -> None:
    """For large meshes in a process of its own: the path of {"placed", "meshes"} as JSON, and the one to write the 3MF to."""
    wanted, to = map(Path, sys.argv[1:3])
    work = json.loads(wanted.read_text())
    write_3mf(to, [Placed(**copy) for copy in work["placed"]], {sha256: Path(stl) for sha256, stl in work["meshes"].items()})


if __name__ == "__main__":
    main()
