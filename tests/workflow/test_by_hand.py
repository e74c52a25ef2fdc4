"""What a person switched: kept over a restart, a person's own for the agent, and never bolder than the configuration."""

from pathlib import Path

import pytest

from agent.domain.account import Presence, Status
from agent.domain.errors import NeedsOperator, Transient
from agent.domain.order import State
from agent.ports.ledger import OrderMove
from agent.workflow.acceptance import Mode
from agent.workflow.by_hand import AskFirst, HandSwitches
from agent.workflow.online import set_by_agent
from agent.workflow.order_path import HANDLERS
from agent.workflow.steps import Go
from tests.dashboards.scene import Shopfront
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.workflow.workshop import Outside, make_offer


def switches(shop: Shopfront) -> HandSwitches:
    return HandSwitches(shop.shop, shop.ask_first, "Ada")


def opened(folder: Path, mode: Mode = Mode.AUTO) -> Shopfront:
    lay_empty_ledger(folder)
    return Shopfront(Outside(folder), mode)


def test_asking_first_outlives_the_agent(tmp_path: Path) -> None:
    AskFirst(tmp_path / "ask-first").turn(True)
    assert AskFirst(tmp_path / "ask-first").is_on()
    AskFirst(tmp_path / "ask-first").turn(False)
    AskFirst(tmp_path / "ask-first").turn(False)
    assert not AskFirst(tmp_path / "ask-first").is_on()


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator, match="cannot be written"):
        AskFirst(tmp_path / "no such folder" / "ask-first").turn(True)


@pytest.mark.parametrize("mode", [Mode.ASK, Mode.OFF])
def test_there_is_nothing_to_switch_where_the_agent_never_answers(tmp_path: Path, mode: Mode) -> None:
    with opened(tmp_path, mode) as shop:
        assert switches(shop).auto_accept is None


async def test_an_offer_is_asked_about_while_a_person_wants_that(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        assert switches(shop).auto_accept is True
        switches(shop).set_auto_accept(False)
        assert switches(shop).auto_accept is False
        order_id = await shop.offered()
        assert shop.ledger.order(order_id).state is State.OFFERED
        assert [notice.event for notice in shop.inbox.notices] == ["offer_asks"]


async def test_an_offer_that_was_to_be_accepted_is_a_persons_once_they_were_asked(tmp_path: Path) -> None:
    """They switch in the moment between the decision and its sending, and back again when they have said no."""
    with opened(tmp_path) as shop:
        shop.outside.market.add(make_offer())
        shop.receive()
        order = shop.ledger.orders()[0]
        decided = await HANDLERS[State.OFFERED](order, shop.shop)
        assert isinstance(decided, Go)
        shop.ledger.move(order, OrderMove(to=decided.to, event=decided.event, data=decided.data, dossier=decided.dossier))
        shop.ask_first.turn(True)
        await shop.settle()
        shop.ledger.answer(shop.ledger.open_questions()[0], {"choice": "decline"}, "Ada")
        shop.ask_first.turn(False)
        await shop.settle()
        assert shop.ledger.order(order.id).state is State.DECLINED
        assert shop.outside.market.orders == {}


async def test_a_persons_no_stands_when_they_let_the_agent_answer_again(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        shop.ask_first.turn(True)
        order_id = await shop.offered()
        shop.ledger.answer(shop.ledger.open_questions()[0], {"choice": "decline"}, "Ada")
        shop.ask_first.turn(False)
        await shop.settle()
        assert shop.ledger.order(order_id).state is State.DECLINED
        assert shop.outside.market.orders == {}


async def test_offline_by_hand_is_no_offline_of_the_agents(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        await switches(shop).set_online(False)
        assert shop.market.status_set.state is Presence.OFFLINE
        assert not set_by_agent(shop.market.status_set, "garage")
        await switches(shop).set_online(True)
        assert shop.market.status_set.state is Presence.ONLINE


async def test_one_marketplace_that_is_away_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        other = type(shop.market)(shop.outside.market, shop.fate)
        shop.shop.marketplaces["other"] = other  # type: ignore[index]

        async def away(status: Status, key: str) -> Status:  # noqa: ARG001 (the port's)
            raise Transient("away")

        shop.market.set_status = away  # type: ignore[method-assign]
        with pytest.raises(Transient):
            await switches(shop).set_online(False)
        assert other.status_set.state is Presence.OFFLINE
