"""From parts to proved plates with any slicing program: place, make, read, prove, store.

The program runs in a process of its own with hard limits, on plates we placed. Nothing it says is believed but the G-code itself.
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agent.domain.errors import NeedsOperator
from agent.domain.offer import Supports
from agent.domain.plate import SlicedPlate
from agent.ports.files import FileStore
from agent.ports.slicer import Progress, SliceWork
from agent.slicers.apart import in_own_process, is_small
from agent.slicers.bed import Bed, bed_told
from agent.slicers.engine import Engine, Made, Plate
from agent.slicers.gcode import read_facts
from agent.slicers.gcode_facts import GcodeFacts
from agent.slicers.placed import Placed
from agent.slicers.placing import place
from agent.slicers.profiles import Profile, ProfileLibrary
from agent.slicers.proof import RULES, prove
from agent.wire.child import Limits

_PLACEMENT = "rectpack-1"
"""Goes into the key: another way of placing is another G-code."""


class PlateSlicer:
    """Implements ports.slicer.Slicer with one slicing program."""

    def __init__(
        self,
        engine: Engine,
        profiles: ProfileLibrary,
        store: FileStore,
        work_dir: Path,
        *,
        timeout_s: float = 900.0,
        memory_bytes: int = 2_000_000_000,
        file_bytes: int = 1_000_000_000,
    ) -> None:
        self.engine = engine
        self._profiles = profiles
        self._store = store
        self._work_dir = work_dir
        cpu_s = int(timeout_s * (os.cpu_count() or 1)) + 1  # slicers use every core
        self._limits = Limits(wall_s=timeout_s, cpu_s=cpu_s, memory_bytes=memory_bytes, file_bytes=file_bytes)

    async def warm(self) -> None:
        """Ask the program for its version while nobody waits: after this, `key` does not start it. Raises as `version`."""
        await asyncio.to_thread(self.engine.version)

    def key(self, work: SliceWork) -> str:
        """The settings as a whole and the profile's name are in it because plates carry them: another colour is other work."""
        profile = self._profiles.profile(work.printer.profile)
        limits = profile.limits[profile.material(work.settings.material)]
        parts = sorted((part.item_id, part.mesh_sha256, part.quantity) for part in work.parts)
        told = self.engine.fingerprint(profile, work.settings)
        of = [self.engine.version(), _PLACEMENT, RULES, profile.name, told, limits.nozzle_c, limits.bed_c, profile.excluded]
        return hashlib.sha256(json.dumps([*of, work.settings.model_dump(mode="json"), parts]).encode()).hexdigest()

    async def slice(self, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        """Plates that hold the same in the same places are sliced once."""
        profile = self._profiles.profile(work.printer.profile)
        plates, which = await asyncio.to_thread(_distinct, work, profile)  # takes seconds where many small parts are ordered
        done: dict[int, SlicedPlate] = {}
        for n, number in enumerate(which):
            if number not in done:
                done[number] = await self._slice_plate(plates[number], work, profile, _share_of(progress, n, len(which)))
        return [done[number].model_copy(update={"number": work.first_number + n}) for n, number in enumerate(which)]

    async def _slice_plate(self, placed: Sequence[Placed], work: SliceWork, profile: Profile, progress: Progress | None) -> SlicedPlate:
        with _file_troubles_told():
            self._work_dir.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="slice-", dir=self._work_dir))
            try:
                made = await self.engine.make(self._to_make(folder, placed, work, profile), progress)
                facts = await self._facts(made.gcode, profile.bed)
                sha256 = await asyncio.to_thread(self._into_store, made.gcode)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return await asyncio.to_thread(self._plate, sha256, made, _weighed(facts, profile, work), placed, work, profile)

    def _to_make(self, folder: Path, placed: Sequence[Placed], work: SliceWork, profile: Profile) -> Plate:
        meshes = {copy.mesh_sha256: self._store.path(copy.mesh_sha256) for copy in placed}
        heights = {part.mesh_sha256: part.size_mm[2] for part in work.parts}
        tallest = max(heights[copy.mesh_sha256] for copy in placed)
        return Plate(folder, placed, meshes, tallest, profile, work.settings, self._limits)

    async def _facts(self, gcode: Path, bed: Bed) -> GcodeFacts:
        looked_at = None if bed.is_plain else bed
        if is_small(gcode.stat().st_size):
            return await asyncio.to_thread(read_facts, gcode, looked_at)
        names = [gcode.name, "facts.json"]
        if looked_at is not None:
            gcode.with_name("bed.json").write_text(bed_told(looked_at))
            names.append("bed.json")
        await in_own_process("agent.slicers.gcode", gcode.parent, self._limits, *names)
        return GcodeFacts(**json.loads(gcode.with_name("facts.json").read_text()))

    def _into_store(self, gcode: Path) -> str:
        temporary = self._store.new_temporary(".gcode")
        try:
            shutil.move(gcode, temporary)
            return self._store.adopt(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def _plate(
        self, sha256: str, made: Made, facts: GcodeFacts, placed: Sequence[Placed], work: SliceWork, profile: Profile
    ) -> SlicedPlate:
        return SlicedPlate(
            number=work.first_number,
            gcode_sha256=sha256,
            copies=Counter(copy.item_id for copy in placed),
            settings=work.settings,
            profile=profile.name,
            slicer=self.engine.version(),
            print_seconds=facts.seconds,
            filament_g=round(facts.filament_g, 2),
            filament_mm=round(facts.filament_mm, 1),
            layers=facts.layers,
            height_mm=round(max((box[5] for boxes in facts.bodies.values() for box in boxes), default=0.0), 2),
            proof=prove(facts, made, placed, work.parts, work.settings, profile),
            warnings=made.warnings,
        )


def _distinct(work: SliceWork, profile: Profile) -> tuple[list[tuple[Placed, ...]], list[int]]:
    """The plates that differ, and for each plate that is needed which of them it is."""
    supports = work.settings.supports is not Supports.NO
    numbers: dict[tuple[Placed, ...], int] = {}
    which = [numbers.setdefault(tuple(placed), len(numbers)) for placed in place(work.parts, profile, supports=supports)]
    return list(numbers), which


def _weighed(facts: GcodeFacts, profile: Profile, work: SliceWork) -> GcodeFacts:
    """With the weight where the slicer tells the length only."""
    if facts.filament_g or not facts.filament_mm:
        return facts
    return replace(facts, filament_g=facts.filament_mm * profile.grams_a_mm(work.settings.material))


def _share_of(progress: Progress | None, done: int, plates: int) -> Progress | None:
    if progress is None:
        return None
    return lambda percent, what: progress((done * 100 + percent) // plates, what)


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
