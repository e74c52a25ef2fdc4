"""What `setup` finds, and how it tells of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from agent.config.model import Settings, layered
from agent.discovery.found import Found, FoundPrinter
from agent.domain.errors import AgentError
from agent.shopfloor import PROGRAMS, build_engine


@dataclass(frozen=True)
class Around:
    """`slicers`: program as a printer's file names it -> what it says it is."""

    found: Found = field(default_factory=Found)
    slicers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.found), "slicers": dict(self.slicers)}


def slicers_here(settings: Settings | None = None) -> dict[str, str]:
    """Those that are installed, by the names and paths that are configured, or the usual ones."""
    settings = settings or layered()
    versions = {}
    for program in PROGRAMS:
        try:
            versions[program] = build_engine(program, settings).version()
        except AgentError:
            continue  # not here
    return versions


def tell_found(around: Around) -> None:
    for printer in around.found.printers:
        click.echo(f"  printer  {_told(printer)}")
    for broker in around.found.brokers:
        click.echo(f"  broker   {broker.says}: {broker.host}:{broker.port}")
    for program, version in around.slicers.items():
        click.echo(f"  slicer   {program}: {version}")
    if not around.found.printers:
        click.echo("  no printer announces itself here; you can give its address")
    if not around.slicers:
        click.secho("  no slicer is installed (Debian: apt-get install prusa-slicer)", fg="yellow")
    for trouble in around.found.troubles:
        click.secho(f"  {trouble}", fg="yellow")


def _told(printer: FoundPrinter) -> str:
    more = ", ".join(filter(None, (printer.model, printer.serial, "wants a key" if printer.wants_key else "")))
    return f"{printer.kind}, {printer.says}: {printer.url or printer.host}" + (f" ({more})" if more else "")
