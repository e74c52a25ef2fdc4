"""Which of the printer's slots a job is printed from: by material and colour, and never by guessing."""

from collections.abc import Mapping

from agent.domain.errors import Refused
from agent.domain.printer import LoadedMaterial, MaterialSlot
from agent.printers.bambu.commands import Spool
from agent.printers.bambu.package import Filament

NEAR = 60.0
"""Two colours this far apart, of 441 from black to white, may be the same filament seen by two people."""


def spool_for(filament: Filament, loaded: list[LoadedMaterial], trays: Mapping[int, MaterialSlot], *, use_ams: bool) -> Spool:
    """Refused (no_slot, slot_unclear) where no slot, or more than one, can be meant. A printer without an AMS prints from its holder."""
    if not use_ams or not trays:
        return Spool()
    fitting = {number: slot for number, slot in trays.items() if slot.material.casefold() == filament.material.casefold()}
    if not fitting:
        raise Refused(
            f"No slot holds {filament.material or 'the material'}: {_told(trays)}.",
            hint="Load it, and set its type on the printer; or set use_ams = false to print from the spool holder.",
            code="no_slot",
        )
    wanted = filament.color_hex or _only_color(filament.material, loaded)
    if not wanted:
        if len(fitting) == 1:
            return Spool(next(iter(fitting)))
        raise Refused(
            f"The colour of {filament.material} is not known, and more than one slot holds it: {_told(fitting)}.",
            hint="Give the colours in the printer's [[materials]] a hex.",
            code="slot_unclear",
        )
    by_distance = sorted((_distance(wanted, slot.color_hex), number) for number, slot in fitting.items())
    if by_distance[0][0] > NEAR:
        raise Refused(
            f"No slot holds {filament.material} in {wanted}: {_told(trays)}.",
            hint="Load it, and set its colour on the printer; or correct the hex in the printer's [[materials]].",
            code="no_slot",
        )
    return Spool(by_distance[0][1])


def _only_color(material: str, loaded: list[LoadedMaterial]) -> str:
    """Where the operator's file names one spool of the material, the job is printed from that."""
    colors = [spool.color.hex for spool in loaded if spool.material.casefold() == material.casefold()]
    return (colors[0] or "") if len(colors) == 1 else ""


def _distance(wanted: str, has: str | None) -> float:
    if has is None:
        return float("inf")
    pairs = ((int(wanted[at : at + 2], 16), int(has[at : at + 2], 16)) for at in (1, 3, 5))
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def _told(trays: Mapping[int, MaterialSlot]) -> str:
    return ", ".join(f"{slot.slot} has {slot.material} {slot.color_hex or 'of unknown colour'}" for slot in trays.values())
