"""Printers that begin to lie while they print: each is told once and asked about, nothing is started twice, all others go on."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.domain.job import JobState
from agent.domain.order import Order, State
from agent.domain.question import Question, Step
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from tests.end_to_end.liars import NONSENSE, Moonraker, OctoPrint, running_moonraker_stub, running_octoprint_stub
from tests.printers.wire import KEY, silent
from tests.rigs.agent_process import ROOT, AgentHome, Desk, wait_until
from tests.rigs.bambu_server import BambuServer, running_bambu
from tests.rigs.mosquitto import running_mosquitto
from tests.rigs.nursery import ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("lying printers")]
COLORS = {"octo": ("red", "#cc0000"), "staller": ("white", "#ffffff"), "voron": ("green", "#00aa00"), "p1s": ("blue", "#0000cc")}
AGENT = "tests.rigs.impatient_agent"
WARNINGS = ("warning", "error")


@dataclass
class Fleet:
    """One printer of each network family, and one that will stall."""

    octo: OctoPrint
    staller: OctoPrint
    voron: Moonraker
    p1s: BambuServer

    def starts(self) -> dict[str, int]:
        """By the printers' own records."""
        return {name: len(told) for name, told in zip(COLORS, self._records(), strict=True)}

    def _records(self) -> tuple[list[str], ...]:
        return (self.octo.starts, self.staller.starts, self.voron.starts, self.p1s.starts())

    def lie(self) -> None:
        self.octo.lie(*NONSENSE)
        self.staller.lie(silent)
        self.voron.lie(b'{"jsonrpc": "2.0", "resu', b"\xff\xfe\x00", b"[" * 10_000)
        self.p1s.unknown_state()

    def repent(self) -> None:
        self.octo.repent()
        self.staller.repent()
        self.voron.repent()
        self.p1s.unknown_state("")


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    return AgentHome(tmp_path / "home")


@pytest.fixture
def fleet(home: AgentHome, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        octo, octo_wire = stack.enter_context(running_octoprint_stub())
        staller, staller_wire = stack.enter_context(running_octoprint_stub())
        (tmp_path / "broker").mkdir()
        voron = stack.enter_context(running_moonraker_stub(stack.enter_context(running_mosquitto(tmp_path / "broker"))))
        p1s = stack.enter_context(running_bambu(tmp_path / "p1s", stale_s=0.2, prepare_s=0.2))
        p1s.trays(["FF0000FF", "1A1A1AFF", "0000CCFF", "FFFFFFFF"])
        home.add_octoprint("octo", octo_wire.url, KEY)
        home.add_octoprint("staller", staller_wire.url, KEY)
        home.add_moonraker("voron", voron)  # type: ignore[arg-type]
        home.add_bambu("p1s", p1s)
        for name, color in COLORS.items():
            home.recolor(name, *color)
        home.add_virtual("sound")
        yield Fleet(octo, staller, voron, p1s)


def orders(desk: Desk) -> dict[str, Order]:
    """By the printer that has, or had, their job."""
    return {job.printer: order for order in desk.ledger.orders() for job in desk.ledger.jobs(order.id)}


def states(desk: Desk) -> dict[str, State]:
    return {name: order.state for name, order in orders(desk).items()}


def printing(desk: Desk) -> set[str]:
    return {job.printer for job in desk.ledger.active_jobs() if job.state is JobState.PRINTING}


def holds(desk: Desk) -> dict[str, Question]:
    """What is asked, by the printer whose order is on hold."""
    asked = {question.order_id: question for question in desk.ledger.open_questions() if question.step is Step.HOLD}
    return {name: asked[order.id] for name, order in orders(desk).items() if order.state is State.ON_HOLD and order.id in asked}


def shown(home: AgentHome) -> dict[str, dict[str, Any]]:
    done = ran(AGENT, "printers", "--config", str(home.config), "--json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["printers"]}


def test_each_family_begins_to_lie_while_it_prints(home: AgentHome, fleet: Fleet, tmp_path: Path) -> None:
    model = write_binary_stl(tmp_path / "part.stl", box(12, 12, 2))
    with SandboxMarketplace() as market, home.desk() as desk, ExitStack() as stack:
        home.add_marketplace(market.url, market.token, poll_interval_s=0.5)

        def offer(color: str, hex: str) -> None:
            market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 20, "color": {"name": color, "hex": hex}}]})

        for color in COLORS.values():
            offer(*color)
        agent = home.start(module=AGENT)
        stack.callback(agent.stop)
        wait_until(lambda: (desk.person.act(), printing(desk) == set(COLORS))[1], "all four print", 90)

        fleet.lie()
        offer("black", "#1a1a1a")
        wait_until(lambda: (desk.person.act(), set(holds(desk)) == set(COLORS))[1], "a person is asked about each", 60)
        asked = holds(desk)
        reasons = {"octo": "", "staller": "did not answer in time", "voron": "cannot be read", "p1s": "unknown state DANCING"}
        for name, reason in reasons.items():
            assert f"{name} needs attention: " in asked[name].text
            assert reason in asked[name].text
            assert set(asked[name].choices) == {"printing", "printed", "failed", "cancel"}
        rows = shown(home)
        assert {name: rows[name]["state"] for name in COLORS} == dict.fromkeys(COLORS, "needs attention")
        assert all(rows[name]["reason"] for name in COLORS)
        wait_until(lambda: (desk.person.act(), states(desk).get("sound") is State.CLOSED)[1], "the sound printer's order", 60)
        assert rows["sound"]["state"] != "needs attention"
        assert told(home, "printer_needs_attention") == dict.fromkeys(COLORS, 1), "once, not at every look"
        assert noise(home) == {}

        fleet.repent()
        fleet.octo.done = fleet.staller.done = True
        fleet.voron.finish()
        wait_until(lambda: set(told(home, "printer_back")) == set(COLORS), "they are back", 60)
        assert states(desk) == {**dict.fromkeys(COLORS, State.ON_HOLD), "sound": State.CLOSED}, "an answer is a person's"
        for name, question in asked.items():
            desk.ledger.answer(question, {"choice": "cancel" if name == "p1s" else "printing"}, "Ada")
        ends = {**states(desk), **dict.fromkeys(COLORS, State.CLOSED), "p1s": State.CANCELLED}
        wait_until(lambda: (desk.person.act(), states(desk) == ends)[1], "all ended", 90)
        assert len(fleet.p1s.events("cancel")) == 1, "the one that was given up does not print on"
        assert fleet.starts() == dict.fromkeys(COLORS, 1)
        assert agent.alive()


def told(home: AgentHome, event: str) -> dict[str, int]:
    """How often, by printer."""
    return dict(Counter(str(line["printer"]) for line in home.logged(event)))


def noise(home: AgentHome) -> dict[str, int]:
    """Warnings that came more than once of the same printer or order."""
    lines = Counter(
        f"{line['event']} {line.get('about', '')} {line.get('printer') or line.get('order') or line.get('order_id')}"
        for line in home.log_lines()
        if line["level"] in WARNINGS
    )
    return {line: count for line, count in lines.items() if count > 1}
