"""The STL reader under coverage-guided fuzzing: `make fuzz`, or `python -m tests.fuzz.fuzz_stl [libFuzzer's options] FOLDER`.

The folder keeps what reached something new, from run to run; the first corpus is made here. atheris sees the branches of pure
Python: of numpy, which is native, only what comes back from it. Not collected by pytest: it never ends by itself.
"""

import os
import struct
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["agent.meshes"]):
    from agent.meshes.limits import Limits
    from agent.meshes.stl import FAR_MM, UnreadableStl, read_stl, write_canonical

from agent.sandbox import models
from tests.fuzz.run import run
from tests.meshes.stl_rules import announced

LIMITS = Limits(max_bytes=8000, max_ascii_bytes=7000, max_facets=80)
"""Small, so that what lies beyond them is tried as well; the longest input has 8192 bytes."""
_FILE, _AGAIN = (Path(f"/proc/self/fd/{os.memfd_create(name)}") for name in ("file", "again"))
"""In memory, and gone with the process, however it ends."""
_WORDS = (
    *("solid", "facet", "normal", "outer", "loop", "vertex", "endloop", "endfacet", "endsolid", "SOLID", "EndSolid"),
    *("nan", "inf", "-inf", "1e5", "1e39", "1e-46", "1_0", "0x10", "1,5", "-0", ".", "+1.", "100001"),
    *(r"\xef\xbb\xbf", r"\x0a", r"\x0d", r"\x0d\x0a", r"\x09", r"\x0b", r"\x85", r"\xc2\xa0", r"\x00", r"PK\x03\x04", "<?xml", "ply"),
    "facet normal 0 0 0 outer loop vertex 0 0 0 vertex 1 0 0 vertex 0 1 0 endloop endfacet",
)


def one(data: bytes) -> None:
    """Nothing but triangles or a refusal; and triangles are what was announced, and are the same when written and read again."""
    _FILE.write_bytes(data)
    try:
        corners = read_stl(_FILE, LIMITS)
    except UnreadableStl as refused:
        assert refused.code.replace("_", "").isupper() and str(refused).endswith("."), refused
        return
    assert corners.dtype == np.float32 and corners.shape[1:] == (3, 3) and 0 < len(corners) <= LIMITS.max_facets
    assert np.abs(corners).max() <= FAR_MM
    assert len(corners) == announced(data)
    if len(data) == 84 + 50 * len(corners) and data[80:84] == struct.pack("<I", len(corners)):
        records = np.frombuffer(data, np.dtype([("normal", "<f4", 3), ("corners", "<f4", 9), ("attribute", "<u2")]), offset=84)
        assert np.array_equal(corners.reshape(-1, 9), records["corners"])
    write_canonical(_AGAIN, corners)
    assert read_stl(_AGAIN, LIMITS).tobytes() == corners.tobytes()


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's change, and every other time a count that fits the length again: by chance alone it never would."""
    changed = bytearray(atheris.Mutate(data, len(data)) if seed % 8 else atheris.Mutate(data, max_size))
    if seed % 2 and len(changed) >= 134 and changed[:5].lower() != b"solid":
        facets = (len(changed) - 84) // 50
        del changed[84 + 50 * facets + seed // 2 % 3 :]
        struct.pack_into("<I", changed, 80, facets)
    return bytes(changed[:max_size])


def seeds() -> list[bytes]:
    cube, text = models.binary_stl(models.cube()), models.ascii_stl(models.cube())
    two = models.ascii_stl(models.cube(), "a") + models.ascii_stl(models.cube(3), "b")
    return [
        cube,
        cube + b"\n",
        cube[:-30],
        models.binary_stl(models.demo_part()[:80], b"solid facet"),
        text,
        text.upper().replace(b"\n", b"\r"),
        two,
        b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        text.replace(b"endloop", b"endloop x"),
        b"solid x\nendsolid x\n",
        b"PK\x03\x04",
        b"",
    ]


if __name__ == "__main__":
    run(one, seeds(), _WORDS, custom_mutator=mutated)
