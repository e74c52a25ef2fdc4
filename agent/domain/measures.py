"""What is counted while the daemon lives: how often, and how long it took. Nothing of it is kept; what has to last is in the ledger."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

SHORT_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""For what should be over at once."""
LONG_S = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""For what people wait for."""


@dataclass
class Spread:
    """How many took how long. `counts[n]`: those of at most `bounds[n]` seconds and of more than the one before; the last: longer."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    seconds: float = 0.0
    """Of all together."""

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def took(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds


@dataclass
class Measures:
    """Of one life of the daemon.

    `looks`: by kind ("marketplace", "printer"), name and whether it answered. `errors`: steps of orders that failed, by the kind of error.
    `slicers`: by the slicer's name.
    """

    looks: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    passes: Spread = field(default_factory=lambda: Spread(SHORT_S))
    """Of the loop over what is due: how long nothing else could happen."""
    writes: Spread = field(default_factory=lambda: Spread(SHORT_S))
    """Of the ledger, from the first word of a transaction until it was on the disk."""
    slicers: dict[str, Spread] = field(default_factory=dict)

    def looked(self, kind: str, name: str, *, answered: bool) -> None:
        self.looks[kind, name, answered] += 1

    def sliced(self, slicer: str, seconds: float) -> None:
        self.slicers.setdefault(slicer, Spread(LONG_S)).took(seconds)
