"""/api/v1 as its OpenAPI says, under whatever a generator makes of it: no 5xx, and answers that conform."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
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


class _Server:
    """The page in a thread of its own: the generator's calls block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._up, self._down = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), name="web page")
        self.url = ""
        self.token: dict[str, str] = {}

    def __enter__(self) -> "_Server":
        self._thread.start()
        assert self._up.wait(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(30)
        self._loop.close()

    async def _run(self) -> None:
        async with serving(self._folder) as served:
            await _furnish(served)
            self.url, self.token = served.url, served.token(*Scope)
            self._up.set()
            await self._down.wait()


async def _furnish(served: Served) -> None:
    """An order that prints, one that asks, and an offer that waits."""
    served.ledger.set_bed("mk3s", BedState.FREE, "Ada")
    served.offer()
    await served.shop.settle()
    order = served.ledger.order(served.offer(offer_id="f2"))
    served.ledger.ask(order, NewQuestion(step=Step.HOLD, text="What now?", choices={"retry": "again", "cancel": "give up"}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    with _Server(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.mark.slow
def test_the_api_does_what_it_says(server: _Server) -> None:
    """Operation by operation: what the generator makes of each, sent, and the answer held against what is documented for it."""
    schema = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
    tried = []
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
            case.call_and_validate(headers=server.token, excluded_checks=_NOT_MEANT)

        conforms()
    assert len(tried) == 19
