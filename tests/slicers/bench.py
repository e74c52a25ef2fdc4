"""A bench with the real slicer and the shipped profiles, and work to put on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.domain.offer import Supports
from agent.domain.plate import Part, PrintSettings, SlicedPlate
from agent.domain.printer import PrinterFacts
from agent.domain.values import Color
from agent.ledger.files import DiskStore
from agent.meshes.stl import write_canonical
from agent.ports.slicer import Progress, SliceWork
from agent.sandbox import models
from agent.sandbox.models import Mesh
from agent.slicers.engine import Engine, Made
from agent.slicers.gcode import read_facts
from agent.slicers.gcode_facts import GcodeFacts
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.profiles import Profile, ProfileLibrary, default_profiles_dir
from agent.slicers.prusaslicer import NAMED, PrusaSlicer

CURA_DEFINITIONS = Path(__file__).parents[2] / ".venvs" / "cura-definitions"
LIBRARY = ProfileLibrary(default_profiles_dir())
SHIPPED = LIBRARY.names()
LAYERS_MM = (0.12, 0.2, 0.28)
CUBE, T = models.cube(10), models.scaled(models.t_shape(), 0.3)
"""Small ones, quickly sliced; what stands out of the T needs supports."""
BLACK = Color(name="black")


def settings(**changed: Any) -> PrintSettings:
    """PLA, black, 20 % infill, no supports; `changed` replaces some of it."""
    return PrintSettings(**{"material": "PLA", "color": BLACK, "infill_percent": 20, "supports": Supports.NO, **changed})


def printer(profile: str) -> PrinterFacts:
    return PrinterFacts(
        name="one",
        kind="virtual",
        profile=profile,
        slicer="prusaslicer",
        bed_mm=(100, 100, 100),
        nozzle_mm=0.4,
        materials=[],
        profile_materials=[],
    )


def work(*parts: Part, profile: str = "prusa-mk3s", first_number: int = 1, **changed: Any) -> SliceWork:
    return SliceWork(parts=list(parts), settings=settings(**changed), printer=printer(profile), first_number=first_number)


def script(path: Path, body: str, version: str = "PrusaSlicer-9.9.9 based on Slic3r") -> str:
    """A slicer of our own making: asked for help it tells its version; "$out" is what is named last, then comes `body`."""
    asked = '[ "$1" = --help ] || [ "$1" = help ]'
    path.write_text(f'#!/bin/sh\nif {asked}; then echo "{version}"; exit 0; fi\nfor out; do :; done\n{body}\n')
    path.chmod(0o755)
    return str(path)


@dataclass
class Bench:
    """Everything in one folder."""

    folder: Path
    profiles: ProfileLibrary
    store: DiskStore

    @classmethod
    def in_folder(cls, folder: Path) -> "Bench":
        store = DiskStore(folder / "files")
        store.open()
        return cls(folder, ProfileLibrary(default_profiles_dir()), store)

    @property
    def work_dir(self) -> Path:
        return self.folder / "slicing"

    def slicer(self, binary: str = "", engine: Engine | None = None, **options: Any) -> PlateSlicer:
        return PlateSlicer(engine or PrusaSlicer(binary), self.profiles, self.store, self.work_dir, **options)

    def part(self, mesh: Mesh, item_id: str = "a", quantity: int = 1) -> Part:
        """The mesh in the store as the mesh check leaves it there: dropped to the bed, centred on it."""
        corners = np.array(mesh, np.float32)
        low, high = corners.min((0, 1)), corners.max((0, 1))
        temporary = self.store.new_temporary(".stl")
        write_canonical(temporary, corners - np.array([*(low + high)[:2] / 2, low[2]], np.float32))
        return Part(
            item_id=item_id,
            mesh_sha256=self.store.adopt(temporary),
            quantity=quantity,
            size_mm=models.size_mm(mesh),
            volume_mm3=models.volume_mm3(mesh),
        )

    async def sliced(self, work: SliceWork, progress: Progress | None = None, **options: Any) -> list[SlicedPlate]:
        return await self.slicer(**options).slice(work, progress)

    async def one(self, work: SliceWork, **options: Any) -> SlicedPlate:
        (plate,) = await self.sliced(work, **options)
        return plate

    def gcode(self, plate: SlicedPlate) -> bytes:
        return self.store.path(plate.gcode_sha256).read_bytes()

    def facts(self, plate: SlicedPlate) -> GcodeFacts:
        return read_facts(self.store.path(plate.gcode_sha256))


def told(profile: Profile, settings: PrintSettings) -> Made:
    """As PrusaSlicer is told it; its account stands in the G-code."""
    return Made(Path(), profile.flat(settings), NAMED)


def unproved(plate: SlicedPlate) -> set[str]:
    return {line.check for line in plate.failed_proof()}


def found(plate: SlicedPlate, check: str) -> str:
    """What the proof found where it looked for that."""
    return next(line.found for line in plate.proof if line.check == check)


def mutant_row(slicer: str, name: str, account: set[str], moves: set[str]) -> str:
    """A line of the table of mutants: what was changed, what the proof says, and what it says where the slicer lies about its settings."""
    by_moves = ", ".join(sorted(moves)) or "only the slicer's account tells"
    return f"mutant  {slicer:11}  {name:20}  caught: {', '.join(sorted(account))}  |  by the moves alone: {by_moves}"
