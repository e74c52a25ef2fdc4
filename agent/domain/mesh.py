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


class Stance(Value):
    """How a model stands on the bed as it lies.

    `overhang_share`: what faces down more steeply than 45° and hangs in the air, as a share of the whole surface; `ceiling_share`: how
    much of that lies flat, bridges included. `bed_contact_mm2`: what the first layer covers. `tips_at_deg`: tilted so far it falls over.
    """

    overhang_share: float
    ceiling_share: float
    bed_contact_mm2: float
    tips_at_deg: float


class MeshReport(Value):
    """Facts of one model and the verdict. Lengths in mm, volume in mm³; zero where the file could not be read.

    `canonical_sha256` names the binary STL we wrote ourselves, the only form a slicer is ever given; empty for a reject.
    `pictures`: by view ("isometric", "top") the sha256 of a PNG; empty until it was drawn, and where there is no mesh.
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
    canonical_sha256: str = ""
    pictures: dict[str, str] = {}
    seconds: float = 0.0
