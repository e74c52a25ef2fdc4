"""One Klipper machine as a command."""

import contextlib
import json
import os
import signal
import sys
from dataclasses import replace
from typing import NoReturn

from agent.domain.errors import Refused
from agent.sandbox.klipper.machine import SandboxMachine
from agent.sandbox.klipper.settings import Settings, usable


def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Refused: something is not installed, does not start, or ends by itself; OSError: the folder."""
    ready = usable(replace(settings, folder=settings.folder.resolve()))
    ready.folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    machine = SandboxMachine(ready)
    with contextlib.closing(machine):
        machine.prepare()
        machine.start()
        sys.stdout.write(json.dumps(_where(machine)) + "\n")
        sys.stdout.flush()
        _until_a_part_ends(machine)


def _ended(*_: object) -> NoReturn:
    sys.exit(0)


def _where(machine: SandboxMachine) -> dict[str, object]:
    """Named as in a printer's file of kind moonraker, where they stand there."""
    return {
        "url": machine.url,
        "instance_name": machine.instance,
        "mqtt_host": machine.broker_host,
        "mqtt_port": machine.broker_port,
        "mqtt_username": machine.broker_user,
        "mqtt_password_file": str(machine.password_file),
        "record": str(machine.record),
        "gcodes": str(machine.gcodes),
        "faults": str(machine.faults),
    }


def _until_a_part_ends(machine: SandboxMachine) -> NoReturn:
    """Waits for any child, and leaves it to its part to take its end in."""
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    for part in machine.parts:
        part.require_alive()
    raise Refused("What guards the machine's parts has ended.", hint="Start it again.", code="part_ended")
