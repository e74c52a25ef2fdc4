"""kill -9 at every transition, with the real daemon, the real slicer and a real OctoPrint: nothing lost, nothing printed twice.

The truth is OctoPrint's own log and the marketplace's own journal, never the agent's record. Three kinds of kills:
right before and right after each commit of an order's life (tests/rigs/dying_agent.py); while a start is on its way, by a
proxy that holds, delays or loses it; and while it prints, with the print ending before the next start.
"""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.domain.events import first_broken
from agent.domain.job import JobState
from agent.domain.order import State
from agent.domain.question import Step
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from tests.rigs.agent_process import AgentHome, AgentProcess, Desk, wait_until
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint
from tests.rigs.start_proxy import StartProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("octoprint kills")]
LEAST_KILLS = 100
LIFE_S = 60.0
TRANSITIONS = (
    "offered", "decided", "intended", "accepted", "fetched", "checked", "sliced", "job_claimed", "print_begun", "uploaded",
    "start_intended", "printing", "print_finished", "asked", "harvested", "printed", "nothing_to_post_process", "photos_taken",
    "submitted", "label_fetched", "label_printed", "packed", "dropped_off", "delivered",
)  # fmt: skip
"""Every commit the daemon makes for an order, by the event it writes."""


@pytest.fixture(scope="module")
def octoprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    # Longer than an agent takes to start: else a print could end before the next life sees it begin.
    with running_octoprint(tmp_path_factory.mktemp("octoprint"), least_print_s=6) as server:
        yield server


@dataclass
class World:
    """All that outlives the agent, and the count of its deaths."""

    folder: Path
    octoprint: OctoPrintServer
    market: SandboxMarketplace
    proxy: StartProxy
    home: AgentHome
    kills: int = 0
    offers: list[str] = field(default_factory=list)

    def offer(self) -> str:
        """A small part, each of another size, so that each is sliced."""
        model = write_binary_stl(self.folder / f"part-{len(self.offers)}.stl", box(12 + len(self.offers), 12, 1))
        self.offers.append(self.market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 10}]}))
        return self.offers[-1]

    def deaths(self) -> list[str]:
        journal = self.folder / "deaths"
        return journal.read_text().splitlines() if journal.exists() else []

    def check(self, desk: Desk) -> None:
        """What must be true when all orders are at their end, however often the agent died."""
        orders = desk.ledger.orders()
        assert sorted(order.dossier.offer.offer_id for order in orders) == sorted(self.offers), "an order was lost, or is there twice"
        for order in orders:
            assert order.state is State.CLOSED, f"{order.id} ended as {order.state}: {desk.kinds(order.id)}"
            assert first_broken(desk.ledger.events(order.id)) is None
            (job,) = desk.ledger.jobs(order.id)
            assert self.octoprint.starts().count(job.remote_name) == 1, "printed twice, or not at all"
            remote = self.market.offer(order.dossier.offer.offer_id)["order_id"]
            for act in ("startOrder", "submitOrder", "markDelivered"):
                assert self.market.times_done(act, remote) == 1, act
            assert self.market.times_done("acceptOffer", order.dossier.offer.offer_id) == 1
        assert len(self.octoprint.starts()) == len(set(self.octoprint.starts())), "double start"


@pytest.fixture
def world(tmp_path: Path, octoprint: OctoPrintServer) -> Iterator[World]:
    with SandboxMarketplace() as market, StartProxy(octoprint.url) as proxy:
        home = AgentHome(tmp_path / "home")
        home.add_marketplace(market.url, market.token, poll_interval_s=0.5)
        home.add_octoprint("mk3s", proxy.url, octoprint.api_key)
        yield World(tmp_path, octoprint, market, proxy, home)


def live(world: World, desk: Desk, dies_at: int, *, acts: bool = True) -> bool:
    """One life; True where it died by its own SIGKILL, False where nothing more was to be done."""
    agent = world.home.start(module="tests.rigs.dying_agent", DIES_AT=str(dies_at), DEATHS=str(world.folder / "deaths"))

    def over() -> bool:
        if not agent.alive():
            return True
        if acts:
            desk.person.act()
        orders = desk.ledger.orders()
        return bool(orders) and len(orders) == len(world.offers) and all(order.ended for order in orders)

    try:
        wait_until(over, f"a life that ends; the orders are {desk.states()}", LIFE_S)
    finally:
        died = not agent.alive()
        if not died:
            agent.kill()
    assert agent.process.returncode == -signal.SIGKILL, world.home.log.read_text()[-2000:]
    return died


def test_killed_before_and_after_every_commit_of_an_orders_life(world: World) -> None:
    """Each life gets as far as one commit: n = 1 dies before it, n = 2 after it, so every commit is both before and behind a kill."""
    with world.home.desk() as desk:
        for ends_while_down in (False, True):
            world.offer()
            while live(world, desk, 1 + _past_start(desk)) and live(world, desk, 2 + _past_start(desk)):
                if ends_while_down and world.octoprint.state() == "Printing":
                    world.octoprint.wait_for("Operational", within_s=60)
        world.check(desk)
        deaths = world.deaths()
        for transition in TRANSITIONS:
            assert f"before {transition}" in deaths, transition
            assert f"after {transition}" in deaths, transition
        assert len(deaths) >= LEAST_KILLS, f"only {len(deaths)} kills"
        print(f"{len(deaths)} kills by SIGKILL, {len(world.offers)} orders, {len(world.octoprint.starts())} starts")


def _past_start(desk: Desk) -> int:
    """Two points more where a start was intended in vain already: else each life would end between the intent and the start."""
    (job,) = desk.ledger.active_jobs() or (None,)
    in_vain = job is not None and job.state is JobState.UPLOADED and "start_intended" in desk.kinds(job.order_id)
    return 2 if in_vain else 0


@pytest.mark.parametrize("fate", ["lost", "late", "reply lost", "lost, lost, late"])
def test_killed_while_a_start_is_on_its_way(world: World, fate: str) -> None:
    """The request may be lost with the agent, arrive after its death, or be obeyed without the agent hearing of it."""
    fates = fate.split(", ")
    agents: list[AgentProcess] = []

    def killed_before(_name: str) -> None:
        if fates[:1] in (["lost"], ["late"]):
            agents[-1].kill()
        if fates[:1] == ["late"]:
            time.sleep(1.0)  # the network holds it back for that long; the next agent is up by then

    def killed_after(_name: str) -> None:
        if fates and fates.pop(0) == "reply lost":
            agents[-1].kill()

    def lost(_name: str) -> bool:
        return fates[:1] == ["lost"]

    world.proxy.before, world.proxy.after, world.proxy.drop = killed_before, killed_after, lost
    starts = len(world.octoprint.starts())
    with world.home.desk() as desk:
        world.offer()
        kills = _lives_until_printed(world, desk, agents, fates)
        world.check(desk)
    assert kills == len(fate.split(", "))
    assert len(world.octoprint.starts()) == starts + 1


def _lives_until_printed(world: World, desk: Desk, agents: list[AgentProcess], fates: list[str]) -> int:
    kills = 0
    while True:
        agents.append(world.home.start())

        def over() -> bool:
            desk.person.act()
            return not agents[-1].alive() or desk.states() == ["closed"]

        wait_until(over, "printed and delivered, or killed", LIFE_S)
        if desk.states() == ["closed"]:
            agents[-1].stop()
            return kills
        kills += 1
        if fates[:1] == ["lost"]:
            fates.pop(0)  # it never reached the printer: `after` was not called


def test_a_print_that_ends_while_the_agent_is_dead_is_found_and_asked_for(world: World) -> None:
    with world.home.desk() as desk:
        world.offer()
        agent = world.home.start()
        wait_until(lambda: (desk.person.act(), world.octoprint.state() == "Printing")[1], "printing", LIFE_S)
        agent.kill()
        world.octoprint.wait_for("Operational", within_s=60)
        with world.home.running():
            wait_until(lambda: any(question.step is Step.BED for question in desk.ledger.open_questions()), "asks for the bed", LIFE_S)
            (job,) = desk.ledger.active_jobs()
            assert job.state == "finished"
            wait_until(lambda: (desk.person.act(), desk.states() == ["closed"])[1], "delivered", LIFE_S)
        world.check(desk)
