"""OctoPrint's own ways, against a real OctoPrint 1.11.8: lost connections, restarts, people at its page, keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.printer import PrinterState
from agent.ports.printer import NO_CAMERA, Camera, Heats
from tests.printers.benches import OctoPrintBench, new_name, octoprint_at, print_begins, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("octoprint")]


@asynccontextmanager
async def impatient(octoprint: OctoPrintBench) -> AsyncIterator[None]:
    """OctoPrint gives a silent printer up after two seconds instead of thirty."""
    serial = octoprint.server.api("GET", "settings")["serial"]
    kept = {option: serial[option] for option in ("timeoutCommunication", "maxTimeoutsPrinting")}
    await octoprint.do("POST", "settings", json={"serial": {"timeoutCommunication": 1.0, "maxTimeoutsPrinting": 1}})
    await asyncio.to_thread(octoprint.server.reset)
    try:
        yield
    finally:
        await octoprint.do("POST", "settings", json={"serial": kept})


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("!!DEBUG:trigger_fatal_error_marlin", "Thermal Runaway"),
        ("!!DEBUG:drop_connection", "Serial"),
        ("!!DEBUG:action_disconnect", ""),
    ],
)
async def test_a_printer_that_halts_has_failed(octoprint: OctoPrintBench, fault: str, told: str) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.lasting, name)
    await octoprint.command(fault)
    halted = await until(octoprint, lambda seen: not seen.busy)
    assert halted.state is PrinterState.OFFLINE
    assert told in halted.reason
    await _has_failed(octoprint, name)


async def test_a_printer_that_falls_silent_has_failed(octoprint: OctoPrintBench) -> None:
    name = new_name()
    async with impatient(octoprint):
        await print_begins(octoprint, octoprint.lasting, name)
        await octoprint.command("!!DEBUG:go_awol")
        silent = await until(octoprint, lambda seen: not seen.busy)
        assert silent.state is PrinterState.OFFLINE
        assert "timeouts" in silent.reason
        await _has_failed(octoprint, name)


async def _has_failed(octoprint: OctoPrintBench, name: str) -> None:
    """The same answer while OctoPrint is offline, after it was connected again, and after it was started anew."""
    for again in (None, octoprint.server.connect, octoprint.server.restart):
        if again is not None:
            await asyncio.to_thread(again)
            assert (await octoprint.printer.observe()).state is PrinterState.IDLE
        told = await octoprint.printer.outcome(name)
        assert told is not None
        assert told.state is PrinterState.FAILED
        assert not await octoprint.printer.never_started(name)
    assert octoprint.starts() == [name]


async def test_a_paused_print_that_loses_its_printer_leaves_no_history(octoprint: OctoPrintBench) -> None:
    """OctoPrint's own gap (printer/standard.py, on_comm_state_change: only from "Printing"); so nobody but a person can tell."""
    name = new_name()
    await print_begins(octoprint, octoprint.lasting, name)
    await octoprint.printer.pause(name)
    await until(octoprint, lambda seen: seen.state is PrinterState.PAUSED)
    await octoprint.command("!!DEBUG:drop_connection")
    await until(octoprint, lambda seen: seen.state is PrinterState.OFFLINE)
    await octoprint.reconnect()
    assert (await octoprint.printer.observe()).state is PrinterState.IDLE
    assert await octoprint.printer.outcome(name) is None
    assert not await octoprint.printer.never_started(name)
    assert octoprint.history(name) == {}


async def test_a_finished_print_is_known_after_a_restart(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.brief, name)
    await until(octoprint, lambda seen: seen.state is PrinterState.FINISHED)
    await asyncio.to_thread(octoprint.server.restart)
    assert (await octoprint.printer.observe()).state is PrinterState.IDLE
    told = await octoprint.printer.outcome(name)
    assert told is not None
    assert told.state is PrinterState.FINISHED
    assert not await octoprint.printer.never_started(name)


async def test_a_person_cancels_at_the_page(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.lasting, name)
    await octoprint.do("POST", "job", json={"command": "cancel"})
    assert (await until(octoprint, lambda seen: not seen.busy)).state is PrinterState.IDLE
    told = await octoprint.printer.outcome(name)
    assert told is not None
    assert told.state is PrinterState.CANCELLED
    assert octoprint.history(name)["failure"] == 1

    await octoprint.a_person_prints(octoprint.brief, new_name())
    told = await octoprint.printer.outcome(name)
    assert told is not None
    assert told.state is PrinterState.FAILED, "OctoPrint's history counts a cancel as a failure"


async def test_a_person_prints_our_file_again_after_it_failed(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.brief, name)
    await octoprint.printer.cancel(name)
    await until(octoprint, lambda seen: not seen.busy)
    await octoprint.do("POST", "job", json={"command": "start"})
    await until(octoprint, lambda seen: seen.state is PrinterState.FINISHED)
    told = await octoprint.printer.outcome(name)
    assert told is not None
    assert told.state is PrinterState.FINISHED


async def test_a_person_deletes_the_file(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.brief, name)
    await until(octoprint, lambda seen: seen.state is PrinterState.FINISHED)
    await octoprint.do("DELETE", f"files/local/{name}")
    assert await octoprint.printer.outcome(name) is None
    assert not await octoprint.printer.never_started(name)
    with pytest.raises(Refused):
        await octoprint.printer.start(name)


async def test_a_person_chooses_another_file(octoprint: OctoPrintBench) -> None:
    ours, theirs = new_name(), new_name()
    await octoprint.printer.upload(octoprint.brief, ours)
    await octoprint.do("POST", "files/local", files={"file": (theirs, b"G28\n")}, data={"select": "true"})
    assert not await octoprint.printer.never_started(ours)
    await octoprint.printer.start(ours)
    await until(octoprint, lambda seen: seen.state is PrinterState.FINISHED)
    assert octoprint.starts() == [ours]


async def test_the_firmware_pauses(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await print_begins(octoprint, octoprint.lasting, name)
    await octoprint.command("!!DEBUG:action_pause")
    seen = await until(octoprint, lambda seen: seen.state is PrinterState.PAUSED)
    assert seen.remote_name == name
    await octoprint.printer.resume(name)
    await until(octoprint, lambda seen: seen.state is PrinterState.PRINTING)


async def test_connecting_is_nobodys_job(octoprint: OctoPrintBench) -> None:
    """A connection that is being made once looked like a printer at work, which cost the bed its word that it is free."""
    await asyncio.to_thread(octoprint.server.disconnect)
    connecting = asyncio.create_task(octoprint.reconnect())
    while not connecting.done():
        assert (await octoprint.printer.observe()).state in (PrinterState.OFFLINE, PrinterState.IDLE)
    await connecting


async def test_an_upload_to_a_disconnected_printer_is_stored_and_proves_nothing(octoprint: OctoPrintBench) -> None:
    name = new_name()
    await asyncio.to_thread(octoprint.server.disconnect)
    await octoprint.printer.upload(octoprint.brief, name)
    with pytest.raises(Refused):
        await octoprint.printer.start(name)
    await octoprint.reconnect()
    assert not await octoprint.printer.never_started(name)
    await octoprint.printer.start(name)
    await until(octoprint, lambda seen: seen.state is PrinterState.FINISHED)
    assert octoprint.starts() == [name]


async def test_a_key_that_may_not_print_is_for_a_person(octoprint: OctoPrintBench) -> None:
    """The key of an OctoPrint user who may only look on."""
    user = {"name": "looker", "password": "looker-password", "active": True, "admin": False, "groups": ["readonly"]}
    await octoprint.do("POST", "access/users", json=user)
    key = (await asyncio.to_thread(octoprint.server.api, "POST", "access/users/looker/apikey"))["apikey"]
    try:
        async with octoprint_at(octoprint.server.url, key) as printer:
            assert (await printer.observe()).state is PrinterState.IDLE
            with pytest.raises(NeedsOperator):
                await printer.upload(octoprint.brief, new_name())
            with pytest.raises(NeedsOperator):
                await printer.start(new_name())
    finally:
        await octoprint.do("DELETE", "access/users/looker")
    assert octoprint.starts() == []


async def test_it_tells_how_warm_it_is(octoprint: OctoPrintBench) -> None:
    printer = octoprint.printer
    assert isinstance(printer, Heats)
    await octoprint.command("M140 S45")
    async with asyncio.timeout(20):
        # A printer that was just connected has not told its temperatures yet.
        while (now := await printer.temperatures()).bed_target_c != 45 or now.bed_c is None or now.nozzle_c is None:
            await octoprint.pass_time()
    assert now.nozzle_target_c == 0
    await octoprint.command("M140 S0")
    await octoprint.do("POST", "connection", json={"command": "disconnect"})
    with pytest.raises(Refused):
        await printer.temperatures()


async def test_a_printer_without_a_camera_says_so(octoprint: OctoPrintBench) -> None:
    assert isinstance(octoprint.printer, Camera)
    with pytest.raises(NeedsOperator) as none:
        await octoprint.printer.snapshot()
    assert none.value.code == NO_CAMERA
