"""The adapter on a real broker, with a printer that lies, stalls, refuses, repeats itself and goes away."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import Refused, Transient
from agent.domain.printer import PrinterObservation, PrinterState
from agent.ports.printer import Camera, ForgetsItsJobs, Heats, MaterialSlots
from agent.printers.bambu import conversation, starting
from agent.printers.bambu.printer import BambuPrinter
from tests.printers.bambu_peers import CODE, SERIAL
from tests.printers.bambu_script import ACCOUNT, NO_DEVELOPER_MODE, ScriptedBench, heard, job, until
from tests.printers.benches import facts

pytestmark = pytest.mark.slow
NAME = "order_1-1-1-0123abcd.gcode"


def test_it_says_what_it_can(tmp_path: Path) -> None:
    printer: object = BambuPrinter(facts("p1s", "bambu"), conversation.BambuAccess("h", SERIAL, CODE, tmp_path, "P1S"))
    assert isinstance(printer, Camera) and isinstance(printer, Heats)
    assert isinstance(printer, MaterialSlots) and isinstance(printer, ForgetsItsJobs)


# --- starting ---------------------------------------------------------------------------------------------------------------


async def test_a_start_returns_when_the_job_is_at_work(entered: ScriptedBench) -> None:
    start = asyncio.create_task(entered.printer.start(NAME))
    request = await entered.script.request("project_file")
    assert (request["subtask_name"], request["url"]) == (NAME, f"ftp:///{NAME}.3mf")
    assert 1 <= int(request["subtask_id"]) < 2**31
    await entered.script.echoes(request, result="SUCCESS")
    await heard(entered, **job(request))
    assert not start.done(), "an echo and the ids are no start"
    await heard(entered, gcode_state="PREPARE")
    await start
    assert (await entered.printer.observe()).state is PrinterState.PREPARING
    assert entered.script.heard.empty(), "sent once"


async def test_a_stale_finish_is_waited_out(entered: ScriptedBench) -> None:
    await heard(entered, gcode_state="FINISH", subtask_name="older.gcode", subtask_id="5", mc_percent=100)
    start = asyncio.create_task(entered.printer.start(NAME))
    request = await entered.script.request("project_file")
    await heard(entered, **job(request))
    for _ in range(3):
        await heard(entered, msg=1, stg_cur=-1)
        assert await entered.printer.observe() == PrinterObservation(state=PrinterState.IDLE)
        assert await entered.printer.outcome(NAME) is None
        assert not await entered.printer.never_started(NAME)
    assert not start.done()
    await heard(entered, gcode_state="RUNNING", mc_percent=1)
    await start


async def test_a_start_that_nothing_comes_of_is_left_to_the_workflow(entered: ScriptedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "TAKES_S", 0.5)
    start = asyncio.create_task(entered.printer.start(NAME))
    await entered.script.echoes(await entered.script.request("project_file"), result="success")
    await start
    assert (await entered.printer.observe()).state is PrinterState.IDLE
    assert not await entered.printer.never_started(NAME)
    assert entered.script.heard.empty()


@pytest.mark.parametrize(
    ("echo", "hms", "code"),
    [
        ({"result": "failed", "reason": "mqtt message verify failed", "err_code": 84033543}, [NO_DEVELOPER_MODE], "developer_mode"),
        ({"result": "FAIL", "reason": "MQTT message verify failed"}, [], "developer_mode"),
        ({"result": "success", "err_code": 84033543}, [], "developer_mode"),
        ({}, [NO_DEVELOPER_MODE], "developer_mode"),
        ({"result": "failed", "reason": "busy", "err_code": 0x05004004}, [], "05004004"),
        ({"result": "failed", "reason": "\x1b[2Jno \u202e"}, [], "refused"),
        ({"result": 7, "reason": {"a": 1}, "err_code": "?"}, [], "refused"),
    ],
)
async def test_a_start_that_is_refused(entered: ScriptedBench, echo: dict[str, Any], hms: list[Any], code: str) -> None:
    start = asyncio.create_task(entered.printer.start(NAME))
    await entered.script.echoes(await entered.script.request("project_file"), **echo)
    await entered.script.says(hms=hms)
    with pytest.raises(Refused) as refused:
        await start
    assert refused.value.code == code
    assert refused.value.told().isprintable()
    assert ("Developer Mode on" in refused.value.hint) is (code == "developer_mode")
    assert (await entered.printer.observe()).state is PrinterState.IDLE


@pytest.mark.parametrize("standing", [{"hms": [NO_DEVELOPER_MODE]}, {"fun": "20000000"}])
async def test_a_standing_refusal_counts_when_nothing_came_of_it(
    entered: ScriptedBench, standing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "STANDING_S", 0.3)
    await heard(entered, **standing)
    start = asyncio.create_task(entered.printer.start(NAME))
    await entered.script.echoes(await entered.script.request("project_file"))
    with pytest.raises(Refused) as refused:
        await start
    assert refused.value.code == "developer_mode"


@pytest.mark.parametrize("state", ["IDLE", "FAILED"])
async def test_a_file_it_cannot_read(entered: ScriptedBench, state: str) -> None:
    """And the same file can be started again, with a fresh id."""
    ids = set()
    for _ in range(2):
        start = asyncio.create_task(entered.printer.start(NAME))
        request = await entered.script.request("project_file")
        ids.add(request["subtask_id"])
        await entered.script.echoes(request, result="success")
        await heard(entered, print_error=0x05004002, gcode_state=state, **job(request))
        with pytest.raises(Refused) as refused:
            await start
        assert (refused.value.code, "url_form" in refused.value.hint) == ("05004002", True)
        assert (await entered.printer.observe()).state is PrinterState.IDLE
        assert await entered.printer.outcome(NAME) is None
        await heard(entered, print_error=0)
    assert len(ids) == 2


async def test_a_connection_that_is_lost_during_a_start(entered: ScriptedBench) -> None:
    start = asyncio.create_task(entered.printer.start(NAME))
    await entered.script.request("project_file")
    entered.broker.stop()
    with pytest.raises(Transient):
        await start
    assert (await entered.printer.observe()).state is PrinterState.OFFLINE
    entered.broker.start()
    entered.script.state |= {"gcode_state": "IDLE"}
    await until(entered.printer, lambda seen: seen.state is PrinterState.IDLE)
    assert not await entered.printer.never_started(NAME)
    assert entered.script.heard.empty(), "sent a second time"


@pytest.mark.parametrize("state", ["PREPARE", "RUNNING", "PAUSE", "INIT", "SOMETHING"])
async def test_nothing_is_sent_to_a_printer_at_work(entered: ScriptedBench, state: str) -> None:
    await heard(entered, gcode_state=state, subtask_name="theirs", subtask_id="9")
    with pytest.raises(Refused) as refused:
        await entered.printer.start(NAME)
    assert refused.value.code == "conflict"
    assert entered.script.heard.empty()


async def test_an_offline_printer_is_sent_nothing(entered: ScriptedBench) -> None:
    entered.broker.stop()
    await until(entered.printer, lambda seen: seen.state is PrinterState.OFFLINE)
    with pytest.raises(Refused) as refused:
        await entered.printer.start(NAME)
    assert "Nothing was sent" in str(refused.value)


async def test_a_new_agent_starts_what_an_old_one_uploaded(entered: ScriptedBench) -> None:
    """Material and colour are read from the package on the printer."""
    tray = {"id": "0", "tray_type": "PLA", "tray_color": "1A1A1AFF", "remain": 50}
    await heard(entered, ams={"ams": [{"id": "1", "tray": [tray]}]})
    async with entered.another_adapter() as later:
        start = asyncio.create_task(later.start(NAME))
        request = await entered.script.request("project_file")
        assert request["ams_mapping"] == [4]
        await entered.script.says(gcode_state="RUNNING", **job(request))
        await start


async def test_a_file_that_was_replaced_is_not_started(entered: ScriptedBench) -> None:
    entered.files.files[f"{NAME}.3mf"] = b"PK\x03\x04 something else"
    async with entered.another_adapter() as later:
        with pytest.raises(Refused) as refused:
            await later.start(NAME)
    assert refused.value.code == "not_ours"
    assert entered.script.heard.empty()


# --- the bed, the AMS and the file ---------------------------------------------------------------------------------------------


async def test_gcode_that_leaves_the_ams_alone_is_not_sent_to_one(entered: ScriptedBench) -> None:
    tray = {"id": "0", "tray_type": "PLA", "tray_color": "1A1A1AFF"}
    await heard(entered, ams={"ams": [{"id": "0", "tray": [tray]}]})
    with pytest.raises(Refused) as refused:
        await entered.printer.upload(entered.gcode, NAME)
    assert refused.value.code == "no_ams_code"
    async with BambuPrinter(facts("p1s", "bambu"), replace(entered.access, use_ams=False)) as by_hand:
        await by_hand.upload(entered.gcode, NAME)
    assert [slot.slot for slot in await entered.printer.slots()] == ["A1"]


async def test_gcode_of_another_machine_is_not_sent(entered: ScriptedBench) -> None:
    entered.gcode.write_text("; printer_model = MK3S\n")
    entered.files.heard.clear()
    with pytest.raises(Refused) as refused:
        await entered.printer.upload(entered.gcode, NAME)
    assert refused.value.code == "other_machine"
    assert entered.files.heard == []


async def test_an_upload_that_is_cancelled_leaves_nothing(entered: ScriptedBench) -> None:
    entered.files.breaks_after = None
    entered.gcode.write_text("; printer_model = P1S\n" + ACCOUNT + "".join(f"G1 X{n * 7919 % 997}\n" for n in range(400_000)))
    entered.files.began.clear()
    upload = asyncio.create_task(entered.printer.upload(entered.gcode, "other-1-1-0123abcd.gcode"))
    await asyncio.to_thread(entered.files.began.wait, 10)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await entered.printer.upload(entered.gcode, NAME)
    assert await entered.printer.never_started(NAME)


async def test_temperatures(entered: ScriptedBench) -> None:
    await heard(entered, nozzle_temper=219.5, nozzle_target_temper=220, bed_temper="54.9")
    now = await entered.printer.temperatures()
    assert (now.nozzle_c, now.nozzle_target_c, now.bed_c, now.bed_target_c) == (219.5, 220.0, 54.9, None)


# --- commands during a print ---------------------------------------------------------------------------------------------------


async def running(bench: ScriptedBench) -> None:
    await heard(bench, gcode_state="RUNNING", subtask_name=NAME, subtask_id="7", mc_percent=10)


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
@pytest.mark.parametrize("echo", [{"result": "failed", "reason": "mqtt message verify failed"}, {}])
async def test_a_command_that_is_refused(entered: ScriptedBench, act: str, echo: dict[str, Any]) -> None:
    await running(entered)
    if act == "resume":
        await heard(entered, gcode_state="PAUSE")
    asked = asyncio.create_task(getattr(entered.printer, act)(NAME))
    request = await entered.script.request("stop" if act == "cancel" else act)
    await entered.script.echoes(request, **echo)
    await entered.script.says(hms=[NO_DEVELOPER_MODE])
    with pytest.raises(Refused) as refused:
        await asked
    assert refused.value.code == "developer_mode"
    await heard(entered, gcode_state="FAILED", print_error=0x0300400C)
    assert "by the agent" not in (await entered.printer.observe()).reason


async def test_a_command_that_is_not_answered(entered: ScriptedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "ECHO_S", 0.3)
    await running(entered)
    with pytest.raises(Transient) as unknown:
        await entered.printer.cancel(NAME)
    assert unknown.value.code == "no_answer"
    await heard(entered, gcode_state="FAILED")
    assert (await entered.printer.observe()).reason == "cancelled by the agent"
