"""The real agent that sends itself SIGKILL at its n-th point of this life: odd n right before a commit, even n right after it.

`DIES_AT=n python -m tests.rigs.dying_agent run …`: everything else is the product as it is. Only commits with an event in an
order's history count; putting an order back to sleep has none.
"""

import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from agent.cli import main
from agent.ledger import jobs, orders, people

_dies_at = int(os.environ["DIES_AT"])
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
        with _journal.open("a") as journal:
            journal.write(what + "\n")
        os.kill(os.getpid(), signal.SIGKILL)


for module in (orders, jobs, people):
    module.append_event = _append  # type: ignore[attr-defined]
DefaultDialect.do_commit = _commit  # type: ignore[method-assign,assignment]

if __name__ == "__main__":
    main()
