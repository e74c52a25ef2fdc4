"""JSON-RPC over MQTT, as Moonraker speaks it.

All clients share the topic of the answers, so ours are told by ids nobody can guess. Moonraker connects with a clean session: what is
sent while it is away is never answered, nor done later.
"""

import asyncio
import json
import secrets
import time
from typing import Self

from agent.domain.errors import Transient
from agent.domain.values import one_line
from agent.wire.mqtt import Broker, MqttLink

ANSWER_S = 5.0
"""For questions; seen: 45 to 90 ms."""
AWAY_ANSWER_S = 2.0
"""Where Moonraker's last will says that it is gone, or nothing was ever said. Not believed altogether: an old connection's will may
come after the new one's word."""
CONNECT_S = 3.0
_RECONNECT_S = 1.5
LARGEST_ANSWER = 4_194_304
"""Bytes. What is larger is no answer to anything we ask."""
_LONGEST_WORDS = 300
_DUPLICATE = -10000
"""Moonraker's error code for a request whose mqtt_timestamp it has seen already."""


class RpcError(Exception):
    """Moonraker's answer was an error: JSON-RPC's own codes (negative), or HTTP's."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.words = code, words


class Silence(Transient):
    """It was sent, and no answer came in time."""


class Rpc:
    """One Moonraker behind one broker. Entering opens the link, leaving closes it."""

    def __init__(self, broker: Broker, instance_name: str) -> None:
        self._request_topic = f"{instance_name}/moonraker/api/request"
        self._response_topic = f"{instance_name}/moonraker/api/response"
        self._status_topic = f"{instance_name}/moonraker/status"
        self._link = MqttLink(broker, [self._response_topic, self._status_topic], self._received, on_down=self._lost)
        self._pending: dict[str, asyncio.Future[object]] = {}
        self.said_online: bool | None = None
        """What Moonraker, or its last will, said over this connection; None: nothing was said under this instance name."""
        self.says_nonsense = False
        """What came last on the topic of the answers could not be read."""

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._link.__aexit__(*exc)
        self._lost()

    async def connected(self) -> None:
        """Waits a moment for a connection that is being made; raises the reason where there is none."""
        if not self._link.up:
            await self._link.wait_up(CONNECT_S if self._link.why_down().code == "connecting" else _RECONNECT_S)

    async def ask(self, method: str, **params: object) -> object:
        """A question; asked again where the connection was lost over it. Raises as `call`."""
        try:
            return await self._ask(method, params)
        except Transient as lost:
            if lost.code not in ("lost", "undelivered"):
                raise
        return await self._ask(method, params)

    async def _ask(self, method: str, params: dict[str, object]) -> object:
        await self.connected()
        return await self.call(method, params, ANSWER_S if self.said_online else AWAY_ANSWER_S)

    async def act(self, method: str, limit_s: float, **params: object) -> object:
        """Something that is to happen once: Moonraker drops a copy of the same request, however often the network delivers it."""
        await self.connected()
        return await self.call(method, {**params, "mqtt_timestamp": time.time_ns() / 1e9}, limit_s)

    async def call(self, method: str, params: dict[str, object], limit_s: float) -> object:
        """Send once; the result. RpcError: it said no. Silence: no answer within `limit_s`. Other AgentErrors: see MqttLink.publish."""
        request_id = secrets.token_hex(12)
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": request_id})
        answer = self._pending[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self._link.publish(self._request_topic, body)
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError as error:
            raise Silence(f"Moonraker did not answer within {limit_s:.0f} s.", hint="Is it running?", code="timeout") from error
        finally:
            self._pending.pop(request_id, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # it may have come while the sending failed

    def _received(self, topic: str, payload: bytes) -> None:
        said = _message(payload)
        if topic == self._response_topic:
            self.says_nonsense = said is None
        if said is None:
            return
        if topic == self._status_topic:
            self._came_or_went(online=said.get("server") == "online")
        else:
            self._answered(said)

    def _came_or_went(self, *, online: bool) -> None:
        """What was asked before is not answered any more: at its start, and at a reconnect, Moonraker has a new session. The first
        word over a connection of ours is the one the broker kept, and tells of nothing new."""
        news, self.said_online = self.said_online is not None, online
        if news:
            self._fail_all(
                Silence("Moonraker has just come to the broker.", hint="It is asked again.", code="restarted")
                if online
                else Silence("Moonraker has left the broker.", hint="Is the printer on, and Moonraker running?", code="offline")
            )

    def _answered(self, said: dict[str, object]) -> None:
        request_id = said.get("id")
        answer = self._pending.get(request_id) if isinstance(request_id, str) else None
        if answer is None or answer.done():
            return
        error = said.get("error")
        if error is None:
            answer.set_result(said.get("result"))
        else:
            answer.set_exception(_told(error))

    def _lost(self) -> None:
        self.said_online = None
        self._fail_all(Silence("The connection to the broker was lost before the answer came.", hint="Is it up?", code="lost"))

    def _fail_all(self, why: Silence) -> None:
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(why)
                answer.exception()  # its caller may be at the sending still, and never come to ask


def _message(payload: bytes) -> dict[str, object] | None:
    """The JSON object in it; None where there is none, or more than anybody asked for."""
    if len(payload) > LARGEST_ANSWER:
        return None
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _told(error: object) -> Exception:
    code, words = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
    if code == _DUPLICATE:
        return Transient("Moonraker saw this request before.", code="duplicate")
    return RpcError(code if isinstance(code, int) else 0, first_line(str(words)))


def first_line(words: str) -> str:
    """Klipper's messages go on over several lines with general advice."""
    lines = [line for line in words[:5000].splitlines() if line.strip()]
    return one_line(lines[0])[:_LONGEST_WORDS] if lines else ""
