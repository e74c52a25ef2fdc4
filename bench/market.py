"""A market against the agent: a thousand offers for fifty printers, a fault in every fifth answer.

Real: the sandbox marketplace over HTTP in a process of its own, the adapter, intake, loop, ledger (SQLite on disk), file store, the process
that judges meshes, quotes, decisions, the plan; fifteen minutes to answer, a margin of one, time-outs as long as they are.

Not real: slicing (reckoned from volume, 0.02 to 0.1 s each), printers (they keep time), pictures of models (not drawn), and the nights,
which the agent's clock jumps over while no offer waits. `make bench`, or `python -m bench.market [OFFERS [PRINTERS [A SECOND]]]`.
"""

import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bench.figures import Figure, keep
from bench.market_day import Driver, Found, Models, Size, percentile, simulate
from bench.market_floor import open_floor

DECIDED_WITHIN_S = 0.5


@dataclass(frozen=True)
class Where:
    url: str
    control: str
    token: str
    pid: int


def main(offers: int = 1000, printers: int = 50, per_s: float = 2.0) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # a fault in every fifth answer is no news here
    size = Size(offers, printers, bursts=max(1, offers // 200), per_s=per_s, window_s=(840.0, 900.0), night_s=6 * 3600.0, margin_s=60.0)
    with tempfile.TemporaryDirectory() as temporary, marketplace() as where:
        folder = Path(temporary)
        (folder / "models").mkdir()
        models = Models(folder / "models")
        models.make(32, 20_000, random.Random(size.seed))
        began = time.monotonic()
        found = asyncio.run(_run(folder, where, models, size))
        return _tell(found, size, time.monotonic() - began, sum(path.stat().st_size for path in models.paths) / len(models.paths))


async def _run(folder: Path, where: Where, models: Models, size: Size) -> Found:
    async with open_floor(folder, where.url, where.token, size.printers, size.margin_s) as floor:
        driver = Driver(where.control, models, size, floor.clock)
        try:
            return await simulate(floor, driver, size)
        finally:
            driver.close()


@contextlib.contextmanager
def marketplace() -> Iterator[Where]:
    """The sandbox marketplace in a process of its own."""
    command = [sys.executable, "-m", "agent", "sandbox", "marketplace"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Where(**json.loads(process.stdout.readline()), pid=process.pid)
        process.terminate()


def _tell(found: Found, size: Size, took_s: float, file_bytes: float) -> int:
    print(f"{size.offers} offers, {size.printers} printers, {size.bursts} days, {took_s:.0f} s, seed {size.seed}")
    print(
        f"models of {file_bytes / 1e6:.2f} MB on average; {size.per_s:g} offers a second, answered within {size.window_s[0]:g} to "
        f"{size.window_s[1]:g} s, margin {size.margin_s:g} s"
    )
    print("not real: slicing (reckoned), printers (they keep time), pictures (none), nights (jumped over)")
    print(
        f"in the end: {', '.join(f'{state} {count}' for state, count in found.states.most_common())}; printed {found.printed}, "
        f"sliced {found.slices}, at most {found.most_open} orders open"
    )
    print(f"requests: {found.requests}; faults: {sum(found.faults.values())} ({found.faults_told})")
    broken = {
        "not answered before the deadline": found.late,
        "accepted twice, or under two keys, or taken in twice": found.twice,
        "accepted on one side only": found.strangers,
        "accepted that the plan could not keep": found.unplanned,
        "promises broken in the plan after a day": found.broken,
        "printed after ship_by": found.late_prints,
    }
    for what, which in broken.items():
        _count(what, which)
    fast = percentile(found.seconds, 0.99) <= DECIDED_WITHIN_S
    print(
        f"decided without slicing, {len(found.seconds)} offers whose files cannot be had: {_shares(found.seconds)} after the list with it "
        f"was read, at most {DECIDED_WITHIN_S} s: {'met' if fast else 'NOT MET'}"
    )
    print(f"  the same after that list was asked for, slow answers included: {_shares(found.asked)}")
    print(f"memory of the agent, at its most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB, the driver included")
    decided = Figure(f"decided without slicing, p99 of {len(found.seconds)}", percentile(found.seconds, 0.99), "s", DECIDED_WITHIN_S)
    figures = [decided, *(Figure(f"{size.offers} offers: {what}", len(which), "", 0) for what, which in broken.items())]
    keep("market", figures)
    return 0 if all(figure.met for figure in figures) else 1


def _count(what: str, found: list[str]) -> None:
    print(f"{what:52} {len(found):4}  allowed 0: {'met' if not found else 'NOT MET'}" + (f"  {found[:3]}" if found else ""))


def _shares(seconds: Sequence[float]) -> str:
    return f"p50 {percentile(seconds, 0.5):.3f} s, p99 {percentile(seconds, 0.99):.3f} s"


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:3]), *(float(argument) for argument in sys.argv[3:4])))
