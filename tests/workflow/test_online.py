"""Going offline by itself and coming back: told once, undone only by whom it was done."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load
from agent.domain.account import Presence, Status
from agent.domain.printer import PrinterState
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.problems import Problem
from agent.wiring import online_watch
from agent.workflow.online import LOOK_S, set_by_agent
from tests.ledger.offers import add_offer
from tests.rigs.agent_process import AgentHome
from tests.sandbox.stall import offer
from tests.workflow.online_scene import AWAY_S, BACK_S, OWN, Scene, opened
from tests.workflow.workshop import Outside, Workshop


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


# --- down and back -----------------------------------------------------------------------------------------------


async def test_no_printer_in_reach_stops_the_offers_and_one_in_reach_brings_them_back_each_told_once(scene: Scene) -> None:
    await scene.passes(BACK_S * 2)
    assert (scene.times_set(), scene.told()) == (0, []), "all is well: nobody is told anything"
    await scene.goes_down()
    assert await scene.status() == ("offline", f"{OWN}no printer can take an order (mk3s: cannot be reached)")
    with pytest.raises(Problem, match="offline"):
        scene.market.add_offer(offer())
    await scene.passes(600)
    assert (scene.times_set(), scene.told()) == (1, ["went_offline"])
    assert "sandbox: set offline" in scene.work.inbox.notices[0].text
    await scene.comes_back()
    assert await scene.status() == ("online", "")
    await scene.passes(600)
    assert (scene.times_set(), scene.told()) == (2, ["went_offline", "back_online"])
    assert scene.market.add_offer(offer())


async def test_a_printer_that_is_away_for_a_moment_changes_nothing(scene: Scene) -> None:
    for _ in range(3):
        scene.work.outside.printer.state = PrinterState.OFFLINE
        await scene.passes(AWAY_S - 20)
        scene.work.outside.printer.state = PrinterState.PRINTING
        await scene.passes(20)
    assert (scene.times_set(), scene.told()) == (0, [])


async def test_one_printer_of_two_is_enough(scene: Scene) -> None:
    other = Workshop(Outside(scene.folder)).printer
    other.facts = other.facts.model_copy(update={"name": "mini"})
    scene.shop = replace(scene.shop, printers={**scene.shop.printers, "mini": other})
    scene.begin()
    await scene.goes_down()
    assert scene.times_set() == 0
    other.outside.state = PrinterState.OFFLINE
    await scene.passes(AWAY_S + 40)
    assert (await scene.status())[1] == f"{OWN}no printer can take an order (mk3s, mini: cannot be reached)"


async def test_it_does_not_flap(scene: Scene) -> None:
    await scene.goes_down()
    for _ in range(4):
        scene.work.outside.printer.state = PrinterState.IDLE
        await scene.passes(BACK_S - 10)
        scene.work.outside.printer.state = PrinterState.OFFLINE
        await scene.passes(20)
    assert (scene.times_set(), scene.told()) == (1, ["went_offline"])


async def test_an_offer_that_waits_has_it_in_its_history(scene: Scene) -> None:
    scene.market.add_offer(offer())
    (waiting,) = await scene.api.offers()
    order = add_offer(scene.shop.ledger, "sandbox", waiting, waiting.accept_by)
    assert order is not None
    await scene.goes_down()
    await scene.comes_back()
    kinds = [event.kind for event in scene.shop.ledger.events(order.id)]
    assert kinds[-2:] == ["went_offline", "back_online"]


async def test_a_second_obstacle_is_told_and_what_the_marketplace_shows_follows(scene: Scene) -> None:
    await scene.goes_down()
    scene.wrong_by = timedelta(minutes=10)
    await scene.passes(40)
    assert scene.told() == ["went_offline"] * 2
    assert "clock" in scene.work.inbox.notices[1].text and "printer" not in scene.work.inbox.notices[1].text
    assert "mk3s" in (await scene.status())[1] and "clock" in (await scene.status())[1]


# --- a person's own switch ---------------------------------------------------------------------------------------


async def test_an_offline_of_a_person_stays_and_nobody_is_called_for_it(scene: Scene) -> None:
    await scene.by_hand(Presence.OFFLINE, "holidays")
    await scene.goes_down()
    await scene.comes_back()
    assert await scene.status() == ("offline", "holidays")
    assert (scene.times_set(), scene.told()) == (1, [])


async def test_an_online_of_a_person_stays_too(scene: Scene) -> None:
    await scene.goes_down()
    await scene.by_hand(Presence.ONLINE)
    scene.begin()
    await scene.goes_down()
    scene.wrong_by = timedelta(minutes=10)
    await scene.passes(40)
    assert (await scene.status())[0] == "online", "although there is one obstacle more"
    scene.wrong_by = timedelta()
    await scene.by_hand(Presence.OFFLINE, "enough for today")
    await scene.comes_back()
    assert await scene.status() == ("offline", "enough for today")
    assert "left as you switched it yourself" in scene.work.inbox.notices[-1].text


def test_whose_offline_it_is() -> None:
    assert set_by_agent(Status(state=Presence.OFFLINE, reason=f"{OWN}the disk"), "garage")
    assert not set_by_agent(Status(state=Presence.OFFLINE, reason=f"{OWN}the disk"), "cellar")
    assert not set_by_agent(Status(state=Presence.OFFLINE, reason="the disk"), "garage")
    assert not set_by_agent(Status(state=Presence.ONLINE, reason=f"{OWN}the disk"), "garage")


# --- over a restart ----------------------------------------------------------------------------------------------


async def test_after_a_restart_it_is_told_again_only_where_it_changed(scene: Scene) -> None:
    await scene.goes_down()
    scene.begin()
    await scene.passes(600)
    assert (scene.times_set(), scene.told()) == (1, ["went_offline"])
    scene.wrong_by = timedelta(minutes=-10)
    scene.begin()
    await scene.passes(60)
    assert scene.told() == ["went_offline"] * 2
    scene.wrong_by = timedelta()
    scene.begin()
    await scene.comes_back()
    assert ((await scene.status())[0], scene.told()[2:]) == ("online", ["back_online"])


async def test_a_restart_does_not_bring_back_what_is_still_away(scene: Scene) -> None:
    """A printer nobody has looked at yet is not taken for one that is there."""
    await scene.goes_down()
    scene.begin()
    for _ in range(20):
        await scene.daemon.look()
        scene.seconds += LOOK_S
    assert scene.times_set() == 1


@pytest.mark.parametrize("left", [None, b"", b'{"told": 5}', b"\xff"])
async def test_an_own_offline_is_taken_back_though_nothing_is_remembered(scene: Scene, left: bytes | None) -> None:
    await scene.goes_down()
    (scene.folder / "online.json").unlink() if left is None else (scene.folder / "online.json").write_bytes(left)
    scene.begin()
    await scene.comes_back()
    assert ((await scene.status())[0], scene.told()) == ("online", ["went_offline", "back_online"])


# --- marketplaces that do not take it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        ("unavailable_503", "getStatus"),
        ("drop_before_acting", "setStatus"),
        ("drop_reply_after_acting", "setStatus"),
        ("broken_json", "setStatus"),
    ],
)
async def test_whatever_goes_wrong_on_the_way_it_is_tried_again(scene: Scene, fault: str, operation: str) -> None:
    await scene.passes(BACK_S + 20)
    scene.market.set_fault(fault, operation, 2)
    await scene.goes_down()
    await scene.passes(60)
    assert (await scene.status())[0] == "offline"
    assert scene.told() == ["went_offline"]
    assert "not told yet" in scene.work.inbox.notices[0].text
    scene.market.set_fault(fault, operation, 2)
    await scene.comes_back()
    await scene.passes(60)
    assert ((await scene.status())[0], scene.told()) == ("online", ["went_offline", "back_online"])


async def test_a_marketplace_is_left_alone_for_as_long_as_it_asks(scene: Scene) -> None:
    await scene.passes(BACK_S + 20)
    scene.market.set_fault("unavailable_503", "getStatus", retry_after_s=100)
    await scene.goes_down()
    scene.market.clear_faults()
    before = scene.market.journal()["requests"]["getStatus"]
    await scene.passes(60)
    assert scene.market.journal()["requests"]["getStatus"] == before
    await scene.passes(100)
    assert (await scene.status())[0] == "offline"


async def test_a_token_that_may_only_read_is_told_and_keeps_no_other_marketplace_from_it(scene: Scene) -> None:
    async with OperatorApi("other", scene.market.url, lambda: "reader") as other:
        scene.shop = replace(scene.shop, marketplaces={"other": other, "sandbox": scene.api})
        scene.begin()
        await scene.goes_down()
    assert (await scene.status())[0] == "offline"
    assert "other: not told yet" in scene.work.inbox.notices[0].text
    assert "sandbox: set offline" in scene.work.inbox.notices[0].text


async def test_a_marketplace_without_a_switch_is_told_to_the_operator_only(scene: Scene) -> None:
    scene.shop = replace(scene.shop, marketplaces={"walk-in": scene.work.market})
    scene.begin()
    await scene.goes_down()
    scene.begin()
    await scene.passes(60)
    await scene.comes_back()
    assert scene.told() == ["went_offline", "back_online"]
    assert "walk-in: cannot be told" in scene.work.inbox.notices[0].text
    assert scene.times_set() == 0


@pytest.mark.parametrize(
    ("more", "watches"), [("", True), ("[online]\nautomatic = false\n", False), ('[acceptance]\nmode = "off"\n', False)]
)
async def test_the_daemon_watches_unless_it_was_told_not_to_or_answers_no_offers(scene: Scene, more: str, watches: bool) -> None:
    home = AgentHome(scene.folder / "home")
    home.add(more)
    settings = load(home.config)
    shop = replace(scene.shop, policy=settings.acceptance.value())
    assert (online_watch(settings, shop) is not None) is watches
