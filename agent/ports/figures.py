"""What is asked of the ledger by those who keep figures."""

from typing import Protocol

from agent.domain.figures import History, Standing
from agent.domain.measures import Spread


class Figures(Protocol):
    """Short questions: however many orders there are, none takes longer than a write to the disk or two."""

    writes: Spread
    """Since the ledger was opened: from the first word of a transaction until it was on the disk."""

    def add_history(self, history: History, most: int) -> bool:
        """Counts what came after `history.up_to`, at most so many events. False: that was all."""
        ...

    def standing(self) -> Standing: ...
