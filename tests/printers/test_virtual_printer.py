"""The virtual printer's journal, clock and files; what ports.printer promises is in test_printer_contract.py."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import Refused
from agent.domain.printer import PrinterObservation, PrinterState
from agent.printers.virtual import VirtualPrinter, duration_s
from tests.printers.benches import facts

NAMES = ["a.gcode", "b.gcode"]
MINUTE = "G4 S60\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def minute(tmp_path: Path) -> Path:
    file = tmp_path / "minute.gcode"
    file.write_text(MINUTE)
    return file


def printer_in(folder: Path, clock: Clock, speed: float = 1.0) -> VirtualPrinter:
    return VirtualPrinter(facts("virtual", "virtual"), folder / "state", speed, clock)


async def test_a_print_goes_on_while_no_agent_runs(tmp_path: Path, clock: Clock, minute: Path) -> None:
    async with printer_in(tmp_path, clock) as printer:
        await printer.upload(minute, "a.gcode")
        await printer.start("a.gcode")
    clock.now += 30
    async with printer_in(tmp_path, clock) as printer:
        half = await printer.observe()
        assert (half.state, half.progress, half.seconds_left) == (PrinterState.PRINTING, 0.5, 30)
    clock.now += 3600
    async with printer_in(tmp_path, clock) as printer:
        assert (await printer.observe()).state is PrinterState.FINISHED


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 60.0), (60.0, 1.0), (0.5, 120.0)])
async def test_speed(tmp_path: Path, clock: Clock, minute: Path, speed: float, seconds: float) -> None:
    async with printer_in(tmp_path, clock, speed) as printer:
        await printer.upload(minute, "a.gcode")
        await printer.start("a.gcode")
        clock.now += seconds * 0.99
        assert (await printer.observe()).state is PrinterState.PRINTING
        clock.now += seconds * 0.02
        assert (await printer.observe()).state is PrinterState.FINISHED


async def test_a_pause_keeps_the_time(tmp_path: Path, clock: Clock, minute: Path) -> None:
    async with printer_in(tmp_path, clock) as printer:
        await printer.upload(minute, "a.gcode")
        await printer.start("a.gcode")
        for _ in range(3):
            clock.now += 10
            await printer.pause("a.gcode")
            before = await printer.observe()
            clock.now += 1000
            assert (await printer.observe()).progress == before.progress
            await printer.resume("a.gcode")
        assert (await printer.observe()).seconds_left == 30
        clock.now += 30
        assert (await printer.observe()).state is PrinterState.FINISHED


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_an_ended_print_stands_where_it_was(tmp_path: Path, clock: Clock, minute: Path, act: str) -> None:
    async with printer_in(tmp_path, clock) as printer:
        await printer.upload(minute, "a.gcode")
        await printer.start("a.gcode")
        clock.now += 15
        await printer.pause("a.gcode")
        clock.now += 100
        await getattr(printer, act)("a.gcode")
        clock.now += 100
        seen = await printer.observe()
        assert seen.progress == 0.25
        assert seen.state is (PrinterState.CANCELLED if act == "cancel" else PrinterState.FAILED)
        assert seen.reason


async def test_a_clock_that_is_set_back_harms_nothing(tmp_path: Path, clock: Clock, minute: Path) -> None:
    async with printer_in(tmp_path, clock) as printer:
        await printer.upload(minute, "a.gcode")
        await printer.start("a.gcode")
        clock.now -= 7200
        seen = await printer.observe()
        assert (seen.state, seen.progress, seen.seconds_left) == (PrinterState.PRINTING, 0.0, 60)


async def test_of_two_starts_at_once_one_is_refused(tmp_path: Path, clock: Clock, minute: Path) -> None:
    async with printer_in(tmp_path, clock) as printer:
        for name in NAMES:
            await printer.upload(minute, name)
        results = await asyncio.gather(*(printer.start(name) for name in NAMES), return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [Refused]
        assert len(printer.starts()) == 1


# --- the journal ----------------------------------------------------------------------------------------------------

_act = st.tuples(st.sampled_from(["start", "pause", "resume", "cancel", "fail"]), st.sampled_from(NAMES), st.integers(0, 90))
_acts = st.lists(_act, max_size=12)
_quick = settings(max_examples=25, deadline=None, derandomize=True)


def played(folder: Path, acts: list[tuple[str, str, int]], clock: Clock) -> VirtualPrinter:
    """A printer with a history; acts that make no sense at their moment are refused, as they are in life."""
    printer = printer_in(folder, clock)
    files = folder / "state" / "files"
    files.mkdir(parents=True)
    for file in NAMES:
        (files / file).write_text(MINUTE)

    async def play() -> None:
        async with printer:
            await printer.upload(files / NAMES[0], NAMES[0])
            for act, name, seconds in acts:
                clock.now += seconds
                try:
                    await getattr(printer, act)(name)
                except Refused:
                    continue

    asyncio.run(play())
    return printer


def now(coroutine: Coroutine[Any, Any, PrinterObservation]) -> PrinterObservation:
    return asyncio.run(coroutine)


@given(acts=_acts, data=st.data())
@_quick
def test_a_journal_cut_at_any_byte_tells_what_was_written_whole(acts: list[tuple[str, str, int]], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        printer = played(folder, acts, clock)
        journal = folder / "state" / "journal.jsonl"
        whole = journal.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        journal.write_bytes(whole[:cut])
        seen, starts = now(printer.observe()), printer.starts()

        lines = [line for line in whole[: cut + 1].split(b"\n")[:-1] if line]  # a line without its end of line is whole as well
        journal.write_bytes(b"".join(line + b"\n" for line in lines))
        assert (now(printer.observe()), printer.starts()) == (seen, starts)
        assert starts == [entry["name"] for entry in map(json.loads, lines) if entry["what"] == "started"]


@given(acts=_acts, data=st.data())
@_quick
def test_the_next_act_after_a_cut_is_not_lost(acts: list[tuple[str, str, int]], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        printer = played(folder, acts, clock)
        journal = folder / "state" / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[: data.draw(st.integers(0, 2000))])
        clock.now += 1_000_000
        seen = now(printer.observe())
        if seen.busy:  # only a pause lasts that long
            asyncio.run(printer.cancel(seen.remote_name))
        starts = printer.starts()
        asyncio.run(printer.start("a.gcode"))
        assert printer.starts() == [*starts, "a.gcode"]
        assert now(printer.observe()).state is PrinterState.PRINTING


@given(acts=_acts, junk=st.binary(max_size=200), data=st.data())
@_quick
def test_a_damaged_journal_never_raises(acts: list[tuple[str, str, int]], junk: bytes, data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        printer = played(folder, acts, clock)
        journal = folder / "state" / "journal.jsonl"
        whole = journal.read_bytes()
        at = data.draw(st.integers(0, len(whole)))
        journal.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
        seen = now(printer.observe())
        assert 0.0 <= seen.progress <= 1.0
        for file in NAMES:
            asyncio.run(printer.outcome(file))


# --- files ----------------------------------------------------------------------------------------------------------

_UPLOADS_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from agent.printers.virtual import VirtualPrinter
from tests.printers.benches import facts

async def main():
    async with VirtualPrinter(facts("virtual", "virtual"), Path(sys.argv[1])) as printer:
        print("up", flush=True)
        while True:
            await printer.upload(Path(sys.argv[2]), "a.gcode")

asyncio.run(main())
"""


def test_a_killed_upload_leaves_no_half_file(tmp_path: Path) -> None:
    source, state = tmp_path / "large.gcode", tmp_path / "state"
    source.write_bytes(os.urandom(3_000_000))
    for _ in range(2):
        command = [sys.executable, "-c", _UPLOADS_FOR_EVER, str(state), str(source)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            while not list((state / "files").glob(".*.part")):  # in the middle of a copy; nothing else tells
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        stored = state / "files" / "a.gcode"
        assert not stored.exists() or stored.read_bytes() == source.read_bytes()


async def test_a_failed_upload_leaves_what_was_there(tmp_path: Path, clock: Clock, minute: Path) -> None:
    async with printer_in(tmp_path, clock) as printer:
        await printer.upload(minute, "a.gcode")
        with pytest.raises(OSError):
            await printer.upload(tmp_path / "missing.gcode", "a.gcode")
    files = tmp_path / "state" / "files"
    assert [file.name for file in files.iterdir()] == ["a.gcode"]
    assert (files / "a.gcode").read_text() == MINUTE


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gcode", "seconds"),
    [
        ("G1 X60 F60\n", 60.0),
        ("G1 X3 Y4 F60\nG1 X0 Y0\n", 10.0),
        ("G91\nG1 X5 F60\nG1 X5\nG90\nG1 X0\n", 20.0),
        ("G4 S2\nG4 P500\n", 2.5),
        ("G1 X1 F0\n", 10.0),
        ("; G1 X100\nM104 S200\nG28\nG1\nG1 Xnonsense\n", 0.0),
        ("", 0.0),
    ],
)
def test_how_long_moves_take(tmp_path: Path, gcode: str, seconds: float) -> None:
    file = tmp_path / "moves.gcode"
    file.write_text(gcode)
    assert duration_s(file) == pytest.approx(seconds)
