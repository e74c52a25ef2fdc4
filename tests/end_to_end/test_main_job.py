"""The main job on real parts: sandbox marketplace → daemon → PrusaSlicer → OctoPrint → a person → delivered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.events import first_broken
from agent.domain.order import State
from agent.domain.question import Step
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.sandbox.models import box, write_binary_stl
from tests.rigs.agent_process import AgentHome, wait_until
from tests.rigs.octoprint_server import OctoPrintServer, running_octoprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("octoprint main job")]


@pytest.fixture(scope="module")
def octoprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OctoPrintServer]:
    with running_octoprint(tmp_path_factory.mktemp("octoprint")) as server:
        yield server


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, market: SandboxMarketplace, octoprint: OctoPrintServer) -> AgentHome:
    home = AgentHome(tmp_path / "home")
    home.add_marketplace(market.url, market.token)
    home.add_octoprint("mk3s", octoprint.url, octoprint.api_key)
    return home


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_binary_stl(tmp_path / "plate.stl", box(12, 12, 2))


def test_an_order_goes_from_the_marketplace_to_delivered(
    home: AgentHome, market: SandboxMarketplace, octoprint: OctoPrintServer, model: Path
) -> None:
    before = len(octoprint.starts())
    offer_id = market.add_offer({"files": [{"path": str(model)}], "items": [{"infill_percent": 35, "quantity": 2}]})
    with home.running(fresh=True), home.desk() as desk:
        (order,) = wait_until(desk.ledger.orders, "the offer is seen")
        wait_until(lambda: (desk.person.act({Step.BED}), desk.states() == ["photos"])[1], "ready for photos", 120)
        starts = octoprint.starts()[before:]
        assert len(starts) == 1, "OctoPrint's own log shows one start"
        assert starts == [job.remote_name for job in desk.ledger.jobs(order.id)]
        assert market.times_done("acceptOffer", offer_id) == 1

        wait_until(lambda: (desk.person.act(), desk.ledger.order(order.id).ended)[1], "delivered")
        order = desk.ledger.order(order.id)
        assert order.state is State.CLOSED
        assert first_broken(desk.ledger.events(order.id)) is None
        (plate,) = order.dossier.plates
        assert plate.copies == {"item-1": 2}
        assert plate.proved
        assert [line.found for line in plate.proof if line.check == "infill"] == ["35%"]
    remote = market.offer(offer_id)["order_id"]
    assert market.order(remote)["state"] == "delivered"
    assert {act: market.times_done(act, remote) for act in ("startOrder", "submitOrder", "markDelivered")} == {
        "startOrder": 1,
        "submitOrder": 1,
        "markDelivered": 1,
    }
    assert home.logged("stopped"), "SIGTERM is a clean end"
