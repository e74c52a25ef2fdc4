"""The controller as a process: `python -m agent.sandbox.klipper.mcu SERIAL FAULTS` until SIGTERM.

SERIAL is where Klippy finds it (`/tmp/klipper_host_…`: only such a name is taken as a pipe without a baud rate). FAULTS is a unix
datagram socket; each line is one fault, and the answer, if the asker has an address, is JSON.
"""

import argparse
import contextlib
import json
import os
import pty
import selectors
import signal
import socket
import sys
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.sandbox.klipper.controller import Controller
from agent.sandbox.klipper.dictionary import SHUTDOWNS
from agent.sandbox.klipper.heat import Machine, Thermal

_READ = 65_536
_USAGE = "heater PIN off|on, set_temp PIN °C|auto, runout PIN 1|0, mute 1|0, shutdown TEXT, cool, clear, state"


class Faults:
    """What goes wrong, in lines of words."""

    def __init__(self, controller: Controller, machine: Machine) -> None:
        self._controller = controller
        self._machine = machine
        self._words: dict[str, Callable[..., None]] = {
            "heater": self._heater,
            "set_temp": self._set_temp,
            "runout": self._runout,
            "mute": self._mute,
            "cool": self._cool,
            "clear": self._clear,
            "state": lambda: None,
        }

    def play(self, line: str) -> dict[str, object]:
        """How it stands afterwards; `error` where the line makes no sense."""
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "shutdown":
                self._shutdown(rest)
            else:
                self._words[word](*rest.split())
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"{error!r}: one of {_USAGE}"}
        return self.state()

    def state(self) -> dict[str, object]:
        now = self._controller.clock.now()
        return {
            "halted": self._controller.halted_by,
            "resets": self._controller.resets,
            "bad_blocks": self._controller.bad_blocks,
            "celsius": {pin: round(heater.temperature(now), 2) for pin, heater in self._machine.heaters.items()},
            "duty": {pin: heater.duty for pin, heater in self._machine.heaters.items()},
        }

    def _heater(self, pin: str, word: str) -> None:
        now = self._controller.clock.now()
        self._machine.heater(int(pin), now).break_wire({"off": True, "on": False}[word], now)

    def _set_temp(self, pin: str, celsius: str) -> None:
        if celsius == "auto":
            self._machine.forced.pop(int(pin), None)
        else:
            self._machine.forced[int(pin)] = float(celsius)

    def _runout(self, pin: str, out: str) -> None:
        (self._machine.low.add if out == "1" else self._machine.low.discard)(int(pin))

    def _mute(self, on: str) -> None:
        self._controller.muted = on == "1"

    def _shutdown(self, text: str) -> None:
        self._controller.halt(SHUTDOWNS[SHUTDOWNS.index(text)])

    def _cool(self) -> None:
        now = self._controller.clock.now()
        for heater in self._machine.heaters.values():
            heater.cool(now)

    def _clear(self) -> None:
        now = self._controller.clock.now()
        self._machine.forced.clear()
        self._machine.low.clear()
        self._controller.muted = False
        for heater in self._machine.heaters.values():
            heater.break_wire(False, now)


@contextlib.contextmanager
def _serial(path: Path) -> Iterator[int]:
    """Our end of a raw pseudo-terminal whose other end is `path`. We hold that end too, or reading fails while no Klippy is there."""
    ours, theirs = pty.openpty()
    try:
        tty.setraw(ours)
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(theirs))
        yield ours
    finally:
        path.unlink(missing_ok=True)
        os.close(ours)
        os.close(theirs)


@contextlib.contextmanager
def _datagrams(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(path))
        try:
            yield opened
        finally:
            path.unlink(missing_ok=True)


def _writer(serial: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        # Full: nobody reads at the other end. A wire keeps nothing either.
        with contextlib.suppress(BlockingIOError):
            os.write(serial, data)

    return write


def run(serial_path: Path, faults_path: Path, thermals: dict[int, Thermal]) -> None:
    machine = Machine(thermals)
    with _serial(serial_path) as serial, _datagrams(faults_path) as door, selectors.DefaultSelector() as selector:
        controller = Controller(machine, _writer(serial))
        faults = Faults(controller, machine)
        selector.register(serial, selectors.EVENT_READ)
        selector.register(door, selectors.EVENT_READ)
        sys.stdout.write(json.dumps({"serial": str(serial_path), "faults": str(faults_path)}) + "\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select(controller.clock.wait_s()):
                if key.fileobj is door:
                    _answer(door, faults)
                else:
                    controller.receive(os.read(serial, _READ))
            controller.clock.run_due()


def _answer(door: socket.socket, faults: Faults) -> None:
    line, asker = door.recvfrom(_READ)
    told = json.dumps(faults.play(line.decode(errors="replace"))).encode()
    if asker:
        # Whoever asked may have gone.
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError, BlockingIOError):
            door.sendto(told, asker)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m agent.sandbox.klipper.mcu", description=__doc__)
    parser.add_argument("serial", type=Path)
    parser.add_argument("faults", type=Path)
    heater = "°C/s at full power, and the share of the difference to the room that is lost in a second (default: 60 0.05)"
    parser.add_argument("--heater", action="append", default=[], nargs=3, metavar=("PIN", "HEATING", "COOLING"), help=heater)
    given = parser.parse_args()
    thermals = {int(pin): Thermal(float(heating), float(cooling)) for pin, heating, cooling in given.heater}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        run(given.serial, given.faults, thermals)


if __name__ == "__main__":
    main()
