"""Home Assistant's rules for discovery payloads and states, written down from its documentation and from what a running one did.

`broken(payload, ...)` names every rule that is not kept. Nothing here knows how the product makes its payloads.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

Json = Mapping[str, Any]
TOPIC = re.compile(r"[A-Za-z0-9_-]+/device/(?:[A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+/config")
ENTITY_ID = re.compile(r"[a-z_]+\.[a-z0-9]+(_[a-z0-9]+)*")
UNITS = {
    "temperature": {"°C", "°F", "K"},
    "duration": {"s", "min", "h", "d", "ms"},
    "weight": {"g", "kg", "mg", "oz", "lb"},
    "monetary": None,
    "timestamp": set(),
    "enum": set(),
}
"""Device class of a sensor -> its units; None: a currency."""
STATE_CLASSES = {"measurement", "total", "total_increasing"}
BINARY_CLASSES = {"problem", "connectivity", "running", "power"}
CATEGORIES = {
    **{platform: {"diagnostic"} for platform in ("sensor", "binary_sensor", "image", "camera", "event")},
    **{platform: {"config", "diagnostic"} for platform in ("switch", "button", "update", "notify")},
}
REQUIRED = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "switch": {"cmd_t"},
    "button": {"cmd_t"},
    "notify": {"cmd_t"},
    "event": {"state_topic", "event_types"},
    "update": {"state_topic"},
    "camera": {"topic"},
    "image": set(),
    "device_automation": {"atype", "type", "subtype", "topic"},
}
KNOWN = {
    *("p", "unique_id", "default_entity_id", "name", "state_topic", "val_tpl", "device_class", "unit_of_meas", "state_class", "options"),
    *("json_attr_t", "json_attr_tpl", "ent_cat", "ic", "en", "avty", "cmd_t", "pl_prs", "pl_on", "pl_off", "topic", "pl", "atype", "type"),
    *("subtype", "event_types", "image_topic", "url_topic", "content_type", "title", "suggested_display_precision"),
    "last_reset_value_template",
}
DICT_METHODS = {"clear", "items", "keys", "values", "get", "pop", "update", "copy"}
_HA = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
_HA.filters["tojson"] = lambda value: json.dumps(value)


def broken(topic: str, payload: Json) -> list[str]:
    """Of one device's discovery."""
    said = []
    if not TOPIC.fullmatch(topic):
        said.append(f"illegal topic {topic}")
    device, origin = payload.get("dev", {}), payload.get("o", {})
    if not device.get("ids") or not device.get("name"):
        said.append("a device has identifiers and a name")
    if not origin.get("name"):
        said.append("origin.name is required: the whole payload is refused")
    if not payload.get("cmps"):
        said.append("no components")
    for key, component in payload.get("cmps", {}).items():
        said += [f"{key}: {rule}" for rule in _component(component)]
    ids = [component["unique_id"] for component in payload["cmps"].values() if "unique_id" in component]
    if len(set(ids)) != len(ids):
        said.append("two components have one unique_id")
    return said


def _component(component: Json) -> list[str]:
    platform = component.get("p")
    if platform not in REQUIRED:
        return [f"no platform {platform}"]
    said = [f"{option} is missing" for option in sorted(REQUIRED[platform] - component.keys())]
    said += [f"unknown option {option}" for option in sorted(component.keys() - KNOWN)]
    if platform != "device_automation":
        said += _entity(platform, component)
    elif "unique_id" in component:
        said.append("a device trigger has no unique_id")
    if component.get("retain"):
        said.append("commands are never retained")
    checks = {"sensor": _sensor, "binary_sensor": _binary_sensor, "image": _image, "event": _event}
    return said + (checks[platform](component) if platform in checks else [])


def _entity(platform: str, component: Json) -> list[str]:
    said = []
    if not component.get("unique_id"):
        said.append("unique_id is missing: the whole payload is refused")
    if not component.get("name"):
        said.append("no name")
    if not ENTITY_ID.fullmatch(component.get("default_entity_id", "")) or not component["default_entity_id"].startswith(f"{platform}."):
        said.append(f"no entity id: {component.get('default_entity_id')}")
    category = component.get("ent_cat")
    if category is not None and category not in CATEGORIES[platform]:
        said.append(f"a {platform} takes no entity_category {category}")
    templates = [component.get(option, "") for option in ("val_tpl", "json_attr_tpl", "last_reset_value_template")]
    used = DICT_METHODS.intersection(re.findall(r"value_json\.(\w+)", " ".join(templates)))
    said += [f"a method of a dictionary, not a key: {name}" for name in sorted(used)]
    return said


def _sensor(component: Json) -> list[str]:
    kind, unit, state_class = component.get("device_class"), component.get("unit_of_meas"), component.get("state_class")
    said = []
    if kind is not None and kind not in UNITS:
        said.append(f"no device class {kind}")
    elif kind == "monetary":
        said += [] if re.fullmatch("[A-Z]{3}", unit or "") else ["monetary has a currency"]
        said += [] if state_class in (None, "total") else ["monetary is total"]
    elif kind is not None and (unit not in UNITS[kind] if UNITS[kind] else unit is not None):  # type: ignore[operator]
        said.append(f"{kind} in {unit}")
    if state_class is not None and state_class not in STATE_CLASSES:
        said.append(f"no state class {state_class}")
    if kind in ("enum", "timestamp") and state_class is not None:
        said.append(f"{kind} has no state class")
    if (kind == "enum") != ("options" in component) or len(set(component.get("options", []))) != len(component.get("options", [])):
        said.append("options belong to enum, each once")
    if "last_reset_value_template" in component and state_class != "total":
        said.append("only a total has a last reset")
    return said


def _binary_sensor(component: Json) -> list[str]:
    return [] if component.get("device_class") in BINARY_CLASSES else [f"no class {component.get('device_class')}"]


def _image(component: Json) -> list[str]:
    one = ("image_topic" in component) != ("url_topic" in component)
    return [] if one and not ("url_topic" in component and "content_type" in component) else ["exactly one of image_topic and url_topic"]


def _event(component: Json) -> list[str]:
    types = component.get("event_types", [])
    return [] if types and len(set(types)) == len(types) else ["event_types, each once"]


# --- states -------------------------------------------------------------------------------------------------------------
def bad_values(payload: Json, state_topic: str, state: Json) -> list[str]:
    """Of every entity that this device's state is shown by: what Home Assistant would log, or not show."""
    said = []
    for key, component in payload["cmps"].items():
        for option in ("val_tpl", "json_attr_tpl", "last_reset_value_template"):
            topic = component.get("json_attr_t" if option == "json_attr_tpl" else "state_topic")
            if option in component and topic == state_topic:
                said += [f"{key}.{option}: {rule}" for rule in _rendered(component, option, state)]
    return said


def rendered(template: str, state: Json) -> str:
    """As Home Assistant renders a template over a JSON message: a missing key is an error."""
    text = json.dumps(state)
    return _HA.from_string(template).render(value=text, value_json=json.loads(text))


def _rendered(component: Json, option: str, state: Json) -> list[str]:
    try:
        text = rendered(component[option], state)
    except Exception as error:  # noqa: BLE001 (whatever Jinja says is what would be logged)
        return [f"the template fails: {error!r}"]
    if option == "json_attr_tpl":
        return [] if isinstance(json.loads(text), dict) else ["attributes are an object"]
    if option == "last_reset_value_template":
        return [] if text == "None" or _zoned(text) else [f"no instant with a zone: {text}"]
    return [] if _fits(component, text) else [f"no value of its class: {text!r}"]


def _fits(component: Json, text: str) -> bool:
    """`None` is what null becomes: unknown."""
    if component["p"] in ("binary_sensor", "switch"):
        return text in (component.get("pl_on", "ON"), component.get("pl_off", "OFF"), "None")
    if component["p"] == "update":
        return set(json.loads(text)) >= {"installed_version", "latest_version"}
    if component.get("device_class") == "enum":
        return text in component["options"]
    if text == "None":
        return True
    if component.get("device_class") == "timestamp":
        return _zoned(text)
    if "unit_of_meas" in component or "state_class" in component:
        return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", text) is not None
    return 0 < len(text) <= 255


def _zoned(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
