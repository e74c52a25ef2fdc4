"""Klipper's own ways, against real Moonraker 0.11.0 and real Klippy with a simulated controller: faults, restarts, people at its page."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.domain.errors import Refused, Transient
from agent.domain.printer import PrinterState
from agent.ports.printer import Camera, EmergencyStop, Heats
from tests.printers.benches import new_name, print_begins, until
from tests.printers.moonraker_bench import MoonrakerBench, done, ended_as, klipper_gcode, moonraker_at
from tests.rigs.klipper_server import KlipperServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper")]

_HEATS = "M104 S180\nM109 S180\n"


# --- a machine that halts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (KlipperServer.break_heater, "not heating at expected rate"),
        (KlipperServer.lose_mcu, "Lost communication with MCU"),
        (KlipperServer.emergency_stop, "Shutdown due to webhooks request"),
    ],
)
async def test_a_machine_that_halts_has_failed(
    klipper: MoonrakerBench, tmp_path: Path, fault: Callable[[KlipperServer], None], told: str
) -> None:
    """print_stats stays at "printing" then: only the shutdown beside it tells."""
    name, server = new_name(), klipper.server
    # A board that falls silent while it heats looks to Klipper like a broken heater as well: whichever it notices first is told.
    gcode = klipper_gcode(tmp_path, 60, "" if fault is KlipperServer.lose_mcu else _HEATS)
    await print_begins(klipper, gcode, name)
    await until(klipper, lambda seen: seen.progress > 0.02)
    await done(lambda: fault(server))
    halted = await until(klipper, lambda seen: not seen.busy)
    assert (halted.state, halted.remote_name) == (PrinterState.FAILED, name)
    assert told in halted.reason
    assert "FIRMWARE_RESTART" in halted.reason
    await ended_as(klipper, name, PrinterState.FAILED)
    with pytest.raises(Transient, match="not ready"):
        await klipper.printer.upload(klipper.brief, new_name())
    with pytest.raises(Refused, match="not ready"):
        await klipper.printer.start(new_name())
    await done(partial(_repair, server))
    assert (await klipper.printer.observe()).state is PrinterState.IDLE
    await ended_as(klipper, name, PrinterState.FAILED)
    assert klipper.starts() == [name]


def _repair(server: KlipperServer) -> None:
    """A board that was silent answers what it was asked meanwhile, and Klipper's first restart may not reach it."""
    server.clear_faults()
    server.api("POST", "printer/firmware_restart")
    server.wait_klippy("ready", "error")
    if server.klippy_state() == "error":
        server.firmware_restart()


async def test_a_klipper_that_is_killed_has_failed_once_it_is_back(klipper: MoonrakerBench) -> None:
    name = new_name()
    await print_begins(klipper, klipper.lasting, name)
    await done(klipper.server.stop_klippy)
    seen = await klipper.printer.observe()
    assert seen.state is PrinterState.OFFLINE
    assert "Klipper does not run" in seen.reason
    assert await klipper.printer.outcome(name) is None
    for act in (klipper.printer.start, klipper.printer.pause, klipper.printer.resume, klipper.printer.cancel):
        with pytest.raises(Refused):
            await act(name)
    assert not await klipper.printer.never_started(name)
    await done(klipper.server.start_klippy)
    assert (await klipper.printer.observe()).state is PrinterState.IDLE
    await ended_as(klipper, name, PrinterState.FAILED)
    assert klipper.starts() == [name]


async def test_a_halted_idle_machine_is_offline_with_its_reason(klipper: MoonrakerBench) -> None:
    assert isinstance(klipper.printer, EmergencyStop)
    await klipper.printer.emergency_stop()
    seen = await until(klipper, lambda seen: seen.state is PrinterState.OFFLINE)
    assert "Shutdown due to webhooks request" in seen.reason


async def test_the_emergency_stop_does_not_wait_for_heat(klipper: MoonrakerBench, tmp_path: Path) -> None:
    name = new_name()
    await done(lambda: klipper.server.fault("heater 11 off"))
    await print_begins(klipper, klipper_gcode(tmp_path, 1, "M190 S60\n"), name)
    async with asyncio.timeout(3):
        await klipper.adapter.emergency_stop()
        await until(klipper, lambda seen: seen.state is PrinterState.FAILED)


# --- a machine that goes away and comes back -----------------------------------------------------------------------------


async def test_moonraker_ends_and_comes_back_while_klipper_prints_on(klipper: MoonrakerBench) -> None:
    name, server, printer = new_name(), klipper.server, klipper.printer
    await print_begins(klipper, klipper.lasting, name)
    await done(server.moonraker.stop)
    async with asyncio.timeout(12):
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        with pytest.raises(Transient):
            await printer.outcome(name)
        with pytest.raises(Transient):
            await printer.start(name)
    await done(server.moonraker.start)
    back = await until(klipper, lambda seen: seen.state is not PrinterState.OFFLINE)
    assert (back.state, back.remote_name) == (PrinterState.PRINTING, name)
    assert await printer.outcome(name) is None
    assert not await printer.never_started(name)


@pytest.mark.parametrize("kindly", [True, False])
async def test_a_print_that_ends_while_moonraker_is_away(klipper: MoonrakerBench, kindly: bool) -> None:
    """Klipper prints on. Moonraker's history keeps `server_exit` or `interrupted`, and never learns of the end."""
    name, server = new_name(), klipper.server
    await print_begins(klipper, klipper.brief, name)
    await done(partial(server.moonraker.stop, kindly=kindly))
    await asyncio.sleep(2)  # the print ends meanwhile; there is nobody to ask
    await done(server.moonraker.start)
    end = await until(klipper, lambda seen: seen.state is not PrinterState.OFFLINE and not seen.busy)
    assert (end.state, end.remote_name) == (PrinterState.FINISHED, name)
    await ended_as(klipper, name, PrinterState.FINISHED)
    await klipper.a_person_prints(klipper.brief, new_name())
    assert await klipper.printer.outcome(name) is None, "Klipper has forgotten it, and the history does not know"


async def test_a_broker_that_is_away_is_named(klipper: MoonrakerBench) -> None:
    name, server = new_name(), klipper.server
    await klipper.printer.upload(klipper.brief, name)
    await done(server.broker.stop)
    async with moonraker_at(server) as printer:
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        assert str(server.broker_port) in seen.reason
        with pytest.raises(Transient):
            await printer.start(name)
        await done(server.broker.start)
    await until(klipper, lambda seen: seen.state is PrinterState.IDLE)
    assert await klipper.printer.never_started(name)
    assert klipper.starts() == []


async def test_what_ended_long_ago_is_known_from_the_history(klipper: MoonrakerBench) -> None:
    printed, stopped, failed, later = new_name(), new_name(), new_name(), new_name()
    await print_begins(klipper, klipper.brief, printed)
    await until(klipper, lambda seen: seen.state is PrinterState.FINISHED)
    await print_begins(klipper, klipper.lasting, stopped)
    await klipper.printer.cancel(stopped)
    await print_begins(klipper, klipper.lasting, failed)
    await done(klipper.server.emergency_stop)
    await done(klipper.server.firmware_restart)
    await klipper.a_person_prints(klipper.lasting, later)
    await ended_as(klipper, printed, PrinterState.FINISHED)
    await ended_as(klipper, stopped, PrinterState.CANCELLED)
    await ended_as(klipper, failed, PrinterState.FAILED)
    assert await klipper.printer.outcome(later) is None
    await done(klipper.server.restart_moonraker)
    await ended_as(klipper, printed, PrinterState.FINISHED)


# --- hangs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "told"), [("klippy", "Klipper does not answer"), ("moonraker", "Moonraker does not answer")])
async def test_a_part_that_hangs_is_named(klipper: MoonrakerBench, part: str, told: str) -> None:
    hangs = getattr(klipper.server, part)
    await klipper.printer.observe()
    hangs.signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(12):
            seen = await klipper.printer.observe()
    finally:
        hangs.signal(signal.SIGCONT)
    assert seen.state is PrinterState.OFFLINE
    assert told in seen.reason
    await until(klipper, lambda seen: seen.state is not PrinterState.OFFLINE)


# --- what else it can ---------------------------------------------------------------------------------------------------------


async def test_temperatures_and_a_picture(klipper: MoonrakerBench) -> None:
    printer = klipper.printer
    assert isinstance(printer, Heats)
    assert isinstance(printer, Camera)
    await done(lambda: klipper.server.gcode("M104 S50"))
    warm = await printer.temperatures()
    assert warm.nozzle_target_c == 50
    assert warm.bed_target_c == 0
    assert warm.nozzle_c is not None
    assert warm.nozzle_c > 20
    assert await printer.snapshot() == klipper.server.camera.jpeg
