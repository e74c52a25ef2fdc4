"""OrcaSlicer and Bambu Studio from the command line: never run by us, see the head of this package.

The call (src/OrcaSlicer.cpp CLI::run): presets by --load-settings and --load-filaments; --arrange 0 and --orient 0 leave the copies where
the 3MF has them; --slice 0 makes every plate, for of a 3MF that another program wrote no single one can be asked for; the G-code comes out
as plate_1.gcode in --outputdir. Of such a 3MF every copy but the first would lose its name (bbs_3mf.cpp, "split as instance"), so each copy
is an object of its own. No display is needed: without --export-3mf nothing is drawn, but for pictures that are left out without one.
"""

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from agent.domain.errors import NeedsOperator
from agent.domain.plate import PrintSettings
from agent.ports.slicer import Progress
from agent.slicers.apart import in_own_process, is_small
from agent.slicers.engine import Made, Plate, environment
from agent.slicers.orca.labels import name_copies
from agent.slicers.orca.presets import Presets, read_presets
from agent.slicers.orca.result import GCODE, check_result
from agent.slicers.orca.settings import NAMED, Brand, Handed, handed
from agent.slicers.profiles import Profile
from agent.slicers.written import write_plate
from agent.wire.child import run

_DIALECT = "orca-1"
"""Goes into the fingerprint: another way of telling the program is another G-code."""
_INSTALL = "Neither Debian nor PyPI has it: unpack the vendor's AppImage, and set [slicing] {option} to the program in it."

_Program = tuple[str, int, int]
"""Path, time of change and size: another program under the same name is seen."""


class OrcaEngine:
    """Implements engine.Engine for either program."""

    def __init__(self, brand: Brand, binary: str = "") -> None:
        self.name = brand.name
        self._brand = brand
        self._binary = binary
        self._known: tuple[_Program, str] | None = None
        self._presets: dict[Path, Presets] = {}

    @property
    def program(self) -> str:
        """The configured program, or the first of the usual names that is installed."""
        return self._binary or next((name for name in self._brand.programs if shutil.which(name)), self._brand.programs[0])

    def version(self) -> str:
        """`OrcaSlicer-01.10.01.50`: the number of the common base, which several releases share."""
        program = self._found()
        if self._known is None or self._known[0] != program:
            self._known = (program, self._said_version(program[0]))
        return self._known[1]

    def fingerprint(self, profile: Profile, settings: PrintSettings) -> str:
        """The program's size and time of change count as well, for its version does not tell one release from another."""
        told = self._handed(profile, settings)
        given = [_DIALECT, self._found()[1:], sorted(profile.flat(settings).items()), vars(told)]
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()

    async def make(self, plate: Plate, progress: Progress | None) -> Made:  # noqa: ARG002 - it tells its progress through a pipe only
        folder, told = plate.folder, self._handed(plate.profile, plate.settings)
        await write_plate(plate, each_an_object=True)
        for name, values in (("machine", told.machine), ("process", told.process), ("filament", told.filament)):
            (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
        out = folder / "out"
        out.mkdir()
        ended = await run(self._command(folder), cwd=folder, env=environment(folder), limits=plate.limits)
        warnings = check_result(self.name, ended, out)
        gcode = out / GCODE
        await _name_copies(gcode, plate)
        return Made(gcode, told.asked(), NAMED, warnings=warnings)

    def _command(self, folder: Path) -> list[str]:
        """The presets by their bare names: in a list of files `;` and spaces would part a path."""
        data = folder / "data"
        data.mkdir()
        return [
            *(self.program, "--datadir", str(data)),
            *("--load-settings", "machine.json;process.json", "--load-filaments", "filament.json"),
            *("--arrange", "0", "--orient", "0", "--slice", "0", "--allow-newer-file"),
            *("--outputdir", str(folder / "out"), str(folder / "plate.3mf")),
        ]

    def _handed(self, profile: Profile, settings: PrintSettings) -> Handed:
        """The presets are read once, as the rest of a profile is."""
        if profile.folder not in self._presets:
            self._presets[profile.folder] = read_presets(profile)
        return handed(self._presets[profile.folder], profile, settings, self._brand)

    def _found(self) -> _Program:
        path = shutil.which(self.program)
        if path is None:
            raise NeedsOperator(f"{self.program} is not installed.", hint=self._install, code="not_installed")
        stat = Path(path).stat()
        return path, stat.st_mtime_ns, stat.st_size

    @property
    def _install(self) -> str:
        return _INSTALL.format(option=self._brand.says.casefold())

    def _said_version(self, path: str) -> str:
        """The first line of the help, `OrcaSlicer-01.10.01.50:` (CLI::print_help), after what it logs."""
        env = environment(Path(tempfile.gettempdir()))
        try:
            said = subprocess.run([path, "--help"], capture_output=True, text=True, errors="replace", timeout=30, check=False, env=env)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NeedsOperator(f"{path} does not start: {error}.", hint=f"Try `{path} --help` by hand.", code="not_installed") from error
        found = re.search(rf"^{self._brand.says}-(\d[\w.+-]*):?\s*$", said.stdout, re.MULTILINE)
        if not found:
            raise NeedsOperator(f"{path} is not {self.name}.", hint=self._install, code="not_installed")
        return f"{self._brand.says}-{found[1]}"


async def _name_copies(gcode: Path, plate: Plate) -> None:
    if is_small(gcode.stat().st_size):
        await asyncio.to_thread(name_copies, gcode, plate.placed)
        return
    (gcode.parent / "placed.json").write_text(json.dumps([vars(copy) for copy in plate.placed]))
    await in_own_process("agent.slicers.orca.labels", gcode.parent, plate.limits, gcode.name, "placed.json")
