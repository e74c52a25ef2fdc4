"""What a slicing program is to the rest of the house: a placed plate in, G-code and an account of it out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.domain.plate import PrintSettings
from agent.ports.slicer import Progress
from agent.slicers.placed import Placed
from agent.slicers.profiles import Flat, Profile
from agent.wire.child import Limits


@dataclass(frozen=True)
class Plate:
    """One plate on its way through a program. `folder` is empty and its alone; `height_mm` is that of the tallest copy."""

    folder: Path
    placed: Sequence[Placed]
    meshes: Mapping[str, Path]
    """sha256 -> canonical binary STL, for every copy."""
    height_mm: float
    profile: Profile
    settings: PrintSettings
    limits: Limits


@dataclass(frozen=True)
class Made:
    """The G-code, what the program was told in its own words, and what it says itself that it used.

    `account` None: the reader finds it in the G-code. `named` gives some keys a line of their own in the proof.
    """

    gcode: Path
    asked: Flat
    named: Mapping[str, str]
    account: Flat | None = None
    warnings: list[str] = field(default_factory=list)


class Engine(Protocol):
    """A slicing program. Its exit code proves nothing, so nothing is believed but the G-code itself (proof.py)."""

    name: str

    @property
    def program(self) -> str:
        """What is run: a name on the PATH, or a whole path."""
        ...

    def version(self) -> str:
        """Name and version. NeedsOperator (not_installed) where it is not there or does not start."""
        ...

    def fingerprint(self, profile: Profile, settings: PrintSettings) -> str:
        """sha256 over everything it is told but the models and their places."""
        ...

    async def make(self, plate: Plate, progress: Progress | None) -> Made:
        """Raises Refused with its own last words, NeedsOperator where the machine is at fault."""
        ...


def environment(home: Path) -> dict[str, str]:
    """Nothing of ours reaches the program: no display, no home, no language of its own."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "LC_ALL": "C.UTF-8", "TMPDIR": str(home)}
