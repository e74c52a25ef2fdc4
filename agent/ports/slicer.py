"""Models in, proved plates out."""

from collections.abc import Callable
from typing import Protocol

from agent.domain.plate import Part, PrintSettings, SlicedPlate
from agent.domain.printer import PrinterFacts
from agent.domain.values import Value

Progress = Callable[[int, str], None]
"""Told the percent (0…100, never falling) and what the slicer says it is doing."""


class SliceWork(Value):
    """Parts that share their settings, for one printer. One SliceWork becomes one plate or several."""

    parts: list[Part]
    settings: PrintSettings
    printer: PrinterFacts
    first_number: int = 1


class Slicer(Protocol):
    """A command-line slicer with its profiles."""

    async def warm(self) -> None:
        """Get ready while nobody waits, so that `key` is quick later. NeedsOperator: not installed, or it does not start."""
        ...

    def key(self, work: SliceWork) -> str:
        """sha256 over all the G-code depends on: meshes, quantities, settings, flat profile, slicer version. Equal key, same plates."""
        ...

    async def slice(self, work: SliceWork, progress: Progress | None = None) -> list[SlicedPlate]:
        """Place, slice and prove. The G-code goes into the file store, also where the proof fails.

        Reads the canonical meshes from the file store by their sha256. Refused: with the slicer's own last words and a code
        (does_not_fit, slicer_crashed, slicer_timeout, slicer_refused, no_profile, …). NeedsOperator: not installed, disk full.
        """
        ...
