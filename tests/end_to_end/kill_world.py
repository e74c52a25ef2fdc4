"""All that outlives an agent that is killed: its folder, the printer, the marketplace; and what must be true in the end."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.events import first_broken
from agent.domain.order import State
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.ports.ledger import Stale
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from agent.wiring import file_store
from tests.rigs.agent_process import AgentHome, Desk, wait_until
from tests.rigs.dying_agent import born
from tests.rigs.kill_machines import Machine, truth

LIFE_S = 60.0


@dataclass
class World:
    """One printer and one marketplace, and the agents that live and die with them."""

    folder: Path
    machine: Machine
    market: SandboxMarketplace
    home: AgentHome
    offers: list[str] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    """Questions about a job that nobody but a person at the printer could answer."""
    beds_cleared: int = 0
    starts_before: int = 0
    """By earlier worlds with this printer."""

    def __post_init__(self) -> None:
        self.starts_before = len(self.machine.starts())

    def offer(self) -> str:
        """A small part, each of another size, so that each is sliced."""
        model = write_binary_stl(self.folder / f"part-{len(self.offers)}.stl", box(12 + len(self.offers), 12, 1))
        self.offers.append(self.market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 10}]}))
        return self.offers[-1]

    def deaths(self) -> list[str]:
        journal = self.folder / "deaths"
        return journal.read_text().splitlines() if journal.exists() else []

    def act(self, desk: Desk) -> None:
        """What the person does now."""
        self.beds_cleared += sum(question.step is Step.BED for question in desk.person.act())
        self.tell_the_truth(desk)

    def tell_the_truth(self, desk: Desk) -> None:
        """A question about the printer is answered with what the printer's own record says."""
        for question in desk.ledger.open_questions():
            if question.step is not Step.HOLD or question.answered_at is not None:
                continue
            job = str(question.data.get("job", ""))
            assert job, f"held for another reason: {question.text}"
            self.asked.add(question.id)
            with contextlib.suppress(Stale):  # it was asked before a kill, and has settled itself since
                Answers(desk.ledger, file_store(self.home.settings()), "Ada").choose(Step.HOLD, question.order_id, truth(self.machine, job))

    def live(self, desk: Desk, *, dies_at: int = 0, dies_in: str = "") -> bool:
        """One life; True where it died by its own SIGKILL, False where nothing more was to be done."""
        agent = born(self.home.config, self.home.log, self.folder / "deaths", dies_at=dies_at, dies_in=dies_in)

        def over() -> bool:
            if not agent.alive():
                return True
            self.act(desk)
            orders = desk.ledger.orders()
            return len(orders) == len(self.offers) and all(order.ended for order in orders)

        try:
            wait_until(over, f"a life that ends; the orders are {desk.states()}", LIFE_S)
        finally:
            died = not agent.alive()
            if not died:
                agent.kill()
        assert agent.killed, self.home.log.read_text()[-2000:]
        self.check_beds()
        return died

    def check_beds(self) -> None:
        """Each bed that a person cleared is good for one start, and no start is without one."""
        assert len(self.machine.starts()) - self.starts_before <= self.beds_cleared, "started on a bed nobody had cleared"

    def check(self, desk: Desk) -> None:
        """What must be true when all orders are at their end, however often the agent died."""
        orders = desk.ledger.orders()
        assert sorted(order.dossier.offer.offer_id for order in orders) == sorted(self.offers), "an order was lost, or is there twice"
        for order in orders:
            assert order.state is State.CLOSED, f"{order.id} ended as {order.state}: {desk.kinds(order.id)}"
            assert first_broken(desk.ledger.events(order.id)) is None
            (job,) = desk.ledger.jobs(order.id)
            assert self.machine.starts().count(job.remote_name) == 1, "printed twice, or not at all"
            remote = self.market.offer(order.dossier.offer.offer_id)["order_id"]
            for act in ("startOrder", "submitOrder", "markDelivered"):
                assert self.market.times_done(act, remote) == 1, act
            assert self.market.times_done("acceptOffer", order.dossier.offer.offer_id) == 1
        assert len(self.machine.starts()) == len(set(self.machine.starts())), "double start"
        self.check_beds()
        if self.machine.proves_never_started:
            assert not self.asked, "asked, though the printer knows"

    def told(self, what: str) -> str:
        """The figures of a run."""
        kills = len(self.deaths())
        share = f"{len(self.asked)} of them ended as a question to a person ({len(self.asked) / max(1, kills):.0%})"
        orders = f"{len(self.offers)} {'order' if len(self.offers) == 1 else 'orders'}, each started once, on a bed that was cleared"
        return f"{self.machine.family}: {kills} kills {what}, {orders}; {share}"


@contextmanager
def world_of(folder: Path, machine: Machine) -> Iterator[World]:
    with SandboxMarketplace() as market:
        home = AgentHome(folder / "home")
        home.add_marketplace(market.url, market.token, poll_interval_s=0.5)
        machine.add_to(home)
        yield World(folder, machine, market, home)
