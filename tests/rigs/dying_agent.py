"""The real agent that sends itself SIGKILL: everything else is the product as it is.

`dies_at=n`: at its n-th point of this life, odd n right before a commit, even n right after it. Only commits with an event in an
order's history count; putting an order back to sleep has none.

`dies_in="during start 0.02"`: in its first such call to its printer; before it, after it, or so many seconds into it (a call that is
over sooner is died in right then, before anybody hears of its end).

It asks about a start after a little more than the time that a request may be on its way, not after half a minute, and it remembers what
PrusaSlicer said of itself, as the commands do.

Each life is a process of its own, forked off one that has imported the agent already (tests/rigs/nursery.py).
"""

import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from agent import wiring
from agent.cli import main
from agent.ledger import jobs, orders, people
from agent.printers.bambu.printer import BambuPrinter
from agent.printers.moonraker.printer import MoonrakerPrinter
from agent.printers.octoprint import OctoPrintPrinter
from agent.printers.virtual import VirtualPrinter
from agent.slicers.remembered import cache_dir
from agent.workflow.shop import Pace
from tests.rigs.nursery import Forked, says_into


def born(config: Path, log: Path, deaths: Path, *, dies_at: int = 0, dies_in: str = "") -> "Life":
    """`deaths`: the file in which it notes what it dies of. What it says goes into `log`."""
    return Life(Forked(_live, config, log, _Death(deaths, dies_at, dies_in)))


class Life:
    def __init__(self, process: Forked) -> None:
        self._process = process

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self._process.kill()
        self._process.wait(10)

    @property
    def killed(self) -> bool:
        return self._process.poll() == -signal.SIGKILL


def _live(config: Path, log: Path, death: "_Death") -> None:
    says_into(log, log)
    death.prepare()
    sys.argv = ["intagly-agent", "run", "--config", str(config)]
    main()


_append_event = orders.append_event
_do_commit = DefaultDialect.do_commit


@dataclass
class _Death:
    """When and where."""

    journal: Path
    at: int
    in_call: str
    points: int = 0
    appended: list[str] = field(default_factory=list)
    """The kinds of the events in the transaction that is open."""

    def prepare(self) -> None:
        for module in (orders, jobs, people):
            module.append_event = self.append  # type: ignore[attr-defined]
        DefaultDialect.do_commit = lambda dialect, connection: self.commit(dialect, connection)  # type: ignore[method-assign]
        wiring.build_slicers = partial(wiring.build_slicers, cache_dir=cache_dir())
        wiring.Shop = partial(wiring.Shop, pace=Pace(start_may_take_s=Pace.request_on_its_way_s + 2))  # type: ignore[misc,assignment]
        if self.in_call:
            for adapter in (OctoPrintPrinter, MoonrakerPrinter, BambuPrinter, VirtualPrinter):
                self.make_mortal(adapter)

    def append(self, connection: Any, order_id: str, at: Any, kind: str, data: Any) -> None:
        _append_event(connection, order_id, at, kind, data)
        self.appended.append(kind)

    def commit(self, dialect: DefaultDialect, connection: Any) -> None:
        kinds = "+".join(self.appended)
        self.appended.clear()
        if kinds:
            self.point(f"before {kinds}")
        _do_commit(dialect, connection)
        if kinds:
            self.point(f"after {kinds}")

    def point(self, what: str) -> None:
        self.points += 1
        if self.points == self.at:
            self.die(what)

    def die(self, what: str) -> None:
        with self.journal.open("a") as journal:
            journal.write(what + "\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def make_mortal(self, adapter: type) -> None:
        """Makes the method of an adapter one that is died in."""
        phase, name, *after = self.in_call.split()
        method = getattr(adapter, name)

        async def call(adapted: object, *args: object) -> object:
            if phase == "before":
                self.die(f"before {name}")
            if phase == "during":
                threading.Timer(float(after[0]), self.die, [f"during {name}"]).start()
            result = await method(adapted, *args)
            self.die(f"{phase} {name}")
            return result

        setattr(adapter, name, call)
