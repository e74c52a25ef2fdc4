"""A dashboard over a workshop and a real broker, with a reader that is paho's own and a hand that is mosquitto's."""

import asyncio
import json
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.dashboards.dashboard import Access, Dashboard
from agent.dashboards.discovery import Announced
from agent.dashboards.sources import Sources
from agent.dashboards.topics import Topics
from agent.domain.account import Earning, Earnings, EarningState, Presence, Status
from agent.domain.errors import Refused
from agent.domain.printer import BedState, PrinterState, Temperatures
from agent.domain.values import Money
from agent.operator.desk import Desk
from agent.operator.remote import RemoteActs
from agent.wire.mqtt import Broker
from agent.wire.tls import trusting
from agent.workflow.acceptance import Mode, Policy
from agent.workflow.by_hand import AskFirst, HandSwitches
from agent.workflow.planned import scene
from agent.workflow.reprint import foreseen
from agent.workflow.watch import PrinterWatch
from tests.rigs.mosquitto import Mosquitto
from tests.workflow.workshop import FakeMarket, FakePrinter, Outside, Workshop, make_offer

BY = "Home Assistant (MQTT)"
JPEG = b"\xff\xd8\xff a picture of the bed"
T = Topics("garage")


class Printer(FakePrinter):
    """With a camera and heaters; it writes down what it was asked."""

    asked: list[str]
    picture = JPEG

    async def snapshot(self) -> bytes:
        return self.picture

    async def temperatures(self) -> Temperatures:
        return Temperatures(nozzle_c=214.83, bed_c=59.9)

    async def pause(self, remote_name: str) -> None:
        self._ask("pause", remote_name)

    async def resume(self, remote_name: str) -> None:
        self._ask("resume", remote_name)

    async def cancel(self, remote_name: str) -> None:
        self._ask("cancel", remote_name)
        await super().cancel(remote_name)

    def _ask(self, act: str, remote_name: str) -> None:
        if remote_name != self.outside.current:
            raise Refused("not at it", code="not_active")
        self.asked.append(f"{act} {remote_name}")


class Market(FakeMarket):
    """With a switch and an account."""

    status_set: Status = Status(state=Presence.ONLINE)

    async def status(self) -> Status:
        return self.status_set

    async def set_status(self, status: Status, key: str) -> Status:  # noqa: ARG002 (the port's)
        self.status_set = status
        return status

    async def earnings(self, first: object = None, last: object = None) -> Earnings:  # noqa: ARG002 (the port's)
        amount = Money.model_validate({"amount": "12.50", "currency": "EUR"})
        return Earnings(lines=[Earning(order_id="r1", amount=amount, state=EarningState.PAID)])


class Shopfront(Workshop):
    """A workshop whose printer and marketplace have all that a dashboard could show."""

    def __init__(self, outside: Outside, mode: Mode = Mode.ASK) -> None:
        super().__init__(outside, policy=Policy(mode=mode))
        self.printer: Printer = Printer(outside.printer, self.fate)
        self.printer.asked = []
        self.market: Market = Market(outside.market, self.fate)
        self.shop.printers["mk3s"] = self.printer  # type: ignore[index]
        self.shop.marketplaces["market"] = self.market  # type: ignore[index]
        self.ask_first = AskFirst(outside.folder / "ask-first")
        object.__setattr__(self.shop, "ask_first", self.ask_first.is_on)

    def sources(self) -> Sources:
        shop = self.shop
        desk = Desk(
            name="garage",
            ledger=self.ledger,
            people=self.ledger,
            store=self.store,
            printers=shop.printers,
            notifier=self.inbox,
            now=shop.now,
            wake=lambda: None,
            uploads=self.ledger,
            uploads_dir=self.outside.folder / "photo-uploads",
            foresee=lambda order, pieces: foreseen(order, pieces, scene(shop)),
        )
        return Sources(
            ledger=self.ledger,
            store=self.store,
            printers=shop.printers,
            facts=shop.facts,
            last_seen=shop.last_seen,
            marketplaces=shop.marketplaces,
            acts=RemoteActs(desk, BY),
            switches=HandSwitches(shop, self.ask_first, BY),
            now=shop.now,
            local_now=lambda: shop.now().astimezone(),
        )

    async def look(self) -> None:
        """As the watch of the printer does every few seconds."""
        await PrinterWatch(self.printer, self.shop).look()

    async def offered(self, offer_id: str = "f1", **more: Any) -> str:
        """An offer that a person is asked about; its order."""
        known = {order.id for order in self.ledger.orders()}
        self.outside.market.add(make_offer(offer_id, **more))
        self.receive()
        await self.settle()
        (new,) = {order.id for order in self.ledger.orders()} - known
        return new

    async def printing(self) -> str:
        """An order that is printed now; its job's name."""
        self.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        order_id = await self.offered()
        question = next(question for question in self.ledger.open_questions() if question.order_id == order_id)
        self.ledger.answer(question, {"choice": "accept"}, "Ada")
        await self.settle()
        assert self.outside.printer.state is PrinterState.PRINTING
        await self.look()
        return self.outside.printer.current


@dataclass
class Reader:
    """Whatever a broker gives to a newcomer, and then to everybody. A client we did not write, in its own thread."""

    client: paho.Client
    latest: dict[str, bytes] = field(default_factory=dict)
    came: list[tuple[str, bytes, bool]] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)

    def json(self, topic: str) -> dict[str, Any]:
        return dict(json.loads(self.latest[topic]))

    def has(self, topic: str, **values: object) -> bool:
        """The state there is one with these values."""
        if not self.latest.get(topic):
            return False
        state = self.json(topic)
        return all(state[key] == value for key, value in values.items())

    def told(self, topic: str = T.event) -> list[str]:
        return [json.loads(payload)["event_type"] for where, payload, _ in list(self.came) if where == topic]

    async def caught_up(self) -> None:
        """All that was there before, and all that this client sent, has come: the broker keeps the order."""
        mark = uuid.uuid4().bytes
        self.client.publish("test/mark", mark, 1)
        await self.until(lambda: self.latest.get("test/mark") == mark)

    async def until(self, holds: Callable[[], object], what: str = "", within_s: float = 15) -> None:
        until = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < until, f"{what} not within {within_s} s; at the end: {self.latest}"
            await asyncio.sleep(0.01)  # another thread's news


@contextmanager
def reading(broker: Mosquitto, *topics: str) -> Any:
    """A fresh reader, subscribed to everything unless told otherwise."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username, broker.password)
    client.reconnect_delay_set(1, 1)
    reader = Reader(client)

    def heard(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        reader.came.append((message.topic, message.payload, message.retain))
        reader.latest[message.topic] = message.payload

    client.on_connect = lambda c, *_: c.subscribe([(topic, 1) for topic in topics or ("#",)])
    client.on_subscribe = lambda *_: reader.subscribed.set()
    client.on_message = heard
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert reader.subscribed.wait(10)
        yield reader
    finally:
        client.disconnect()
        client.loop_stop()


async def say(broker: Mosquitto, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
    """With mosquitto's own program."""
    command = ["mosquitto_pub", "-p", str(broker.port), "-u", broker.username, "-P", broker.password, "-q", "1", "-t", topic, "-s"]
    content = payload.encode() if isinstance(payload, str) else payload
    await asyncio.to_thread(subprocess.run, [*command, *(["-r"] if retain else [])], input=content, check=True, timeout=20)


def broker_of(broker: Mosquitto, ca_file: Path | None = None, **changed: Any) -> Broker:
    tls = trusting(ca_file) if ca_file is not None else None
    given = {"host": "127.0.0.1", "port": broker.port, "username": broker.username, "password": broker.password, "tls": tls}
    return Broker(**{**given, **changed})


@asynccontextmanager
async def showing(
    at: Broker, shop: Shopfront, *, commands: bool = True, mqtt5: bool = True, picture_s: float = 60
) -> AsyncIterator[Dashboard]:
    """As the daemon runs it, and ends it."""
    announced = Announced(T, "1.2.3", "en", "http://garage.local:8410", commands)
    dashboard = Dashboard(Access(at, announced, mqtt5, picture_s), shop.sources())
    task = asyncio.create_task(dashboard.run())
    try:
        yield dashboard
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
