"""`marketplaces`, `online`, `offline`, `supplies`, `earnings`, before a real marketplace over HTTP."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from agent.commands import marketplace as commands
from agent.domain.errors import Refused, Transient
from agent.sandbox.marketplace.server import SandboxMarketplace
from agent.workflow.online import mark
from tests.marketplaces.deal import Deal, api_of, new_key
from tests.rigs.agent_process import AgentHome
from tests.rigs.processes import free_port


@pytest.fixture
def market() -> Iterator[SandboxMarketplace]:
    with SandboxMarketplace() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, market: SandboxMarketplace) -> AgentHome:
    """One marketplace with a switch and one without."""
    home = AgentHome(tmp_path / "home")
    home.add_marketplace(market.url, market.token)
    home.add('[[marketplaces]]\nkind = "hot_folder"\nname = "walk-in"\npath = "inbox"\n')
    return home


def call(home: AgentHome, command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--config", str(home.config)])


def told(home: AgentHome, command: click.Command, *arguments: str, code: int = 0) -> Any:
    done = call(home, command, *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def away(home: AgentHome) -> None:
    home.add(
        f'[[marketplaces]]\nkind = "operator_api"\nname = "away"\nurl = "http://127.0.0.1:{free_port()}/v1"\ntoken_file = "secrets/token"\n'
    )


def test_how_each_marketplace_stands_and_whose_offline_it_is(home: AgentHome) -> None:
    away(home)
    rows = {row["name"]: row for row in told(home, commands.marketplaces)["marketplaces"]}
    assert (rows["sandbox"]["reachable"], rows["sandbox"]["state"], rows["sandbox"]["set_by"]) == (True, "online", "")
    assert (rows["walk-in"]["reachable"], rows["walk-in"]["state"]) == (None, "")
    assert rows["away"]["reachable"] is False and "cannot be reached" in rows["away"]["reason"]
    assert not (home.folder / "inbox").exists(), "looking opens no folder"
    assert call(home, commands.offline, "sandbox", "--reason", "holidays").exit_code == 0
    rows = {row["name"]: row for row in told(home, commands.marketplaces)["marketplaces"]}
    assert (rows["sandbox"]["set_by"], rows["sandbox"]["reason"]) == ("person", "holidays")
    shown = call(home, commands.marketplaces)
    assert shown.exit_code == 0 and "holidays" in shown.stdout and "not asked" in shown.stdout


def test_online_and_offline_switch_all_that_can_be_switched(home: AgentHome, market: SandboxMarketplace) -> None:
    (row,) = told(home, commands.offline)["marketplaces"]
    assert (row["name"], row["state"], row["set_by"]) == ("sandbox", "offline", "person")
    assert told(home, commands.online, "sandbox")["marketplaces"][0]["state"] == "online"
    assert market.times_done("setStatus") == 2
    away(home)
    partly = call(home, commands.offline)
    assert partly.exit_code == 1
    assert "sandbox is offline." in partly.stdout and "away: " in partly.stderr


def test_what_cannot_be_switched(home: AgentHome) -> None:
    assert isinstance(call(home, commands.online, "walk-in").exception, Refused)
    unknown = call(home, commands.online, "nobody").exception
    assert isinstance(unknown, Refused) and "sandbox" in unknown.hint
    forged = call(home, commands.offline, "--reason", mark("test") + "the disk is full")
    assert forged.exit_code == 2 and "give another" in forged.stderr


def test_supplies_are_asked_for_once(home: AgentHome, market: SandboxMarketplace) -> None:
    made = told(home, commands.supplies, "request", "box_s", "10")["request"]
    assert (made["kind"], made["quantity"], made["state"]) == ("box_s", 10, "open")
    twice = call(home, commands.supplies, "request", "box_s", "10")
    assert isinstance(twice.exception, Refused) and made["request_id"] in str(twice.exception)
    assert call(home, commands.supplies, "request", "box_s", "10", "--again").exit_code == 0
    assert market.times_done("requestSupplies") == 2
    (listed,) = told(home, commands.supplies)["marketplaces"]
    assert len(listed["requests"]) == 2 and listed["lead_time_days"] == 5
    shown = call(home, commands.supplies).stdout
    assert "150×100×80" in shown and "10 (open), 10 (open)" in shown
    market.set_fault("drop_before_acting", "requestSupplies", 1)
    assert isinstance(call(home, commands.supplies, "request", "filler", "1").exception, Transient)
    assert call(home, commands.supplies, "request", "box_s", "0").exit_code == 2


async def deliver(market: SandboxMarketplace, folder: Path, states: Sequence[str]) -> None:
    async with api_of(market) as api:
        for state in states:
            deal = Deal(api, market, folder)
            await deal.reach("markDelivered")
            await deal.do("markDelivered", new_key())
            market.set_earnings(deal.order_id, state)


def test_earnings_are_summed_by_state_and_currency(home: AgentHome, market: SandboxMarketplace, tmp_path: Path) -> None:
    asyncio.run(deliver(market, tmp_path, ["pending", "paid", "paid"]))
    whole = told(home, commands.earnings)
    expected = [
        {"state": "pending", "amount": "12.50", "currency": "EUR", "orders": 1},
        {"state": "paid", "amount": "25.00", "currency": "EUR", "orders": 2},
    ]
    assert whole["sums"] == expected == whole["marketplaces"][0]["sums"]
    assert len(whole["marketplaces"][0]["lines"]) == 3
    assert told(home, commands.earnings, "--to", "2026-01-01")["sums"] == []
    assert "25.00" in call(home, commands.earnings, "--from", "2026-01-01").stdout
    assert call(home, commands.earnings, "--from", "2026-02-01", "--to", "2026-01-01").exit_code == 2
    assert call(home, commands.earnings, "--from", "yesterday").exit_code == 2
    away(home)
    partly = told(home, commands.earnings, code=1)
    assert partly["sums"] == expected
    assert "cannot be reached" in partly["marketplaces"][1]["error"]
