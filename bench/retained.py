"""What stands on a broker: every retained topic under the agent's own and Home Assistant's."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as mqtt

_PATTERNS = ("intagly/#", "homeassistant/#")


class Retained:
    """Topics with something on them, as they come in."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self._news = threading.Condition()

    def came(self, message: mqtt.MQTTMessage) -> None:
        with self._news:
            (self.topics.add if message.payload else self.topics.discard)(message.topic)
            self._news.notify_all()

    def quiet(self, for_s: float = 2.0, within_s: float = 60.0) -> set[str]:
        """All topics, once there are some and no more came for so long."""
        until = time.monotonic() + within_s
        with self._news:
            while not self.topics or self._news.wait_for(self._more_than(len(self.topics)), for_s):
                assert time.monotonic() < until, f"the broker has {len(self.topics)} topics and does not come to rest"
                self._news.wait(0.1)
            return set(self.topics)

    def _more_than(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.topics) > count

    def wait_for(self, topics: set[str], within_s: float = 60.0) -> None:
        with self._news:
            assert self._news.wait_for(lambda: topics <= self.topics, within_s), f"missing after {within_s:.0f} s: {topics - self.topics}"


@contextlib.contextmanager
def retained(port: int, username: str, password: str) -> Iterator[Retained]:
    found = Retained()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(username, password)
    client.on_message = lambda _client, _data, message: found.came(message)
    client.on_connect = lambda *_: client.subscribe([(pattern, 1) for pattern in _PATTERNS])
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()
