"""The small values: names a printer can bear, colours, money, and text from outside."""

import json
import re
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agent.domain.errors import NeedsOperator, Refused, Transient
from agent.domain.job import remote_name
from agent.domain.values import Color, Money, Text, Token

SAFE = re.compile(r"[A-Za-z0-9_.-]+\.gcode", re.ASCII)


# --- the name a printer knows a job by ---------------------------------------------------------------------------


@given(st.text(max_size=300), st.integers(0, 10**6), st.integers(1, 10**6), st.text("0123456789abcdef", min_size=64, max_size=64))
@settings(deadline=None)
def test_a_remote_name_is_safe_whatever_the_order_is_called(order_id: str, plate: int, attempt: int, sha256: str) -> None:
    name = remote_name(order_id, plate, attempt, sha256)
    assert SAFE.fullmatch(name)
    assert not name.startswith((".", "-"))
    assert len(name) <= 80
    assert name.endswith(f"-{plate}-{attempt}-{sha256[:8]}.gcode")


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40), st.integers(1, 99), st.integers(1, 99))
@settings(deadline=None)
def test_a_plain_order_id_stands_in_it_as_it_is(order_id: str, plate: int, attempt: int) -> None:
    assert remote_name(order_id, plate, attempt, "f" * 64) == f"{order_id}-{plate}-{attempt}-ffffffff.gcode"


def test_another_attempt_has_another_name() -> None:
    names = {remote_name("o1", plate, attempt, sha * 64) for plate in (1, 2, 12) for attempt in (1, 2, 21) for sha in "ab"}
    assert len(names) == 18


# --- colours -----------------------------------------------------------------------------------------------------

colors = st.builds(
    Color,
    name=st.sampled_from(["black", "Black", "BLACK", "white", "schwarz", "weiß", "WEISS"]),
    hex=st.sampled_from([None, "#1a1a1a", "#1A1A1A", "#404040", "#ffffff"]),
)


@given(colors, colors)
@settings(deadline=None)
def test_being_the_same_colour_goes_both_ways(one: Color, other: Color) -> None:
    assert one.same_as(one)
    assert one.same_as(other) == other.same_as(one)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("black", None), ("Black", None), True),
        (("black", "#000000"), ("BLACK", "#1a1a1a"), True),
        (("black", "#1a1a1a"), ("schwarz", "#1A1A1A"), True),
        (("black", "#1a1a1a"), ("schwarz", "#000000"), True),
        (("black", "#1a1a1a"), ("schwarz", "#404040"), False),
        (("grey", "#808080"), ("grey", "#c0c0c0"), False),
        (("black", None), ("schwarz", None), False),
        (("black", "#1a1a1a"), ("schwarz", None), False),
        (("weiß", None), ("WEISS", None), True),
    ],
)
def test_hex_values_decide_where_both_are_known_else_the_names(
    one: tuple[str, str | None], other: tuple[str, str | None], same: bool
) -> None:
    assert Color(name=one[0], hex=one[1]).same_as(Color(name=other[0], hex=other[1])) is same


@pytest.mark.parametrize("code", ["1a1a1a", "#1a1a1", "#1a1a1g", "#1a1a1a1a", "black", ""])
def test_a_hex_that_is_none_is_no_colour(code: str) -> None:
    with pytest.raises(ValidationError):
        Color(name="black", hex=code)


# --- money -------------------------------------------------------------------------------------------------------


@given(st.decimals(min_value=0, max_value=10**9, places=2))
@settings(deadline=None)
def test_money_comes_back_from_json_to_the_cent(amount: Decimal) -> None:
    money = Money(amount=amount, currency="EUR")
    assert Money.model_validate_json(money.model_dump_json()) == money
    assert Money.model_validate(json.loads(json.dumps(money.model_dump(mode="json")))).amount == amount
    assert str(money) == f"{amount:.2f} EUR"


@pytest.mark.parametrize(("amount", "shown"), [("12.5", "12.50 EUR"), ("0", "0.00 EUR"), ("9.999", "10.00 EUR")])
def test_money_is_shown_with_two_places(amount: str, shown: str) -> None:
    assert str(Money(amount=Decimal(amount), currency="EUR")) == shown


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("-1", "EUR"), ("1e999999999", "EUR"), ("NaN", "EUR"), ("Infinity", "EUR"), ("a lot", "EUR"), ("1", "eur"), ("1", "€"), ("1", "EURO")],
)
def test_what_is_no_money(amount: str, currency: str) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": amount, "currency": currency})


def test_a_value_does_not_change() -> None:
    money = Money(amount=Decimal(1), currency="EUR")
    with pytest.raises(ValidationError):
        money.amount = Decimal(2)  # type: ignore[misc]
    assert Money.model_validate({"amount": 1, "currency": "EUR", "of another day": True}) == money


# --- text from outside -------------------------------------------------------------------------------------------


@given(st.text(max_size=200))
@settings(deadline=None)
def test_text_from_outside_cannot_move_a_cursor(text: str) -> None:
    read = TypeAdapter(Text).validate_python(text)
    assert len(read) == len(text.replace("\r\n", "\n"))
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") for c in read.replace("\n", "").replace("\t", ""))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", read), "text that turns the line around"
    assert TypeAdapter(Text).validate_python(read) == read


def test_what_people_write_stays_as_they_wrote_it() -> None:
    for text in ("Prix\u00a0: 12\u202f€", "👩\u200d🔧", "\u0645\u06cc\u200c\u062e", "zwei\nZeilen\tTab", "für die Öse"):
        assert TypeAdapter(Text).validate_python(text) == text


def test_text_that_is_too_long_is_refused_at_once() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python("\x00" * 10_000_000)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_an_identifier_is_safe_in_a_file_name_or_refused(text: str) -> None:
    try:
        token = TypeAdapter(Token).validate_python(text)
    except ValidationError:
        return
    assert re.fullmatch(r"[A-Za-z0-9._:@-]{1,128}", token, re.ASCII)


# --- errors ------------------------------------------------------------------------------------------------------


def test_an_error_says_what_happens_next() -> None:
    assert NeedsOperator("The disk is full.", hint="Free some space.").told() == "The disk is full. — Free some space."
    assert Refused("No.").told() == "No."
    assert (Transient("Later.", retry_after_s=7).retry_after_s, Transient("Later.").code) == (7, "")


def test_the_limit_says_how_far_apart_two_may_be() -> None:
    black, grey = Color(name="black", hex="#1a1a1a"), Color(name="dark grey", hex="#404040")
    assert black.distance(grey) == pytest.approx(12.1, abs=0.05)
    assert (black.same_as(grey, limit=12), black.same_as(grey, limit=13)) == (False, True)
    assert black.distance(Color(name="black")) is None
