"""`confirm photos ORDER --reject`: pieces are printed again. What that takes is told first, and asked once more."""

from dataclasses import dataclass

import click

from agent.config.model import Settings
from agent.domain.errors import Refused
from agent.domain.order import Order
from agent.domain.rejection import Rejection, RejectReason, Reprint, told
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.answers import Answers, require_pieces
from agent.shopfloor import facts_of, profile_library
from agent.wiring import utc_now
from agent.workflow.promises import Memory, Scene
from agent.workflow.reprint import foreseen
from agent.workflow.stock import Counts


@dataclass(frozen=True)
class Said:
    """The options, as they were given."""

    bad: tuple[str, ...]
    reason: str | None
    why: str
    tell_delay: bool
    yes: bool

    @property
    def anything(self) -> bool:
        return bool(self.bad or self.reason or self.why or self.tell_delay or self.yes)


def reject(order_id: str, said: Said, answers: Answers, ledger: SqlLedger, settings: Settings) -> None:
    """Ends with 1 where the person thought better of it. Refused where it is not some of what was ordered, or it is not said why."""
    try:
        order = ledger.order(order_id)
    except KeyError as error:
        raise Refused(f"There is no order {order_id}.", hint="`intagly-agent orders` lists them.", code="no_such_order") from error
    if said.reason is None:
        raise click.UsageError("--reject needs a --reason.")
    pieces = _pieces(order, said.bad)
    require_pieces(order.dossier.offer, pieces)
    click.echo(_told(order, pieces, foreseen(order, pieces, _scene(ledger, settings))), err=True)
    if not said.yes and not click.confirm("Print them again?", err=True):
        click.get_current_context().exit(1)
    answers.rejected(order_id, Rejection(pieces=pieces, reason=RejectReason(said.reason), why=said.why, tell_delay=said.tell_delay))


def _pieces(order: Order, given: tuple[str, ...]) -> dict[str, int]:
    """“i1=2”, or with only one item “2”."""
    items = [item.item_id for item in order.dossier.offer.items]
    pieces: dict[str, int] = {}
    for text in given:
        item, equals, count = text.rpartition("=")
        if not (count.isascii() and count.isdigit() and len(count) <= 6) or (not equals and len(items) > 1):
            raise click.UsageError(f"--reject {text}: say ITEM=N; the items are {', '.join(items)}.")
        pieces[item if equals else items[0]] = int(count)
    return pieces


def _told(order: Order, pieces: dict[str, int], reprint: Reprint) -> str:
    costs = reprint.costs
    ready = f"ready about {reprint.ready_at.astimezone():%a %H:%M}" if reprint.ready_at else "it is not known when it would be ready"
    by = f", to be shipped by {reprint.ship_by.astimezone():%a %d %b %H:%M}" if reprint.ship_by else ""
    lines = [
        f"Again {told(order.dossier, pieces)}: about {round(costs.seconds / 60)} min and {costs.grams:.1f} g.",
        f"As far as every printer can be reached: {ready}{by}: {'in time' if reprint.in_time else 'not in time; --tell-delay tells so'}.",
    ]
    return "\n".join([*lines, *reprint.reasons])


def _scene(ledger: SqlLedger, settings: Settings) -> Scene:
    """No printer is asked."""
    profiles = profile_library(settings)
    facts = [facts_of(printer, profiles, settings.schedule.color_limit) for printer in settings.printers]
    return Scene(ledger, Counts().facts(facts, ledger), settings.schedule.value(), utc_now(), frozenset(), Memory())
