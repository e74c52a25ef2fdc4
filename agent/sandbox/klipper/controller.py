"""The controller: takes blocks, keeps what it was configured with, answers, halts and resets."""

from collections.abc import Callable
from typing import TypeVar, cast

from agent.sandbox.klipper import dictionary
from agent.sandbox.klipper.clock import Clock
from agent.sandbox.klipper.devices import AnalogIn, Board, Buttons, Device, DigitalOut, Endstop, Stepper
from agent.sandbox.klipper.dictionary import SHUTDOWNS, Field
from agent.sandbox.klipper.frames import Block, BlockReader, Malformed, block
from agent.sandbox.klipper.heat import Machine

_STATS_S = 5.0
_STATS_SUM_TICKS = 5000  # a controller that is hardly busy
_SLICE = 40
# What a halted controller still answers; to everything else it says that it is halted.
_WHILE_HALTED = frozenset(
    ("identify", "get_config", "get_clock", "get_uptime", "emergency_stop", "clear_shutdown", "reset", "stepper_get_position")
)
# Acknowledged without an effect: nothing here homes, and plain outputs have nobody who looks at them.
_WITHOUT_EFFECT = frozenset(
    (
        "allocate_oids", "reset_step_clock", "stepper_stop_on_trigger", "endstop_home", "config_trsync", "trsync_start",
        "trsync_set_timeout", "set_digital_out",
    )
)  # fmt: skip

D = TypeVar("D", bound=Device)


class Controller:
    """`write` takes whole blocks for the host."""

    def __init__(self, machine: Machine, write: Callable[[bytes], None], *, patience_s: float = 10.0) -> None:
        self.clock = Clock()
        self.muted = False
        self.resets = 0
        self.bad_blocks = 0
        self.halted_by = ""
        self._write = write
        self._reader = BlockReader()
        self._dictionary = dictionary.compressed()
        self._board = Board(self.clock, machine, self._say, self.halt, patience_s)
        self._handlers: dict[str, Callable[..., None]] = {
            name: self._nothing if name in _WITHOUT_EFFECT else getattr(self, f"_{name}") for name in dictionary.COMMAND_NAMES
        }
        self._clear()

    def _clear(self) -> None:
        self._next = 1  # the sequence number that is expected
        self._devices: dict[int, Device] = {}
        self._crc: int | None = None
        self.halted_by = ""
        self.clock.forget()

    def receive(self, data: bytes) -> None:
        """From the host; any bytes at all."""
        for found in self._reader.feed(data):
            if found is None:
                self.bad_blocks += 1
                self._acknowledge()
            else:
                self._take(found)

    def _take(self, found: Block) -> None:
        if found.sequence != self._next:
            self._acknowledge()  # of an earlier block, which asks for the one that is missing
            return
        self._next = (self._next + 1) & 0x0F
        resets = self.resets
        try:
            for name, fields in dictionary.commands(found.content):
                self._run(name, fields)
                if self.resets != resets:
                    return
        except Malformed:
            self.halt("Invalid command")
        self._acknowledge()

    def _run(self, name: str, fields: list[Field]) -> None:
        if self.halted_by and name not in _WHILE_HALTED:
            self._say("is_shutdown", SHUTDOWNS.index(self.halted_by))
        else:
            self._handlers[name](*fields)

    def _acknowledge(self) -> None:
        self._send(b"")

    def _say(self, name: str, *fields: Field) -> None:
        self._send(dictionary.response(name, *fields))

    def _send(self, content: bytes) -> None:
        if not self.muted:
            self._write(block(self._next, content))

    def halt(self, why: str) -> None:
        """`why` is one of SHUTDOWNS. Outputs go to their safe values, timers are forgotten."""
        if self.halted_by:
            return
        self.halted_by = why
        self.clock.forget()
        for device in self._devices.values():
            device.halted()
        self._start_stats()
        self._say("shutdown", self.clock.low(self.clock.now()), SHUTDOWNS.index(why))

    def _start_stats(self) -> None:
        self.clock.at(self.clock.now() + _STATS_S, self._stats)

    def _stats(self) -> None:
        self._say("stats", 100, _STATS_SUM_TICKS, _STATS_SUM_TICKS)
        self._start_stats()

    def _device(self, oid: int, kind: type[D]) -> D:
        device = self._devices.get(oid)
        if not isinstance(device, kind):
            raise Malformed(f"{oid} is no {kind.__name__}")
        return device

    # What the host may ask. Each is named as its command is.

    def _nothing(self, *_: Field) -> None: ...

    def _identify(self, offset: int, count: int) -> None:
        self._say("identify_response", offset, self._dictionary[offset : offset + min(count, _SLICE)])

    def _get_config(self) -> None:
        self._say("config", self._crc is not None, self._crc or 0, bool(self.halted_by), dictionary.MOVE_COUNT)

    def _finalize_config(self, crc: int) -> None:
        self._crc = crc
        self._start_stats()

    def _get_clock(self) -> None:
        self._say("clock", self.clock.ticks() & 0xFFFFFFFF)

    def _get_uptime(self) -> None:
        ticks = self.clock.ticks()
        self._say("uptime", ticks >> 32, ticks & 0xFFFFFFFF)

    def _emergency_stop(self) -> None:
        self.halt("Command request")

    def _clear_shutdown(self) -> None:
        self.halted_by = ""

    def _reset(self) -> None:
        for device in self._devices.values():
            device.halted()
        self.resets += 1
        self._clear()

    def _config_stepper(self, oid: int, *_: int) -> None:
        self._devices[oid] = Stepper()

    def _queue_step(self, oid: int, *fields: int) -> None:
        self._device(oid, Stepper).step(*fields)

    def _set_next_step_dir(self, oid: int, direction: int) -> None:
        self._device(oid, Stepper).turn(direction)

    def _stepper_get_position(self, oid: int) -> None:
        self._say("stepper_position", oid, self._device(oid, Stepper).position)

    def _config_endstop(self, oid: int, *_: int) -> None:
        self._devices[oid] = Endstop()

    def _endstop_query_state(self, oid: int) -> None:
        self._device(oid, Endstop)
        self._say("endstop_state", oid, 0, 0, 0)

    def _trsync_trigger(self, oid: int, reason: int) -> None:
        self._say("trsync_state", oid, 0, reason, 0)

    def _config_digital_out(self, oid: int, pin: int, _value: int, default: int, max_ticks: int) -> None:
        self._devices[oid] = DigitalOut(self._board, pin, default, max_ticks)

    def _set_digital_out_pwm_cycle(self, oid: int, ticks: int) -> None:
        self._device(oid, DigitalOut).cycle(ticks)

    def _queue_digital_out(self, oid: int, clock_low: int, on_ticks: int) -> None:
        self._device(oid, DigitalOut).schedule(clock_low, on_ticks)

    def _update_digital_out(self, oid: int, value: int) -> None:
        self._device(oid, DigitalOut).put(value)

    def _config_analog_in(self, oid: int, pin: int) -> None:
        self._devices[oid] = AnalogIn(self._board, oid, pin)

    def _query_analog_in(self, oid: int, *fields: int) -> None:
        self._device(oid, AnalogIn).query(*cast("tuple[int, int, int, int, int, int, int]", fields))

    def _config_buttons(self, oid: int, _count: int) -> None:
        self._devices[oid] = Buttons(self._board, oid)

    def _buttons_add(self, oid: int, position: int, pin: int, _pull_up: int) -> None:
        self._device(oid, Buttons).add(position, pin)

    def _buttons_query(self, oid: int, *fields: int) -> None:
        self._device(oid, Buttons).query(*cast("tuple[int, int]", fields))

    def _buttons_ack(self, oid: int, count: int) -> None:
        self._device(oid, Buttons).acknowledge(count)
