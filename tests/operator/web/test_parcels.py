"""Labels printed from the page, parcels dropped off together, and the dossier of an order."""

import asyncio
import html
import io
import zipfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest_asyncio

from agent.domain.errors import NeedsOperator
from agent.domain.intent import Act
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict, PrintEnd
from agent.domain.mesh import Reason
from agent.domain.offer import Shipping
from agent.domain.order import State
from agent.domain.person import Role, Scope
from agent.domain.question import NewQuestion, Step
from agent.dossiers.apart import export_apart
from agent.labels.desk import CarrierLabels
from agent.ledger.places import sqlite_url
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.desk import Backroom
from agent.ports.ledger import OrderMove
from agent.sandbox.marketplace.label import label_pdf
from tests.operator.web.served import Served, button_on, serving
from tests.workflow.workshop import Workshop, remote_order


class Desk(CarrierLabels):
    """The real checks, and a printer that counts its sheets. It is slow: two who press at once meet in it."""

    def __init__(self, ledger: SqlLedger) -> None:
        super().__init__(by_itself=False)
        self._ledger = ledger
        self.sheets = 0
        self.raises: Exception | None = None

    @property
    def prints(self) -> bool:
        return True

    async def print(
        self, order_id: str, label: Path, sha256: str, check: LabelCheck, *, again: bool = False, anyway: bool = False
    ) -> LabelPrint:
        assert label.is_file() and check.verdict is LabelVerdict.GOOD and not anyway
        number = sum(event.kind == "intended" for event in self._ledger.events(order_id))
        self._ledger.intent(order_id, Act.PRINT_LABEL, f"{sha256[:16]}#{number + again}")
        await asyncio.sleep(0.05)
        if self.raises is not None:
            raise self.raises
        self.sheets += 1
        printed = LabelPrint(queue="ipp://shop/Zebra", job=self.sheets, end=PrintEnd.COMPLETED)
        self._ledger.record(order_id, "label_sent_to_printer", printed.model_dump(mode="json"))
        return printed


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[Served, Desk]]:
    desks: list[Desk] = []

    def back(shop: Workshop) -> Backroom:
        desks.append(Desk(shop.ledger))
        dossier = partial(export_apart, sqlite_url(tmp_path), tmp_path / "files")
        return Backroom(labels=desks[0], dossier=dossier)

    async with serving(tmp_path, back=back) as served:
        yield served, desks[0]


def parcel(served: Served, offer_id: str, carrier: str = "Sandbox Post", step: Step = Step.DROPPED_OFF) -> str:
    """An order with its label, which asks that."""
    order = served.ledger.order(served.offer(offer_id=offer_id))
    shipping = Shipping(carrier=carrier, tracking_number=f"SBX{offer_id}")
    remote = remote_order(served.shop.outside.market.offers[offer_id]).model_copy(update={"shipping": shipping})
    label = served.shop.store.put(label_pdf([carrier, shipping.tracking_number], shipping.tracking_number))
    dossier = order.dossier.model_copy(update={"remote": remote, "label_sha256": label})
    state = State.DROP_OFF if step is Step.DROPPED_OFF else State.LABEL
    moved = served.ledger.move(order, OrderMove(to=state, event="test", dossier=dossier))
    served.ledger.ask(moved, NewQuestion(step=step, text=f"{step}?", choices={"done": "it is done"}))
    return order.id


def answered(served: Served, order_id: str) -> str:
    question = served.ledger.question(order_id, Step.DROPPED_OFF)
    return question.answered_by if question is not None else "settled"


# --- drop-off --------------------------------------------------------------------------------------------------------
async def test_several_parcels_of_a_carrier_are_dropped_off_with_one_press(world: tuple[Served, Desk]) -> None:
    served, _ = world
    first, second, other = parcel(served, "f1"), parcel(served, "f2"), parcel(served, "f3", carrier="Another Post")
    ada = await served.person()
    assert "3 parcels to drop off" in await ada.get("/")
    page = await ada.get("/drop-off")
    assert "Sandbox Post: 2 parcels" in page and "Another Post: 1 parcel<" in page
    form, fields = button_on(page[page.index("Sandbox Post") - 200 :], "The carrier has")
    ids = [str(served.ledger.question(one, Step.DROPPED_OFF).id) for one in (first, second)]  # type: ignore[union-attr]
    answer = await ada.client.post(form.action, data={**fields, "question": ids})
    assert answer.status_code == 303
    assert [answered(served, one) for one in (first, second, other)] == ["Ada Example", "Ada Example", ""]


async def test_one_that_was_answered_meanwhile_keeps_none_of_the_others_back(world: tuple[Served, Desk]) -> None:
    served, _ = world
    first, second = parcel(served, "f1"), parcel(served, "f2")
    ada, bob = await served.person(), await served.person("Bob Example")
    form, fields = button_on(await ada.get("/drop-off"), "The carrier has")
    await bob.press(f"/orders/{first}", "It is done")
    ids = [str(served.ledger.question(one, Step.DROPPED_OFF).id) for one in (first, second)]  # type: ignore[union-attr]
    answer = await ada.client.post(form.action, data={**fields, "question": [*ids, "999999"]})
    told = html.unescape(answer.text)
    assert answer.status_code == 409 and "Bob Example answered this" in told and f"{second}: noted" in told
    assert "There is no question 999999" in told
    assert [answered(served, one) for one in (first, second)] == ["Bob Example", "Ada Example"]


async def test_nothing_ticked_and_nothing_that_is_no_parcel(world: tuple[Served, Desk]) -> None:
    served, _ = world
    ready, waits = parcel(served, "f1"), parcel(served, "f2", step=Step.LABEL)
    ada = await served.person()
    form, fields = button_on(await ada.get("/drop-off"), "The carrier has")
    assert "No parcel was chosen" in (await ada.client.post(form.action, data=fields)).text
    assert (await ada.client.post(form.action, data={**fields, "question": "x"})).status_code == 403
    label = served.ledger.question(waits, Step.LABEL)
    assert label is not None
    assert "no parcel that is ready" in (await ada.client.post(form.action, data={**fields, "question": str(label.id)})).text
    assert answered(served, ready) == ""
    script = await served.api(Scope.READ, Scope.ANSWER)
    tasks = (await script.get("/now")).json()["tasks"]
    (task,) = [task for task in tasks if task["step"] == "dropped-off"]
    assert task["carrier"] == "Sandbox Post"
    told = (await script.post("/drop-offs", json={"questions": [task["question_id"], label.id]})).json()["parcels"]
    assert [(one["order_id"], one["done"]) for one in told] == [(ready, True), (waits, False)]


async def test_who_only_looks_drops_nothing_off_and_prints_nothing(world: tuple[Served, Desk]) -> None:
    served, desk = world
    order_id, bob = parcel(served, "f1"), await served.person("Bob Example", Role.VIEWER)
    assert "Sandbox Post: 1 parcel" in await bob.get("/drop-off")
    token = dict(button_on(await bob.get("/people"), "Make a code")[0].fields)["form"]
    question = served.ledger.question(order_id, Step.DROPPED_OFF)
    assert question is not None
    for path, more in (("/drop-off", {"question": str(question.id)}), (f"/orders/{order_id}/label", {"mark": "0"})):
        assert (await bob.client.post(path, data={"form": token, **more})).status_code == 403
    await bob.get(f"/orders/{order_id}/dossier", 403)
    assert (answered(served, order_id), desk.sheets) == ("", 0)


# --- labels ----------------------------------------------------------------------------------------------------------
async def test_a_label_is_printed_once_however_often_it_is_pressed(world: tuple[Served, Desk]) -> None:
    served, desk = world
    order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
    form, fields = button_on(await ada.get(f"/orders/{order_id}"), "Print the label")
    answers = await asyncio.gather(*(ada.client.post(form.action, data=fields) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409]
    assert desk.sheets == 1
    assert "Printed on ipp://shop/Zebra (job 1)" in await ada.get(f"/orders/{order_id}")
    (said,) = [event.data for event in served.ledger.events(order_id) if event.kind == "asked_to_print_label"]
    assert said == {"by": "Ada Example", "again": False, "anyway": False}


async def test_printed_again_is_said_with_confirmation_and_that_once_too(world: tuple[Served, Desk]) -> None:
    served, desk = world
    order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
    await ada.press(f"/orders/{order_id}", "Print the label")
    form, fields = button_on(await ada.get(f"/orders/{order_id}"), "Yes, print it")
    answers = await asyncio.gather(*(ada.client.post(form.action, data={**fields, "again": "yes"}) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    assert desk.sheets == 2


async def test_what_stands_in_the_way_of_a_print_is_told_with_the_pages_way_out(world: tuple[Served, Desk]) -> None:
    served, desk = world
    order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
    desk.raises = NeedsOperator("It was perhaps printed.", hint="intagly-agent label --again", code="perhaps_printed")
    told = html.unescape((await ada.press(f"/orders/{order_id}", "Print the label", 503)).text)
    assert "perhaps printed" in told and "say so under “Print it again" in told and "--again" not in told
    assert "what became of it is not known" in await ada.get(f"/orders/{order_id}")


async def test_a_script_prints_a_label_as_it_was_told_of_it(world: tuple[Served, Desk]) -> None:
    served, desk = world
    order_id, script = parcel(served, "f1", step=Step.LABEL), await served.api(Scope.READ, Scope.ANSWER)
    label = (await script.get(f"/orders/{order_id}/label")).json()["label"]
    assert (label["prints"], label["mark"], label["last"]) == (True, 0, None)
    for status in (200, 409):
        assert (await script.post(f"/orders/{order_id}/label/print", json={"mark": label["mark"]})).status_code == status
    assert desk.sheets == 1
    plain = served.offer(offer_id="f2")
    assert (await script.get(f"/orders/{plain}/label")).json() == {"label": None}
    assert (await script.post(f"/orders/{plain}/label/print", json={"mark": 0})).json()["code"] == "no_label"


async def test_without_a_printer_the_page_offers_the_file_only(tmp_path: Path) -> None:
    async with serving(tmp_path, back=lambda _shop: Backroom(labels=CarrierLabels())) as served:
        order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
        page = await ada.get(f"/orders/{order_id}")
        assert "The label (PDF)" in page and "Print the label</button>" not in page
        script = await served.api(Scope.ANSWER)
        refused = await script.post(f"/orders/{order_id}/label/print", json={"mark": 0})
        assert refused.json()["code"] == "no_label_printer"


async def test_a_doubtful_label_is_printed_only_when_a_person_has_looked() -> None:
    doubtful = LabelCheck(verdict=LabelVerdict.LOOK, reasons=[Reason(code="tracking", text="x")])
    by_hand = CarrierLabels(object(), by_itself=False)  # type: ignore[arg-type] - touching it would fail
    assert by_hand.prints
    good = LabelCheck(verdict=LabelVerdict.GOOD)
    for check in (good, doubtful):
        assert await by_hand.print_by_itself("o1", Path("x"), "a" * 64, check) is None, "nobody said that it is to print by itself"


# --- dossier ---------------------------------------------------------------------------------------------------------
async def test_an_orders_dossier_is_one_file_and_leaves_nothing_behind(world: tuple[Served, Desk]) -> None:
    served, _ = world
    order_id, ada = parcel(served, "f1"), await served.person()
    assert f'href="/orders/{order_id}/dossier"' in await ada.get(f"/orders/{order_id}")
    answer = await ada.client.get(f"/orders/{order_id}/dossier", timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="{order_id}-dossier.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
        assert {"dossier.pdf", "events.json", "label.pdf", "seal.json"} <= set(read.namelist())
    assert not list((served.shop.outside.folder / "files" / "incoming").iterdir())
    await ada.get("/orders/nope/dossier", 404)
    script = await served.api(Scope.READ)
    assert (await script.get("/orders/nope/dossier")).json()["code"] == "no_such_order"
