"""Status, supplies, earnings and the clock: against a real marketplace over HTTP with its faults, and against one that says anything."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.domain.account import Earnings, EarningState, EarningSum, Presence, Status, Supplies, SupplyState, sums
from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.marketplaces import operator_calls
from agent.marketplaces.operator_api import OperatorApi
from agent.ports.marketplace import Paying, Supplying, Switchable, TellsTheTime
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import SOON, Deal, against, api_of, new_key
from tests.rigs.http_stub import drip, reply

OFFLINE = Status(state=Presence.OFFLINE, until=datetime(2030, 1, 31, 12, tzinfo=UTC), reason="holidays")
Call = Callable[[OperatorApi, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "getStatus": lambda api, _: api.status(),
    "setStatus": lambda api, key: api.set_status(OFFLINE, key),
    "getSupplies": lambda api, _: api.supplies(),
    "requestSupplies": lambda api, key: api.request_supplies("box_s", 10, key),
    "listEarnings": lambda api, _: api.earnings(),
}
ACTS = ["setStatus", "requestSupplies"]
every_call = pytest.mark.parametrize("operation", list(CALLS))


def test_what_it_can_do(market: SandboxMarketplace) -> None:
    api = api_of(market)
    assert isinstance(api, Switchable) and isinstance(api, Supplying) and isinstance(api, Paying) and isinstance(api, TellsTheTime)


# --- all goes well -----------------------------------------------------------------------------------------------


async def test_the_status_is_set_and_read_back(fresh: SandboxMarketplace) -> None:
    async with api_of(fresh) as api:
        assert await api.status() == Status(state=Presence.ONLINE)
        assert await api.set_status(OFFLINE, new_key()) == OFFLINE == await api.status()
        assert (await api.set_status(Status(state=Presence.ONLINE), new_key())).state is Presence.ONLINE
        assert (await api.status()).until is None


async def test_supplies_are_asked_for_and_seen_on_their_way(fresh: SandboxMarketplace) -> None:
    async with api_of(fresh) as api:
        before = await api.supplies()
        assert {kind.kind: kind.inner_mm for kind in before.kinds} == {"box_s": [150, 100, 80], "box_m": [250, 200, 150], "filler": None}
        assert before.on_the_way("box_s") == []
        made = await api.request_supplies("box_s", 10, new_key())
        assert (await api.supplies()).on_the_way("box_s") == [made]
        fresh.set_supply_state(made.request_id, "shipped")
        assert [request.state for request in (await api.supplies()).on_the_way("box_s")] == [SupplyState.SHIPPED]
        with pytest.raises(Refused) as refused:
            await api.request_supplies("gold", 1, new_key())
    assert refused.value.code == "unknown_kind"


async def test_earnings_by_state_and_day(fresh: SandboxMarketplace, tmp_path: Path) -> None:
    async with api_of(fresh) as api:
        for state in ("pending", "payable", "paid"):
            deal = Deal(api, fresh, tmp_path)
            await deal.reach("markDelivered")
            await deal.do("markDelivered", new_key())
            fresh.set_earnings(deal.order_id, state)
        today = datetime.now(UTC).date()
        lines = (await api.earnings()).lines
        assert {line.state.value for line in lines} == {"pending", "payable", "paid"}
        assert len((await api.earnings(today - timedelta(days=1), today + timedelta(days=1))).lines) == 3
        assert (await api.earnings(last=date(2026, 1, 1))).lines == []
    assert [(each.state, each.amount, each.orders) for each in sums(lines)] == [
        (state, Decimal("12.50"), 1) for state in (EarningState.PENDING, EarningState.PAYABLE, EarningState.PAID)
    ]


# --- every fault, at every call ----------------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize(
    ("fault", "code", "done"),
    [
        ("error_500", "internal_error", False),
        ("unavailable_503", "unavailable", False),
        ("too_many_429", "too_many_requests", False),
        ("drop_before_acting", "unreachable", False),
        ("drop_reply_after_acting", "unreachable", True),
        ("broken_json", "unreadable", True),
    ],
)
async def test_not_now(market: SandboxMarketplace, operation: str, fault: str, code: str, done: bool) -> None:
    """Sent again with the same key it is done once, whether it had been done or not."""
    market.set_fault(fault, operation, 1)
    before, key = market.times_done(operation), new_key()
    async with api_of(market) as api:
        with pytest.raises(Transient) as failed:
            await CALLS[operation](api, key)
        assert failed.value.code == code
        assert market.times_done(operation) - before == (done and operation in ACTS)
        await CALLS[operation](api, key)
    assert market.times_done(operation) - before == (operation in ACTS)


@every_call
@pytest.mark.parametrize("answer", [drip(0.01), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], ids=["drip", "stall"])
async def test_no_call_hangs(operation: str, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_calls, "CALL_S", 0.15)
    async with against(answer) as (api, _):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Transient) as late:
            await CALLS[operation](api, new_key())
        assert late.value.code == "timeout"
        assert asyncio.get_running_loop().time() - begun < SOON


@every_call
async def test_a_token_that_may_not_needs_the_operator(operation: str) -> None:
    async with against(reply(403, b'{"code": "insufficient_scope"}')) as (api, _):
        with pytest.raises(NeedsOperator, match="token"):
            await CALLS[operation](api, new_key())


@every_call
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_marketplace_without_it_says_no(operation: str, status: int) -> None:
    async with against(reply(status)) as (api, _):
        with pytest.raises(Refused):
            await CALLS[operation](api, new_key())


async def test_a_reason_is_no_longer_than_a_marketplace_may_take() -> None:
    async with against(reply(200, b'{"state": "offline"}')) as (api, stub):
        await api.set_status(Status(state=Presence.OFFLINE, reason="x" * 5000), new_key())
    assert len(json.loads(stub.received[0].body)["reason"]) == 500


# --- answers that cannot be used ---------------------------------------------------------------------------------

BOX = {"kind": "box", "title": "Box", "inner_mm": [1, 2, 3]}
WISH = {"request_id": "su-1", "kind": "box", "quantity": 10, "state": "open"}
LINE = {"order_id": "or-1", "amount": {"amount": "12.50", "currency": "EUR"}, "state": "paid"}
SUPPLIES = {"lead_time_days": 5, "kinds": [BOX], "open_requests": [WISH]}


async def answered(operation: str, content: object) -> Any:
    async with against(reply(200, content if isinstance(content, bytes) else json.dumps(content).encode())) as (api, _):
        return await CALLS[operation](api, new_key())


UNUSABLE: list[tuple[str, object]] = [
    ("getStatus", {}),
    ("getStatus", {"state": "melted"}),
    ("getStatus", {"state": "online", "until": "soon"}),
    ("getStatus", {"state": "offline", "reason": 5}),
    ("getStatus", {"state": "offline", "reason": "x" * 5001}),
    ("getSupplies", {"kinds": []}),
    ("getSupplies", {"lead_time_days": -1, "kinds": []}),
    ("getSupplies", {"lead_time_days": 10**40, "kinds": []}),
    ("getSupplies", {"lead_time_days": 5, "kinds": {}}),
    ("requestSupplies", {**WISH, "quantity": 0}),
    ("requestSupplies", {**WISH, "state": "lost"}),
    ("requestSupplies", b""),
    ("listEarnings", {}),
    ("listEarnings", {"lines": None}),
    *((operation, content) for operation in CALLS for content in (b"[", b"null", b"[]", b'"\xff"', b"9" * 100_000)),
]


@pytest.mark.parametrize(("operation", "content"), UNUSABLE, ids=range(len(UNUSABLE)))
async def test_what_cannot_be_understood_is_told(operation: str, content: object) -> None:
    with pytest.raises(Transient) as failed:
        await answered(operation, content)
    assert failed.value.code == "unreadable"
    assert len(str(failed.value)) < 1000


@every_call
async def test_ten_megabytes_are_not_taken_in(operation: str) -> None:
    with pytest.raises(Transient) as failed:
        await answered(operation, json.dumps({"state": "online", "reason": "x" * 10_000_000}).encode())
    assert failed.value.code == "answer_too_large"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {**LINE, "order_id": "../x"},
        {**LINE, "state": "lost"},
        {**LINE, "amount": {"amount": "1e999999999", "currency": "EUR"}},
        {**LINE, "amount": {"amount": "-5", "currency": "EUR"}},
        {**LINE, "amount": {"amount": "NaN", "currency": "EUR"}},
        {**LINE, "amount": {"amount": "5", "currency": "euro"}},
        LINE,
    ],
    ids=range(8),
)
async def test_a_line_that_cannot_be_used_is_left_out_and_counted_so_that_no_sum_is_taken_for_whole(bad: object) -> None:
    """The last one is the same order a second time."""
    with capture_logs() as logs:
        earnings: Earnings = await answered("listEarnings", {"lines": [LINE, bad]})
    assert ([line.order_id for line in earnings.lines], earnings.left_out) == (["or-1"], 1)
    assert [entry["event"] for entry in logs] == ["row_unreadable"]


async def test_so_are_supplies() -> None:
    bad = [{**BOX, "kind": "a b"}, {**BOX, "inner_mm": [1, 2]}, {**BOX, "inner_mm": [1, 2, -3]}, {**BOX, "title": ""}, 7]
    told: Supplies = await answered("getSupplies", {**SUPPLIES, "kinds": [BOX, *bad], "open_requests": [WISH, {**WISH, "quantity": 1e9}]})
    assert (len(told.kinds), len(told.requests), told.left_out) == (1, 1, 6)


async def test_control_characters_do_not_reach_a_terminal() -> None:
    nasty = "\x1b[31mred\r\x07\u202e\x9b"
    status: Status = await answered("getStatus", {"state": "offline", "reason": nasty})
    supplies: Supplies = await answered("getSupplies", {**SUPPLIES, "kinds": [{**BOX, "title": nasty}]})
    assert (status.reason.replace("\n", "") + supplies.kinds[0].title).isprintable()


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("1e99999"), st.just("x" * 6000))
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3))
GOOD: dict[str, Any] = {
    "getStatus": {"state": "offline", "until": "2026-01-31T12:00:00Z", "reason": "holidays"},
    "getSupplies": SUPPLIES,
    "requestSupplies": WISH,
    "listEarnings": {"lines": [LINE, {**LINE, "order_id": "or-2"}]},
}


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copy = deepcopy(value)
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return copy


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(GOOD)), st.data())
async def test_an_answer_changed_anyhow_is_used_or_told(operation: str, data: st.DataObject) -> None:
    """And what is used can be shown: sums are made of it, times are told in local time, JSON is written."""
    value = put(GOOD[operation], data.draw(st.sampled_from(list(places(GOOD[operation])))), data.draw(anything))
    try:
        read = await answered(operation, json.dumps(value, allow_nan=True).encode())
    except AgentError as error:
        assert len(error.told()) < 1000
        return
    assert len(read.model_dump_json()) < 20_000
    if isinstance(read, Earnings):
        assert all(f"{each.amount:.2f}" for each in sums(read.lines))


money = st.tuples(st.decimals(0, 999_999_999, places=12), st.sampled_from(["EUR", "USD", "JPY"]), st.sampled_from(list(EarningState)))


@given(st.lists(money, max_size=40))
def test_sums_are_of_one_state_and_one_currency_and_lose_nothing(told: list[tuple[Decimal, str, EarningState]]) -> None:
    lines = [
        {"order_id": f"or-{n}", "amount": {"amount": str(amount), "currency": currency}, "state": state}
        for n, (amount, currency, state) in enumerate(told)
    ]
    read = [line for line in Earnings.model_validate({"lines": [line for line in lines if len(str(line["amount"]["amount"])) <= 15]}).lines]
    found = sums(read)
    assert len({(each.state, each.currency) for each in found}) == len(found)
    assert sum(each.orders for each in found) == len(read)
    assert sum((each.amount for each in found), Decimal()) == sum((line.amount.amount for line in read), Decimal())


def test_a_sum_says_what_it_is_of() -> None:
    lines = Earnings.model_validate({"lines": [LINE, {**LINE, "order_id": "or-2"}]}).lines
    assert sums(lines) == [EarningSum(state=EarningState.PAID, amount=Decimal("25.00"), currency="EUR", orders=2)]
