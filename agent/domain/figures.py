"""What the ledger's rows come to, in figures: for those who watch a shop over months and not an order."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from agent.domain.measures import LONG_S, Spread
from agent.domain.order import State
from agent.domain.question import Step


@dataclass
class History:
    """What has happened, counted. `up_to`: the number of the last event that is in it; adding later ones counts each of them once.

    `prints`: by printer and how they ended. `declined`: by the reason that was told. `decisions`: from an offer's coming in to the answer
    being known.
    """

    up_to: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    prints: Counter[tuple[str, str]] = field(default_factory=Counter)
    declined: Counter[str] = field(default_factory=Counter)
    decisions: Spread = field(default_factory=lambda: Spread(LONG_S))


@dataclass(frozen=True)
class PrintSeconds:
    """Of the prints on one printer that were watched from their start to a good end."""

    prints: int
    seconds: float


@dataclass(frozen=True)
class Standing:
    """How everything stands now. States and steps with none are left out.

    `offers`: by marketplace, all that ever came. `filament_g`: by why it was used. `calls`: of people, by how the latest about each notice
    ended. `offer_until`: when the first of the offers that are open must be answered.
    """

    states: Mapping[State, int]
    offers: Mapping[str, int]
    waits: Mapping[Step, int]
    print_seconds: Mapping[str, PrintSeconds]
    filament_g: Mapping[str, float]
    calls: Mapping[str, int]
    offer_until: datetime | None


class OpenRow(NamedTuple):
    """An offer or an order that has not ended, as far as a list shows it. `deadline`: to answer the offer, or to ship the parcel."""

    id: str
    state: State
    stage: State
    """Where it stands on the path, also while it is on hold."""
    deadline: datetime | None
