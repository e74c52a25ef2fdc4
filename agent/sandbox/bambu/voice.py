"""The printer's own connection to its broker: it publishes reports and hears requests."""

import asyncio
import ssl
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.domain.errors import Transient
from agent.sandbox.bambu.broker import PRINTER_USER, Broker
from agent.sandbox.bambu.certificates import Certificates

_READY_S = 10.0


class Voice:
    """`heard` is called on the event loop, in order."""

    def __init__(self, broker: Broker, serial: str, files: Certificates, heard: Callable[[bytes], None]) -> None:
        self._broker = broker
        self._report, self._request = f"device/{serial}/report", f"device/{serial}/request"
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._client: paho.Client | None = None
        self._tls = ssl.create_default_context(cafile=str(files.ca))
        self._tls.check_hostname = False  # the certificate names the serial, not a host

    async def start(self) -> None:
        """Back when requests are heard. Transient: the broker did not take it within 10 s."""
        self._ready.clear()
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(PRINTER_USER, self._broker.printer_password)
        client.tls_set_context(self._tls)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        await asyncio.to_thread(client.connect, self._broker.host, self._broker.port)
        client.loop_start()
        self._client = client
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except TimeoutError as error:
            raise Transient("The sandbox printer could not log in at its own broker.") from error

    def _connected(self, client: paho.Client, _data: object, _flags: object, _reason: ReasonCode, _properties: object) -> None:
        client.subscribe(self._request, qos=1)

    def _subscribed(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)

    def _arrived(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._heard, bytes(message.payload))

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def say(self, payload: bytes) -> None:
        """Lost when the broker is away, as on the printer: reports are not kept."""
        if self._client is not None and self._client.is_connected():
            self._client.publish(self._report, payload, qos=0)
