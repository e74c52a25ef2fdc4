"""What is counted: names of spools, how long a thing lasts, whose word counts."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.printer import LoadedMaterial, PrinterFacts
from agent.domain.stock import Stock, StockKind, Thing, Use, left_of, outlook, spool_for, spools, spools_of, with_left
from agent.domain.values import Color

NOW = datetime(2026, 11, 27, tzinfo=UTC)
BLACK, WHITE = Color(name="black", hex="#1a1a1a"), Color(name="white", hex="#ffffff")


def reel(color: Color, remaining_g: float | None = None, material: str = "PLA") -> LoadedMaterial:
    return LoadedMaterial(material=material, color=color, remaining_g=remaining_g)


def facts(*materials: LoadedMaterial) -> PrinterFacts:
    return PrinterFacts(
        name="mk3s",
        kind="fake",
        profile="test",
        slicer="fake",
        bed_mm=(250, 210, 210),
        nozzle_mm=0.4,
        materials=list(materials),
        profile_materials=["PLA"],
    )


def stock(thing: Thing, configured: float, counted: float, used: float) -> Stock:
    return Stock(kind=thing.kind, name=thing.name, configured=configured, counted=counted, used=used, since=NOW)


def test_every_spool_has_a_name_of_its_own_that_does_not_hang_on_the_others() -> None:
    names = [thing.name for thing in spools_of("mk3s", [reel(BLACK), reel(WHITE), reel(BLACK), reel(Color(name="black matt"))])]
    assert names == ["mk3s: PLA black", "mk3s: PLA white", "mk3s: PLA black (2)", "mk3s: PLA black matt"]
    assert {thing.name for thing in spools_of("mk3s", [reel(WHITE), reel(BLACK)])} <= set(names), "in another order, the same names"


def test_a_print_takes_from_the_spool_that_serves_its_colour() -> None:
    printer = facts(reel(WHITE), reel(BLACK))
    assert spool_for(printer, "pla", Color(name="jet", hex="#1b1b1b")) == spools(printer)[1]
    assert spool_for(printer, "PETG", BLACK) is None


def test_what_is_left_is_counted_from_the_number_in_the_file() -> None:
    (thing,) = spools(facts(reel(BLACK)))
    known = {thing: stock(thing, configured=800, counted=800, used=30)}
    assert left_of(thing, 800, known) == 770
    assert left_of(thing, 1000, known) == 1000, "the file was changed since: it is the newer word"
    assert left_of(thing, None, known) is None
    assert with_left(facts(reel(BLACK, 800)), known).materials[0].remaining_g == 770
    assert with_left(facts(reel(BLACK)), known).materials[0].remaining_g is None
    gone = {thing: stock(thing, configured=800, counted=800, used=900)}
    assert left_of(thing, 800, gone) == 0, "never less than nothing"


def test_how_long_it_lasts_by_what_was_used_in_four_weeks() -> None:
    lasts = outlook(10, Use(amount=8, first=NOW - timedelta(days=200)), NOW)
    assert (lasts.per_week, lasts.days_left) == (2, 35)
    assert outlook(None, Use(amount=8, first=NOW - timedelta(days=200)), NOW).days_left is None
    assert outlook(10, None, NOW).days_left is None


@given(st.floats(0, 1000), st.floats(0.1, 500), st.floats(0, 400))
def test_a_shop_that_has_just_begun_is_not_told_that_it_lasts_for_ever(left: float, amount: float, days_ago: float) -> None:
    lasts = outlook(left, Use(amount=amount, first=NOW - timedelta(days=days_ago)), NOW)
    assert amount / 4 - 1e-6 <= lasts.per_week <= amount + 1e-6
    assert lasts.days_left is not None and abs(lasts.days_left * lasts.per_week - 7 * left) < 1e-6 * max(1, left)


def test_things_are_told_apart_by_kind_and_name() -> None:
    box = Thing(StockKind.PACKAGING, "mk3s: PLA black")
    assert left_of(box, 3, {spools(facts(reel(BLACK)))[0]: stock(box, 3, 3, 1)}) == 3
