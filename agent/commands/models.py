"""`quote`, `slice`: what the agent makes of models, without any order."""

import asyncio
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.options import Command, ConfigSource, config_option, json_option, make_folder, say_json, say_rows
from agent.commands.workbench_start import bench_for
from agent.domain.errors import Refused

if TYPE_CHECKING:
    from agent.commands.workbench import Wish, Workbench
    from agent.domain.plate import SlicedPlate
    from agent.domain.printer import PrinterFacts
    from agent.ports.slicer import Progress

_QUOTED = {"printer", "ok", "reasons", "print_seconds", "filament_g", "plates"}
_CORRECTED = {"slicer_seconds", "time_told"}
"""Told only where the slicer's time was corrected."""
SUPPORTS = ("no", "yes", "operator")
"""As in agent.domain.offer, which is not loaded before the bench is under way."""
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))


def _wish_options(command: Command) -> Command:
    for option in (
        click.option("--quantity", default=1, show_default=True, type=click.IntRange(1, 10_000), help="Copies of each model."),
        click.option("--color", default="", help="As the printers' files name it. Left out: whatever is loaded."),
        click.option("--material", default="PLA", show_default=True, help="As the printers' files name it."),
        click.option("--supports", default="operator", show_default=True, type=click.Choice(SUPPORTS)),
        click.option("--infill", default=15, show_default=True, type=click.IntRange(0, 100), help="Percent."),
    ):
        command = option(command)
    return command


@click.command()
@_FILES
@config_option
@_wish_options
@json_option
def quote(
    files: tuple[Path, ...], config: ConfigSource, infill: int, supports: str, material: str, color: str, quantity: int, as_json: bool
) -> None:
    """For each printer: can it make these models, why not, how long, how many grams, how many plates. Exit 1 where none can."""

    async def quotes() -> list[dict[str, Any]]:
        async with bench_for(config, files) as (settings, bench):
            # Late: it takes the whole workflow along, and the process that judges models is to start before.
            from agent.commands.quoting import corrections_of, quoted  # noqa: PLC0415

            wish, corrections = bench.wish(infill, supports, material, color, quantity), corrections_of(settings)
            with _bar(quiet=as_json) as told:
                asked = (quoted(bench, printer, wish, corrections, told(printer.name)) for printer in bench.printers)
                found = await asyncio.gather(*asked)
        return [quote.model_dump(include=_QUOTED | (_CORRECTED if quote.time_told else set())) for quote in found]

    rows = asyncio.run(quotes())
    if as_json:
        say_json({"quotes": rows})
    else:
        say_rows([_shown(row) for row in rows], ("printer", "can", "time", "filament_g", "plates", "why"), "No printer is configured.")
    raise click.exceptions.Exit(0 if any(row["ok"] for row in rows) else 1)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    why = "; ".join(filter(None, [*row["reasons"], row.get("time_told", "")]))
    return {**row, "can": "yes" if row["ok"] else "no", "time": _hours(row["print_seconds"]), "why": why}


@click.command(name="slice")
@_FILES
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder for the G-code.")
@click.option("--printer", "printer_names", multiple=True, help="May be given several times. Left out: the first that can.")
@config_option
@_wish_options
@json_option
def slice_(
    files: tuple[Path, ...],
    output: Path,
    printer_names: tuple[str, ...],
    config: ConfigSource,
    infill: int,
    supports: str,
    material: str,
    color: str,
    quantity: int,
    as_json: bool,
) -> None:
    """Slice, and prove that the G-code is what was asked for. G-code that does not prove is not written. Exit 1 then."""
    make_folder(output, "-o")  # before anything is sliced

    async def plates() -> list[dict[str, Any]]:
        async with bench_for(config, files) as (_, bench):
            wish = bench.wish(infill, supports, material, color, quantity)
            printers = await _chosen(bench, wish, printer_names)
            with _bar(quiet=as_json) as told:
                made = await asyncio.gather(*(bench.plates(printer, wish, told(printer.name)) for printer in printers))
            stems = [_stem(files)] if len(printers) == 1 else [f"{_stem(files)}-{printer.name}" for printer in printers]
            return [_written(plate, bench, output, stem) for stem, plates in zip(stems, made, strict=True) for plate in plates]

    rows = asyncio.run(plates())
    if as_json:
        say_json({"plates": rows})
    else:
        for row in rows:
            _tell_plate(row)
    raise click.exceptions.Exit(0 if all(row["gcode"] for row in rows) else 1)


async def _chosen(bench: "Workbench", wish: "Wish", names: Sequence[str]) -> list["PrinterFacts"]:
    """The printers of those names, or the first that can make it. Refused with every printer's reasons where none can."""
    if names:
        return [_named(bench.printers, name) for name in dict.fromkeys(names)]
    refusals = []
    for printer in bench.printers:
        reasons = await bench.tried(printer, wish)
        if not reasons:
            return [printer]
        refusals.append(f"{printer.name}: {'; '.join(reasons)}")
    raise Refused("No printer can make this. " + " | ".join(refusals), code="cannot_make")


def _named(printers: "Sequence[PrinterFacts]", name: str) -> "PrinterFacts":
    for printer in printers:
        if printer.name == name:
            return printer
    names = ", ".join(printer.name for printer in printers)
    raise Refused(f"There is no printer {name}.", hint=f"Printers: {names}.", code="no_such_printer")


def _stem(files: tuple[Path, ...]) -> str:
    """What the G-code is called after: the first model."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", files[0].stem).strip("._")[:60] or "plate"


def _written(plate: "SlicedPlate", bench: "Workbench", output: Path, stem: str) -> dict[str, Any]:
    target = output / f"{stem}-plate-{plate.number}.gcode"
    if plate.proved:
        shutil.copyfile(bench.store.path(plate.gcode_sha256), target)
    return {
        "gcode": str(target) if plate.proved else "",
        "sha256": plate.gcode_sha256,
        "print_seconds": plate.print_seconds,
        "filament_g": plate.filament_g,
        "warnings": plate.warnings,
        "proof": [line.model_dump() for line in plate.proof],
    }


def _tell_plate(row: dict[str, Any]) -> None:
    name = row["gcode"] or click.style("not written: it does not prove to be what was asked for", fg="red")
    click.echo(f"{name}  {_hours(row['print_seconds'])}, {row['filament_g']:.1f} g")
    for line in row["proof"]:
        mark = click.style("✓", fg="green") if line["ok"] else click.style("✗", fg="red")
        click.echo(f"    {mark} {line['check']}: {line['found']}" + ("" if line["ok"] else f" (expected {line['expected']})"))
    for warning in row["warnings"]:
        click.echo(f"    ! the slicer warns: {warning}")


def _hours(seconds: int) -> str:
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min" if seconds else "-"


@contextmanager
def _bar(*, quiet: bool) -> "Iterator[Callable[[str], Progress | None]]":
    """A progress bar a printer, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda _name: None
        return
    # Late: a tenth of a second, and only a person looks at it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, transient=True, console=Console(stderr=True)) as bar:

        def told(name: str) -> "Progress":
            task = bar.add_task(name, total=100)
            return lambda percent, what: bar.update(task, completed=percent, description=f"{name}: {what}")

        yield told
