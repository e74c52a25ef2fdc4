"""What comes from outside, and where the adapter goes: nothing a server says is more than an error of ours."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.errors import AgentError, ConfigError, NeedsOperator, Refused, Transient
from agent.marketplaces import operator_calls
from agent.marketplaces.operator_answers import Rows
from agent.marketplaces.operator_api import OperatorApi
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.marketplaces.deal import GOOD, against, api_of, new_key
from tests.rigs.http_stub import Received, Stub, reply
from tests.sandbox.stall import JPEG, offer

# --- what comes from outside, and where it may go ----------------------------------------------------------------


async def test_control_characters_do_not_reach_a_terminal(fresh: SandboxMarketplace) -> None:
    nasty = "\x1b[31mred\x1b[0m\r\x07\u202e\x9b"
    file = {**offer()["files"][0], "name": f"{nasty}.stl"}
    fresh.add_offer(offer(files=[file], special_instructions=f"first\n{nasty}", add_ons=[{"code": "x", "title": nasty}]))
    async with api_of(fresh) as api:
        (told,) = await api.offers()
    shown = told.files[0].name + told.special_instructions.replace("\n", "") + told.add_ons[0].title
    assert shown.isprintable()
    assert told.special_instructions.startswith("first\n")


@pytest.mark.parametrize("status", [400, 401, 409, 503])
async def test_nor_do_they_in_an_error(status: int) -> None:
    problem = {"code": "taken\x1b[2J", "detail": "gone\r\x1b]0;title\x07" + "x" * 10_000}
    async with against(reply(status, json.dumps(problem).encode())) as (api, _):
        with pytest.raises(AgentError) as failed:
            await api.accept("of-1", new_key())
    assert (str(failed.value) + failed.value.code).isprintable()
    assert len(str(failed.value)) < 500


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"code": 5, "detail": {}}', b'{"code": "", "title": null}'])
async def test_an_error_that_is_no_problem_json_is_told_by_its_status(content: bytes) -> None:
    async with against(reply(418, content)) as (api, _):
        with pytest.raises(Refused, match="418: status 418") as refused:
            await api.accept("of-1", new_key())
    assert refused.value.code == "http_418"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_call_is_not_carried_to_another_address(status: int) -> None:
    async with Stub(reply()) as other, against(reply(status, b"", Location=f"{other.url}/elsewhere")) as (api, stub):
        for call in (api.offers(), api.accept("of-1", new_key())):
            with pytest.raises(NeedsOperator, match="at another address") as moved:
                await call
            assert moved.value.code == "moved"
        assert len(stub.received) == 2
        assert other.received == []


@pytest.mark.parametrize(("status", "error"), [(408, Transient), (425, Transient), (501, Refused), (502, Transient), (504, Transient)])
async def test_what_a_status_means(status: int, error: type[AgentError]) -> None:
    async with against(reply(status)) as (api, _):
        with pytest.raises(error):
            await api.accept("of-1", new_key())


@pytest.mark.parametrize(
    ("told", "waits"), [("7", 7.0), ("0", 0.0), ("999999", 600.0), ("soon", None), ("-1", None), ("inf", None), ("", None)]
)
async def test_how_long_to_stay_away(told: str, waits: float | None) -> None:
    async with against(reply(503, Retry_After=told)) as (api, _):
        with pytest.raises(Transient) as failed:
            await api.offers()
    assert failed.value.retry_after_s == waits


@pytest.mark.parametrize("offer_id", ["../orders", "..", ".", "a/../../b", "a?b", "a#b", "%2e%2e", "a b", "é"])
async def test_an_identifier_does_not_leave_its_place(offer_id: str) -> None:
    async with against(reply(404)) as (api, stub):
        with pytest.raises(Refused):
            await api.offer(offer_id)
        assert all(request.target.startswith("/v1/offers/") and request.target.count("/") == 3 for request in stub.received)


@pytest.mark.parametrize("token", ["", "two\nlines", "tab\there", "ünïcode", "\x00"])
async def test_a_token_that_cannot_be_sent_stops_the_start(token: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        async with OperatorApi("shop", "https://market.example", lambda: token):
            pass
    assert token not in wrong.value.told() or not token


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1"])
async def test_a_marketplace_that_is_away(url: str) -> None:
    async with OperatorApi("shop", url, lambda: "sesame") as api:
        with pytest.raises(Transient) as away:
            await api.offers()
    assert away.value.code == "unreachable"


async def test_a_large_photo_over_a_slow_line_has_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(operator_calls, "CALL_S", 0.1)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(JPEG + bytes(500_000))

    async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(reply(201, b""))

    async with against(slow) as (api, stub):
        await api.put_photo("or-1", "front", photo, new_key())
        assert len(stub.received[0].body) == len(JPEG) + 500_000
        photo.write_bytes(JPEG)
        with pytest.raises(Transient):
            await api.put_photo("or-1", "front", photo, new_key())


# --- whatever a server says --------------------------------------------------------------------------------------

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("1e99999"), st.just("x" * 6000))
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3))


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
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


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    value: Any = GOOD
    for _ in range(draw(st.integers(1, 3))):
        value = put(value, draw(st.sampled_from(list(places(value)))), draw(anything))
    return value


@settings(deadline=None)
@given(raw=mutated())
def test_an_offer_changed_anyhow_is_read_or_left_out(raw: Any) -> None:
    """And what is read can be worked with: its time added to a clock, its money written down."""
    read = Rows("shop").offer(raw)
    if read is not None:
        assert datetime.now(UTC) + timedelta(seconds=read.accept_within_s)
        assert len(str(read.payout)) < 100
        assert all(read.file(item.file_id) for item in read.items)


PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 500 \r\n",
    b"HTTP/1.1 103 Early\r\n\r\n",
    b"HTTP/1.1 307 Go\r\n",
    b"HTTP/9 x\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Location: http://[::1\r\n",
    b"Location: \xff\r\n",
    b"Content-Encoding: br\r\n",
    b"Set-Cookie: a=\x00b\r\n",
    b"Retry-After: \xb2\r\n",
    b": \r\n",
    b"\r\n",
    b"5\r\n",
    b"ffffffffffffffffff\r\n",
    b"{}",
]
answers = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=8).map(b"".join)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=answers)
async def test_whatever_bytes_come_it_is_an_error_of_ours(answer: bytes) -> None:
    async def says(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with against(says) as (api, _):
        with pytest.raises(AgentError):
            await api.order("or-1")
