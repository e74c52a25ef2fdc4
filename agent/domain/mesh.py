"""What is known of a customer's model, and what we make of it."""

from enum import StrEnum

from agent.domain.values import Text, Value


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


class MeshReport(Value):
    """Facts of one model and the verdict. Lengths in mm, volume in mm³; zero where the file could not be read.

    `canonical_sha256` names the binary STL we wrote ourselves, the only form a slicer is ever given; empty for a reject.
    """

    sha256: str
    verdict: Verdict
    reasons: list[Reason] = []
    triangles: int = 0
    bounding_box_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volume_mm3: float = 0.0
    shells: int = 0
    canonical_sha256: str = ""
    seconds: float = 0.0
