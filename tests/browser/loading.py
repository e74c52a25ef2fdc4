"""What a browser fetches to show a page for the first time, by its own account."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import CDPSession, Page

_STREAM = "text/event-stream"
_ALL_SEEN = """async () => {
  const seen = [...document.images].filter((image) => image.checkVisibility() && image.getBoundingClientRect().top < innerHeight);
  const loaded = (image) => new Promise((there) => { image.onload = image.onerror = () => there(); });
  await Promise.all(seen.filter((image) => !image.complete).map(loaded));
  return seen.map((image) => image.src);
}"""


@dataclass
class Loaded:
    """Bytes of each address: on the wire, with headers; and unpacked."""

    wire: Counter[str] = field(default_factory=Counter)
    unpacked: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> int:
        return max(self.wire.total(), self.unpacked.total())

    def told(self) -> str:
        largest = ", ".join(f"{address} {size}" for address, size in self.wire.most_common(5))
        return f"{self.wire.total()} bytes on the wire, {self.unpacked.total()} unpacked: {largest}"


class Meter:
    """Counts what is loaded for what a person sees before they scroll. The stream of news does not count: it never ends."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._addresses: dict[str, str] = {}
        self._pictures: set[str] = set()
        self._loaded = Loaded()
        self._session.on("Network.responseReceived", self._response)
        self._session.on("Network.dataReceived", self._data)
        self._session.on("Network.loadingFinished", self._finished)
        self._session.send("Network.enable")
        self._session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def load(self, url: str) -> Loaded:
        """Loads the page anew, with the pictures that are in sight: a browser fetches others ahead, as many as it has time for."""
        self._loaded = Loaded()
        self._page.goto(url, wait_until="load")
        unseen = self._pictures - set(self._page.evaluate(_ALL_SEEN))
        for address in unseen:
            self._loaded.wire.pop(address, None)
            self._loaded.unpacked.pop(address, None)
        return self._loaded

    def throttle(self, latency_ms: float, down_kbps: float, up_kbps: float, cpu: float) -> None:
        """As DevTools do it: the latency is added to each request, the processor is so many times slower."""
        conditions = {"latency": latency_ms, "downloadThroughput": down_kbps * 125, "uploadThroughput": up_kbps * 125, "offline": False}
        self._session.send("Network.emulateNetworkConditions", conditions)
        self._session.send("Emulation.setCPUThrottlingRate", {"rate": cpu})

    def _response(self, event: dict[str, Any]) -> None:
        response = event["response"]
        if response["mimeType"] != _STREAM:
            self._addresses[event["requestId"]] = response["url"]
        if event["type"] == "Image":
            self._pictures.add(response["url"])

    def _data(self, event: dict[str, Any]) -> None:
        if (address := self._addresses.get(event["requestId"])) is not None:
            self._loaded.unpacked[address] += event["dataLength"]

    def _finished(self, event: dict[str, Any]) -> None:
        if (address := self._addresses.get(event["requestId"])) is not None:
            self._loaded.wire[address] += int(event["encodedDataLength"])
