"""What ten thousand orders that wait cost: the daemon's start, its idle loop, the pages, the memory; beside the same with none.

The real daemon, one virtual printer, the page on loopback. Half of the orders wait for photos, and as many ended; each has ten events, a
plate and a mesh report. `make bench`, or `python -m bench.ledger [ORDERS SECONDS]`: SECONDS is how long the idle processor is measured.
Everything else on the machine should be still: the start's seconds and the page's are wall clock as well.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
from sqlalchemy import insert, select

from agent.domain.events import GENESIS, event_hash
from agent.domain.order import State
from agent.domain.person import Scope, hashed, new_secret
from agent.domain.question import NewQuestion, Step
from agent.ledger import tables as t
from agent.ledger.backup import backed_up
from agent.ledger.database import open_database
from agent.ledger.keeping import held_files
from agent.ledger.places import sqlite_file, sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.wiring import file_store
from bench.figures import Figure, told
from tests.dossiers.orders import Records
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.processes import free_port

_EVENTS = 10
_SETTLE_S = 5.0
_LOADS = 5
_MOST_READY_S = 1.5
_MOST_RSS_MIB = 90.0


@dataclass(frozen=True)
class Row:
    what: str
    unit: str
    allowed: float | None = None


_ROWS = (
    Row("start to READY, processor", "CPU-s", _MOST_READY_S),
    Row("start to READY, wall clock", "s"),
    Row("memory, children included", "MiB RSS", _MOST_RSS_MIB),
    Row("idle", "% of a core", 0.5),
    Row("a look for what is due", "ms"),
    Row("overview", "ms"),
    Row("GET /api/v1/orders", "ms"),
    Row("page of an order", "ms"),
    Row("backup of the ledger", "s"),
    Row("files: who needs which", "s"),
)


def main(orders: int = 10_000, seconds: float = 60.0) -> int:
    none, many = measured(0, seconds), measured(orders, seconds)
    rows = zip(_ROWS, none, many, strict=True)
    return told("ledger", [Figure(row.what, found, row.unit, row.allowed, beside=without) for row, without, found in rows])


def measured(orders: int, seconds: float) -> list[float]:
    """One figure for each row."""
    with tempfile.TemporaryDirectory() as temporary:
        home = AgentHome(Path(temporary) / "home")
        home.add_virtual("mk3s")
        port = free_port()
        home.config.write_text(home.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{port}"'))
        data = home.folder / "data"
        data.mkdir()
        secret, an_order = _filled(data, orders)
        began = time.monotonic()
        with home.running(fresh=True) as agent:
            wait_until(lambda: home.logged("ready"), "the daemon is up", 120)
            ready_s, process = time.monotonic() - began, psutil.Process(agent.pid)
            ready_cpu_s = _cpu_s(process)
            time.sleep(_SETTLE_S)
            before = _cpu_s(process)
            time.sleep(seconds)
            idle = 100 * (_cpu_s(process) - before) / seconds
            rss = sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 2**20
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {secret}"}, timeout=60) as client:
                pages = [_loaded(client, path) for path in ("/api/v1/orders", f"/api/v1/orders/{an_order}")]
        return [ready_cpu_s, ready_s, rss, idle, *_asked(data), *pages, *_read_whole(home, data)]


def _filled(data: Path, orders: int) -> tuple[str, str]:
    """A token for scripts, and an order's id."""
    secret = new_secret()
    with SqlLedger(sqlite_url(data)) as ledger:
        model = Records(ledger, data).closed()
        ledger.add_token("bench", hashed(secret), [Scope.READ], "the benchmark")
        if orders:
            waiting = ledger.move(ledger.order(model.id), OrderMove(to=State.PHOTOS, event="again"))
            ledger.ask(waiting, NewQuestion(step=Step.PHOTOS, text="Photos."))
    if orders:
        _copied(sqlite_url(data), model.id, orders)
    return secret, model.id


def _copied(url: str, model: str, orders: int) -> None:
    """That order and its question many times over, in one transaction; every second one has ended. Each with a chain that holds."""
    engine = open_database(url)
    with engine.begin() as connection:
        order = dict(connection.execute(select(t.orders).where(t.orders.c.id == model)).mappings().one())
        question = dict(connection.execute(select(t.questions).where(t.questions.c.settled.is_(False))).mappings().one())
        for n in range(2 * orders):
            about, ended, at = f"x{n:08}", n % 2 == 1, datetime.now(UTC) - timedelta(minutes=n)
            state = State.CLOSED if ended else State.PHOTOS
            values = {"id": about, "offer_id": f"offer-{n}", "state": state, "due_at": None, "created_at": at, "updated_at": at}
            connection.execute(insert(t.orders).values({**order, **values}))
            connection.execute(insert(t.events), list(_chain(about, at)))
            if not ended:
                asked = {name: value for name, value in question.items() if name != "id"}
                number = connection.execute(insert(t.questions).values({**asked, "order_id": about})).inserted_primary_key
                connection.execute(insert(t.notices).values(_told_of(number[0] if number else 0, about, at)))
    engine.dispose()


def _told_of(question: int, order_id: str, at: datetime) -> dict[str, object]:
    """People were told of it long ago."""
    notice = {"event": "waits_for_photos", "title": "Photos", "text": "Photos.", "order_id": order_id, "step": "photos", "urgency": "act"}
    about = {"key": f"question {question}", "run": "", "event": "waits_for_photos", "subject": f"{order_id} "}
    return {**about, "notice": notice, "made_at": at, "snoozed_by": "", "over": True}


def _chain(order_id: str, at: datetime) -> list[dict[str, object]]:
    events, prev = [], GENESIS
    for n in range(1, _EVENTS + 1):
        data = {"from": "sliced", "to": "printing", "n": n}
        digest = event_hash(prev, order_id, n, at.isoformat(), "note", data)
        events.append({"order_id": order_id, "n": n, "at": at, "kind": "note", "data": data, "prev_hash": prev, "hash": digest})
        prev = digest
    return events


def _asked(data: Path) -> list[float]:
    """What the loop and those who watch ask at every turn, in ms."""
    with SqlLedger(sqlite_url(data)) as ledger:
        due = _median_s(lambda: (ledger.due(datetime.now(UTC), 128), ledger.next_due_after(datetime.now(UTC))))
        return [1000 * due, 1000 * _median_s(ledger.overview)]


def _read_whole(home: AgentHome, data: Path) -> list[float]:
    """What a process of its own does, in s."""
    with SqlLedger(sqlite_url(data)) as ledger:
        files = _median_s(lambda: held_files(ledger, file_store(home.settings())), 1)
    return [_median_s(lambda: backed_up(sqlite_file(data), data / "copies", "bench"), 1), files]


def _loaded(client: httpx.Client, path: str) -> float:
    def load() -> None:
        client.get(path).raise_for_status()

    return 1000 * _median_s(load)


def _median_s(act: Callable[[], object], times: int = _LOADS) -> float:
    took = []
    for _ in range(times):
        began = time.monotonic()
        act()
        took.append(time.monotonic() - began)
    return statistics.median(took)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main(*(kind(argument) for kind, argument in zip((int, float), sys.argv[1:], strict=False))))
