"""The adapter against the sandbox printer, with what goes wrong in a workshop. They share no code. Not seen on hardware."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.errors import Refused
from agent.domain.printer import PrinterState
from agent.printers.bambu import conversation, starting
from agent.printers.bambu.codes import HMS_DEVELOPER_MODE
from tests.printers.bambu_bench import BambuBench, bambu_at, bambu_gcode, done
from tests.printers.benches import new_name, print_begins, until
from tests.rigs.bambu_server import BambuServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bambu")]


async def prints(bench: BambuBench, gcode: Path | None = None) -> str:
    name = new_name()
    await print_begins(bench, gcode or bench.lasting, name)
    return name


async def at(bench: BambuBench, *states: PrinterState) -> str:
    """The reason, once it is in one of them."""
    return (await until(bench, lambda seen: seen.state in states)).reason


# --- starts that do not come off -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["result", "no_result"])
async def test_without_developer_mode(bambu: BambuBench, how: str) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.brief, name)
    await done(lambda: bambu.server.refuse(how))
    with pytest.raises(Refused) as refused:
        await bambu.printer.start(name)
    assert refused.value.code == "developer_mode"
    assert "Developer Mode on" in refused.value.hint
    assert bambu.starts() == []
    await until(bambu, lambda _seen: HMS_DEVELOPER_MODE in bambu.adapter._talk.report.hms)  # it may come after the answer
    await done(lambda: bambu.server.refuse("off"))
    await until(bambu, lambda _seen: not bambu.adapter._talk.report.hms)
    await bambu.printer.start(name)
    assert bambu.starts() == [name]


async def test_a_start_that_is_lost(bambu: BambuBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing proves that it will not come late: the workflow asks."""
    monkeypatch.setattr(starting, "TAKES_S", 1.0)
    name = new_name()
    await bambu.printer.upload(bambu.brief, name)
    await done(bambu.server.lose_next_start)
    await bambu.printer.start(name)
    seen = await bambu.printer.observe()
    assert (seen.state, seen.remote_name) == (PrinterState.IDLE, "")
    assert await bambu.printer.outcome(name) is None
    assert not await bambu.printer.never_started(name)
    assert bambu.starts() == []


async def test_a_reply_that_is_lost(bambu: BambuBench) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.lasting, name)
    await done(bambu.server.lose_next_reply)
    await bambu.printer.start(name)
    assert (await bambu.printer.observe()).remote_name == name
    assert bambu.starts() == [name]


async def test_a_start_that_is_taken_late(bambu: BambuBench) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.lasting, name)
    await done(lambda: bambu.server.hold_next_start(2))
    await bambu.printer.start(name)
    assert (await bambu.printer.observe()).remote_name == name
    assert bambu.starts() == [name]


async def test_the_old_finish_stands_for_long(bambu: BambuBench) -> None:
    first = await prints(bambu, bambu.brief)
    await at(bambu, PrinterState.FINISHED)
    await done(lambda: bambu.server.stale_s(2.5))
    second = new_name()
    await bambu.printer.upload(bambu.brief, second)
    start = asyncio.create_task(bambu.printer.start(second))
    looks = set()
    while not start.done():
        seen = await bambu.printer.observe()
        looks.add((seen.state, seen.remote_name))
        await bambu.pass_time()
    await start
    assert looks <= {(PrinterState.FINISHED, first), (PrinterState.IDLE, ""), (PrinterState.PREPARING, second)}
    assert (PrinterState.IDLE, "") in looks
    await until(bambu, lambda seen: seen.state is PrinterState.FINISHED and seen.remote_name == second)
    assert bambu.starts() == [first, second]


async def test_a_package_that_was_cut_short_on_the_card(bambu: BambuBench) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.brief, name)
    stored = bambu.server.card / f"{name}.3mf"
    stored.write_bytes(stored.read_bytes()[:400])
    await bambu.printer.start(name)
    assert "0500-C010" in await at(bambu, PrinterState.FAILED)
    assert bambu.server.events("finish")[-1:] != [name]


# --- how prints end -----------------------------------------------------------------------------------------------------------------


async def test_a_person_cancels_what_is_paused(bambu: BambuBench) -> None:
    await prints(bambu)
    await at(bambu, PrinterState.PRINTING)
    await done(bambu.server.pause)
    assert "at the printer" in await at(bambu, PrinterState.PAUSED)
    await done(bambu.server.cancel)
    assert "cancelled" in await at(bambu, PrinterState.CANCELLED)


async def test_filament_runs_out_and_is_loaded_again(bambu: BambuBench) -> None:
    await prints(bambu)
    await at(bambu, PrinterState.PRINTING)
    await done(bambu.server.runout)
    assert "filament has run out" in await at(bambu, PrinterState.PAUSED)
    await done(bambu.server.resume)
    await at(bambu, PrinterState.PRINTING)


async def test_runout_and_a_cancel_by_the_agent(bambu: BambuBench) -> None:
    name = await prints(bambu)
    await at(bambu, PrinterState.PRINTING)
    await done(bambu.server.runout)
    await at(bambu, PrinterState.PAUSED)
    await bambu.printer.cancel(name)
    assert await at(bambu, PrinterState.CANCELLED, PrinterState.FAILED) == "cancelled by the agent"


# --- coming and going ---------------------------------------------------------------------------------------------------------------


async def test_it_is_switched_off_and_on_and_goes_on_where_it_was(bambu: BambuBench) -> None:
    name = await prints(bambu)
    await at(bambu, PrinterState.PRINTING)
    await done(bambu.server.stop)
    assert await at(bambu, PrinterState.OFFLINE)
    await done(lambda: bambu.server.start(remember=True))
    back = await until(bambu, lambda seen: seen.state is not PrinterState.OFFLINE)
    assert (back.busy, back.remote_name) == (True, name)
    assert bambu.starts() == [name]


async def test_a_new_agent_and_a_print_that_ended_meanwhile(bambu: BambuBench) -> None:
    """After a rest in IDLE the end is proved by the id alone; after another FINISH only the ledger can say."""
    first = await prints(bambu, bambu.brief)
    await done(lambda: bambu.server.wait_for("FINISH"))
    async with bambu.another_adapter() as later:
        told = await later.outcome(first)
        seen = await later.observe()
        assert (seen.state, seen.remote_name) == (PrinterState.FINISHED, first)
        assert told == seen
    second = await prints(bambu, bambu.brief)
    await done(lambda: bambu.server.wait_for("FINISH"))
    async with bambu.another_adapter() as later:
        assert (await later.observe()).state is PrinterState.IDLE
        assert await later.outcome(second) is None
        later.was_at_work(second)
        seen = await later.observe()
        assert (seen.state, seen.remote_name) == (PrinterState.FINISHED, second)


async def test_it_falls_silent(bambu: BambuBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PROBE_S", 1.0)
    monkeypatch.setattr(conversation, "SILENT_S", 2.0)
    monkeypatch.setattr(conversation, "FIRST_REPORT_S", 1.0)
    await prints(bambu)
    await done(bambu.server.silent)
    assert await at(bambu, PrinterState.OFFLINE)
    await done(lambda: bambu.server.silent(False))
    await at(bambu, PrinterState.PRINTING)


@pytest.mark.parametrize("kind", ["not_utf8", "broken_json", "nul", "wrong_types", "list", "nested", "huge", "empty"])
async def test_garbage(bambu: BambuBench, kind: str) -> None:
    name = await prints(bambu)
    await done(lambda: bambu.server.garbage(kind))
    await until(bambu, lambda seen: seen.state is PrinterState.PRINTING and seen.remote_name == name)


async def test_an_unknown_state_is_printed_on_by_nobody(bambu: BambuBench) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.brief, name)
    await done(bambu.server.unknown_state)
    assert await at(bambu, PrinterState.OFFLINE) == "unknown state DANCING"
    with pytest.raises(Refused):
        await bambu.printer.start(name)
    await done(lambda: bambu.server.unknown_state(""))
    await at(bambu, PrinterState.IDLE)


async def test_payloads_that_end_in_nul(bambu: BambuBench) -> None:
    await done(bambu.server.nul_ended)
    name = await prints(bambu, bambu.brief)
    assert (await until(bambu, lambda seen: not seen.busy)).remote_name == name


# --- who may enter ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "why"),
    [("01P00A000000002", "it is the printer '01P00A000000001'"), ("01p00a000000001", "capitals and small letters count")],
)
async def test_a_wrong_serial_number(bambu: BambuBench, serial: str, why: str) -> None:
    async with bambu_at(bambu.server, serial=serial) as stranger:
        seen = await stranger.observe()
        assert (seen.state, why in seen.reason) == (PrinterState.OFFLINE, True)


# --- files, slots, pictures ---------------------------------------------------------------------------------------------------------------


async def test_gcode_of_another_model_is_not_sent(bambu: BambuBench, tmp_path: Path) -> None:
    name = new_name()
    with pytest.raises(Refused) as refused:
        await bambu.printer.upload(bambu_gcode(tmp_path, 1, "A1"), name)
    assert refused.value.code == "other_machine"
    assert not (bambu.server.card / f"{name}.3mf").exists()


async def test_slots_and_their_colours(bambu: BambuBench) -> None:
    slots = await bambu.adapter.slots()
    assert [(slot.slot, slot.material, slot.color_hex) for slot in slots][:2] == [("A1", "PLA", "#ff0000"), ("A2", "PLA", "#1a1a1a")]


async def test_a_colour_that_is_not_loaded_is_not_printed(bambu: BambuBench) -> None:
    name = new_name()
    await bambu.printer.upload(bambu.brief, name)
    await done(lambda: bambu.server.trays(["FF0000FF", "00FF00FF", "0000FFFF", "FFFFFFFF"]))
    await until(bambu, lambda _seen: "#0000ff" in {slot.color_hex for slot in bambu.adapter._talk.report.trays().values()})
    with pytest.raises(Refused) as refused:
        await bambu.printer.start(name)
    assert refused.value.code == "no_slot"
    assert "A1 has PLA #ff0000" in str(refused.value)
    assert bambu.starts() == []


async def test_a_picture(bambu: BambuBench) -> None:
    for picture in [await bambu.adapter.snapshot(), *await asyncio.gather(bambu.adapter.snapshot(), bambu.adapter.snapshot())]:
        assert picture.startswith(b"\xff\xd8\xff") and picture.endswith(b"\xff\xd9")


async def test_no_picture_of_a_model_that_streams(bambu: BambuBench) -> None:
    async with bambu_at(bambu.server, model="X1C") as stream:
        with pytest.raises(Refused):
            await stream.snapshot()


async def test_leaving_during_anything_waits_for_nothing(bambu: BambuBench, bambu_server: BambuServer) -> None:
    acts: list[Callable[[], object]] = [lambda: None, bambu_server.silent]
    for act in acts:
        await done(act)
        async with asyncio.timeout(5), bambu.another_adapter() as short:
            looking = asyncio.create_task(short.observe())
            await bambu.pass_time()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
