"""Plates: what is printed in one go, how it was asked for, and the proof that the G-code is what was asked for."""

from typing import Self

from agent.domain.offer import Item, Supports
from agent.domain.values import Color, Sha256, Value


class PrintSettings(Value):
    """What the order decides. One plate has one of these."""

    material: str
    color: Color
    infill_percent: int
    supports: Supports
    layer_height_mm: float | None = None

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(
            material=item.material,
            color=item.color,
            infill_percent=item.infill_percent,
            supports=item.supports,
            layer_height_mm=item.layer_height_mm,
        )


class Part(Value):
    """Copies of one canonical mesh on their way to plates. Sizes in mm as the model lies, volume in mm³ of one copy."""

    item_id: str
    mesh_sha256: Sha256
    quantity: int
    size_mm: tuple[float, float, float]
    volume_mm3: float


class ProofLine(Value):
    """One thing the G-code was held against. `ok` False: the G-code is not what was ordered and is never sent."""

    check: str
    expected: str
    found: str
    ok: bool


class SlicedPlate(Value):
    """A plate with its G-code. `copies` counts the copies of each item on it; `warnings` are the slicer's own."""

    number: int
    gcode_sha256: Sha256
    copies: dict[str, int]
    settings: PrintSettings
    profile: str
    slicer: str
    print_seconds: int
    filament_g: float
    filament_mm: float
    layers: int
    height_mm: float
    proof: list[ProofLine]
    warnings: list[str] = []

    @property
    def proved(self) -> bool:
        """True where there is a proof and every line of it holds."""
        return bool(self.proof) and all(line.ok for line in self.proof)

    def failed_proof(self) -> list[ProofLine]:
        return [line for line in self.proof if not line.ok]

    def unproved(self) -> list[str]:
        """What does not hold, each line of it in words for a person."""
        return [f"plate {self.number}: {line.check} should be {line.expected}, is {line.found}" for line in self.failed_proof()]
