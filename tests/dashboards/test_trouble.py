"""A broker that lets nobody in, drops everybody, or is away: told once with the way out, and tried again; the agent goes on."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.domain.errors import Transient
from agent.wire import mqtt
from tests.dashboards.scene import Shopfront, T, broker_of, reading, showing
from tests.rigs.mosquitto import running_mosquitto


def _away(logged: list[dict[str, object]]) -> list[str]:
    return [str(line["why"]) for line in logged if line["event"] == "dashboard_away"]


async def _until(holds: object, within_s: float = 15) -> None:
    assert callable(holds)
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)  # the log of another process, or of another thread


async def test_a_wrong_password_is_told_once_and_tried_again_until_it_is_right(
    tmp_path: Path, shop: Shopfront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "LONGEST_RETRY_S", 0.2)
    with running_mosquitto(tmp_path) as broker, capture_logs() as logged:
        at = broker_of(broker, password="another-one")
        async with showing(at, shop):
            await _until(lambda: broker.log().count("not authorised") >= 3 or broker.log().count("bad user") >= 3)
            assert len(_away(logged)) == 1
            assert "refuses the password" in _away(logged)[0]
            assert "another-one" not in str(logged)
            broker.add_user(broker.username, "another-one")  # the operator mends it on the broker's side
            await _until(lambda: any(line["event"] == "dashboard_back" for line in logged))


async def test_a_broker_that_is_away_is_told_once(shop: Shopfront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_FIRST_RETRY_S", 0.1)
    at = mqtt.Broker("127.0.0.1", 1, "agent", "password")
    with capture_logs() as logged:
        async with showing(at, shop):
            await _until(lambda: _away(logged))
            await asyncio.sleep(1)
    assert len(_away(logged)) == 1
    assert "cannot be reached" in _away(logged)[0]


async def test_a_broker_that_drops_everybody_gets_the_whole_each_time_and_nothing_is_lost(
    tmp_path: Path, shop: Shopfront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_FIRST_RETRY_S", 0.05)
    with running_mosquitto(tmp_path) as broker:
        async with showing(broker_of(broker), shop):
            for n in range(3):
                await shop.offered(f"f{n}")
                with reading(broker) as reader:
                    await reader.until(
                        lambda n=n: reader.has(T.state, waiting_offer=n + 1) and reader.latest.get(T.availability) == b"online"
                    )
                broker.stop()
                broker.start()
            with reading(broker) as reader:
                await reader.until(lambda: reader.has(T.state, waiting_offer=3))


async def test_something_else_on_that_port_keeps_nobody_waiting(shop: Shopfront) -> None:
    """It takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with asyncio.timeout(5):
            async with showing(mqtt.Broker("127.0.0.1", silent.getsockname()[1]), shop):
                await shop.offered()


async def test_a_ledger_that_does_not_answer_is_told_once_and_shown_again_when_it_does(
    tmp_path: Path, shop: Shopfront, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> str:
        raise Transient("The ledger did not answer: locked.", code="ledger_busy")

    with running_mosquitto(tmp_path) as broker, capture_logs() as logged, reading(broker) as reader:
        async with showing(broker_of(broker), shop):
            await reader.until(lambda: reader.has(T.state, status="idle"))
            with monkeypatch.context() as locks:
                locks.setattr(shop.ledger, "mark", locked)
                await _until(lambda: _away(logged))
                await asyncio.sleep(0.5)
                assert len(_away(logged)) == 1
            await shop.offered()
            await reader.until(lambda: reader.has(T.state, status="waiting"))
