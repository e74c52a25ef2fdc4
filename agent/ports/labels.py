"""What the workflow needs of whoever looks at labels and prints them."""

from pathlib import Path
from typing import Protocol

from agent.domain.label import LabelCheck, LabelPrint
from agent.domain.offer import Shipping


class Labels(Protocol):
    async def check(self, label: Path, shipping: Shipping | None) -> LabelCheck:
        """Whether this is the label of the parcel that the marketplace told of. Every doubt is in the answer; nothing is raised."""
        ...

    @property
    def prints(self) -> bool:
        """Whether there is a printer for them."""
        ...

    async def print(
        self, order_id: str, label: Path, sha256: str, check: LabelCheck, *, again: bool = False, anyway: bool = False
    ) -> LabelPrint:
        """Print it as a person said, or tell how its print of before stands. `again`: it is wanted once more. `anyway`: they have looked.

        Refused: it is not to be printed, or cannot be. NeedsOperator (code perhaps_printed): look at the printer first. Transient: later.
        """
        ...

    async def print_by_itself(self, order_id: str, label: Path, sha256: str, check: LabelCheck) -> LabelPrint | None:
        """Print it once, however often this is called; None where that is a person's to say. AgentError where it could not be printed."""
        ...
