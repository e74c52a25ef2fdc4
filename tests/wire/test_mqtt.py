"""The link to a real broker: it comes back by itself, says what is wrong, and never sends a thing late or twice."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Transient
from agent.wire import mqtt
from agent.wire.mqtt import Broker, MqttLink, Will
from tests.rigs.mosquitto import Mosquitto, running_mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path) as mosquitto:
        yield mosquitto


class Peer:
    """A link that writes down what it hears."""

    def __init__(self, broker: Mosquitto, **changed: object) -> None:
        at = Broker("127.0.0.1", broker.port, broker.username, broker.password)
        self.heard: list[tuple[str, bytes]] = []
        self.ups = self.downs = 0
        self._something = asyncio.Event()
        self.link = MqttLink(replace(at, **changed), ["shop/#"], self._message, self._up, self._down)  # type: ignore[arg-type]

    def _message(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))
        self._something.set()

    def _up(self) -> None:
        self.ups += 1
        self._something.set()

    def _down(self) -> None:
        self.downs += 1
        self._something.set()

    async def until(self, holds: object) -> None:
        assert callable(holds)
        async with asyncio.timeout(20):
            while not holds():
                self._something.clear()
                await self._something.wait()


@asynccontextmanager
async def up(broker: Mosquitto) -> AsyncIterator[Peer]:
    peer = Peer(broker)
    async with peer.link:
        await peer.link.wait_up(10)
        yield peer


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_published_is_heard(broker: Mosquitto, qos: int) -> None:
    async with up(broker) as one, up(broker) as other:
        await one.link.publish("shop/a", b"\xff\x00 not text", qos)
        await other.until(lambda: other.heard)
        assert other.heard == [("shop/a", b"\xff\x00 not text")]


async def test_it_comes_back_after_a_restart_of_the_broker(broker: Mosquitto) -> None:
    async with up(broker) as peer:
        broker.stop()
        await peer.until(lambda: peer.downs == 1)
        assert not peer.link.up
        broker.start()
        await peer.until(lambda: peer.ups == 2)
        await peer.link.publish("shop/again", b"1")
        await peer.until(lambda: peer.heard)


async def test_what_is_published_while_it_is_away_is_never_sent(broker: Mosquitto) -> None:
    async with up(broker) as peer:
        broker.stop()
        await peer.until(lambda: peer.downs == 1)
        with pytest.raises(Transient):
            await peer.link.publish("shop/start", b"late")
        broker.start()
        await peer.until(lambda: peer.ups == 2)
        await peer.link.publish("shop/now", b"in time")
        await peer.until(lambda: peer.heard)
        assert peer.heard == [("shop/now", b"in time")]


async def test_a_broker_that_does_not_acknowledge_is_left(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it has not acknowledged is not sent again on the next connection."""
    monkeypatch.setattr(mqtt, "DELIVERED_S", 0.3)
    async with up(broker) as peer:
        broker.freeze()
        with pytest.raises(Transient) as unknown:
            await peer.link.publish("shop/start", b"once")
        assert unknown.value.code == "undelivered"
        broker.thaw()
        await peer.until(lambda: peer.ups == 2)
        await peer.link.publish("shop/last", b"x")
        await peer.until(lambda: ("shop/last", b"x") in peer.heard)
        assert peer.heard == [("shop/last", b"x")], "sent a second time"
    assert broker.log().count("'shop/start'") <= 1


async def test_a_wrong_password_is_told_at_once(broker: Mosquitto) -> None:
    peer = Peer(broker, password="wrong-password")
    async with peer.link:
        with pytest.raises(NeedsOperator) as wrong:
            await peer.link.wait_up(10)
        assert wrong.value.code == "wrong_password"
        assert "wrong-password" not in wrong.value.told()
        with pytest.raises(NeedsOperator):
            await peer.link.publish("shop/a", b"")


@pytest.mark.parametrize("changed", [{"port": 1}, {"host": "no-such-host.invalid"}])
async def test_a_broker_that_is_not_there_is_told(broker: Mosquitto, changed: dict[str, object]) -> None:
    peer = Peer(broker, **changed)
    async with peer.link:
        with pytest.raises(Transient) as away:
            await peer.link.wait_up(2)
    assert away.value.code == "unreachable"


async def test_leaving_while_it_connects_waits_for_nothing() -> None:
    """A host that takes the connection and never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = Broker("127.0.0.1", silent.getsockname()[1])
        link = MqttLink(at, ["shop/#"], lambda _topic, _payload: None)
        async with asyncio.timeout(3), link:
            with pytest.raises(AgentError):
                await link.wait_up(0.2)


async def test_two_links_do_not_throw_each_other_out(broker: Mosquitto) -> None:
    async with up(broker) as one, up(broker) as other:
        for n in range(20):
            await one.link.publish("shop/n", str(n))
            await other.link.publish("shop/m", str(n))
        await one.until(lambda: len(one.heard) == 40)
        assert (one.downs, other.downs) == (0, 0)
        assert [payload for topic, payload in one.heard if topic == "shop/n"] == [str(n).encode() for n in range(20)]


async def test_a_new_connection_can_be_asked_for_and_the_old_one_takes_nothing_more(broker: Mosquitto) -> None:
    async with up(broker) as peer:
        peer.link.renew()
        assert (peer.link.up, peer.downs) == (False, 1)
        with pytest.raises(Transient):
            await peer.link.publish("shop/start", b"on the old one")
        await peer.until(lambda: peer.ups == 2)
        assert peer.downs == 1
        await peer.link.publish("shop/now", b"on the new one")
        await peer.until(lambda: peer.heard)
        assert peer.heard == [("shop/now", b"on the new one")]


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(Broker("host", 1883, "user", "secret"))


@pytest.mark.parametrize("mqtt5", [False, True])
async def test_what_is_retained_is_told_apart_from_what_comes_now(broker: Mosquitto, mqtt5: bool) -> None:
    found: list[tuple[str, bytes]] = []
    async with up(broker) as one:
        await one.link.publish("shop/kept", b"old", retain=True)
        await one.link.publish("shop/passing", b"gone")
    peer = Peer(broker)
    at = Broker("127.0.0.1", broker.port, broker.username, broker.password)
    link = MqttLink(at, ["shop/#"], peer._message, on_retained=lambda topic, payload: found.append((topic, payload)), mqtt5=mqtt5)
    async with link, up(broker) as other:
        await link.wait_up(10)
        await other.link.publish("shop/passing", b"now")
        await peer.until(lambda: peer.heard)
        await other.link.publish("shop/kept", b"new", retain=True)
        await other.link.publish("shop/passing", b"last")
        await peer.until(lambda: peer.heard[-1] == ("shop/passing", b"last"))
    assert found[0] == ("shop/kept", b"old")
    # That something is to be kept is said of what comes at once only by MQTT 5.
    assert (("shop/kept", b"new") in found) == mqtt5
    assert (("shop/kept", b"new") in peer.heard) != mqtt5


async def test_with_mqtt_5_nothing_of_our_own_comes_back(broker: Mosquitto) -> None:
    peer = Peer(broker)
    at = Broker("127.0.0.1", broker.port, broker.username, broker.password)
    async with MqttLink(at, ["shop/#"], peer._message, mqtt5=True) as link, up(broker) as other:
        await link.wait_up(10)
        await link.publish("shop/mine", b"1")
        await other.link.publish("shop/theirs", b"2")
        await peer.until(lambda: peer.heard)
    assert peer.heard == [("shop/theirs", b"2")]


@pytest.mark.parametrize("mqtt5", [False, True])
async def test_a_last_will_is_read_after_a_cut_and_not_after_a_goodbye(broker: Mosquitto, mqtt5: bool) -> None:
    at = Broker("127.0.0.1", broker.port, broker.username, broker.password)

    async def with_will(topic: str, *, cut: bool) -> None:
        async with MqttLink(at, [], lambda _topic, _payload: None, will=Will(topic, "offline"), mqtt5=mqtt5) as link:
            await link.wait_up(10)
            if cut:
                link.renew()
                await link.wait_up(10)

    async with up(broker) as reader:
        await with_will("shop/left", cut=False)
        await with_will("shop/cut", cut=True)
        await reader.until(lambda: reader.heard)
    assert reader.heard == [("shop/cut", b"offline")]


async def test_a_broker_that_does_not_speak_the_version_says_so() -> None:
    """CONNACK with reason 132, as one does that knows only 3.1.1."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes([0x20, 3, 0, 132, 0]))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with MqttLink(Broker("127.0.0.1", port), [], lambda _topic, _payload: None, mqtt5=True) as link:
            with pytest.raises(Transient) as refused:
                await link.wait_up(3)
    assert "version of MQTT" in refused.value.hint
