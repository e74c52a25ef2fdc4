"""`replay`: what other rules would have answered to the offers that came."""

from collections.abc import Sequence
from typing import Any

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json, say_rows
from agent.config.model import Settings
from agent.domain.decision import Decision
from agent.ledger.sql_ledger import SqlLedger
from agent.shopfloor import facts_of, profile_library
from agent.wiring import ledger_url
from agent.workflow.replaying import Replayed, Shopfloor, replayed, sums

_PLAN = "The plan is as it was made then: what would have been accepted besides does not fill a printer for the offers after it."


@click.command()
@config_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also the offers whose answer stays the same.")
def replay(config: ConfigSource, as_json: bool, everything: bool) -> None:
    """Decide the past offers again, by other rules: --config OTHER.toml with the same data_dir, or --set acceptance.OPTION=VALUE.

    Nothing is answered, fetched or sliced: it is decided by what was recorded, and what was not is told.
    """
    settings = config.settings(needs_secrets=False)
    with SqlLedger(ledger_url(settings)) as ledger:
        floor, policy = _floor(settings), settings.acceptance.value()
        found = [replayed(order, policy, floor) for order in ledger.orders()]
    if as_json:
        say_json({"offers": [_row(offer) for offer in found], "sums": _sums(found), "note": _PLAN})
        return
    rows = [_row(offer) for offer in found if everything or offer.changes]
    shown = [{**row, "not_known": "; ".join(row["not_known"])} for row in rows]
    say_rows(shown, ("id", "payout", "went", "then", "now", "why", "not_known"), _none_told(found))
    for currency, of in _sums(found).items():
        told = ", ".join(f"{name.replace('_', ' ')} {amount}" for name, amount in of.items())
        click.echo(f"{currency}: {told}")
    same = sum(not offer.changes for offer in found)
    click.echo(f"{len(found)} offers, {same} with the same answer. {_PLAN}", err=True)


def _none_told(found: Sequence[Replayed]) -> str:
    return "No answer changes." if found else "No offers yet."


def _floor(settings: Settings) -> Shopfloor:
    profiles = profile_library(settings)
    printers = [facts_of(printer, profiles, settings.schedule.color_limit) for printer in settings.printers]
    by_person = frozenset(market.name for market in settings.marketplaces if market.kind == "mailbox")
    return Shopfloor(printers, settings.schedule.value(), by_person)


def _row(offer: Replayed) -> dict[str, Any]:
    return {
        "id": offer.order_id,
        "offer_id": offer.offer_id,
        "payout": str(offer.payout),
        "went": offer.went,
        "then": _answer(offer.then),
        "now": _answer(offer.now),
        "changes": offer.changes,
        "why": offer.now.text if offer.now else "acceptance.mode is off",
        "why_then": offer.then.text if offer.then else "",
        "not_known": list(offer.gaps),
    }


def _answer(decision: Decision | None) -> str:
    return decision.answer if decision else "none"


def _sums(found: Sequence[Replayed]) -> dict[str, dict[str, str]]:
    names = ("earned_then", "missed_then", "earned_now", "missed_now", "asked_now")
    return {currency: {name: str(getattr(of, name).amount) for name in names} for currency, of in sums(found).items()}
