"""/api/v1 as its OpenAPI says, under whatever a generator makes of it: no 5xx, and answers that conform."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from agent.domain.person import Scope
from agent.domain.printer import BedState
from agent.domain.question import NewQuestion, Step
from tests.operator.web.served import Served, serving

_EXAMPLES = 5
_NOT_MEANT = [
    ignored_auth,  # takes our header for one it made up; test_acting.py asks whether a token is needed
    positive_data_acceptance,  # a choice that the question does not offer is well formed, and no answer: 422
]


async def _furnish(served: Served) -> None:
    """An order that prints, one that asks, and an offer that waits."""
    served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    served.offer()
    await served.shop.settle()
    order = served.ledger.order(served.offer(offer_id="f2"))
    served.ledger.ask(order, NewQuestion(step=Step.HOLD, text="What now?", choices={"retry": "again", "cancel": "give up"}))


@asynccontextmanager
async def _furnished(folder: Path) -> AsyncIterator[Served]:
    async with serving(folder) as served:
        await _furnish(served)
        yield served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """In a thread of its own: the generator's calls block."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_furnished(tmp_path_factory.mktemp("api"))) as page:
        yield page


@pytest.mark.slow
def test_the_api_does_what_it_says(served: Served) -> None:
    """Operation by operation: what the generator makes of each, sent, and the answer held against what is documented for it."""
    schema = schemathesis.openapi.from_url(f"{served.url}/api/v1/openapi.json")
    token, tried = served.token(*Scope), []
    for found in schema.get_all_operations():
        operation = found.ok()
        tried.append(operation.label)

        @settings(
            max_examples=_EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def conforms(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=token, excluded_checks=_NOT_MEANT)

        conforms()
    assert len(tried) == 19
