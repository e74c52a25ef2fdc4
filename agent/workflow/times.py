"""Print times as the printers keep them, not as the slicer reckons."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.domain.plate import SlicedPlate
from agent.domain.print_time import LATEST, Correction, correction
from agent.ports.ledger import Ledger
from agent.workflow.able import able_printers

if TYPE_CHECKING:
    from agent.workflow.shop import Shop

Corrected = Callable[[SlicedPlate], Correction | None]


def correction_on(printer: str, plate: SlicedPlate, ledger: Ledger) -> Correction | None:
    """What is known of this printer with the plate's profile and slicer."""
    return correction(ledger.print_times(printer, plate.profile, plate.slicer, LATEST))


def slowest(shop: "Shop") -> Corrected:
    """For a plate no printer was chosen for yet: of those that may print it, the one it takes longest on. A limit is kept with any."""

    def of(plate: SlicedPlate) -> Correction | None:
        known = [correction_on(facts.name, plate, shop.ledger) for facts in able_printers(plate, shop.facts())]
        return max(known, key=lambda found: found.factor if found else 1.0, default=None)

    return of
