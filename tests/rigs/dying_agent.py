"""The real agent that sends itself SIGKILL: everything else is the product as it is.

`DIES_AT=n python -m tests.rigs.dying_agent run …`: at its n-th point of this life, odd n right before a commit, even n right after it.
Only commits with an event in an order's history count; putting an order back to sleep has none.

`DIES_IN="during start 0.02"`: in a call to its printer; before it, after it, or so many seconds into it (a call that is over sooner is
died in right then, before anybody hears of its end). `CALL=n`: in the n-th such call of this life.

It asks about a start after a little more than the time that a request may be on its way, not after half a minute.
"""

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from agent import wiring
from agent.cli import main
from agent.ledger import jobs, orders, people
from agent.printers.bambu.printer import BambuPrinter
from agent.printers.moonraker import MoonrakerPrinter
from agent.printers.octoprint import OctoPrintPrinter
from agent.printers.virtual import VirtualPrinter
from agent.workflow.shop import Pace

_dies_at = int(os.environ.get("DIES_AT", "0"))
_dies_in = os.environ.get("DIES_IN", "").split()
_call = int(os.environ.get("CALL", "1"))
_journal = Path(os.environ["DEATHS"])
_points = 0
_appended: list[str] = []
"""The kinds of the events in the transaction that is open."""

_append_event = orders.append_event
_do_commit = DefaultDialect.do_commit


def _append(connection: Any, order_id: str, at: Any, kind: str, data: Any) -> None:
    _append_event(connection, order_id, at, kind, data)
    _appended.append(kind)


def _commit(self: DefaultDialect, connection: Any) -> None:
    kinds = "+".join(_appended)
    _appended.clear()
    if kinds:
        _point(f"before {kinds}")
    _do_commit(self, connection)
    if kinds:
        _point(f"after {kinds}")


def _point(what: str) -> None:
    global _points
    _points += 1
    if _points == _dies_at:
        _die(what)


def _die(what: str) -> None:
    with _journal.open("a") as journal:
        journal.write(what + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


def _mortal(adapter: type, name: str) -> None:
    """Makes a method of an adapter one that may be died in."""
    method = getattr(adapter, name)
    phase, delay_s = _dies_in[0], float(_dies_in[2]) if len(_dies_in) > 2 else 0.0
    calls = 0

    async def call(self: object, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls != _call:
            return await method(self, *args)
        if phase == "before":
            _die(f"before {name}")
        if phase == "during":
            threading.Timer(delay_s, _die, [f"during {name}"]).start()
        result = await method(self, *args)
        _die(f"{phase} {name}")
        return result

    setattr(adapter, name, call)


for module in (orders, jobs, people):
    module.append_event = _append  # type: ignore[attr-defined]
DefaultDialect.do_commit = _commit  # type: ignore[method-assign,assignment]

wiring.Shop = partial(wiring.Shop, pace=Pace(start_may_take_s=Pace.request_on_its_way_s + 2))  # type: ignore[misc,assignment]
if _dies_in:
    for adapter in (OctoPrintPrinter, MoonrakerPrinter, BambuPrinter, VirtualPrinter):
        _mortal(adapter, _dies_in[1])

if __name__ == "__main__":
    main()
