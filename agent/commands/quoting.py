"""What a printer would need for the models on the bench, in the time it is known to take."""

import os
from collections.abc import Callable

from agent.commands.workbench import Wish, Workbench
from agent.config.model import Settings
from agent.domain.decision import Quote
from agent.domain.errors import AgentError
from agent.domain.plate import SlicedPlate
from agent.domain.print_time import Correction
from agent.domain.printer import PrinterFacts
from agent.ledger.places import sqlite_file
from agent.ports.slicer import Progress
from agent.workflow.making import quote as quote_of
from agent.workflow.times import correction_on

Corrections = Callable[[str, SlicedPlate], Correction | None]
"""What is known of the time a printer, by its name, takes for a plate."""


async def quoted(bench: Workbench, printer: PrinterFacts, wish: Wish, corrections: Corrections, progress: Progress | None) -> Quote:
    """What this printer would need for all the models, or why it cannot."""
    try:
        plates = await bench.plates(printer, wish, progress)
    except AgentError as error:
        return Quote(printer=printer.name, ok=False, reasons=bench.why_not(printer, wish) or [error.told()])
    return quote_of(plates, lambda plate: corrections(printer.name, plate)).model_copy(update={"printer": printer.name})


def corrections_of(settings: Settings) -> Corrections:
    """From the agent's ledger, where there is one that this user may use. A quote needs none, and makes none."""
    usable = os.access(sqlite_file(settings.agent.data_dir), os.R_OK | os.W_OK)
    if not usable and not settings.ledger.address.get_secret_value():
        return lambda _printer, _plate: None
    # Late: a third of a second that a quote without a ledger does not need.
    from agent.ledger.sql_ledger import SqlLedger  # noqa: PLC0415
    from agent.wiring import ledger_url  # noqa: PLC0415

    def of(printer: str, plate: SlicedPlate) -> Correction | None:
        with SqlLedger(ledger_url(settings)) as ledger:
            return correction_on(printer, plate, ledger)

    return of
