"""What the workflow tells of a question says which one: at that moment it is asked, and nobody has answered yet."""

from pathlib import Path

from agent.domain.offer import AddOn
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.operator.answers import Answers
from agent.ports.notifier import Notice
from agent.workflow.acceptance import Mode, Policy
from agent.workflow.watch import PrinterWatch
from tests.workflow.workshop import Outside, Workshop, make_offer


class Told:
    """Looks at each notice the moment it comes."""

    def __init__(self, shop: Workshop) -> None:
        self.shop, self.seen = shop, list[Notice]()
        self._pass_on, shop.inbox.notify = shop.inbox.notify, self.notify  # type: ignore[method-assign]

    async def notify(self, notice: Notice) -> None:
        if notice.step is not None:
            question = self.shop.ledger.question(notice.order_id, notice.step, notice.printer)
            assert question is not None, f"{notice.event}: nobody is asked yet, so the next daemon would tell it again"
            assert question.answered_at is None
        self.seen.append(notice)
        await self._pass_on(notice)


async def test_every_step_of_an_order_is_told_of_with_its_question(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path), policy=Policy(mode=Mode.ASK)) as shop:
        told = Told(shop)
        ada = Answers(shop.ledger, shop.store, "Ada Example")
        shop.outside.market.add(make_offer(add_ons=[AddOn(code="sand", title="Sand the edges")]))
        shop.receive()
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada Example")
        await shop.settle()
        (order,) = shop.ledger.orders()
        ada.choose(Step.OFFER, order.id, "accept")
        await shop.settle()
        shop.outside.printer.finish()
        await shop.settle()
        ada.bed_is_clear("mk3s")
        await shop.settle()
        ada.choose(Step.POST_PROCESSING, order.id, "done")
        await shop.settle()
        assert shop.ledger.order(order.id).state is State.PHOTOS
        asking = [notice for notice in told.seen if notice.step is not None]
        assert [notice.step for notice in asking] == [Step.OFFER, Step.BED, Step.POST_PROCESSING, Step.PHOTOS]
        offer, bed, *_ = asking
        assert offer.deadline == order.accept_by
        assert bed.printer == "mk3s"


async def test_a_print_that_fails_is_told_of_with_its_question(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        told = Told(shop)
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada Example")
        shop.outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        shop.outside.printer.finish(PrinterState.FAILED)
        await shop.settle()
        assert [notice.step for notice in told.seen if notice.event == "on_hold"] == [Step.HOLD]


async def test_a_pause_and_its_end_name_their_printer(tmp_path: Path) -> None:
    with Workshop(Outside(tmp_path)) as shop:
        told = Told(shop)
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada Example")
        shop.outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        watch = PrinterWatch(shop.printer, shop.shop)
        for state in (PrinterState.PAUSED, PrinterState.PAUSED, PrinterState.PRINTING, PrinterState.PRINTING):
            shop.outside.printer.state = state
            await watch.look()
        assert [(notice.event, notice.printer) for notice in told.seen] == [("print_paused", "mk3s"), ("print_goes_on", "mk3s")]
