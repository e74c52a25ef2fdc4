"""Runs the demo and tells what happens, step by step."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from agent.config.load import load
from agent.config.model import Settings
from agent.domain.errors import Refused
from agent.domain.order import Order, State
from agent.ledger.sql_ledger import SqlLedger
from agent.sandbox.demo.scene import Daemon, Scene
from agent.sandbox.demo.story import STORY, summary, why
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.person import NAME, Person
from agent.wiring import build_printers, file_store, ledger_url

LONGEST_S = 300.0
_SHIP_IN = (timedelta(hours=8), timedelta(hours=1, minutes=10))
"""The first can be kept; the second asks for the same part sooner than it can be printed and packed."""
_LOOK_S = 0.05
SPEED = 300.0


def show(folder: Path) -> None:
    """Two offers, of which one cannot be kept; the other one from offer to delivered, told line by line. Refused where it does not get
    there."""
    began = time.monotonic()
    with SandboxMarketplace() as market:
        scene = Scene(folder, market.url, market.token, SPEED)
        scene.set_up()
        click.echo(f"A sandbox marketplace serves at {market.url}, a virtual Prusa MK3S prints {SPEED:.0f} times faster than a real one,")
        click.echo(f"and {NAME}, does what only hands can do. Everything else is the real agent and the real PrusaSlicer.\n")
        for ship_in in _SHIP_IN:
            market.add_offer(_offer(scene.model, datetime.now(UTC) + ship_in))
        settings = load(scene.config)
        with SqlLedger(ledger_url(settings)) as ledger, scene.daemon() as daemon:
            orders = _Follower(settings, ledger, daemon, folder, Console()).follow()
        _tell_end(orders, market, scene, settings, time.monotonic() - began)


def _offer(model: Path, ship_by: datetime) -> dict[str, Any]:
    return {"files": [{"path": str(model)}], "items": [{"infill_percent": 20, "supports": "no"}], "ship_by": ship_by.isoformat()}


class _Follower:
    """Watches the ledger as `orders show` would, tells what is new, and lets the person act."""

    def __init__(self, settings: Settings, ledger: SqlLedger, daemon: Daemon, folder: Path, console: Console) -> None:
        self._console = console
        self._settings = settings
        self._ledger = ledger
        self._daemon = daemon
        self._person = Person(ledger, file_store(settings), folder)
        self._told = Counter[str]()
        self._began = time.monotonic()

    def follow(self) -> list[Order]:
        """Until every offer of the demo came to its end."""
        with ExitStack() as stack:
            bar = _PrintBar(self._settings, self._console, stack)
            while time.monotonic() - self._began < LONGEST_S:
                self._daemon.must_be_up()
                orders = self._ledger.orders()
                for order in orders:
                    self._tell_news(order)
                bar.show(orders)
                if len(orders) == len(_SHIP_IN) and all(order.ended for order in orders):
                    return list(orders)
                self._let_person_act()
                time.sleep(_LOOK_S)  # a ledger has no event for another process
        raise Refused(f"The demo's order was not delivered within {LONGEST_S:.0f} s.")

    def _tell_news(self, order: Order) -> None:
        for event in list(self._ledger.events(order.id))[self._told[order.id] :]:
            self._told[order.id] += 1
            if event.kind in STORY:
                self._say(f"{order.id}: {STORY[event.kind](order, event)}")
            if event.kind == "on_hold":
                raise Refused("The demo's order is on hold, which must not happen.", hint="Its log says why.")

    def _let_person_act(self) -> None:
        for question in self._person.act():
            self._say(f"  [{NAME}] asked: {question.text.splitlines()[0]} → does it and says so")

    def _say(self, text: str) -> None:
        # Through the console that draws the bar, which else would be written over.
        self._console.print(f"{time.monotonic() - self._began:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)


class _PrintBar:
    """How far the print is: a bar on a terminal, a line at each quarter elsewhere."""

    def __init__(self, settings: Settings, console: Console, stack: ExitStack) -> None:
        self._printer = next(iter(build_printers(settings).values()))
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stack = stack
        self._quarters = 0

    def show(self, orders: Sequence[Order]) -> None:
        if not any(order.state is State.PRINTING for order in orders):
            if self._progress is not None:
                self._progress.stop()
                self._progress = None
            return
        done = asyncio.run(self._printer.observe()).progress
        if self._console.is_terminal:
            self._draw(done)
        elif int(done * 4) > self._quarters:
            self._quarters = int(done * 4)
            click.echo(f"          printing: {done:.0%}")

    def _draw(self, done: float) -> None:
        if self._progress is None:
            columns = (TextColumn("          {task.description}"), BarColumn(40), TaskProgressColumn())
            self._progress = self._stack.enter_context(Progress(*columns, console=self._console, transient=True))
            self._task = self._progress.add_task("printing", total=1.0)
        assert self._task is not None
        self._progress.update(self._task, completed=done)


def _tell_end(orders: list[Order], market: SandboxMarketplace, scene: Scene, settings: Settings, seconds: float) -> None:
    ended = sorted(orders, key=lambda order: order.state is not State.CLOSED)
    if [order.state for order in ended] != [State.CLOSED, State.DECLINED]:
        told = ", ".join(f"{order.id} {order.state}" for order in orders)
        raise Refused(f"One of the demo's offers should be delivered and one declined: {told}.", hint=f"The daemon's log: {scene.log}")
    made, declined = ended
    click.echo()
    for line in (*summary(made), "", *why(declined), "", *_where(made, market, scene, settings)):
        click.echo(line)
    click.echo(f"Why it was declined: .venv/bin/intagly-agent offers show {declined.id} --config {scene.config}")
    click.echo(f"\nDelivered in {seconds:.0f} s.")


def _where(order: Order, market: SandboxMarketplace, scene: Scene, settings: Settings) -> Iterator[str]:
    store = file_store(settings)
    journals = (settings.agent.data_dir / "virtual").glob("*/journal.jsonl")
    starts = sum(journal.read_text().count('"started"') for journal in journals)
    accepted = market.times_done("acceptOffer", order.dossier.offer.offer_id)
    yield f"Printed: starts in the printer's own journal: {starts}. Accepted, by the marketplace's own count: {accepted}."
    yield "Files:"
    yield f"  model   {scene.model}"
    for plate in order.dossier.plates:
        yield f"  G-code  {store.path(plate.gcode_sha256)}"
    yield f"  label   {store.path(order.dossier.label_sha256)}"
    yield f"  log     {scene.log}"
    yield f"  ledger  {settings.agent.data_dir / 'ledger.sqlite3'}"
    yield f"Look at it: .venv/bin/intagly-agent orders show {order.id} --config {scene.config}"
