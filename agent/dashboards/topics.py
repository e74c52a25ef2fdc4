"""The names of all topics, and of what Home Assistant makes of them."""

import hashlib
import re
from dataclasses import dataclass

ONLINE, OFFLINE = "online", "offline"


def slug(name: str) -> str:
    """The name in the signs that Home Assistant takes in a topic of its own; no two names have one slug."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def entity_word(text: str) -> str:
    """A part of an entity id: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


@dataclass(frozen=True)
class PrinterTopics:
    """What concerns one printer. `base` is <prefix>/<agent>/printer/<name>."""

    base: str
    discovery: str

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def preview(self) -> str:
        return f"{self.base}/preview"

    @property
    def snapshot(self) -> str:
        return f"{self.base}/snapshot"

    @property
    def command(self) -> str:
        return f"{self.base}/cmd"

    @property
    def kept(self) -> tuple[str, ...]:
        """All that the broker keeps of it; the discovery comes first, so that nothing is shown of a device that goes."""
        return (self.discovery, self.state, self.preview, self.snapshot, self.availability)


@dataclass(frozen=True)
class Topics:
    """What concerns the agent of that name."""

    agent: str
    prefix: str = "intagly"
    discovery_prefix: str = "homeassistant"

    @property
    def base(self) -> str:
        return f"{self.prefix}/{self.agent}"

    @property
    def node(self) -> str:
        """What Home Assistant knows this agent by."""
        return f"intagly_{slug(self.agent)}"

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def event(self) -> str:
        return f"{self.base}/event"

    @property
    def trigger(self) -> str:
        return f"{self.base}/trigger"

    @property
    def update(self) -> str:
        return f"{self.base}/update"

    def command(self, about: str) -> str:
        return f"{self.base}/cmd/{about}"

    @property
    def discovery(self) -> str:
        return f"{self.discovery_prefix}/device/{self.node}/agent/config"

    @property
    def home_assistant(self) -> str:
        """Where Home Assistant says that it has come up."""
        return f"{self.discovery_prefix}/status"

    def printer(self, name: str) -> PrinterTopics:
        discovery = f"{self.discovery_prefix}/device/{self.node}/printer-{slug(name)}/config"
        return PrinterTopics(f"{self.base}/printer/{name}", discovery)

    def printer_in(self, topic: str) -> str | None:
        """The printer's name in one of its topics; None where it is none of these."""
        found = re.fullmatch(rf"{re.escape(self.base)}/printer/([^/]+)/[a-z]+", topic)
        return found[1] if found else None

    @property
    def heard(self) -> list[str]:
        """What the dashboard subscribes to, besides commands: Home Assistant's birth, and what an earlier life left on the broker."""
        return [
            self.home_assistant,
            f"{self.discovery_prefix}/device/{self.node}/+/config",
            f"{self.base}/printer/+/availability",
        ]

    @property
    def commands(self) -> list[str]:
        return [f"{self.base}/cmd/+", f"{self.base}/printer/+/cmd"]
