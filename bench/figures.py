"""A bench's figures, for people on stdout, and for `bench.performance` as JSON."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = "BENCH_RESULTS"
"""The environment variable that names the folder for JSON; without it none is written."""


@dataclass(frozen=True)
class Figure:
    """`beside`: what it is compared with, in the same unit. `allowed` None: no promise is made about it."""

    what: str
    found: float
    unit: str
    allowed: float | None = None
    at_least: bool = False
    beside: float | None = None

    @property
    def met(self) -> bool:
        if self.allowed is None:
            return True
        return self.found >= self.allowed if self.at_least else self.found <= self.allowed

    def __str__(self) -> str:
        beside = f"beside {self.beside:.3f}, ratio {self.found / self.beside:.2f}   " if self.beside else ""
        return f"{self.what:64} {self.found:10.3f} {self.unit:9} {beside}{self.promise}"

    @property
    def promise(self) -> str:
        if self.allowed is None:
            return ""
        return f"{'at least' if self.at_least else 'at most'} {self.allowed:g}: {'met' if self.met else 'NOT MET'}"


def told(bench: str, figures: Sequence[Figure]) -> int:
    """Prints and keeps them. The exit code: 1 where one is not met."""
    for figure in figures:
        print(figure, flush=True)
    keep(bench, figures)
    return 0 if all(figure.met for figure in figures) else 1


def keep(bench: str, figures: Iterable[Figure]) -> None:
    """For a bench that prints in its own way."""
    if folder := os.environ.get(RESULTS):
        path = Path(folder) / f"{bench}.json"
        path.write_text(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures], indent=1) + "\n", encoding="utf-8")
