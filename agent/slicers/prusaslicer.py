"""PrusaSlicer from the command line (seen with 2.5.0 of Debian 12, and by hand with 2.9.2 of Debian 13).

It runs with an empty data folder, on a 3MF we placed and a flat profile we wrote.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from agent.domain.errors import NeedsOperator
from agent.domain.plate import PrintSettings
from agent.ports.slicer import Progress
from agent.slicers.endings import check_ended
from agent.slicers.engine import Made, Plate, environment
from agent.slicers.placed import with_item_ids
from agent.slicers.profiles import Flat, Profile, as_ini, fingerprint
from agent.slicers.remembered import Remembered
from agent.slicers.written import write_plate
from agent.wire.child import run

NAMED = {
    "fill_density": "infill",
    "fill_pattern": "infill pattern",
    "layer_height": "layer height",
    "support_material": "supports",
    "support_material_auto": "automatic supports",
    "filament_type": "material",
    "filament_colour": "colour",
    "nozzle_diameter": "nozzle",
    "temperature": "nozzle temperature",
    "first_layer_temperature": "first layer temperature",
    "bed_temperature": "bed temperature",
    "first_layer_bed_temperature": "first layer bed temperature",
}
_PROGRESS = re.compile(r"^(\d{1,3}) => (.+)")
_WARNING = "print warning: "
_EXPORTED = "Slicing result exported"
_BINARIES = ("prusa-slicer", "PrusaSlicer")

_WORDS_FOR = {"0": ("disabled",), "1": ("enabled", "octoprint")}
"""What became of switches in later versions: gcode_label_objects and ensure_vertical_shell_thickness take words since 2.6 and 2.9."""
_CHOICES = re.compile(r"^--([a-z0-9-]+)\s.*?\(([a-z0-9_]+(?:,\s+[a-z0-9_]+)+);\s+default", re.DOTALL)

_Program = tuple[str, int, int]
"""Path, time of change and size: another program under the same name is seen."""


class _About(NamedTuple):
    """What a program says of itself. `choices`: the words that an option takes, by its key, where it takes only some."""

    version: str
    choices: Mapping[str, Collection[str]]


class PrusaSlicer:
    """Implements engine.Engine."""

    name = "PrusaSlicer"

    def __init__(self, binary: str = "", cache_dir: Path | None = None) -> None:
        """`cache_dir`: where to remember what the program says of itself, for those who ask once and end."""
        self._binary = binary
        self._remembered = Remembered("prusaslicer", cache_dir)
        self._known: tuple[_Program, _About] | None = None

    @property
    def program(self) -> str:
        """The configured program, or the first of the usual names that is installed."""
        return self._binary or next((name for name in _BINARIES if shutil.which(name)), _BINARIES[0])

    def version(self) -> str:
        """`PrusaSlicer-2.5.0+…`; asked once of each program. NeedsOperator where it is not installed or does not start."""
        return self._about().version

    def _about(self) -> _About:
        path = shutil.which(self.program)
        if path is None:
            raise NeedsOperator(f"{self.program} is not installed.", hint="Debian: apt-get install prusa-slicer.", code="not_installed")
        stat = Path(path).stat()
        program = (path, stat.st_mtime_ns, stat.st_size)
        if self._known is None or self._known[0] != program:
            self._known = (program, self._remembered_about(Path(path)))
        return self._known[1]

    def _remembered_about(self, program: Path) -> _About:
        said = self._remembered.of(program)
        if said is not None and said.keys() == set(_About._fields):
            return _About(**said)
        about = _about(str(program))
        self._remembered.keep(program, about._asdict())
        return about

    def fingerprint(self, profile: Profile, settings: PrintSettings) -> str:
        return fingerprint(profile.flat(settings))

    async def make(self, plate: Plate, progress: Progress | None) -> Made:
        folder, flat = plate.folder, _in_its_words(plate.profile.flat(plate.settings), self._about().choices)
        await write_plate(plate)
        (folder / "flat.ini").write_text(as_ini(flat))
        said = _Said(progress)
        ended = await run(self._command(folder), cwd=folder, env=environment(folder), limits=plate.limits, on_line=said.line)
        gcode = folder / "plate.gcode"
        check_ended(self.name, ended, gcode)
        return Made(gcode, flat, NAMED, warnings=said.warnings)

    def _command(self, folder: Path) -> list[str]:
        data = folder / "data"
        data.mkdir()
        return [
            *(self.program, "--datadir", str(data), "--loglevel", "1", "--load", str(folder / "flat.ini")),
            *("--dont-arrange", "-g", str(folder / "plate.3mf"), "-o", str(folder / "plate.gcode")),
        ]


class _Said:
    """What the slicer says on stdout: progress, which is not monotonic, and warnings, which may go on over several lines."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._most = 0
        self._in_warning = False
        self.warnings: list[str] = []

    def line(self, line: str) -> None:
        if found := _PROGRESS.match(line):
            self._in_warning = False
            self._most = max(self._most, min(100, int(found[1])))
            if self._progress is not None:
                self._progress(self._most, found[2])
        elif line.startswith(_WARNING):
            self._in_warning = len(self.warnings) < 50
            if self._in_warning:
                self.warnings.append(with_item_ids(line.removeprefix(_WARNING))[:300])
        elif line.startswith(_EXPORTED):
            self._in_warning = False
        elif self._in_warning and line:
            self.warnings[-1] = f"{self.warnings[-1]} {with_item_ids(line)}"[:500]


def _in_its_words(flat: Flat, choices: Mapping[str, Collection[str]]) -> Flat:
    """Switches as this version writes them, so that its account of its settings can be compared with what it was told."""
    return {key: _word(value, choices[key]) if key in choices else value for key, value in flat.items()}


def _word(value: str, choices: Collection[str]) -> str:
    return next((word for word in _WORDS_FOR.get(value, ()) if word in choices), value)


def _about(path: str) -> _About:
    """There is no --version: the first line of the help names it. The rest tells which words its options take."""
    env, argv = environment(Path(tempfile.gettempdir())), [path, "--help", "--help-fff"]
    try:
        text = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=30, check=False, env=env).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NeedsOperator(f"{path} does not start: {error}.", hint="Try `prusa-slicer --help` by hand.", code="not_installed") from error
    first = next((line for line in text.splitlines() if line.startswith("PrusaSlicer")), "")
    if not first:
        raise NeedsOperator(f"{path} is not PrusaSlicer.", hint="Set [slicing] prusaslicer to the right program.", code="not_installed")
    options = filter(None, map(_CHOICES.match, re.split(r"^ (?=--)", text, flags=re.MULTILINE)))
    choices = {option[1].replace("-", "_"): option[2].replace(",", " ").split() for option in options}
    return _About(first.split(" based on")[0].strip(), choices)
