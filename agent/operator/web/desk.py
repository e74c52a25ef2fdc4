"""What the page works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.ports.files import FileStore
from agent.ports.ledger import Ledger
from agent.ports.notifier import Notifier
from agent.ports.people import People
from agent.ports.printer import Printer


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
