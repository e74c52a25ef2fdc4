"""Which printers can print a plate that has been sliced."""

from collections.abc import Iterable

from agent.domain.plate import SlicedPlate
from agent.domain.printer import PrinterFacts


def able_printers(plate: SlicedPlate, printers: Iterable[PrinterFacts]) -> list[PrinterFacts]:
    """Those this very G-code was made for, with its material loaded."""
    return [
        facts
        for facts in printers
        if facts.profile == plate.profile and facts.loaded(plate.settings.material, plate.settings.color) is not None
    ]
