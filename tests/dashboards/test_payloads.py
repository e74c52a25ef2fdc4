"""Whatever the shop's state, what Home Assistant is sent keeps its rules: the payloads, and every value in them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dashboards.discovery import Announced, AnnouncedPrinter, agent_payload, printer_payload
from agent.dashboards.happenings import TRIGGERS, TYPES, happening
from agent.dashboards.states import Account, PrinterLook, agent_state, encoded, printer_state, update_state
from agent.dashboards.topics import Topics, slug
from agent.dashboards.words import NAMES, STATES
from agent.domain.events import Event
from agent.domain.job import Job, JobState
from agent.domain.overview import Overview, WaitingOffer
from agent.domain.printer import BedState, LoadedMaterial, PrinterFacts, PrinterObservation, PrinterState, Temperatures
from agent.domain.question import Step
from agent.domain.values import Color, Money
from agent.ports.ledger import Bed
from tests.dashboards.rules import bad_values, broken, rendered

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
"""What the configuration takes for a name."""
numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=400)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
moneys = st.builds(Money, amount=st.decimals(0, 10**9, places=2), currency=st.sampled_from(["EUR", "USD"]))
announced = st.builds(
    Announced,
    topics=st.builds(Topics, agent=names),
    version=st.just("1.2.3"),
    language=st.sampled_from(["en", "de"]),
    url=st.sampled_from(["", "http://garage.local:8410"]),
    commands=st.booleans(),
    switchable=st.booleans(),
    accepts_by_itself=st.booleans(),
    currencies=st.sampled_from([[], ["EUR"], ["EUR", "USD"]]),
)
announced_printers = st.builds(
    AnnouncedPrinter, name=names, model=st.just("octoprint (prusa-mk3s)"), warm=st.booleans(), camera=st.booleans(), layers=st.booleans()
)
facts = st.builds(
    PrinterFacts,
    name=st.just("mk3s"),
    kind=st.just("virtual"),
    profile=st.just("prusa-mk3s"),
    slicer=st.just("prusaslicer"),
    bed_mm=st.just((250, 210, 210)),
    nozzle_mm=st.just(0.4),
    materials=st.lists(
        st.builds(
            LoadedMaterial,
            material=st.just("PLA"),
            color=st.builds(Color, name=st.text(min_size=1, max_size=50).filter(lambda text: text.strip().isprintable() and text.strip())),
            remaining_g=st.none() | st.floats(0, 10_000),
        ),
        max_size=3,
    ),
    profile_materials=st.just(["PLA"]),
)
observations = st.builds(
    PrinterObservation,
    state=st.sampled_from(PrinterState),
    remote_name=words,
    progress=numbers,
    seconds_left=st.none() | st.integers(-(10**12), 10**12),
    layer=st.none() | st.integers(0, 10**6),
    layers=st.none() | st.integers(0, 10**6),
    reason=words,
    needs_attention=st.booleans(),
)
jobs = st.builds(
    Job,
    id=st.just(1),
    order_id=st.just("o2ab3cd4e"),
    plate=st.just(1),
    attempt=st.just(1),
    printer=st.just("mk3s"),
    remote_name=st.just("o2ab3cd4e-1-1-abcdef01.gcode"),
    gcode_sha256=st.just("a" * 64),
    state=st.sampled_from(JobState),
    version=st.just(1),
)
beds = st.builds(Bed, printer=st.just("mk3s"), state=st.sampled_from(BedState), since=instants, said_by=words)
warmths = st.builds(Temperatures, **dict.fromkeys(("nozzle_c", "nozzle_target_c", "bed_c", "bed_target_c"), st.none() | numbers))
looks = st.builds(
    PrinterLook, facts=facts, seen=observations, job=st.none() | jobs, bed=st.none() | beds, warmth=st.none() | warmths, before=st.just({})
)
overviews = st.builds(
    Overview,
    waits=st.dictionaries(st.sampled_from(Step), st.integers(1, 10_000)),
    offers=st.lists(
        st.builds(
            WaitingOffer, question_id=st.just(1), order_id=st.just("o1"), marketplace=st.just("m"), payout=moneys, accept_by=instants
        ),
        max_size=3,
    ),
    open_orders=st.integers(0, 10_000),
    to_print=st.integers(0, 10_000),
    deadline=st.none() | instants,
)
maybe = st.none() | st.booleans()
FEW = settings(max_examples=30)
"""Each makes all payloads of a device, and renders every template in them."""


@FEW
@given(announced)
def test_the_agents_payload_keeps_the_rules(about: Announced) -> None:
    payload = json.loads(encoded(agent_payload(about)))
    assert broken(about.topics.discovery, payload) == []
    assert [t["t"] for t in payload["avty"]] == [about.topics.availability]
    platforms = {component["p"] for component in payload["cmps"].values()}
    assert ("button" in platforms, "notify" in platforms) == (about.commands, about.commands)
    assert about.commands or "cmd_t" not in json.dumps(payload), "without commands nothing can be pressed"


@FEW
@given(announced, announced_printers)
def test_a_printers_payload_keeps_the_rules(about: Announced, printer: AnnouncedPrinter) -> None:
    topics = about.topics.printer(printer.name)
    payload = json.loads(encoded(printer_payload(about, printer)))
    assert broken(topics.discovery, payload) == []
    assert payload["dev"]["via_device"] == about.topics.node
    assert [t["t"] for t in payload["avty"]] == [about.topics.availability, topics.availability]
    assert payload["avty_mode"] == "all"
    online = payload["cmps"]["online"]
    assert [t["t"] for t in online["avty"]] == [about.topics.availability], "else it could never say off"
    assert ("camera" in payload["cmps"]) == printer.camera


@FEW
@given(announced, announced_printers, looks)
def test_a_printers_state_is_complete_and_every_value_is_of_its_class(
    about: Announced, printer: AnnouncedPrinter, look: PrinterLook
) -> None:
    payload, topic = printer_payload(about, printer), about.topics.printer(printer.name).state
    state = json.loads(encoded(printer_state(look, NOW)))
    assert bad_values(payload, topic, state) == []


@FEW
@given(announced, overviews, st.lists(looks, max_size=2), maybe, maybe, maybe, st.none() | instants, st.decimals(0, 10**9, places=2))
def test_the_agents_state_is_complete_and_every_value_is_of_its_class(
    about: Announced,
    overview: Overview,
    of_printers: list[PrinterLook],
    connected: bool | None,
    accepting: bool | None,
    auto: bool | None,
    since: datetime | None,
    amount: Decimal,
) -> None:
    account = Account(connected, accepting, auto, dict.fromkeys(about.currencies, amount), since)
    state = json.loads(encoded(agent_state(overview, of_printers, account)))
    assert bad_values(agent_payload(about), about.topics.state, state) == []
    assert bad_values(agent_payload(about), about.topics.update, json.loads(encoded(update_state("1.0", "1.1")))) == []


@FEW
@given(st.lists(names, min_size=2, max_size=8, unique=True))
def test_no_two_printers_share_a_topic_or_an_id(printers: list[str]) -> None:
    about = Announced(Topics("garage"), "1")
    assert len({about.topics.printer(name).discovery for name in printers}) == len(printers)
    ids = [
        component["unique_id"]
        for name in printers
        for component in printer_payload(about, AnnouncedPrinter(name, "m"))["cmps"].values()
        if "unique_id" in component
    ] + [component["unique_id"] for component in agent_payload(about)["cmps"].values() if "unique_id" in component]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["mk3s.left", "mk3s_left", "mk3s-left", "Mk3s.left", "a/b"])
def test_a_slug_is_of_home_assistants_signs(name: str) -> None:
    assert broken(f"homeassistant/device/{slug(name)}/x/config", {"dev": {"ids": ["x"], "name": "x"}, "o": {"name": "x"}, "cmps": {}}) == [
        "no components"
    ]


def test_every_word_is_there_in_both_languages_and_no_two_states_look_alike() -> None:
    assert all(english and german for english, german in NAMES.values())
    for states in STATES.values():
        assert len({german for _, german in states.values()}) == len({english for english, _ in states.values()}) == len(states)
    assert set(STATES["state"]) == {state.value for state in PrinterState}
    assert set(STATES["bed_state"]) == {state.value for state in BedState}


def test_a_german_sees_german_over_the_same_values() -> None:
    look = PrinterLook(facts=_facts(), seen=PrinterObservation(state=PrinterState.PRINTING, progress=0.4237, seconds_left=5421))
    state = printer_state(look, NOW)
    shown = {
        language: rendered(
            printer_payload(Announced(Topics("garage"), "1", language), AnnouncedPrinter("mk3s", "m"))["cmps"]["state"]["val_tpl"], state
        )
        for language in ("en", "de")
    }
    assert (state["state"], shown) == ("printing", {"en": "printing", "de": "druckt"})
    assert (state["progress"], state["remaining"], state["eta"]) == (42.4, 5430, "2026-11-27T13:30:21+00:00")


def test_what_is_not_known_is_null() -> None:
    state = printer_state(PrinterLook(facts=_facts(), seen=PrinterObservation(state=PrinterState.OFFLINE)), NOW)
    assert {key for key, value in state.items() if value is None} == {
        *(
            "order",
            "job",
            "progress",
            "remaining",
            "eta",
            "layer",
            "layers",
            "nozzle",
            "nozzle_target",
            "bed",
            "bed_target",
            "filament",
            "reason",
        )
    }


def test_an_estimate_that_hardly_moves_is_no_news() -> None:
    look = PrinterLook(facts=_facts(), seen=PrinterObservation(state=PrinterState.PRINTING, seconds_left=600))
    first = printer_state(look, NOW)
    later = PrinterLook(facts=look.facts, seen=look.seen, before=first)
    assert printer_state(later, NOW + timedelta(seconds=60))["eta"] == first["eta"]
    assert printer_state(later, NOW + timedelta(seconds=200))["eta"] > str(first["eta"])


@pytest.mark.parametrize(
    ("bed", "busy", "must"),
    [
        (BedState.FREE, False, "OFF"),
        (BedState.OCCUPIED, False, "ON"),
        (BedState.OCCUPIED, True, "OFF"),
        (BedState.UNKNOWN, False, "ON"),
        (None, False, "ON"),
    ],
)
def test_a_bed_must_be_cleared_where_nobody_knows_it_to_be_free_and_nothing_prints(bed: BedState | None, busy: bool, must: str) -> None:
    known = Bed(printer="mk3s", state=bed, since=NOW, said_by="Ada") if bed is not None else None
    seen = PrinterObservation(state=PrinterState.PRINTING if busy else PrinterState.IDLE)
    assert printer_state(PrinterLook(facts=_facts(), seen=seen, bed=known), NOW)["must_be_cleared"] == must


def _event(kind: str, **data: object) -> Event:
    return Event(order_id="o1", n=1, at=NOW, kind=kind, data=data, prev_hash="", hash="")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (_event("offered", payout="12.50 EUR", offer_id="f1"), "offer_received"),
        (_event("asked", step="offer", text="Make it?"), "offer_asks"),
        (_event("asked", step="photos"), "ready_for_photos"),
        (_event("asked", step="bed", printer="mk3s"), "bed_to_clear"),
        (_event("asked", step="no such step"), None),
        (_event("accepted"), "offer_accepted"),
        (_event("declined"), "offer_declined"),
        (_event("print_finished", job="a.gcode"), "print_finished"),
        (_event("print_failed", why="thermal runaway"), "print_failed"),
        (_event("print_paused", why="mk3s: paused"), "print_paused"),
        (_event("print_paused", why="the filament has run out"), "filament_runout"),
        (_event("reminded", step="packed", ship_by="2026-11-28T12:00:00+00:00"), "deadline_near"),
        (_event("promise_will_break", why="late", late_by_s=60), "deadline_near"),
        (_event("on_hold", reason="bug", text="…"), "needs_you"),
        (_event("uploaded"), None),
    ],
)
def test_what_happened_is_told_by_its_type(event: Event, told: str | None) -> None:
    found = happening(event)
    assert (found["event_type"] if found else None) == told
    assert found is None or (found["order"], found["event_type"] in TYPES) == ("o1", True)


@FEW
@given(st.sampled_from(["offered", "asked", "on_hold", "print_failed"]), st.dictionaries(words, words | st.integers() | st.lists(words)))
def test_whatever_an_event_holds_is_told_in_one_line(kind: str, data: dict[str, object]) -> None:
    found = happening(_event(kind, **{**data, "why": data.get("why", "a\nb")}))
    if found is not None:
        assert found["event_type"] in TYPES
        assert all("\n" not in value for value in found.values() if isinstance(value, str))
        json.loads(encoded(found))


def test_a_trigger_is_for_something_that_can_happen() -> None:
    assert set(TRIGGERS) <= set(TYPES)


def test_the_rules_find_what_is_wrong() -> None:
    """The check itself: each of these was refused, dropped or not shown by a running Home Assistant."""
    about = Announced(Topics("garage"), "1", commands=True)
    good = json.loads(encoded(printer_payload(about, AnnouncedPrinter("mk3s", "m", warm=True))))
    topic = about.topics.printer("mk3s").discovery

    def wrong(key: str, **changed: object) -> list[str]:
        return broken(topic, {**good, "cmps": {**good["cmps"], key: {**good["cmps"][key], **changed}}})

    assert broken(topic, good) == []
    assert broken(topic.replace("mk3s", "mk 3s"), good)
    assert broken(topic, {**good, "o": {}})
    assert wrong("state", unique_id="")
    assert wrong("progress", options=["a"])
    assert wrong("state", state_class="measurement")
    assert wrong("nozzle", unit_of_meas="%")
    assert wrong("progress", ent_cat="config")
    assert wrong("order", val_tpl="{{ value_json.clear }}")
    assert wrong("preview", url_topic="x")
    assert wrong("pause", retain=True)
    assert bad_values(good, about.topics.printer("mk3s").state, {"state": "melted"})


def _facts() -> PrinterFacts:
    return PrinterFacts(
        name="mk3s",
        kind="virtual",
        profile="prusa-mk3s",
        slicer="prusaslicer",
        bed_mm=(250, 210, 210),
        nozzle_mm=0.4,
        materials=[],
        profile_materials=["PLA"],
    )
