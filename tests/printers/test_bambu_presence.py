"""The adapter on a real broker, with a printer that says nonsense or nothing, goes away and comes back, or is another one."""

import asyncio
import json
from dataclasses import replace

import pytest

from agent.domain.errors import NeedsOperator, Transient
from agent.domain.printer import PrinterState
from agent.printers.bambu import conversation
from agent.printers.bambu.printer import BambuPrinter
from agent.printers.bambu.trust import context_for
from tests.printers.bambu_peers import SERIAL
from tests.printers.bambu_script import IDLE, ScriptedBench, heard, until
from tests.printers.benches import facts

pytestmark = pytest.mark.slow
NAME = "order_1-1-1-0123abcd.gcode"


async def running(bench: ScriptedBench) -> None:
    await heard(bench, gcode_state="RUNNING", subtask_name=NAME, subtask_id="7", mc_percent=10)


# --- what it says ----------------------------------------------------------------------------------------------------------------


async def test_garbage_changes_nothing(entered: ScriptedBench) -> None:
    await running(entered)
    before = await entered.printer.observe()
    for payload in (
        b"",
        b"\x00",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"print": 3}',
        b'{"print": {"command": "push_status", "ams": 7}}\x00',
        b"[" * 90_000,
    ):
        await entered.script.raw(payload)
    await entered.script.raw(json.dumps({"print": {"command": "project_file", "gcode_state": "IDLE", "subtask_name": "x"}}).encode())
    await heard(entered, wifi_signal="-45dBm")
    assert await entered.printer.observe() == before, "an echo is not merged"


async def test_several_things_in_one_message(entered: ScriptedBench) -> None:
    both = {"info": {"command": "get_version"}, "print": {"command": "push_status", "gcode_state": "PAUSE", "subtask_name": NAME}}
    await entered.script.raw(json.dumps(both).encode())
    assert (await until(entered.printer, lambda seen: seen.busy)).state is PrinterState.PAUSED


async def test_an_unknown_state_is_told(entered: ScriptedBench) -> None:
    await heard(entered, gcode_state="CALIBRATING")
    seen = await entered.printer.observe()
    assert (seen.state, seen.reason, seen.needs_attention) == (PrinterState.OFFLINE, "unknown state CALIBRATING", True)


async def test_a_state_that_nobody_knows_is_asked_for_again(entered: ScriptedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the tongue is not believed until the state changes, which may be hours."""
    monkeypatch.setattr(conversation, "ASK_AGAIN_S", 0.1)
    await running(entered)
    slip = {"print": {"command": "push_status", "msg": 1, "gcode_state": "DANCING"}}
    await entered.script.raw(json.dumps(slip).encode())
    await until(entered.printer, lambda seen: seen.needs_attention)
    assert (await until(entered.printer, lambda seen: seen.busy)).remote_name == NAME


async def test_a_printer_that_says_nothing_but_garbage_is_not_believed_for_what_it_said_before(
    entered: ScriptedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, seconds in (("PROBE_S", 0.6), ("SILENT_S", 1.8), ("FIRST_REPORT_S", 0.5)):
        monkeypatch.setattr(conversation, limit, seconds)
    await running(entered)
    entered.script.answers_pushall = False

    async def babble() -> None:
        while True:
            await entered.script.raw(b'{"print": {"command": "push_status", "gcode_state": "RUNN')
            await asyncio.sleep(0.1)

    babbling = asyncio.create_task(babble())
    seen = await until(entered.printer, lambda seen: "cannot be read" in seen.reason)
    assert (seen.state, seen.needs_attention) == (PrinterState.OFFLINE, True)
    babbling.cancel()
    entered.script.answers_pushall = True
    await until(entered.printer, lambda seen: seen.busy)


# --- coming and going --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ("PREPARE", "RUNNING", PrinterState.PRINTING),
        ("RUNNING", "PAUSE", PrinterState.PAUSED),
        ("RUNNING", "FINISH", PrinterState.FINISHED),
        ("PAUSE", "FAILED", PrinterState.CANCELLED),
        ("RUNNING", "IDLE", PrinterState.IDLE),
    ],
)
async def test_it_goes_away_and_comes_back(entered: ScriptedBench, before: str, after: str, state: PrinterState) -> None:
    await heard(entered, gcode_state=before, subtask_name=NAME, subtask_id="7")
    entered.broker.stop()
    gone = await until(entered.printer, lambda seen: seen.state is PrinterState.OFFLINE)
    assert (bool(gone.reason), gone.needs_attention) == (True, False)
    entered.script.state |= {"gcode_state": after}
    entered.broker.start()
    seen = await until(entered.printer, lambda seen: seen.state is state)
    assert seen.remote_name == ("" if after == "IDLE" else NAME)
    assert not await entered.printer.never_started(NAME)


async def test_nobody_can_say_what_was_printed_while_it_was_away(entered: ScriptedBench) -> None:
    assert await entered.printer.never_started(NAME)
    entered.broker.stop()
    await until(entered.printer, lambda seen: seen.state is PrinterState.OFFLINE)
    entered.broker.start()
    await until(entered.printer, lambda seen: seen.state is PrinterState.IDLE)
    assert not await entered.printer.never_started(NAME)


async def test_a_silent_printer_is_asked_and_then_left(scripted: ScriptedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PROBE_S", 0.6)
    monkeypatch.setattr(conversation, "SILENT_S", 1.8)
    monkeypatch.setattr(conversation, "FIRST_REPORT_S", 1.0)
    async with scripted.printer as printer:
        await until(printer, lambda seen: seen.state is PrinterState.IDLE)
        assert scripted.script.pushalls == 1
        probe = await scripted.script.request("get_version")
        await scripted.script.raw(json.dumps({"info": {**probe, "module": []}}).encode())
        assert (await printer.observe()).state is PrinterState.IDLE, "it is there, and has nothing to say"
        scripted.script.answers_pushall = False
        silent = await until(printer, lambda seen: seen.state is PrinterState.OFFLINE)
        assert (bool(silent.reason), silent.needs_attention) == (True, True)
        scripted.script.answers_pushall = True
        await until(printer, lambda seen: seen.state is PrinterState.IDLE)
    assert scripted.script.pushalls <= 6


async def test_a_serial_number_in_the_wrong_case_is_connected_and_hears_nothing(
    scripted: ScriptedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the certificate does not give it away first."""
    monkeypatch.setattr(conversation, "FIRST_REPORT_S", 0.5)
    monkeypatch.setattr(conversation, "context_for", lambda ca_file, _serial: context_for(ca_file, SERIAL))
    async with BambuPrinter(facts("p1s", "bambu"), replace(scripted.access, serial=SERIAL.lower())) as printer:
        seen = await until(printer, lambda seen: "says nothing" in seen.reason)
        assert "in capitals as the printer shows it" in seen.reason
        with pytest.raises(Transient) as silent:
            await printer.slots()
        assert silent.value.code == "silent"


async def test_a_wrong_access_code_is_told(scripted: ScriptedBench) -> None:
    async with BambuPrinter(facts("p1s", "bambu"), replace(scripted.access, access_code="87654321")) as printer:
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        assert "refuses the access code" in seen.reason and "Developer Mode is switched" in seen.reason
        assert "87654321" not in seen.reason
        assert seen.needs_attention
        with pytest.raises(NeedsOperator) as wrong:
            await printer.upload(scripted.gcode, NAME)
        assert wrong.value.code == "wrong_password"


async def test_another_printers_certificate_is_told(scripted: ScriptedBench) -> None:
    async with BambuPrinter(facts("p1s", "bambu"), replace(scripted.access, serial="01P00A000000009")) as printer:
        assert f"it is the printer '{SERIAL}', not '01P00A000000009'" in (await printer.observe()).reason


async def test_nobody_there_is_told_at_once(scripted: ScriptedBench) -> None:
    async with BambuPrinter(facts("p1s", "bambu"), replace(scripted.access, mqtt_port=1)) as printer:
        async with asyncio.timeout(5):
            seen = await printer.observe()
        assert (seen.state, "cannot be reached" in seen.reason) == (PrinterState.OFFLINE, True)


async def test_pushall_is_asked_for_once_a_connection(entered: ScriptedBench) -> None:
    for n in range(30):
        await heard(entered, mc_percent=n)
        await entered.printer.observe()
    assert entered.script.pushalls == 1
    assert entered.script.state == {**IDLE, "mc_percent": 29}
