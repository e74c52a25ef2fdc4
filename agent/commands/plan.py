"""`plan`: what is printed where and when."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import click
from rich.console import Console

from agent.commands.options import ConfigSource, config_option, json_option, plain, say_json, table
from agent.commands.plan_chart import LEGEND, axis_over, head, row
from agent.config.model import Settings
from agent.domain.printer import PrinterState
from agent.domain.schedule import Assignment, Plan
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.printer import Printer
from agent.wiring import build_printers, ledger_url, utc_now
from agent.workflow.planned import made
from agent.workflow.promises import Memory, Scene
from agent.workflow.scheduling import Station
from agent.workflow.stock import Counts

_MARGIN = 3


@click.command()
@config_option
@json_option
@click.option("--hours", type=click.IntRange(1, 24 * 60), default=24, show_default=True, help="So far ahead; --json tells all of it.")
def plan(config: ConfigSource, as_json: bool, hours: int) -> None:
    """What is printed where and when: the plan as things stand now, and the promises that it cannot keep. Printers are asked whether they
    can be reached; nothing is changed."""
    settings = config.settings()
    printers = build_printers(settings)
    away = asyncio.run(_away(printers))
    with SqlLedger(ledger_url(settings)) as ledger:
        now = _scene(settings, printers, away, ledger)
        found, stations = made(now), now.stations()
        jobs = {job.printer: job.remote_name for job in ledger.active_jobs()}
    if as_json:
        say_json({"plan": found.model_dump(mode="json"), "printers": [_printer(station, jobs) for station in stations]})
    else:
        _draw(found, stations, timedelta(hours=hours))


def _scene(settings: Settings, printers: Mapping[str, Printer], away: frozenset[str], ledger: SqlLedger) -> Scene:
    facts = Counts().facts([printer.facts for printer in printers.values()], ledger)
    return Scene(ledger, facts, settings.schedule.value(), utc_now(), away, Memory())


async def _away(printers: Mapping[str, Printer]) -> frozenset[str]:
    looked = await asyncio.gather(*(_is_away(printer) for printer in printers.values()))
    return frozenset(name for name, away in zip(printers, looked, strict=True) if away)


async def _is_away(printer: Printer) -> bool:
    async with printer:
        return (await printer.observe()).state is PrinterState.OFFLINE


def _printer(station: Station, jobs: Mapping[str, str]) -> dict[str, Any]:
    name = station.facts.name
    return {
        "name": name,
        "job": jobs.get(name, ""),
        "free_from": station.free_from.isoformat(),
        "bed_free": station.bed_free,
        "away": station.away,
    }


def _draw(found: Plan, stations: Sequence[Station], ahead: timedelta) -> None:
    console = Console(highlight=False)
    begin = found.made_at.astimezone()
    within = [one for one in found.assignments if one.starts_at < begin + ahead]
    if not within:
        console.print("Nothing waits to be printed.")
    else:
        _draw_chart(found, stations, within, ahead, console)
        console.print(_listed(within))
    for broken in found.broken:
        console.print(f"[red]✗[/] order {broken.order_id}: {plain(broken.why)}")
    for station in stations:
        if station.away:
            console.print(f"[yellow]{plain(station.facts.name)} cannot be reached now; the plan counts on it in half an hour.[/]")


def _draw_chart(found: Plan, stations: Sequence[Station], within: Sequence[Assignment], ahead: timedelta, console: Console) -> None:
    """As far ahead as there is something to show."""
    begin, names = found.made_at.astimezone(), max(len(station.facts.name) for station in stations)
    end = min(begin + ahead, max(one.cleared_at for one in within) + timedelta(minutes=_MARGIN))
    axis = axis_over(begin, end, max(console.width - names - _MARGIN, 20))
    console.print(f"{'':{names}} {head(axis)}", markup=False)
    for station in stations:
        line = [one for one in within if one.printer == station.facts.name]
        console.print(f"{station.facts.name:{names}} {row(station, line, axis)}", markup=False)
    console.print(LEGEND, style="dim")


def _listed(within: Sequence[Assignment]) -> Any:
    """Each plate in words, by the time it starts."""
    made_table = table("starts", "ends", "bed clear", "printer", "order", "plate", "material", "")
    for one in within:
        marks = [*(["changes material"] if one.changes_material else []), *(["estimated"] if one.estimated else [])]
        made_table.add_row(
            f"{one.starts_at.astimezone():%a %H:%M}",
            f"{one.ends_at.astimezone():%a %H:%M}",
            f"{one.cleared_at.astimezone():%a %H:%M}",
            plain(one.printer),
            one.order_id,
            str(one.plate),
            plain(f"{one.material} {one.color.name}"),
            ", ".join(marks),
        )
    return made_table
