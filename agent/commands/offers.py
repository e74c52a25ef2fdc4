"""`offers`: what came and what was answered; `offers show`: why, rule by rule and printer by printer."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from agent.commands.look import brief, known_order, waiting
from agent.commands.options import ConfigSource, config_option, json_option, plain, say_json, say_rows
from agent.domain.decision import Decision, Quote, RuleResult
from agent.domain.events import Event
from agent.domain.order import Order, State
from agent.domain.print_time import hours
from agent.domain.question import Question
from agent.ledger.sql_ledger import SqlLedger
from agent.wiring import ledger_url

_STATES = (State.OFFERED, State.DECLINED, State.EXPIRED, State.LOST)
_ANSWERS = ("accepted", "declined", "decline_not_needed", "accept_refused", "expired", "lost")
"""Events that an offer ends with."""


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def offers(ctx: click.Context, config: ConfigSource, as_json: bool) -> None:
    """The offers that came, and what was answered. `offers show ID` tells one offer's decision in full."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    with SqlLedger(ledger_url(config.settings(needs_secrets=False))) as ledger:
        asked = waiting(ledger)
        rows = [_row(order, asked.get(order.id, "")) for order in ledger.orders() if order.state in _STATES]
    if as_json:
        say_json({"offers": rows})
    else:
        say_rows(rows, ("id", "offer_id", "state", "seconds_left", "waits_for", "items", "payout", "why"), "No offers yet.")


def _row(order: Order, asked: str) -> dict[str, Any]:
    decision = order.dossier.decision
    left = max(0.0, (order.accept_by - datetime.now(UTC)).total_seconds()) if order.state is State.OFFERED else 0.0
    return {**brief(order, asked), "seconds_left": round(left), "why": decision.text if decision else ""}


@offers.command()
@click.argument("order_id")
@config_option
@json_option
@click.pass_context
def show(ctx: click.Context, order_id: str, config: ConfigSource, as_json: bool) -> None:
    """Why an offer was accepted, declined or asked about. ID is the agent's; an order that was accepted has the same."""
    source = config if config.path else ctx.obj
    with SqlLedger(ledger_url(source.settings(needs_secrets=False))) as ledger:
        order = known_order(ledger, order_id)
        events = ledger.events(order_id)
        questions = [question for question in ledger.open_questions() if question.order_id == order_id]
    answer = _answer(order, events)
    if as_json:
        say_json(
            {
                "id": order.id,
                "marketplace": order.marketplace,
                "offer": order.dossier.offer.model_dump(mode="json"),
                "decision": order.dossier.decision.model_dump(mode="json") if order.dossier.decision else None,
                "batches": [batch.model_dump(mode="json") for batch in order.dossier.batches],
                "answer": answer,
                "questions": [question.model_dump(mode="json") for question in questions],
            }
        )
        return
    console = Console(highlight=False)
    for line in _told(order, events, questions, answer):
        console.print(line, soft_wrap=True)


def _answer(order: Order, events: Sequence[Event]) -> dict[str, Any] | None:
    """What it ended with and when; None while it waits. `seconds_left` is negative where the time was up."""
    event = next((event for event in events if event.kind in _ANSWERS), None)
    if event is None:
        return None
    return {
        "answer": event.kind,
        "at": event.at.isoformat(),
        "seconds_after_offer": round((event.at - order.created_at).total_seconds(), 1),
        "seconds_left": round((order.accept_by - event.at).total_seconds(), 1),
        "by": event.data.get("by", "the agent"),
        "why": event.data.get("text") or event.data.get("why") or "",
    }


# --- for a person -----------------------------------------------------------------------------------------------------
def _told(order: Order, events: Sequence[Event], questions: Sequence[Question], answer: dict[str, Any] | None) -> Iterator[str]:
    row = brief(order, "")
    yield f"[bold]{order.id}[/] ({plain(row['offer_id'])} from {plain(order.marketplace)}): {plain(row['items'])} — {row['payout']}"
    yield f"came {_clock(order.created_at)}, to be answered by {_clock(order.accept_by)}"
    decision = order.dossier.decision
    if decision is None:
        yield "not decided" + ("" if answer else " yet")
    else:
        decided = next((event for event in events if event.kind == "decided"), None)
        yield from _decision_told(decision, order, decided)
    for question in questions:
        yield f"[yellow]waits for you ({question.step}):[/] {plain(question.text)}"
    if answer is not None:
        yield _answer_told(answer)


def _answer_told(answer: dict[str, Any]) -> str:
    took, left = answer["seconds_after_offer"], answer["seconds_left"]
    when = f"{hours(left)} before the time was up" if left >= 0 else "when the time was up"
    why = f": {plain(answer['why'])}" if answer["why"] else ""
    return f"[bold]{answer['answer'].replace('_', ' ')}[/] after {took:.1f} s, {when}, by {plain(answer['by'])}{why}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%d %b %H:%M:%S}"


def _decision_told(decision: Decision, order: Order, decided: Event | None) -> Iterator[str]:
    reason = f" ({decision.reason})" if decision.reason else ""
    after = f" after {(decided.at - order.created_at).total_seconds():.1f} s" if decided else ""
    yield f"\n[bold]decided{after}: {decision.answer}{reason}[/]" + (f" — {plain(decision.text)}" if decision.text else "")
    yield from (f"[yellow]advice:[/] {plain(sentence)}" for sentence in decision.advice)
    whole = [rule for rule in decision.rules if not rule.printer]
    yield "\n[bold]the offer[/]"
    yield from (_rule_told(rule) for rule in whole)
    for printer in dict.fromkeys(name for rule in decision.rules if rule.printer for name in (rule.printer, *rule.also)):
        yield f"\n[bold]{plain(printer)}[/]"
        yield from (_rule_told(rule) for rule in decision.rules if printer == rule.printer or printer in rule.also)
        yield from (_quote_told(quote) for quote in decision.quotes if quote.printer == printer and quote.ok)
    yield from _plan_told(decision)


def _rule_told(rule: RuleResult) -> str:
    mark = "[green]✓[/]" if rule.ok else "[red]✗[/]"
    return f"  {mark} {plain(f'{rule.rule}: {rule.value} (limit: {rule.limit})')}"


def _quote_told(quote: Quote) -> str:
    plates = f"{quote.plates} plate{'s' if quote.plates > 1 else ''}"
    why = f" — {quote.time_told}" if quote.time_told else ""
    some = f", only {', '.join(quote.items)}" if quote.items else ""
    return f"  [cyan]quote:[/] {plain(f'{hours(quote.print_seconds)}, {quote.filament_g:.1f} g, {plates}{some}{why}')}"


def _plan_told(decision: Decision) -> Iterator[str]:
    forecast = decision.forecast
    if forecast is not None:
        ready = f"ready {_clock(forecast.ready_at)} on {', '.join(forecast.printers)}" if forecast.ready_at else "not ready at all"
        yield f"\n[bold]the plan with it:[/] {plain('; '.join([ready, *forecast.reasons]))}"
    if decision.packaging:
        yield f"[bold]packaging:[/] {plain(decision.packaging)}"
