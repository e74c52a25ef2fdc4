"""`orders`, `printers`: how things stand."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from agent.commands.options import ConfigSource, config_option, json_option, plain, say_json, say_rows, shown_path, table
from agent.config.model import Settings
from agent.domain.errors import Refused
from agent.domain.events import Event, first_broken
from agent.domain.order import Order, State
from agent.domain.printer import BedState, PrinterObservation
from agent.domain.question import Question
from agent.domain.retention import removed_in
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.printer import Printer
from agent.wiring import build_printers, file_store, ledger_url

_NEEDS_ATTENTION = "needs attention"
"""Shown in place of offline: something answers there, and a person has to make sense of it."""
_OFFER_STATES = (State.OFFERED, State.DECLINED, State.EXPIRED, State.LOST)


def _items(order: Order) -> str:
    offer = order.dossier.offer
    return ", ".join(
        f"{item.quantity} × {offer.file(item.file_id).name} {item.material} {item.color.name} {item.infill_percent} %"
        for item in offer.items
    )


def brief(order: Order, waits_for: str) -> dict[str, Any]:
    """A row of a list."""
    return {
        "id": order.id,
        "marketplace": order.marketplace,
        "offer_id": order.dossier.offer.offer_id,
        "state": order.state,
        "items": _items(order),
        "payout": str(order.dossier.offer.payout),
        "waits_for": waits_for,
        "updated_at": order.updated_at.isoformat(),
    }


def waiting(ledger: SqlLedger) -> dict[str, str]:
    """Order id -> what it waits for from a person."""
    return {question.order_id: f"{question.step} {question.printer}".strip() for question in ledger.open_questions()}


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also the ones that ended.")
@click.pass_context
def orders(ctx: click.Context, config: ConfigSource, as_json: bool, everything: bool) -> None:
    """The orders and what each waits for. `orders show ID` tells one order's whole story."""
    ctx.obj = config
    if ctx.invoked_subcommand is not None:
        return
    with SqlLedger(ledger_url(config.settings(needs_secrets=False))) as ledger:
        asked = waiting(ledger)
        rows = [
            brief(order, asked.get(order.id, "")) for order in ledger.orders(open_only=not everything) if order.state not in _OFFER_STATES
        ]
    if as_json:
        say_json({"orders": rows})
    else:
        say_rows(rows, ("id", "state", "waits_for", "items", "payout"), "No order is open. `orders --all` shows the ones that ended.")


def known_order(ledger: SqlLedger, order_id: str) -> Order:
    """Refused where there is none."""
    try:
        return ledger.order(order_id)
    except KeyError as error:
        hint = "`intagly-agent orders --all` lists them."
        raise Refused(f"There is no order {order_id}.", hint=hint, code="no_such_order") from error


@orders.command()
@click.argument("order_id")
@config_option
@json_option
@click.pass_context
def show(ctx: click.Context, order_id: str, config: ConfigSource, as_json: bool) -> None:
    """One order's story: every event, its decision, its plates with their proof, its jobs."""
    source = config if config.path else ctx.obj
    settings = source.settings(needs_secrets=False)
    with SqlLedger(ledger_url(settings)) as ledger:
        order = known_order(ledger, order_id)
        events, jobs = ledger.events(order_id), ledger.jobs(order_id)
        questions = [question for question in ledger.open_questions() if question.order_id == order_id]
    broken = first_broken(events)
    if as_json:
        say_json(
            {
                "order": order.model_dump(mode="json"),
                "jobs": [job.model_dump(mode="json") for job in jobs],
                "questions": [question.model_dump(mode="json") for question in questions],
                "events": [event.model_dump(mode="json") for event in events],
                "history_intact": broken is None,
            }
        )
        return
    label = file_store(settings).path(order.dossier.label_sha256) if order.dossier.label_sha256 else None
    _tell(order, questions, events)
    if label is not None:
        click.echo(f"label: {shown_path(label)}")
    for job in jobs:
        click.echo(f"job {job.remote_name} on {job.printer}: {job.state}")
    if broken is not None:
        click.secho(f"The history was changed: event {broken.n} does not follow from the one before it.", fg="red")


def _tell(order: Order, questions: Sequence[Question], events: Sequence[Event]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{order.id}[/] {order.state} — {plain(_items(order))} — {order.dossier.offer.payout}")
    for question in questions:
        console.print(f"[yellow]waits for you ({question.step}):[/] {plain(question.text)}")
        for choice, meaning in question.choices.items():
            console.print(f"    {choice}: {plain(meaning)}")
    if order.dossier.decision is not None:
        for rule in order.dossier.decision.rules:
            mark = "[green]✓[/]" if rule.ok else "[red]✗[/]"
            where = ", ".join(filter(None, [rule.printer, *rule.also]))
            console.print(f"{mark} {plain(f'{where} {rule.rule}: {rule.value} (limit: {rule.limit})'.strip())}")
    for what, told in [*(("advice", sentence) for sentence in _advice(events)), *_time(order, events), *_removed(events)]:
        console.print(f"[yellow]{what}:[/] {plain(told)}")
    for plate in order.dossier.plates:
        proof = f"{len(plate.proof)} lines of proof hold" if plate.proved else "[red]not proved[/]"
        size = f"{plate.layers} layers, {plate.print_seconds / 60:.0f} min, {plate.filament_g:.1f} g"
        console.print(f"plate {plate.number}: {size}, {proof}; {plain(plate.slicer)}, profile {plate.profile}")
    story = table("when", "what", "details")
    for event in events:
        details = ", ".join(f"{key}={value}" for key, value in event.data.items() if isinstance(value, str | int | float) and value != "")
        story.add_row(f"{event.at.astimezone():%d %b %H:%M:%S}", event.kind, plain(details))
    console.print(story)


def _removed(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Files that the rules for old files took, by what they were."""
    kinds: dict[tuple[str, str], int] = {}
    for removed in removed_in(events).values():
        kinds[removed.kind, removed.told()] = kinds.get((removed.kind, removed.told()), 0) + 1
    return [(f"{count} × {kind}", told) for (kind, told), count in kinds.items()]


def _advice(events: Sequence[Event]) -> list[str]:
    """As it was last given: when the offer was decided, or when the models were checked."""
    return next((event.data["advice"] for event in reversed(events) if "advice" in event.data), [])


def _time(order: Order, events: Sequence[Event]) -> list[tuple[str, str]]:
    """How the slicer's time was last corrected; empty where it was not."""
    quotes = order.dossier.decision.quotes if order.dossier.decision else []
    told = [*(quote.time_told for quote in quotes), *(str(event.data.get("time_told", "")) for event in events)]
    return [("print time", last) for last in list(filter(None, told))[-1:]]


@click.command()
@config_option
@json_option
def printers(config: ConfigSource, as_json: bool) -> None:
    """Each printer as it stands now, its bed, and the job it has."""
    settings = config.settings()
    rows = asyncio.run(_observed(settings))
    if as_json:
        say_json({"printers": rows})
    else:
        say_rows(rows, ("name", "state", "progress", "bed", "job", "materials", "reason"), "No printer is configured.")


async def _observed(settings: Settings) -> list[dict[str, Any]]:
    with SqlLedger(ledger_url(settings)) as ledger:
        beds, jobs = ledger.beds(), {job.printer: job for job in ledger.active_jobs()}
    adapters = build_printers(settings)
    seen = await asyncio.gather(*(_observe(printer) for printer in adapters.values()))
    rows = []
    for (name, printer), observation in zip(adapters.items(), seen, strict=True):
        bed = beds.get(name)
        rows.append(
            {
                "name": name,
                "kind": printer.facts.kind,
                "state": _NEEDS_ATTENTION if observation.needs_attention else observation.state,
                "progress": f"{observation.progress:.0%}" if observation.busy else "",
                "seconds_left": observation.seconds_left,
                "bed": bed.state if bed else BedState.UNKNOWN,
                "job": jobs[name].remote_name if name in jobs else "",
                "materials": ", ".join(f"{spool.material} {spool.color.name}" for spool in printer.facts.materials),
                "reason": observation.reason,
            }
        )
    return rows


async def _observe(printer: Printer) -> PrinterObservation:
    async with printer:
        return await printer.observe()
