"""Reading files that other people wrote: what kind each is, and never more of it than there has to be."""

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from agent.domain.errors import Refused
from agent.domain.values import one_line

_LARGEST = 8_000_000
"""Bytes. The largest bundle of PrusaSlicer 2.5 is 0.4 MB, of 2.9 some 2 MB."""
_GCODE_END = 1_000_000
"""Bytes at a G-code's end, of which the settings are the last 20 kB."""
_MOST_FILES = 6000
_MOST_BYTES = 100_000_000
_GCODE_ENDINGS = (".gcode", ".gco", ".g")
_HINT = "Give a PrusaSlicer .ini or .gcode, a Cura .def.json, or OrcaSlicer .json files or a folder of them."


class Kind(Enum):
    INI = "PrusaSlicer"
    GCODE = "G-code"
    CURA = "Cura"
    ORCA = "OrcaSlicer"


@dataclass(frozen=True)
class Source:
    """One file. `text` is all of it, but for a G-code, where it is the end. `named`: given by itself, not found in a folder."""

    path: Path
    kind: Kind
    text: str
    named: bool = True

    @property
    def name(self) -> str:
        return one_line(self.path.name)

    def json(self) -> dict[str, Any]:
        """Refused where it is no JSON object."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{self.name} is no JSON that can be read: {one_line(str(error))[:200]}.", hint="Export it anew.") from error
        if not isinstance(found, dict):
            raise Refused(f"{self.name} is JSON, but no profile.", hint=_HINT)
        return found


def read_sources(paths: Iterable[Path]) -> list[Source]:
    """All of them; of a folder every .json in it and below. Refused for what cannot be read, or is too much."""
    found: list[Source] = []
    size = 0
    for path, named in _files(paths):
        source = _source(path, named)
        size += len(source.text)
        if len(found) >= _MOST_FILES or size > _MOST_BYTES:
            raise Refused("These are too many files.", hint="Give the folder of one vendor, or the files of one printer.")
        found.append(source)
    if not found:
        raise Refused("No profiles were found there.", hint=_HINT)
    return found


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Links to folders are not followed: they may lead in a circle."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        for here, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith(".json"):
                    yield Path(here, name), False


def _source(path: Path, named: bool) -> Source:
    is_gcode = path.name.lower().endswith(_GCODE_ENDINGS)
    text = _decoded(path, _bytes(path, end_only=is_gcode), is_gcode)
    if is_gcode:
        return Source(path, Kind.GCODE, text, named)
    if path.name.lower().endswith(".def.json"):
        return Source(path, Kind.CURA, text, named)
    return Source(path, Kind.ORCA if text.lstrip()[:1] in ("{", "[") and not _is_section(text) else Kind.INI, text, named)


def _is_section(text: str) -> bool:
    """`[print:0.2mm]` begins a bundle; `[{` or `["` is JSON."""
    begin = text.lstrip()
    return re.match(r"\[[a-z_]+(:.*)?\]\s*$", begin.split("\n", 1)[0]) is not None


def _bytes(path: Path, *, end_only: bool) -> bytes:
    try:
        # A pipe without a writer would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{one_line(str(path))} is no file.", hint=_HINT)
            if end_only:
                file.seek(max(0, status.st_size - _GCODE_END))
            found = file.read(_LARGEST + 1)
    except OSError as error:
        raise Refused(f"{one_line(str(path))} cannot be read: {error.strerror}.", hint=_HINT) from error
    if len(found) > _LARGEST:
        raise Refused(f"{one_line(str(path))} is larger than {_LARGEST // 1_000_000} MB.", hint="That is no profile.")
    return found


def _decoded(path: Path, found: bytes, is_gcode: bool) -> str:
    if is_gcode and found.startswith(b"GCDE"):
        raise Refused(f"{one_line(path.name)} is binary G-code.", hint="Export the settings: File, Export, Export Config.")
    try:
        return found.decode("utf-8-sig", "replace" if is_gcode else "strict")
    except UnicodeDecodeError as error:
        line = found[: error.start].count(b"\n") + 1
        hint = "Save it as UTF-8. A .zip, .orca_printer or .3mf has to be unpacked first."
        raise Refused(f"{one_line(path.name)}:{line}: this is not UTF-8 text.", hint=hint) from error
