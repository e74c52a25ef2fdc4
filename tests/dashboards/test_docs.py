"""docs/home-assistant: what it names exists, its files are YAML, and the access rules it gives let the dashboard work."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.dashboards.discovery import Announced, AnnouncedPrinter, agent_payload, printer_payload
from agent.dashboards.happenings import TYPES
from agent.dashboards.states import Account, PrinterLook, agent_state, printer_state
from agent.domain.overview import Overview
from agent.domain.printer import PrinterObservation, PrinterState
from tests.dashboards.scene import Shopfront, T, broker_of, reading, showing
from tests.dashboards.test_payloads import NOW, _facts
from tests.rigs.mosquitto import running_mosquitto

DOCS = Path(__file__).parents[2] / "docs/home-assistant"
README = (DOCS / "README.md").read_text()
ABOUT = Announced(T, "1", commands=True, switchable=True, accepts_by_itself=True, currencies=["EUR"])
MK3S = AnnouncedPrinter("mk3s", "m", warm=True, camera=True, layers=True)
ENTITIES = {
    component["default_entity_id"]
    for payload in (agent_payload(ABOUT), printer_payload(ABOUT, MK3S))
    for component in payload["cmps"].values()
    if "default_entity_id" in component
}


class _Loader(yaml.SafeLoader):
    """With Home Assistant's own `!input`."""


_Loader.add_constructor("!input", lambda loader, node: f"!input {loader.construct_scalar(node)}")  # type: ignore[arg-type]


def loaded(name: str) -> Any:
    return yaml.load((DOCS / name).read_text(), _Loader)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def test_the_dashboard_shows_entities_that_exist() -> None:
    named = {text for text in _texts(loaded("dashboard.yaml")) if re.fullmatch(r"[a-z_]+\.intagly_\w+", text)}
    assert len(named) > 10
    assert named <= ENTITIES


def test_the_blueprint_uses_its_inputs_and_answers_the_order_that_was_shown() -> None:
    blueprint = loaded("offer-to-phone.yaml")
    used = {text.removeprefix("!input ") for text in _texts(blueprint) if text.startswith("!input ")}
    assert used == set(blueprint["blueprint"]["input"])
    text = (DOCS / "offer-to-phone.yaml").read_text()
    assert set(re.findall(r"event_type'\) == '(\w+)'", text)) <= set(TYPES)
    (published,) = [action["data"] for action in blueprint["actions"] if action.get("action") == "mqtt.publish"]
    assert published["payload"].endswith("{{ order }}")
    assert published["retain"] is False


def test_every_type_of_event_is_explained_and_none_that_is_not_there() -> None:
    part = README.split("The types of events: ")[1].split("An event is sent once")[0]
    assert set(re.findall(r"`(\w+)`", part)) == set(TYPES)


@pytest.mark.parametrize("of", ["agent", "printer"])
def test_every_key_of_a_state_is_explained(of: str) -> None:
    if of == "agent":
        row, state = "| `intagly/garage/state`", set(agent_state(Overview(), [], Account()))
    else:
        look = PrinterLook(facts=_facts(), seen=PrinterObservation(state=PrinterState.IDLE))
        row, state = "| `intagly/garage/printer/mk3s/state`", set(printer_state(look, NOW))
    (line,) = [line for line in README.splitlines() if line.startswith(row)]
    explained = set(re.findall(r"`(\w+)`", line))
    assert explained <= state
    missing = {key for key in state - explained if not key.startswith("waiting_")}
    assert missing == set()


def test_every_topic_in_the_table_is_one() -> None:
    P = T.printer("mk3s")  # noqa: N806
    known = {T.availability, T.state, T.event, T.trigger, T.update, P.availability, P.state, P.preview, P.snapshot, P.command}
    known |= {T.command(about) for about in ("offer", "online", "auto_accept", "notify")}
    assert set(re.findall(r"^\| `([^`]+)`", README, re.MULTILINE)) == known


async def test_with_the_access_rules_that_are_given_it_works(tmp_path: Path, shop: Shopfront) -> None:
    (rules,) = re.findall(r"```\n(user homeassistant\n.*?)```", README, re.DOTALL)
    (tmp_path / "acl").write_text(rules)
    with running_mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
        for user in ("homeassistant", "intagly"):
            broker.add_user(user, broker.password)
        broker.username = "homeassistant"
        async with showing(broker_of(broker, username="intagly"), shop):
            with reading(broker, "homeassistant/device/#", "intagly/#") as reader:
                await reader.until(lambda: reader.has(T.state, status="idle") and reader.latest.get(T.discovery))
                reader.client.publish(T.command("notify"), "hello", 1)
                await reader.until(lambda: shop.inbox.notices)
