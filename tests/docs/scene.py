"""A shop as the documentation speaks of it: an order at each step, a printer mk3s, a marketplace intagly, files of the names that are used.

It is laid once and copied for each command, so that no command finds what another one left.
"""

import asyncio
import hashlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result
from PIL import Image

from agent.cli import cli
from agent.config.load import load
from agent.config.model import Settings
from agent.domain.offer import AddOn, Attestation, Shipping
from agent.domain.order import State
from agent.domain.person import Scope, hashed
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.sandbox.marketplace.label import label_pdf
from agent.sandbox.models import box, demo_part, write_binary_stl
from agent.sandbox.person import Person
from tests.rigs.agent_process import AgentHome
from tests.rigs.processes import free_port
from tests.workflow.test_reprint import item
from tests.workflow.workshop import FakeMarket, Outside, Workshop, make_offer

PERSON = "Ada Example"
SECRET = "the-secret-of-a-token"
"""Of the token `button`."""
_LABEL = label_pdf(["Sandbox Post", "SBX123"], "SBX123")
_SHIPPING = Shipping(carrier="Sandbox Post", tracking_number="SBX123", label_sha256=hashlib.sha256(_LABEL).hexdigest())
_HANDS = (Step.POST_PROCESSING, Step.PHOTOS, Step.LABEL, Step.PACKED, Step.DROPPED_OFF)
ANSWERS = """\
[agent]
name = "garage"
data_dir = "data"

[[printers]]
name = "mk3s"
kind = "virtual"
profile = "prusa-mk3s"
materials = [{ material = "PLA", color = { name = "black", hex = "#1a1a1a" }, remaining_g = 800 }]
"""


@dataclass(frozen=True)
class Outdoors:
    """What is outside of the shop: addresses that answer."""

    market_url: str
    market_token: str
    ntfy_url: str
    label_queue: str
    """Its address; empty where no CUPS can be run."""
    other_queue: str


class Scene:
    """`orders`: what waits at each step, and `closed` and `offer`, by id."""

    def __init__(self, folder: Path, orders: dict[str, str]) -> None:
        self.folder, self.orders = folder, orders

    def copy(self, to: Path) -> "Scene":
        return Scene(shutil.copytree(self.folder, to), self.orders)

    def settings(self) -> Settings:
        return load(self.folder / "config.toml")

    def called(self, *words: str, typed: str = "") -> Result:
        """In this process, standing in its folder."""
        environ = {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache"), "COLUMNS": "200"}
        return CliRunner().invoke(cli, list(words), input=typed, env=environ)


class _Market(FakeMarket):
    """With a label that is one, for a parcel it told of."""

    async def label(self, order_id: str, into: Path) -> None:
        assert order_id
        into.write_bytes(_LABEL)

    def ship(self, offer_id: str) -> None:
        order = self.outside.orders[offer_id]
        self.outside.orders[offer_id] = order.model_copy(update={"shipping": _SHIPPING})


def laid(folder: Path, outdoors: Outdoors) -> Scene:
    home = AgentHome(folder)
    home.add_virtual("mk3s")
    _configured(home, outdoors)
    orders = asyncio.run(_orders(folder / "data"))
    _files(folder)
    return Scene(folder, orders)


def _configured(home: AgentHome, outdoors: Outdoors) -> None:
    home.add_marketplace(outdoors.market_url, outdoors.market_token)
    home.config.write_text(
        f"""\
[agent]
name = "garage"
data_dir = "data"

[files]
keep_free_mb = 10

[web]
listen = "127.0.0.1:{free_port()}"

[[marketplaces]]
kind = "operator_api"
name = "intagly"
url = "{outdoors.market_url}"
token_file = "secrets/token"

[acceptance]
packagings = {{ box-s = {{ inner_mm = [150, 100, 80], stock = 25 }}, box-m = {{ inner_mm = [250, 200, 150], stock = 12 }} }}

[notifications]
urls = ["{outdoors.ntfy_url}"]
"""
        + (f'\n[labels]\nprinter = "{outdoors.label_queue}"\n' if outdoors.label_queue else "")
    )
    (home.folder / "other.toml").write_text(home.config.read_text() + "\n[costs]\npower_w = 110\n")


async def _orders(data: Path) -> dict[str, str]:
    """Led to their steps by the real workflow, one after the other, over a printer and a marketplace in memory."""
    data.mkdir()
    found: dict[str, str] = {}
    with Workshop(Outside(data)) as shop:
        market = _Market(shop.outside.market, shop.fate)
        market.outside.attestations = [
            Attestation(code="inspected", text="I have looked."),
            Attestation(code="as_ordered", text="As ordered."),
        ]
        shop.shop.marketplaces["market"] = market  # type: ignore[index]
        person = Person(shop.ledger, shop.store, data.parent)
        for step in _HANDS:
            found[step] = await _until(shop, market, person, step)
        found["closed"] = await _until(shop, market, person, None)
        shop.slicer.proves = False
        found[Step.HOLD] = await _received(shop, "hold", infill=80, files_before_accept=False)
        shop.slicer.proves = True
        found[Step.OFFER] = await _received(shop, "offer", special_instructions="A gift: please wrap it.")
        shop.ledger.set_bed("mk3s", BedState.OCCUPIED, "test")
        shop.ledger.add_token("button", hashed(SECRET), [Scope.READ], PERSON)
    return found


async def _received(shop: Workshop, offer_id: str, *, infill: int = 15, files_before_accept: bool = True, **changes: object) -> str:
    offer = make_offer(offer_id, items=[item("i1", 3, infill)], minutes=600, files_before_accept=files_before_accept, **changes)
    shop.outside.market.add(offer)
    shop.receive()
    await shop.settle(6)
    return next(order.id for order in shop.ledger.orders() if order.dossier.offer.offer_id == offer_id)


async def _until(shop: Workshop, market: _Market, person: Person, step: Step | None) -> str:
    """An order whose hands come to `step`; None: to its end."""
    offer_id = step or "closed"
    order_id = await _received(shop, offer_id, add_ons=[AddOn(code="sanding", title="Sand the top")])
    market.ship(offer_id)
    shop.ledger.set_bed("mk3s", BedState.FREE, PERSON)
    await shop.settle(4)
    assert shop.outside.printer.state is PrinterState.PRINTING, shop.ledger.order(order_id)
    shop.outside.printer.finish()
    await shop.settle(4)
    Answers(shop.ledger, shop.store, PERSON).bed_is_clear("mk3s")
    await shop.settle(4)
    for done in _HANDS[: _HANDS.index(step)] if step else _HANDS:
        _answer(shop, person, order_id, done)
        await shop.settle(4)
    if step is None:
        assert shop.ledger.order(order_id).state is State.CLOSED, shop.ledger.order(order_id)
    else:
        assert shop.ledger.question(order_id, step) is not None, shop.ledger.order(order_id)
    return order_id


def _answer(shop: Workshop, person: Person, order_id: str, step: Step) -> None:
    (question,) = [asked for asked in shop.ledger.open_questions() if asked.order_id == order_id and asked.step is step]
    person._answered(question)


def _files(folder: Path) -> None:
    """Of the names that stand in the documentation."""
    write_binary_stl(folder / "part.stl", box(15, 10, 2))
    (folder / "models").mkdir()
    write_binary_stl(folder / "models" / "hook.stl", demo_part())
    for name, color in (("front", (200, 40, 40)), ("back", (40, 40, 200))):
        (folder / f"{name}.jpg").write_bytes(_photo(color))
    (folder / "answers.toml").write_text(ANSWERS)
    (folder / "agent.log").write_text('{"event": "ready", "level": "info", "timestamp": "2026-11-27T12:00:00Z"}\n')
    (folder / "token").write_text((folder / "secrets" / "token").read_text())
    (folder / "usb").mkdir()
    (folder / "Desktop").mkdir()


def _photo(color: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((640, 480), 80).convert("RGB").point(lambda value: min(255, value + color[0] // 4)).save(out, "JPEG")
    return out.getvalue()
