"""Every route the application has, for tests that must miss none."""

from collections.abc import Iterator
from typing import Any

from agent.operator.web.access import Access
from agent.operator.web.app import build


class _Nobody:
    """Routes are only listed: nothing of the desk is used."""

    name = "nobody"
    ledger = people = store = uploads = uploads_dir = None
    printers: dict[str, Any] = {}
    metrics = None


def every_route() -> Iterator[Any]:
    app = build(Access("127.0.0.1", 0), _Nobody(), None, None, None)  # type: ignore[arg-type]
    return _routes(app)


def _routes(router: Any) -> Iterator[Any]:
    for route in router.routes:
        if inner := getattr(route, "original_router", None):
            yield from _routes(inner)
        else:
            yield route
