"""What the cases of one run share: the server, and the offer that was accepted on the way."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.sandbox.conformance.caller import Answer, Caller, Patience
from agent.sandbox.conformance.contract import Contract
from agent.sandbox.conformance.verdicts import Failed, Skipped, expect

_MOST_PAGES = 200
_PAGING = "Lists are paged"


@dataclass(frozen=True)
class Started:
    """`before`: the order as it was; `key` and `answer`: of the start itself."""

    before: Answer
    key: str
    answer: Answer


@dataclass
class Bench:
    """`person`: who agrees to attestations, empty: nobody. `reader`: a token that may only read, empty: there is none.

    `order`: the order that was accepted in this run, as it was told last. `started`: that it was, how it was told before, and the answer.
    """

    caller: Caller
    contract: Contract
    person: str = ""
    reader: str = ""
    order: dict[str, Any] = field(default_factory=dict)
    accepted_under: str = ""
    started: "Started | None" = None

    @property
    def patience(self) -> Patience:
        return self.caller.patience

    def call(self, operation: str, *args: Any, **kwargs: Any) -> Answer:
        """See `Caller.call`."""
        return self.caller.call(operation, *args, **kwargs)

    def pages(self, operation: str, field_name: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
        """Page by page until next_cursor is null."""
        cursors: set[str] = set()
        asked = dict(query)
        for _ in range(_MOST_PAGES):
            page = self.call(operation, query=asked).body
            yield page[field_name]
            cursor = page["next_cursor"]
            if cursor is None:
                return
            expect(cursor not in cursors, f"{operation}: a cursor that leads on", f"{cursor!r} twice", _PAGING)
            cursors.add(cursor)
            asked["cursor"] = cursor
        raise Failed(f"{operation}: a last page, whose next_cursor is null", f"none after {_MOST_PAGES} pages", _PAGING)

    def rows(self, operation: str, field_name: str, **query: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(operation, field_name, **query) for row in page]

    def open_offers(self) -> list[dict[str, Any]]:
        """Skipped where there is none."""
        return self.rows("listOffers", "offers") or _skip("no open offer")

    def orders(self) -> list[dict[str, Any]]:
        """Skipped where there is none."""
        return self.rows("listOrders", "orders") or _skip("no order")

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """All that can be asked for after that one, page by page."""
        found: list[dict[str, Any]] = []
        for _ in range(_MOST_PAGES):
            page = self.call("listEvents", query={"after": after}).body["events"]
            if not page:
                return found
            expect(page[-1]["seq"] > after, f"events after {after}", f"event {page[-1]['seq']} last", "listEvents")
            found += page
            after = page[-1]["seq"]
        return found

    def my_order(self) -> dict[str, Any]:
        """The order that this run accepted. Skipped where there is none."""
        return self.order or _skip("no order was accepted in this run")

    def in_state(self, *states: str) -> dict[str, Any]:
        """The same, where it came that far."""
        order = self.my_order()
        return order if order["state"] in states else _skip(f"the order is {order['state']}, not {' or '.join(states)}")


def _skip(why: str) -> Any:
    raise Skipped(why)
