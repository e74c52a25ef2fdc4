from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent.dashboards import commands, dashboard
from tests.dashboards.scene import Reader, Shopfront, reading
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.rigs.mosquitto import Mosquitto, running_mosquitto
from tests.workflow.workshop import Outside


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One for all tests of a file: each begins with nothing on it."""
    with running_mosquitto(tmp_path_factory.mktemp("broker")) as mosquitto:
        yield mosquitto


@pytest_asyncio.fixture
async def reader(broker: Mosquitto) -> AsyncIterator[Reader]:
    """Of a broker on which nothing is left of the test before: what it shows is from this one."""
    with reading(broker) as before:
        await before.caught_up()
        for topic in [topic for topic, payload in before.latest.items() if payload]:
            before.client.publish(topic, b"", 1, retain=True)
        await before.caught_up()
    with reading(broker) as fresh:
        yield fresh


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shopfront]:
    lay_empty_ledger(tmp_path)
    with Shopfront(Outside(tmp_path)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in less time."""
    monkeypatch.setattr(dashboard, "LOOK_S", 0.05)
    monkeypatch.setattr(commands, "OFFER_SHOWN_S", 0.3)
    monkeypatch.setattr(commands, "PRINTER_SHOWN_S", 0.2)
