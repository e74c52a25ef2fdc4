"""What people work with, on the page and from elsewhere."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.order import Order
from agent.domain.rejection import Reprint
from agent.operator.shelf import Stocked
from agent.ports.calls import Buttons
from agent.ports.files import FileStore
from agent.ports.labels import Labels
from agent.ports.ledger import Ledger
from agent.ports.marketplace import Marketplace
from agent.ports.notifier import Notifier
from agent.ports.people import People
from agent.ports.printer import Printer
from agent.ports.uploads import Uploads

if TYPE_CHECKING:
    from agent.operator.metrics.metrics import Metrics


@dataclass(frozen=True)
class Backroom:
    """What the shop has besides: its account with each marketplace, what lies on its shelves, who prints labels and who writes dossiers.

    `written`: what the operator's files name. `dossier`: writes that of an order into that file, in a process of its own. `counted`: tells
    the workflow that somebody counted.
    """

    marketplaces: Mapping[str, Marketplace] = field(default_factory=dict)
    written: Stocked = field(default_factory=Stocked)
    labels: Labels | None = None
    dossier: Callable[[str, Path], Awaitable[None]] | None = None
    counted: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Desk:
    """One operator's shop as its page sees it. `name`: the agent's. `wake` makes the workflow look at once at what was answered."""

    name: str
    ledger: Ledger
    people: People
    store: FileStore
    printers: Mapping[str, Printer]
    notifier: Notifier
    now: Callable[[], datetime]
    wake: Callable[[], None]
    uploads: Uploads
    uploads_dir: Path
    """Where photos on their way lie: on the disk of the store, and over restarts."""
    foresee: Callable[[Order, Mapping[str, int]], Reprint]
    """What printing pieces of an order again would take, by the plan as it stands."""
    back: Backroom = field(default_factory=Backroom)
    buttons: Buttons | None = None
    """Those in messages. None: none were sent."""
    metrics: "Metrics | None" = None
    """None: nobody is to have any."""
