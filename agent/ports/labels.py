"""What the workflow needs of whoever looks at labels and prints them."""

from pathlib import Path
from typing import Protocol

from agent.domain.label import LabelCheck, LabelPrint
from agent.domain.offer import Shipping


class Labels(Protocol):
    async def check(self, label: Path, shipping: Shipping | None) -> LabelCheck:
        """Whether this is the label of the parcel that the marketplace told of. Every doubt is in the answer; nothing is raised."""
        ...

    async def print_by_itself(self, order_id: str, label: Path, sha256: str, check: LabelCheck) -> LabelPrint | None:
        """Print it once, however often this is called; None where that is a person's to say. AgentError where it could not be printed."""
        ...
