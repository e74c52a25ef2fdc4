"""One door for STL, 3MF and OBJ files.

The name says which of them is meant, and the content must be that: an STL has no unit and a 3MF has, so a file that is read as something
else than its sender sees in it may come out in another size.
"""

import re
from pathlib import Path

from agent.meshes.limits import Limits, size_problem
from agent.meshes.obj import is_obj, read_obj
from agent.meshes.package import Package
from agent.meshes.reading import ZIP, Model, UnreadableModel, kind_of
from agent.meshes.stl import UnreadableStl, read_stl
from agent.meshes.threemf import is_3mf, read_3mf

_HEAD = 4096
_STL, _3MF, _OBJ = "an STL file", "a 3MF file", "an OBJ file"
_ENDINGS = {"stl": _STL, "3mf": _3MF, "obj": _OBJ}
_ASCII_STL = re.compile(rb"\s*solid\b[^\0]*\bfacet\b", re.IGNORECASE)


def read_model(path: Path, name: str, limits: Limits) -> Model:
    """The triangles of a file that its sender calls `name`, whose last ending alone counts; what has none that is known is to be an STL.

    Raises UnreadableModel, OSError, MemoryError.
    """
    _, dot, ending = name.rpartition(".")
    meant = _ENDINGS.get(ending.lower(), _STL) if dot else _STL
    if meant == _STL:
        return _read_stl(path, limits)
    head, size = _head(path)
    problem = size_problem(size, limits)
    if problem is not None:
        raise UnreadableModel(*problem)
    if meant == _3MF and head.startswith(ZIP):
        return read_3mf(path, limits)
    found = _found(path, limits)
    if meant == _3MF or found not in (None, _OBJ):
        raise _other(found, meant)
    return read_obj(path, limits)


def _read_stl(path: Path, limits: Limits) -> Model:
    try:
        return Model(read_stl(path, limits), [])
    except UnreadableStl as refused:
        found = _found(path, limits) if refused.code == "NOT_STL" else None
        if found in (_3MF, _OBJ):
            raise _other(found, _STL) from refused
        raise


def _other(found: str | None, meant: str) -> UnreadableModel:
    code = f"NOT_{meant.split()[1]}"
    ending = next((ending for ending, kind in _ENDINGS.items() if kind == found), None)
    hint = f" Called .{ending}, it is read." if ending else ""
    return UnreadableModel(code, f"This is {found or 'something else'}, not {meant}.{hint}")


def _found(path: Path, limits: Limits) -> str | None:
    """What the file is, with its article; None where that cannot be told from how it begins."""
    head, size = _head(path)
    if head.startswith(ZIP):
        return _in_zip(path, limits)
    announced = 84 + 50 * int.from_bytes(head[80:84], "little")
    if 84 < announced == size or _ASCII_STL.match(head):
        return _STL
    return _OBJ if is_obj(head) else kind_of(head)


def _head(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(_HEAD), file.seek(0, 2)


def _in_zip(path: Path, limits: Limits) -> str:
    try:
        with Package.opened(path, limits) as package:
            return _3MF if is_3mf(package) else "a ZIP archive"
    except UnreadableModel:
        return "a ZIP archive that was cut off or is damaged"
