"""G-code in the container that Bambu printers take: a .gcode.3mf, which is a zip.

The layout is read from public sources; that a printer takes it is not seen on hardware. The G-code goes in as it is, byte for byte.
Only G-code that says of itself that it was made for the very model is packed.
"""

import contextlib
import errno
import hashlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import IO

from agent.domain.errors import AgentError, NeedsOperator, Refused
from agent.domain.values import one_line
from agent.printers.bambu.access import MODEL_IDS

ENDING = ".3mf"
"""Behind the job's name, which ends in .gcode."""
HEAD_BYTES = 16_384
"""The first member tells of the rest, uncompressed: so much of a stored package is enough to read it."""
_EDGE = 1 << 18
"""The slicer's settings stand at the end of a file (PrusaSlicer) or at its beginning (Bambu Studio, OrcaSlicer)."""
_PIECE = 1 << 20
_NOTE = re.compile(rb"^; *([a-z][a-z _()\[\]]{2,60}?) *[=:] *(.{1,2000}?)\r?$", re.MULTILINE)
_FROM_AMS = re.compile(rb"^M620 +S", re.MULTILINE)
_TIME = re.compile(r"(\d{1,6})([dhms])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MAKER = "bambu lab"
_SLICE_INFO = "Metadata/slice_info.config"
_GCODE, _MD5 = "Metadata/plate_1.gcode", "Metadata/plate_1.gcode.md5"
_FILAMENT = re.compile(rb"<filament [^>]*?type=\"([^\"]*)\" color=\"([^\"]*)\"")
_LOCAL_HEADER = 30


@dataclass(frozen=True)
class Filament:
    """What a job is printed with. `color_hex` empty: the G-code does not say."""

    material: str
    color_hex: str


@dataclass(frozen=True)
class GcodeNotes:
    """What the slicer wrote about its own work. Numbers are 0 where it did not."""

    models: frozenset[str]
    filament: Filament
    nozzle_mm: float
    seconds: int
    grams: float
    metres: float
    loads_from_ams: bool
    """Its start code has the printer take the filament from an AMS slot (M620). Without, it is printed with what is loaded."""


def read_notes(gcode: Path) -> GcodeNotes:
    notes: dict[str, list[str]] = {}
    with gcode.open("rb") as file:
        edges = [file.read(_EDGE)]
        size = file.seek(0, 2)
        if size > _EDGE:
            file.seek(max(_EDGE, size - _EDGE))
            edges.append(file.read())
    for key, value in (found for edge in edges for found in _NOTE.findall(edge)):
        notes.setdefault(key.decode(), []).append(value.decode(errors="replace").strip())
    return GcodeNotes(
        models=frozenset(_plain(model) for model in notes.get("printer_model", []) if model),
        filament=Filament(_first(notes, "filament_type"), _hex(_first(notes, "filament_colour"))),
        nozzle_mm=_number(_first(notes, "nozzle_diameter")),
        seconds=_duration(_first(notes, "estimated printing time (normal mode)") or _bambu_time(notes)),
        grams=_number(_first(notes, "filament used [g]") or _first(notes, "total filament weight [g]")),
        metres=_number(_first(notes, "filament used [mm]") or _first(notes, "total filament length [mm]")) / 1000,
        loads_from_ams=_FROM_AMS.search(edges[0]) is not None,
    )


def require_model(notes: GcodeNotes, model: str) -> None:
    """Refused (other_machine) unless every printer_model in the file is this one: start code for another machine can break it."""
    if notes.models == {_plain(model)}:
        return
    found = " and ".join(sorted(notes.models)) or "no model at all"
    raise Refused(
        f"This G-code was made for {one_line(found)[:100]}, not for a Bambu Lab {model}.",
        hint=f"Use a slicer profile whose machine.ini says printer_model = {model}, such as bambu-p1s.",
        code="other_machine",
    )


def require_account(notes: GcodeNotes) -> None:
    """Refused (no_account) where the printer would show a print of no time or no weight: such G-code is not what a slicer wrote."""
    missing = [what for what, told in (("its printing time", notes.seconds), ("the filament it takes", notes.grams)) if not told]
    if missing:
        raise Refused(
            f"This G-code does not tell {' and '.join(missing)}.",
            hint="Slice it with a profile whose filament has a density, and leave the slicer's comments in.",
            code="no_account",
        )


@contextlib.contextmanager
def packed(gcode: Path, notes: GcodeNotes, model: str, work_dir: Path | None) -> Iterator[tuple[IO[bytes], int]]:
    """The package, open at its beginning, and its size. On disk, without a name, and gone afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            if work_dir is not None:
                work_dir.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=work_dir, prefix="bambu-"))
            _write(file, gcode, notes, model)
            _require_whole(file)
            size = file.seek(0, 2)
            file.seek(0)
        except OSError as error:
            raise _no_room(error) from error
        yield file, size


def _no_room(error: OSError) -> AgentError:
    what = error.strerror or type(error).__name__
    return NeedsOperator(
        f"The package for the printer cannot be written: {what}.",
        hint="Make room on the disk; if there is some, is the disk sound?",
        code="disk_full",
    )


def _write(file: IO[bytes], gcode: Path, notes: GcodeNotes, model: str) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        package.writestr(_SLICE_INFO, _slice_info(notes, model), zipfile.ZIP_STORED)
        for member, content in _FIXED.items():
            package.writestr(member, content)
        with gcode.open("rb") as source, package.open(_GCODE, "w") as target:
            while piece := source.read(_PIECE):
                digest.update(piece)
                target.write(piece)
        package.writestr(_MD5, digest.hexdigest().upper())


def _require_whole(file: IO[bytes]) -> None:
    """Read back as the printer will: every member there, each with the sum of the zip, the G-code with the md5 beside it. OSError else."""
    try:
        with zipfile.ZipFile(file) as package:
            missing = {_SLICE_INFO, _GCODE, _MD5, *_FIXED} - set(package.namelist())
            whole = not missing and package.read(_MD5).decode() == _md5(package)
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError):
        whole = False
    if not whole:
        raise OSError(errno.EIO, "what is read back is not what was written")


def _md5(package: zipfile.ZipFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with package.open(_GCODE) as gcode:
        while piece := gcode.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest().upper()


def filament_in(head: bytes) -> Filament | None:
    """Of a stored package, by its first bytes; None where it is none of ours."""
    if len(head) < _LOCAL_HEADER or head[:4] != b"PK\x03\x04" or head[8:10] != b"\0\0":
        return None
    crc, size = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    begin = _LOCAL_HEADER + int.from_bytes(head[26:28], "little")
    name, begin = head[_LOCAL_HEADER:begin], begin + int.from_bytes(head[28:30], "little")
    content = head[begin : begin + size]
    found = _FILAMENT.search(content)
    if name != _SLICE_INFO.encode() or len(content) != size or zlib.crc32(content) != crc or found is None:
        return None
    return Filament(found[1].decode(errors="replace"), _hex(found[2].decode(errors="replace")))


def _slice_info(notes: GcodeNotes, model: str) -> str:
    about = {
        "index": "1",
        "printer_model_id": MODEL_IDS.get(model, ""),
        "nozzle_diameters": f"{notes.nozzle_mm or 0.4:g}",
        "timelapse_type": "0",
        "prediction": str(notes.seconds),
        "weight": f"{notes.grams:.2f}",
        "outside": "false",
        "support_used": "false",
    }
    lines = "\n".join(f'    <metadata key="{key}" value="{escape(value)}"/>' for key, value in about.items())
    kind, color = (one_line(part).replace('"', "")[:40] for part in (notes.filament.material, notes.filament.color_hex))
    filament = f'<filament id="1" tray_info_idx="" type="{escape(kind)}" color="{escape(color)}"'
    used = f'used_m="{notes.metres:.2f}" used_g="{notes.grams:.2f}"/>'
    header = '  <header>\n    <header_item key="X-BBL-Client-Type" value="slicer"/>\n  </header>'
    return f"{_XML}\n<config>\n{header}\n  <plate>\n{lines}\n    {filament} {used}\n  </plate>\n</config>\n"


_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_MODEL_TYPE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_FIXED = {
    "[Content_Types].xml": f"""{_XML}
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
 <Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
 <Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
 <Default Extension="gcode" ContentType="text/x.gcode"/>
</Types>
""",
    "_rels/.rels": f"""{_XML}
<Relationships xmlns="{_RELS}">
 <Relationship Target="/3D/3dmodel.model" Id="rel-1" Type="{_MODEL_TYPE}"/>
</Relationships>
""",
    "3D/3dmodel.model": f"""{_XML}
<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
 <metadata name="Application">intagly-agent</metadata>
 <resources/>
 <build/>
</model>
""",
    "Metadata/model_settings.config": f"""{_XML}
<config>
  <plate>
    <metadata key="plater_id" value="1"/>
    <metadata key="plater_name" value=""/>
    <metadata key="locked" value="false"/>
    <metadata key="gcode_file" value="Metadata/plate_1.gcode"/>
  </plate>
</config>
""",
    "Metadata/_rels/model_settings.config.rels": f"""{_XML}
<Relationships xmlns="{_RELS}">
 <Relationship Target="/Metadata/plate_1.gcode" Id="rel-1" Type="http://schemas.bambulab.com/package/2021/gcode"/>
</Relationships>
""",
}


def _plain(model: str) -> str:
    """P1S, also where the vendor's slicers write Bambu Lab P1S."""
    return " ".join(model.casefold().replace(_MAKER, "").split()).upper()


def _first(notes: dict[str, list[str]], key: str) -> str:
    """Of several extruders the first. A later note wins: PrusaSlicer's own stand at the end, start code may hold anything."""
    return notes.get(key, [""])[-1].split(";")[0].split(",")[0].strip().strip('"')


def _bambu_time(notes: dict[str, list[str]]) -> str:
    """Of `; model printing time: 10m 3s; total estimated time: 16m 30s`, which Bambu Studio and OrcaSlicer write into the head."""
    return notes.get("model printing time", [""])[-1].rpartition("total estimated time:")[2]


def _number(value: str) -> float:
    return float(value) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else 0.0


def _duration(value: str) -> int:
    return sum(int(amount) * _SECONDS[unit] for amount, unit in _TIME.findall(value))


def _hex(value: str) -> str:
    return value.lower() if re.fullmatch(r"#[0-9A-Fa-f]{6}", value) else ""
