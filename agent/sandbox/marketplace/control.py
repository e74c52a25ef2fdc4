"""What a test, a demo or a person at the machine does to the marketplace: offers, faults, and what is known inside."""

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agent.sandbox.marketplace import bodies
from agent.sandbox.marketplace.call import parsed, read_body
from agent.sandbox.marketplace.problems import Problem, not_found, problem_response
from agent.sandbox.marketplace.state import Market

CONTROL_PATH = "/sandbox"
_LIMIT = 512 * 1024 * 1024


class Control:
    """The acts of the control plane, as plain calls in the server's own thread."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def add_offer(self, asked: bodies.OfferBody) -> dict[str, Any]:
        """ValueError or OSError where a file's content cannot be had."""
        offer = self._market.add_offer(asked)
        return {"offer_id": offer.offer_id, "files": [file.told() for file in offer.files.values()]}

    def offer(self, offer_id: str) -> dict[str, Any]:
        self._market.tick()
        offer = self._market.offer(offer_id)
        return {"offer_id": offer_id, "state": offer.state, "order_id": offer.order_id}

    def offers(self) -> list[dict[str, Any]]:
        """All of them, the oldest first, answered or not."""
        self._market.tick()
        return [{"offer_id": offer.offer_id, "state": offer.state, "order_id": offer.order_id} for offer in self._market.offers.values()]

    def withdraw_offer(self, offer_id: str) -> None:
        self._market.tick()
        self._market.withdraw(self._market.offer(offer_id))

    def take_offer(self, offer_id: str) -> None:
        self._market.tick()
        self._market.take_away(self._market.offer(offer_id))

    def orders(self) -> list[dict[str, Any]]:
        self._market.tick()
        return [order.seen_from_inside() for order in self._market.orders.values()]

    def order(self, order_id: str) -> dict[str, Any]:
        self._market.tick()
        return self._market.order(order_id).seen_from_inside()

    def cancel_order(self, order_id: str) -> None:
        self._market.cancel(self._market.order(order_id))

    def make_label(self, order_id: str) -> None:
        self._market.make_label(self._market.order(order_id))

    def set_earnings(self, order_id: str, state: str) -> None:
        self._market.set_earnings(self._market.order(order_id), state)

    def set_supply_state(self, request_id: str, state: str) -> None:
        if request_id not in self._market.supply_requests:
            raise not_found("supply request", request_id)
        self._market.supply_requests[request_id]["state"] = state

    def send_message(self, text: str) -> None:
        self._market.emit("message", text=text)

    def set_fault(self, asked: bodies.FaultBody) -> dict[str, Any]:
        return self._market.faults.set(asked.name, asked.target, asked.count, asked.params, rate=asked.rate, seed=asked.seed).told()

    def clear_faults(self, name: str | None = None) -> None:
        self._market.faults.clear(name)

    def faults(self) -> dict[str, Any]:
        """Those that are set, and how often each happened since the server began."""
        return {"faults": self._market.faults.told(), "happened": dict(self._market.faults.happened)}

    def journal(self) -> dict[str, Any]:
        return self._market.journal.told()


Act = Callable[[Request, bytes], Any]


def routes(control: Control) -> list[BaseRoute]:
    """The control plane over HTTP, for processes that are not this one. No token; loopback only."""
    table: Mapping[str, Mapping[str, Act]] = {
        "/offers": {
            "GET": lambda _, __: {"offers": control.offers()},
            "POST": lambda request, body: control.add_offer(parsed(request, body, bodies.OfferBody)),
        },
        "/offers/{id}": {"GET": lambda request, _: control.offer(_id(request))},
        "/offers/{id}/withdraw": {"POST": lambda request, _: control.withdraw_offer(_id(request))},
        "/offers/{id}/take": {"POST": lambda request, _: control.take_offer(_id(request))},
        "/orders": {"GET": lambda _, __: {"orders": control.orders()}},
        "/orders/{id}": {"GET": lambda request, _: control.order(_id(request))},
        "/orders/{id}/cancel": {"POST": lambda request, _: control.cancel_order(_id(request))},
        "/orders/{id}/label": {"POST": lambda request, _: control.make_label(_id(request))},
        "/orders/{id}/earnings": {
            "POST": lambda request, body: control.set_earnings(_id(request), parsed(request, body, bodies.EarningsBody).state)
        },
        "/supplies/{id}": {
            "POST": lambda request, body: control.set_supply_state(_id(request), parsed(request, body, bodies.SupplyStateBody).state)
        },
        "/messages": {"POST": lambda request, body: control.send_message(parsed(request, body, bodies.MessageBody).text)},
        "/faults": {
            "GET": lambda _, __: control.faults(),
            "POST": lambda request, body: control.set_fault(parsed(request, body, bodies.FaultBody)),
            "DELETE": lambda _, __: control.clear_faults(),
        },
        "/faults/{id}": {"DELETE": lambda request, _: control.clear_faults(_id(request))},
        "/journal": {"GET": lambda _, __: control.journal()},
    }
    return [Route(CONTROL_PATH + path, _endpoint(acts), methods=list(acts)) for path, acts in table.items()]


def _endpoint(acts: Mapping[str, Act]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            _only_from_this_machine(request)
            body = await read_body(request, _LIMIT)
            told = acts["GET" if request.method == "HEAD" else request.method](request, body)
        except Problem as problem:
            return problem_response(problem)
        except (ValueError, OSError) as error:
            return problem_response(Problem(422, "bad_body", str(error)))
        return Response(status_code=204) if told is None else Response(json.dumps(told), 200, media_type="application/json")

    return answer


def _only_from_this_machine(request: Request) -> None:
    """It reads local files and has no token: nobody else may use it, not even a web page in a browser here (its Origin tells)."""
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback or "origin" in request.headers:
        raise Problem(403, "loopback_only", "The control plane serves programs on this machine only.")


def _id(request: Request) -> str:
    return str(request.path_params["id"])
