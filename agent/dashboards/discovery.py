"""What Home Assistant is told, so that it finds the devices by itself: one payload for the agent, one for each printer.

The rules are Home Assistant's own, seen with 2026.11.0: short keys are its abbreviations; a missing `unique_id` or origin loses the whole
payload; templates name keys in brackets, for `value_json.clear` would be a method of a dictionary. Commands are never retained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.dashboards import happenings, words
from agent.dashboards.topics import OFFLINE, ONLINE, Topics, entity_word, slug
from agent.domain.question import Step

Component = dict[str, Any]
Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Announced:
    """What the agent's device has. `url`: of the web page; empty where there is none. `currencies`: those something was earned in."""

    topics: Topics
    version: str
    language: words.Language = "en"
    url: str = ""
    commands: bool = False
    switchable: bool = False
    """There is a marketplace that can be told to send no offers."""
    accepts_by_itself: bool = False
    """The configuration lets the agent answer offers; so that can be switched off, and on again."""
    currencies: Sequence[str] = ()


@dataclass(frozen=True)
class AnnouncedPrinter:
    """What a printer's device has. `camera`, `layers`: it has told one at least once."""

    name: str
    model: str
    warm: bool = False
    """It tells how warm it is."""
    camera: bool = False
    layers: bool = False


class _Entities:
    """The components of one device."""

    def __init__(self, about: Announced, device: str, state_topic: str) -> None:
        self._about, self._device, self._state_topic = about, device, state_topic
        self.found: dict[str, Component] = {}

    def add(self, platform: str, key: str, *, called: str = "", **options: Any) -> None:
        """`called`: the key of its name, where that is another."""
        identity = self._device.replace(".", "_")
        self.found[key] = {
            "p": platform,
            "unique_id": f"{self._device}.{key}",
            "default_entity_id": f"{platform}.{entity_word(f'{identity}_{key}')}",
            "name": words.name(called or key, self._about.language),
            **options,
        }

    def shows(self, platform: str, key: str, *, called: str = "", **options: Any) -> None:
        """One that shows a key of the device's state."""
        self.add(platform, key, called=called, state_topic=self._state_topic, val_tpl=_value(key), **options)

    def one_of(self, key: str, **options: Any) -> None:
        """A sensor that is in one of several states, shown in the operator's language."""
        shown = words.shown(key, self._about.language)
        template = f"{{{{ {shown!r}[value_json['{key}']] }}}}"
        self.add(
            "sensor",
            key,
            state_topic=self._state_topic,
            val_tpl=template,
            device_class="enum",
            options=list(shown.values()),
            **options,
        )

    def with_attributes(self, key: str, attributes: Mapping[str, str]) -> None:
        """Attribute -> key of the state."""
        pairs = ", ".join(f"'{name}': value_json['{of}']" for name, of in attributes.items())
        self.found[key] |= {"json_attr_t": self._state_topic, "json_attr_tpl": f"{{{{ {{{pairs}}} | tojson }}}}"}


def agent_payload(about: Announced) -> Payload:
    topics, entities = about.topics, _Entities(about, about.topics.node, about.topics.state)
    _add_orders(entities, about)
    _add_agent_health(entities, about)
    if about.commands:
        _add_answers(entities, about)
    entities.add("event", "order_event", state_topic=topics.event, event_types=list(happenings.TYPES))
    entities.add(
        "update",
        "update",
        state_topic=topics.update,
        val_tpl="{{ value }}",
        device_class="firmware",
        ent_cat="config",
        title="intagly-agent",
    )
    triggers = {
        f"trigger_{kind}": {
            "p": "device_automation",
            "atype": "trigger",
            "type": kind,
            "subtype": "order",
            "topic": topics.trigger,
            "pl": kind,
        }
        for kind in happenings.TRIGGERS
    }
    device = {
        "ids": [topics.node],
        "name": words.agent_name(topics.agent, about.language),
        "mf": "intagly",
        "mdl": "intagly-agent",
        "sw": about.version,
        **({"cu": about.url} if about.url else {}),
    }
    return _payload(about, device, [topics.availability], {**entities.found, **triggers})


def printer_payload(about: Announced, printer: AnnouncedPrinter) -> Payload:
    """Available where both the agent and the printer are; only `online` needs no more than the agent, else it could never say off."""
    topics = about.topics.printer(printer.name)
    identity = f"{about.topics.node}.{slug(printer.name)}"
    entities = _Entities(about, identity, topics.state)
    _add_print(entities)
    _add_printer_health(entities, about, topics.availability)
    if printer.layers:
        entities.shows("sensor", "layer")
        entities.shows("sensor", "layers", ent_cat="diagnostic", en=False)
    if printer.warm:
        _add_warmth(entities)
    if about.commands:
        for key in ("pause", "resume", "cancel", "bed_cleared"):
            entities.add("button", key, cmd_t=topics.command, pl_prs=key.upper())
    entities.add("image", "preview", image_topic=topics.preview, content_type="image/png")
    if printer.camera:
        entities.add("image", "snapshot", image_topic=topics.snapshot, content_type="image/jpeg")
        entities.add("camera", "camera", topic=topics.snapshot)
    device = {
        "ids": [identity],
        "name": printer.name,
        "mdl": printer.model,
        "via_device": about.topics.node,
        **({"cu": f"{about.url}/printers"} if about.url else {}),
    }
    return _payload(about, device, [about.topics.availability, topics.availability], entities.found)


def _payload(about: Announced, device: Payload, availability: Sequence[str], components: Mapping[str, Component]) -> Payload:
    return {
        "dev": device,
        "o": {"name": "intagly-agent", "sw": about.version},
        "avty": [{"t": topic} for topic in availability],
        "avty_mode": "all",
        "qos": 1,
        "cmps": components,
    }


# --- the agent ----------------------------------------------------------------------------------------------------------
def _add_orders(entities: _Entities, about: Announced) -> None:
    orders = {"unit_of_meas": words.unit("orders", about.language), "state_class": "measurement"}
    entities.one_of("status", ic="mdi:printer-3d")
    for key in ("waiting", *(f"waiting_{step.name.lower()}" for step in Step), "open_orders", "to_print"):
        entities.shows("sensor", key, **orders)
    entities.with_attributes("waiting_offer", {"orders": "offers", "next": "offer", "payout": "offer_payout", "until": "offer_until"})
    entities.shows("sensor", "deadline", device_class="timestamp")
    for currency in about.currencies:
        entities.shows(
            "sensor",
            f"earnings_{currency.lower()}",
            called="earnings",
            device_class="monetary",
            unit_of_meas=currency,
            state_class="total",
            last_reset_value_template=_value("earnings_since"),
            suggested_display_precision=2,
        )


def _add_agent_health(entities: _Entities, about: Announced) -> None:
    entities.shows("binary_sensor", "attention", device_class="problem")
    if about.switchable:
        entities.shows("binary_sensor", "connected", device_class="connectivity", ent_cat="diagnostic")


def _add_answers(entities: _Entities, about: Announced) -> None:
    command = about.topics.command
    entities.add("button", "accept", cmd_t=command("offer"), pl_prs="ACCEPT")
    entities.add("button", "decline", cmd_t=command("offer"), pl_prs="DECLINE")
    entities.add("notify", "message", cmd_t=command("notify"))
    if about.switchable:
        entities.shows("switch", "accepting", cmd_t=command("online"), ic="mdi:store")
    if about.accepts_by_itself:
        entities.shows("switch", "auto_accept", cmd_t=command("auto_accept"), ent_cat="config")


# --- a printer ----------------------------------------------------------------------------------------------------------
def _add_print(entities: _Entities) -> None:
    entities.one_of("state", ic="mdi:printer-3d-nozzle")
    entities.shows("sensor", "order")
    entities.shows("sensor", "job", ent_cat="diagnostic")
    entities.shows("sensor", "progress", unit_of_meas="%", state_class="measurement", suggested_display_precision=0)
    entities.shows("sensor", "remaining", device_class="duration", unit_of_meas="s", suggested_display_precision=0)
    entities.shows("sensor", "eta", device_class="timestamp")
    entities.shows("sensor", "filament", device_class="weight", unit_of_meas="g", state_class="measurement", suggested_display_precision=0)
    entities.with_attributes("filament", {"spools": "materials"})


def _add_printer_health(entities: _Entities, about: Announced, availability: str) -> None:
    entities.one_of("bed_state")
    entities.shows("sensor", "reason", ent_cat="diagnostic")
    entities.shows("binary_sensor", "must_be_cleared", device_class="problem")
    entities.shows("binary_sensor", "attention", device_class="problem")
    entities.add(
        "binary_sensor",
        "online",
        state_topic=availability,
        pl_on=ONLINE,
        pl_off=OFFLINE,
        avty=[{"t": about.topics.availability}],
        device_class="connectivity",
        ent_cat="diagnostic",
    )


def _add_warmth(entities: _Entities) -> None:
    degrees: dict[str, Any] = {
        "device_class": "temperature",
        "unit_of_meas": "°C",
        "state_class": "measurement",
        "suggested_display_precision": 0,
    }
    entities.shows("sensor", "nozzle", **degrees)
    entities.shows("sensor", "bed", **degrees)
    entities.shows("sensor", "nozzle_target", ent_cat="diagnostic", en=False, **degrees)
    entities.shows("sensor", "bed_target", ent_cat="diagnostic", en=False, **degrees)


def _value(key: str) -> str:
    return f"{{{{ value_json['{key}'] }}}}"
