"""One connection to an MQTT broker that nothing is ever replayed on.

paho-mqtt sends what was not acknowledged again after a reconnect, and keeps what is published while it is away: a start would arrive
minutes after it was thought lost. So each connection is a client of its own, with an id of its own, and what it had not delivered is
forgotten with it. Seen with paho-mqtt 2.2 and mosquitto 2.0.11.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.domain.errors import AgentError, NeedsOperator, Transient

CONNECT_S = 5.0
KEEPALIVE_S = 15
"""A broker that says nothing for that long after it was asked is gone. Also paho's limit for the TLS handshake."""
DELIVERED_S = 5.0
"""From publishing to the broker's acknowledgement; later the connection is dropped, so that nothing arrives later still."""
_FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
LARGEST_PACKET = 512 * 1024
"""Of what a broker may send, in bytes. Only MQTT 5 lets it be told so; of 3.1.1 a larger one is read, and given to whoever listens."""
_GOODBYE_S = 1.0
_UNAUTHORISED = {134, 135}
"""CONNACK reasons as paho 2 gives them for both protocol versions: bad user name or password, not authorised."""
_OTHER_VERSION = 132
_AS_IT_WAS_SENT = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)


@dataclass(frozen=True)
class Broker:
    """Where a broker is and who we are there. `tls` is a context of wire.tls: what must be true of its certificate is for that to check."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    client_id: str = "intagly-agent"
    """Each connection adds something nobody can guess: two clients of one id throw each other out."""


@dataclass(frozen=True)
class Will:
    """What the broker tells the others, and keeps for those who come later, when we are gone without a goodbye."""

    topic: str
    payload: str


def _nothing() -> None: ...


class MqttLink:
    """A connection that is made anew whenever it is lost, for as long as this is entered.

    The callbacks run on the event loop, in order; `on_up` once all topics are subscribed. `on_retained` is given what the broker had kept
    from before; without it that goes to `on_message` like all else. `mqtt5`: else 3.1.1 is spoken. With it, what is sent to be kept counts
    as kept also when it comes at once, and nothing of our own comes back; 3.1.1 has no words for either.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None] = _nothing,
        on_down: Callable[[], None] = _nothing,
        *,
        on_retained: Callable[[str, bytes], None] | None = None,
        will: Will | None = None,
        mqtt5: bool = False,
        longest_retry_s: float = LONGEST_RETRY_S,
    ) -> None:
        self._broker, self._topics, self._will, self._mqtt5 = broker, list(topics), will, mqtt5
        self._on_message, self._on_retained, self._on_up, self._on_down = on_message, on_retained or on_message, on_up, on_down
        self._longest_retry_s = longest_retry_s
        self._client: paho.Client | None = None
        self._why: AgentError = _not_yet(broker)
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        """Set with every change of `up` and of `why_down()`."""
        self._lost = asyncio.Event()
        self._came_up = False
        self._waiting: dict[int, asyncio.Future[None]] = {}
        """Message id -> whoever waits until it was delivered."""

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"mqtt {self._broker.host}")
        self._task = asyncio.create_task(self._keep_up())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._threads.shutdown(wait=False)

    @property
    def up(self) -> bool:
        """Connected, and subscribed to every topic."""
        return self._up.is_set()

    def why_down(self) -> AgentError:
        """What ended or prevents the connection. NeedsOperator: a wrong password, a certificate that is not to be trusted."""
        return self._why

    async def wait_up(self, limit_s: float, *, once: bool = False) -> None:
        """Until it is up. Raises `why_down()` when the time is up, at once where waiting cannot help, and with `once` after one attempt."""
        try:
            async with asyncio.timeout(limit_s):
                while not self.up:
                    if isinstance(self._why, NeedsOperator) or (once and self._why.code != "connecting"):
                        raise self._why
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise self._why from None

    async def publish(self, topic: str, payload: bytes | str, qos: int = 1, *, retain: bool = False) -> None:
        """Returns when the broker has it (qos 1), or when it was written to the socket (qos 0). `retain`: it is kept for those who come
        later; kept with no payload, it is forgotten.

        Raises `why_down()` where there is no connection: then nothing was sent and nothing will be. Transient with code `undelivered`:
        it is not known whether it arrived; what the network had not taken yet is forgotten.
        """
        if self._client is None or not self.up:
            raise self._why
        sent = self._client.publish(topic, payload, qos, retain)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.renew()  # it may have kept the message for later
            raise _undelivered()
        delivered = self._waiting[sent.mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(DELIVERED_S):
                await delivered
        except TimeoutError:
            self.renew()
            raise _undelivered() from None
        finally:
            self._waiting.pop(sent.mid, None)

    def renew(self) -> None:
        """Drop this connection, with all that it has not delivered, and make a new one."""
        client, self._client = self._client, None
        if client is not None:
            _cut(client)
        self._is_down()
        self._lost.set()

    # --- one connection after another ---------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        pause_s = _FIRST_RETRY_S
        while True:
            was_up = await self._one_connection()
            hopeless = isinstance(self._why, NeedsOperator)
            pause_s = _FIRST_RETRY_S if was_up and not hopeless else self._after(pause_s, hopeless=hopeless)
            await asyncio.sleep(pause_s)  # the pace of attempts: a broker with few places must not be stormed

    def _after(self, pause_s: float, *, hopeless: bool) -> float:
        """The pause before the next attempt. A password does not become right by being tried again soon."""
        return LONGEST_RETRY_S if hopeless else min(self._longest_retry_s, pause_s * 2)

    async def _one_connection(self) -> bool:
        """Until it is lost; whether it was up at all."""
        self._lost.clear()
        self._came_up = False
        client = self._client = self._new_client(asyncio.get_running_loop())
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, partial(_connect, client, self._broker, self._mqtt5))
            await self._lost.wait()
            return self._came_up
        except AgentError as error:
            self._why = error
            return False
        finally:
            self._client = None
            self._is_down()
            # Behind a connecting that may still be at work there; nobody waits for it, and leaving does not take it back.
            self._threads.submit(_end, client)

    def _new_client(self, loop: asyncio.AbstractEventLoop) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._broker.client_id}-{secrets.token_hex(6)}",
            protocol=MQTTProtocolVersion.MQTTv5 if self._mqtt5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, 1, retain=True)
        self._add_callbacks(client, loop)
        return client

    def _add_callbacks(self, client: paho.Client, loop: asyncio.AbstractEventLoop) -> None:
        soon = partial(_soon, loop)
        client.on_socket_open = lambda _c, _u, sock: _forgetful(sock)
        client.on_connect = lambda c, _u, _f, reason, _p: soon(self._connected, c, reason)
        client.on_subscribe = lambda c, _u, _mid, reasons, _p: soon(self._subscribed, c, reasons)
        client.on_publish = lambda _c, _u, mid, _r, _p: soon(self._delivered, mid)
        client.user_data_set(threading.Event())
        client.on_disconnect = lambda c, gone, _f, reason, _p: gone.set() or soon(self._disconnected, c, reason)
        client.on_message = lambda c, _u, message: soon(self._received, c, message)

    # --- on the event loop, called by paho's thread -------------------------------------------------------------------

    def _connected(self, client: paho.Client, reason: ReasonCode) -> None:
        if client is not self._client:
            return
        if reason.is_failure:
            self._why = _refusal(self._broker, reason)
            self._lost.set()
        elif self._topics:
            self._subscribe(client)
        else:
            self._is_up()

    def _subscribe(self, client: paho.Client) -> None:
        if self._mqtt5:
            client.subscribe([(topic, _AS_IT_WAS_SENT) for topic in self._topics])
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _subscribed(self, client: paho.Client, reasons: list[ReasonCode]) -> None:
        if client is not self._client:
            return
        if any(reason.is_failure for reason in reasons):
            hint = "Let this user read them (the broker's access rules)."
            self._why = NeedsOperator(f"The broker at {self._broker.host} refuses the topics.", hint=hint, code="topics_refused")
            self._lost.set()
        else:
            self._is_up()

    def _disconnected(self, client: paho.Client, reason: ReasonCode) -> None:
        if client is not self._client:
            return
        if not reason.is_failure or self.up or self._why.code == "connecting":
            self._why = Transient(f"The connection to {self._broker.host} was lost ({reason}).", hint="Is it still on?", code="lost")
        self._lost.set()

    def _received(self, client: paho.Client, message: paho.MQTTMessage) -> None:
        if client is self._client:
            hear = self._on_retained if message.retain else self._on_message
            hear(message.topic, bytes(message.payload))

    def _delivered(self, mid: int) -> None:
        waiting = self._waiting.get(mid)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _is_up(self) -> None:
        self._why = _not_yet(self._broker)
        self._came_up = True
        self._up.set()
        self._changed.set()
        self._on_up()

    def _is_down(self) -> None:
        was_up = self.up
        self._up.clear()
        self._changed.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_undelivered())
        if was_up:
            self._on_down()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to be told
        loop.call_soon_threadsafe(call, *args)


# --- in a thread: all of this may block ---------------------------------------------------------------------------------


def _connect(client: paho.Client, broker: Broker, mqtt5: bool) -> None:
    """The one place where paho's and ssl's errors become the domain's."""
    try:
        client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S, properties=_limits() if mqtt5 else None)
    except ssl.SSLCertVerificationError as error:
        raise NeedsOperator(
            f"The certificate of {broker.host} is not to be trusted: {error.verify_message}.",
            hint="Is this the right machine, and its certificate authority the one that was configured?",
            code="bad_certificate",
        ) from error
    except ssl.SSLError as error:
        what = error.reason or str(error)
        raise Transient(f"No TLS with {broker.host}: {what}.", hint="Is that the port for TLS?", code="no_tls") from error
    except (OSError, paho.WebsocketConnectionError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise Transient(
            f"{broker.host}:{broker.port} cannot be reached: {what}.", hint="Is it on, and is the address right?", code="unreachable"
        ) from error
    client.loop_start()


def _limits() -> Properties:
    limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    limits.MaximumPacketSize = LARGEST_PACKET
    return limits


def _end(client: paho.Client) -> None:
    """Says goodbye where somebody listens, and waits for paho's thread."""
    if client.disconnect() is MQTTErrorCode.MQTT_ERR_SUCCESS:
        client.user_data_get().wait(_GOODBYE_S)
    _cut(client)
    client.loop_stop()


def _cut(client: paho.Client) -> None:
    """With the socket class's own shutdown: TLS's would pull its state from under the thread that reads."""
    sock = client.socket()
    if sock is not None:
        with contextlib.suppress(OSError):  # it was closed already
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # type: ignore[arg-type]


def _forgetful(sock: Any) -> None:
    """Closing drops what the network has not taken yet; the kernel would go on sending it after the agent's death. And what nobody
    acknowledges ends the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DELIVERED_S * 1000))


def _not_yet(broker: Broker) -> Transient:
    return Transient(f"No connection to {broker.host} yet.", hint="Is it on, and is the address right?", code="connecting")


def _undelivered() -> Transient:
    return Transient("It is not known whether the message arrived.", hint="Is the network any good there?", code="undelivered")


def _refusal(broker: Broker, reason: ReasonCode) -> AgentError:
    if reason.value in _UNAUTHORISED:
        hint = "Check the user name and the password, or the access code that the printer shows."
        return NeedsOperator(f"{broker.host} refuses the password.", hint=hint, code="wrong_password")
    hint = "Does it speak that version of MQTT?" if reason.value == _OTHER_VERSION else "Has it no place left?"
    return Transient(f"{broker.host} refuses the connection: {reason}.", hint=hint, code="refused")
