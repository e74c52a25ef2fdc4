"""Starts and stops the marketplace: in a process of its own (`serve`) or beside a test or a demo (`SandboxMarketplace`)."""

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import uvicorn

from agent.sandbox.marketplace import control
from agent.sandbox.marketplace.app import API_PATH, OPERATION_IDS, Api, Tokens, build
from agent.sandbox.marketplace.bodies import FaultBody, OfferBody
from agent.sandbox.marketplace.connection import ClosableProtocol, dated
from agent.sandbox.marketplace.state import Market

T = TypeVar("T")
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Options:
    """Port 0 is any free one. An empty token is made up. `clock_offset_s` makes the marketplace's wall clock wrong."""

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    read_only_token: str = ""
    clock_offset_s: float = 0.0


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


class _Server:
    """One marketplace on one socket. To be made and run inside a running loop."""

    def __init__(self, options: Options, listening: Callable[["_Server"], None]) -> None:
        self.token = options.token or secrets.token_urlsafe(24)
        self.market = Market(OPERATION_IDS, clock_offset_s=options.clock_offset_s)
        self.control = control.Control(self.market)
        self._socket = _listening_socket(options.host, options.port)
        self.origin = _origin(options.host, self._socket)
        api = Api(self.market, Tokens(self.token, options.read_only_token))
        api.origin = self.origin
        app = build(api, control.routes(self.control))
        config = uvicorn.Config(
            dated(app, self.market.now),
            http=ClosableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
        self._uvicorn = _Uvicorn(config, partial(listening, self))

    async def run(self) -> None:
        self.market.call_later = self._tick_later
        await self._uvicorn.serve(sockets=[self._socket])

    def _tick_later(self, seconds: float) -> None:
        # A little late, so that the time is up by any clock when it is looked at.
        asyncio.get_running_loop().call_later(seconds + 0.005, self.market.tick)

    def stop(self) -> None:
        """Ends streams and pauses, then the server. To be called in the loop's thread."""
        self.market.feed.close()
        self._uvicorn.should_exit = True

    def told(self) -> dict[str, str]:
        return {"url": self.origin + API_PATH, "control": self.origin + control.CONTROL_PATH, "token": self.token}


def serve(host: str = "127.0.0.1", port: int = 0, token: str = "", *, read_only_token: str = "", clock_offset_s: float = 0.0) -> None:
    """Serve until SIGTERM or SIGINT. Says where, as one line of JSON on stdout, when it listens. OSError: the port is taken."""
    asyncio.run(_serve_until_signalled(Options(host, port, token, read_only_token, clock_offset_s)))


async def _serve_until_signalled(options: Options) -> None:
    server = _Server(options, _say_where)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.run()


def _say_where(server: _Server) -> None:
    sys.stdout.write(json.dumps(server.told()) + "\n")
    sys.stdout.flush()


class SandboxMarketplace:
    """The marketplace on a free port in a thread of this process, and its control plane as plain calls.

    `with SandboxMarketplace() as market:` then `market.url`, `market.token`. What is refused raises Problem (its `code` says why).
    """

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._thread = threading.Thread(target=self._run, name="sandbox-marketplace", daemon=True)
        self._listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None
        self._failure: OSError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        listening = self._listening.wait(_PATIENCE_S)
        if self._failure is not None:
            raise self._failure
        if not listening:
            raise TimeoutError("The sandbox marketplace does not listen.")
        return self

    def __exit__(self, *exc: object) -> None:
        server, loop = self._running()
        loop.call_soon_threadsafe(server.stop)
        self._thread.join(_PATIENCE_S)

    @property
    def url(self) -> str:
        return self._running()[0].told()["url"]

    @property
    def control_url(self) -> str:
        return self._running()[0].told()["control"]

    @property
    def token(self) -> str:
        return self._running()[0].token

    def add_offer(self, asked: Mapping[str, Any]) -> str:
        """A new offer, as `OfferBody` describes it; returns its id. ValueError where it is not as described."""
        body = OfferBody.model_validate(asked)
        return str(self._call(lambda control: control.add_offer(body))["offer_id"])

    def offer(self, offer_id: str) -> dict[str, Any]:
        """`offer_id`, `state` and, once accepted, `order_id`."""
        return self._call(lambda control: control.offer(offer_id))

    def withdraw_offer(self, offer_id: str) -> None:
        self._call(lambda control: control.withdraw_offer(offer_id))

    def take_offer(self, offer_id: str) -> None:
        """Another operator was faster."""
        self._call(lambda control: control.take_offer(offer_id))

    def orders(self) -> list[dict[str, Any]]:
        """Every order, with photos, submission, problems and earnings."""
        return self._call(lambda control: control.orders())

    def order(self, order_id: str) -> dict[str, Any]:
        return self._call(lambda control: control.order(order_id))

    def cancel_order(self, order_id: str) -> None:
        self._call(lambda control: control.cancel_order(order_id))

    def make_label(self, order_id: str) -> None:
        """For an offer with `label_after_s` None: the label is there now."""
        self._call(lambda control: control.make_label(order_id))

    def set_earnings(self, order_id: str, state: str) -> None:
        """pending, payable or paid; paid closes the order."""
        self._call(lambda control: control.set_earnings(order_id, state))

    def set_supply_state(self, request_id: str, state: str) -> None:
        self._call(lambda control: control.set_supply_state(request_id, state))

    def send_message(self, text: str) -> None:
        self._call(lambda control: control.send_message(text))

    def set_fault(
        self, name: str, target: str | None = None, count: int | None = None, *, rate: float = 1.0, seed: int = 0, **params: Any
    ) -> None:
        """A fault of `faults.KINDS`, for an operationId or where it usually hits, this many times or until it is cleared; always, or by
        chance in this share of the cases."""
        body = FaultBody(name=name, target=target, count=count, rate=rate, seed=seed, params=params)
        self._call(lambda control: control.set_fault(body))

    def clear_faults(self, name: str | None = None) -> None:
        self._call(lambda control: control.clear_faults(name))

    def journal(self) -> dict[str, Any]:
        """See `Journal.told`."""
        return self._call(lambda control: control.journal())

    def times_done(self, operation: str, subject: str = "") -> int:
        """How often this operation changed something for that offer, order or `<order>/<photo>`."""
        return int(self.journal()["acts"].get(operation, {}).get(subject, {}).get("done", 0))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._listening.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = _Server(self._options, lambda _: self._listening.set())
        await self._server.run()

    def _running(self) -> tuple[_Server, asyncio.AbstractEventLoop]:
        if self._server is None or self._loop is None:
            raise RuntimeError("The sandbox marketplace was not entered.")
        return self._server, self._loop

    def _call(self, act: Callable[[control.Control], T]) -> T:
        """Run it in the server's thread, the only one that touches the state."""
        server, loop = self._running()

        async def there() -> T:
            return act(server.control)

        return asyncio.run_coroutine_threadsafe(there(), loop).result(_PATIENCE_S)


def _listening_socket(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol was named; without it every answer waits 40 ms for a delayed ACK.
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _origin(host: str, listening: socket.socket) -> str:
    """Where this machine reaches it, also when it listens on every address."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    bracketed = f"[{reached}]" if ":" in reached else reached
    return f"http://{bracketed}:{listening.getsockname()[1]}"
