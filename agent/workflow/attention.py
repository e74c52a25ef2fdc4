"""What was seen of a printer, noted for whoever decides: is it out of reach, and does it make sense?

One that is out of reach (switched off, the Wi-Fi gone) comes back by itself, and what it prints goes on meanwhile: that is waited for.
One that answers nonsense, or nothing at all, or lets us in no more, mostly does not: where it stays so, its order asks a person.
"""

from datetime import timedelta

from agent.domain.printer import PrinterObservation, PrinterState
from agent.ports.printer import Printer
from agent.workflow.shop import Puzzled, Shop

_FORGOTTEN = timedelta(seconds=60)
"""So long without making no sense, only out of reach, and it begins anew: a network that fails and comes back stalls at both ends."""


async def look(printer: Printer, shop: Shop) -> PrinterObservation:
    """Every look of the workflow at a printer is taken here."""
    seen = await printer.observe()
    _note(shop, printer.facts.name, seen)
    return seen


def to_be_asked(shop: Shop, printer: str, seen: PrinterObservation) -> bool:
    """It makes no sense, and has made none for longer than waiting could help."""
    puzzled = shop.puzzled.get(printer)
    if puzzled is None or not seen.needs_attention:
        return False
    return puzzled.last - puzzled.since >= timedelta(seconds=shop.pace.makes_no_sense_s)


def _note(shop: Shop, printer: str, seen: PrinterObservation) -> None:
    shop.last_seen[printer] = seen
    shop.measures.looked("printer", printer, answered=seen.state is not PrinterState.OFFLINE)
    if seen.state is PrinterState.OFFLINE:
        shop.away.add(printer)
    else:
        shop.away.discard(printer)
        shop.seen.add(printer)
        shop.puzzled.pop(printer, None)
    if seen.needs_attention:
        now, before = shop.now(), shop.puzzled.get(printer)
        since = before.since if before is not None and now - before.last < _FORGOTTEN else now
        shop.puzzled[printer] = Puzzled(since, now)
