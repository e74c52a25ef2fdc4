"""What is known of a carrier's label, what is made of it, and how its print went."""

from enum import StrEnum

from agent.domain.mesh import Reason
from agent.domain.values import Value


class LabelVerdict(StrEnum):
    """GOOD: it is the label of this parcel · LOOK: a person has to look at it first · REFUSED: it is not printed by us."""

    GOOD = "good"
    LOOK = "look"
    REFUSED = "refused"


class LabelCheck(Value):
    """`paper`: what the page's size is called; empty where it has no name. Lengths in mm, zero where it could not be read.

    `carrier_found`, `tracking_found`: read back from its text; None where the marketplace did not say, or there is no text.
    """

    verdict: LabelVerdict
    reasons: list[Reason] = []
    pages: int = 0
    width_mm: float = 0.0
    height_mm: float = 0.0
    paper: str = ""
    carrier_found: bool | None = None
    tracking_found: bool | None = None

    @property
    def told(self) -> str:
        """For a person, in one line."""
        facts = [f"{self.paper or 'a page'} ({self.width_mm:g} × {self.height_mm:g} mm)"] if self.width_mm else []
        if self.tracking_found:
            facts.append("with the tracking number of this parcel")
        size = [f"{' '.join(facts)}."] if facts else []
        return " ".join([*size, *(reason.text for reason in self.reasons)])


class PrintEnd(StrEnum):
    """How a label's print stands when it is not followed any longer. WAITING: the queue keeps it, and says why."""

    COMPLETED = "completed"
    WAITING = "waiting"
    FAILED = "failed"


class LabelPrint(Value):
    """`queue`, `job`: the queue's address and its own number for the job. `why`: in the queue's words; empty where all went well.

    `again`: nothing was sent now; this is the job of an earlier request.
    """

    queue: str
    job: int
    end: PrintEnd
    why: str = ""
    again: bool = False
