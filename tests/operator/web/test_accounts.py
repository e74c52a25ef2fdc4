"""Supplies and Earnings: what is left and what was earned, before a marketplace that answers and one that does not."""

import asyncio
import html
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from agent.domain.account import Earning, Earnings, EarningState, Supplies, SupplyRequest
from agent.domain.booking import Booking, Print
from agent.domain.errors import Transient
from agent.domain.fit import Packaging
from agent.domain.order import State
from agent.domain.person import Role, Scope
from agent.domain.stock import StockKind, Taking, Thing, Why, configured
from agent.domain.values import Money
from agent.operator.desk import Backroom
from agent.operator.shelf import Stocked
from agent.ports.ledger import OrderMove
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import api_of
from tests.operator.web.served import Served, button_on, serving
from tests.workflow.workshop import remote_order

BOX = Packaging(name="box-s", inner_mm=(150, 100, 80), stock=3, supply="box_s")
REEL = Thing(StockKind.SPOOL, "mk3s: PLA black")
WRITTEN = Stocked({REEL: 800.0}, [BOX])


class Slow:
    """A marketplace that never answers."""

    async def supplies(self) -> Supplies:
        await asyncio.Event().wait()
        raise AssertionError

    async def request_supplies(self, kind: str, quantity: int, key: str) -> SupplyRequest:
        raise AssertionError(f"{quantity} of {kind} under {key}")

    async def earnings(self, first: date | None = None, last: date | None = None) -> Earnings:
        raise Transient(f"away since {first}, until {last}", hint="Look again.")


class Pays:
    """A marketplace that says what it says."""

    def __init__(self, *lines: Earning) -> None:
        self._lines = list(lines)

    async def earnings(self, first: date | None = None, last: date | None = None) -> Earnings:
        assert first is not None and last is None
        return Earnings(lines=self._lines, left_out=1)


@pytest.fixture(scope="module")
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest_asyncio.fixture
async def shelved(tmp_path: Path, market: SandboxMarketplace) -> AsyncIterator[Served]:
    """A shop before a real marketplace."""
    async with api_of(market) as api:
        back = Backroom(marketplaces={"sandbox": api}, written=WRITTEN)
        async with serving(tmp_path, back=lambda _shop: back) as served:
            served.ledger.count_from(configured(WRITTEN.reels, WRITTEN.packagings))
            yield served


def packed(served: Served, times: int) -> None:
    for n in range(times):
        order = served.ledger.order(served.offer(offer_id=f"p{n}"))
        taking = Taking(kind=StockKind.PACKAGING, name="box-s", subject="packed", amount=1, why=Why.PACKED)
        served.ledger.move(order, OrderMove(to=State.CLOSED, event="packed", takes=taking))


def asked_for(market: SandboxMarketplace) -> int:
    return market.times_done("requestSupplies")


async def test_what_is_left_and_how_long_it_lasts(shelved: Served) -> None:
    packed(shelved, 2)
    page = html.unescape(await (await shelved.person()).get("/supplies"))
    assert "1 left" in page and "800 g left" in page
    assert "Ask for more now: it lasts 4 days, and more takes 5." in page
    assert "here box-s" in page


async def test_a_marketplace_that_does_not_answer_keeps_the_page_waiting_for_a_moment_only(tmp_path: Path) -> None:
    back = Backroom(marketplaces={"slow": Slow()}, written=WRITTEN)  # type: ignore[dict-item]
    async with serving(tmp_path, back=lambda _shop: back) as served:
        async with asyncio.timeout(15):
            page = html.unescape(await (await served.person()).get("/supplies"))
        assert "slow: It does not answer now." in page and "3 left" in page


async def test_more_is_asked_for_once_however_often_the_form_is_sent(shelved: Served, market: SandboxMarketplace) -> None:
    ada, before = await shelved.person(), asked_for(market)
    pressed = button_on(await ada.get("/supplies"), "Ask sandbox for them")
    await ada.send(pressed, quantity="20")
    assert "Nothing was asked for by this" in (await ada.send(pressed, 409, quantity="20")).text
    page = await ada.get("/supplies")
    assert "On its way: 20" in page and "Ask for more now" not in page
    assert asked_for(market) == before + 1
    await ada.press("/supplies", "Ask sandbox for them", quantity="5")
    assert asked_for(market) == before + 2, "said with what is on its way before one's eyes, it is another wish"
    for nonsense in ("0", "-1", "1e9", "٣", ""):
        await ada.press("/supplies", "Ask sandbox for them", 422, quantity=nonsense)
    assert asked_for(market) == before + 2


async def test_where_it_is_not_known_whether_it_was_asked_for_that_is_said(shelved: Served, market: SandboxMarketplace) -> None:
    ada = await shelved.person()
    pressed = button_on(await ada.get("/supplies"), "Ask sandbox for them")
    market.set_fault("drop_before_acting", "requestSupplies", 1)
    assert "It is not known whether it was asked for" in html.unescape((await ada.send(pressed, 503, quantity="7")).text)
    assert "7 were asked for, and it is not known yet" in await ada.get("/supplies")
    await ada.send(pressed, quantity="7")
    assert "not known yet" not in await ada.get("/supplies")


async def test_who_only_looks_asks_for_nothing_and_counts_nothing(shelved: Served, market: SandboxMarketplace) -> None:
    bob, before = await shelved.person("Bob Example", Role.VIEWER), asked_for(market)
    page = await bob.get("/supplies")
    assert "Ask sandbox" not in page and "Count from there" not in page
    token = dict(button_on(await bob.get("/people"), "Make a code")[0].fields)["form"]
    for path in ("/supplies/request", "/supplies/count"):
        fields = {"form": token, "marketplace": "sandbox", "kind": "box_s", "quantity": "3", "seen": "", "name": "box-s", "number": "1"}
        assert (await bob.client.post(path, data=fields)).status_code == 403
    assert asked_for(market) == before


async def test_a_person_counts_and_a_form_sent_late_counts_nothing(shelved: Served) -> None:
    ada = await shelved.person()
    pressed = button_on(await ada.get("/supplies"), "Count from there")
    await ada.send(pressed, number="40")
    assert "counted meanwhile" in (await ada.send(pressed, 409, number="3")).text
    page = await ada.get("/supplies")
    assert "40 left" in page
    for nonsense in ("many", "-3", "3.5", "99999999"):
        await ada.press("/supplies", "Count from there", 422, number=nonsense)


async def test_a_script_asks_for_more_and_counts(shelved: Served, market: SandboxMarketplace) -> None:
    script, before = await shelved.api(Scope.READ, Scope.ANSWER), asked_for(market)
    told = (await script.get("/supplies")).json()
    (filler,) = [each for each in told["orderable"] if each["kind"] == "filler"]
    wish = {"marketplace": "sandbox", "kind": "filler", "quantity": 4, "seen": [each["request_id"] for each in filler["on_the_way"]]}
    assert (await script.post("/supplies/requests", json=wish)).json()["request"]["quantity"] == 4
    again = await script.post("/supplies/requests", json=wish)
    assert (again.status_code, again.json()["code"]) == (409, "on_its_way")
    assert asked_for(market) == before + 1
    assert (await script.post("/supplies/requests", json={**wish, "marketplace": "nobody"})).json()["code"] == "unable"
    (box,) = told["packagings"]
    count = {"kind": "packaging", "name": "box-s", "number": 12, "mark": box["counted_at"]}
    assert (await script.post("/supplies/counts", json=count)).status_code == 200
    assert (await script.post("/supplies/counts", json=count)).status_code == 409
    assert (await script.post("/supplies/counts", json={**count, "name": "gold"})).json()["code"] == "not_counted"
    assert (await script.get("/supplies")).json()["packagings"][0]["left"] == 12


# --- earnings --------------------------------------------------------------------------------------------------------
def eur(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="EUR")


def delivered(served: Served, offer_id: str, gross: Money, filament: Money | None) -> str:
    order = served.ledger.order(served.offer(offer_id=offer_id))
    remote = remote_order(served.shop.outside.market.offers[offer_id])
    dossier = order.dossier.model_copy(update={"remote": remote})
    spent = Print(job="j", printer="mk3s", why=Why.FINISHED, grams=20, seconds=60, filament=filament, energy_kwh=None, energy=None)
    booking = Booking(gross=gross, prints=[spent])
    served.ledger.move(order, OrderMove(to=State.CLOSED, event="delivered", dossier=dossier, books=booking))
    return order.id


async def test_what_was_earned_is_told_with_what_is_not_known_and_what_the_marketplace_says(tmp_path: Path) -> None:
    said = Earning(order_id="r-f1", amount=eur("11.00"), state=EarningState.PAYABLE)
    back = Backroom(marketplaces={"market": Pays(said), "slow": Slow()})  # type: ignore[dict-item]
    async with serving(tmp_path, back=lambda _shop: back) as served:
        ada = await served.person()
        assert "Nothing was delivered yet." in await ada.get("/earnings")
        first = delivered(served, "f1", eur("12.50"), eur("0.50"))
        delivered(served, "f2", Money(amount=Decimal(9), currency="USD"), None)
        page = html.unescape(await ada.get("/earnings"))
        assert "at most <b>12.00</b>" in page and "0.50 and more" in page and "not known" in page
        assert "at most 9.00 USD" in page and "21.50" not in page
        assert "Not taken off, because it had no price: filament and power." in page
        assert f'href="/orders/{first}"' in page and "market says 11.00 EUR, payable" in page and "(another amount)" in page
        assert "1 lines could not be read" in page and "slow: away" not in page and "away since" in page
        script = await served.api(Scope.READ)
        (month,) = (await script.get("/earnings")).json()["months"]
        assert [(sums["currency"], sums["gross"]) for sums in month["month"]["sums"]] == [("EUR", "12.50"), ("USD", "9")]


async def test_what_was_given_up_is_told_as_a_loss_and_is_no_order_that_was_delivered(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        delivered(served, "f1", eur("12.50"), eur("0.50"))
        order = served.ledger.order(served.offer(offer_id="f2"))
        spent = Print(
            job="j", printer="mk3s", why=Why.FAILED, grams=40, seconds=60, filament=eur("1.00"), energy_kwh=0.0, energy=eur("0.00")
        )
        booking = Booking(gross=eur("0.00"), prints=[spent], given_up=True)
        served.ledger.move(order, OrderMove(to=State.CANCELLED, event="cancelled", books=booking))
        page = html.unescape(await (await served.person()).get("/earnings"))
        assert "1 order, 1 given up" in page and "40 g went into what was given up" in page and ": given up, left -1.00 EUR" in page
        assert "<b>11.00</b>" in page, "12.50 less 0.50 and 1.00"
