"""`demo`: a whole order on this machine, to see what the agent does."""

from pathlib import Path

import click

from agent.sandbox.demo.show import show


@click.command()
@click.option(
    "--folder", default="demo-data", show_default=True, type=click.Path(path_type=Path, file_okay=False), help="Where it keeps its files."
)
def demo(folder: Path) -> None:
    """One order from offer to delivered: sandbox marketplace, this agent, real slicer, virtual printer. Needs no configuration."""
    show(folder.absolute())
