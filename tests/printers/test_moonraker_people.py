"""People and their G-code at a real Klipper, what waits in its queue, what proves that nothing was started, and who is let in."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from agent.domain.errors import NeedsOperator, Transient
from agent.domain.printer import PrinterState
from agent.printers.moonraker import printer as moonraker_printer
from agent.wire.tls import trusting
from tests.printers.benches import new_name, print_begins, until
from tests.printers.moonraker_bench import MoonrakerBench, done, ended_as, klipper_gcode, moonraker_at
from tests.rigs.klipper_server import running_klipper

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper")]


# --- people and G-code ------------------------------------------------------------------------------------------------


async def test_runout_and_a_persons_pause_are_told_apart(klipper: MoonrakerBench) -> None:
    name, server, printer = new_name(), klipper.server, klipper.printer
    await print_begins(klipper, klipper.lasting, name)
    await done(server.pause)
    seen = await printer.observe()
    assert seen.state is PrinterState.PAUSED
    assert seen.reason.startswith("paused")
    await printer.resume(name)
    await until(klipper, lambda seen: seen.state is PrinterState.PRINTING)
    await done(server.run_out)
    seen = await until(klipper, lambda seen: seen.state is PrinterState.PAUSED)
    assert (seen.remote_name, seen.reason) == (name, "out of filament (filament_switch_sensor runout)")
    await done(partial(server.run_out, out=False))
    await until(klipper, lambda seen: seen.reason.startswith("paused"))
    await printer.resume(name)
    await until(klipper, lambda seen: seen.state is PrinterState.PRINTING)


async def test_bad_gcode_has_failed_twice_in_a_row(klipper: MoonrakerBench, tmp_path: Path) -> None:
    """Two failures in a row leave no history of the second where nothing is loaded between them; the upload's selection is."""
    cold = klipper_gcode(tmp_path, 0, "G28\nG90\nM83\nG1 X10 F6000\nG1 X20 E1 F600\n")
    far = klipper_gcode(tmp_path, 0, "G28\nG90\nFOO_BAR X=1\nG1 X300 F6000\n")
    first, second, third = new_name(), new_name(), new_name()
    for name, gcode, told in ((first, cold, "Extrude below minimum temp"), (second, far, "Move out of range"), (third, far, "Move out")):
        await klipper.printer.upload(gcode, name)
        await klipper.printer.start(name)
        seen = await until(klipper, lambda seen: seen.state is PrinterState.FAILED)
        assert seen.remote_name == name
        assert told in seen.reason
    await klipper.printer.upload(klipper.brief, new_name())
    for name in (first, second, third):
        await ended_as(klipper, name, PrinterState.FAILED)
    assert klipper.starts() == [first, second, third]


# --- what waits in Klipper's queue --------------------------------------------------------------------------------------


async def test_a_cancel_waits_for_heat_and_says_so(klipper: MoonrakerBench, tmp_path: Path) -> None:
    name, server = new_name(), klipper.server
    await done(lambda: server.fault("heater 11 off"))
    await print_begins(klipper, klipper_gcode(tmp_path, 60, "M190 S60\n"), name)
    async with asyncio.timeout(15):
        with pytest.raises(Transient) as slow:
            await klipper.printer.cancel(name)
    assert slow.value.code == "slow"
    seen = await klipper.printer.observe()
    assert (seen.busy, seen.remote_name) == (True, name)
    assert "asked to cancel" in seen.reason
    await done(lambda: server.fault("set_temp 21 60"))
    end = await until(klipper, lambda seen: not seen.busy)
    assert (end.state, end.remote_name) == (PrinterState.CANCELLED, name)


async def test_a_start_behind_a_persons_command_is_sent_once(klipper: MoonrakerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person heats the bed by hand: Klipper takes the start, and does it when the bed is warm. Until then nothing is proved."""
    monkeypatch.setattr(moonraker_printer, "ACT_S", 2.0)
    monkeypatch.setattr(moonraker_printer, "TURN_S", 2.0)
    name, server, printer = new_name(), klipper.server, klipper.printer
    await printer.upload(klipper.lasting, name)
    await done(lambda: server.fault("heater 11 off"))
    by_hand = asyncio.create_task(done(lambda: server.gcode("M190 S60")))
    await _is_heating(klipper)
    with pytest.raises(Transient):
        await printer.start(name)
    assert (await printer.observe()).state is PrinterState.IDLE
    assert not await printer.never_started(name)
    await done(lambda: server.fault("set_temp 21 60"))
    begun = await until(klipper, lambda seen: seen.busy)
    assert begun.remote_name == name
    await by_hand
    await printer.start(name)
    assert klipper.starts() == [name]


async def test_a_start_that_cannot_be_prepared_is_not_sent(klipper: MoonrakerBench) -> None:
    """The file is not selected any more, and selecting it waits for a person's command. Later it is proved, and started once."""
    name, server, printer = new_name(), klipper.server, klipper.printer
    await printer.upload(klipper.brief, name)
    await done(lambda: server.gcode("SDCARD_RESET_FILE"))
    assert not await printer.never_started(name)
    await done(lambda: server.fault("heater 11 off"))
    by_hand = asyncio.create_task(done(lambda: server.gcode("M190 S60")))
    await _is_heating(klipper)
    async with asyncio.timeout(5):
        with pytest.raises(Transient) as slow:
            await printer.start(name)
    assert slow.value.code == "slow"
    await done(lambda: server.fault("set_temp 21 60"))
    await by_hand
    assert klipper.starts() == []
    assert await printer.never_started(name)
    await printer.start(name)
    await until(klipper, lambda seen: seen.state is PrinterState.FINISHED)
    assert klipper.starts() == [name]


async def _is_heating(klipper: MoonrakerBench) -> None:
    async with asyncio.timeout(10):
        while (await klipper.adapter.temperatures()).bed_target_c != 60:
            await klipper.pass_time()


# --- never started -----------------------------------------------------------------------------------------------------


async def test_a_restart_of_moonraker_does_not_take_the_proof(klipper: MoonrakerBench) -> None:
    name = new_name()
    await klipper.printer.upload(klipper.brief, name)
    await done(klipper.server.restart_moonraker)
    await until(klipper, lambda seen: seen.state is PrinterState.IDLE)
    assert await klipper.printer.never_started(name)


async def test_a_restart_of_klipper_takes_the_proof(klipper: MoonrakerBench) -> None:
    name = new_name()
    await klipper.printer.upload(klipper.brief, name)
    await done(klipper.server.restart_klippy)
    assert not await klipper.printer.never_started(name)
    await klipper.printer.start(name)
    await until(klipper, lambda seen: seen.state is PrinterState.FINISHED)
    assert klipper.starts() == [name]


async def test_another_file_takes_the_proof(klipper: MoonrakerBench) -> None:
    first, second = new_name(), new_name()
    await klipper.printer.upload(klipper.brief, first)
    await klipper.printer.upload(klipper.brief, second)
    assert not await klipper.printer.never_started(first)
    assert await klipper.printer.never_started(second)


async def test_a_file_that_was_printed_and_sent_again_was_started(klipper: MoonrakerBench) -> None:
    name = new_name()
    await print_begins(klipper, klipper.brief, name)
    await until(klipper, lambda seen: seen.state is PrinterState.FINISHED)
    await klipper.printer.start(name)
    await klipper.printer.upload(klipper.brief, name)
    assert not await klipper.printer.never_started(name)
    await ended_as(klipper, name, PrinterState.FINISHED)
    assert klipper.starts() == [name]


# --- who may, and who answers -----------------------------------------------------------------------------------------------


async def test_a_wrong_instance_name_is_for_a_person(klipper: MoonrakerBench) -> None:
    async with moonraker_at(klipper.server, instance_name="voron2") as printer:
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        assert "'voron1' on MQTT, not 'voron2'" in seen.reason
        with pytest.raises(NeedsOperator) as wrong:
            await printer.pause(new_name())
        assert wrong.value.code == "wrong_instance"


async def test_a_wrong_api_key_is_for_a_person(klipper: MoonrakerBench) -> None:
    async with moonraker_at(klipper.server, api_key="wrong-secret") as printer:
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        assert "api_key_file" in seen.reason
        with pytest.raises(NeedsOperator) as wrong:
            await printer.upload(klipper.brief, new_name())
        assert wrong.value.code == "wrong_key"
        assert "wrong-secret" not in wrong.value.told()
        name = new_name()
        await klipper.a_person_prints(klipper.lasting, name)
        assert (await printer.observe()).remote_name == name, "what prints is shown all the same"


async def test_an_address_that_is_not_moonrakers_is_for_a_person(klipper: MoonrakerBench) -> None:
    async with moonraker_at(klipper.server, url=klipper.server.camera.url) as printer:
        seen = await printer.observe()
        assert seen.state is PrinterState.OFFLINE
        assert "not Moonraker" in seen.reason
        with pytest.raises(NeedsOperator) as wrong:
            await printer.upload(klipper.brief, new_name())
        assert wrong.value.code == "not_moonraker"


async def test_a_broker_behind_tls(klipper: MoonrakerBench) -> None:
    server = klipper.server
    async with moonraker_at(server, port=server.broker_tls_port, tls=trusting(server.ca_file)) as printer:
        assert (await printer.observe()).state is PrinterState.IDLE
    async with moonraker_at(server, port=server.broker_tls_port, tls=trusting(None)) as printer:
        assert "certificate" in (await printer.observe()).reason
        with pytest.raises(NeedsOperator) as wrong:
            await printer.start(new_name())
        assert wrong.value.code == "bad_certificate"


async def test_a_moonraker_that_asks_for_its_key(tmp_path: Path) -> None:
    gcode, name = klipper_gcode(tmp_path, 1), new_name()
    (tmp_path / "server").mkdir()
    with running_klipper(tmp_path / "server", trusted=False) as server:
        async with moonraker_at(server, api_key="") as printer:
            assert "api_key_file" in (await printer.observe()).reason
            with pytest.raises(NeedsOperator):
                await printer.upload(gcode, name)
        async with moonraker_at(server) as printer:
            assert (await printer.observe()).state is PrinterState.IDLE
            await printer.upload(gcode, name)
            assert await printer.never_started(name)


async def test_a_request_that_is_delivered_twice_is_done_once(klipper: MoonrakerBench) -> None:
    """Moonraker drops the copy by its mqtt_timestamp, also when the first print has ended already."""
    name = new_name()
    await klipper.printer.upload(klipper.brief, name)
    request = {"filename": name, "mqtt_timestamp": 1790000000.25}
    await klipper.adapter._rpc.call("printer.print.start", request, 5)
    await until(klipper, lambda seen: seen.state is PrinterState.FINISHED)
    with pytest.raises(Transient) as again:
        await klipper.adapter._rpc.call("printer.print.start", request, 5)
    assert again.value.code == "duplicate"
    assert klipper.starts() == [name]
