"""What the workflow promises for one order, from an offer to a delivered parcel."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.events import first_broken
from agent.domain.mesh import Verdict
from agent.domain.offer import AddOn, Attestation, OfferState
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.domain.question import Step
from agent.domain.values import Money
from agent.operator.answers import Answers
from agent.workflow.acceptance import Mode, Policy
from tests.workflow.workshop import Outside, Workshop, make_offer

PHOTO = b"\xff\xd8\xff\xe0 a photo"


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


@pytest.fixture
def shop(outside: Outside) -> Iterator[Workshop]:
    with Workshop(outside) as workshop:
        yield workshop


def person(shop: Workshop) -> Answers:
    return Answers(shop.ledger, shop.store, "Ada")


def only_order(shop: Workshop) -> str:
    (order,) = shop.ledger.orders()
    return order.id


def state(shop: Workshop) -> State:
    return shop.ledger.order(only_order(shop)).state


async def printed(shop: Workshop, **offer: object) -> str:
    """An order whose plate came off a cleared bed."""
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer(**offer))  # type: ignore[arg-type]
    shop.receive()
    await shop.settle()
    assert state(shop) is State.PRINTING
    shop.outside.printer.finish()
    await shop.settle()
    person(shop).bed_is_clear("mk3s")
    await shop.settle()
    return only_order(shop)


async def test_an_order_goes_from_offer_to_delivered_with_the_persons_steps_answered(shop: Workshop, tmp_path: Path) -> None:
    order_id = await printed(shop, add_ons=[AddOn(code="sand", title="Sand the edges")])
    assert state(shop) is State.PRINTED
    person(shop).choose(Step.POST_PROCESSING, order_id, "done")
    await shop.settle()
    assert state(shop) is State.PHOTOS
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(PHOTO)
    person(shop).photographed(order_id, [photo], ["no_flaws"])
    await shop.settle()
    assert state(shop) is State.LABEL
    for step, waits_in in ((Step.LABEL, State.LABEL), (Step.PACKED, State.PACKING), (Step.DROPPED_OFF, State.DROP_OFF)):
        assert state(shop) is waits_in
        person(shop).choose(step, order_id, "")
        await shop.settle()
    assert state(shop) is State.CLOSED
    acts = [act.split()[0] for act in shop.outside.market.acts]
    assert acts == ["accept", "start", "photo", "submit", "delivered"]
    assert len(shop.outside.printer.starts) == 1
    assert first_broken(shop.ledger.events(order_id)) is None


async def test_what_was_learned_for_the_quote_is_not_computed_again_after_acceptance(shop: Workshop) -> None:
    await printed(shop)
    assert shop.slicer.sliced == 1


async def test_files_that_cannot_be_had_before_acceptance_are_fetched_after_it(shop: Workshop) -> None:
    order_id = await printed(shop, files_before_accept=False)
    decision = shop.ledger.order(order_id).dossier.decision
    assert decision is not None
    assert not decision.quotes
    assert shop.slicer.sliced == 1


async def test_nothing_is_printed_on_a_bed_nobody_vouched_for(shop: Workshop) -> None:
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    assert state(shop) is State.SLICED
    assert shop.outside.printer.starts == []
    assert [question.step for question in shop.ledger.open_questions()] == [Step.BED]
    person(shop).bed_is_clear("mk3s")
    await shop.settle()
    assert state(shop) is State.PRINTING


async def test_a_second_order_waits_until_the_first_one_is_off_the_bed(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer("f1"))
    shop.outside.market.add(make_offer("f2"))
    shop.receive()
    await shop.settle()
    shop.outside.printer.finish()
    await shop.settle()
    assert len(shop.outside.printer.starts) == 1
    person(shop).bed_is_clear("mk3s")
    await shop.settle()
    assert len(shop.outside.printer.starts) == 2


async def test_a_printer_that_clears_its_own_bed_waits_for_nobody(outside: Outside) -> None:
    with Workshop(outside, clears_its_own_bed=True) as shop:
        shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
        outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        outside.printer.finish()
        await shop.settle()
        assert state(shop) is State.PHOTOS


async def test_a_job_of_somebody_else_is_not_touched_and_its_bed_is_not_printed_on(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.printer.current, shop.outside.printer.state = "benchy.gcode", PrinterState.PRINTING
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    assert shop.outside.printer.starts == []
    assert shop.outside.printer.current == "benchy.gcode"
    assert shop.ledger.beds()["mk3s"].state is BedState.UNKNOWN


async def test_a_failed_print_is_asked_about_and_printed_again_only_on_a_cleared_bed(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    shop.outside.printer.finish(PrinterState.FAILED)
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    person(shop).choose(Step.HOLD, only_order(shop), "reprint")
    await shop.settle()
    assert len(shop.outside.printer.starts) == 1
    person(shop).bed_is_clear("mk3s")
    await shop.settle()
    assert len(set(shop.outside.printer.starts)) == 2


async def test_a_start_nobody_can_account_for_is_asked_about_and_never_repeated(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    shop.outside.printer.reset, shop.outside.printer.current, shop.outside.printer.state = True, "", PrinterState.IDLE
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    assert len(shop.outside.printer.starts) == 1
    person(shop).choose(Step.HOLD, only_order(shop), "printed")
    await shop.settle()
    person(shop).bed_is_clear("mk3s")
    await shop.settle()
    assert state(shop) is State.PHOTOS


async def test_a_lost_answer_to_accept_is_read_back_and_not_sent_again(shop: Workshop) -> None:
    shop.outside.market.drops_replies = 1
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    assert state(shop) is State.SLICED
    assert [act for act in shop.outside.market.acts if act.startswith("accept")] == ["accept f1"]


@pytest.mark.parametrize(("gone", "ends"), [(OfferState.TAKEN, State.LOST), (OfferState.WITHDRAWN, State.LOST)])
async def test_an_offer_that_is_gone_is_let_go(shop: Workshop, gone: OfferState, ends: State) -> None:
    shop.outside.market.add(make_offer())
    shop.receive()
    shop.outside.market.add(make_offer(state=gone))
    await shop.settle()
    assert state(shop) is ends


async def test_an_offer_whose_time_is_up_is_not_answered(shop: Workshop) -> None:
    shop.outside.market.add(make_offer(minutes=-1))
    shop.receive()
    await shop.settle()
    assert state(shop) is State.EXPIRED
    assert shop.outside.market.acts == []


async def test_an_offer_that_cannot_be_made_is_declined_with_its_reason(outside: Outside) -> None:
    with Workshop(outside, policy=Policy(min_payout=Money(amount=Decimal(20), currency="EUR"))) as shop:
        outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        assert state(shop) is State.DECLINED
        assert outside.market.acts == ["decline f1 price"]
        assert outside.market.declined == {"f1": ""}, "the operator's limits are told nobody"


async def test_in_mode_ask_a_person_answers(outside: Outside) -> None:
    with Workshop(outside, policy=Policy(mode=Mode.ASK)) as shop:
        outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        assert outside.market.acts == []
        person(shop).choose(Step.OFFER, only_order(shop), "accept")
        await shop.settle()
        assert state(shop) is State.SLICED
        assert shop.ledger.open_questions()[0].step is Step.BED


async def test_in_mode_off_nothing_is_answered(outside: Outside) -> None:
    with Workshop(outside, policy=Policy(mode=Mode.OFF)) as shop:
        outside.market.add(make_offer())
        shop.receive()
        await shop.settle()
        assert outside.market.acts == []
        assert state(shop) is State.OFFERED


async def test_special_instructions_are_a_persons_to_judge(shop: Workshop) -> None:
    shop.outside.market.add(make_offer(special_instructions="please glue the two halves"))
    shop.receive()
    await shop.settle()
    assert shop.outside.market.acts == []
    assert shop.ledger.open_questions()[0].step is Step.OFFER


async def test_gcode_that_does_not_prove_to_be_the_order_is_never_sent(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.slicer.proves = False
    shop.outside.market.add(make_offer(files_before_accept=False))
    shop.receive()
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    assert shop.outside.printer.files == {}
    assert "does not prove" in shop.ledger.open_questions()[0].text


async def test_a_model_that_cannot_be_printed_is_declined_before_and_reported_after_acceptance(shop: Workshop) -> None:
    shop.meshes.verdict = Verdict.REJECT
    shop.outside.market.add(make_offer("early"))
    shop.outside.market.add(make_offer("late", files_before_accept=False))
    shop.receive()
    await shop.settle()
    assert sorted(shop.outside.market.acts) == ["accept late", "decline early file_bad", "problem file_unprintable r-late"]
    assert shop.outside.market.declined["early"].startswith("reject"), "what is wrong with the file is told"


async def test_a_model_that_needs_an_eye_is_printed_only_when_a_person_says_so(shop: Workshop) -> None:
    shop.meshes.verdict = Verdict.HOLD
    shop.outside.market.add(make_offer(files_before_accept=False))
    shop.receive()
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    person(shop).choose(Step.HOLD, only_order(shop), "print")
    await shop.settle()
    assert state(shop) is State.SLICED


@pytest.mark.parametrize("error", [Refused("the slicer crashed: segmentation fault"), NeedsOperator("prusa-slicer is not installed")])
async def test_a_slicer_that_cannot_holds_the_order_and_a_retry_goes_on(shop: Workshop, error: Exception) -> None:
    shop.slicer.error = error
    shop.outside.market.add(make_offer(files_before_accept=False))
    shop.receive()
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    assert str(error) in shop.ledger.open_questions()[0].text
    shop.slicer.error = None
    person(shop).choose(Step.HOLD, only_order(shop), "retry")
    await shop.settle()
    assert state(shop) is State.SLICED


async def test_a_bug_holds_its_own_order_with_the_traceback_and_harms_no_other(shop: Workshop) -> None:
    shop.slicer.error = ZeroDivisionError("division by zero")
    shop.outside.market.add(make_offer("f1", files_before_accept=False))
    shop.receive()
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    assert any("ZeroDivisionError" in str(event.data) for event in shop.ledger.events(only_order(shop)) if event.kind == "bug")
    shop.slicer.error = None
    shop.outside.market.add(make_offer("f2"))
    shop.receive()
    await shop.settle()
    assert [order.state for order in shop.ledger.orders()] == [State.ON_HOLD, State.SLICED]


async def test_a_full_disk_is_waited_out(shop: Workshop) -> None:
    shop.slicer.error = NeedsOperator("the disk is full", code="disk_full")
    shop.outside.market.add(make_offer(files_before_accept=False))
    shop.receive()
    await shop.settle(2)
    assert state(shop) is State.CHECKED
    shop.slicer.error = None
    await shop.settle()
    assert state(shop) is State.SLICED


async def test_a_passing_fault_is_tried_again_and_told_when_it_stays(shop: Workshop) -> None:
    shop.slicer.error = Transient("busy")
    shop.outside.market.add(make_offer(files_before_accept=False))
    shop.receive()
    await shop.settle(8)
    assert state(shop) is State.CHECKED
    assert [notice.event for notice in shop.inbox.notices] == ["still_failing"]


async def test_giving_up_stops_the_print_and_tells_the_marketplace(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    shop.outside.printer.reset, shop.outside.printer.state = True, PrinterState.IDLE
    shop.outside.printer.current = ""
    await shop.settle()
    person(shop).choose(Step.HOLD, only_order(shop), "cancel")
    await shop.settle()
    assert state(shop) is State.CANCELLED
    assert shop.ledger.beds()["mk3s"].state is BedState.UNKNOWN
    assert shop.outside.market.acts[-1] == "problem other r-f1"


async def test_the_agent_never_agrees_for_a_person(shop: Workshop, tmp_path: Path) -> None:
    order_id = await printed(shop)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(PHOTO)
    with pytest.raises(Refused, match="no visible flaws"):
        person(shop).photographed(order_id, [photo], [])
    with pytest.raises(Refused, match="who you are"):
        Answers(shop.ledger, shop.store, " ").photographed(order_id, [photo], ["no_flaws"])
    assert state(shop) is State.PHOTOS


async def test_a_bed_is_not_called_clear_while_the_printer_prints(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    with pytest.raises(Refused, match="still at"):
        person(shop).bed_is_clear("mk3s")


async def test_a_print_that_a_person_began_from_our_file_is_taken_over_and_not_started_again(shop: Workshop) -> None:
    """Pressed at the printer, or a start thought lost that came late."""
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.printer.refuses = True
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    (job,) = shop.ledger.jobs(only_order(shop))
    shop.outside.printer.refuses = False
    shop.outside.printer.current, shop.outside.printer.state = job.remote_name, PrinterState.PRINTING
    person(shop).choose(Step.HOLD, only_order(shop), "retry")
    await shop.settle()
    assert shop.ledger.jobs(only_order(shop))[0].state == "printing"
    assert shop.outside.printer.starts == []


@pytest.mark.parametrize("end", [PrinterState.FINISHED, PrinterState.CANCELLED])
async def test_a_print_that_a_person_began_and_that_ended_unseen_is_not_started_again(shop: Workshop, end: PrinterState) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.printer.refuses = True
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    (job,) = shop.ledger.jobs(only_order(shop))
    shop.outside.printer.refuses = False
    shop.outside.printer.history[job.remote_name] = end
    person(shop).choose(Step.HOLD, only_order(shop), "retry")
    await shop.settle()
    assert shop.outside.printer.starts == []
    assert shop.ledger.jobs(only_order(shop))[0].state == end.value


async def test_a_printer_that_cannot_be_asked_how_it_ended_is_only_looked_at_again(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    shop.outside.printer.state, shop.outside.printer.unreachable = PrinterState.OFFLINE, True
    await shop.settle()
    assert shop.ledger.order(only_order(shop)).tries == 0
    assert state(shop) is State.PRINTING


async def test_giving_up_ends_the_order_also_when_the_print_cannot_be_stopped_and_says_so(shop: Workshop) -> None:
    shop.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    shop.outside.market.add(make_offer())
    shop.receive()
    await shop.settle()
    shop.outside.printer.state, shop.outside.printer.history = PrinterState.IDLE, {}
    await shop.settle()
    assert state(shop) is State.ON_HOLD
    shop.outside.printer.unreachable = True
    person(shop).choose(Step.HOLD, only_order(shop), "cancel")
    await shop.settle()
    assert state(shop) is State.CANCELLED
    assert "print_not_cancelled" in [notice.event for notice in shop.inbox.notices]
    assert shop.ledger.beds()["mk3s"].state is BedState.UNKNOWN


async def test_the_hash_of_what_was_agreed_to_is_of_the_marketplaces_text_to_the_letter(shop: Workshop, tmp_path: Path) -> None:
    sentence = "Je confirme\u00a0: aucun défaut.\r\nVraiment."
    shop.outside.market.attestations = [Attestation(code="no_flaws", text=sentence)]
    order_id = await printed(shop)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(PHOTO)
    person(shop).photographed(order_id, [photo], ["no_flaws"])
    await shop.settle()
    (agreement,) = shop.ledger.order(order_id).dossier.said["agreements"]
    assert agreement["text_sha256"] == hashlib.sha256(sentence.encode()).hexdigest()
