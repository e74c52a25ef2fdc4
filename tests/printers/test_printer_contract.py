"""What ports.printer promises, proved for every adapter: the virtual printer; real OctoPrint, Moonraker and Klippy; Bambu against
the sandbox printer.

The rest of the contract: test_printer_contract_absence.py (printers that go away, secrets, brokers), test_printer_contract_files.py (how
files arrive) and test_printer_contract_beds.py (no start on a bed that is not free). What one family alone does is in its own files.
"""

import pytest

from agent.domain.errors import Refused
from agent.domain.printer import ENDED, PrinterState
from agent.ports.printer import ForgetsItsJobs
from tests.printers.benches import Bench, acts_of, known_end, new_name, print_begins, until

UNSAFE = ["", "..", "../x.gcode", "a/b.gcode", "a?b.gcode", "a#b.gcode", ".hidden.gcode", "x" * 130]


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


async def test_a_print_that_ended_while_no_agent_ran(bench: Bench) -> None:
    """The last one saw it at work, and wrote that down."""
    name = new_name()
    await print_begins(bench, bench.brief, name)
    await bench.it_ends()
    async with bench.another_adapter() as later:
        if isinstance(later, ForgetsItsJobs):
            later.was_at_work(name)
        seen = await later.observe()
        end = seen if seen.state in ENDED else await later.outcome(name)
        assert end is not None
        assert (end.state, end.remote_name) == (PrinterState.FINISHED, name)
        assert not await later.never_started(name)
    assert bench.starts() == [name]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_job_of_somebody_else_is_not_touched(bench: Bench, paused: bool) -> None:
    """Klipper itself would throw away what is paused; a busy Bambu A1 mini is said to cancel what it is at."""
    theirs, ours = new_name(), new_name()
    await bench.a_person_prints(bench.lasting, theirs)
    await until(bench, lambda seen: (seen.state, seen.remote_name) == (PrinterState.PRINTING, theirs))
    if paused:
        await bench.a_person_does("pause", theirs)
        await until(bench, lambda seen: seen.state is PrinterState.PAUSED)
    await bench.printer.upload(bench.brief, ours)
    with pytest.raises(Refused):
        await bench.printer.start(ours)
    seen = await bench.printer.observe()
    assert (seen.state, seen.remote_name) == (PrinterState.PAUSED if paused else PrinterState.PRINTING, theirs)
    assert await bench.printer.outcome(ours) is None
    if paused:
        await bench.a_person_does("resume", theirs)
        await until(bench, lambda seen: (seen.state, seen.remote_name) == (PrinterState.PRINTING, theirs))
    assert bench.starts() == [theirs]


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
    told = await known_end(bench, name)
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


async def test_a_name_that_could_mean_another_file_is_refused(bench: Bench) -> None:
    for name in UNSAFE:
        for call in acts_of(bench.printer, bench.brief, name).values():
            with pytest.raises(Refused):
                await call()
    assert (await bench.printer.observe()).state is PrinterState.IDLE


async def test_a_name_nobody_knows_has_no_history(bench: Bench) -> None:
    assert await bench.printer.outcome(new_name()) is None
