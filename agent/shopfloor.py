"""From configuration to what judges, places and slices: all of it that needs no printer, no marketplace and no ledger.

Apart from wiring.py, so that `quote` and `slice` do not load what they never use: half a second of a Raspberry Pi's time or more.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from agent.config.model import Settings
from agent.config.printer import PrinterSettings
from agent.domain.color_difference import LIMIT
from agent.domain.errors import ConfigError
from agent.domain.printer import PrinterFacts
from agent.meshes.limits import MB
from agent.meshes.limits import Limits as MeshLimits
from agent.ports.files import FileStore
from agent.slicers.engine import Engine
from agent.slicers.placing import free_mm, supports_mm, usable_mm
from agent.slicers.plate_slicer import PlateSlicer
from agent.slicers.profiles import ProfileLibrary, default_profiles_dir
from agent.slicers.prusaslicer import PrusaSlicer


def data_dir(settings: Settings) -> Path:
    """The folder, made here where it is not there yet. ConfigError where it cannot be made or used."""
    folder = settings.agent.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made: {error.strerror}.", hint="Give the agent's user that folder, or set [agent] data_dir."
        ) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be written.", hint="Run it as the agent's user, or as root.")
    return folder


def slicing_dir(settings: Settings) -> Path:
    """Where slicers work; nothing in it outlives a slice."""
    return settings.agent.data_dir / "slicing"


def mesh_limits(settings: Settings) -> MeshLimits:
    return MeshLimits(max_bytes=settings.files.max_file_mb * MB)


def profile_library(settings: Settings) -> ProfileLibrary:
    return ProfileLibrary(settings.slicing.profiles_dir or default_profiles_dir())


PROGRAMS = ("prusaslicer", "curaengine", "orcaslicer", "bambustudio")
"""The slicing programs, as a printer's file names them."""


def build_engine(program: str, settings: Settings, cache_dir: Path | None = None) -> Engine:
    """It need not be installed. `cache_dir` as PrusaSlicer has it. Each is loaded where it is used: `slice` waits for the others' too."""
    slicing = settings.slicing
    match program:
        case "prusaslicer":
            return PrusaSlicer(slicing.prusaslicer, cache_dir)
        case "curaengine":
            from agent.slicers.cura.engine import CuraEngine  # noqa: PLC0415

            return CuraEngine(slicing.curaengine, slicing.cura_definitions)
    from agent.slicers.orca.engine import OrcaEngine  # noqa: PLC0415
    from agent.slicers.orca.settings import BAMBU, ORCA  # noqa: PLC0415

    return OrcaEngine(ORCA, slicing.orcaslicer) if program == "orcaslicer" else OrcaEngine(BAMBU, slicing.bambustudio)


def build_slicers(
    settings: Settings, profiles: ProfileLibrary, store: FileStore, work_dir: Path | None = None, cache_dir: Path | None = None
) -> Mapping[str, PlateSlicer]:
    """One a program that some printer names."""
    used = {printer.slicer for printer in settings.printers}
    return {
        name: PlateSlicer(
            build_engine(name, settings, cache_dir),
            profiles,
            store,
            work_dir or slicing_dir(settings),
            timeout_s=settings.slicing.timeout_s,
            memory_bytes=settings.slicing.memory_mb * MB,
        )
        for name in PROGRAMS
        if name in used
    }


def facts_of(printer: PrinterSettings, profiles: ProfileLibrary, color_limit: float = LIMIT) -> PrinterFacts:
    """What deciding and slicing need to know. ConfigError where its profile cannot be used."""
    profile = profiles.profile(printer.profile)
    if printer.bed_clearing == "automatic" and not profile.clears_bed:
        raise ConfigError(
            f'{printer.name}: bed_clearing = "automatic", and the profile {profile.name} does not say how the bed is cleared.',
            hint='Let its end code push the part off and describe that in profile.toml (clears_bed = "…"), or use "confirm".',
        )
    if printer.slicer not in profile.slicers:
        raise ConfigError(
            f'{printer.name}: slicer = "{printer.slicer}", and the profile {profile.name} is for {" and ".join(profile.slicers)}.',
            hint=f"Name one of those, or try a part by hand and add it to slicers in {profile.folder / 'profile.toml'}.",
        )
    if printer.slicer in ("orcaslicer", "bambustudio"):
        from agent.slicers.orca.presets import read_presets  # noqa: PLC0415 - as in build_engine

        read_presets(profile)
    return PrinterFacts(
        name=printer.name,
        kind=printer.kind,
        profile=profile.name,
        slicer=printer.slicer,
        bed_mm=usable_mm(profile),
        free_mm=free_mm(profile),
        supports_mm=supports_mm(profile),
        nozzle_mm=profile.nozzle_mm,
        materials=printer.loaded(),
        profile_materials=profile.materials,
        clears_its_own_bed=printer.bed_clearing == "automatic",
        bed_cool_c=printer.bed_cool_c or None,
        color_limit=color_limit,
    )
