"""/metrics as Prometheus' own parser reads it: what an order leaves there, who may read it, and what never stands in it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agent.domain.measures import Spread
from agent.domain.offer import AddOn
from agent.domain.person import Scope
from agent.ledger.sql_ledger import SqlLedger
from agent.operator.metrics.exposition import Family, Sample, spread, text
from agent.operator.metrics.metrics import Metrics, MetricSources
from agent.operator.web.access import Access
from tests.operator.web.served import Served, serving
from tests.workflow.workshop import Workshop

Read = dict[str, dict[tuple[tuple[str, str], ...], float]]


def _metrics(folder: Path, *, open_here: bool = True) -> Callable[[Workshop], Metrics]:
    def made(shop: Workshop) -> Metrics:
        assert isinstance(shop.ledger, SqlLedger)
        return Metrics(
            MetricSources(
                ledger=shop.ledger,
                figures=shop.ledger,
                measures=shop.shop.measures,
                printers=shop.shop.printers,
                last_seen=shop.shop.last_seen,
                data_dir=folder,
                version="1.2.3",
                open_here=open_here,
            )
        )

    return made


@pytest_asyncio.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, metrics=_metrics(tmp_path)) as running:
        yield running


async def _read(served: Served) -> Read:
    return _parsed((await _asked(served)).text)


async def _asked(served: Served, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
        return await client.get("/metrics", headers=headers)


def _parsed(told: str) -> Read:
    found: Read = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name} {labels} twice"
            found[sample.name][labels] = sample.value
    return found


async def _print_one(served: Served) -> str:
    """An order as far as its print."""
    ada, shop = await served.person(), served.shop
    order_id = served.offer(add_ons=[AddOn(code="sand", title="Sand the edges")])
    await shop.settle()
    await ada.press("/", "The bed of mk3s is clear")
    await shop.settle()
    shop.outside.printer.finish()
    await shop.settle()
    await ada.press("/", "The bed of mk3s is clear")
    await shop.settle()
    return order_id


async def test_an_order_is_counted_from_its_offer_to_its_print(shown: Served) -> None:
    before = await _read(shown)
    assert before["intagly_orders"][(("state", "offered"),)] == 0
    assert "intagly_prints_total" not in before
    await _print_one(shown)
    after = await _read(shown)
    assert after["intagly_offers_received_total"][(("marketplace", "market"),)] == 1
    assert after["intagly_offers_answered_total"][(("answer", "accepted"),)] == 1
    assert after["intagly_decision_seconds_count"][()] == 1
    assert after["intagly_prints_total"] == {
        (("printer", "mk3s"), ("result", result)): float(result == "finished") for result in ("finished", "failed", "cancelled")
    }
    assert after["intagly_questions_waiting"][(("step", "post-processing"),)] == 1
    assert after["intagly_printer_up"][(("printer", "mk3s"),)] == 1
    assert after["intagly_printer_bed_free"][(("printer", "mk3s"),)] == 1
    assert after["intagly_printer_looks_total"][(("printer", "mk3s"), ("result", "ok"))] > 0
    assert after["intagly_slicing_seconds_count"][(("slicer", "fake"),)] == 1
    assert after["intagly_ledger_write_seconds_count"][()] > before["intagly_ledger_write_seconds_count"][()]
    assert after["intagly_build_info"].popitem()[0][1] == ("version", "1.2.3")
    assert after["process_resident_memory_bytes"][()] > 1e7


async def test_what_the_ledger_knows_is_counted_the_same_by_the_next_daemon(shown: Served, tmp_path: Path) -> None:
    await _print_one(shown)
    before = await _read(shown)
    next_one = _parsed(await _metrics(tmp_path)(shown.shop).text())
    for name in ("intagly_prints_total", "intagly_offers_answered_total", "intagly_order_events_total", "intagly_decision_seconds_bucket"):
        assert next_one[name] == before[name]


async def test_asked_again_nothing_is_counted_twice(shown: Served) -> None:
    await _print_one(shown)
    assert (await _read(shown))["intagly_order_events_total"] == (await _read(shown))["intagly_order_events_total"]


async def test_nothing_of_a_customer_and_no_order_stands_in_it(shown: Served) -> None:
    order_id = await _print_one(shown)
    told = (await _asked(shown)).text
    offer = shown.shop.ledger.order(order_id).dossier.offer
    for word in (order_id, offer.offer_id, *(file.name for file in offer.files), *(file.sha256 for file in offer.files), "Ada"):
        assert f'"{word}' not in told


async def test_the_number_of_series_does_not_grow_with_orders(shown: Served) -> None:
    await _print_one(shown)
    one = {name: set(samples) for name, samples in (await _read(shown)).items()}
    for n in range(5):
        shown.offer(offer_id=f"more-{n}")
    assert {name: set(samples) for name, samples in (await _read(shown)).items()} == one | {
        "intagly_offer_deadline_timestamp_seconds": {()}
    }


async def test_others_need_a_token_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path, metrics=_metrics(tmp_path, open_here=False)) as served:
        assert (await _asked(served)).status_code == 401
        assert (await _asked(served, **served.token(Scope.READ, Scope.ANSWER, Scope.CONTROL))).status_code == 403
        answer = await _asked(served, **served.token(Scope.METRICS))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert _parsed(answer.text)
        api = await served.api(Scope.METRICS)
        assert (await api.get("/orders")).status_code == 403


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
async def test_whoever_comes_through_a_proxy_is_not_of_this_machine(shown: Served, header: str) -> None:
    assert (await _asked(shown)).status_code == 200
    assert (await _asked(shown, **{header: "127.0.0.1"})).status_code == 401


async def test_without_being_enabled_there_is_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, Access("127.0.0.1", 0)) as served:
        assert (await _asked(served)).status_code == 404


@given(st.dictionaries(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_any_name_and_number_come_back_as_they_were(values: dict[str, float]) -> None:
    names = {name.encode("utf-8", "replace").decode(): value for name, value in values.items()}
    told = text([Family("a_gauge", "gauge", 'What \\ "it"\nis', [Sample({"name": name}, value) for name, value in values.items()])])
    (family,) = text_string_to_metric_families(told)
    assert isinstance(family, Metric)
    assert {sample.labels["name"]: sample.value for sample in family.samples} == names


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_a_histogram_holds_each_in_its_bucket(seconds: list[float]) -> None:
    measured = Spread((0.1, 1.0, 10.0))
    for one in seconds:
        measured.took(one)
    (family,) = text_string_to_metric_families(text([Family("took_seconds", "histogram", "", list(spread(measured)))]))
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    for bound in (0.1, 1.0, 10.0):
        assert found[f"{bound:g}"] == sum(one <= bound for one in seconds)
    assert found["+Inf"] == found["took_seconds_count"] == len(seconds)
    assert found["took_seconds_sum"] == pytest.approx(sum(seconds))
