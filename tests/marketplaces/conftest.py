"""A real marketplace over HTTP, and the adapter before it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import Deal, api_of


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxMarketplace]:
    """One for all tests that look only at their own offer."""
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
def market(shared: SandboxMarketplace) -> Iterator[SandboxMarketplace]:
    yield shared
    shared.clear_faults()


@pytest.fixture
def fresh() -> Iterator[SandboxMarketplace]:
    """One for tests that count offers or orders."""
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
async def api(market: SandboxMarketplace) -> AsyncIterator[OperatorApi]:
    async with api_of(market) as opened:
        yield opened


@pytest.fixture
async def deal(api: OperatorApi, market: SandboxMarketplace, tmp_path: Path) -> Deal:
    return Deal(api, market, tmp_path)
