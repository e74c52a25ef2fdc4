"""What is known of a customer's model, and what we make of it."""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Self

from agent.domain.offer import Supports
from agent.domain.standing import wobbles
from agent.domain.values import Text, Value

_Row = tuple[float, float, float]
# The direction that points down afterwards.
_SIDES = {
    (0, 0, 1): "upside down",
    (-1, 0, 0): "on its left side",
    (1, 0, 0): "on its right side",
    (0, -1, 0): "on its front",
    (0, 1, 0): "on its back",
}
_ON_A_SIDE = math.cos(math.radians(1))


class Verdict(StrEnum):
    """PRINT as it is · REPAIRED and verified · HOLD: ask a person · REJECT: this cannot be printed."""

    PRINT = "print"
    REPAIRED = "repaired"
    HOLD = "hold"
    REJECT = "reject"


class Reason(Value):
    """Why, as a code for programs and a sentence for people."""

    code: str
    text: Text


class Stance(Value):
    """How a model stands on the bed as it lies.

    `overhang_share`: what faces down more steeply than 45° and hangs in the air, as a share of the whole surface; `ceiling_share`: how
    much of that lies flat, bridges included. `bed_contact_mm2`: what the first layer covers. `tips_at_deg`: tilted so far it falls over.
    """

    overhang_share: float
    ceiling_share: float
    bed_contact_mm2: float
    tips_at_deg: float


class Pose(Value):
    """A model on another side: turned, dropped to the bed and centred again.

    `turn`: the rows of the matrix that takes a corner as it lies to where it lies then. `mesh_sha256`: the canonical STL that lies so;
    empty until it was written.
    """

    turn: tuple[_Row, _Row, _Row]
    bounding_box_mm: tuple[float, float, float]
    stance: Stance
    mesh_sha256: str = ""

    @property
    def how(self) -> str:
        """In a person's words, seen as a slicer shows the file: x to the right, y to the back."""
        up = self.turn[2]
        for side, name in _SIDES.items():
            if -sum(one * other for one, other in zip(side, up, strict=True)) >= _ON_A_SIDE:
                return name
        return f"tilted by {math.degrees(math.acos(max(-1.0, min(1.0, up[2])))):.0f}°"

    def told(self, given: Stance) -> str:
        """What would be gained by it over how the model is given."""
        return f"{self.how[0].upper()}{self.how[1:]} it would {_compared(self.stance, given)}."

    def told_as_printed(self, given: Stance) -> str:
        return f"it is printed {self.how}: as it is given it would {_compared(given, self.stance)}."


def _compared(one: Stance, other: Stance) -> str:
    parts = list(_differences(one, other))
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


def _differences(one: Stance, other: Stance) -> Iterator[str]:
    yield f"touch the bed with {_area(one.bed_contact_mm2)} mm² instead of {_area(other.bed_contact_mm2)}"
    hangs, hung = f"{one.overhang_share:.0%}", f"{other.overhang_share:.0%}"
    if hangs != hung:
        yield f"overhang {hangs} instead of {hung}"
    if wobbles(one) or wobbles(other):
        yield f"fall over when tilted by {one.tips_at_deg:.0f}° instead of {other.tips_at_deg:.0f}°"


def _area(mm2: float) -> str:
    return f"{mm2:.0f}" if mm2 >= 10 else f"{mm2:.1f}"


class MeshReport(Value):
    """Facts of one model and the verdict. Lengths in mm, volume in mm³; zero where the file could not be read.

    `canonical_sha256` names the binary STL we wrote ourselves, the only form a slicer is ever given; empty for a reject.
    `pictures`: by view ("isometric", "top") the sha256 of a PNG; empty until it was `drawn`, and where that could not be done.
    """

    sha256: str
    verdict: Verdict
    reasons: list[Reason] = []
    triangles: int = 0
    bounding_box_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volume_mm3: float = 0.0
    shells: int = 0
    stance: Stance | None = None
    """Of what is printed or repaired; None else."""
    better_poses: list[Pose] = []
    """Where it stands badly and copies without supports are wanted: on which sides it would not, the best first."""
    turned: Pose | None = None
    """The one that copies without supports are printed in; None: as it is given."""
    canonical_sha256: str = ""
    pictures: dict[str, str] = {}
    drawn: bool = False
    seconds: float = 0.0

    def as_printed(self, supports: Supports) -> Self:
        """As copies with this answer about supports lie when they are printed. Only those without are ever turned."""
        if self.turned is None or supports is not Supports.NO:
            return self
        pose = self.turned
        return self.model_copy(
            update={"bounding_box_mm": pose.bounding_box_mm, "stance": pose.stance, "canonical_sha256": pose.mesh_sha256, "turned": None}
        )
