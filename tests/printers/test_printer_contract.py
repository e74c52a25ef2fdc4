"""What ports.printer promises, proved for every adapter: the virtual printer; real OctoPrint, Moonraker and Klippy; Bambu against
the sandbox printer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.errors import Refused
from agent.domain.printer import ENDED, PrinterState
from tests.printers.bambu_bench import bambu_bench
from tests.printers.benches import Bench, VirtualBench, new_name, octoprint_bench, print_begins, until
from tests.printers.moonraker_bench import moonraker_bench

REAL = [pytest.mark.slow, pytest.mark.xdist_group("octoprint")]
KLIPPER = [pytest.mark.slow, pytest.mark.xdist_group("klipper")]
BAMBU = [pytest.mark.slow, pytest.mark.xdist_group("bambu")]
UNSAFE = ["", "..", "../x.gcode", "a/b.gcode", "a?b.gcode", "a#b.gcode", ".hidden.gcode", "x" * 130]


@pytest.fixture(
    params=[
        "virtual",
        pytest.param("octoprint", marks=REAL),
        pytest.param("moonraker", marks=KLIPPER),
        pytest.param("bambu", marks=BAMBU),
    ]
)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "octoprint":
        async with octoprint_bench(request.getfixturevalue("octoprint_server"), tmp_path) as octoprint:
            yield octoprint
        return
    if request.param == "moonraker":
        async with moonraker_bench(request.getfixturevalue("klipper_server"), tmp_path) as klipper:
            yield klipper
        return
    if request.param == "bambu":
        async with bambu_bench(request.getfixturevalue("bambu_server"), tmp_path) as bambu:
            yield bambu
        return
    virtual = VirtualBench(tmp_path)
    async with virtual.printer:
        yield virtual


async def test_a_print_from_upload_to_its_end(bench: Bench) -> None:
    name, printer = new_name(), bench.printer
    assert (await printer.observe()).state is PrinterState.IDLE

    await printer.upload(bench.brief, name)
    assert (await printer.observe()).state is PrinterState.IDLE
    assert bench.starts() == []
    assert await printer.never_started(name)
    assert await printer.outcome(name) is None

    await printer.start(name)
    begun = await until(bench, lambda seen: seen.busy)
    assert begun.remote_name == name
    assert not await printer.never_started(name)
    grown = await until(bench, lambda seen: seen.progress > begun.progress)
    assert grown.remote_name == name

    end = await until(bench, lambda seen: not seen.busy)
    assert (end.state, end.remote_name, end.progress) == (PrinterState.FINISHED, name, 1.0)
    told = await printer.outcome(name)
    assert told is not None
    assert told.state is PrinterState.FINISHED
    assert not await printer.never_started(name)
    assert bench.starts() == [name]


async def test_an_upload_can_be_repeated(bench: Bench) -> None:
    name = new_name()
    await bench.printer.upload(bench.lasting, name)
    await bench.printer.upload(bench.brief, name)
    await bench.printer.upload(bench.brief, name)
    assert await bench.printer.never_started(name)
    await bench.printer.start(name)
    await until(bench, lambda seen: seen.state is PrinterState.FINISHED, within_s=10)
    assert bench.starts() == [name]


async def test_the_next_upload_does_not_look_finished(bench: Bench) -> None:
    first, second = new_name(), new_name()
    await print_begins(bench, bench.brief, first)
    await until(bench, lambda seen: seen.state is PrinterState.FINISHED)
    await bench.printer.upload(bench.brief, second)
    seen = await bench.printer.observe()
    assert not (seen.state in ENDED and seen.remote_name == second)
    assert await bench.printer.never_started(second)
    told = await bench.printer.outcome(first)
    assert told is not None
    assert told.state is PrinterState.FINISHED
    await bench.printer.start(second)
    await until(bench, lambda seen: seen.state is PrinterState.FINISHED and seen.remote_name == second)
    assert bench.starts() == [first, second]


async def test_a_new_agent_finds_the_print_again(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    async with bench.another_adapter() as later:
        seen = await later.observe()
        assert (seen.busy, seen.remote_name) == (True, name)
        assert not await later.never_started(name)
        await later.cancel(name)
    assert bench.starts() == [name]


async def test_a_busy_printer_refuses_another_job(bench: Bench) -> None:
    first, second = new_name(), new_name()
    await bench.a_person_prints(bench.lasting, first)
    await bench.printer.upload(bench.brief, second)
    with pytest.raises(Refused):
        await bench.printer.start(second)
    seen = await bench.printer.observe()
    assert (seen.busy, seen.remote_name) == (True, first)
    assert await bench.printer.outcome(second) is None
    assert bench.starts() == [first]


async def test_a_start_that_is_doubled_starts_once(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    await bench.printer.start(name)
    assert bench.starts() == [name]


async def test_the_file_that_is_printed_is_not_replaced(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    with pytest.raises(Refused):
        await bench.printer.upload(bench.brief, name)
    assert (await bench.printer.observe()).busy


async def test_a_file_that_is_not_there_is_not_started(bench: Bench) -> None:
    with pytest.raises(Refused):
        await bench.printer.start(new_name())
    assert (await bench.printer.observe()).state is PrinterState.IDLE
    assert bench.starts() == []


async def test_pause_and_resume(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.brief, name)
    await bench.printer.pause(name)
    paused = await until(bench, lambda seen: seen.state is PrinterState.PAUSED)
    assert paused.remote_name == name
    assert paused.reason
    await bench.printer.pause(name)
    assert await bench.printer.outcome(name) is None
    assert (await bench.printer.observe()).state is PrinterState.PAUSED
    await bench.printer.resume(name)
    await bench.printer.resume(name)
    await until(bench, lambda seen: seen.state is PrinterState.FINISHED)
    assert bench.starts() == [name]


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
async def test_only_our_own_job_is_touched(bench: Bench, act: str) -> None:
    theirs, ours = new_name(), new_name()
    for nobody_prints in (True, False):
        if not nobody_prints:
            await bench.a_person_prints(bench.lasting, theirs)
        with pytest.raises(Refused) as refused:
            await getattr(bench.printer, act)(ours)
        assert refused.value.code == "not_active"
    seen = await until(bench, lambda seen: seen.state is PrinterState.PRINTING)
    assert seen.remote_name == theirs


@pytest.mark.parametrize("paused_before", [False, True])
async def test_a_cancelled_print_says_so(bench: Bench, paused_before: bool) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    if paused_before:
        await bench.printer.pause(name)
        await until(bench, lambda seen: seen.state is PrinterState.PAUSED)
    await bench.printer.cancel(name)
    await until(bench, lambda seen: not seen.busy)
    told = await bench.printer.outcome(name)
    assert told is not None
    assert (told.state, told.remote_name) == (PrinterState.CANCELLED, name)
    assert told.reason
    assert not await bench.printer.never_started(name)
    with pytest.raises(Refused):
        await bench.printer.cancel(name)


async def test_what_a_person_does_at_the_printer_is_seen(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    await until(bench, lambda seen: seen.state is PrinterState.PRINTING)
    await bench.a_person_does("pause", name)
    paused = await until(bench, lambda seen: seen.state is PrinterState.PAUSED)
    assert (paused.remote_name, bool(paused.reason)) == (name, True)
    await bench.a_person_does("resume", name)
    await until(bench, lambda seen: seen.state is PrinterState.PRINTING)
    await bench.a_person_does("cancel", name)
    await until(bench, lambda seen: not seen.busy)
    told = await bench.printer.outcome(name)
    assert told is not None
    assert (told.state, told.remote_name) == (PrinterState.CANCELLED, name)
    assert told.reason
    assert bench.starts() == [name]


async def test_a_print_that_goes_wrong_has_failed_and_says_why(bench: Bench) -> None:
    name = new_name()
    await print_begins(bench, bench.lasting, name)
    await until(bench, lambda seen: seen.state is PrinterState.PRINTING)
    await bench.it_fails(name)
    seen = await until(bench, lambda seen: not seen.busy)
    told = await bench.printer.outcome(name)
    assert told is not None
    assert (told.state, told.remote_name) == (PrinterState.FAILED, name)
    assert seen.reason or told.reason
    assert not await bench.printer.never_started(name)
    assert bench.starts() == [name]


async def test_an_end_is_known_at_the_first_look_after_it(bench: Bench) -> None:
    """The workflow asks a person where the printer no longer shows a job and has no record of it: that must not happen by haste."""
    for cancelled in (True, False, True, False):
        name = new_name()
        await print_begins(bench, bench.lasting if cancelled else bench.brief, name)
        if cancelled:
            await bench.printer.cancel(name)
        seen = await until(bench, lambda seen: not seen.busy)
        end = seen if seen.state in ENDED else await bench.printer.outcome(name)
        assert end is not None
        assert end.remote_name == name
        assert end.state is (PrinterState.CANCELLED if cancelled else PrinterState.FINISHED)


@pytest.mark.parametrize("name", UNSAFE)
async def test_a_name_that_could_mean_another_file_is_refused(bench: Bench, name: str) -> None:
    for ask in (bench.printer.start, bench.printer.never_started, bench.printer.outcome, bench.printer.cancel):
        with pytest.raises(Refused):
            await ask(name)
    with pytest.raises(Refused):
        await bench.printer.upload(bench.brief, name)
    assert (await bench.printer.observe()).state is PrinterState.IDLE


async def test_a_name_nobody_knows_has_no_history(bench: Bench) -> None:
    assert await bench.printer.outcome(new_name()) is None
