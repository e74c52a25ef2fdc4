"""The readers of 3MF and OBJ under coverage-guided fuzzing, as `fuzz_stl`: `python -m tests.fuzz.fuzz_models [options] FOLDER`.

The first byte of an input says what the rest is: the text of a 3MF file's model part (packed here: no change to an archive keeps
its checksums), an OBJ file, or a file of any content under any of the names. XML is parsed natively (expat), unseen by the fuzzer.
"""

import os
import zipfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["agent.meshes"]):
    from agent.meshes.formats import read_model
    from agent.meshes.limits import Limits
    from agent.meshes.reading import FAR_MM, UnreadableModel

from agent.sandbox import models
from tests.fuzz.run import run
from tests.meshes import packages

LIMITS = Limits(max_bytes=8000, max_ascii_bytes=7000, max_facets=80, max_xml_bytes=20_000)
_FILE = Path(f"/proc/self/fd/{os.memfd_create('file')}")
_NAMES = ("model.3mf", "model.obj", "model.stl", "model.3mf", "model.obj")
_PACKED, _OBJ = 0, 1
_WORDS = (
    *("<object", "<component", "<item", "<vertex", "<triangle", "<mesh>", "</mesh>", "<components>", "<build>", "<metadata"),
    *(
        ' id=\\"1\\"',
        ' objectid=\\"1\\"',
        ' transform=\\"1 0 0 0 1 0 0 0 1 0 0 0\\"',
        ' unit=\\"inch\\"',
        ' type=\\"support\\"',
        ' v1=\\"0\\"',
        ' x=\\"1e39\\"',
    ),
    *(' requiredextensions=\\"p\\"', "&#48;", "<![CDATA[", "<!--", "-->", "<!DOCTYPE", "nan", "inf", "1_0", "-1", "4294967296"),
    *(
        r"v 0 0 0\x0a",
        r"f 1 2 3\x0a",
        r"f 1/1/1 2//2 3/3 4\x0a",
        r"f -1 -2 -3\x0a",
        r"\\\x0a",
        r"\x0d\x0a",
        "vn ",
        "vt ",
        "# ",
        "curv ",
        "call ",
    ),
)


def one(data: bytes) -> None:
    """Nothing but triangles or a refusal; and triangles are near, finite and no more than are taken."""
    kind, content = (data[0] % len(_NAMES), data[1:]) if data else (0, b"")
    _FILE.write_bytes(packages.package(content, compression=zipfile.ZIP_STORED) if kind == _PACKED else content)
    try:
        corners, findings = read_model(_FILE, _NAMES[kind], LIMITS)
    except UnreadableModel as refused:
        assert refused.code.replace("_", "").isalnum() and refused.code == refused.code.upper() and str(refused).endswith("."), refused
        return
    assert corners.dtype == np.float32 and corners.shape[1:] == (3, 3) and 0 < len(corners) <= LIMITS.max_facets
    assert np.abs(corners).max() <= FAR_MM
    assert all(finding.text.endswith((".", "?")) for finding in findings), findings


def seeds() -> list[bytes]:
    cube = packages.mesh(models.cube())
    twice = '<components><component objectid="1" transform="1 0 0 0 1 0 0 0 1 30 0 0"/><component objectid="1"/></components>'
    objects = packages.thing(1, cube), packages.thing(1, cube) + packages.thing(2, twice)
    xml = packages.model(objects[0]), packages.model(objects[1], '<item objectid="2"/>', 'unit="inch"')
    points = "".join(f"v {x} {y} {z}\n" for x in (0, 9) for y in (0, 9) for z in (0, 9))
    obj = points + "f 1 2 4 3\nf 5/1 7/1 8/1 6/1\nf 1//1 5//1 6//1 2//1\nf -6 -5 -1 -2\nf 1 3 7 5\nf 2 6 8 4\n"
    return [
        *(bytes([_PACKED]) + text.encode() for text in xml),
        bytes([_OBJ]) + obj.encode(),
        bytes([_OBJ]) + b"# x\r\nmtllib a.mtl\r\no a\r\n" + obj.replace("\n", "\r\n").encode() + b"usemtl b\r\nl 1 2\r\n",
        *(bytes([kind]) + packages.package(xml[0]) for kind in (2, 3, 4)),
        b"",
    ]


if __name__ == "__main__":
    run(one, seeds(), _WORDS)
