"""CuraEngine from the command line (seen with 4.13 of Debian 12, and by hand with 5.0 of Debian 13).

It places nothing, so each copy is told where it stands; it reads leaf settings only, so all are resolved before; the header it writes
into the file is a placeholder, so the true one, which it says on its way out, is put there. It also says which settings it holds:
that is its account, for the proof.
"""

import asyncio
import functools
import hashlib
import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.domain.errors import NeedsOperator
from agent.domain.plate import PrintSettings
from agent.ports.slicer import Progress
from agent.slicers.cura.definitions import Definitions, Setting, as_json, resolved
from agent.slicers.cura.formulas import Value
from agent.slicers.cura.settings import cura_settings
from agent.slicers.endings import check_ended
from agent.slicers.engine import Made, Plate, environment
from agent.slicers.placed import object_name
from agent.slicers.profiles import Flat, Profile
from agent.wire.child import Ended, run

NAMED = {
    "infill_sparse_density": "infill",
    "infill_line_distance": "infill line distance",
    "infill_pattern": "infill pattern",
    "layer_height": "layer height",
    "support_enable": "supports",
    "machine_nozzle_size": "nozzle",
    "material_print_temperature": "nozzle temperature",
    "material_print_temperature_layer_0": "first layer temperature",
    "material_bed_temperature": "bed temperature",
    "material_bed_temperature_layer_0": "first layer bed temperature",
}
_DIALECT = "cura-1"
"""Goes into the fingerprint: another way of telling the engine is another G-code."""
_HEADER = ("FLAVOR", "TIME", "Filament used", "Layer height", "MINX", "MINY", "MINZ", "MAXX", "MAXY", "MAXZ")
_HEADER_LINE = re.compile(rf";(?:{'|'.join(_HEADER)}):.*")
_TOLD = re.compile(r' -s (\w+)="(.*?)"(?= -|\s*$)', re.DOTALL)
_PROGRESS = re.compile(r"Progress:(\w[\w+]*):\d+:\d+\s+(\d\.\d+)%")
_LONGEST_LINE = 1 << 16
"""One line of its account is some 25 kB."""
_DEFINITIONS_HINT = "Run scripts/cura-definitions.sh: it takes them out of Debian's package cura without installing that."
_PLACES = ("/usr/share/cura/resources", "/usr/local/share/intagly-agent/cura")


class CuraEngine:
    """Implements engine.Engine."""

    name = "CuraEngine"

    def __init__(self, binary: str = "CuraEngine", definitions: Path | None = None) -> None:
        self._binary = binary
        self._folder = definitions

    @property
    def program(self) -> str:
        return self._binary

    def version(self) -> str:
        path = shutil.which(self._binary)
        if path is None:
            raise NeedsOperator(f"{self._binary} is not installed.", hint="Debian: apt-get install cura-engine.", code="not_installed")
        return _version_of(path, Path(path).stat().st_mtime_ns)

    def fingerprint(self, profile: Profile, settings: PrintSettings) -> str:
        flat, own = profile.flat(settings), profile.cura
        given = json.dumps([sorted(flat.items()), sorted(own.items()), _DIALECT])
        return hashlib.sha256(given.encode() + self._root_bytes()).hexdigest()

    async def make(self, plate: Plate, progress: Progress | None) -> Made:
        settings, values = await asyncio.to_thread(self._resolved, plate)
        (plate.folder / "flat.def.json").write_text(as_json(settings, values))
        heard = _Heard(progress)
        argv = ["sh", "-c", 'exec "$@" 2>&1', "sh", *self._command(plate)]
        limits = replace(plate.limits, line_bytes=_LONGEST_LINE)
        ended = await run(argv, cwd=plate.folder, env=environment(plate.folder), limits=limits, on_line=heard.line)
        gcode = plate.folder / "plate.gcode"
        check_ended(self.name, ended, gcode)
        await asyncio.to_thread(_put_header, gcode, _header(ended))
        asked = {key: _told(value) for key, value in values.items() if not key.startswith("mesh_")}  # a copy's place shows in the moves
        return Made(gcode, asked, NAMED, heard.account(), heard.warnings)

    def _command(self, plate: Plate) -> list[str]:
        """Each copy is a link of its own to its mesh: the name of the file is what stands in the G-code."""
        command = [self._binary, "slice", "-v", "-p", "-j", "flat.def.json", "-o", "plate.gcode", "-e0"]
        bed = plate.profile.bed_x_mm[1] / 2, plate.profile.bed_y_mm[1] / 2
        for number, copy in enumerate(plate.placed, start=1):
            link = plate.folder / f"{object_name(copy.item_id)}.{number}.stl"
            link.symlink_to(plate.meshes[copy.mesh_sha256])
            turn = math.radians(copy.turned_deg)
            sin, cos = round(math.sin(turn), 9), round(math.cos(turn), 9)
            # Its rotation is read when it is loaded, so it stands before; its place is read later.
            command += ["-s", f"mesh_rotation_matrix=[[{cos:g},{0 - sin:g},0],[{sin:g},{cos:g},0],[0,0,1]]", "-l", link.name]
            command += ["-s", f"mesh_position_x={copy.x_mm - bed[0]:.4f}", "-s", f"mesh_position_y={copy.y_mm - bed[1]:.4f}"]
        return command

    def _resolved(self, plate: Plate) -> tuple[Mapping[str, Setting], dict[str, Value]]:
        settings = Definitions(self.definitions_folder()).settings()
        profile = plate.profile
        given = cura_settings(profile.flat(plate.settings), profile.cura, plate.height_mm, profile.folder)
        return settings, resolved(settings, given)

    def definitions_folder(self) -> Path:
        """The configured one, or the first of the usual places that has them. NeedsOperator (no_definitions) where none has."""
        folders = [self._folder] if self._folder is not None else list(map(Path, _PLACES))
        for folder in folders:
            if (folder / "definitions" / "fdmprinter.def.json").is_file():
                return folder
        raise NeedsOperator(
            f"Cura's definitions are not in {' or '.join(map(str, folders))}.", hint=_DEFINITIONS_HINT, code="no_definitions"
        )

    def _root_bytes(self) -> bytes:
        folder = self.definitions_folder() / "definitions"
        return b"".join((folder / f"{name}.def.json").read_bytes() for name in ("fdmprinter", "fdmextruder"))


class _Heard:
    """What it says: which settings it holds, how far it is, and warnings."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._most = 0
        self._dump: list[str] = []
        self._dumping = False
        self.warnings: list[str] = []

    def line(self, line: str) -> None:
        if line.startswith("[WARNING]  -s "):
            self._dumping = True
        elif line.startswith("Progress"):
            self._dumping = False
        if self._dumping:
            self._dump.append(line)
        elif found := _PROGRESS.match(line):
            self._most = max(self._most, min(100, int(float(found[2]) * 100)))
            if self._progress is not None:
                self._progress(self._most, found[1])
        elif line.startswith(("[WARNING]", "[ERROR]")) and len(self.warnings) < 50:
            self.warnings.append(line[:300])

    def account(self) -> Flat:
        """The settings as the engine holds them; those of a mesh (its place) come last and are ours."""
        text = "\n".join(self._dump)
        return dict(_TOLD.findall(text.partition(" -l ")[0]))


@functools.lru_cache(maxsize=4)
def _version_of(path: str, _changed_ns: int) -> str:
    try:
        said = subprocess.run(
            [path, "help"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
            env=environment(Path(tempfile.gettempdir())),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NeedsOperator(f"{path} does not start: {error}.", hint="Try `CuraEngine help` by hand.", code="not_installed") from error
    found = re.search(r"Cura_SteamEngine version (\S+)", said.stdout + said.stderr)
    if not found:
        raise NeedsOperator(f"{path} is not CuraEngine.", hint="Set [slicing] curaengine to the right program.", code="not_installed")
    return f"CuraEngine-{found[1]}"


def _told(value: Value) -> str:
    """As the engine itself writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _header(ended: Ended) -> list[str]:
    """The true one stands among its last words."""
    return [line for line in [*ended.stdout, *ended.stderr] if _HEADER_LINE.fullmatch(line)]


def _put_header(gcode: Path, header: list[str]) -> None:
    """In place of the placeholder; the file is written anew, in flat memory."""
    patched = gcode.with_suffix(".patched")
    with gcode.open("rb") as source, patched.open("wb") as target:
        rest = b""
        for line in source:
            if not line.startswith(b";"):
                rest = line
                break
            if not _HEADER_LINE.fullmatch(said := line.decode(errors="replace").rstrip("\r\n")):
                header.append(said)
        target.write("".join(f"{one}\n" for one in header).encode() + rest)
        shutil.copyfileobj(source, target)
    patched.replace(gcode)
