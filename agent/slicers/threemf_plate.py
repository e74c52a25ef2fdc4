"""The 3MF that tells a slicer which parts stand where on a plate.

It is written for one slice, on the way to which somebody waits: in Python's own loops over blocks of facets, and stored, not deflated.
"""

import json
import math
import sys
import zipfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain, islice
from pathlib import Path
from struct import iter_unpack, pack, unpack

from agent.slicers.placed import Placed, object_name

_HEADER_BYTES, _FACET_BYTES = 84, 50
_AT_ONCE = 10_000
"""Facets or vertices. Never all of a large mesh."""
_MINUS_ZERO = 0x80
"""The last byte of a float that is -0, or all but."""


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


def write_3mf(path: Path, placed: Sequence[Placed], meshes: Mapping[str, Path], *, each_an_object: bool = False) -> None:
    """One plate. `meshes`: sha256 -> canonical binary STL (lowest point at z 0, box centred at x = y = 0).

    `each_an_object`: every copy is an object of its own, called NAME.NUMBER, and they share the mesh.
    """
    objects: dict[tuple[str, str], int] = {}
    for copy in placed:
        objects.setdefault((copy.item_id, copy.mesh_sha256), len(objects) + 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELS)
        with archive.open("3D/3dmodel.model", "w", force_zip64=True) as model:
            model.write(_HEAD.encode())
            facets = {}
            for (item_id, sha256), number in objects.items():
                model.write(f'<object id="{number}" type="model" name="{escape(object_name(item_id))}"><mesh>'.encode())
                for chunk in _mesh_xml(meshes[sha256]):
                    model.write(chunk)
                model.write(b"</mesh></object>")
                facets[number] = (meshes[sha256].stat().st_size - _HEADER_BYTES) // _FACET_BYTES
            numbers = [objects[copy.item_id, copy.mesh_sha256] for copy in placed]
            if each_an_object:
                model.write(_components_xml(placed, numbers).encode())
                numbers = [len(objects) + n for n in range(1, len(placed) + 1)]
            model.write(b"</resources><build>")
            for copy, number in zip(placed, numbers, strict=True):
                turn = _turn(copy.turned_deg)
                model.write(f'<item objectid="{number}" transform="{turn} {copy.x_mm:.4f} {copy.y_mm:.4f} 0" printable="1"/>'.encode())
            model.write(b"</build></model>")
        names = {number: object_name(item_id) for (item_id, _), number in objects.items()}
        archive.writestr("Metadata/Slic3r_PE_model.config", _names_xml(names, facets))


def _components_xml(placed: Sequence[Placed], meshes: Sequence[int]) -> str:
    """An object a copy, numbered on from those with the meshes."""
    return "".join(
        f'<object id="{max(meshes) + n}" type="model" name="{escape(object_name(copy.item_id))}.{n}">'
        f'<components><component objectid="{mesh}"/></components></object>'
        for n, (copy, mesh) in enumerate(zip(placed, meshes, strict=True), start=1)
    )


def _turn(degrees: float) -> str:
    """The upper three rows of a 3MF transform; row vectors, so a turn's sine stands first."""
    turn = math.radians(degrees)
    sin, cos = round(math.sin(turn), 9), round(math.cos(turn), 9)
    return f"{cos:.9g} {sin:.9g} 0 {0 - sin:.9g} {cos:.9g} 0 0 0 1"


def _names_xml(names: dict[int, str], facets: dict[int, int]) -> str:
    """PrusaSlicer takes an object's name, which it puts into its labels, from this file of its own and not from the 3MF's attribute."""
    objects = "".join(
        f'<object id="{number}"><metadata type="object" key="name" value="{escape(name)}"/>'
        f'<volume firstid="0" lastid="{facets[number] - 1}"><metadata type="volume" key="name" value="{escape(name)}"/></volume></object>'
        for number, name in names.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><config>{objects}</config>'


def _mesh_xml(stl: Path) -> Iterator[bytes]:
    """Vertices with equal floats are one vertex, as the slicer needs them to see a closed body."""
    index: dict[bytes, int] = {}
    corners = array("L")
    with stl.open("rb") as file:
        file.seek(_HEADER_BYTES)
        while facets := file.read(_FACET_BYTES * _AT_ONCE):
            found = _corners(facets)
            for corner in dict.fromkeys(found):
                index.setdefault(corner, len(index))
            corners.extend(map(index.__getitem__, found))
    yield b"<vertices>"
    known = iter(index)
    while some := b"".join(islice(known, _AT_ONCE)):
        yield _elements('<vertex x="%.9g" y="%.9g" z="%.9g"/>', unpack(f"<{len(some) // 4}f", some))
    yield b"</vertices><triangles>"
    for begin in range(0, len(corners), 3 * _AT_ONCE):
        yield _elements('<triangle v1="%d" v2="%d" v3="%d"/>', tuple(corners[begin : begin + 3 * _AT_ONCE]))
    yield b"</triangles>"


def _corners(facets: bytes) -> list[bytes]:
    """Three a facet, each as the bytes of its floats, which are compared as such: so 0 has one sign only."""
    found = list(chain.from_iterable(iter_unpack("<12x12s12s12s2x", facets)))
    if _MINUS_ZERO in b"".join(found)[3::4]:
        return [pack("<3f", *(value + 0.0 for value in unpack("<3f", corner))) for corner in found]
    return found


def _elements(form: str, numbers: tuple[float, ...]) -> bytes:
    """One of the form for every three numbers."""
    return (form * (len(numbers) // 3) % numbers).encode()


def main() -> None:
    """For large meshes in a process of its own: the path of what write_3mf is given as JSON, and the one to write the 3MF to."""
    wanted, to = map(Path, sys.argv[1:3])
    work = json.loads(wanted.read_text())
    placed, meshes = [Placed(**copy) for copy in work["placed"]], {sha256: Path(stl) for sha256, stl in work["meshes"].items()}
    write_3mf(to, placed, meshes, each_an_object=work.get("each_an_object", False))


if __name__ == "__main__":
    main()
