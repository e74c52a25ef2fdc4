"""The market simulation in small: whatever faults the marketplace has, every offer is answered in time and once, and to what can be kept.

`python -m bench.market` is the same with a thousand offers and fifty printers, with time-outs, and with times that are held against limits.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.order import State
from agent.sandbox.marketplace.server import SandboxMarketplace
from bench.market_day import Driver, Found, Models, Size, simulate
from bench.market_floor import Floor, open_floor

SMALL = Size(offers=40, printers=8, bursts=1, per_s=10.0, window_s=(120.0, 150.0), night_s=3 * 3600.0, margin_s=10.0, slowest_s=5.0)
PATIENCE_S = 20.0
WHITE = {"name": "white", "hex": "#f5f5f5"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    made = Models(tmp_path_factory.mktemp("models"))
    made.make(8, 2_000, random.Random(SMALL.seed))
    return made


@pytest.mark.slow
async def test_a_market_with_a_fault_in_every_fifth_answer(tmp_path: Path, models: Models) -> None:
    with SandboxMarketplace() as market:
        async with open_floor(tmp_path, market.url, market.token, SMALL.printers, SMALL.margin_s) as floor:
            driver = Driver(market.control_url, models, SMALL, floor.clock)
            try:
                found = await simulate(floor, driver, SMALL)
            finally:
                driver.close()
    assert _wrong(found) == {}
    assert sum(found.states.values()) == SMALL.offers
    assert min(found.states["accepted"], found.states["declined"], found.printed) > 0
    assert len(found.faults) >= 8
    assert found.seconds


def _wrong(found: Found) -> dict[str, list[str]]:
    kept = ("late", "twice", "strangers", "unplanned", "broken", "late_prints")
    return {name: getattr(found, name) for name in kept if getattr(found, name)}


@pytest.mark.parametrize("behind", [True, False])
async def test_an_accept_whose_answer_was_lost_is_ours_although_the_marketplace_tells_wrong_times(
    tmp_path: Path, models: Models, behind: bool
) -> None:
    """Its orders are looked for from when the offer was made; by its word that is in ten minutes."""
    with SandboxMarketplace() as market:
        market.set_fault("drop_reply_after_acting", "acceptOffer", 1)
        market.set_fault("clock_off", seconds=600, behind=behind)
        async with open_floor(tmp_path, market.url, market.token, 4, 5.0) as floor:
            offer_id = market.add_offer({"files": [{"path": str(models.paths[1])}], "items": [{"color": WHITE}]})
            await _until(floor, lambda: [order.dossier.remote for order in floor.shop.ledger.orders() if order.state is not State.OFFERED])
            (order,) = floor.shop.ledger.orders()
        assert order.dossier.remote is not None
        assert order.dossier.remote.order_id == market.offer(offer_id)["order_id"]
        assert market.journal()["acts"]["acceptOffer"][offer_id]["done"] == 1
        assert len(market.journal()["acts"]["acceptOffer"][offer_id]["keys"]) == 1


@pytest.mark.parametrize(
    "name", ["../../../escaped.stl", "/tmp/escaped.stl", "..\\..\\escaped.stl", "a/escaped.stl", "escaped.stl\n\x1b[2J"]
)
async def test_the_name_of_a_file_is_never_a_path(tmp_path: Path, models: Models, name: str) -> None:
    """It is fetched, judged, sliced and printed under its hash; the name is only told."""
    folder = tmp_path / "a" / "b" / "c" / "home"
    folder.mkdir(parents=True)
    with SandboxMarketplace() as market:
        async with open_floor(folder, market.url, market.token, 4, 5.0) as floor:
            market.add_offer({"files": [{"path": str(models.paths[1]), "name": name}], "items": [{"color": WHITE}]})
            await _until(floor, lambda: [order for order in floor.shop.ledger.orders() if order.state is State.PRINTING])
            (order,) = floor.shop.ledger.orders()
    assert "escaped.stl" in order.dossier.offer.files[0].name
    assert order.dossier.offer.files[0].name.isprintable()
    assert list(tmp_path.rglob("*escaped*")) == []
    assert not Path("/tmp/escaped.stl").exists()


async def _until(floor: Floor, reached: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():
            await floor.until_quiet()
