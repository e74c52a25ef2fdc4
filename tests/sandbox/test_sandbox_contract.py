"""The marketplace against the contract, by a client we did not write: schemathesis makes the requests and judges the answers."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi import checks

from agent.sandbox.marketplace.routes import OPERATIONS
from agent.sandbox.marketplace.server import SandboxMarketplace
from tests.sandbox.stall import CONTRACT, Operator, client, offer

CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
]
_CONFIG = SchemathesisConfig(
    projects=ProjectsConfig(default=ProjectConfig(generation=GenerationConfig(deterministic=True, max_examples=8)))
)
_schema = schemathesis.openapi.from_path(CONTRACT, config=_CONFIG)


@pytest.fixture(scope="module")
def stocked() -> Iterator[tuple[SandboxMarketplace, dict[str, str]]]:
    """A marketplace with an open offer and an order that waits for its submission, and their ids."""
    with SandboxMarketplace() as market, client(market) as http:
        operator = Operator(market, http)
        operator.start(), operator.photo()
        yield market, {"offer_id": market.add_offer(offer()), "order_id": operator.order_id, "file_id": "file-1"}


@pytest.mark.slow
@_schema.include(operation_id=[operation.operation_id for operation in OPERATIONS]).parametrize()
@settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_contract_says(case: schemathesis.Case, stocked: tuple[SandboxMarketplace, dict[str, str]]) -> None:
    market, ids = stocked
    if case.operation.definition.raw["operationId"] == "listEvents":
        case.headers.pop("Accept", None)  # a stream has no end; tests of its own are in test_sandbox_events
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.path_parameters.update({name: known for name, known in ids.items() if name in case.path_parameters})
    # Where leaving it out is what is wrong with a request, it stays out: else nothing may be wrong with it any more.
    signed = {} if _is_left_out(case, "Authorization") else {"Authorization": f"Bearer {market.token}"}
    case.call_and_validate(base_url=market.url, headers=signed, checks=CHECKS, timeout=10)


def _is_left_out(case: schemathesis.Case, header: str) -> bool:
    wrong = case.meta is not None and any(part.mode.is_negative for where, part in case.meta.components.items() if where == "header")
    return wrong and header not in case.headers


def test_the_server_offers_exactly_what_the_contract_names() -> None:
    named = {(operation.method.upper(), operation.path) for operation in (result.ok() for result in _schema.get_all_operations())}
    assert named == {(operation.method, operation.path) for operation in OPERATIONS}
