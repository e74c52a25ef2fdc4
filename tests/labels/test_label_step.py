"""The step on an order's path: the label is looked at, the person is told, and it is printed by itself only where that was told."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator
from agent.domain.label import LabelCheck, LabelPrint, LabelVerdict, PrintEnd
from agent.domain.mesh import Reason
from agent.domain.offer import RemoteState, Shipping
from agent.domain.order import Order, State
from agent.domain.question import Step
from agent.labels.desk import CarrierLabels
from agent.ports.ledger import OrderMove
from agent.sandbox.marketplace.label import label_pdf
from agent.workflow.reconcile import Reconciler
from tests.ledger.offers import add_offer
from tests.workflow.workshop import Outside, Workshop, make_offer, remote_order

PDF = label_pdf(["Sandbox Post", "SBX123"], "SBX123")


class Desk(CarrierLabels):
    """The real checks; a printer that does as it is told."""

    def __init__(self, print_ends: PrintEnd | Exception | None) -> None:
        super().__init__()
        self.print_ends, self.verdicts = print_ends, list[LabelVerdict]()

    async def print_by_itself(self, order_id: str, label: Path, sha256: str, check: LabelCheck) -> LabelPrint | None:
        self.verdicts.append(check.verdict)
        assert order_id and sha256 and label.is_file()
        if isinstance(self.print_ends, Exception):
            raise self.print_ends
        return None if self.print_ends is None else LabelPrint(queue="ipp://q", job=7, end=self.print_ends, why="the roll is empty")


async def asked(folder: Path, desk: Desk | None, shipping: Shipping | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the person is asked, after the handler was called as often as it likes."""
    with Workshop(Outside(folder)) as workshop:

        async def label(_order_id: str, into: Path) -> None:
            into.write_bytes(PDF)

        monkeypatch.setattr(workshop.market, "label", label)
        order = _ready(workshop, shipping)
        reconciler = Reconciler(replace(workshop.shop, labels=desk))
        for _ in range(4):
            await reconciler.reconcile(order.id)
        question = workshop.ledger.question(order.id, Step.LABEL)
        assert question is not None and question.choices == {"printed": "it is printed"}
        assert workshop.ledger.order(order.id).dossier.label_sha256
        return question.text


def _ready(workshop: Workshop, shipping: Shipping | None) -> Order:
    """Submitted while there was no label yet; the marketplace has told the parcel's number since."""
    offer = make_offer()
    order = add_offer(workshop.ledger, "market", offer, workshop.shop.after(900))
    assert order is not None
    remote = remote_order(offer)
    workshop.outside.market.orders[offer.offer_id] = remote.model_copy(update={"state": RemoteState.LABEL_READY, "shipping": shipping})
    dossier = order.dossier.model_copy(update={"remote": remote})
    return workshop.ledger.move(order, OrderMove(to=State.LABEL, event="submitted", dossier=dossier))


SAID = Shipping(carrier="Sandbox Post", tracking_number="SBX123")


async def test_the_person_is_told_what_the_label_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(None)
    text = await asked(tmp_path, desk, SAID, monkeypatch)
    assert text.startswith("Print the label. ") and str(tmp_path) not in text
    assert "4×6 in label" in text and "with the tracking number of this parcel" in text
    assert desk.verdicts == [LabelVerdict.GOOD], "looked at once, however often the handler is called"


async def test_a_wrong_label_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = await asked(tmp_path, Desk(None), Shipping(carrier="Sandbox Post", tracking_number="SBX999"), monkeypatch)
    assert "is it another parcel's?" in text


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (PrintEnd.COMPLETED, "was printed on ipp://q"),
        (PrintEnd.WAITING, "waits in ipp://q as job 7: the roll is empty"),
        (PrintEnd.FAILED, "was not printed on ipp://q: the roll is empty"),
        (NeedsOperator("perhaps it was", hint="Look."), "could not be printed: perhaps it was — Look. Print the label. "),
    ],
)
async def test_what_became_of_its_print_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: PrintEnd | Exception, says: str
) -> None:
    assert says in await asked(tmp_path, Desk(ends), SAID, monkeypatch)


async def test_without_a_printer_and_for_a_doubtful_label_nothing_is_printed(tmp_path: Path) -> None:
    good = LabelCheck(verdict=LabelVerdict.GOOD)
    assert await CarrierLabels().print_by_itself("o1", tmp_path, "a" * 64, good) is None
    doubtful = LabelCheck(verdict=LabelVerdict.LOOK, reasons=[Reason(code="tracking", text="x")])
    never = CarrierLabels(object())  # type: ignore[arg-type] - touching it would fail
    assert await never.print_by_itself("o1", tmp_path, "a" * 64, doubtful) is None
