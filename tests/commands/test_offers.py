"""`offers show` tells why, rule by rule and printer by printer; `replay` tells what other rules would have answered."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.domain.errors import Refused
from agent.domain.fit import Packaging
from agent.domain.offer import OfferState
from agent.domain.printer import BedState
from agent.domain.values import Money
from agent.ledger.database import utc_now
from agent.workflow.acceptance import Policy
from tests.workflow.workshop import FakePrinter, Outside, OutsidePrinter, Workshop, make_offer

POLICY = Policy(min_payout=Money(amount=Decimal(5), currency="EUR"), packagings=[Packaging(name="box-s", inner_mm=(150, 100, 80))])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The workshop's printer as an operator's file says it."""
    (tmp_path / "printers").mkdir()
    (tmp_path / "printers" / "mk3s.toml").write_text(
        'name = "mk3s"\nkind = "virtual"\nprofile = "prusa-mk3s"\n[[materials]]\nmaterial = "PLA"\ncolor = "black"\n'
    )
    (tmp_path / "config.toml").write_text(f'[agent]\ndata_dir = "{tmp_path}"\n[acceptance]\nmin_payout = "5.00 EUR"\n')
    return tmp_path / "config.toml"


@pytest.fixture
def past(config: Path) -> Iterator[dict[str, str]]:
    """Four offers by what became of them: the id of each."""
    outside = Outside(config.parent)
    with Workshop(outside, policy=POLICY) as shop:
        other = FakePrinter(OutsidePrinter(), shop.fate, "other")
        shop.shop.printers["other"] = other  # type: ignore[index]
        for name in ("mk3s", "other"):
            shop.ledger.set_bed(name, BedState.FREE, "Ada")
        in_a_day = utc_now() + timedelta(days=1)
        outside.market.add(make_offer("made", ship_by=in_a_day))
        outside.market.add(make_offer("cheap", payout=Money(amount=Decimal(3), currency="EUR")))
        outside.market.add(make_offer("late", ship_by=utc_now() + timedelta(seconds=30)))
        outside.market.add(make_offer("gone", ship_by=in_a_day))
        shop.receive()
        outside.market.add(make_offer("gone", state=OfferState.TAKEN))
        asyncio.run(shop.settle())
        found = {order.dossier.offer.offer_id: order.id for order in shop.ledger.orders()}
    yield found


def said(config: Path, *call: str) -> str:
    """In this process: a new one for each would be most of these tests."""
    shown = CliRunner().invoke(cli, [*call, "--config", str(config)], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def show(config: Path, order_id: str) -> str:
    return said(config, "offers", "show", order_id)


def test_an_accepted_offer_is_explained_rule_by_rule_and_printer_by_printer(config: Path, past: dict[str, str]) -> None:
    told = show(config, past["made"])
    whole, _, by_printer = told.partition("\nmk3s\n")
    assert "✓ payout: 12.50 EUR (limit: at least 5.00 EUR)" in whole and "decided after" in whole and ": accept" in whole
    assert "✓ packaging: 1 part into box-s (limit: one of box-s 150×100×80 mm)" in whole and "✓ schedule: ready " in whole
    first, _, second = by_printer.partition("\nother\n")
    for printer in (first, second):
        assert "✓ fits the bed: 20×20×20 mm (limit: 250×210×210 mm)" in printer and "✓ slicing: sliced and proved" in printer
        assert "quote: 10 min, 3.0 g, 1 plate" in printer
    assert "the plan with it: ready " in second and "packaging: box-s" in second
    assert "accepted after " in second and "before the time was up, by the agent" in second


def test_a_declined_offer_says_what_spoke_against_it(config: Path, past: dict[str, str]) -> None:
    told = show(config, past["late"])
    assert ": decline (no_capacity)" in told and "✗ schedule: ready " in told and "declined after " in told
    assert "✗ payout: 3.00 EUR (limit: at least 5.00 EUR)" in show(config, past["cheap"])


def test_as_json_it_is_the_whole_record(config: Path, past: dict[str, str]) -> None:
    shown = json.loads(said(config, "offers", "show", past["made"], "--json"))
    assert shown["decision"]["answer"] == "accept" and shown["decision"]["forecast"]["ok"] and shown["decision"]["packaging"] == "box-s"
    assert [quote["printer"] for quote in shown["decision"]["quotes"]] == ["mk3s", "other"]
    assert shown["answer"]["answer"] == "accepted" and 800 < shown["answer"]["seconds_left"] <= 900
    assert shown["batches"][0]["alternatives"][0]["printers"] == ["mk3s", "other"]
    listed = json.loads(said(config, "offers", "--json"))["offers"]
    assert {row["offer_id"] for row in listed} == {"cheap", "late", "gone"}


def test_an_offer_that_nobody_knows_is_told(config: Path, past: dict[str, str]) -> None:
    assert past
    ended = CliRunner().invoke(cli, ["offers", "show", "nothere", "--config", str(config)])
    assert isinstance(ended.exception, Refused) and "There is no order nothere" in str(ended.exception)


def replay(config: Path, *more: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said(config, "replay", "--json", *more))
    document["by_offer"] = {row["offer_id"]: row for row in document["offers"]}
    return document


def test_the_same_rules_answer_the_same(config: Path, past: dict[str, str]) -> None:
    assert past
    again = replay(config)
    assert not any(row["changes"] for row in again["offers"])
    assert {name: (row["went"], row["now"]) for name, row in again["by_offer"].items()} == {
        "made": ("accepted", "accept"),
        "cheap": ("declined", "decline"),
        "late": ("declined", "decline"),
        "gone": ("gone", "accept"),
    }
    sums = {name: Decimal(amount) for name, amount in again["sums"]["EUR"].items()}
    assert sums == {
        "earned_then": Decimal("12.50"),
        "missed_then": Decimal("15.50"),
        "earned_now": Decimal("12.50"),
        "missed_now": Decimal("15.50"),
        "asked_now": 0,
    }


@pytest.mark.parametrize(
    ("rules", "now", "earned", "missed"),
    [
        (["acceptance.min_payout=1.00 EUR"], {"made": "accept", "cheap": "accept", "late": "decline"}, "15.50", "12.50"),
        (["acceptance.min_payout=13.00 EUR"], {"made": "decline", "cheap": "decline", "late": "decline"}, "0", "28.00"),
        (["acceptance.longest_print_h=0.1"], {"made": "decline", "cheap": "decline", "late": "decline"}, "0", "28.00"),
        (["acceptance.packagings={flat=[100,100,19]}"], {"made": "decline", "cheap": "decline", "late": "decline"}, "0", "28.00"),
        (["acceptance.mode=ask"], {"made": "ask", "cheap": "ask", "late": "ask"}, "0", "0"),
        (["acceptance.mode=off"], {"made": "none", "cheap": "none", "late": "none"}, "0", "28.00"),
    ],
)
def test_other_rules_answer_otherwise(
    config: Path, past: dict[str, str], rules: list[str], now: dict[str, str], earned: str, missed: str
) -> None:
    assert past
    other = replay(config, *(part for rule in rules for part in ("--set", rule)))
    assert {name: row["now"] for name, row in other["by_offer"].items() if name != "gone"} == now
    assert Decimal(other["sums"]["EUR"]["earned_now"]) == Decimal(earned)
    assert Decimal(other["sums"]["EUR"]["missed_now"]) == Decimal(missed)


def test_what_was_not_recorded_is_told(config: Path, past: dict[str, str]) -> None:
    """It was declined for its payout before anything was fetched."""
    assert past
    cheap = replay(config, "--set", "acceptance.min_payout=1.00 EUR")["by_offer"]["cheap"]
    assert cheap["changes"] and cheap["not_known"] == [
        "no plan was made for it then: taken as one that is kept",
        "neither slices nor a size are known for mk3s: no print time, no grams",
    ]
    shown = said(config, "replay", "--set", "acceptance.min_payout=1.00 EUR")
    assert past["cheap"] in shown and past["made"] not in shown and "EUR: earned then 12.50" in shown
