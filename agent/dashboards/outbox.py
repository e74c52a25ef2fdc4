"""What is kept on the broker for whoever comes later: sent when it changes, and whole again after every new connection."""

import hashlib

from agent.wire.mqtt import MqttLink


class Outbox:
    """Remembers what the broker has, by its hash: pictures and payloads are not held."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link
        self._has: dict[str, bytes] = {}

    def begin_anew(self) -> None:
        """Whatever the broker had, or whoever read it, may have forgotten it."""
        self._has.clear()

    async def keep(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """True where it was not there yet. Raises as `MqttLink.publish`; then it is sent again the next time."""
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        if self._has.get(topic) == digest:
            return False
        await self._link.publish(topic, payload, qos, retain=True)
        self._has[topic] = digest
        return True

    async def forget(self, topic: str) -> None:
        """Nothing is kept there any more."""
        await self._link.publish(topic, b"", retain=True)
        self._has.pop(topic, None)
