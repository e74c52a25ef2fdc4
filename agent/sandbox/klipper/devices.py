"""What a controller is configured to have, one object an oid (Klipper docs/MCU_Commands.md)."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.sandbox.klipper.clock import Clock
from agent.sandbox.klipper.dictionary import ADC_MAX, CLOCK_HZ
from agent.sandbox.klipper.frames import Malformed
from agent.sandbox.klipper.heat import Machine

Say = Callable[..., None]
Halt = Callable[[str], None]
_LEAST_REST_S = 0.001  # whatever the host asks for
_BUTTON_REST_S = 0.02  # Klippy asks for 2 ms, against buttons that bounce; these do not


@dataclass
class Board:
    """What devices need of the controller they are part of."""

    clock: Clock
    machine: Machine
    say: Say
    halt: Halt
    # On a loaded computer the host's updates come late; a real controller would not wait for them.
    patience_s: float


class Device:
    """Does nothing when the controller halts."""

    def halted(self) -> None: ...


class Stepper(Device):
    """Counts steps. They take no time here: the host knows by itself when they would be done."""

    def __init__(self) -> None:
        self.position = 0
        self._direction = -1

    def turn(self, direction: int) -> None:
        self._direction = 1 if direction else -1

    def step(self, _interval: int, count: int, _add: int) -> None:
        self.position += self._direction * count


class DigitalOut(Device):
    """A pin that is on for a share of each cycle."""

    def __init__(self, board: Board, pin: int, default: int, max_ticks: int) -> None:
        self._board = board
        self._pin = pin
        self._default = default
        self._max_s = max_ticks / CLOCK_HZ
        self._cycle_ticks = 1
        self._updates = 0

    def cycle(self, ticks: int) -> None:
        self._cycle_ticks = max(1, ticks)

    def schedule(self, clock_low: int, on_ticks: int) -> None:
        self._board.clock.at(self._board.clock.when(clock_low), lambda: self.put(on_ticks))

    def put(self, on_ticks: int) -> None:
        self._updates += 1
        self._drive(on_ticks / self._cycle_ticks)
        if self._max_s and on_ticks != self._default:
            limit = self._board.clock.now() + self._max_s + self._board.patience_s
            this = self._updates
            self._board.clock.at(limit, lambda: self._check(this))

    def _check(self, update: int) -> None:
        if update == self._updates:
            self._board.halt("Missed scheduling of next digital out event")

    def _drive(self, duty: float) -> None:
        now = self._board.clock.now()
        self._board.machine.heater(self._pin, now).drive(min(1.0, duty), now)

    def halted(self) -> None:
        self._updates += 1
        self._drive(float(self._default))


class AnalogIn(Device):
    """A sensor that reports by itself, and halts the controller when it is out of its range several times in a row."""

    def __init__(self, board: Board, oid: int, pin: int) -> None:
        self._board = board
        self._oid = oid
        self._pin = pin
        self._query = 0
        self._bad = 0

    def query(self, clock_low: int, _sample_ticks: int, samples: int, rest_ticks: int, least: int, most: int, checks: int) -> None:
        self._query += 1
        this = self._query
        self._bad = 0
        if rest_ticks == 0:
            return
        rest_s = max(_LEAST_REST_S, rest_ticks / CLOCK_HZ)

        def sample(due: float) -> None:
            if this != self._query:
                return
            value = round(self._board.machine.sensor(self._pin, self._board.clock.now()) * ADC_MAX) * samples
            self._bad = 0 if least <= value <= most else self._bad + 1
            if self._bad >= max(1, checks):
                self._board.halt("ADC out of range")
                return
            following = max(due + rest_s, self._board.clock.now())
            self._board.say("analog_in_state", self._oid, self._board.clock.low(following), value)
            self._board.clock.at(following, lambda: sample(following))

        first = self._board.clock.when(clock_low)
        self._board.clock.at(first, lambda: sample(first))


class Buttons(Device):
    """Up to eight switches. Reports once at the start and at each change; what was not acknowledged is said again with the next."""

    def __init__(self, board: Board, oid: int) -> None:
        self._board = board
        self._oid = oid
        self._pins: dict[int, int] = {}
        self._said: int | None = None
        self._acknowledged = 0
        self._unheard = b""
        self._query = 0

    def add(self, position: int, pin: int) -> None:
        if not 0 <= position < 8:
            raise Malformed("a button has a place from 0 to 7")
        self._pins[position] = pin

    def acknowledge(self, count: int) -> None:
        self._acknowledged += min(count, len(self._unheard))
        self._unheard = self._unheard[count:]

    def query(self, clock_low: int, rest_ticks: int, *_: int) -> None:
        self._query += 1
        this = self._query
        rest_s = max(_BUTTON_REST_S, rest_ticks / CLOCK_HZ)
        self._said = None

        def look() -> None:
            if this != self._query or rest_ticks == 0:
                return
            state = sum(self._board.machine.switch(pin) << position for position, pin in self._pins.items())
            if state != self._said:
                self._said = state
                self._unheard = self._unheard[-7:] + bytes((state,))
                self._board.say("buttons_state", self._oid, self._acknowledged & 0xFF, self._unheard)
            self._board.clock.at(self._board.clock.now() + rest_s, look)

        self._board.clock.at(self._board.clock.when(clock_low), look)


class Endstop(Device):
    """There, and never touched: homing is for the host's macros."""
