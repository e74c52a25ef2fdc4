"""One real marketplace a test, on a free port."""

from collections.abc import Iterator

import httpx
import pytest

from agent.sandbox.marketplace.server import Options, SandboxMarketplace
from tests.sandbox.stall import Operator, careless_client, client

READER = "a-token-that-may-only-read"


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace(Options(read_only_token=READER)) as running:
        yield running


@pytest.fixture
def http(market: SandboxMarketplace) -> Iterator[httpx.Client]:
    with client(market) as opened:
        yield opened


@pytest.fixture
def careless(market: SandboxMarketplace) -> Iterator[httpx.Client]:
    with careless_client(market) as opened:
        yield opened


@pytest.fixture
def operator(market: SandboxMarketplace, http: httpx.Client) -> Operator:
    """With an order that was accepted."""
    return Operator(market, http)
