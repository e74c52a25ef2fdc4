"""Whatever happens in whatever order: what a person switched stays, what the agent switched it takes back, and each is told once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.account import Presence, Status
from agent.domain.errors import Transient
from agent.domain.printer import PrinterState
from agent.workflow.obstacles import Limits, Obstacles
from agent.workflow.online import LOOK_S, Online, set_by_agent
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import FakeMarket, Fate, Outside, OutsideMarket, Workshop

AWAY_S, BACK_S, LONG_S = 60.0, 30.0, 200.0


class Switch(FakeMarket):
    """A marketplace's switch. `by` is whoever moved it last; its answers may be lost, before or after it moved."""

    def __init__(self) -> None:
        super().__init__(OutsideMarket(), Fate())
        self.now, self.by = Status(state=Presence.ONLINE), "person"
        self.away = self.deaf = False
        self.overruled = False
        """A person moved it after it was told why no offers should come."""

    async def status(self) -> Status:
        if self.away:
            raise Transient("no answer")
        return self.now

    async def set_status(self, status: Status, key: str) -> Status:  # noqa: ARG002 (the port's)
        if self.away:
            raise Transient("no answer")
        if status.state is Presence.ONLINE:
            assert self.by == "agent", "a person's offline was taken back"
        self.now, self.by, self.overruled = status, "agent", False
        if self.deaf:
            raise Transient("the answer was lost")
        return status


@dataclass
class World:
    work: Workshop
    file: Path
    switch: Switch = field(default_factory=Switch)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.work.inbox.notices.clear()
        self.work.outside.printer.state = PrinterState.IDLE
        self.file.unlink(missing_ok=True)
        self.restart()

    def restart(self) -> None:
        shop = replace(self.work.shop, marketplaces={"market": self.switch}, seen=set(), away=set())
        obstacles = Obstacles(shop, Limits(printers_away_s=AWAY_S), lambda: self.seconds)
        self.watch = PrinterWatch(self.work.printer, shop)
        self.online = Online(shop, obstacles, self.file, agent_name="a", back_after_s=BACK_S, monotonic=lambda: self.seconds)
        self.online.begin()

    async def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            await self.watch.look()
            await self.online.look()
            self.seconds += LOOK_S

    def happens(self, what: str) -> None:
        printer, switch = self.work.outside.printer, self.switch
        match what.split(": "):
            case ["printer", state]:
                printer.state = PrinterState(state)
            case ["person", state]:
                switch.overruled = switch.overruled or (self.file.exists() and "no_printer" in self.file.read_text())
                switch.now, switch.by = Status(state=Presence(state), reason="mine"), "person"
            case ["marketplace", state]:
                switch.away = state == "away"
                switch.deaf = state == "answers are lost"
            case ["restart", remembered]:
                if remembered == "nothing":
                    self.file.unlink(missing_ok=True)
                self.restart()

    def told(self) -> list[str]:
        return [notice.event for notice in self.work.inbox.notices]


EVENTS = [
    "printer: offline", "printer: idle", "person: offline", "person: online", "marketplace: away", "marketplace: answers are lost",
    "marketplace: there", "restart: all", "restart: nothing",
]  # fmt: skip
story = st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0.0, 10.0, 30.0, 100.0, 200.0])), max_size=12)


async def lives(world: World, story: Sequence[tuple[str, float]]) -> None:
    for event, seconds in story:
        world.happens(event)
        await world.pass_(seconds)
    told = world.told()
    if "restart: nothing" not in [event for event, _ in story]:
        assert all(one != other for one, other in pairwise(told)), "told twice"
    world.switch.away = world.switch.deaf = False
    await world.pass_(LONG_S)
    own = set_by_agent(world.switch.now, "a")
    if world.work.outside.printer.state is PrinterState.OFFLINE:
        assert world.switch.now.state is Presence.OFFLINE or world.switch.overruled, "it is told sooner or later"
    else:
        assert not own, "it is taken back sooner or later"
    by_hand = world.switch.now.state is Presence.OFFLINE and not set_by_agent(world.switch.now, "a")
    world.work.outside.printer.state = PrinterState.IDLE
    await world.pass_(LONG_S)
    assert world.switch.now.state is (Presence.OFFLINE if by_hand else Presence.ONLINE), "all is well"
    world.work.outside.printer.state = PrinterState.OFFLINE
    await world.pass_(LONG_S)
    assert world.switch.now.state is Presence.OFFLINE, "nothing can be printed"
    assert set_by_agent(world.switch.now, "a") is not by_hand


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One for all: of the agent only the watcher is looked at here."""
    with Workshop(Outside(tmp_path_factory.mktemp("agent"))) as opened:
        yield opened


@settings(deadline=None, max_examples=40)
@given(story=story)
@example(story=[("marketplace: away", 0.0), ("printer: offline", 200.0)])
@example(story=[("marketplace: away", 0.0), ("printer: offline", 200.0), ("restart: all", 10.0)])
async def test_in_any_order(work: Workshop, story: list[tuple[str, float]]) -> None:
    await lives(World(work, work.outside.folder / "online.json"), story)
