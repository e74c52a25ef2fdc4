"""When a model stands badly on the bed. Numbers alone: the child process that judges meshes asks too, and imports little."""

from typing import Protocol

# Measured on 329 parts of three printers' own sets, all drawn to be printed as they lie and without supports: none is told anything.
# Their most overhang is 15 %, most of it flat 5.4 %, their least contact 6.9 % of the box, their least tilt 10.5°.
OVERHANG_SHARE = 0.20
CEILING_SHARE = 0.08
CONTACT_SHARE = 0.05
TIPS_AT_DEG = 8.0


class Standing(Protocol):
    """How a model stands: the facts of `agent.domain.mesh.Stance`."""

    @property
    def overhang_share(self) -> float: ...
    @property
    def ceiling_share(self) -> float: ...
    @property
    def bed_contact_mm2(self) -> float: ...
    @property
    def tips_at_deg(self) -> float: ...


def sags(stance: Standing) -> bool:
    """So much of it hangs in the air that it would need supports."""
    return stance.ceiling_share >= CEILING_SHARE or stance.overhang_share >= OVERHANG_SHARE


def hardly_touches(stance: Standing, size_mm: tuple[float, float, float]) -> bool:
    """The first layer is little beside what stands above it."""
    return stance.bed_contact_mm2 < CONTACT_SHARE * size_mm[0] * size_mm[1]


def wobbles(stance: Standing) -> bool:
    """It stands on little for its height."""
    return stance.tips_at_deg < TIPS_AT_DEG


def stands_badly(stance: Standing, size_mm: tuple[float, float, float]) -> bool:
    """Something is to be said against printing it so without supports."""
    return sags(stance) or hardly_touches(stance, size_mm) or wobbles(stance)
