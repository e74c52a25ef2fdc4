"""Runs the benches and writes docs/performance.md: every figure beside what it is compared with and what is promised, and a plot.

`make bench`, or `python -m bench.performance [BENCH …]`: those that are named, else all. Each bench's figures stay in
docs/performance/BENCH.json, so that one may be run anew by itself; `--write-only` writes the page again from what is there.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from bench.figures import RESULTS, Figure

DOCS = Path(__file__).parents[1] / "docs"
KEPT = DOCS / "performance"
BENCHES = {
    "order_to_printing": "From an offer to a printer that prints, beside the bare slicer and a bare upload",
    "slicing": "Slicing, beside the bare slicer",
    "meshes": "Verdicts on models, beside trimesh",
    "idle": "Idle",
    "life": "Starting, being killed, and a broker that forgets",
    "ledger": "The ledger with ten thousand orders that wait",
    "market": "A market with faults",
    "first_load": "The page's first load",
}
_HEAD = """# Performance

Written by `make bench` (`bench/performance.py`) from what it measured, not by hand. What each bench does, what is real in it and what was
seen earlier: [benchmarks.md](benchmarks.md). **Nothing was measured on a Raspberry Pi.**
"""
_NOT_RUN = "**Not run** for this page."


@dataclass(frozen=True)
class Run:
    """One bench's last run. `figures` empty: it ended before it had any."""

    at: str
    machine: str
    load: float
    took_s: float
    exit_code: int
    figures: list[Figure]


def main(*arguments: str) -> int:
    named = [argument for argument in arguments if argument != "--write-only"]
    if unknown := set(named) - BENCHES.keys():
        print(f"No such bench: {', '.join(sorted(unknown))}. There are {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    KEPT.mkdir(exist_ok=True)
    codes = [] if "--write-only" in arguments else [_run(bench) for bench in named or BENCHES]
    runs = {bench: _read(bench) for bench in BENCHES}
    (KEPT / "promises.svg").write_text(plot([figure for run in runs.values() if run for figure in run.figures]), encoding="utf-8")
    (DOCS / "performance.md").write_text(page(runs), encoding="utf-8")
    return max(codes, default=0)


def _run(bench: str) -> int:
    print(f"--- {bench}", flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-m", f"bench.{bench}"], env={**os.environ, RESULTS: folder}, check=False)
        found = Path(folder, f"{bench}.json")
        figures = json.loads(found.read_text(encoding="utf-8")) if found.exists() else []
    run = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load": round(load, 1),
        "took_s": round(time.monotonic() - began, 1),
        "exit_code": done.returncode,
        "figures": figures,
    }
    (KEPT / f"{bench}.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return done.returncode


def _read(bench: str) -> Run | None:
    path = KEPT / f"{bench}.json"
    if not path.exists():
        return None
    run = json.loads(path.read_text(encoding="utf-8"))
    names = {field.name for field in fields(Figure)}
    return Run(**run | {"figures": [Figure(**{name: value for name, value in one.items() if name in names}) for one in run["figures"]]})


def page(runs: dict[str, Run | None]) -> str:
    """The whole document."""
    return "\n".join(_page(runs)) + "\n"


def _page(runs: dict[str, Run | None]) -> Iterator[str]:
    promised = [figure for run in runs.values() if run for figure in run.figures if figure.allowed is not None]
    met = sum(figure.met for figure in promised)
    yield _HEAD
    yield f"Of {len(promised)} promises measured {met} are met.\n"
    yield "![Each figure as a share of what is promised](performance/promises.svg)\n"
    for bench, title in BENCHES.items():
        yield f"## {title} (`bench/{bench}.py`)\n"
        yield from _bench(runs[bench])


def _bench(run: Run | None) -> Iterator[str]:
    if run is None:
        yield f"{_NOT_RUN}\n"
        return
    yield f"{run.at}, {run.machine}, load before {run.load:g}; took {run.took_s:.0f} s.\n"
    if not run.figures:
        yield f"It ended without figures, with status {run.exit_code}.\n"
        return
    yield "| | seen | compared with | ratio | promised | share of it |\n|---|---|---|---|---|---|"
    for figure in run.figures:
        beside, ratio = (f"{figure.beside:.3g}", f"{figure.found / figure.beside:.2f}") if figure.beside else ("", "")
        promise = figure.promise if figure.met else f"**{figure.promise}**"
        share = f"{_share(figure):.2f}" if figure.allowed else ""
        yield f"| {figure.what} | {figure.found:.3g} {figure.unit} | {beside} | {ratio} | {promise if figure.promise else ''} | {share} |"
    yield ""


# --- the plot ---------------------------------------------------------------------------------------------------
_ROW, _LEFT, _WIDE, _MOST = 18, 430, 300, 2.0


def plot(figures: Sequence[Figure]) -> str:
    """SVG: a bar for each promise, as a share of what is allowed; the line is the promise itself. Shares above two are cut there."""
    promised = [figure for figure in figures if figure.allowed]
    height = _ROW * len(promised) + 40
    one = _LEFT + _WIDE / _MOST
    bars = "".join(_bar(n, figure) for n, figure in enumerate(promised))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + 60}" height="{height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{bars}'
        f'<line x1="{one:.0f}" x2="{one:.0f}" y1="14" y2="{height - 20}" stroke="#333" stroke-dasharray="3 2"/>\n'
        f'<text x="{one:.0f}" y="{height - 6}" text-anchor="middle" fill="#333">the promise</text>\n</svg>\n'
    )


def _share(figure: Figure) -> float:
    """Of what is promised: at most 1 where it is kept."""
    assert figure.allowed
    if figure.at_least:
        return figure.allowed / figure.found if figure.found else float("inf")
    return figure.found / figure.allowed


def _bar(n: int, figure: Figure) -> str:
    share = _share(figure)
    y, wide = 18 + n * _ROW, _WIDE * min(share, _MOST) / _MOST
    color = "#2b7a4b" if figure.met else "#b3261e"
    return (
        f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end" fill="#222">{escape(figure.what)}</text>'
        f'<rect x="{_LEFT}" y="{y + 2}" width="{max(wide, 1):.1f}" height="{_ROW - 6}" fill="{color}"/>'
        f'<text x="{_LEFT + wide + 5:.1f}" y="{y + 11}" fill="#222">{share:.2f}</text>\n'
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
