"""The page's button before a real cupsd: one press is one sheet of the label's own bytes, and what became of it stands on the page."""

import asyncio
import html
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.domain.question import Step
from agent.labels.desk import CarrierLabels
from agent.labels.printing import LabelDesk
from agent.labels.queue import Queue
from agent.operator.desk import Backroom
from tests.operator.web.served import Served, button_on, serving
from tests.operator.web.test_parcels import parcel
from tests.rigs import cups as rig
from tests.rigs.cups import Cups
from tests.workflow.workshop import Workshop

pytestmark = pytest.mark.skipif(not rig.can_run(), reason="cupsd runs only what root alone can write; cups-daemon and cups-client")


@pytest.fixture(scope="module")
def cups() -> Iterator[Cups]:
    server = Cups()
    try:
        server.start("Zebra", "Stuck")
        yield server
    finally:
        server.remove()


@asynccontextmanager
async def beside(cups: Cups, queue: str, folder: Path, patience_s: float) -> AsyncIterator[Served]:
    """A page whose labels come out of that queue. Nothing is printed that nobody pressed."""

    def back(shop: Workshop) -> Backroom:
        return Backroom(labels=CarrierLabels(LabelDesk(Queue(cups.address(queue)), shop.ledger, patience_s=patience_s), by_itself=False))

    async with serving(folder, back=back) as served:
        yield served


async def test_a_press_is_one_sheet_and_a_second_one_is_said_first(cups: Cups, tmp_path: Path) -> None:
    async with beside(cups, "Zebra", tmp_path, 30) as served:
        order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
        label = served.shop.store.path(served.ledger.order(order_id).dossier.label_sha256).read_bytes()
        form, fields = button_on(await ada.get(f"/orders/{order_id}"), "Print the label")
        answers = await asyncio.gather(*(ada.client.post(form.action, data=fields) for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        assert cups.printed("Zebra") == [label]
        assert "media=na_index-4x6_4x6in" in cups.options("Zebra")
        assert f"Printed on {cups.address('Zebra')} (job " in await ada.get(f"/orders/{order_id}")
        await ada.press(f"/orders/{order_id}", "Yes, print it", again="yes")
        assert cups.printed("Zebra") == [label, label]


async def test_a_queue_that_stopped_is_told_with_its_own_reason_and_not_sent_to_twice(cups: Cups, tmp_path: Path) -> None:
    cups.fails("Stuck", rig.STOP)
    async with beside(cups, "Stuck", tmp_path, 4) as served:
        order_id, ada = parcel(served, "f1", step=Step.LABEL), await served.person()
        await ada.press(f"/orders/{order_id}", "Print the label")
        page = html.unescape(await ada.get(f"/orders/{order_id}"))
        assert "It waits in" in page and "The labels are used up" in page
        cups.fails("Stuck", None)
        await asyncio.to_thread(cups.run, "cupsenable", "Stuck")
        await ada.press(f"/orders/{order_id}", "Look how its print stands")
        assert "Printed on" in await ada.get(f"/orders/{order_id}")
        assert len(cups.printed("Stuck")) == 1
