"""The conformance kit: the sandbox passes all of it, and a server that breaks one promise is caught by the case of that promise."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from agent.commands.sandbox import sandbox
from agent.domain.errors import Refused
from agent.sandbox.conformance import acting, ordering
from agent.sandbox.conformance.caller import Patience
from agent.sandbox.conformance.contract import Contract
from agent.sandbox.conformance.kit import CASES, Options, run
from agent.sandbox.conformance.verdicts import Outcome, Result
from agent.sandbox.marketplace.server import Options as MarketOptions
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.broken_promises import BROKEN, forget
from tests.sandbox.broken_servers import Break, Broken, Send, hears, whole
from tests.sandbox.conftest import READER
from tests.sandbox.stall import Operator, careless_client, offer

SHORT = Patience(call=5.0, not_now=3.0, event=0.5, label=0.1)
SEEN_LATER = {"retry_after"}
"""The sandbox does not answer 429 or 503 by itself."""


@contextmanager
def a_stocked_marketplace() -> Iterator[SandboxMarketplace]:
    """With something for every case: open offers of both kinds, a withdrawn and an expired one, orders in several states."""
    with SandboxMarketplace(MarketOptions(read_only_token=READER)) as market, careless_client(market) as http:
        for number in range(4):
            market.add_offer(offer(files_before_accept=number % 2 == 0, accept_within_s=900 + number, ship_by="2026-12-01T12:00:00+02:00"))
        market.withdraw_offer(market.add_offer(offer()))
        market.add_offer(offer(accept_within_s=0))
        for steps in range(4):
            order = Operator(market, http)
            for step in (order.start, order.photo, order.submit, order.delivered)[: (0, 1, 3, 4)[steps]]:
                step()
        yield market


@pytest.fixture
def stocked() -> Iterator[SandboxMarketplace]:
    with a_stocked_marketplace() as market:
        yield market


@pytest.fixture(scope="module")
def looked_at() -> Iterator[SandboxMarketplace]:
    """One for all tests that only look."""
    with a_stocked_marketplace() as market:
        yield market


def tried(market: SandboxMarketplace, how: Break = whole, **more: Any) -> dict[str, Result]:
    transport = Broken(how)
    options = Options(market.url, market.token, act=True, reader=READER, person="Ada Example", patience=SHORT, transport=transport, **more)
    return {result.case: result for result in run(options)}


# --- the sandbox passes -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sandbox_marketplace_conforms(stocked: SandboxMarketplace) -> None:
    for _ in range(20):  # so that lists have a second page
        stocked.add_offer(offer())
    results = tried(stocked)
    assert {name: result for name, result in results.items() if result.outcome is not Outcome.OK} == {
        name: results[name] for name in SEEN_LATER
    }
    assert len(results) == len(CASES)


def test_without_act_nothing_but_get_is_sent(stocked: SandboxMarketplace) -> None:
    sent: set[str] = set()

    def seen(request: httpx.Request, send: Send) -> httpx.Response:
        sent.add(request.method)
        return send(request)

    before = stocked.journal()["done"]
    results = {one.case: one for one in run(Options(stocked.url, stocked.token, patience=SHORT, transport=Broken(seen)))}
    assert sent == {"GET"}
    assert stocked.journal()["done"] == before
    skipped = {case.name for case in CASES if case.acts} | {"pages.next", "retry_after"}
    assert {name for name, result in results.items() if result.outcome is not Outcome.OK} == skipped
    assert results["offers.accept"].reason == "needs --act: it sends more than GET"


def test_an_empty_marketplace_fails_nothing_and_says_what_was_not_there(market: SandboxMarketplace) -> None:
    results = tried(market)
    assert [result for result in results.values() if result.outcome is Outcome.FAILED] == []
    assert results["offers.accept"].reason == "no open offer"
    assert results["offers.accept_withdrawn"].reason == "no withdrawn offer among the events"
    assert results["orders.start"].reason == "no order was accepted in this run"
    assert results["status.set"].outcome is Outcome.OK


def test_nobody_agrees_to_anything_without_a_persons_name(stocked: SandboxMarketplace) -> None:
    only = frozenset(case.name for case in (*acting.CASES, *ordering.CASES))
    results = {one.case: one for one in run(Options(stocked.url, stocked.token, act=True, patience=SHORT, only=only))}
    assert "--person" in results["submission.submit"].reason
    assert results["submission.person"].outcome is Outcome.OK
    assert all(order["submission"] is None or order["submission"]["internal_note"] == "" for order in stocked.orders())


def test_every_operation_and_every_rule_of_the_contract_has_a_case() -> None:
    contract = Contract.read()
    paragraphs = {contract.paragraph(case.paragraph) for case in CASES}
    assert {operation.told() for operation in contract.operations.values()} - paragraphs == set()
    assert set(contract.rules) - paragraphs == set()
    assert len({case.name for case in CASES}) == len(CASES)


# --- broken servers are caught ------------------------------------------------------------------------------------


ORDER = ("offers.accept", "orders.start", "photos.twice", "submission.submit", "label.after_submission", "orders.delivered")


def _needed(case: str) -> list[str]:
    """The steps of an order that come before it."""
    if case == "retry_after":
        return ["supplies.get"]
    names = [one.name for one in CASES]
    is_of_an_order = case in {one.name for one in ordering.CASES} or case in ("offers.accept_again", "offers.decline_accepted")
    return [step for step in ORDER if is_of_an_order and names.index(step) < names.index(case)]


def test_every_case_has_a_server_that_it_catches() -> None:
    """pages.next has a test of its own: it needs a second page."""
    assert {case.name for case in CASES} - {case for case, _, _ in BROKEN} == {"pages.next"}


def _broken(*, acts: bool) -> Any:
    acting_cases = {one.name for one in CASES if one.acts} | {"reading.changes_nothing"}
    chosen = [entry for entry in BROKEN if (entry[0] in acting_cases) == acts]
    return pytest.mark.parametrize(
        ("case", "how"), [(case, how) for case, _, how in chosen], ids=[f"{case}: {what}" for case, what, _ in chosen]
    )


def _is_caught(market: SandboxMarketplace, case: str, how: Break) -> None:
    forget()
    caught = tried(market, how, only=frozenset({*_needed(case), case}))[case]
    assert caught.outcome is Outcome.FAILED, caught
    assert caught.expected
    assert caught.found
    assert caught.contract


@pytest.mark.slow
@_broken(acts=False)
def test_a_server_that_tells_it_wrong_is_caught_by_the_case_of_that_promise(looked_at: SandboxMarketplace, case: str, how: Break) -> None:
    _is_caught(looked_at, case, how)


@pytest.mark.slow
@_broken(acts=True)
def test_a_server_that_does_it_wrong_is_caught_by_the_case_of_that_promise(stocked: SandboxMarketplace, case: str, how: Break) -> None:
    _is_caught(stocked, case, how)


@pytest.mark.slow
def test_a_second_page_that_is_the_first_again_is_caught(stocked: SandboxMarketplace) -> None:
    for _ in range(20):
        stocked.add_offer(offer())
    ignored = hears("GET", "/offers", query={"cursor": None})
    assert tried(stocked, ignored, only=frozenset({"pages.next"}))["pages.next"].outcome is Outcome.FAILED


# --- servers that are worse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_token_that_does_not_serve_is_told_once(market: SandboxMarketplace, token: str) -> None:
    with pytest.raises(Refused, match="does not take the token"):
        list(run(Options(market.url, token or "none")))


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://127.0.0.1:9/operator/v1", "cannot be asked"), ("nonsense", "cannot be asked"), ("http://[::1", "is no address")],
)
def test_nobody_there_is_told_once(url: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        list(run(Options(url, "token")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"offers": [], "orders": [], "next_cursor": 1}',
        b'{"lead_time_days": ' + b"9" * 5000 + b"}",
        b'{"events": NaN}',
        b"\xff\xfe",
        b'{"state": "\\ud800"}',
    ],
)
def test_whatever_a_server_says_is_a_finding_and_no_crash(content: bytes) -> None:
    def anything(_request: httpx.Request, _send: Send) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json", "etag": "x"}, content=content)

    results = list(run(Options("http://x/v1", "t", act=True, person="Ada", reader=READER, patience=SHORT, transport=Broken(anything))))
    assert any(result.outcome is Outcome.FAILED for result in results)
    assert all((result.found + result.reason).isprintable() for result in results)


def test_an_answer_without_an_end_is_left() -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(65_536)

    def endless(_request: httpx.Request, _send: Send) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Endless())

    options = Options("http://x/v1", "t", patience=SHORT, transport=Broken(endless), only=frozenset({"status.get"}))
    (result,) = run(options)
    assert (result.outcome, result.found) == (Outcome.FAILED, "more")


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_tells_each_case_on_its_line_and_answers_by_its_exit_code(stocked: SandboxMarketplace, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{stocked.token}\n")
    arguments = ["conformance", "--url", stocked.url, "--token-file", str(token), "--case", "offers.preview", "--case", "offers.accept"]
    good = CliRunner().invoke(sandbox, arguments)
    assert good.exit_code == 0
    assert good.output.splitlines() == [
        "ok       offers.preview",
        "skipped  offers.accept              needs --act: it sends more than GET",
        "1 ok, 0 failed, 1 skipped",
    ]
    stocked.set_fault("wrong_sha256", "previewOfferFile")
    bad = CliRunner().invoke(sandbox, [*arguments, "--json"])
    assert bad.exit_code == 1
    document = json.loads(bad.output)
    assert (document["ok"], document["failed"], document["skipped"], document["acted"]) == (0, 1, 1, False)
    failed = document["cases"][0]
    assert (failed["case"], failed["outcome"]) == ("offers.preview", "failed")
    assert failed["contract"].startswith("GET /offers/{offer_id}/files/{file_id}: The model before acceptance")


def test_wrong_use_is_told() -> None:
    no_token = CliRunner().invoke(sandbox, ["conformance", "--url", "http://127.0.0.1:9"])
    unknown = CliRunner().invoke(sandbox, ["conformance", "--url", "http://127.0.0.1:9", "--token", "t", "--case", "nonsense"])
    odd = CliRunner().invoke(sandbox, ["conformance", "--url", "http://127.0.0.1:9", "--token", "ünïcode"])
    assert (no_token.exit_code, unknown.exit_code, odd.exit_code) == (2, 2, 2)
    assert "no case nonsense" in unknown.output


def test_what_is_put_in_the_status_is_put_back(stocked: SandboxMarketplace) -> None:
    tried(stocked, only=frozenset(case.name for case in acting.CASES if case.name.startswith(("status", "keys"))))
    assert httpx.get(f"{stocked.url}/status", headers={"Authorization": f"Bearer {stocked.token}"}).json() == {"state": "online"}
