"""One sandbox printer as a process."""

import asyncio
import json
import logging
import signal
import sys
from dataclasses import replace

from agent.sandbox.bambu.control import Control
from agent.sandbox.bambu.printer import SandboxPrinter
from agent.sandbox.bambu.settings import Settings, with_ports


def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Refused: a program is missing; OSError: a port is taken."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # mosquitto resolves the names in its configuration from its own folder
    asyncio.run(_serve(with_ports(replace(settings, folder=settings.folder.resolve()))))


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    settings.folder.mkdir(parents=True, exist_ok=True)
    async with SandboxPrinter(settings) as printer:
        control = Control(printer)
        port = await control.start()
        ready = {
            "host": settings.host,
            "mqtt_port": settings.mqtt_port,
            "ftps_port": settings.ftps_port,
            "camera_port": settings.camera_port,
            "control_port": port,
            "serial": settings.serial,
            "access_code": settings.access_code,
            "ca_file": str(printer.files.ca),
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await ending.wait()
        control.stop()
