"""`inspect`: the verdict on models, without configuration. Few imports, because it is to start in a blink."""

import asyncio
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from agent.commands.options import json_option, make_folder, say_json, shown_path
from agent.domain.mesh import MeshReport, Verdict
from agent.meshes.inspector import inspect_files, picture_file
from agent.meshes.limits import Limits

_ENDINGS = (".stl", ".3mf", ".obj")
_COLORS = {Verdict.PRINT: "green", Verdict.REPAIRED: "green", Verdict.HOLD: "yellow", Verdict.REJECT: "red"}
_INDENT = " " * 9
_FILES_A_WORKER = 8
"""Fewer are done by one process before another has started."""
_NAME_MOST = 200
"""Bytes; a file's name may have 255, and the picture's is longer than the model's."""


class _Row(NamedTuple):
    """`pictures`: where those lie that were asked for and could be drawn, by view. `printers`: whether it fits on each, where a
    configuration was named."""

    path: Path
    report: MeshReport
    pictures: dict[str, str]
    printers: list[dict[str, Any]]


@click.command()
@click.argument("paths", metavar="FILE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--pictures", type=click.Path(path_type=Path, file_okay=False), help="A folder for two pictures of each model, from the side and above."
)
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="The agent's file: whether the model fits on each of its printers."
)
@json_option
def inspect(paths: tuple[Path, ...], pictures: Path | None, config: Path | None, as_json: bool) -> None:
    """The verdict on each model: print, repaired (mended and verified), hold (a person must look), reject. Exit 1 for the last two.

    STL, 3MF and OBJ. Of a folder, every model in it and below, but for hidden ones.
    """
    files, complaints = _found(paths)
    if pictures is not None:
        make_folder(pictures, "--pictures")
    rows = asyncio.run(_inspected(files, pictures, _fits_on(config), as_json))
    if as_json:
        say_json({"files": [_as_json(row, pictures is not None, config is not None) for row in rows]})
    elif len(rows) > 1:
        _tell_total(rows)
    for complaint in complaints:
        click.echo(complaint, err=True)
    bad = any(row.report.verdict in (Verdict.HOLD, Verdict.REJECT) for row in rows)
    raise click.exceptions.Exit(1 if bad or complaints else 0)


# --- which files ------------------------------------------------------------------------------------------------------
def _found(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files as given, and those of the folders; and a sentence for each folder that gave none or could not be read."""
    files: list[Path] = []
    complaints: list[str] = []
    for path in paths:
        if path.is_dir():
            before = len(complaints)
            models = list(_models_below(path, complaints))
            files += models
            if not models and len(complaints) == before:
                complaints.append(f"{shown_path(path)} holds no models ({', '.join(_ENDINGS)}).")
        else:
            files.append(path)
    return list(dict.fromkeys(files)), complaints


def _models_below(folder: Path, complaints: list[str]) -> Iterator[Path]:
    """In the order of their names. Links to folders are not followed: they may lead in a circle."""

    def unreadable(error: OSError) -> None:
        complaints.append(f"{shown_path(Path(error.filename))} cannot be read: {error.strerror}.")

    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(_ENDINGS) and not name.startswith("."):
                yield Path(here, name)


def _picture_stems(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """What each model's pictures are called up to the view: as the model. Models of the same name are numbered."""
    stems: dict[Path, Path] = {}
    taken: set[Path] = set()
    number: Counter[str] = Counter()
    for path in files:
        name = os.fsdecode(os.fsencode(path.stem)[:_NAME_MOST])
        number[name] += 1
        while (stem := folder / (name if number[name] == 1 else f"{name}-{number[name]}")) in taken:
            number[name] += 1
        taken.add(stem)
        stems[path] = stem
    return stems


# --- the work ---------------------------------------------------------------------------------------------------------
def _fits_on(config: Path | None) -> Callable[[MeshReport], list[dict[str, Any]]]:
    if config is None:
        return lambda _report: []
    # Late: the configuration and all it names take longer to import than a small model's verdict.
    from agent.commands.beds import configured_printers, fits  # noqa: PLC0415

    printers = configured_printers(config)
    return lambda report: fits(report, printers)


async def _inspected(
    files: Sequence[Path], pictures: Path | None, fits_on: Callable[[MeshReport], list[dict[str, Any]]], quiet: bool
) -> list[_Row]:
    """All of them; each is told as it is judged, unless all are to be told at once."""
    stems = _picture_stems(files, pictures) if pictures else {}
    rows = []
    with _shown(len(files), quiet=quiet) as show:
        async with aclosing(inspect_files(files, workers=_workers(len(files)), pictures=stems)) as judged:
            async for path, report in judged:
                drawn = {view: str(picture_file(stems[path], view)) for view in report.pictures}
                rows.append(_Row(path, report, drawn, fits_on(report)))
                show(rows[-1])
    return rows


def _workers(files: int) -> int:
    """As many as there are cores, and memory for what each may need."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores, memory // Limits().memory_bytes, files // _FILES_A_WORKER))


# --- what is told -----------------------------------------------------------------------------------------------------
def _as_json(row: _Row, with_pictures: bool, with_printers: bool) -> dict[str, Any]:
    facts = row.report.model_dump(mode="json", include={"sha256", "verdict", "reasons", "triangles", "volume_mm3", "shells", "seconds"})
    box = [round(side, 3) for side in row.report.bounding_box_mm]
    told = {"file": str(row.path), **facts, "volume_mm3": round(row.report.volume_mm3, 1), "bounding_box_mm": box}
    if row.report.better_poses:
        told["better_poses"] = [pose.model_dump(mode="json", exclude={"mesh_sha256"}) for pose in row.report.better_poses]
    told |= {"pictures": row.pictures} if with_pictures else {}
    stance = row.report.model_dump(mode="json", include={"stance"})
    return told | ({**stance, "printers": row.printers} if with_printers else {})


def _text(row: _Row) -> str:
    """One line, and one for each reason; a file that is no model has one reason and no facts, and so needs one line."""
    report = row.report
    head = f"{click.style(f'{report.verdict:8}', fg=_COLORS[report.verdict])} {shown_path(row.path)}"
    if not report.triangles and len(report.reasons) == 1:
        return f"{head}  {report.reasons[0].code}: {report.reasons[0].text}"
    size = " × ".join(_short(side) for side in report.bounding_box_mm)
    facts = f"{size} mm, {_volume(report.volume_mm3)}, {report.triangles:,} triangles"
    below = [f"{reason.code}: {reason.text}" for reason in report.reasons]
    if report.stance is not None:
        below += [f"Without supports it stands badly. {pose.told(report.stance)}" for pose in report.better_poses[:1]]
    for printer in row.printers:
        verb = "fits on" if printer["fits"] else click.style("does not fit on", fg="yellow")
        below.append(f"{verb} {printer['printer']} ({printer['room']}): {printer['size']}")
    return "\n".join([f"{head}  {facts}", *(_indented(line) for line in below)])


def _indented(text: str) -> str:
    """Under the file's name, and on a terminal as wide as that is; whole lines for whatever else reads them."""
    if not sys.stdout.isatty():
        return f"{_INDENT}{text}"
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)


def _tell_total(rows: Sequence[_Row]) -> None:
    count = Counter(row.report.verdict for row in rows)
    click.echo(f"{len(rows)} models: {', '.join(f'{count[verdict]} {verdict}' for verdict in Verdict if count[verdict])}")


def _volume(mm3: float) -> str:
    return f"{_short(mm3 / 1000)} cm³" if mm3 >= 10 else f"{_short(mm3)} mm³"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


@contextmanager
def _shown(files: int, *, quiet: bool) -> Iterator[Callable[[_Row], None]]:
    """How a row is shown. On a terminal with a progress bar for several files, which the lines pass above."""
    if quiet or files < 2 or not sys.stderr.isatty():
        yield lambda row: None if quiet else click.echo(_text(row))
        return
    # Late: it takes as long as a small model's verdict, and most calls show none.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    one_screen = sys.stdout.isatty()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, transient=True, console=Console(stderr=not one_screen), redirect_stdout=False) as bar:
        task = bar.add_task("", total=files)

        def show(row: _Row) -> None:
            if one_screen:
                bar.console.print(Text.from_ansi(_text(row)), soft_wrap=True)
            else:
                click.echo(_text(row))
            bar.update(task, advance=1, description=shown_path(Path(row.path.name)))

        yield show
