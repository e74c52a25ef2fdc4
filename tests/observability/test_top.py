"""`top`: in a real terminal of several sizes, as one screen, as JSON; names of every kind; and the daemon's ledger is only read."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from agent.commands import top_lines
from agent.commands.top_view import EventRow, OrderRow, PrinterRow, View, read
from agent.domain.offer import ModelFile
from agent.domain.order import State
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Step
from agent.ledger.sql_ledger import SqlLedger
from agent.ports.ledger import OrderMove
from agent.wiring import ledger_url
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import ROOT, AgentHome
from tests.workflow.workshop import MODEL_SHA256, make_offer

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")
WIDE = "茶壶🫖 \x1b[2J\x07 \u202egpj.elt.stl"


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    """Two printers, an offer that a person was asked about, and an order that waits for its bed."""
    home = AgentHome(tmp_path / "home")
    home.add_virtual("mk3s")
    home.add_virtual("voron")
    with SqlLedger(ledger_url(home.settings())) as ledger:
        file = ModelFile(file_id="m1", name=WIDE, sha256=MODEL_SHA256, bytes=19)
        offer = add_offer(ledger, "market", make_offer("f1", files=[file]), datetime.now(UTC) + timedelta(minutes=9))
        other = add_offer(ledger, "market", make_offer("f2"), datetime.now(UTC) + timedelta(minutes=15))
        assert offer is not None and other is not None
        ledger.ask(offer, NewQuestion(step=Step.OFFER, text="Take it?", choices={"accept": "yes"}))
        moved = ledger.move(other, OrderMove(to=State.ACCEPTED, event="accepted", data={}))
        ledger.ask(moved, NewQuestion(step=Step.BED, text="Clear it.", choices={"clear": "it is"}))
        ledger.set_bed("voron", BedState.FREE, "Ada")
    return home


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command: list[str], width: int, height: int, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self._slave = slave
        self.resize(width, height)
        self.before = termios.tcgetattr(slave)
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **environment}
        env = {name: value for name, value in env.items() if value}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=env, start_new_session=True)
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def until(self, words: str, within_s: float = 40) -> str:
        """What was written since the last call, up to and with these words."""
        end = time.monotonic() + within_s
        while words not in _ESCAPES.sub("", self.seen):
            assert time.monotonic() < end, f"{words!r} did not come: {self.seen[-3000:]!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        found, self.seen = self.seen, ""
        return found

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """The exit code; what was still to be read is read."""
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        return self.process.wait(5)

    def as_before(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before


@contextmanager
def _terminal(home: AgentHome, width: int, height: int, *more: str, **environment: str) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "agent", "top", "--config", str(home.config), "--every", "0.5", *more]
    terminal = Terminal(command, width, height, **environment)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait(5)
        os.close(terminal.master)
        os.close(terminal._slave)


def test_live_it_follows_keys_and_size_and_leaves_the_terminal_as_it_was(home: AgentHome) -> None:
    with _terminal(home, 80, 24) as terminal:
        first = terminal.until("LAST EVENTS")
        assert "\x1b[?1049h" in first
        _fits(first, 80, 24)
        terminal.resize(40, 12)
        _fits(terminal.until("LAST EVENTS 3 of 5"), 40, 12)
        with SqlLedger(ledger_url(home.settings())) as ledger:
            (order_id,) = [order.id for order in ledger.orders() if order.state is State.ACCEPTED]
            ledger.record(order_id, "reminded", {"step": "bed"})
        terminal.until("reminded")
        terminal.type("\x1b[B")
        terminal.type("\r")
        terminal.until(f"{order_id} · ")
        terminal.type("\x1b")
        terminal.until("PRINTERS")
        terminal.type("q")
        assert terminal.ended() == 0
        assert "\x1b[?1049l" in terminal.seen
        assert terminal.as_before()


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(home: AgentHome, ends: signal.Signals) -> None:
    with _terminal(home, 80, 24, TERM="xterm") as terminal:
        terminal.until("PRINTERS")
        terminal.process.send_signal(ends)
        terminal.ended()
        assert "\x1b[?1049l" in terminal.seen
        assert terminal.as_before()


def test_one_screen_without_colours_fits_a_small_terminal(home: AgentHome) -> None:
    with _terminal(home, 40, 12, "--once", NO_COLOR="1") as terminal:
        assert terminal.ended() == 0
        lines = _ESCAPES.sub("", terminal.seen).replace("\r\n", "\n").splitlines()
        assert not re.search(r"\x1b\[[0-9;]*(3|4)[0-9]", terminal.seen)
        assert len(lines) <= 12
        assert max(cell_len(line) for line in lines) <= 40
        assert "PRINTERS" in terminal.seen and "clear the bed" in terminal.seen


def test_as_json_and_into_a_pipe_it_is_the_same(home: AgentHome) -> None:
    command = [sys.executable, "-m", "agent", "top", "--config", str(home.config)]
    told = json.loads(subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout)
    assert [printer["name"] for printer in told["printers"]] == ["mk3s", "voron"]
    assert [(row["waits_for"], row["payout"]) for row in told["offers"]] == [("offer", "12.50 EUR")]
    assert [row["waits_for"] for row in told["orders"]] == ["bed"]
    assert [event["kind"] for event in told["events"]] == ["asked", "accepted", "asked", "offered", "offered"]
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60, text=True).stdout
    assert "\x1b" not in piped
    assert told["offers"][0]["id"] in piped and "茶壶" in piped


def test_looking_writes_nothing(home: AgentHome) -> None:
    with SqlLedger(ledger_url(home.settings())) as ledger:
        before = ledger.mark(), sum(ledger.writes.counts)
        read(ledger, "test", ["mk3s"], {})
        assert (ledger.mark(), sum(ledger.writes.counts)) == before


def test_a_print_is_told_by_the_slicers_time_or_as_the_printer_says() -> None:
    row = PrinterRow("mk3s", "printing", "occupied", "o1", 1, NOW - timedelta(minutes=10), 3600)
    assert (row.done(NOW), row.left_s(NOW)) == (pytest.approx(1 / 6), 3000)
    assert (row.done(NOW + timedelta(hours=9)), row.left_s(NOW + timedelta(hours=9))) == (1.0, 0.0)
    live = replace(row, progress=0.5, seconds_left=60)
    assert (live.done(NOW), live.left_s(NOW)) == (0.5, 60)


_TEXT = st.text(max_size=40) | st.sampled_from([WIDE, "\x9b2J", "a\nb", "\ud800", "‮", "👩‍👩‍👧‍👦" * 20])
_DEADLINE = st.none() | st.integers(-(10**6), 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))
_ORDERS = st.lists(st.builds(OrderRow, _TEXT, _TEXT, _TEXT, _DEADLINE, _TEXT, _TEXT), max_size=12)
_PRINTERS = st.lists(
    st.builds(PrinterRow, _TEXT, _TEXT, _TEXT, _TEXT, st.integers(0, 99), _DEADLINE, st.none() | st.integers(0, 10**6)), max_size=9
)
_EVENTS = st.lists(st.builds(EventRow, st.just(NOW), _TEXT, _TEXT), max_size=12)


@settings(max_examples=60)
@given(
    st.builds(View, _TEXT, st.just(""), _PRINTERS, _ORDERS, _ORDERS, _EVENTS, st.integers(0, 10**5), st.integers(0, 10**5)),
    st.integers(1, 200),
    st.integers(1, 60),
)
def test_whatever_names_there_are_the_screen_keeps_its_size(view: View, width: int, height: int) -> None:
    lines = top_lines.screen(view, NOW, width, height)
    assert len(lines) <= height
    for line in lines:
        assert cell_len(line.plain) <= width
        assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", line.plain)


def test_each_section_has_a_share_and_what_one_does_not_need_is_the_others() -> None:
    row = OrderRow("o1", "printing", "", NOW, "1 × a.stl", "1 EUR")
    view = View("a", "", [], [], [replace(row, id=f"o{n}") for n in range(50)], [EventRow(NOW, "o1", "printed")] * 50, 0, 50)
    lines = [line.plain for line in top_lines.screen(view, NOW, 80, 24)]
    assert len(lines) == 24
    assert any(line.startswith("ORDERS 9 of 50") for line in lines)
    assert sum(line.startswith("12:00:00") or "printed" in line for line in lines) >= 8


def _fits(written: str, width: int, height: int) -> None:
    """The last whole screen in it."""
    screen = _ESCAPES.sub("", written.rpartition("\x1b[H")[2]).replace("\r", "").split("\n")
    assert len(screen) <= height
    assert max(cell_len(line) for line in screen) <= width
