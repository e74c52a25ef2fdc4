"""PrusaSlicer from the command line (seen with 2.5.0 of Debian 12).

Its exit code proves nothing, so nothing is believed but the G-code itself (proof.py). It runs in a process of its own with hard limits,
with an empty data folder, on a 3MF we placed and a flat profile we wrote.
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.domain.errors import NeedsOperator
from agent.domain.plate import SlicedPlate
from agent.ports.files import FileStore
from agent.ports.slicer import Progress, SliceWork
from agent.slicers.endings import check_ended, last_words
from agent.slicers.gcode import GcodeFacts, read_facts
from agent.slicers.plates import Placed, place, with_item_ids, write_3mf
from agent.slicers.profiles import Profile, ProfileLibrary, as_ini, fingerprint
from agent.slicers.proof import RULES, prove
from agent.wire.child import Limits, run

_PROGRESS = re.compile(r"^(\d{1,3}) => (.+)")
_WARNING = "print warning: "
_EXPORTED = "Slicing result exported"
_ROOT = Path(__file__).parents[2]
_BINARIES = ("prusa-slicer", "PrusaSlicer")
_IN_PROCESS_BYTES = 2_000_000
"""Meshes and G-code up to this size are handled in a thread; larger ones in a process, so that the daemon's loop is not held."""
_PLACEMENT = "rows-2"
"""Goes into the key: another way of placing is another G-code."""

_Program = tuple[str, int, int]
"""Path, time of change and size: another program under the same name is seen."""


class PrusaSlicer:
    """Implements ports.slicer.Slicer."""

    def __init__(
        self,
        profiles: ProfileLibrary,
        store: FileStore,
        work_dir: Path,
        *,
        binary: str = "",
        timeout_s: float = 900.0,
        memory_bytes: int = 2_000_000_000,
        file_bytes: int = 1_000_000_000,
    ) -> None:
        self._profiles = profiles
        self._store = store
        self._work_dir = work_dir
        self._binary = binary
        cpu_s = int(timeout_s * (os.cpu_count() or 1)) + 1  # it uses every core
        self._limits = Limits(wall_s=timeout_s, cpu_s=cpu_s, memory_bytes=memory_bytes, file_bytes=file_bytes)
        self._known: tuple[_Program, str] | None = None

    @property
    def program(self) -> str:
        """The configured program, or the first of the usual names that is installed."""
        return self._binary or next((name for name in _BINARIES if shutil.which(name)), _BINARIES[0])

    async def warm(self) -> None:
        """Ask the slicer for its version while nobody waits: after this, `key` does not start it. Raises as `version`."""
        await asyncio.to_thread(self.version)

    def version(self) -> str:
        """`PrusaSlicer-2.5.0+…`; asked once of each program. NeedsOperator where it is not installed or does not start."""
        path = shutil.which(self.program)
        if path is None:
            raise NeedsOperator(f"{self.program} is not installed.", hint="Debian: apt-get install prusa-slicer.", code="not_installed")
        stat = Path(path).stat()
        program = (path, stat.st_mtime_ns, stat.st_size)
        if self._known is None or self._known[0] != program:
            self._known = (program, _version_of(path))
        return self._known[1]

    def key(self, work: SliceWork) -> str:
        """The settings as a whole and the profile's name are in it because plates carry them: another colour is other work."""
        profile = self._profiles.profile(work.printer.profile)
        limits = profile.limits[profile.material(work.settings.material)]
        parts = sorted((part.item_id, part.mesh_sha256, part.quantity) for part in work.parts)
        of = [self.version(), _PLACEMENT, RULES, profile.name, fingerprint(profile.flat(work.settings)), limits.nozzle_c, limits.bed_c]
        return hashlib.sha256(json.dumps([*of, work.settings.model_dump(mode="json"), parts]).encode()).hexdigest()

    async def slice(self, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        """Plates that hold the same in the same places are sliced once."""
        profile = self._profiles.profile(work.printer.profile)
        plates = [tuple(placed) for placed in place(work.parts, profile)]
        done: dict[tuple[Placed, ...], SlicedPlate] = {}
        for n, placed in enumerate(plates):
            if placed not in done:
                done[placed] = await self._slice_plate(placed, work, profile, _share_of(progress, n, len(plates)))
        return [done[placed].model_copy(update={"number": number}) for number, placed in enumerate(plates, start=work.first_number)]

    async def _slice_plate(self, placed: Sequence[Placed], work: SliceWork, profile: Profile, progress: Progress | None) -> SlicedPlate:
        with _file_troubles_told():
            self._work_dir.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="slice-", dir=self._work_dir))
            try:
                await self._write_3mf(folder, placed)
                (folder / "flat.ini").write_text(as_ini(profile.flat(work.settings)))
                said = _Said(progress)
                ended = await run(self._command(folder), cwd=folder, env=_environment(folder), limits=self._limits, on_line=said.line)
                gcode = folder / "plate.gcode"
                check_ended("PrusaSlicer", ended, gcode)
                facts = await self._facts(gcode)
                sha256 = await asyncio.to_thread(self._into_store, gcode)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return await asyncio.to_thread(self._plate, sha256, facts, placed, work, profile, said.warnings)

    def _command(self, folder: Path) -> list[str]:
        data = folder / "data"
        data.mkdir()
        return [
            *(self.program, "--datadir", str(data), "--loglevel", "1", "--load", str(folder / "flat.ini")),
            *("--dont-arrange", "-g", str(folder / "plate.3mf"), "-o", str(folder / "plate.gcode")),
        ]

    async def _write_3mf(self, folder: Path, placed: Sequence[Placed]) -> None:
        meshes = {copy.mesh_sha256: self._store.path(copy.mesh_sha256) for copy in placed}
        if sum(mesh.stat().st_size for mesh in meshes.values()) <= _IN_PROCESS_BYTES:
            await asyncio.to_thread(write_3mf, folder / "plate.3mf", placed, meshes)
            return
        wanted = {"placed": [vars(copy) for copy in placed], "meshes": {sha256: str(stl) for sha256, stl in meshes.items()}}
        (folder / "wanted.json").write_text(json.dumps(wanted))
        await self._own_process("agent.slicers.plates", folder, "wanted.json", "plate.3mf")

    async def _facts(self, gcode: Path) -> GcodeFacts:
        if gcode.stat().st_size <= _IN_PROCESS_BYTES:
            return await asyncio.to_thread(read_facts, gcode)
        await self._own_process("agent.slicers.gcode", gcode.parent, gcode.name, "facts.json")
        return GcodeFacts(**json.loads(gcode.with_name("facts.json").read_text()))

    async def _own_process(self, module: str, folder: Path, *names: str) -> None:
        """Our own code under the slicer's limits, reading and writing in the work folder; it fails only where the machine does."""
        env = _environment(folder) | {"PYTHONPATH": str(_ROOT)}
        ended = await run([sys.executable, "-s", "-P", "-m", module, *names], cwd=folder, env=env, limits=self._limits)
        if ended.code != 0:
            full = "No space left" in (words := last_words(ended))
            raise NeedsOperator(
                f"{module} failed (exit {ended.code}). {words}",
                hint="Free some space." if full else "Is the machine short of memory or time? See [slicing] memory_mb and timeout_s.",
                code="disk_full" if full else "child_failed",
            )

    def _into_store(self, gcode: Path) -> str:
        temporary = self._store.new_temporary(".gcode")
        try:
            shutil.move(gcode, temporary)
            return self._store.adopt(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def _plate(
        self, sha256: str, facts: GcodeFacts, placed: Sequence[Placed], work: SliceWork, profile: Profile, warnings: list[str]
    ) -> SlicedPlate:
        return SlicedPlate(
            number=work.first_number,
            gcode_sha256=sha256,
            copies=Counter(copy.item_id for copy in placed),
            settings=work.settings,
            profile=profile.name,
            slicer=self.version(),
            print_seconds=facts.seconds,
            filament_g=round(facts.filament_g, 2),
            filament_mm=round(facts.filament_mm, 1),
            layers=facts.layers,
            height_mm=round(max((box[5] for boxes in facts.bodies.values() for box in boxes), default=0.0), 2),
            proof=prove(facts, placed, work.parts, work.settings, profile),
            warnings=warnings,
        )


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


def _share_of(progress: Progress | None, done: int, plates: int) -> Progress | None:
    if progress is None:
        return None
    return lambda percent, what: progress((done * 100 + percent) // plates, what)


def _version_of(path: str) -> str:
    """There is no --version: the first line of the help names it."""
    env = _environment(Path(tempfile.gettempdir()))
    try:
        help_text = subprocess.run(
            [path, "--help"], capture_output=True, text=True, errors="replace", timeout=30, check=False, env=env
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NeedsOperator(f"{path} does not start: {error}.", hint="Try `prusa-slicer --help` by hand.", code="not_installed") from error
    first = next((line for line in help_text.splitlines() if line.startswith("PrusaSlicer")), "")
    if not first:
        raise NeedsOperator(f"{path} is not PrusaSlicer.", hint="Set [slicing] prusaslicer to the right program.", code="not_installed")
    return first.split(" based on")[0].strip()


def _environment(home: Path) -> dict[str, str]:
    """Nothing of ours reaches the slicer: no display, no home, no language of its own."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "LC_ALL": "C.UTF-8", "TMPDIR": str(home)}


@contextlib.contextmanager
def _file_troubles_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise NeedsOperator(
            f"{'The disk is full' if full else 'Slicing could not read or write a file'}: {error}.",
            hint="Free some space; the agent goes on by itself." if full else "The agent's user needs to read and write there.",
            code="disk_full" if full else "file_trouble",
        ) from error
