"""Importing in a test: into a library of its own, as the command does it."""

from pathlib import Path

from agent.slicers.importing.draft import Draft
from agent.slicers.importing.folder import slug, write
from agent.slicers.importing.imports import draft_of
from agent.slicers.importing.known import read_by_prusaslicer
from agent.slicers.importing.presets import Choice
from agent.slicers.profiles import Profile, ProfileLibrary
from agent.slicers.prusaslicer import PrusaSlicer
from tests.slicers.bench import CURA_DEFINITIONS, Bench

VENDORS = Path("/usr/share/PrusaSlicer/profiles")
MK3S = Choice("Original Prusa i3 MK3S", "0.20mm QUALITY", ("Prusament PLA", "Prusament PETG"))


def definitions() -> Path:
    return CURA_DEFINITIONS


def drafted(*files: Path, choice: Choice | None = None) -> Draft:
    return draft_of(files, choice or Choice(), definitions)


async def imported(root: Path, *files: Path, choice: Choice | None = None) -> Profile:
    draft = drafted(*files, choice=choice)
    if draft.slicers == ("prusaslicer",):
        await read_by_prusaslicer(draft, PrusaSlicer().program, root / "work")
    return write(draft, root / "profiles", slug(draft.title), replace=False)


def bench_with(root: Path, profile: Profile) -> Bench:
    bench = Bench.in_folder(root)
    bench.profiles = ProfileLibrary(profile.folder.parent)
    return bench
