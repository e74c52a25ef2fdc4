"""How an offer is decided: every rule is on record with its value and its limit."""

from datetime import datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.decision import Answer, Decision, Quote
from agent.domain.offer import DeclineReason, Item, Supports
from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.domain.values import Color, Money
from agent.workflow.acceptance import Mode, Policy, Situation, decide
from tests.workflow.workshop import BLACK, make_offer

NOON = datetime(2026, 11, 23, 12, 0)


def printer(
    name: str = "mk3s", *, material: str = "PLA", color: Color = BLACK, bed: tuple[float, float, float] = (250, 210, 210)
) -> PrinterFacts:
    return PrinterFacts(
        name=name,
        kind="octoprint",
        profile="prusa-mk3s",
        slicer="prusaslicer",
        bed_mm=bed,
        nozzle_mm=0.4,
        materials=[LoadedMaterial(material=material, color=color)],
        profile_materials=["PLA", "PETG"],
    )


def item(**changes: object) -> Item:
    return Item(item_id="i1", file_id="m1", quantity=1, color=BLACK, infill_percent=15, supports=Supports.NO).model_copy(update=changes)


def decided(
    *, policy: Policy | None = None, printers: list[PrinterFacts] | None = None, now: datetime = NOON, quotes: list[Quote] | None = None,
    open_orders: int = 0, **offer: object,
) -> Decision:  # fmt: skip
    fleet = [printer()] if printers is None else printers
    situation = Situation(make_offer(**offer), fleet, open_orders, now, quotes=quotes or [])  # type: ignore[arg-type]
    return decide(situation, policy or Policy())


def test_what_a_printer_can_make_is_accepted_and_the_printer_named() -> None:
    decision = decided(printers=[printer("wrong", material="PETG"), printer("right")])
    assert decision.answer is Answer.ACCEPT
    assert decision.printers == {"i1": ["right"]}


@pytest.mark.parametrize(
    ("offer", "policy", "printers", "reason"),
    [
        ({"items": [item(material="ASA")]}, Policy(), [printer()], DeclineReason.NO_MATERIAL),
        ({"items": [item(color=Color(name="pink"))]}, Policy(), [printer()], DeclineReason.NO_MATERIAL),
        ({}, Policy(), [], DeclineReason.CANNOT_MAKE),
        ({"items": [item(bounding_box_mm=[251, 200, 10])]}, Policy(), [printer()], DeclineReason.TOO_BIG),
        ({"items": [item(bounding_box_mm=[10, 10, 211])]}, Policy(), [printer()], DeclineReason.TOO_BIG),
        ({"items": [item(layer_height_mm=0.6)]}, Policy(), [printer()], DeclineReason.CANNOT_MAKE),
        ({"items": [item(infill_percent=90)]}, Policy(infill_percent=(0, 80)), [printer()], DeclineReason.CANNOT_MAKE),
        ({"items": [item(supports=Supports.YES)]}, Policy(supports=frozenset({Supports.NO})), [printer()], DeclineReason.CANNOT_MAKE),
        ({}, Policy(min_payout=Money(amount=Decimal("12.51"), currency="EUR")), [printer()], DeclineReason.PRICE),
        ({}, Policy(min_payout=Money(amount=Decimal(1), currency="USD")), [printer()], DeclineReason.PRICE),
        ({}, Policy(hours=[(time(20), time(22))]), [printer()], DeclineReason.NO_CAPACITY),
        ({"special_instructions": "a Weapon part"}, Policy(blocked_words=["weapon"]), [printer()], DeclineReason.OTHER),
    ],
)
def test_what_cannot_or_must_not_be_made_is_declined_with_its_reason(
    offer: dict[str, object], policy: Policy, printers: list[PrinterFacts], reason: DeclineReason
) -> None:
    decision = decided(policy=policy, printers=printers, **offer)
    assert decision.answer is Answer.DECLINE
    assert decision.reason is reason
    assert decision.text


def test_a_part_that_fits_only_when_turned_on_the_bed_fits() -> None:
    assert decided(items=[item(bounding_box_mm=[200, 240, 10])]).answer is Answer.ACCEPT


def test_too_many_open_orders_are_not_added_to() -> None:
    policy = Policy(max_open_orders=3)
    assert decided(policy=policy, open_orders=2).answer is Answer.ACCEPT
    assert decided(policy=policy, open_orders=3).reason is DeclineReason.NO_CAPACITY


def test_hours_may_span_midnight() -> None:
    night = Policy(hours=[(time(22), time(6))])
    assert decided(policy=night, now=NOON.replace(hour=23)).answer is Answer.ACCEPT
    assert decided(policy=night, now=NOON.replace(hour=5)).answer is Answer.ACCEPT
    assert decided(policy=night, now=NOON).answer is Answer.DECLINE


@pytest.mark.parametrize(("left_g", "answer"), [(100.0, Answer.DECLINE), (200.0, Answer.ACCEPT), (None, Answer.ACCEPT)])
def test_a_spool_that_is_tracked_must_have_enough_left(left_g: float | None, answer: Answer) -> None:
    spool = LoadedMaterial(material="PLA", color=BLACK, remaining_g=left_g)
    quote = Quote(printer="mk3s", ok=True, print_seconds=600, filament_g=120.0, plates=1)
    decision = decided(printers=[printer().model_copy(update={"materials": [spool]})], quotes=[quote])
    assert decision.answer is answer
    assert ("filament left: 120 g needed" in decision.text) is (answer is Answer.DECLINE)


def test_a_print_that_takes_too_long_is_declined() -> None:
    quote = Quote(printer="mk3s", ok=True, print_seconds=7201)
    assert decided(policy=Policy(longest_print_s=7200), quotes=[quote]).reason is DeclineReason.NO_CAPACITY


def test_in_mode_ask_a_person_gets_the_advice_and_the_answer_is_theirs() -> None:
    policy = Policy(mode=Mode.ASK)
    assert decided(policy=policy).answer is Answer.ASK
    advised_against = decided(policy=policy, printers=[])
    assert advised_against.answer is Answer.ASK


@given(
    infill=st.integers(0, 100),
    quantity=st.integers(1, 10_000),
    box=st.none() | st.lists(st.floats(0.01, 2000), min_size=3, max_size=3),
    material=st.sampled_from(["PLA", "pla", "PETG", "TPU", ""]),
    instructions=st.text(max_size=200),
)
def test_whatever_is_offered_the_answer_follows_from_the_record(
    infill: int, quantity: int, box: list[float] | None, material: str, instructions: str
) -> None:
    items = [item(infill_percent=infill, quantity=quantity, bounding_box_mm=box, material=material)]
    decision = decided(items=items, special_instructions=instructions, policy=Policy(infill_percent=(5, 95)))
    whole = [rule for rule in decision.rules if not rule.printer]
    can = all(rule.ok for rule in whole) and all(rule.ok for rule in decision.rules if rule.printer)
    assert (decision.answer is Answer.DECLINE) == (not can)
    assert (decision.reason is None) == can
