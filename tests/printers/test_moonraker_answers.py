"""What the Moonraker adapter makes of every answer there is, good and bad. A real broker, and a peer that answers as told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agent.domain.errors import AgentError, Refused, Transient
from agent.domain.printer import PrinterState, Temperatures
from agent.printers.moonraker import printer as adapter
from agent.printers.moonraker import rpc
from agent.printers.moonraker.printer import MoonrakerPrinter
from tests.printers.moonraker_peer import INFO, NAME, No, Peer, printer_at, stats, web_of
from tests.printers.wire import Wire

HISTORY = [
    {"filename": "again.gcode", "status": "cancelled"},
    {"filename": "lost.gcode", "status": "klippy_disconnect"},
    {"filename": "halted.gcode", "status": "klippy_shutdown"},
    {"filename": "bad.gcode", "status": "error"},
    {"filename": "cut.gcode", "status": "interrupted"},
    {"filename": "left.gcode", "status": "server_exit"},
    {"filename": "new.gcode", "status": "haunted"},
    {"filename": "runs.gcode", "status": "in_progress"},
    {"filename": "again.gcode", "status": "completed"},
    {"filename": None, "status": "completed"},
]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(web_of()) as running:
        yield running


@pytest.fixture
async def printer(peer: Peer, wire: Wire) -> AsyncIterator[MoonrakerPrinter]:
    async with printer_at(peer, wire.url) as entered:
        yield entered


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of seconds as tenths."""
    monkeypatch.setattr(rpc, "ANSWER_S", 0.4)
    monkeypatch.setattr(rpc, "AWAY_ANSWER_S", 0.4)
    monkeypatch.setattr(adapter, "ACT_S", 0.4)


# --- how it stands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state", "name", "told"),
    [
        (stats(), PrinterState.IDLE, "", ""),
        (stats("standby", NAME), PrinterState.IDLE, "", ""),
        (stats("printing", NAME), PrinterState.PRINTING, NAME, ""),
        (stats("paused", NAME), PrinterState.PAUSED, NAME, "paused at the printer"),
        (stats("complete", NAME), PrinterState.FINISHED, NAME, ""),
        (stats("cancelled", NAME), PrinterState.CANCELLED, NAME, "cancelled"),
        (
            stats("error", NAME, message="Extrude below minimum temp\nSee the manual"),
            PrinterState.FAILED,
            NAME,
            "Extrude below minimum temp",
        ),
        (stats("error", NAME, message=None), PrinterState.FAILED, NAME, "no reason"),
        (stats("printing", "their parts/ä \x1b[2J.gcode"), PrinterState.PRINTING, "their parts/ä \ufffd[2J.gcode", ""),
        (
            stats("printing", NAME, webhooks="shutdown", told="MCU 'mcu' shutdown: X\nmore"),
            PrinterState.FAILED,
            NAME,
            "MCU 'mcu' shutdown: X",
        ),
        (stats("paused", NAME, webhooks="shutdown", told="lost"), PrinterState.FAILED, NAME, "lost"),
        (stats("complete", NAME, webhooks="shutdown", told="lost"), PrinterState.OFFLINE, "", "lost"),
        (stats("standby", webhooks="shutdown", told="x" * 9000), PrinterState.OFFLINE, "", "xxx"),
        (stats("standby", webhooks="startup", told="Printer is not ready"), PrinterState.OFFLINE, "", "Printer is not ready"),
        (stats("standby", webhooks="error", told="Option 'a' is wrong"), PrinterState.OFFLINE, "", "Option 'a' is wrong"),
        (stats("haunted", NAME), PrinterState.OFFLINE, NAME, "'haunted'"),
        ({"status": {}}, PrinterState.OFFLINE, "", "[virtual_sdcard]"),
    ],
)
async def test_observations(printer: MoonrakerPrinter, peer: Peer, answer: object, state: PrinterState, name: str, told: str) -> None:
    peer.answers["printer.objects.query"] = answer
    seen = await printer.observe()
    assert (seen.state, seen.remote_name) == (state, name)
    assert told in seen.reason
    assert seen.needs_attention == (told in ("'haunted'", "[virtual_sdcard]"))
    assert "\n" not in seen.reason
    assert len(seen.reason) < 450


async def test_progress_and_the_time_left(printer: MoonrakerPrinter, peer: Peer) -> None:
    for progress, told, left in ((0.01, 0.01, None), (0.25, 0.25, 300), (7.0, 1.0, 0), (-1.0, 0.0, None)):
        peer.answers["printer.objects.query"] = stats("printing", NAME, progress=progress, print_duration=100.0)
        seen = await printer.observe()
        assert (seen.progress, seen.seconds_left) == (told, left)


@pytest.mark.parametrize(
    ("klippy_state", "told"),
    [("disconnected", "Klipper does not run"), ("startup", "Klipper is starting"), ("haunted", "'haunted'"), ("ready", "gives no status")],
)
@pytest.mark.parametrize("no", [No(-32601, "Method not found"), No(503, "Klippy Host not connected")])
async def test_a_moonraker_without_klipper(printer: MoonrakerPrinter, peer: Peer, no: No, klippy_state: str, told: str) -> None:
    peer.answers |= {"printer.objects.query": no, "server.info": {**INFO, "klippy_state": klippy_state}}
    seen = await printer.observe()
    assert seen.state is PrinterState.OFFLINE
    assert told in seen.reason
    assert seen.needs_attention == (klippy_state != "startup"), "one that starts needs patience"


@pytest.mark.parametrize(
    ("sensors", "told"),
    [
        ({"filament_switch_sensor a": {"enabled": True, "filament_detected": False}}, "out of filament (filament_switch_sensor a)"),
        ({"filament_motion_sensor b": {"enabled": True, "filament_detected": False}}, "out of filament (filament_motion_sensor b)"),
        ({"filament_switch_sensor a": {"enabled": False, "filament_detected": False}}, "paused at the printer"),
        ({"filament_switch_sensor a": {"enabled": True, "filament_detected": True}}, "paused at the printer"),
        ({}, "paused at the printer"),
    ],
)
async def test_why_it_is_paused(printer: MoonrakerPrinter, peer: Peer, sensors: dict[str, Any], told: str) -> None:
    peer.answers["printer.objects.list"] = {"objects": ["print_stats", *sensors]}
    peer.answers["printer.objects.query"] = lambda p: stats("paused", NAME) if "print_stats" in p["objects"] else {"status": sensors}
    assert (await printer.observe()).reason.startswith(told)


# --- answers that are none --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"{",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"id": ["x"], "result": {}}',
        b"x" * 5_000_000,
        "text",
        [],
        {"status": 5},
        {"status": {"print_stats": "printing"}},
        {"status": {"print_stats": {"state": 5}}},
        {"status": {"print_stats": {"state": "printing"}, "virtual_sdcard": {"progress": float("nan")}}},
        No(500, "Internal error"),
        No(-32700, ""),
    ],
    ids=lambda answer: str(answer)[:30],
)
async def test_nonsense_is_offline_and_passes(printer: MoonrakerPrinter, peer: Peer, answer: object) -> None:
    good = peer.answers["printer.objects.query"]
    peer.answers["printer.objects.query"] = answer
    seen = await printer.observe()
    assert (seen.state, seen.needs_attention) == (PrinterState.OFFLINE, True)
    assert seen.reason
    for ask in (printer.start, printer.outcome, printer.pause):
        with pytest.raises(AgentError):
            await ask(NAME)
    assert not peer.count("printer.print.start")
    peer.answers["printer.objects.query"] = good
    assert (await printer.observe()).state is PrinterState.IDLE


@pytest.mark.parametrize("error", [None, 5, "no", [], {}, {"code": "x", "message": {"a": 1}}, {"code": 400}])
async def test_errors_of_any_shape(printer: MoonrakerPrinter, peer: Peer, error: object) -> None:
    def answer(_params: object) -> No:
        no = No(0, "")
        no.error = error  # type: ignore[assignment]
        return no

    peer.answers["printer.objects.query"] = answer
    assert (await printer.observe()).state is PrinterState.OFFLINE


async def test_other_peoples_answers_are_not_ours(printer: MoonrakerPrinter, peer: Peer) -> None:
    """All clients share the topic; some count their requests from 1."""
    stop = asyncio.Event()

    async def chatter() -> None:
        for number in range(1_000_000):
            for said in ({"id": number, "result": stats("printing", "theirs")}, {"id": str(number), "error": {"code": 1}}, {"id": None}):
                await asyncio.to_thread(peer.say, json.dumps({"jsonrpc": "2.0", **said}))
            if stop.is_set():
                return

    talking = asyncio.create_task(chatter())
    for _ in range(20):
        assert (await printer.observe()).state is PrinterState.IDLE
    stop.set()
    await talking


async def test_questions_at_the_same_time_get_their_own_answers(printer: MoonrakerPrinter, peer: Peer) -> None:
    peer.answers["printer.objects.query"] = lambda p: (
        stats("printing", NAME) if "print_stats" in p["objects"] else {"status": {"extruder": {"temperature": 200.5, "target": 210}}}
    )
    ends = await asyncio.gather(*(ask() for _ in range(20) for ask in (printer.observe, printer.temperatures)))
    for seen, warm in zip(ends[::2], ends[1::2], strict=True):
        assert (seen.state, warm) == (PrinterState.PRINTING, Temperatures(nozzle_c=200.5, nozzle_target_c=210))


# --- a start, and acts ------------------------------------------------------------------------------------------------


def _selected(peer: Peer, name: str = NAME) -> None:
    peer.answers["printer.objects.query"] = stats("standby", name)


@pytest.mark.parametrize(
    ("no", "error", "code"),
    [
        (No(400, "Unable to open file"), Refused, "not_found"),
        (No(400, "SD busy"), Refused, "conflict"),
        (No(400, "Printer is shutdown\nmore"), Refused, "rpc_400"),
        (No(503, "Klippy Host not connected"), Refused, "rpc_503"),
        (No(503, "Klippy Disconnected"), Transient, "lost"),
        (No(503, "Klippy Write Request Error"), Transient, "lost"),
        (No(-32601, "Method not found"), Refused, "unknown"),
        (No(-10000, "Duplicate MQTT Request"), Transient, "duplicate"),
    ],
)
async def test_a_start_that_is_refused(printer: MoonrakerPrinter, peer: Peer, no: No, error: type[AgentError], code: str) -> None:
    _selected(peer)
    peer.answers["printer.print.start"] = no
    with pytest.raises(error) as refused:
        await printer.start(NAME)
    assert type(refused.value) is error
    assert refused.value.code == code
    assert peer.count("printer.print.start") == 1


@pytest.mark.parametrize("state", ["printing", "paused", "complete", "cancelled", "error"])
async def test_what_has_begun_is_not_started_again(printer: MoonrakerPrinter, peer: Peer, state: str) -> None:
    peer.answers["printer.objects.query"] = stats(state, NAME)
    await printer.start(NAME)
    assert not peer.count("printer.print.start")


async def test_an_error_after_it_began_is_no_refusal(printer: MoonrakerPrinter, peer: Peer) -> None:
    """As where somebody's macro around SDCARD_PRINT_FILE fails behind it."""
    _selected(peer)

    def start(_params: object) -> No:
        peer.answers["printer.objects.query"] = stats("printing", NAME)
        return No(400, "Unknown command in a macro")

    peer.answers["printer.print.start"] = start
    await printer.start(NAME)
    assert peer.count("printer.print.start") == 1


@pytest.mark.usefixtures("hurried")
async def test_a_start_without_an_answer_is_not_sent_again(printer: MoonrakerPrinter, peer: Peer) -> None:
    _selected(peer)
    peer.answers["printer.print.start"] = None
    with pytest.raises(Transient):
        await printer.start(NAME)
    assert peer.count("printer.print.start") == 1


async def test_a_start_that_comes_late_is_never_sent(printer: MoonrakerPrinter, peer: Peer) -> None:
    """What is sent is sent within 9 s: 3.5 s for the looks before it, 5 s for the broker to take it."""
    peer.answers["printer.objects.query"] = lambda _params: (time.sleep(adapter.LEAVES_S + 1), stats("standby", NAME))[1]
    began = time.monotonic()
    with pytest.raises(Transient) as late:
        await printer.start(NAME)
    assert late.value.code == "slow"
    assert time.monotonic() - began < 5
    peer.answers["printer.objects.query"] = stats("standby", NAME)
    assert (await printer.observe()).state is PrinterState.IDLE
    assert not peer.count("printer.print.start")


async def test_acts_can_be_told_from_their_copies(printer: MoonrakerPrinter, peer: Peer) -> None:
    """Moonraker drops a request whose mqtt_timestamp it has seen: a network may deliver twice."""
    _selected(peer)
    peer.answers["printer.print.start"] = "ok"
    await printer.start(NAME)
    await printer.start(NAME)
    stamps = [params["mqtt_timestamp"] for method, params in peer.asked if method == "printer.print.start"]
    assert len(set(stamps)) == 2


async def test_a_file_that_is_not_selected_is_selected_first(printer: MoonrakerPrinter, peer: Peer) -> None:
    peer.answers |= {"printer.gcode.script": "ok", "printer.print.start": "ok"}
    await printer.start(NAME)
    assert [(method, params.get("script")) for method, params in peer.asked if method != "printer.objects.query"] == [
        ("printer.gcode.script", f"M23 {NAME}"),
        ("printer.print.start", None),
    ]


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
@pytest.mark.parametrize(
    ("no", "error"),
    [(No(-32601, "Method not found"), Refused), (No(400, "Must home first"), Refused), (None, Transient)],
)
@pytest.mark.usefixtures("hurried")
async def test_acts_that_are_refused(printer: MoonrakerPrinter, peer: Peer, act: str, no: No | None, error: type[AgentError]) -> None:
    peer.answers |= {"printer.objects.query": stats("paused" if act == "resume" else "printing", NAME), f"printer.print.{act}": no}
    with pytest.raises(error):
        await getattr(printer, act)(NAME)
    assert peer.count(f"printer.print.{act}") == 1
    assert (f"asked to {act}" in (await printer.observe()).reason) == (no is None)


async def test_an_emergency_stop_that_is_refused(printer: MoonrakerPrinter, peer: Peer) -> None:
    peer.answers["printer.emergency_stop"] = No(503, "Klippy Host not connected")
    with pytest.raises(Refused):
        await printer.emergency_stop()


# --- the history ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("again.gcode", PrinterState.FINISHED),
        ("lost.gcode", PrinterState.FAILED),
        ("halted.gcode", PrinterState.FAILED),
        ("bad.gcode", PrinterState.FAILED),
        ("cut.gcode", None),
        ("left.gcode", None),
        ("new.gcode", None),
        ("runs.gcode", None),
        ("nobody.gcode", None),
    ],
)
async def test_ends_in_the_history(printer: MoonrakerPrinter, peer: Peer, name: str, state: PrinterState | None) -> None:
    peer.answers["server.history.list"] = {"jobs": HISTORY}
    told = await printer.outcome(name)
    assert (told and told.state) == state
    if told is not None:
        assert told.remote_name == name


async def test_a_lost_klipper_has_lost_nothing_before_it_is_back(printer: MoonrakerPrinter, peer: Peer) -> None:
    """Moonraker may have lost its connection only, and Klipper prints on."""
    peer.answers["server.history.list"] = {"jobs": HISTORY}
    peer.answers["printer.objects.query"] = stats("printing", "lost.gcode")
    assert await printer.outcome("lost.gcode") is None
    peer.answers["printer.objects.query"] = No(503, "Klippy Host not connected")
    peer.answers["server.info"] = {**INFO, "klippy_state": "disconnected"}
    assert await printer.outcome("lost.gcode") is None
    halted = await printer.outcome("halted.gcode")
    assert halted is not None
    assert halted.state is PrinterState.FAILED


async def test_an_old_print_is_found_by_its_file(printer: MoonrakerPrinter, peer: Peer) -> None:
    peer.answers["server.files.metadata"] = {"filename": NAME, "job_id": "00002A"}
    peer.answers["server.history.get_job"] = lambda p: {"job": {"filename": NAME, "status": "completed"}} if p["uid"] == "00002A" else None
    told = await printer.outcome(NAME)
    assert told is not None
    assert told.state is PrinterState.FINISHED


@pytest.mark.parametrize(
    ("status", "history", "barrier", "proved"),
    [
        (stats("standby", NAME), [], "ok", True),
        (stats("standby", NAME), [{"filename": NAME, "status": "interrupted"}], "ok", False),
        (stats("standby", NAME), [], No(400, "Printer is not ready"), False),
        (stats("standby", "other.gcode"), [], "ok", False),
        (stats("standby"), [], "ok", False),
        (stats("printing", NAME), [], "ok", False),
        (stats("error", NAME), [], "ok", False),
        (stats("standby", NAME, webhooks="shutdown"), [], "ok", False),
        (No(503, "Klippy Host not connected"), [], "ok", False),
    ],
)
async def test_never_started(
    printer: MoonrakerPrinter, peer: Peer, status: object, history: list[object], barrier: object, proved: bool
) -> None:
    peer.answers |= {"printer.objects.query": status, "server.history.list": {"jobs": history}, "printer.gcode.script": barrier}
    peer.answers["server.info"] = {**INFO, "klippy_state": "ready" if not isinstance(status, No) else "disconnected"}
    assert await printer.never_started(NAME) is proved
