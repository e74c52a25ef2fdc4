"""The simulated controller's side of Klipper's protocol, without Klippy: hostile bytes, lost blocks, and a host that asks nonsense."""

import itertools
import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.klipper import dictionary
from agent.sandbox.klipper.controller import Controller
from agent.sandbox.klipper.frames import LARGEST, SYNC, Block, BlockReader, Malformed, block, checksum, integer, read_integer
from agent.sandbox.klipper.heat import Heater, Machine, Thermal

ROOT = Path(__file__).parents[2]
_IDS = {text.split()[0]: number for text, number in json.loads(zlib.decompress(dictionary.compressed()))["commands"].items()}

contents = st.binary(max_size=LARGEST - 5)
sequences = st.integers(0, 15)


def command(name: str, *fields: int) -> bytes:
    return b"".join(map(integer, (_IDS[name], *fields)))


class Host:
    """Sends blocks in order and keeps what comes back."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.blocks: list[Block] = []
        self._sequence = 1
        self._reader = BlockReader()
        self.controller = Controller(self.machine, self._hear)

    def _hear(self, data: bytes) -> None:
        self.blocks += [found for found in self._reader.feed(data) if found is not None]

    def send(self, *commands: bytes) -> list[Block]:
        self.blocks.clear()
        self.controller.receive(block(self._sequence, b"".join(commands)))
        self._sequence = (self._sequence + 1) & 15
        return self.blocks


def test_the_checksum_is_the_one_the_catalogue_of_checksums_lists() -> None:
    assert checksum(b"123456789") == bytes.fromhex("6f91")  # CRC-16/MCRF4XX


@pytest.mark.parametrize(
    ("digits", "least", "most"),
    [(1, -32, 95), (2, -4096, 12287), (3, -524288, 1572863), (4, -67108864, 201326591), (5, -2147483648, 4294967295)],
)
def test_an_integer_takes_as_many_bytes_as_the_documentation_says(digits: int, least: int, most: int) -> None:
    assert (len(integer(least)), len(integer(most))) == (digits, digits)


@given(st.integers(-(2**31), 2**32 - 1), contents)
def test_an_integer_is_read_as_it_was_written_whatever_follows(value: int, more: bytes) -> None:
    written = integer(value)
    assert read_integer(written + more, 0) == (value, len(written))


@given(st.binary(max_size=10))
def test_bytes_that_are_no_integer_are_malformed_and_nothing_else(data: bytes) -> None:
    try:
        _, end = read_integer(data, 0)
    except Malformed:
        return
    assert 1 <= end <= 5


def _in_pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(st.tuples(sequences, contents), max_size=8), st.lists(st.integers(0, 1000), max_size=8))
def test_blocks_are_found_however_the_stream_is_cut(blocks: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(block(sequence, content) for sequence, content in blocks)
    reader = BlockReader()
    assert [found for piece in _in_pieces(stream, cuts) for found in reader.feed(piece)] == [Block(*each) for each in blocks]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_survived_and_good_blocks_are_found_again(garbage: list[bytes]) -> None:
    reader = BlockReader()
    for piece in garbage:
        list(reader.feed(piece))
        assert len(reader._data) < LARGEST
    # What is left of the garbage may announce one more block, which then swallows this many bytes at most.
    found = [each for _ in range(LARGEST) for each in reader.feed(block(7, b"good"))]
    assert Block(7, b"good") in found


@given(sequences, contents, st.integers(0, 8 * LARGEST))
def test_a_block_with_one_wrong_bit_is_not_taken(sequence: int, content: bytes, bit: int) -> None:
    whole = bytearray(block(sequence, content))
    bit %= 8 * len(whole)
    whole[bit // 8] ^= 1 << bit % 8
    # What follows fills up whatever length the damaged block announces.
    assert all(found is None for found in BlockReader().feed(bytes(whole) + bytes((SYNC,)) * LARGEST))


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_the_controller_answers_after_any_bytes(garbage: list[bytes]) -> None:
    host = Host()
    for piece in garbage:
        host.controller.receive(piece)
    host.controller.receive(bytes((SYNC,)) * LARGEST)
    assert host.send(command("get_config"))


@given(contents)
def test_the_controller_survives_any_content_of_a_good_block(content: bytes) -> None:
    host = Host()
    host.send(content)
    host.controller.clock.run_due()
    assert host.send(command("get_uptime"))


fields = st.lists(st.one_of(st.integers(0, 2), st.integers(-(2**31), 2**32 - 1)), min_size=12, max_size=12)


@given(st.lists(st.tuples(st.sampled_from(sorted(_IDS)), fields), max_size=20))
def test_the_controller_survives_any_commands(calls: list[tuple[str, list[int]]]) -> None:
    host = Host()
    counts = {form.name: len(form.kinds) for form in dictionary._BY_NUMBER.values()}
    for name, fields in calls:
        host.controller.receive(block(host.controller._next, command(name, *fields[: counts[name]])))
        host.controller.clock.run_due()
    host.controller.receive(block(host.controller._next, command("get_clock")))
    assert host.blocks


def test_a_block_out_of_turn_is_answered_with_the_number_that_is_missing() -> None:
    host = Host()
    host.send()
    host.blocks.clear()
    host.controller.receive(block(9, command("get_clock")))
    assert host.blocks == [Block(2, b"")]


def test_a_bad_command_halts_and_a_reset_helps() -> None:
    host = Host()
    host.send(integer(4000))
    assert host.controller.halted_by == "Invalid command"
    answers = host.send(command("queue_step", 1, 1, 1, 1))
    assert answers[0].content == dictionary.response("is_shutdown", dictionary.SHUTDOWNS.index("Invalid command"))
    host.send(command("reset"))
    assert (host.controller.halted_by, host.controller.resets) == ("", 1)


def test_a_sensor_that_is_asked_for_reports_without_a_pause_gets_one() -> None:
    host = Host()
    host.send(command("config_analog_in", 0, 20), command("query_analog_in", 0, 0, 1, 1, 1, 0, 4095, 4))
    host.controller.clock.run_due()
    assert host.controller.clock.wait_s()


def test_steps_are_counted_with_their_direction() -> None:
    host = Host()
    host.send(command("config_stepper", 3, 0, 1, 0, 0), command("set_next_step_dir", 3, 1), command("queue_step", 3, 100, 40, 0))
    host.send(command("set_next_step_dir", 3, 0), command("queue_step", 3, 100, 15, 0))
    assert host.send(command("stepper_get_position", 3))[0].content == dictionary.response("stepper_position", 3, 25)


def test_heat_goes_where_the_equation_says() -> None:
    heater = Heater(Thermal(heating=60.0, cooling=0.05), 0.0)
    heater.drive(1.0, 0.0)
    assert heater.temperature(0.1) == pytest.approx(25 + 6, abs=0.1)
    assert heater.temperature(1000.0) == pytest.approx(25 + 1200)
    heater.drive(0.0, 1000.0)
    assert heater.temperature(2000.0) == pytest.approx(25)


def test_the_process_says_where_it_is_answers_nonsense_with_its_usage_and_leaves_nothing(tmp_path: Path) -> None:
    serial, faults = tmp_path / "serial", tmp_path / "faults"
    command_line = [sys.executable, "-m", "agent.sandbox.klipper.mcu", str(serial), str(faults)]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"serial": str(serial), "faults": str(faults)}
        with serial.open("rb+", buffering=0) as line:
            line.write(os.urandom(5000) + bytes((SYNC,)) * LARGEST)
            line.write(block(1, command("get_config")))
            reader = BlockReader()
            wanted = dictionary.response("config", 0, 0, 0, dictionary.MOVE_COUNT)
            while not any(found is not None and found.content == wanted for found in reader.feed(line.read(64))):
                pass
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.settimeout(5)
            door.bind(str(tmp_path / "me"))
            for nonsense in (
                b"",
                b"heater",
                b"heater x off",
                b"heater 10 maybe",
                b"shutdown nothing we know",
                b"\xff\xfe",
                b"set_temp 20 hot",
            ):
                door.sendto(nonsense, str(faults))
                assert "set_temp PIN" in json.loads(door.recv(65_536))["error"]
        process.terminate()
        assert process.wait(10) == 0
    assert not serial.is_symlink()
    assert not faults.exists()
